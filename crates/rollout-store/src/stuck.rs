//! Which plans do not go on although they should.
//!
//! # Rule
//!
//! A plan is stuck when all three hold: its phase is `published` or `active`; it was not changed within
//! the threshold; no stage of it was promoted within the threshold. Pausing is never lack of progress.
//!
//! # Invariants
//!
//! * **K1** The diagnosis is never empty. It names the gate, nodes, and the fact that is missing.
//! * **K2** A plan whose record cannot be read is stuck: it is listed, and hides nobody else.

use crate::{
    evidence::Evidence,
    explain::explain,
    moment::{Moment, spell_seconds},
    name::{PlanId, StageId},
    phase::Phase,
    rollout::Rollout,
};

/// The threshold of whoever names none.
pub const THRESHOLD_SECONDS_DEFAULT: u64 = 3600;
/// Most entries of one scan; the longest quiet come first.
pub const STUCK_MAX: u32 = 1000;
/// How many nodes one scan looks at; beyond it entries say that nodes were not counted.
pub const NODES_PER_SCAN_MAX: u64 = 200_000;

/// A plan that does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckPlan {
    /// Which.
    pub plan_id: PlanId,
    /// Where it is; `None` when the record cannot be read.
    pub phase: Option<Phase>,
    /// The stage it stands at.
    pub current_stage_id: Option<StageId>,
    /// Since when nothing happens.
    pub stuck_since: Moment,
    /// In one line.
    pub stuck_reason: String,
    /// In full (K1).
    pub diagnosis: String,
    /// Commands to copy.
    pub next_actions: Vec<String>,
}

/// The answer of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StuckList {
    /// The longest quiet first.
    pub plans: Vec<StuckPlan>,
    /// Whether there are more than the limit.
    pub more: bool,
}

/// Whether the rule holds.
pub fn is_stuck(rollout: &Rollout, threshold_seconds: u64, now: Moment) -> bool {
    rollout.phase().is_live() && rollout.quiet_since() <= now.minus_seconds(threshold_seconds)
}

/// Describes a plan that the rule holds for.
pub fn diagnose(rollout: &Rollout, evidence: Option<&Evidence>, now: Moment) -> StuckPlan {
    let since = rollout.quiet_since();
    let explanation = explain(rollout, evidence, now);
    let quiet = spell_seconds(now.seconds_since(since));
    StuckPlan {
        plan_id: rollout.id().clone(),
        phase: Some(rollout.phase()),
        current_stage_id: rollout.current_stage_id().cloned(),
        stuck_since: since,
        stuck_reason: format!("{} without progress for {quiet}", rollout.phase()),
        diagnosis: explanation.fact,
        next_actions: explanation.commands,
    }
}

/// Describes a plan whose record cannot be read (K2).
pub fn diagnose_unreadable(plan_id: PlanId, since: Moment, why: &str) -> StuckPlan {
    StuckPlan {
        phase: None,
        current_stage_id: None,
        stuck_since: since,
        stuck_reason: "the stored record cannot be read".to_owned(),
        diagnosis: format!("the stored record cannot be read: {why}; no gate can be evaluated"),
        next_actions: vec![format!("autonomy rollout plan describe {plan_id}")],
        plan_id,
    }
}
