//! Appends, one record at a time: what threads share of a step log.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde_json::Value;
use vfs::{File, Lock};
use wal_format::{
    Seq,
    step::{
        Append, Change, FinalizeStatus, PlanCommit, PlanFinalize, StepRecord, StepStatus,
        Transition, cut_text,
    },
};

use super::{
    admit::Written,
    append::{Failure, Inner, StepAppendError},
    fold::Folded,
    state::{PlanState, Plans, StepKey, StepState},
};

/// An open step log. Threads share it by reference.
#[derive(Debug)]
pub struct StepLog {
    path: PathBuf,
    inner: Mutex<Inner>,
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

    /// Says that a human has approved a step that waits, and why: it may begin, and what was observed
    /// before is forgotten.
    ///
    /// # Errors
    ///
    /// [`StepAppendError`].
    pub fn approve(
        &self,
        key: StepKey<'_>,
        reason: &str,
        now: Timestamp,
    ) -> Result<Written, StepAppendError> {
        self.change(key, Change::Pending { reset: false, reason: Some(cut_text(reason)) }, now)
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
        self.change(key, Change::Pending { reset: true, reason: None }, now)
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
