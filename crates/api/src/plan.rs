//! A plan, as it is asked for and as it is stored.
//!
//! What is allowed in it, and how long it may be, is decided by the control plane.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Name and labels of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Metadata {
    /// Unique in a control plane: 1 to 128 of `[A-Za-z0-9._-]`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9._-]{1,128}$"))]
    pub id: String,
    /// Free texts of the caller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What changes on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// Policy and tools.
    Behavior,
    /// A model.
    Model,
    /// The operating system is built anew.
    OsReconstruction,
}

/// What a gate waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// A person.
    Manual,
    /// Time since the stage was opened.
    TimeSoak,
    /// Reports of nodes.
    Health,
}

/// One condition of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GateSpec {
    /// Unique within the stage; the kind when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9._-]{1,128}$"))]
    pub id: Option<String>,
    /// What it waits for.
    pub kind: GateKind,
    /// How long, for `time_soak`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak_seconds: Option<u32>,
    /// Share of the nodes of the stage that must be healthy, 1 to 100, for `health`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub min_verified_percent: Option<u8>,
    /// How many nodes may have failed, for `health`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<u32>,
    /// How old a report of health may be, for `health`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u32>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StageSpec {
    /// Unique within the plan.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9._-]{1,128}$"))]
    pub id: String,
    /// Which share of the channel, 1 to 100; instead of `nodes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub percent: Option<u8>,
    /// Which nodes; instead of `percent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<String>>,
    /// What it waits for, all of them; all of its nodes being healthy when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateSpec>,
    /// How long it may be open before it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u32>,
}

/// A plan as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plan {
    /// Name and labels.
    pub metadata: Metadata,
    /// What is rolled out, as the caller wrote it.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024))]
    pub artifact_ref: String,
    /// The lock fingerprint that nodes are to reach, as the caller wrote it.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024))]
    pub target_lock_fingerprint: String,
    /// What changes on a node.
    pub rollout_kind: PlanKind,
    /// Which nodes it concerns.
    pub channel: String,
    /// In the order of promotion.
    pub stages: Vec<StageSpec>,
}

/// How a plan begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum InitialPhase {
    /// No node sees it until it is published.
    Draft,
    /// Nodes see it at once.
    Published,
}

/// Body of `POST /v1/rollouts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatePlan {
    /// Name and labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// The name, when `metadata` has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9._-]{1,128}$"))]
    pub id: Option<String>,
    /// What to roll out.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024))]
    pub artifact_ref: String,
    /// The lock fingerprint that nodes are to reach.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024))]
    pub target_lock_fingerprint: String,
    /// What changes on a node; `behavior` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_kind: Option<PlanKind>,
    /// Which nodes it concerns; `stable` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9._-]{1,128}$"))]
    pub channel: Option<String>,
    /// In the order of promotion; one stage of all nodes when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<Vec<StageSpec>>,
    /// How it begins; `published` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_phase: Option<InitialPhase>,
}
