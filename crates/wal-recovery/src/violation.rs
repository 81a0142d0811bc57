//! Why a log cannot be trusted.

use std::path::PathBuf;

use thiserror::Error;
use wal_format::Seq;

use crate::codes;

/// The first thing found wrong. Exhaustive on purpose: a new cause must break every `match`.
///
/// The texts are interfaces: runbooks quote them and tests pin them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// No safe point in a directory that has been used.
    #[error(
        "safe_seq missing in steady-state at \"{}\"; to upgrade from a pre-Phase-1 WAL set \
         AUTONOMYOPS_WAL_LEGACY_UPGRADE=1; to accept telemetry loss after deleting telemetry.wal \
         set AUTONOMYOPS_WAL_OPERATOR_RESET=1", path.display()
    )]
    SafeSeqNotFound {
        /// Where it should be.
        path: PathBuf,
    },
    /// The safe-point file has the wrong length.
    #[error("SAFESEQ_CORRUPT — safe_seq is {len} bytes long (expected 8)")]
    SafeSeqCorrupt {
        /// Length found, in bytes.
        len: u64,
    },
    /// R1.
    #[error("FIRST_SEQ_NOT_ONE — first frame Seq={found} (expected 1)")]
    FirstSeqNotOne {
        /// Number of the first frame, as stored.
        found: u64,
    },
    /// R2.
    #[error("SEQ_GAP — frame Seq={found} follows Seq={prev} (expected {})", prev.get() + 1)]
    SeqGap {
        /// Number of the last good frame.
        prev: Seq,
        /// Number of the frame after it, as stored.
        found: u64,
        /// Where that frame starts, in bytes.
        offset: u64,
    },
    /// R3.
    #[error("SAFESEQ_GT_MAXSEQ — safe_seq={safe} but maxSeq={}", max.map_or(0, Seq::get))]
    SafeSeqGtMaxSeq {
        /// The safe point.
        safe: Seq,
        /// The last whole frame, if any.
        max: Option<Seq>,
        /// Where the whole frames end, in bytes.
        offset: u64,
    },
    /// A payload in the committed range is not JSON.
    #[error("WAL_CORRUPT_INVALID_JSON — frame at Seq={seq} contains invalid JSON")]
    InvalidJson {
        /// Number the frame should have.
        seq: Seq,
        /// Where it starts, in bytes.
        offset: u64,
        /// What the parser found.
        detail: String,
    },
    /// A length in the committed range is one that no writer produces.
    #[error("WAL_CORRUPT_FRAME — frame at Seq={seq} has an impossible length of {len} bytes")]
    CorruptFrame {
        /// Number the frame should have.
        seq: Seq,
        /// Where it starts, in bytes.
        offset: u64,
        /// The length found, in bytes.
        len: u32,
    },
    /// An entry in the committed range is not the one that was written after its predecessor.
    #[error("WAL_CORRUPT_CHAIN — frame at Seq={seq} does not follow from the bytes before it")]
    CorruptChain {
        /// Number of the frame.
        seq: Seq,
        /// Where it starts, in bytes.
        offset: u64,
    },
    /// A switch was begun and what is there does not fit it.
    #[error("WAL_SWITCH_BROKEN — {detail}")]
    SwitchBroken {
        /// Which file, and what is wrong with it.
        detail: String,
    },
}

impl Violation {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::SafeSeqNotFound { .. } => codes::SAFESEQ_NOT_FOUND,
            Self::SafeSeqCorrupt { .. } => codes::SAFESEQ_CORRUPT,
            Self::FirstSeqNotOne { .. } => codes::FIRST_SEQ_NOT_ONE,
            Self::SeqGap { .. } => codes::SEQ_GAP,
            Self::SafeSeqGtMaxSeq { .. } => codes::SAFESEQ_GT_MAXSEQ,
            Self::InvalidJson { .. } => codes::WAL_CORRUPT_INVALID_JSON,
            Self::CorruptFrame { .. } => codes::WAL_CORRUPT_FRAME,
            Self::CorruptChain { .. } => codes::WAL_CORRUPT_CHAIN,
            Self::SwitchBroken { .. } => codes::WAL_SWITCH_BROKEN,
        }
    }

    /// Returns the number of the first bad entry and the byte where it starts or should start;
    /// `None` when the log itself was not looked at.
    pub fn place(&self) -> Option<(u64, u64)> {
        match self {
            Self::SafeSeqNotFound { .. }
            | Self::SafeSeqCorrupt { .. }
            | Self::SwitchBroken { .. } => None,
            Self::FirstSeqNotOne { .. } => Some((1, 0)),
            Self::SeqGap { prev, offset, .. } => Some((prev.get() + 1, *offset)),
            Self::SafeSeqGtMaxSeq { max, offset, .. } => {
                Some((max.map_or(0, Seq::get) + 1, *offset))
            }
            Self::InvalidJson { seq, offset, .. }
            | Self::CorruptFrame { seq, offset, .. }
            | Self::CorruptChain { seq, offset } => Some((seq.get(), *offset)),
        }
    }

    /// Returns the last line of a process that refuses to start.
    pub fn fatal_line(&self) -> String {
        let code = self.code();
        let text = match self {
            Self::SafeSeqNotFound { .. } => {
                "telemetry.safe_seq missing and AUTONOMYOPS_WAL_LEGACY_UPGRADE not set".to_owned()
            }
            other => {
                let text = other.to_string();
                text.split_once(" — ").map_or(text.clone(), |(_, text)| text.to_owned())
            }
        };
        format!("FATAL wal recovery failed: {code}: {text}")
    }

    /// Returns what an operator does next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::SafeSeqNotFound { .. } => {
                "restore telemetry.safe_seq from a backup; for a log older than safe points start \
                 once with AUTONOMYOPS_WAL_LEGACY_UPGRADE=1; `autonomy wal repair --dir DIR --reason TEXT` puts \
                 everything aside and goes on with a new log; when telemetry.wal is gone too, \
                 AUTONOMYOPS_WAL_OPERATOR_RESET=1 accepts the loss"
            }
            Self::SafeSeqCorrupt { .. } => {
                "restore telemetry.safe_seq from a backup, or move it away and start once with \
                 AUTONOMYOPS_WAL_LEGACY_UPGRADE=1 to adopt every whole frame, or put everything \
                 aside with `autonomy wal repair --dir DIR --reason TEXT` and go on with a new log"
            }
            Self::SwitchBroken { .. } => {
                "copy the directory away, then look at `autonomy wal repair --dir DIR --dry-run` and put \
                 everything aside with `autonomy wal repair --dir DIR --reason TEXT`"
            }
            Self::FirstSeqNotOne { .. }
            | Self::SeqGap { .. }
            | Self::SafeSeqGtMaxSeq { .. }
            | Self::InvalidJson { .. }
            | Self::CorruptFrame { .. }
            | Self::CorruptChain { .. } => {
                "check the disk and copy the directory away, then restore it from a backup, or look \
                 at `autonomy wal repair --dir DIR --dry-run` and put the log aside, whole, with \
                 `autonomy wal repair --dir DIR --reason TEXT`"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hint_names_the_repair() {
        let seq = Seq::FIRST;
        for violation in [
            Violation::SafeSeqNotFound { path: PathBuf::new() },
            Violation::SafeSeqCorrupt { len: 7 },
            Violation::FirstSeqNotOne { found: 2 },
            Violation::SeqGap { prev: seq, found: 3, offset: 7 },
            Violation::SafeSeqGtMaxSeq { safe: seq, max: None, offset: 0 },
            Violation::InvalidJson { seq, offset: 0, detail: String::new() },
            Violation::CorruptFrame { seq, offset: 0, len: 0 },
            Violation::CorruptChain { seq, offset: 0 },
            Violation::SwitchBroken { detail: String::new() },
        ] {
            let hint = violation.hint();
            assert!(
                hint.contains("`autonomy wal repair --dir DIR --reason TEXT`"),
                "{violation}: {hint}"
            );
        }
    }

    #[test]
    fn the_texts_of_the_runbooks_are_pinned() {
        let seq = |n| Seq::new(n).unwrap();
        let safe = |max, safe| Violation::SafeSeqGtMaxSeq { safe: seq(safe), max, offset: 0 };
        let json = Violation::InvalidJson { seq: seq(4), offset: 9, detail: String::new() };
        let missing = Violation::SafeSeqNotFound { path: "/wal/telemetry.safe_seq".into() };
        let gap = Violation::SeqGap { prev: seq(1), found: 3, offset: 7 };
        for (violation, want) in [
            (&gap, "SEQ_GAP — frame Seq=3 follows Seq=1 (expected 2)"),
            (&safe(Some(seq(5)), 7), "SAFESEQ_GT_MAXSEQ — safe_seq=7 but maxSeq=5"),
            (&safe(None, 7), "SAFESEQ_GT_MAXSEQ — safe_seq=7 but maxSeq=0"),
            (&json, "WAL_CORRUPT_INVALID_JSON — frame at Seq=4 contains invalid JSON"),
            (
                &Violation::FirstSeqNotOne { found: 2 },
                "FIRST_SEQ_NOT_ONE — first frame Seq=2 (expected 1)",
            ),
            (
                &missing,
                "safe_seq missing in steady-state at \"/wal/telemetry.safe_seq\"; to upgrade from \
                 a pre-Phase-1 WAL set AUTONOMYOPS_WAL_LEGACY_UPGRADE=1; to accept telemetry loss \
                 after deleting telemetry.wal set AUTONOMYOPS_WAL_OPERATOR_RESET=1",
            ),
        ] {
            assert_eq!(violation.to_string(), want);
        }
        assert_eq!(
            missing.fatal_line(),
            "FATAL wal recovery failed: SAFESEQ_NOT_FOUND: telemetry.safe_seq missing and \
             AUTONOMYOPS_WAL_LEGACY_UPGRADE not set"
        );
        assert_eq!(
            gap.fatal_line(),
            "FATAL wal recovery failed: SEQ_GAP: frame Seq=3 follows Seq=1 (expected 2)"
        );
        assert_eq!(gap.place(), Some((2, 7)));
        assert_eq!(missing.place(), None);
    }
}
