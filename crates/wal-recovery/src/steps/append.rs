//! One record to the disk, in the right order.
//!
//! | step | what                                          | when it fails        |
//! |-----:|-----------------------------------------------|----------------------|
//! |    1 | is the log open, and may the record follow?   | refused, log as it was |
//! |    2 | one write of the whole line                   | poisoned (S2)        |
//! |    3 | one sync                                      | poisoned             |
//! |    4 | does the name still name the file, as long?   | poisoned             |
//! |    5 | the plans in memory follow                    | –                    |

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use thiserror::Error;
use vfs::{File, Lock, write_all_at};
use wal_format::{
    Seq,
    step::{LineError, StepRecord, encode_line},
};

use super::{
    admit::{Refusal, Written, admit},
    codes,
    fold::Counts,
    open::FILE_LEN_MAX,
    state::Plans,
};

/// Longest step log that takes another plan, in bytes. The rest of [`FILE_LEN_MAX`] is for the steps
/// of the plans that it has.
const COMMIT_LEN_MAX: u64 = FILE_LEN_MAX / 2;

/// The end of a step log: one thread at a time.
#[derive(Debug)]
pub(super) struct Inner {
    /// `None` once it was closed.
    pub(super) open: Option<(Arc<dyn File>, Lock)>,
    pub(super) end: u64,
    pub(super) next: Option<Seq>,
    pub(super) plans: Plans,
    pub(super) failure: Option<Failure>,
    pub(super) buffer: Vec<u8>,
}

/// What made the log unusable.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) what: &'static str,
    pub(super) kind: io::ErrorKind,
    pub(super) text: String,
}

impl Inner {
    /// Makes a record durable (S1), or refuses it.
    pub(super) fn append(
        &mut self,
        path: &Path,
        record: StepRecord,
        now: Timestamp,
    ) -> Result<Written, StepAppendError> {
        let file = self.usable(path)?;
        if admit(&self.plans, &record)? == Written::AlreadyThere {
            return Ok(Written::AlreadyThere);
        }
        let seq = self.next.ok_or_else(|| self.full(path))?;
        self.buffer.clear();
        encode_line(&record, seq, now, &mut self.buffer)?;
        let end = self.end + self.buffer.len() as u64;
        let commits = matches!(record, StepRecord::PlanCommit(_));
        if end > if commits { COMMIT_LEN_MAX } else { FILE_LEN_MAX } {
            return Err(self.full(path));
        }

        let written = write_all_at(&*file, &self.buffer, self.end);
        written.map_err(|it| self.poison(path, "write", &it))?;
        file.sync_data().map_err(|it| self.poison(path, "sync", &it))?;
        match file.named_len(path) {
            Ok(Some(len)) if len == end => {}
            Ok(_) => {
                let error = io::Error::other("another file has its name, or another length");
                return Err(self.poison(path, "find again", &error));
            }
            Err(error) => return Err(self.poison(path, "look at", &error)),
        }
        self.end = end;
        self.next = seq.next();
        // It was admitted, so it conflicts with nothing.
        self.plans.apply(record, &mut Counts::default()).ok();
        Ok(Written::New)
    }

    fn usable(&self, path: &Path) -> Result<Arc<dyn File>, StepAppendError> {
        let path = || path.to_owned();
        match (&self.open, &self.failure) {
            (None, _) => Err(StepAppendError::Closed { path: path() }),
            (_, Some(Failure { what, kind, text })) => Err(StepAppendError::Poisoned {
                path: path(),
                what,
                kind: *kind,
                text: text.clone(),
            }),
            (Some((file, _)), None) => Ok(Arc::clone(file)),
        }
    }

    fn full(&self, path: &Path) -> StepAppendError {
        StepAppendError::Full { path: path.to_owned(), len: self.end }
    }

    fn poison(&mut self, path: &Path, what: &'static str, error: &io::Error) -> StepAppendError {
        let (kind, text) = (error.kind(), error.to_string());
        self.failure = Some(Failure { what, kind, text: text.clone() });
        StepAppendError::Io { path: path.to_owned(), what, kind, text }
    }
}

/// Why a record was not appended. Unless it is [`Self::Refused`], [`Self::Full`] or
/// [`Self::Line`], nothing more is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StepAppendError {
    /// The record may not follow.
    #[error("steps: {} — {_0}", _0.code())]
    Refused(#[from] Refusal),
    /// The record is too long.
    #[error("steps: STEPS_REFUSED — {_0}")]
    Line(#[from] LineError),
    /// The file is too long for it.
    #[error("steps: STEPS_TOO_LONG — {} has {len} bytes and takes no more", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// Its length.
        len: u64,
    },
    /// The log was closed.
    #[error("steps: STEPS_CLOSED — {} was closed", path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// The file system failed. Whether the line is on the disk is unknown (S2).
    #[error("steps: STEPS_IO — cannot {what} {}: {text}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was to be done.
        what: &'static str,
        /// Which kind of error.
        kind: io::ErrorKind,
        /// Its text.
        text: String,
    },
    /// The file system failed before.
    #[error("steps: STEPS_POISONED — {} takes no more: it could not {what} ({text})", path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
        /// What could not be done.
        what: &'static str,
        /// Which kind of error.
        kind: io::ErrorKind,
        /// Its text.
        text: String,
    },
}

impl StepAppendError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Line(_) => codes::STEPS_REFUSED,
            Self::Full { .. } => codes::STEPS_TOO_LONG,
            Self::Closed { .. } => codes::STEPS_CLOSED,
            Self::Io { .. } => codes::STEPS_IO,
            Self::Poisoned { .. } => codes::STEPS_POISONED,
        }
    }
}
