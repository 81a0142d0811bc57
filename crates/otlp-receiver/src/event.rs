//! A received record as an event of the control plane.
//!
//! | kind        | `event_type`         |
//! |-------------|----------------------|
//! | `decision`  | `ai.policy.decision` |
//! | `action`    | `ai.agent.action`    |
//! | `lifecycle` | `ai.agent.lifecycle` |
//! | `error`     | `ai.agent.error`     |
//! | other       | `ai.telemetry.<kind>`|
//!
//! The rest of the record is kept beside the four fields: `attrs`, `severity`, `body`, `trace_id`,
//! `span_id`, and the `resource` when it says more than the name of the node.

use api::control::ControlEvent;
use serde_json::{Map, Value};

use crate::received::Received;

/// Returns the event of a record.
pub(crate) fn to_event(received: &Received) -> ControlEvent {
    let record = &received.record;
    let mut rest = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            rest.insert(key.to_owned(), value);
        }
    };
    put("attrs", Value::Object(record.attributes.clone()));
    put("body", record.body.clone());
    put("severity", severity(received));
    put("trace_id", record.trace_id.map(|it| it.to_string()).into());
    put("span_id", record.span_id.map(|it| it.to_string()).into());
    if received.resource.attributes.keys().any(|it| it != "service.name") {
        put("resource", Value::Object(received.resource.attributes.clone()));
    }
    ControlEvent {
        event_id: received.event_id.clone(),
        event_type: event_type(&received.kind),
        node_id: received.node.clone(),
        timestamp: received.timestamp.to_string(),
        rest,
    }
}

fn event_type(kind: &str) -> String {
    match kind {
        "decision" => "ai.policy.decision".to_owned(),
        "action" | "lifecycle" | "error" => format!("ai.agent.{kind}"),
        other => format!("ai.telemetry.{other}"),
    }
}

fn severity(received: &Received) -> Value {
    let record = &received.record;
    let text = if record.severity_text.is_empty() {
        record.severity.name()
    } else {
        &record.severity_text
    };
    if text.is_empty() { Value::Null } else { text.into() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use otlp::{Group, Record, Resource, Scope, Severity};
    use serde_json::json;

    use super::*;
    use crate::received::receive;

    fn event(record: Record, resource: &Value) -> Value {
        let resource = Arc::new(Resource { attributes: resource.as_object().unwrap().clone() });
        let group = Group { resource, scope: Scope::default(), records: vec![record] };
        let received = receive(vec![group], Timestamp::UNIX_EPOCH);
        serde_json::to_value(to_event(&received[0])).unwrap()
    }

    #[test]
    fn every_kind_has_its_type() {
        for (kind, want) in [
            ("decision", "ai.policy.decision"),
            ("autonomy.decision", "ai.policy.decision"),
            ("action", "ai.agent.action"),
            ("lifecycle", "ai.agent.lifecycle"),
            ("autonomy.error", "ai.agent.error"),
            ("robot.pose", "ai.telemetry.robot.pose"),
        ] {
            let attributes = json!({"event.kind": kind}).as_object().unwrap().clone();
            let record = Record { attributes, ..Record::default() };
            assert_eq!(event(record, &json!({}))["event_type"], want);
        }
    }

    #[test]
    fn nothing_of_a_record_is_left_out() {
        let attributes = json!({"event.id": "edge-1:w:7", "event.kind": "decision", "n": [1]});
        let mut record = Record {
            time_unix_nano: 1_767_323_045_000_006_000,
            severity: Severity::WARN,
            body: "autonomy.decision".into(),
            attributes: attributes.as_object().unwrap().clone(),
            ..Record::default()
        };
        record.set_trace_id("5b8efff798038103d269b633813fc60c");
        record.set_span_id("eee19b7ec3c1b174");
        let want = json!({
            "event_id": "edge-1:w:7",
            "event_type": "ai.policy.decision",
            "node_id": "edge-1",
            "timestamp": "2026-01-02T03:04:05.000006Z",
            "attrs": attributes,
            "body": "autonomy.decision",
            "severity": "WARN",
            "trace_id": "5b8efff798038103d269b633813fc60c",
            "span_id": "eee19b7ec3c1b174",
        });
        assert_eq!(event(record.clone(), &json!({"service.name": "edge-1"})), want);
        let resource = json!({"service.name": "edge-1", "service.instance.id": "w"});
        assert_eq!(event(record, &resource)["resource"], resource);
    }
}
