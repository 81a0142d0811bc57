//! What a recovery has to say to whoever reads logs.
//!
//! Every process that opens a log says the same lines, each at level WARN with its code as the text.
//! This crate logs nothing itself: it says what is to be said.

use wal_format::Seq;

use crate::{Report, codes};

/// One line at level WARN. What does not belong to a code is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The stable code, which is the text of the line.
    pub code: &'static str,
    /// Frames that were taken over, or cut.
    pub frames: Option<u64>,
    /// Bytes that were cut.
    pub bytes_cut: Option<u64>,
}

impl Report {
    /// Returns what must be said about this start, in order. The markers of overrides are mandatory:
    /// they are the trace that an operator leaves.
    pub fn markers(&self) -> impl Iterator<Item = Marker> {
        let counted =
            |code, frames| Marker { code, frames: Some(frames), bytes_cut: Some(self.bytes_cut) };
        let reset = self.is_reset().then_some(Marker {
            code: codes::WAL_RESET_BY_OPERATOR,
            frames: None,
            bytes_cut: None,
        });
        let adopted = self
            .is_legacy_upgrade()
            .then(|| counted(codes::WAL_LEGACY_ADOPTED, self.last.map_or(0, Seq::get)));
        let phantoms =
            (self.phantoms > 0).then(|| counted(codes::WAL_PHANTOM_DISCARDED, self.phantoms));
        [reset, adopted, phantoms].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use wal_format::{Birth, Origin, WalId};

    use super::*;
    use crate::Decision;

    fn report(decision: Decision, origin: Origin, last: Option<u64>, phantoms: u64) -> Report {
        let wal_id = WalId::from_random([7; 16]);
        Report {
            decision,
            identity: Birth { wal_id, node: "n".to_owned(), origin, previous: None },
            safe_point_found: None,
            last: last.and_then(Seq::new),
            beyond_safe_point: 0,
            phantoms,
            bytes_cut: 9,
        }
    }

    #[test]
    fn each_override_and_each_cut_has_its_marker_and_nothing_else_has_one() {
        let said = |report: Report| -> Vec<_> {
            report.markers().map(|it| (it.code, it.frames, it.bytes_cut)).collect()
        };
        let (first, reset, adopted) = (Origin::FirstRun, Origin::OperatorReset, Origin::Adopted);
        assert_eq!(said(report(Decision::Initialize, first, None, 0)), []);
        assert_eq!(
            said(report(Decision::InitializeAudited, reset, None, 0)),
            [(codes::WAL_RESET_BY_OPERATOR, None, None)]
        );
        // A log that began by a reset is not reset by every start after it.
        let safe = Decision::Scan(wal_format::SafePoint::at(None));
        assert_eq!(said(report(safe, reset, Some(3), 0)), []);
        assert_eq!(
            said(report(Decision::AdoptAll, adopted, Some(5), 2)),
            [
                (codes::WAL_LEGACY_ADOPTED, Some(5), Some(9)),
                (codes::WAL_PHANTOM_DISCARDED, Some(2), Some(9)),
            ]
        );
    }
}
