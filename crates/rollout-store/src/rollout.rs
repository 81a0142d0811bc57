//! A plan with its life: what a store keeps.
//!
//! # Invariants
//!
//! * **O1** The phase of a plan and of its stages changes only through [`Life::apply`].
//! * **O2** Each change raises the generation by one.
//! * **O3** The time of a pause does not count towards a deadline. It does count towards a soak: nodes
//!   that were activated keep running.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    evidence::Evidence,
    gate::{Facts, GateReport, Outcome, Ruling, Verdict, evaluate},
    moment::Moment,
    name::{Actor, GateId, PlanId, Reason, StageId},
    phase::Phase,
    plan::{Gate, Plan, PlanDigest, PlanRequest, Stage, Warning},
    promote::PlannedStep,
    stage::{Act, ActRefused, Life, StagePhase},
};

/// How far ahead of the clock a stored time may be before it is taken for a clock that was wrong.
pub const CLOCK_SKEW_SECONDS_MAX: u64 = 300;

/// A stored plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    plan: Plan,
    digest: PlanDigest,
    initial_phase: Phase,
    warnings: Vec<Warning>,
    phase: Phase,
    current: usize,
    stages: Vec<StageState>,
    attempt: u32,
    generation: u64,
    created_at: Moment,
    created_by: Actor,
    updated_at: Moment,
    promoted_at: Option<Moment>,
    paused_at: Option<Moment>,
    changed_by: Actor,
    reason: Option<String>,
    last_step: Option<PlannedStep>,
}

/// The life of one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageState {
    /// Where it is.
    pub phase: StagePhase,
    /// When it was opened last.
    pub entered_at: Option<Moment>,
    /// When it fails.
    pub deadline_at: Option<Moment>,
    /// What people said about its gates.
    pub rulings: BTreeMap<GateId, Ruling>,
}

/// Who changes a plan, when and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When.
    pub now: Moment,
    /// Who.
    pub by: Actor,
    /// Why.
    pub reason: Option<String>,
}

impl Stamp {
    /// A change without a reason.
    pub const fn new(now: Moment, by: Actor) -> Self {
        Self { now, by, reason: None }
    }

    /// The same with the reason of a person.
    #[must_use]
    pub fn because(mut self, reason: Option<&Reason>) -> Self {
        self.reason = reason.map(|it| it.as_str().to_owned());
        self
    }
}

impl Rollout {
    /// A plan that begins.
    pub fn begin(request: PlanRequest, now: Moment, by: Actor) -> Self {
        let pending = StageState {
            phase: StagePhase::Pending,
            entered_at: None,
            deadline_at: None,
            rulings: BTreeMap::new(),
        };
        Self {
            digest: request.plan.digest(),
            stages: vec![pending; request.plan.stages.len()],
            plan: request.plan,
            initial_phase: request.initial_phase,
            warnings: request.warnings,
            phase: request.initial_phase,
            current: 0,
            attempt: 1,
            generation: 1,
            created_at: now,
            created_by: by.clone(),
            updated_at: now,
            promoted_at: None,
            paused_at: None,
            changed_by: by,
            reason: None,
            last_step: None,
        }
    }

    /// The same plan after an act. Publishing what is published gives an equal one.
    ///
    /// # Errors
    ///
    /// [`ActRefused`] when the tables do not allow it.
    pub fn act(&self, act: Act, stamp: &Stamp) -> Result<Self, ActRefused> {
        let life = self.life().apply(act)?;
        if act == Act::Publish && life.phase == self.phase {
            return Ok(self.clone());
        }
        let mut next = self.changed(stamp);
        next.phase = life.phase;
        next.current = life.current;
        for (state, phase) in next.stages.iter_mut().zip(life.stages) {
            state.phase = phase;
        }
        let now = stamp.now;
        match act {
            Act::Pause => next.paused_at = Some(now),
            Act::Resume => next.postpone_deadline(now),
            Act::Start => next.restart_clock(now),
            Act::Retry => {
                next.attempt = next.attempt.saturating_add(1);
                next.restart_clock(now);
                if let Some(state) = next.stages.get_mut(self.current) {
                    state.rulings.retain(|_, it| it.verdict == Verdict::Approved);
                }
            }
            Act::Promote | Act::SkipFailed => {
                next.promoted_at = Some(now);
                if next.current != self.current {
                    next.restart_clock(now);
                }
            }
            Act::Publish | Act::Cancel | Act::Rollback | Act::Halt | Act::Fail => {}
        }
        if act != Act::Pause {
            next.paused_at = None;
        }
        Ok(next)
    }

    fn changed(&self, stamp: &Stamp) -> Self {
        let mut next = self.clone();
        next.generation = next.generation.saturating_add(1);
        next.updated_at = stamp.now;
        next.changed_by = stamp.by.clone();
        next.reason.clone_from(&stamp.reason);
        next.last_step = None;
        next
    }

    fn restart_clock(&mut self, now: Moment) {
        let seconds = self.stage().map(|it| it.deadline_seconds);
        if let Some(state) = self.stages.get_mut(self.current) {
            state.entered_at = Some(now);
            state.deadline_at = seconds.map(|it| now.plus_seconds(it.into()));
        }
    }

    /// O3.
    fn postpone_deadline(&mut self, now: Moment) {
        let paused_at = self.paused_at;
        if let Some(state) = self.stages.get_mut(self.current)
            && let (Some(deadline), Some(paused_at)) = (state.deadline_at, paused_at)
        {
            state.deadline_at = Some(deadline.shifted(paused_at, now));
        }
    }

    /// The same plan with times that are not ahead of the clock.
    pub(crate) fn reanchored(&self, stamp: &Stamp) -> Self {
        let mut next = self.changed(stamp);
        next.promoted_at = next.promoted_at.map(|it| it.min(stamp.now));
        if next.phase == Phase::Active {
            next.restart_clock(stamp.now);
        }
        next
    }

    /// The same plan with a word of a person about a gate.
    pub(crate) fn ruled(&self, stage: usize, gate: GateId, ruling: Ruling, stamp: &Stamp) -> Self {
        // Who stopped the plan and why stays: a word about a gate is kept with the gate.
        let mut next = self.disturbed();
        next.updated_at = stamp.now;
        next.last_step = None;
        if let Some(state) = next.stages.get_mut(stage) {
            state.rulings.insert(gate, ruling);
        }
        next
    }

    /// The same plan under a new generation, so that steps that were planned before are refused.
    pub(crate) fn disturbed(&self) -> Self {
        let mut next = self.clone();
        next.generation = next.generation.saturating_add(1);
        next
    }

    pub(crate) fn with_last_step(mut self, step: PlannedStep) -> Self {
        self.last_step = Some(step);
        self
    }

    /// The phases, for the tables.
    pub fn life(&self) -> Life {
        let stages = self.stages.iter().map(|it| it.phase).collect();
        Life { phase: self.phase, stages, current: self.current }
    }

    /// Whether the record is one that this module can have made.
    pub fn is_sound(&self) -> bool {
        let dated = |it: &StageState| {
            it.phase != StagePhase::Open || (it.entered_at.is_some() && it.deadline_at.is_some())
        };
        self.stages.len() == self.plan.stages.len()
            && self.digest == self.plan.digest()
            && self.life().is_sound()
            && self.stages.iter().all(dated)
    }

    /// Whether a stored time is so far ahead that the clock must have been wrong.
    pub fn is_ahead_of(&self, now: Moment) -> bool {
        let limit = now.plus_seconds(CLOCK_SKEW_SECONDS_MAX);
        let entered_at = self.state().and_then(|it| it.entered_at);
        let ahead = |it: Option<Moment>| it.is_some_and(|it| it > limit);
        self.updated_at > limit || ahead(self.promoted_at) || ahead(entered_at)
    }

    /// What the gates of a stage say.
    pub fn gates(&self, stage: usize, evidence: &Evidence, now: Moment) -> Vec<GateReport> {
        let (Some(spec), Some(begun)) = (self.plan.stages.get(stage), self.stages.get(stage))
        else {
            return Vec::new();
        };
        let ask = |gate: &Gate| {
            let facts = Facts {
                entered_at: begun.entered_at,
                attempt: self.attempt,
                digest: self.digest,
                ruling: begun.rulings.get(&gate.id),
                evidence,
                now,
            };
            evaluate(gate, &facts)
        };
        spec.gates.iter().map(ask).collect()
    }

    /// The plan.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The name of the plan.
    pub const fn id(&self) -> &PlanId {
        self.plan.id()
    }

    /// Identity of the content.
    pub const fn digest(&self) -> PlanDigest {
        self.digest
    }

    /// How it was created.
    pub const fn initial_phase(&self) -> Phase {
        self.initial_phase
    }

    /// What looked wrong when it was created.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Where it is.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Position of the current stage, from 0.
    pub const fn current(&self) -> usize {
        self.current
    }

    /// The stage it stands at.
    pub fn stage(&self) -> Option<&Stage> {
        self.plan.stages.get(self.current)
    }

    /// The life of the stage it stands at.
    pub fn state(&self) -> Option<&StageState> {
        self.stages.get(self.current)
    }

    /// The name of the stage it stands at.
    pub fn current_stage_id(&self) -> Option<&StageId> {
        self.stage().map(|it| &it.id)
    }

    /// The life of every stage.
    pub fn stages(&self) -> &[StageState] {
        &self.stages
    }

    /// How often it was begun, from 1.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Raised by every change; what `If-Match` compares.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// When it was stored.
    pub const fn created_at(&self) -> Moment {
        self.created_at
    }

    /// Who stored it.
    pub const fn created_by(&self) -> &Actor {
        &self.created_by
    }

    /// When it changed last.
    pub const fn updated_at(&self) -> Moment {
        self.updated_at
    }

    /// When a stage was promoted or skipped last.
    pub const fn promoted_at(&self) -> Option<Moment> {
        self.promoted_at
    }

    /// Who changed it last.
    pub const fn changed_by(&self) -> &Actor {
        &self.changed_by
    }

    /// Why it changed last.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The step of the promoter that changed it last, when it was one.
    pub const fn last_step(&self) -> Option<&PlannedStep> {
        self.last_step.as_ref()
    }

    /// Since when nothing has happened: the later of its last change and last promotion.
    pub fn quiet_since(&self) -> Moment {
        self.promoted_at.map_or(self.updated_at, |it| it.max(self.updated_at))
    }
}

/// Whether all gates passed; no gate is no pass.
pub fn all_passed(gates: &[GateReport]) -> bool {
    !gates.is_empty() && gates.iter().all(|it| it.outcome == Outcome::Pass)
}
