//! What moves a plan by itself: a planner that reads and decides, and steps without choices.
//!
//! # Table
//!
//! The first row that fits, for a plan that is live:
//!
//! | row | phase     | fact                                    | step                                |
//! |-----|-----------|-----------------------------------------|-------------------------------------|
//! | A   | any       | the record breaks its invariants        | none: the plan is set aside (Q3)    |
//! | B   | any       | its times are ahead of the clock        | reanchor                            |
//! | C   | published | –                                       | none: the first node starts it      |
//! | D   | active    | a gate fails                            | fail, naming the gate               |
//! | E   | active    | every gate passes                       | promote, to a stage or to the end   |
//! | F   | active    | the deadline has passed                 | fail, naming what was missing       |
//! | G   | active    | otherwise                               | none                                |
//!
//! Row E stands before F: a promoter that was down over a deadline does not fail what is healthy.
//!
//! # Invariants
//!
//! * **Q1** Equal inputs give equal steps: no clock, no randomness, no order of arrival.
//! * **Q2** A step holds the generation it was planned for and is refused at any other; a step that
//!   was executed already is not executed again.
//! * **Q3** A plan that cannot be planned stops nobody else.

use serde::{Deserialize, Serialize};

use crate::{
    evidence::Evidence,
    gate::{GateReport, Outcome},
    moment::Moment,
    name::{PlanId, StageId},
    phase::Phase,
    rollout::{Rollout, Stamp, all_passed},
    stage::{Act, ActRefused},
};

/// One change of one plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Of which plan.
    pub plan_id: PlanId,
    /// The generation that was looked at.
    pub generation: u64,
    /// What to do.
    pub step: Step,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The stage is done; go to the stage `then`, or complete the plan.
    Promote {
        /// Which stage.
        stage: StageId,
        /// The one that opens; `None` at the end.
        then: Option<StageId>,
    },
    /// The stage has failed.
    Fail {
        /// Which stage.
        stage: StageId,
        /// Why, for a person.
        because: String,
    },
    /// Times that are ahead of the clock begin now.
    Reanchor,
}

/// A plan that cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// Which.
    pub plan_id: PlanId,
    /// What is wrong, for a person.
    pub why: String,
}

/// The steps of many plans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// At most one a plan, in the order of the plans.
    pub steps: Vec<PlannedStep>,
    /// Plans that were set aside (Q3).
    pub poisoned: Vec<Poison>,
}

/// Plans each of these plans with its evidence.
pub fn plan_all<'a>(
    rollouts: impl IntoIterator<Item = (&'a Rollout, &'a Evidence)>,
    now: Moment,
) -> Planned {
    let mut planned = Planned::default();
    for (rollout, evidence) in rollouts {
        match plan(rollout, evidence, now) {
            Ok(step) => planned.steps.extend(step),
            Err(poison) => planned.poisoned.push(poison),
        }
    }
    planned
}

/// Picks the row of the table for one plan.
///
/// # Errors
///
/// [`Poison`] for row A.
pub fn plan(
    rollout: &Rollout,
    evidence: &Evidence,
    now: Moment,
) -> Result<Option<PlannedStep>, Poison> {
    let plan_id = rollout.id().clone();
    let broken = || Poison {
        plan_id: plan_id.clone(),
        why: "the stored record breaks its own invariants".to_owned(),
    };
    if !rollout.is_sound() {
        return Err(broken());
    }
    if !rollout.phase().is_live() {
        return Ok(None);
    }
    let step =
        |step| PlannedStep { plan_id: plan_id.clone(), generation: rollout.generation(), step };
    if rollout.is_ahead_of(now) {
        return Ok(Some(step(Step::Reanchor)));
    }
    if rollout.phase() == Phase::Published {
        return Ok(None);
    }
    let (Some(stage), Some(begun)) = (rollout.stage(), rollout.state()) else {
        return Err(broken());
    };
    let gates = rollout.gates(rollout.current(), evidence, now);
    let fail = |because: String| Step::Fail { stage: stage.id.clone(), because };
    if let Some(gate) = gates.iter().find(|it| it.outcome == Outcome::Fail) {
        return Ok(Some(step(fail(format!("gate {}: {}", gate.id, gate.detail)))));
    }
    if all_passed(&gates) {
        let then = rollout.plan().stages.get(rollout.current() + 1).map(|it| it.id.clone());
        return Ok(Some(step(Step::Promote { stage: stage.id.clone(), then })));
    }
    if begun.deadline_at.is_none_or(|it| now >= it) {
        let because = format!("deadline passed; {}", unmet(&gates));
        return Ok(Some(step(fail(because))));
    }
    Ok(None)
}

/// The gates that do not pass, for a person.
pub(crate) fn unmet(gates: &[GateReport]) -> String {
    let unmet = gates.iter().filter(|it| it.outcome != Outcome::Pass);
    let texts: Vec<_> = unmet.map(|it| format!("gate {}: {}", it.id, it.detail)).collect();
    texts.join("; ")
}

/// Why a step was not executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotStepped {
    /// It was executed before.
    Repeated,
    /// The plan has changed since it was planned (Q2).
    Stale,
    /// The tables do not allow it.
    Refused(ActRefused),
}

/// Executes a step that was planned for exactly this record (Q2).
///
/// # Errors
///
/// [`NotStepped`]; the record is as it was.
pub fn execute(
    rollout: &Rollout,
    planned: &PlannedStep,
    mut stamp: Stamp,
) -> Result<Rollout, NotStepped> {
    if rollout.last_step() == Some(planned) {
        return Err(NotStepped::Repeated);
    }
    if rollout.generation() != planned.generation || rollout.id() != &planned.plan_id {
        return Err(NotStepped::Stale);
    }
    let at = rollout.current_stage_id();
    let next = match &planned.step {
        Step::Promote { stage, then } => {
            let next = rollout.plan().stages.get(rollout.current() + 1).map(|it| &it.id);
            if at != Some(stage) || next != then.as_ref() {
                return Err(NotStepped::Stale);
            }
            rollout.act(Act::Promote, &stamp).map_err(NotStepped::Refused)?
        }
        Step::Fail { stage, because } => {
            if at != Some(stage) {
                return Err(NotStepped::Stale);
            }
            stamp.reason = Some(because.clone());
            rollout.act(Act::Fail, &stamp).map_err(NotStepped::Refused)?
        }
        Step::Reanchor => rollout.reanchored(&stamp),
    };
    Ok(next.with_last_step(planned.clone()))
}
