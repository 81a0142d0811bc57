//! What may be written next.
//!
//! A record that is there already is not written again: whoever is not sure whether it was, after a
//! crash, says it once more.

use thiserror::Error;
use wal_format::step::{
    Append, Change, FinalizeStatus, PlanCommit, PlanError, PlanFinalize, StepRecord, StepStatus,
    Transition,
};

use super::{
    codes,
    machine::{StepEvent, next_status},
    state::{PlanState, Plans, StepKey, StepState},
};

/// Whether a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is durable now.
    New,
    /// It was before.
    AlreadyThere,
}

/// Judges a record.
pub(super) fn admit(plans: &Plans, record: &StepRecord) -> Result<Written, Refusal> {
    match record {
        StepRecord::PlanCommit(it) => commit(plans, it),
        StepRecord::Append(it) => append(plans, it),
        StepRecord::Transition(it) => transition(plans, it),
        StepRecord::PlanFinalize(it) => finalize(plans, it),
    }
}

fn commit(plans: &Plans, commit: &PlanCommit) -> Result<Written, Refusal> {
    commit.check()?;
    match plans.plan(&commit.plan_id) {
        None => Ok(Written::New),
        Some(there) if there.plan_hash.as_ref() == Some(&commit.plan_hash) => {
            Ok(Written::AlreadyThere)
        }
        Some(_) => Err(Refusal::PlanConflict { plan_id: commit.plan_id.clone() }),
    }
}

fn append(plans: &Plans, append: &Append) -> Result<Written, Refusal> {
    let (plan, step) = find(plans, append.plan_id.as_deref(), &append.step_id)?;
    let place = Place::of(plan, step);
    if step.orphan {
        return Err(Refusal::Orphan { place });
    }
    let key = append.idem_key.as_deref().filter(|it| !it.is_empty());
    let key = key.ok_or_else(|| Refusal::Missing { place: place.clone(), key: "idem_key" })?;
    match (step.status, step.idem_key.as_deref()) {
        (Some(StepStatus::Pending), Some(there)) if there == key => Ok(Written::AlreadyThere),
        (from, _) => match next_status(from, StepEvent::Append) {
            Some(_) => Ok(Written::New),
            None => Err(Refusal::Status { place, from, event: StepEvent::Append }),
        },
    }
}

fn transition(plans: &Plans, transition: &Transition) -> Result<Written, Refusal> {
    let Transition { step_id, plan_id, change } = transition;
    let (plan, step) = find(plans, plan_id.as_deref(), step_id)?;
    let (place, event) = (Place::of(plan, step), StepEvent::of(change));
    if event == StepEvent::Abandon || next_status(step.status, event).is_none() {
        return Err(Refusal::Status { place, from: step.status, event });
    }
    match change {
        // S9
        Change::Executing { .. } if step.orphan => Err(Refusal::Orphan { place }),
        // Without it nobody could tell a step that has begun from one that has not.
        Change::Executing { pre_hash } if pre_hash.as_deref().unwrap_or_default().is_empty() => {
            Err(Refusal::Missing { place, key: "pre_hash" })
        }
        Change::Completed { evidence: None, .. }
            if step.status == Some(StepStatus::NeedsReview) =>
        {
            Err(Refusal::Missing { place, key: "evidence" })
        }
        _ => Ok(Written::New),
    }
}

fn finalize(plans: &Plans, finalize: &PlanFinalize) -> Result<Written, Refusal> {
    let PlanFinalize { plan_id, status, reason } = finalize;
    let plan = plans
        .plan(plan_id)
        .ok_or_else(|| Refusal::UnknownPlan { plan_id: Some(plan_id.clone()) })?;
    let abandoned = *status == FinalizeStatus::Abandoned;
    match plan.finalized {
        Some(there) if there == *status => Ok(Written::AlreadyThere),
        Some(_) => Err(Refusal::PlanEnded { plan_id: plan_id.clone() }),
        None if abandoned && reason.as_deref().unwrap_or_default().is_empty() => {
            Err(Refusal::ReasonMissing { plan_id: plan_id.clone() })
        }
        None if plan.is_orphan() && !abandoned => {
            Err(Refusal::OrphanPlan { plan_id: plan_id.clone() })
        }
        None if *status == FinalizeStatus::Succeeded => match executing(plan) {
            Some(step) => Err(Refusal::StillExecuting { place: Place::of(plan, step) }),
            None => Ok(Written::New),
        },
        None => Ok(Written::New),
    }
}

/// A step of which nobody knows more than that it began: no plan with one has succeeded.
fn executing(plan: &PlanState) -> Option<&StepState> {
    plan.steps.iter().find(|it| it.status == Some(StepStatus::Executing))
}

fn find<'a>(
    plans: &'a Plans,
    plan_id: Option<&str>,
    step_id: &str,
) -> Result<(&'a PlanState, &'a StepState), Refusal> {
    let unknown = || Refusal::UnknownPlan { plan_id: plan_id.map(str::to_owned) };
    let plan_id = plan_id.ok_or_else(unknown)?;
    let plan = plans.plan(plan_id).ok_or_else(unknown)?;
    if plan.finalized.is_some() {
        return Err(Refusal::PlanEnded { plan_id: plan_id.to_owned() });
    }
    plans.step(StepKey { plan_id, step_id }).ok_or_else(|| Refusal::UnknownStep {
        place: Place { plan_id: plan_id.to_owned(), step_id: step_id.to_owned() },
    })
}

/// A step that a refusal is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The plan.
    pub plan_id: String,
    /// The step.
    pub step_id: String,
}

impl Place {
    fn of(plan: &PlanState, step: &StepState) -> Self {
        Self { plan_id: plan.plan_id.clone(), step_id: step.step_id().to_owned() }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        StepKey { plan_id: &self.plan_id, step_id: &self.step_id }.fmt(f)
    }
}

/// Why a record may not be written. The log is as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The plan is none.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Another plan has this name.
    #[error("plan_id={plan_id} is committed with another plan_hash")]
    PlanConflict {
        /// The name.
        plan_id: String,
    },
    /// No such plan was committed.
    #[error("no plan {} was committed", plan_id.as_deref().unwrap_or("(none)"))]
    UnknownPlan {
        /// The name that was given.
        plan_id: Option<String>,
    },
    /// The plan has no such step.
    #[error("there is no step {place}")]
    UnknownStep {
        /// Which.
        place: Place,
    },
    /// The plan has ended.
    #[error("the plan {plan_id} has ended")]
    PlanEnded {
        /// Its name.
        plan_id: String,
    },
    /// The step is of no plan that was committed.
    #[error("the step {place} is an orphan: its plan was never committed")]
    Orphan {
        /// Which.
        place: Place,
    },
    /// The plan was never committed, so it can only be given up.
    #[error("the plan {plan_id} was never committed, it can only be abandoned")]
    OrphanPlan {
        /// Its name.
        plan_id: String,
    },
    /// The table of statuses has no such cell.
    #[error("the step {place} is {}, it cannot {event}", from.map_or("new", StepStatus::as_str))]
    Status {
        /// Which.
        place: Place,
        /// Where it is.
        from: Option<StepStatus>,
        /// What was to happen.
        event: StepEvent,
    },
    /// A key of the record has to have a value.
    #[error("the step {place} needs {key}")]
    Missing {
        /// Which.
        place: Place,
        /// The key.
        key: &'static str,
    },
    /// A plan has not succeeded while a step of it has begun and has no outcome.
    #[error("the step {place} is executing, so its plan has not succeeded")]
    StillExecuting {
        /// Which.
        place: Place,
    },
    /// A plan is given up for a reason.
    #[error("the plan {plan_id} is abandoned without a reason")]
    ReasonMissing {
        /// Its name.
        plan_id: String,
    },
}

impl Refusal {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PlanConflict { .. } => codes::STEPS_PLAN_CONFLICT,
            _ => codes::STEPS_REFUSED,
        }
    }
}
