//! The fleet: nodes as the control plane knows them, and the releases of their channels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Age of a last sign of life at which a node is stale when nobody says, in seconds.
pub const STALE_SECONDS_DEFAULT: u64 = 60;

/// Body of `POST /v1/releases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewRelease {
    /// Unique in a control plane: 1 to 128 of `[A-Za-z0-9._-]`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9._-]{1,128}$"))]
    pub id: String,
    /// For which nodes; `stable` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9._-]{1,128}$"))]
    pub channel: Option<String>,
    /// Its place in the channel; the next one when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Where the artifact is.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024))]
    pub artifact_ref: String,
    /// Fingerprint of the lock that describes it.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024))]
    pub lock_fingerprint: String,
    /// The policy in it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// A release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublishedRelease {
    /// Its name.
    pub id: String,
    /// For which nodes.
    pub channel: String,
    /// Its place in the channel, from 1.
    pub sequence: u64,
    /// Where the artifact is.
    pub artifact_ref: String,
    /// Fingerprint of the lock that describes it.
    pub lock_fingerprint: String,
    /// The policy in it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// When it was published.
    pub created_at: String,
    /// Who published it.
    pub created_by: String,
}

/// Body of `POST /v1/nodes/{id}/heartbeat`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// What it follows; what it followed before when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9._-]{1,128}$"))]
    pub channel: Option<String>,
    /// The lock it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_fingerprint: Option<String>,
    /// The version it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FleetNode {
    /// Its name.
    pub node_id: String,
    /// `up`, `stale` or `unknown`.
    pub node_status: String,
    /// What it follows.
    pub channel: String,
    /// When it was heard of last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
    /// The release that it acknowledged last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_id: Option<String>,
    /// The place of that release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The policy of that release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The plan that it activated last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    /// The lock it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_fingerprint: Option<String>,
    /// The version it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Answer of `GET /v1/fleet`, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fleet {
    /// The nodes.
    pub nodes: Vec<FleetNode>,
    /// How many stand in `nodes`.
    pub count: u64,
    /// When it was answered.
    pub generated_at: String,
    /// Age at which a node is stale.
    pub stale_threshold_seconds: u64,
    /// Pass it as `cursor` to read on; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Answer of `GET /v1/fleet/summary`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FleetSummary {
    /// The channel of `latest_release`.
    pub channel: String,
    /// When it was answered.
    pub generated_at: String,
    /// Age at which a node is stale.
    pub stale_threshold_seconds: u64,
    /// Nodes that are known, of all channels.
    pub total: u64,
    /// Heard of lately.
    pub up: u64,
    /// Heard of, but not lately.
    pub stale: u64,
    /// Named by a plan and never heard of.
    pub unknown: u64,
    /// The latest release of the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_release: Option<PublishedRelease>,
    /// Nodes by the release they acknowledged; the first 100 by name.
    pub releases: BTreeMap<String, u64>,
}
