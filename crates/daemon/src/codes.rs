//! Every stable code of this crate. They stand in `docs/src/reference/codes.md`.

/// Another daemon, or a command that changes step logs, has the directory.
pub const DAEMON_LOCKED: &str = "DAEMON_LOCKED";
/// What has the name of the lock is none, and stays as it is.
pub const DAEMON_LOCK_INVALID: &str = "DAEMON_LOCK_INVALID";
/// The directory of the daemon cannot be used.
pub const DAEMON_IO: &str = "DAEMON_IO";
/// The plan file is none.
pub const PLAN_FILE_BAD: &str = "PLAN_FILE_BAD";
/// A file system error while the plan file is read.
pub const PLAN_FILE_IO: &str = "PLAN_FILE_IO";
/// An earlier plan of the mandate has not ended.
pub const PLAN_OPEN: &str = "PLAN_OPEN";
/// The runtime does not answer; nothing was begun.
pub const RUNTIME_UNREACHABLE: &str = "RUNTIME_UNREACHABLE";
/// The answer to a call was lost: whether the step is done is not known.
pub const STEP_OUTCOME_UNKNOWN: &str = "STEP_OUTCOME_UNKNOWN";
/// A call of an earlier process may still be running.
pub const STEP_STILL_RUNNING: &str = "STEP_STILL_RUNNING";

/// Every code above.
pub const ALL: &[&str] = &[
    DAEMON_LOCKED,
    DAEMON_LOCK_INVALID,
    DAEMON_IO,
    PLAN_FILE_BAD,
    PLAN_FILE_IO,
    PLAN_OPEN,
    RUNTIME_UNREACHABLE,
    STEP_OUTCOME_UNKNOWN,
    STEP_STILL_RUNNING,
];
