//! Records to JSON.

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::{
    Id, RecordRef,
    value::{Wire, to_wire},
    view::{self, ValueRef},
};

/// Between two records.
pub(crate) const COMMA: u8 = b',';

/// Appends a request: one resource, and log records with commas between them.
pub(crate) fn request(resource: &[u8], log_records: &[u8], out: &mut Vec<u8>) {
    let parts = [
        br#"{"resourceLogs":[{"resource":"#,
        resource,
        br#","scopeLogs":[{"logRecords":["#,
        log_records,
        b"]}]}]}",
    ];
    out.reserve(parts.iter().map(|it| it.len()).sum());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends a resource.
pub(crate) fn resource(attributes: &view::Pairs<'_>, out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct WireResource<'a> {
        attributes: Pairs<'a>,
    }
    append(&WireResource { attributes: Pairs { pairs: attributes.as_slice(), depth: 0 } }, out);
}

/// Appends a log record.
pub(crate) fn log_record(record: &RecordRef<'_>, out: &mut Vec<u8>) {
    append(&LogRecord::from(record), out);
}

fn append(value: &impl Serialize, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "strings, numbers and structs always serialize");
}

/// What equals the default of protobuf is left out, as protobuf does.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord<'a> {
    #[serde(skip_serializing_if = "is_zero", serialize_with = "as_text")]
    time_unix_nano: u64,
    #[serde(skip_serializing_if = "is_zero", serialize_with = "as_text")]
    observed_time_unix_nano: u64,
    #[serde(skip_serializing_if = "is_default")]
    severity_number: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    severity_text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Any<'a>>,
    attributes: Pairs<'a>,
    #[serde(skip_serializing_if = "is_default")]
    dropped_attributes_count: u32,
    #[serde(skip_serializing_if = "is_default")]
    flags: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<Hex<16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<Hex<8>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    event_name: &'a str,
}

impl<'a> From<&'a RecordRef<'_>> for LogRecord<'a> {
    fn from(record: &'a RecordRef<'_>) -> Self {
        Self {
            time_unix_nano: record.time_unix_nano,
            observed_time_unix_nano: record.observed_time_unix_nano,
            severity_number: record.severity.0,
            severity_text: record.severity_text,
            body: (record.body != ValueRef::Null).then_some(Any { value: &record.body, depth: 0 }),
            attributes: Pairs { pairs: record.attributes.as_slice(), depth: 0 },
            dropped_attributes_count: record.dropped_attributes_count,
            flags: record.flags,
            trace_id: record.trace_id.map(Hex),
            span_id: record.span_id.map(Hex),
            event_name: record.event_name,
        }
    }
}

#[derive(Debug)]
struct Hex<const N: usize>(Id<N>);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Attributes, or a map inside a value.
#[derive(Clone, Copy, Debug)]
struct Pairs<'a> {
    pairs: &'a [view::Pair<'a>],
    depth: usize,
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Pair<'a> {
            key: &'a str,
            value: Any<'a>,
        }
        serializer.collect_seq(
            self.pairs
                .iter()
                .map(|(key, value)| Pair { key, value: Any { value, depth: self.depth } }),
        )
    }
}

/// One value.
#[derive(Clone, Copy, Debug)]
struct Any<'a> {
    value: &'a ValueRef<'a>,
    depth: usize,
}

impl Serialize for Any<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Values<T> {
            values: T,
        }
        let mut object = serializer.serialize_map(None)?;
        let depth = self.depth + 1;
        match to_wire(self.value, self.depth) {
            Wire::Empty => {}
            Wire::Bool(it) => object.serialize_entry("boolValue", &it)?,
            Wire::Int(it) => object.serialize_entry("intValue", &it.to_string())?,
            Wire::Double(it) => object.serialize_entry("doubleValue", &it)?,
            Wire::Text(it) => object.serialize_entry("stringValue", it)?,
            Wire::Spelled(it) => object.serialize_entry("stringValue", &it)?,
            Wire::List(items) => {
                let values: Vec<_> = items.iter().map(|value| Any { value, depth }).collect();
                object.serialize_entry("arrayValue", &Values { values })?;
            }
            Wire::Map(pairs) => {
                let pairs = pairs.as_slice();
                object
                    .serialize_entry("kvlistValue", &Values { values: Pairs { pairs, depth } })?;
            }
        }
        object.end()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn as_text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
