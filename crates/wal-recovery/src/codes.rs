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
/// A file of the log was removed or replaced under the process that writes it.
pub const WAL_FILE_REPLACED: &str = "WAL_FILE_REPLACED";
/// The disk is full; appends work again when there is room.
pub const WAL_DISK_FULL: &str = "WAL_DISK_FULL";
/// The entry does not fit a frame.
pub const WAL_ENTRY_TOO_LARGE: &str = "WAL_ENTRY_TOO_LARGE";
/// Too many entries wait for the disk.
pub const WAL_OVERLOADED: &str = "WAL_OVERLOADED";
/// The log was closed.
pub const WAL_CLOSED: &str = "WAL_CLOSED";
/// Logged: the clock went back between two entries.
pub const WAL_CLOCK_BACKWARDS: &str = "WAL_CLOCK_BACKWARDS";
/// Logged: entries that were never acknowledged were cut off.
pub const WAL_PHANTOM_DISCARDED: &str = "WAL_PHANTOM_DISCARDED";
/// Logged: an operator accepted the loss of the log.
pub const WAL_RESET_BY_OPERATOR: &str = "WAL_RESET_BY_OPERATOR";
/// Logged: an operator had every whole frame taken for committed.
pub const WAL_LEGACY_ADOPTED: &str = "WAL_LEGACY_ADOPTED";
/// Logged: the log was refused.
pub const WAL_RECOVERY_FAIL_HARD: &str = "WAL_RECOVERY_FAIL_HARD";
/// Logged: the log was refused, and the process denies every call instead of ending.
pub const WAL_QUARANTINE: &str = "WAL_QUARANTINE";
/// A switch to a new log was begun and what is there does not fit it.
pub const WAL_SWITCH_BROKEN: &str = "WAL_SWITCH_BROKEN";
/// The log is not archived: entries wait for a consumer.
pub const WAL_NOT_DRAINED: &str = "WAL_NOT_DRAINED";
/// A consumer is at work.
pub const DRAIN_LOCKED: &str = "DRAIN_LOCKED";
/// Another process packs or deletes archived logs.
pub const ARCHIVE_LOCKED: &str = "ARCHIVE_LOCKED";
/// An archived log is not what was archived.
pub const ARCHIVE_DAMAGED: &str = "ARCHIVE_DAMAGED";
/// The log is not repaired: nothing is wrong with it.
pub const WAL_NOT_DAMAGED: &str = "WAL_NOT_DAMAGED";
/// A repair needs a reason.
pub const REPAIR_REASON_MISSING: &str = "REPAIR_REASON_MISSING";
/// There is no seal.
pub const SEAL_NOT_FOUND: &str = "SEAL_NOT_FOUND";
/// The seal is not one, or its signature does not hold.
pub const SEAL_INVALID: &str = "SEAL_INVALID";
/// The seal was made with another key.
pub const SEAL_KEY_MISMATCH: &str = "SEAL_KEY_MISMATCH";
/// The file is no Ed25519 key.
pub const SEAL_KEY_INVALID: &str = "SEAL_KEY_INVALID";
/// The log is not the one that was sealed.
pub const SEAL_CONTRADICTED: &str = "SEAL_CONTRADICTED";
/// Said by a repair: an operator had a damaged log put aside.
pub const WAL_REPAIRED: &str = "WAL_REPAIRED";

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
    WAL_FILE_REPLACED,
    WAL_DISK_FULL,
    WAL_ENTRY_TOO_LARGE,
    WAL_OVERLOADED,
    WAL_CLOSED,
    WAL_CLOCK_BACKWARDS,
    WAL_PHANTOM_DISCARDED,
    WAL_RESET_BY_OPERATOR,
    WAL_LEGACY_ADOPTED,
    WAL_RECOVERY_FAIL_HARD,
    WAL_QUARANTINE,
    WAL_SWITCH_BROKEN,
    WAL_NOT_DRAINED,
    DRAIN_LOCKED,
    ARCHIVE_LOCKED,
    ARCHIVE_DAMAGED,
    WAL_NOT_DAMAGED,
    REPAIR_REASON_MISSING,
    SEAL_NOT_FOUND,
    SEAL_INVALID,
    SEAL_KEY_MISMATCH,
    SEAL_KEY_INVALID,
    SEAL_CONTRADICTED,
    WAL_REPAIRED,
];
