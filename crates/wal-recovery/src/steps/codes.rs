//! Every stable code of the step log. They stand in `docs/src/reference/codes.md`.

/// Somebody else writes this step log.
pub const STEPS_LOCKED: &str = "STEPS_LOCKED";
/// The file system failed.
pub const STEPS_IO: &str = "STEPS_IO";
/// A line in the middle of a step log does not hold.
pub const STEPS_CORRUPT: &str = "STEPS_CORRUPT";
/// A step log was written by a later version.
pub const STEPS_NEWER: &str = "STEPS_NEWER";
/// A step log is longer than any that is read.
pub const STEPS_TOO_LONG: &str = "STEPS_TOO_LONG";
/// A write or a sync failed; nothing more is appended until the log is opened again.
pub const STEPS_POISONED: &str = "STEPS_POISONED";
/// The step log was closed.
pub const STEPS_CLOSED: &str = "STEPS_CLOSED";
/// The record is not one that may follow.
pub const STEPS_REFUSED: &str = "STEPS_REFUSED";
/// A plan was committed under the name of another one.
pub const STEPS_PLAN_CONFLICT: &str = "STEPS_PLAN_CONFLICT";
/// A step log is not archived: a plan in it has not ended.
pub const STEPS_NOT_FINALIZED: &str = "STEPS_NOT_FINALIZED";
/// The place of the archive is taken.
pub const STEPS_ARCHIVE_EXISTS: &str = "STEPS_ARCHIVE_EXISTS";
/// The archive is not what was archived.
pub const STEPS_ARCHIVE_DAMAGED: &str = "STEPS_ARCHIVE_DAMAGED";
/// There is no step log.
pub const STEPS_NOT_FOUND: &str = "STEPS_NOT_FOUND";

/// Every code above.
pub const ALL: &[&str] = &[
    STEPS_LOCKED,
    STEPS_IO,
    STEPS_CORRUPT,
    STEPS_NEWER,
    STEPS_TOO_LONG,
    STEPS_POISONED,
    STEPS_CLOSED,
    STEPS_REFUSED,
    STEPS_PLAN_CONFLICT,
    STEPS_NOT_FINALIZED,
    STEPS_ARCHIVE_EXISTS,
    STEPS_ARCHIVE_DAMAGED,
    STEPS_NOT_FOUND,
];
