//! Who did what: records of the audit trail on the wire.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A record of the audit trail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditRecord {
    /// Its number in the trail, from 1.
    pub seq: u64,
    /// What happened, for example `rollback.executed`.
    pub event_name: String,
    /// `rollout`, `ha`, `relay`, `cert`, `auth`, `system`, `rollback`, `goal` or `wal`.
    pub category: String,
    /// What was done.
    pub action: String,
    /// `success`, `failure`, `denied` or `pending`.
    pub outcome: String,
    /// `orchestrator`, `edge` or `cli`.
    pub source: String,
    /// When: RFC 3339.
    pub timestamp: String,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What kind of thing it was done to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// Which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// What else is known.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    #[serde(default)]
    pub fields: Map<String, Value>,
    /// Hash of the record before it.
    pub prev: String,
    /// Hash of this record.
    pub hash: String,
}

/// Answer of `GET /v1/audit`, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditList {
    /// The newest records that fit the filter.
    pub records: Vec<AuditRecord>,
    /// How many stand in `records`.
    pub count: u64,
}

/// Body of `POST /v1/audit`. The actor is the caller, the time is that of the control plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewAuditRecord {
    /// What happened.
    pub event_name: String,
    /// One of the categories of [`AuditRecord`].
    pub category: String,
    /// What was done.
    pub action: String,
    /// One of the outcomes of [`AuditRecord`].
    pub outcome: String,
    /// `edge` or `cli`.
    pub source: String,
    /// What kind of thing it was done to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// Which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// What else is known.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    #[serde(default)]
    pub fields: Map<String, Value>,
}
