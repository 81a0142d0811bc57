//! Who leads, and who may write.

use serde::{Deserialize, Serialize};

/// How the control plane runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HaMode {
    /// One process owns the store.
    Standalone,
    /// Several share it and elect a leader.
    Cluster,
}

/// What this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HaRole {
    /// It writes.
    Leader,
    /// It reads.
    Follower,
}

/// Whoever writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Leader {
    /// Which process.
    pub holder_id: String,
    /// Its term; writes of older terms are refused.
    pub epoch: u64,
    /// Since when.
    pub acquired_at: String,
}

/// Answer of `GET /v1/ha/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HaStatus {
    /// How the control plane runs.
    pub mode: HaMode,
    /// What this process is.
    pub role: HaRole,
    /// Whoever writes; absent when nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Leader>,
    /// Whether this process takes writes now.
    pub write_ready: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_blocked_by: Option<String>,
    /// When it was answered.
    pub queried_at: String,
}

/// Answer of `GET /v1/health/read-ready` and `write-ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ready {
    /// Whether it is.
    pub ready: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
