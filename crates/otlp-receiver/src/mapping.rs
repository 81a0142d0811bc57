//! One log record as an event of the control plane.
//!
//! | event        | from                                                                          |
//! |--------------|-------------------------------------------------------------------------------|
//! | `event_id`   | attribute `event.id`, else `<service.name>:otlp:<hash of the record>`           |
//! | `event_type` | attribute `event.kind`, else the body; see the table of the README              |
//! | `node_id`    | resource attribute `service.name`, else `unknown`                               |
//! | `timestamp`  | time of the record, else the time it was observed, else 1970                    |
//! | `attrs`      | all attributes of the record                                                    |
//! | `trace_id`, `span_id` | when the record has them                                               |

use api::control::ControlEvent;
use jiff::Timestamp;
use otlp::{Record, Resource};
use serde_json::{Map, Value, json};

/// Name of a node that does not say what it is called.
const UNKNOWN: &str = "unknown";

/// Maps a record.
pub fn control_event(resource: &Resource, record: &Record) -> ControlEvent {
    let node_id = resource.service_name().unwrap_or(UNKNOWN).to_owned();
    let text = |key: &str| record.attributes.get(key).and_then(Value::as_str);
    let kind = text("event.kind").or_else(|| record.body.as_str()).filter(|it| !it.is_empty());
    let event_id = match text("event.id") {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ => format!("{node_id}:otlp:{}", digest(resource, record)),
    };
    let mut rest = Map::new();
    rest.insert("attrs".to_owned(), Value::Object(record.attributes.clone()));
    let ids = [
        ("trace_id", record.trace_id.map(|it| it.to_string())),
        ("span_id", record.span_id.map(|it| it.to_string())),
    ];
    for (key, id) in ids {
        rest.extend(id.map(|id| (key.to_owned(), Value::from(id))));
    }
    ControlEvent {
        event_id,
        event_type: event_type(kind.unwrap_or(UNKNOWN)),
        node_id,
        timestamp: timestamp(record),
        rest,
    }
}

fn event_type(kind: &str) -> String {
    match kind.strip_prefix("autonomy.").unwrap_or(kind) {
        "decision" => "ai.policy.decision".to_owned(),
        "action" => "ai.agent.action".to_owned(),
        "lifecycle" => "ai.agent.lifecycle".to_owned(),
        "error" => "ai.agent.error".to_owned(),
        other => format!("ai.telemetry.{other}"),
    }
}

fn timestamp(record: &Record) -> String {
    let nanos = match record.time_unix_nano {
        0 => record.observed_time_unix_nano,
        nanos => nanos,
    };
    let time = Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_string()
}

/// Names a record by its content: the same record has the same name each time it is sent.
fn digest(resource: &Resource, record: &Record) -> String {
    let content = json!([
        resource.attributes,
        record.time_unix_nano,
        record.severity.0,
        record.event_name,
        record.body,
        record.attributes,
        record.trace_id.map(|it| it.to_string()),
        record.span_id.map(|it| it.to_string()),
    ]);
    let mut digits = blake3::hash(content.to_string().as_bytes()).to_hex().to_string();
    digits.truncate(32);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource() -> Resource {
        Resource { attributes: Map::from_iter([("service.name".to_owned(), json!("edge-1"))]) }
    }

    fn record(kind: &str, id: Option<&str>) -> Record {
        let mut record = Record { time_unix_nano: 1_700_000_000_000_000_000, ..Record::default() };
        record.attributes.insert("event.kind".to_owned(), json!(kind));
        record.attributes.extend(id.map(|it| ("event.id".to_owned(), json!(it))));
        record
    }

    #[test]
    fn every_kind_has_its_type() {
        for (kind, want) in [
            ("decision", "ai.policy.decision"),
            ("autonomy.decision", "ai.policy.decision"),
            ("action", "ai.agent.action"),
            ("lifecycle", "ai.agent.lifecycle"),
            ("error", "ai.agent.error"),
            ("robot.pose", "ai.telemetry.robot.pose"),
        ] {
            let event = control_event(&resource(), &record(kind, Some("x")));
            assert_eq!(event.event_type, want, "{kind}");
        }
        let body = Record { body: json!("autonomy.error"), ..Record::default() };
        assert_eq!(control_event(&resource(), &body).event_type, "ai.agent.error");
        let nothing = control_event(&Resource::default(), &Record::default());
        assert_eq!(
            (nothing.event_type.as_str(), nothing.node_id.as_str()),
            ("ai.telemetry.unknown", "unknown")
        );
        assert_eq!(nothing.timestamp, "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_record_without_an_id_has_the_same_one_each_time() {
        let id = |it: &Record| control_event(&resource(), it).event_id;
        let first = record("decision", None);
        assert_eq!(id(&first), id(&first.clone()));
        assert!(id(&first).starts_with("edge-1:otlp:"));
        assert_ne!(id(&first), id(&record("action", None)));
        assert_eq!(id(&record("decision", Some("n:w:7"))), "n:w:7");
    }

    #[test]
    fn everything_else_is_kept() {
        let mut record = record("decision", Some("n:w:7"));
        record.set_trace_id("4bf92f3577b34da6a3ce929d0e0e4736");
        let event = control_event(&resource(), &record);
        assert_eq!(event.timestamp, "2023-11-14T22:13:20Z");
        assert_eq!(event.rest["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(event.rest["attrs"]["event.kind"], "decision");
        assert_eq!(event.rest.get("span_id"), None);
    }
}
