//! What to do next. Pure: whoever asks has looked at the log and at the world.
//!
//! The step at the *front* is the first of the plan that is not completed. What to do with it:
//!
//! | status \ verdict | already done | safe to retry | manual review |
//! |------------------|--------------|---------------|---------------|
//! | (none)           | append       | append        | append        |
//! | `pending`        | confirm      | execute       | review        |
//! | `executing`      | unknown      | unknown       | unknown       |
//! | `paused`         | wait         | wait          | wait          |
//! | `needs_review`   | confirm      | wait          | wait          |
//! | `completed`      | –            | –             | –             |
//! | `failed`         | give up      | give up       | give up       |
//! | `abandoned`      | give up      | give up       | give up       |
//!
//! *Append* says that the step is due, and under which key; *execute* calls the tool under the key that is
//! on record (D2); *confirm* completes it as recovered, without a call; *review* asks for a human, and
//! *wait* goes on waiting for one. *Unknown*: it began, and nobody knows more (D5); a recovery comes first.
//! *Give up* ends the plan as failed: what has not begun never does. A completed step is never at the front.
//!
//! Around the steps:
//!
//! | the plan                                      | action                       |
//! |-----------------------------------------------|------------------------------|
//! | is not in the log, which has no orphan        | commit                       |
//! | an orphan is in the log                       | orphans: nothing of it runs  |
//! | another plan in the log has not ended         | wait for that plan: a conflict |
//! | has ended                                     | done                         |
//! | every step is completed                       | finalize as succeeded        |

use wal_format::step::{FinalizeStatus, PlanCommit, StepStatus};
use wal_recovery::steps::{PlanState, Plans, StepState, VerdictKind};

/// What to do with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Do {
    /// Say that it is due.
    Append,
    /// Call its tool.
    Execute,
    /// Complete it as recovered.
    Confirm,
    /// Ask for a human.
    Review,
    /// Wait for the human.
    Wait,
    /// It began, and nobody knows more.
    Unknown,
    /// End the plan as failed.
    GiveUp,
    /// Nothing: it is done.
    Nothing,
}

/// Picks the cell of the table.
pub const fn decide(status: Option<StepStatus>, verdict: VerdictKind) -> Do {
    use StepStatus as S;
    use VerdictKind as V;

    match (status, verdict) {
        (None, _) => Do::Append,
        (Some(S::Pending | S::NeedsReview), V::AlreadyDone) => Do::Confirm,
        (Some(S::Pending), V::SafeToRetry) => Do::Execute,
        (Some(S::Pending), V::ManualReview) => Do::Review,
        (Some(S::NeedsReview), V::SafeToRetry | V::ManualReview) | (Some(S::Paused), _) => Do::Wait,
        (Some(S::Executing), _) => Do::Unknown,
        (Some(S::Failed | S::Abandoned), _) => Do::GiveUp,
        (Some(S::Completed), _) => Do::Nothing,
    }
}

/// Where a plan is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Front<'a> {
    /// Nothing of it is in the log.
    Uncommitted,
    /// The log has steps that nobody committed.
    Orphans,
    /// Another plan of the mandate has not ended.
    Open(&'a PlanState),
    /// It has ended.
    Ended(FinalizeStatus),
    /// Every step is done.
    AllDone,
    /// This step is next.
    Step(&'a StepState),
}

/// What to do next, as a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action<'a> {
    /// Make the plan durable.
    Commit,
    /// Stop: the log has steps that nobody committed.
    Orphans,
    /// Stop: that plan has to end first.
    Conflict(&'a PlanState),
    /// Stop: it has ended.
    Done(FinalizeStatus),
    /// End it.
    Finalize(FinalizeStatus),
    /// Do this with the step.
    Step(&'a StepState, Do),
}

/// Finds out where a plan is.
pub fn front<'a>(commit: &PlanCommit, plans: &'a Plans) -> Front<'a> {
    if plans.orphans() > 0 {
        return Front::Orphans;
    }
    if let Some(open) = plans.not_finalized().find(|it| it.plan_id != commit.plan_id) {
        return Front::Open(open);
    }
    let Some(plan) = plans.plan(&commit.plan_id) else { return Front::Uncommitted };
    if let Some(status) = plan.finalized {
        return Front::Ended(status);
    }
    let next = plan.steps.iter().find(|it| it.status != Some(StepStatus::Completed));
    next.map_or(Front::AllDone, Front::Step)
}

impl<'a> Front<'a> {
    /// Returns what to do. `verdict` is about the step at the front; without one it does not count.
    pub const fn action(self, verdict: VerdictKind) -> Action<'a> {
        match self {
            Self::Uncommitted => Action::Commit,
            Self::Orphans => Action::Orphans,
            Self::Open(plan) => Action::Conflict(plan),
            Self::Ended(status) => Action::Done(status),
            Self::AllDone => Action::Finalize(FinalizeStatus::Succeeded),
            Self::Step(step) => match decide(step.status, verdict) {
                Do::GiveUp => Action::Finalize(FinalizeStatus::Failed),
                what => Action::Step(step, what),
            },
        }
    }
}

#[cfg(test)]
mod tests;
