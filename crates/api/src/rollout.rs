//! Rollouts: plans with their life, what blocks them, and what operators do about it.
//!
//! Moments are RFC 3339 texts in UTC.

use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// Entries of a list when nobody says.
pub const LIMIT_DEFAULT: u32 = 100;
/// Most entries of a list.
pub const LIMIT_MAX: u32 = 1000;
/// Age at which a plan counts as stuck when nobody says, in seconds.
pub const STUCK_THRESHOLD_SECONDS_DEFAULT: u64 = 3600;

/// Something about a plan that looks wrong and was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanWarning {
    /// Stable code.
    pub code: String,
    /// Where in the request.
    pub field: String,
    /// What is odd about it.
    pub message: String,
}

/// Nodes of a stage in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeCounts {
    /// Nodes of the stage that are known.
    pub targeted: u64,
    /// Healthy, and heard of lately enough.
    pub verified: u64,
    /// Failed in this attempt.
    pub failed: u64,
}

/// The life of one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StageState {
    /// Its name.
    pub id: String,
    /// `pending`, `open`, `promoted`, `skipped`, `halted` or `failed`.
    pub phase: String,
    /// When it was opened last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entered_at: Option<String>,
    /// When it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<String>,
    /// Its nodes; only in the answer about one plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeCounts>,
}

/// A plan with its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rollout {
    /// The plan as it is stored.
    pub plan: Plan,
    /// Identity of its content: `blake3:` and 64 hex digits. Approvals are bound to it.
    pub plan_digest: String,
    /// `draft`, `published`, `active`, `paused`, `completed`, `failed`, `cancelled` or `rolled_back`.
    pub phase: String,
    /// The stage it stands at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_stage_id: Option<String>,
    /// In the order of promotion.
    pub stages: Vec<StageState>,
    /// How often it was begun, from 1.
    pub attempt: u32,
    /// Raised by every change; what `If-Match` names.
    pub generation: u64,
    /// When it was stored.
    pub created_at: String,
    /// Who stored it.
    pub created_by: String,
    /// When it changed last.
    pub updated_at: String,
    /// Who changed it last.
    pub updated_by: String,
    /// Why it changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What looked wrong when it was created.
    pub warnings: Vec<PlanWarning>,
}

/// A plan whose record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnreadableRollout {
    /// Which.
    pub plan_id: String,
    /// What is wrong with the record.
    pub why: String,
}

/// Answer of `GET /v1/rollouts`, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RolloutList {
    /// The plans.
    pub rollouts: Vec<Rollout>,
    /// How many stand in `rollouts`.
    pub count: u64,
    /// How many fit the filter in all.
    pub total: u64,
    /// Plans of this page whose records cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableRollout>,
    /// Pass it as `cursor` to read on; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A plan that does not go on although it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StuckPlan {
    /// Which.
    pub plan_id: String,
    /// Where it is; absent when its record cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The stage it stands at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_stage_id: Option<String>,
    /// Since when nothing happens.
    pub stuck_since: String,
    /// In one line.
    pub stuck_reason: String,
    /// In full: gate, nodes, and the fact that is missing. Never empty.
    pub diagnosis: String,
    /// Commands to copy.
    pub next_actions: Vec<String>,
}

/// Answer of `GET /v1/rollouts/stuck`, the longest stuck first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StuckList {
    /// The plans.
    pub stuck_plans: Vec<StuckPlan>,
    /// How many stand in `stuck_plans`.
    pub count: u64,
    /// Age at which a plan counts as stuck.
    pub threshold_seconds: u64,
    /// Whether there are more than one answer holds.
    pub more: bool,
}

/// Answer of `GET /v1/rollouts/{id}/explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// Which plan.
    pub plan_id: String,
    /// Where it is.
    pub phase: String,
    /// What keeps it.
    pub fact: String,
    /// Since when.
    pub since: String,
    /// Whose turn it is.
    pub owner: String,
    /// What they can do.
    pub next_action: String,
    /// Commands to copy, the first one first.
    pub commands: Vec<String>,
}

/// What a person said about a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GateRuling {
    /// `approved` or `rejected`.
    pub verdict: String,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: String,
    /// Until when it counts.
    pub expires_at: String,
    /// The content it was said about.
    pub plan_digest: String,
}

/// What a gate says now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Gate {
    /// Which.
    pub id: String,
    /// `manual`, `time_soak` or `health`.
    pub kind: String,
    /// `pass`, `fail` or `inconclusive`.
    pub outcome: String,
    /// Whether it is `pass`.
    pub passed: bool,
    /// Why, for a person.
    pub detail: String,
    /// The last word of a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruling: Option<GateRuling>,
}

/// Answer of `GET /v1/rollouts/{id}/stages/{stage}/gates`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StageGates {
    /// Which plan.
    pub plan_id: String,
    /// Identity of its content.
    pub plan_digest: String,
    /// Which stage.
    pub stage_id: String,
    /// Where the stage is.
    pub stage_phase: String,
    /// Its gates.
    pub gates: Vec<Gate>,
    /// Whether it has manual gates and all of them pass.
    pub manual_approved: bool,
    /// Whether it has gates and all of them pass.
    pub all_passed: bool,
}

/// Body of `publish`, `pause`, `resume`, `cancel`; may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Because {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Body of `POST /v1/rollouts/{id}/recover`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Recover {
    /// How.
    pub strategy: RecoverStrategy,
    /// Why.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024))]
    pub reason: String,
    /// The stage that the operator looks at; must be the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_id: Option<String>,
}

/// How a plan is recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RecoverStrategy {
    /// Begin the current stage again.
    Retry,
    /// Give the plan up: no further node activates.
    Rollback,
    /// Go past the current stage.
    SkipFailed,
}

/// Body of `POST /v1/rollouts/{id}/stages/{stage}/halt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Halt {
    /// Why.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024))]
    pub reason: String,
}

/// Body of `POST …/gates/{gate}/approve` and `…/reject`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RuleGate {
    /// Why.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024))]
    pub reason: String,
    /// The content that the operator looked at; another one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<String>,
    /// How long it counts; a day when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after_seconds: Option<u64>,
}

/// Answer of `POST …/gates/{gate}/approve` and `…/reject`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GateAnswer {
    /// Whether the gate was approved.
    pub approved: bool,
    /// Whether the stage was promoted with it.
    pub promoted: bool,
    /// What happened, for a person.
    pub message: String,
    /// The plan as it is now.
    pub rollout: Rollout,
}
