//! Events of the control plane.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most events in one request.
pub const EVENTS_PER_REQUEST_MAX: usize = 10_000;
/// Events in one answer when the caller does not say.
pub const EVENTS_LIMIT_DEFAULT: u32 = 100;
/// Most events in one answer.
pub const EVENTS_LIMIT_MAX: u32 = 1_000;

/// One event, as nodes report it. The control plane stores it and derives nothing from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ControlEvent {
    /// Stable id; a repeated one is counted and ignored.
    pub event_id: String,
    /// For example `ai.policy.decision`.
    pub event_type: String,
    /// Node that it happened on.
    pub node_id: String,
    /// When it happened: RFC 3339.
    pub timestamp: String,
    /// Everything else the node said, kept as it came.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Body of `POST /v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventBatch {
    /// The events, at most [`EVENTS_PER_REQUEST_MAX`].
    pub events: Vec<ControlEvent>,
}

/// Answer of `POST /v1/events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ingested {
    /// Events in the request.
    pub received: u64,
    /// Events that were new and are now durable.
    pub inserted: u64,
    /// Events whose id was known already.
    pub deduped: u64,
}

/// Answer of `GET /v1/events`, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventPage {
    /// The events.
    pub events: Vec<ControlEvent>,
    /// How many stand in `events`.
    pub count: u64,
    /// Pass it as `cursor` to read on; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_beyond_the_four_fields_is_kept() {
        let text = r#"{"event_id":"n:w:1","event_type":"ai.policy.decision","node_id":"n","timestamp":"2026-01-02T03:04:05Z","attrs":{"decision":"deny"},"lock_fingerprint":"blake3:00"}"#;
        let event: ControlEvent = serde_json::from_str(text).unwrap();
        assert_eq!(event.rest.len(), 2);
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }
}
