//! Why an operation did not happen.

use std::path::PathBuf;

use thiserror::Error;

use crate::{
    criteria::CriterionError, eval::EvalError, gate::GateError, lock::LockError,
    resume::ResumeError, retry::RetryQueueError, store::StoreError, tentacle::NameError,
};

/// Why an operation did not happen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpError {
    /// The goal was not read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No eval was made.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The goal was not resumed.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// Nothing was said about a gate.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// A criterion was refused.
    #[error(transparent)]
    Criterion(#[from] CriterionError),
    /// A name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A file beside the goal is not what it should be.
    #[error("{} cannot be read: {source}", .path.display())]
    Meta {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The retry queue is not what it should be.
    #[error("{} cannot be read: {source}", .path.display())]
    Queue {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: RetryQueueError,
    },
    /// There is no such tentacle.
    #[error("there is no tentacle `{name}`")]
    NoTentacle {
        /// Its name.
        name: String,
    },
    /// There is one already.
    #[error("there is a tentacle `{name}` already")]
    TentacleExists {
        /// Its name.
        name: String,
    },
    /// Another goal was begun meanwhile.
    #[error("another goal stands here now: {found}")]
    Replaced {
        /// Its identity.
        found: String,
    },
    /// A file stands where one of a new tentacle would be written.
    #[error("{} is there, and no tentacle made it", .path.display())]
    FileExists {
        /// The file.
        path: PathBuf,
    },
    /// A file would become longer than what is read of it; nothing was written.
    #[error("{} would have {len} bytes, more than {limit}", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// It has not said how it ended.
    #[error("tentacle `{name}` has no handoff")]
    NoHandoff {
        /// Its name.
        name: String,
    },
    /// Checks of its work failed.
    #[error("tentacle `{name}` failed its checks: {}", .labels.join(", "))]
    ChecksFailed {
        /// Its name.
        name: String,
        /// The checks.
        labels: Vec<String>,
    },
}

impl From<LockError> for OpError {
    fn from(error: LockError) -> Self {
        Self::Store(error.into())
    }
}

impl OpError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Eval(error) => error.code(),
            Self::Resume(error) => error.code(),
            Self::Gate(error) => error.code(),
            Self::Criterion(error) => error.code(),
            Self::Name(_) => NameError::CODE,
            Self::Meta { .. } => "GOAL_FILE_CORRUPT",
            Self::Queue { source, .. } => source.code(),
            Self::NoTentacle { .. } => "GOAL_NO_TENTACLE",
            Self::TentacleExists { .. } => "GOAL_TENTACLE_EXISTS",
            Self::Replaced { .. } => "GOAL_REPLACED",
            Self::FileExists { .. } => "GOAL_FILE_EXISTS",
            Self::Full { .. } => "GOAL_FILE_FULL",
            Self::NoHandoff { .. } => "GOAL_NO_HANDOFF",
            Self::ChecksFailed { .. } => "GOAL_CHECKS_FAILED",
        }
    }
}
