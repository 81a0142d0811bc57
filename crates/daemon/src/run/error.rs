//! Why a run did not come to its end.

use std::{io, path::PathBuf};

use thiserror::Error;
use wal_format::step::NameError;
use wal_recovery::steps::{ArchiveStepsError, FileError, StepAppendError, StepOpenError};

use crate::{codes, place::PlaceError, port::Unreachable};

/// Why a run did not come to its end. What was recorded stands.
#[derive(Debug, Error)]
pub enum RunError {
    /// The place of the directory is not ours.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The mandate names no file.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The log of the mandate was left alone by the recovery: nothing of it is run.
    #[error("the mandate is not run: {error}")]
    NotRecovered {
        /// The log.
        path: PathBuf,
        /// Why.
        error: FileError,
    },
    /// The log does not open.
    #[error(transparent)]
    Open(#[from] StepOpenError),
    /// A record was not written, so what it is about was not done (D1).
    #[error(transparent)]
    Append(#[from] StepAppendError),
    /// An earlier plan of the mandate has not ended.
    #[error("the plan {plan_id} of this mandate has not ended")]
    Conflict {
        /// Which.
        plan_id: String,
    },
    /// The runtime does not answer; no step was begun.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// A step began, and its answer is lost (D5).
    #[error("whether the step {step_id} is done is not known: {why}")]
    Unknown {
        /// Which.
        step_id: String,
        /// What happened to the answer.
        why: String,
    },
    /// A call of an earlier process may still be running (D3).
    #[error("the step {step_id} began before, and its call may still be running")]
    StillRunning {
        /// Which.
        step_id: String,
    },
    /// The plan has ended, and its log was not archived.
    #[error(transparent)]
    Archive(#[from] ArchiveStepsError),
    /// The directory cannot be looked at.
    #[error("cannot look at {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl RunError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Place(error) => error.code(),
            Self::Name(_) => codes::PLAN_FILE_BAD,
            Self::NotRecovered { error, .. } => error.code(),
            Self::Open(error) => error.code(),
            Self::Append(error) => error.code(),
            Self::Conflict { .. } => codes::PLAN_OPEN,
            Self::Unreachable(_) => codes::RUNTIME_UNREACHABLE,
            Self::Unknown { .. } => codes::STEP_OUTCOME_UNKNOWN,
            Self::StillRunning { .. } => codes::STEP_STILL_RUNNING,
            Self::Archive(error) => error.code(),
            Self::Io { .. } => codes::DAEMON_IO,
        }
    }
}
