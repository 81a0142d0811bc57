//! Records to JSON.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Map, Value};

use crate::{
    Id, Record, Resource,
    value::{Wire, to_wire},
};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    resource_logs: [ResourceLogs<'a>; 1],
}

impl<'a> Request<'a> {
    pub(super) fn new(resource: &'a Resource, records: &'a [Record]) -> Self {
        let resource = WireResource { attributes: Pairs { map: &resource.attributes, depth: 0 } };
        Self {
            resource_logs: [ResourceLogs {
                resource,
                scope_logs: [ScopeLogs { log_records: Records(records) }],
            }],
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    resource: WireResource<'a>,
    scope_logs: [ScopeLogs<'a>; 1],
}

#[derive(Debug, Serialize)]
struct WireResource<'a> {
    attributes: Pairs<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    log_records: Records<'a>,
}

#[derive(Debug)]
struct Records<'a>(&'a [Record]);

impl Serialize for Records<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(LogRecord::from))
    }
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

impl<'a> From<&'a Record> for LogRecord<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            time_unix_nano: record.time_unix_nano,
            observed_time_unix_nano: record.observed_time_unix_nano,
            severity_number: record.severity.0,
            severity_text: &record.severity_text,
            body: (!record.body.is_null()).then_some(Any { value: &record.body, depth: 0 }),
            attributes: Pairs { map: &record.attributes, depth: 0 },
            dropped_attributes_count: record.dropped_attributes_count,
            flags: record.flags,
            trace_id: record.trace_id.map(Hex),
            span_id: record.span_id.map(Hex),
            event_name: &record.event_name,
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
    map: &'a Map<String, Value>,
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
            self.map
                .iter()
                .map(|(key, value)| Pair { key, value: Any { value, depth: self.depth } }),
        )
    }
}

/// One value.
#[derive(Clone, Copy, Debug)]
struct Any<'a> {
    value: &'a Value,
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
            Wire::Map(map) => {
                object.serialize_entry("kvlistValue", &Values { values: Pairs { map, depth } })?;
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
