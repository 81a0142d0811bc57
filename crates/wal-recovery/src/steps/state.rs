//! Plans and steps as the lines of a file leave them.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;
use wal_format::step::{FinalizeStatus, PlannedStep, StepStatus};

/// Names a step in a file: two plans may have steps of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepKey<'a> {
    /// The plan.
    pub plan_id: &'a str,
    /// The step in it.
    pub step_id: &'a str,
}

impl fmt::Display for StepKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.step_id, self.plan_id)
    }
}

/// A step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepState {
    /// As it was decided; of an orphan only the id is known.
    pub planned: PlannedStep,
    /// Whether no plan that was committed has it.
    pub orphan: bool,
    /// Where it is; `None` before its first record counts as pending.
    pub status: Option<StepStatus>,
    /// The key under which its effect happens at most once. A retry uses the same.
    pub idem_key: Option<String>,
    /// Whether it has begun since a human last approved it. A reset does not change it (S8).
    pub reached: bool,
    /// The world that was observed when it last began.
    pub observed_pre_hash: Option<String>,
    /// The world after it.
    pub post_hash: Option<String>,
    /// What it returned.
    pub result_hash: Option<String>,
    /// Which kind of error it failed with.
    pub error_class: Option<String>,
    /// The text of that error.
    pub error_msg: Option<String>,
    /// Why it waits.
    pub reason: Option<String>,
    /// What was found out about it.
    pub evidence: Option<Value>,
    /// Whether it was found to be done.
    pub recovered: bool,
}

impl StepState {
    pub(super) fn new(planned: PlannedStep, orphan: bool) -> Self {
        Self {
            planned,
            orphan,
            status: None,
            idem_key: None,
            reached: false,
            observed_pre_hash: None,
            post_hash: None,
            result_hash: None,
            error_class: None,
            error_msg: None,
            reason: None,
            evidence: None,
            recovered: false,
        }
    }

    /// Returns its name.
    pub fn step_id(&self) -> &str {
        &self.planned.step_id
    }

    /// Whether nothing follows.
    pub fn is_final(&self) -> bool {
        self.status.is_some_and(StepStatus::is_final)
    }

    /// Whether it may begin. A step that needs a review is neither this nor final.
    pub fn is_pending(&self) -> bool {
        matches!(self.status, None | Some(StepStatus::Pending))
    }
}

/// A plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanState {
    /// Its name.
    pub plan_id: String,
    /// Whose it is; `unknown` for an orphan.
    pub mandate_id: String,
    /// Its cycle; an orphan has none.
    pub cycle: Option<u64>,
    /// Hash of its steps; an orphan has none.
    pub plan_hash: Option<String>,
    /// Its steps, in order.
    pub steps: Vec<StepState>,
    /// How it ended, if it has.
    pub finalized: Option<FinalizeStatus>,
    /// Why it was given up, or that it is an orphan.
    pub finalize_reason: Option<String>,
}

impl PlanState {
    /// Whether its commit is not in the file. Nothing of it is executed (S9).
    pub fn is_orphan(&self) -> bool {
        self.plan_hash.is_none()
    }

    /// Finds a step.
    pub fn step(&self, step_id: &str) -> Option<&StepState> {
        self.steps.iter().find(|it| it.step_id() == step_id)
    }
}

/// The plans of a file, in the order in which they were committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plans {
    list: Vec<PlanState>,
    by_plan: BTreeMap<String, usize>,
    /// Where steps of a name are, in the order of their plans.
    by_step: BTreeMap<String, Vec<(usize, usize)>>,
}

impl Plans {
    /// All of them.
    pub fn all(&self) -> &[PlanState] {
        &self.list
    }

    /// Those that have not ended.
    pub fn not_finalized(&self) -> impl Iterator<Item = &PlanState> {
        self.list.iter().filter(|it| it.finalized.is_none())
    }

    /// Finds a plan.
    pub fn plan(&self, plan_id: &str) -> Option<&PlanState> {
        self.list.get(*self.by_plan.get(plan_id)?)
    }

    /// Finds a step and its plan.
    pub fn step(&self, key: StepKey<'_>) -> Option<(&PlanState, &StepState)> {
        let (plan, step) = self.place(Some(key.plan_id), key.step_id)?;
        let plan = self.list.get(plan)?;
        Some((plan, plan.steps.get(step)?))
    }

    /// Steps that are executing in plans that have not ended: what a recovery resets (S7).
    pub fn interrupted(&self) -> impl Iterator<Item = StepKey<'_>> {
        self.not_finalized().flat_map(|plan| {
            let executing = plan.steps.iter().filter(|it| it.status == Some(StepStatus::Executing));
            executing.map(|it| StepKey { plan_id: &plan.plan_id, step_id: it.step_id() })
        })
    }

    /// How many plans that have not ended have steps that nobody committed.
    pub fn orphans(&self) -> u64 {
        let orphaned =
            self.not_finalized().filter(|it| it.is_orphan() || it.steps.iter().any(|it| it.orphan));
        orphaned.count() as u64
    }

    /// Finds a step for a change. A line without a plan is about the latest plan with such a step.
    pub(super) fn step_mut(
        &mut self,
        plan_id: Option<&str>,
        step_id: &str,
    ) -> Option<&mut StepState> {
        let (plan, step) = self.place(plan_id, step_id)?;
        self.list.get_mut(plan)?.steps.get_mut(step)
    }

    pub(super) fn plan_mut(&mut self, plan_id: &str) -> Option<&mut PlanState> {
        self.list.get_mut(*self.by_plan.get(plan_id)?)
    }

    /// Adds a plan of a new name.
    pub(super) fn add_plan(&mut self, plan: PlanState) {
        let at = self.list.len();
        for (step, state) in plan.steps.iter().enumerate() {
            self.by_step.entry(state.step_id().to_owned()).or_default().push((at, step));
        }
        self.by_plan.insert(plan.plan_id.clone(), at);
        self.list.push(plan);
    }

    /// Adds a step to a plan that is there.
    pub(super) fn add_step(&mut self, plan_id: &str, step: StepState) {
        let Some(at) = self.by_plan.get(plan_id).copied() else { return };
        let Some(plan) = self.list.get_mut(at) else { return };
        let places = self.by_step.entry(step.step_id().to_owned()).or_default();
        places.push((at, plan.steps.len()));
        plan.steps.push(step);
    }

    fn place(&self, plan_id: Option<&str>, step_id: &str) -> Option<(usize, usize)> {
        let places = self.by_step.get(step_id)?;
        match plan_id {
            None => places.last().copied(),
            Some(plan_id) => {
                let plan = *self.by_plan.get(plan_id)?;
                places.iter().rev().find(|it| it.0 == plan).copied()
            }
        }
    }
}
