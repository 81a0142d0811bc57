//! Appends, one durable line at a time.
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
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde_json::Value;
use thiserror::Error;
use vfs::{File, Lock, write_all_at};
use wal_format::{
    Seq,
    step::{
        Append, Change, FinalizeStatus, LineError, PlanCommit, PlanFinalize, StepRecord,
        StepStatus, Transition, cut_text, encode_line,
    },
};

use super::{
    admit::{Refusal, Written, admit},
    codes,
    fold::{Counts, Folded},
    open::FILE_LEN_MAX,
    state::{PlanState, Plans, StepKey, StepState},
};

/// Longest step log that takes another plan, in bytes. The rest of [`FILE_LEN_MAX`] is for the steps
/// of the plans that it has.
const COMMIT_LEN_MAX: u64 = FILE_LEN_MAX / 2;

/// An open step log. Threads share it by reference.
#[derive(Debug)]
pub struct StepLog {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `None` once it was closed.
    open: Option<(Arc<dyn File>, Lock)>,
    end: u64,
    next: Option<Seq>,
    plans: Plans,
    failure: Option<Failure>,
    buffer: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Failure {
    what: &'static str,
    kind: io::ErrorKind,
    text: String,
}

/// What is known of a step that is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Completion {
    /// The world after it.
    pub post_hash: Option<String>,
    /// What it returned.
    pub result_hash: Option<String>,
    /// Whether it was found to be done and not done now.
    pub recovered: bool,
    /// What shows it.
    pub evidence: Option<Value>,
}

impl StepLog {
    pub(super) fn start(
        path: PathBuf,
        open: (Arc<dyn File>, Lock),
        end: u64,
        found: &Folded,
    ) -> Self {
        let inner = Inner {
            open: Some(open),
            end,
            next: found.last.map_or(Some(Seq::FIRST), Seq::next),
            plans: found.plans.clone(),
            failure: None,
            buffer: Vec::new(),
        };
        Self { path, inner: Mutex::new(inner) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A copy of its plans as they are now.
    pub fn plans(&self) -> Plans {
        self.inner().plans.clone()
    }

    /// A copy of the plans that have not ended.
    pub fn plans_not_finalized(&self) -> Vec<PlanState> {
        self.inner().plans.not_finalized().cloned().collect()
    }

    /// A copy of a step as it is now.
    pub fn step(&self, key: StepKey<'_>) -> Option<StepState> {
        self.inner().plans.step(key).map(|it| it.1.clone())
    }

    /// Makes a plan durable, before anything of it begins.
    ///
    /// # Errors
    ///
    /// [`StepAppendError`].
    pub fn commit_plan(
        &self,
        plan: &PlanCommit,
        now: Timestamp,
    ) -> Result<Written, StepAppendError> {
        self.append(StepRecord::PlanCommit(plan.clone()), now)
    }

    /// Says that a step is due, and under which key its effect happens at most once.
    ///
    /// # Errors
    ///
    /// [`StepAppendError`].
    pub fn append_pending(
        &self,
        key: StepKey<'_>,
        idem_key: &str,
        now: Timestamp,
    ) -> Result<Written, StepAppendError> {
        let append = Append {
            step_id: key.step_id.to_owned(),
            plan_id: Some(key.plan_id.to_owned()),
            idem_key: Some(idem_key.to_owned()),
            status: StepStatus::Pending,
        };
        self.append(StepRecord::Append(append), now)
    }

    /// Says that a step begins, and what the world looked like. Only after `Ok` it may begin.
    ///
    /// # Errors
    ///
    /// [`StepAppendError`]; the step must not run then.
    pub fn mark_executing(
        &self,
        key: StepKey<'_>,
        observed_pre_hash: &str,
        now: Timestamp,
    ) -> Result<Written, StepAppendError> {
        self.change(key, Change::Executing { pre_hash: Some(observed_pre_hash.to_owned()) }, now)
    }

    /// Says that a step is done, or was found to be.
    ///
    /// # Errors
    ///
    /// [`StepAppendError`]; a human who attests a step that needs a review has to give evidence.
    pub fn mark_completed(
        &self,
        key: StepKey<'_>,
        done: Completion,
        now: Timestamp,
    ) -> Result<Written, StepAppendError> {
        let Completion { post_hash, result_hash, recovered, evidence } = done;
        let recovered = recovered.then_some(true);
        self.change(key, Change::Completed { post_hash, result_hash, recovered, evidence }, now)
    }

    /// Says that a step went wrong. The message is cut.
    ///
    /// # Errors
    ///
    /// [`StepAppendError`].
    pub fn mark_failed(
        &self,
        key: StepKey<'_>,
        error_class: &str,
        error_msg: &str,
        now: Timestamp,
    ) -> Result<Written, StepAppendError> {
        let change = Change::Failed {
            error_class: Some(cut_text(error_class)),
            error_msg: Some(cut_text(error_msg)),
        };
        self.change(key, change, now)
    }

    /// Says that a human has to find out what happened.
    ///
    /// # Errors
    ///
    /// [`StepAppendError`].
    pub fn mark_needs_review(
        &self,
        key: StepKey<'_>,
        reason: &str,
        evidence: Option<Value>,
        now: Timestamp,
    ) -> Result<Written, StepAppendError> {
        self.change(key, Change::NeedsReview { reason: Some(cut_text(reason)), evidence }, now)
    }

    /// Says that a step waits for an approval.
    ///
    /// # Errors
    ///
    /// [`StepAppendError`].
    pub fn mark_paused(
        &self,
        key: StepKey<'_>,
        reason: &str,
        now: Timestamp,
    ) -> Result<Written, StepAppendError> {
        self.change(key, Change::Paused { reason: Some(cut_text(reason)) }, now)
    }

    /// Says that a human has approved a step that waits: it may begin, and what was observed before is
    /// forgotten.
    ///
    /// # Errors
    ///
    /// [`StepAppendError`].
    pub fn approve(&self, key: StepKey<'_>, now: Timestamp) -> Result<Written, StepAppendError> {
        self.change(key, Change::Pending { reset: false }, now)
    }

    /// Says that nobody executes a step any more. For recoveries: whoever calls it knows that the
    /// process that ran the step is gone.
    ///
    /// # Errors
    ///
    /// [`StepAppendError`].
    pub fn reset_to_pending(
        &self,
        key: StepKey<'_>,
        now: Timestamp,
    ) -> Result<Written, StepAppendError> {
        self.change(key, Change::Pending { reset: true }, now)
    }

    /// Ends a plan, for good.
    ///
    /// # Errors
    ///
    /// [`StepAppendError`].
    pub fn finalize_plan(
        &self,
        plan_id: &str,
        status: FinalizeStatus,
        now: Timestamp,
    ) -> Result<Written, StepAppendError> {
        let plan_id = plan_id.to_owned();
        self.append(StepRecord::PlanFinalize(PlanFinalize { plan_id, status, reason: None }), now)
    }

    /// Gives a plan up.
    ///
    /// # Errors
    ///
    /// [`StepAppendError`].
    pub fn abandon_plan(
        &self,
        plan_id: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Written, StepAppendError> {
        let finalize = PlanFinalize {
            plan_id: plan_id.to_owned(),
            status: FinalizeStatus::Abandoned,
            reason: Some(cut_text(reason)),
        };
        self.append(StepRecord::PlanFinalize(finalize), now)
    }

    /// Gives up the file and its lock. Everything that was answered is durable; a second call does
    /// nothing.
    pub fn close(&self) {
        self.inner().open = None;
    }

    fn change(
        &self,
        key: StepKey<'_>,
        change: Change,
        now: Timestamp,
    ) -> Result<Written, StepAppendError> {
        let transition = Transition {
            step_id: key.step_id.to_owned(),
            plan_id: Some(key.plan_id.to_owned()),
            change,
        };
        self.append(StepRecord::Transition(transition), now)
    }

    fn append(&self, record: StepRecord, now: Timestamp) -> Result<Written, StepAppendError> {
        self.inner().append(&self.path, record, now)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| {
            let mut inner = PoisonError::into_inner(poisoned);
            // What that thread has written is unknown, as after a failed write.
            inner.failure.get_or_insert_with(|| Failure {
                what: "finish an append",
                kind: io::ErrorKind::Other,
                text: "a thread ended inside it".to_owned(),
            });
            inner
        })
    }
}

impl Inner {
    fn append(
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
