//! A received record as a line of JSON.
//!
//! | key                                    | value                                            |
//! |----------------------------------------|--------------------------------------------------|
//! | `received_at`, `timestamp`             | RFC 3339                                         |
//! | `event_id`, `event_kind`, `node_id`    | see `received`                                   |
//! | `severity_number`, `severity_text`, `event_name`, `body`, `attributes`, `trace_id`, `span_id`, `flags`, `dropped_attributes_count` | those of the record; what is empty is left out |
//! | `resource`                             | attributes of the resource                       |
//! | `scope`                                | name and version of the library, when there is one |

use jiff::Timestamp;
use otlp::Scope;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::received::Received;

#[derive(Serialize)]
struct Line<'a> {
    received_at: Timestamp,
    timestamp: Timestamp,
    event_id: &'a str,
    event_kind: &'a str,
    node_id: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    severity_number: i32,
    #[serde(skip_serializing_if = "is_default")]
    severity_text: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    event_name: &'a str,
    #[serde(skip_serializing_if = "Value::is_null")]
    body: &'a Value,
    attributes: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    flags: u32,
    #[serde(skip_serializing_if = "is_default")]
    dropped_attributes_count: u32,
    resource: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<LineScope<'a>>,
}

#[derive(Serialize)]
struct LineScope<'a> {
    name: &'a str,
    version: &'a str,
}

/// Appends the line of a record to `out`.
pub(crate) fn write(received: &Received, out: &mut Vec<u8>) {
    let Received { record, scope, .. } = received;
    let scope = (*scope != Scope::default())
        .then_some(LineScope { name: &scope.name, version: &scope.version });
    let line = Line {
        received_at: received.at,
        timestamp: received.timestamp,
        event_id: &received.event_id,
        event_kind: &received.kind,
        node_id: &received.node,
        severity_number: record.severity.0,
        severity_text: &record.severity_text,
        event_name: &record.event_name,
        body: &record.body,
        attributes: &record.attributes,
        trace_id: record.trace_id.map(|it| it.to_string()),
        span_id: record.span_id.map(|it| it.to_string()),
        flags: record.flags,
        dropped_attributes_count: record.dropped_attributes_count,
        resource: &received.resource.attributes,
        scope,
    };
    // Strings, numbers and maps with string keys always serialize.
    out.extend_from_slice(&serde_json::to_vec(&line).unwrap_or_default());
    out.push(b'\n');
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
