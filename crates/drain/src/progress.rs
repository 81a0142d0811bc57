//! How far delivery has come, and whether what the files say about it can be true.
//!
//! # What the files mean
//!
//! | file                | meaning                                                               |
//! |---------------------|-----------------------------------------------------------------------|
//! | `telemetry.pos`     | `n`: every entry `1..=n` is settled                                   |
//! | `telemetry.cursors` | for each class `n`: every entry of that class up to `n` is settled    |
//!
//! Settled means accepted by the collector, or refused by it for good and kept in the dead-letter
//! file.
//!
//! | `telemetry.cursors`   | `telemetry.pos` | an entry is settled when               |
//! |-----------------------|-----------------|----------------------------------------|
//! | of this log           | `p`             | `seq ≤ p`, or `seq ≤` its class's `n`  |
//! | missing, of another   | `p`             | `seq ≤ p`                              |
//! | of this log           | missing         | `seq ≤` its class's `n`                |
//! | missing, of another   | missing         | never                                  |
//! | unreadable            | any             | – `CURSORS_CORRUPT`, `CURSORS_NEWER`   |
//! | any                   | not 8 bytes     | – `POS_CORRUPT`                        |
//! | beyond the log        | any             | – `CURSORS_GT_MAXSEQ`                  |
//! | any                   | beyond the log  | – `POS_GT_MAXSEQ`                      |
//!
//! # Invariants
//!
//! * **D1** The position is the largest `n` such that every entry `1..=n` is settled. It is derived
//!   from the lowest entry that is not, and written after the cursors.
//! * **D2** No cursor is below the position: both say the same about the entries up to it.
//! * **D3** What is beyond the end of the log is refused: the next entries would be taken for
//!   settled and never be sent.

use thiserror::Error;
use wal_format::{Position, Seq, WalId};

use crate::{
    Class, PerClass,
    cursors::{Cursors, Unreadable},
};

/// What is settled of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    wal_id: WalId,
    cursors: PerClass<Option<Seq>>,
    position: Position,
    other_log: Option<WalId>,
}

impl Progress {
    /// Reads the content of both files, `None` for one that does not exist.
    ///
    /// # Errors
    ///
    /// [`ProgressError`] when a file cannot be what a consumer of ours left.
    pub fn load(
        wal_id: WalId,
        cursors: Option<&[u8]>,
        position: Option<&[u8]>,
    ) -> Result<Self, ProgressError> {
        let position = match position {
            None => Position::default(),
            Some(bytes) => Position::from_bytes(bytes)
                .map_err(|it| ProgressError::PositionCorrupt { len: it.len })?,
        };
        let found = cursors.map(Cursors::from_bytes).transpose().map_err(|it| match it {
            Unreadable::Newer { schema } => ProgressError::CursorsNewer { schema },
            Unreadable::Corrupt { text } => ProgressError::CursorsCorrupt { text },
        })?;
        let (accepted, other_log) = match found {
            Some(found) if found.wal_id == wal_id => (found.accepted, None),
            Some(found) => (PerClass::default(), Some(found.wal_id)),
            None => (PerClass::default(), None),
        };
        let mut progress = Self { wal_id, cursors: accepted, position, other_log };
        progress.raise_cursors();
        Ok(progress)
    }

    /// Returns the log that this is about.
    pub const fn wal_id(&self) -> WalId {
        self.wal_id
    }

    /// Returns the log whose cursors were found instead and do not count.
    pub const fn cursors_of_other_log(&self) -> Option<WalId> {
        self.other_log
    }

    /// Returns the position (D1) as last written.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Returns the last settled entry of each class.
    pub const fn cursors(&self) -> &PerClass<Option<Seq>> {
        &self.cursors
    }

    /// Returns whether an entry is settled.
    pub fn is_settled(&self, seq: Seq, class: Class) -> bool {
        Some(seq) <= *self.cursors.get(class)
    }

    /// Returns whether an entry is settled whatever its class.
    pub(crate) fn is_settled_for_all(&self, seq: Seq) -> bool {
        Some(seq) <= self.position.last()
    }

    /// Checks the files against the last entry of the log (D3).
    ///
    /// # Errors
    ///
    /// [`ProgressError::PositionBeyondLog`] or [`ProgressError::CursorBeyondLog`].
    pub fn check(&self, last: Option<Seq>) -> Result<(), ProgressError> {
        let last_seq = last.map_or(0, Seq::get);
        if self.position.last() > last {
            let position = self.position.get();
            return Err(ProgressError::PositionBeyondLog { position, last_seq });
        }
        for class in Class::ALL {
            if let Some(cursor) = *self.cursors.get(class)
                && Some(cursor) > last
            {
                return Err(ProgressError::CursorBeyondLog { class, cursor, last_seq });
            }
        }
        Ok(())
    }

    /// Notes that an entry and all before it in its class are settled.
    pub(crate) fn settle(&mut self, seq: Seq, class: Class) {
        let cursor = self.cursors.get_mut(class);
        *cursor = (*cursor).max(Some(seq));
    }

    /// Takes over the cursors of a later progress, now that they are on disk.
    pub(crate) const fn adopt_cursors(&mut self, next: &Self) {
        self.cursors = next.cursors;
    }

    /// Moves the position to just before the lowest entry that is not settled, or to the end of
    /// the log (D1). It never moves back.
    pub(crate) fn advance(&mut self, first_pending: Option<Seq>, last: Option<Seq>) {
        let through = match first_pending {
            Some(pending) => Seq::new(pending.get() - 1),
            None => last,
        };
        self.position = self.position.max(Position::at(through));
        self.raise_cursors();
    }

    /// Returns the content of `telemetry.cursors`.
    pub(crate) fn cursors_to_bytes(&self) -> Vec<u8> {
        Cursors { wal_id: self.wal_id, accepted: self.cursors }.to_bytes()
    }

    /// D2.
    fn raise_cursors(&mut self) {
        for class in Class::ALL {
            let cursor = self.cursors.get_mut(class);
            *cursor = (*cursor).max(self.position.last());
        }
    }
}

/// The files say something that cannot be true, or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProgressError {
    /// `telemetry.cursors` is damaged.
    #[error("{} — telemetry.cursors is damaged: {text}", self.code())]
    CursorsCorrupt {
        /// What was found.
        text: String,
    },
    /// `telemetry.cursors` is written by a newer version.
    #[error("{} — telemetry.cursors has schema {schema}, this version reads 1", self.code())]
    CursorsNewer {
        /// The schema found.
        schema: u64,
    },
    /// A cursor is beyond the end of the log.
    #[error("{} — the {class} cursor={cursor} but maxSeq={last_seq}", self.code())]
    CursorBeyondLog {
        /// Whose cursor it is.
        class: Class,
        /// Where it stands.
        cursor: Seq,
        /// Last entry of the log; 0 when it is empty.
        last_seq: u64,
    },
    /// `telemetry.pos` is damaged.
    #[error("{} — telemetry.pos is {len} bytes long (expected 8)", self.code())]
    PositionCorrupt {
        /// Length found.
        len: usize,
    },
    /// The position is beyond the end of the log.
    #[error("{} — pos={position} but maxSeq={last_seq}", self.code())]
    PositionBeyondLog {
        /// Where it stands.
        position: u64,
        /// Last entry of the log; 0 when it is empty.
        last_seq: u64,
    },
}

impl ProgressError {
    /// Every stable code.
    pub const CODES: [&str; 5] =
        ["CURSORS_CORRUPT", "CURSORS_NEWER", "CURSORS_GT_MAXSEQ", "POS_CORRUPT", "POS_GT_MAXSEQ"];

    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CursorsCorrupt { .. } => "CURSORS_CORRUPT",
            Self::CursorsNewer { .. } => "CURSORS_NEWER",
            Self::CursorBeyondLog { .. } => "CURSORS_GT_MAXSEQ",
            Self::PositionCorrupt { .. } => "POS_CORRUPT",
            Self::PositionBeyondLog { .. } => "POS_GT_MAXSEQ",
        }
    }

    /// Returns what to do next, in one sentence.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::CursorsCorrupt { .. } => {
                "remove telemetry.cursors: the entries after telemetry.pos are then sent again, under the same event ids"
            }
            Self::CursorsNewer { .. } => {
                "drain with the version that wrote telemetry.cursors, or remove the file: the entries after telemetry.pos are then sent again, under the same event ids"
            }
            Self::CursorBeyondLog { .. } => {
                "entries are missing at the end of the log, or telemetry.cursors belongs to another copy of it: restore the log, or remove telemetry.cursors to send the entries after telemetry.pos again"
            }
            Self::PositionCorrupt { .. } => {
                "remove telemetry.pos: what telemetry.cursors does not cover is then sent again, under the same event ids"
            }
            Self::PositionBeyondLog { .. } => {
                "entries are missing at the end of the log, or telemetry.pos belongs to another copy of it: restore the log, or remove telemetry.pos and telemetry.cursors to send everything again"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wal_id() -> WalId {
        WalId::from_random([7; 16])
    }

    fn seq(n: u64) -> Seq {
        Seq::new(n).unwrap()
    }

    fn cursors(wal_id: WalId, error: u64, lifecycle: u64) -> Vec<u8> {
        let accepted = PerClass {
            error: Seq::new(error),
            lifecycle: Seq::new(lifecycle),
            ..PerClass::default()
        };
        Cursors { wal_id, accepted }.to_bytes()
    }

    fn settled(progress: &Progress, n: u64) -> [bool; 4] {
        Class::ALL.map(|it| progress.is_settled(seq(n), it))
    }

    #[test]
    fn the_table_of_the_two_files_holds() {
        let of_this = cursors(wal_id(), 9, 2);
        let of_other = cursors(WalId::from_random([8; 16]), 9, 9);
        let pos = 5_u64.to_le_bytes();
        let load = |cursors: Option<&[u8]>, pos: Option<&[u8]>| {
            Progress::load(wal_id(), cursors, pos).unwrap()
        };

        let both = load(Some(&of_this), Some(&pos));
        assert_eq!(settled(&both, 5), [true; 4], "the cursor of lifecycle is behind the position");
        assert_eq!(settled(&both, 6), [true, false, false, false]);
        assert_eq!(settled(&both, 10), [false; 4]);

        for cursors in [None, Some(&*of_other)] {
            let pos_alone = load(cursors, Some(&pos));
            assert_eq!(settled(&pos_alone, 5), [true; 4]);
            assert_eq!(settled(&pos_alone, 6), [false; 4]);
        }
        let found = load(Some(&of_other), None).cursors_of_other_log();
        assert_eq!(found, Some(WalId::from_random([8; 16])));

        let cursors_alone = load(Some(&of_this), None);
        assert_eq!(settled(&cursors_alone, 2), [true, false, false, true]);
        assert_eq!(cursors_alone.position(), Position::default());

        assert_eq!(settled(&load(None, None), 1), [false; 4]);
        assert_eq!(settled(&load(None, Some(&[0; 8])), 1), [false; 4]);
    }

    #[test]
    fn files_that_cannot_be_true_are_refused_by_name() {
        let error = Progress::load(wal_id(), Some(b"garbage"), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "CURSORS_CORRUPT — telemetry.cursors is damaged: expected value at line 1 column 1"
        );
        let error = Progress::load(wal_id(), Some(br#"{"schema":9}"#), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "CURSORS_NEWER — telemetry.cursors has schema 9, this version reads 1"
        );
        let error = Progress::load(wal_id(), None, Some(b"garbage!!")).unwrap_err();
        assert_eq!(error.to_string(), "POS_CORRUPT — telemetry.pos is 9 bytes long (expected 8)");

        let pos = Progress::load(wal_id(), None, Some(&9_u64.to_le_bytes())).unwrap();
        assert_eq!(pos.check(Seq::new(9)), Ok(()));
        let error = pos.check(Seq::new(8)).unwrap_err();
        assert_eq!(error.to_string(), "POS_GT_MAXSEQ — pos=9 but maxSeq=8");
        assert_eq!(pos.check(None).unwrap_err().code(), "POS_GT_MAXSEQ");

        let bytes = cursors(wal_id(), 9, 2);
        let ahead = Progress::load(wal_id(), Some(&bytes), None).unwrap();
        assert_eq!(ahead.check(Seq::new(9)), Ok(()));
        let error = ahead.check(Seq::new(8)).unwrap_err();
        assert_eq!(error.to_string(), "CURSORS_GT_MAXSEQ — the error cursor=9 but maxSeq=8");
    }

    #[test]
    fn the_position_ends_before_the_first_pending_entry() {
        let mut progress = Progress::load(wal_id(), None, None).unwrap();
        progress.advance(Seq::new(1), Seq::new(9));
        assert_eq!(progress.position(), Position::default());
        progress.settle(seq(4), Class::Error);
        progress.advance(Seq::new(3), Seq::new(9));
        assert_eq!(progress.position(), Position::at(Seq::new(2)));
        assert_eq!(settled(&progress, 2), [true; 4], "D2");
        assert_eq!(settled(&progress, 3), [true, false, false, false]);
        progress.advance(None, Seq::new(9));
        assert_eq!(progress.position(), Position::at(Seq::new(9)));
        progress.advance(Seq::new(5), Seq::new(9));
        assert_eq!(progress.position(), Position::at(Seq::new(9)), "never back");
    }
}
