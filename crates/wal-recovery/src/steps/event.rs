//! What a recovery has to say. Nothing is logged here: the caller says it in its own log.
//!
//! | event                       | severity | details                                  |
//! |-----------------------------|----------|------------------------------------------|
//! | `wal_recovery_torn_tail`    | warn     | `path` `bytes` `moved_to`                 |
//! | `wal_recovery_corrupt_line` | error    | `path` `line` `error`                    |
//! | `wal_recovery_reset_step`   | info     | `path` `plan_id` `step_id`                |
//! | `wal_recovery_file_failed`  | error    | `path` `error`                            |
//! | `wal_recovery_complete`     | info     | `wal_dir` `reset_count`                   |

use std::path::PathBuf;

use serde_json::{Value, json};

/// Who says all of it: the key `source` of every event.
pub const SOURCE: &str = "wal_recovery";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// As intended.
    Info,
    /// Nothing is lost that was promised.
    Warn,
    /// Somebody has to look.
    Error,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryEvent {
    /// A torn line was put aside.
    TornTail {
        /// The log.
        path: PathBuf,
        /// How many bytes.
        bytes: u64,
        /// Where they are now.
        moved_to: PathBuf,
    },
    /// A line does not hold.
    CorruptLine {
        /// The log.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Why.
        error: String,
    },
    /// A step may begin again.
    ResetStep {
        /// The log.
        path: PathBuf,
        /// The plan.
        plan_id: String,
        /// The step.
        step_id: String,
    },
    /// A file was not recovered, or not to its end.
    FileFailed {
        /// The log.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// Every file was looked at.
    Complete {
        /// The directory.
        wal_dir: PathBuf,
        /// How many steps were reset.
        reset_count: u64,
    },
}

impl RecoveryEvent {
    /// Returns its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TornTail { .. } => "wal_recovery_torn_tail",
            Self::CorruptLine { .. } => "wal_recovery_corrupt_line",
            Self::ResetStep { .. } => "wal_recovery_reset_step",
            Self::FileFailed { .. } => "wal_recovery_file_failed",
            Self::Complete { .. } => "wal_recovery_complete",
        }
    }

    /// Returns how bad it is.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::ResetStep { .. } | Self::Complete { .. } => Severity::Info,
            Self::TornTail { .. } => Severity::Warn,
            Self::CorruptLine { .. } | Self::FileFailed { .. } => Severity::Error,
        }
    }

    /// Returns its details as an object.
    pub fn details(&self) -> Value {
        match self {
            Self::TornTail { path, bytes, moved_to } => {
                json!({"path": path.display().to_string(), "bytes": bytes, "moved_to": moved_to.display().to_string()})
            }
            Self::CorruptLine { path, line, error } => {
                json!({"path": path.display().to_string(), "line": line, "error": error})
            }
            Self::ResetStep { path, plan_id, step_id } => {
                json!({"path": path.display().to_string(), "plan_id": plan_id, "step_id": step_id})
            }
            Self::FileFailed { path, error } => {
                json!({"path": path.display().to_string(), "error": error})
            }
            Self::Complete { wal_dir, reset_count } => {
                json!({"wal_dir": wal_dir.display().to_string(), "reset_count": reset_count})
            }
        }
    }
}
