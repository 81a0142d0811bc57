//! Every stable code of this crate. Each has a page under `docs/src/reference/causes/`.

/// `telemetry.safe_seq` is missing in a directory that was used.
pub const SAFESEQ_NOT_FOUND: &str = "SAFESEQ_NOT_FOUND";
/// `telemetry.safe_seq` is not eight bytes long.
pub const SAFESEQ_CORRUPT: &str = "SAFESEQ_CORRUPT";
/// The safe point names an entry that is not in the log.
pub const SAFESEQ_GT_MAXSEQ: &str = "SAFESEQ_GT_MAXSEQ";
/// The first entry does not have number 1.
pub const FIRST_SEQ_NOT_ONE: &str = "FIRST_SEQ_NOT_ONE";
/// Two neighbouring entries do not have neighbouring numbers.
pub const SEQ_GAP: &str = "SEQ_GAP";
/// A committed payload is not JSON.
pub const WAL_CORRUPT_INVALID_JSON: &str = "WAL_CORRUPT_INVALID_JSON";
/// A committed frame has a length that no writer produces.
pub const WAL_CORRUPT_FRAME: &str = "WAL_CORRUPT_FRAME";
/// A committed entry does not follow from the one before it.
pub const WAL_CORRUPT_CHAIN: &str = "WAL_CORRUPT_CHAIN";
/// The log ends before the entry that its seal names.
pub const WAL_TRUNCATED: &str = "WAL_TRUNCATED";
/// An entry behind the safe point that a seal covers does not hold.
pub const WAL_SEALED_DAMAGED: &str = "WAL_SEALED_DAMAGED";
/// The log holds, but it is not the one that was sealed.
pub const WAL_FORKED: &str = "WAL_FORKED";
/// Another process writes this log.
pub const WAL_LOCKED: &str = "WAL_LOCKED";
/// The file system failed while the log was opened or read.
pub const WAL_IO: &str = "WAL_IO";
/// There is no log in the directory.
pub const WAL_NOT_FOUND: &str = "WAL_NOT_FOUND";
/// A write or a sync failed; nothing more is accepted until the next recovery.
pub const WAL_POISONED: &str = "WAL_POISONED";
/// The disk is full; appends work again when there is room.
pub const WAL_DISK_FULL: &str = "WAL_DISK_FULL";
/// The entry does not fit a frame.
pub const WAL_ENTRY_TOO_LARGE: &str = "WAL_ENTRY_TOO_LARGE";
/// Too many entries wait for the disk.
pub const WAL_OVERLOADED: &str = "WAL_OVERLOADED";
/// The log was closed.
pub const WAL_CLOSED: &str = "WAL_CLOSED";
/// Logged: entries that were never acknowledged were cut off.
pub const WAL_PHANTOM_DISCARDED: &str = "WAL_PHANTOM_DISCARDED";
/// Logged: an operator accepted the loss of the log.
pub const WAL_RESET_BY_OPERATOR: &str = "WAL_RESET_BY_OPERATOR";
/// Logged: an operator had every whole frame taken for committed.
pub const WAL_LEGACY_ADOPTED: &str = "WAL_LEGACY_ADOPTED";
/// Logged: the log was refused.
pub const WAL_RECOVERY_FAIL_HARD: &str = "WAL_RECOVERY_FAIL_HARD";

/// Every code above.
pub const ALL: &[&str] = &[
    SAFESEQ_NOT_FOUND,
    SAFESEQ_CORRUPT,
    SAFESEQ_GT_MAXSEQ,
    FIRST_SEQ_NOT_ONE,
    SEQ_GAP,
    WAL_CORRUPT_INVALID_JSON,
    WAL_CORRUPT_FRAME,
    WAL_CORRUPT_CHAIN,
    WAL_TRUNCATED,
    WAL_SEALED_DAMAGED,
    WAL_FORKED,
    WAL_LOCKED,
    WAL_IO,
    WAL_NOT_FOUND,
    WAL_POISONED,
    WAL_DISK_FULL,
    WAL_ENTRY_TOO_LARGE,
    WAL_OVERLOADED,
    WAL_CLOSED,
    WAL_PHANTOM_DISCARDED,
    WAL_RESET_BY_OPERATOR,
    WAL_LEGACY_ADOPTED,
    WAL_RECOVERY_FAIL_HARD,
];
