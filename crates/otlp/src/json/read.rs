//! JSON to records.

use std::{fmt, marker::PhantomData, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};

use crate::{Group, Record, Resource, Scope, Severity, value::from_double};

pub(super) fn request(body: &[u8]) -> serde_json::Result<Vec<Group>> {
    let Object(request) = serde_json::from_slice::<Object<Request>>(body)?;
    Ok(request.resource_logs.into_iter().flat_map(|Object(it)| groups_of(it)).collect())
}

fn groups_of(logs: ResourceLogs) -> Vec<Group> {
    let attributes = to_map(logs.resource.map(|Object(it)| it.attributes).unwrap_or_default());
    let resource = Arc::new(Resource { attributes });
    logs.scope_logs
        .into_iter()
        .map(|Object(scope_logs)| {
            let scope = scope_logs.scope.map(|Object(it)| it).unwrap_or_default();
            Group {
                resource: Arc::clone(&resource),
                scope: Scope { name: scope.name, version: scope.version },
                records: scope_logs
                    .log_records
                    .into_iter()
                    .map(|Object(it)| to_record(it))
                    .collect(),
            }
        })
        .collect()
}

fn to_record(log: LogRecord) -> Record {
    let mut record = Record {
        time_unix_nano: log.time_unix_nano,
        observed_time_unix_nano: log.observed_time_unix_nano,
        severity: Severity(log.severity_number),
        severity_text: log.severity_text,
        event_name: log.event_name,
        body: log.body.map_or(Value::Null, |it| it.0),
        attributes: to_map(log.attributes),
        dropped_attributes_count: log.dropped_attributes_count,
        flags: log.flags,
        trace_id: None,
        span_id: None,
    };
    record.set_trace_id(&log.trace_id);
    record.set_span_id(&log.span_id);
    record
}

fn to_map(pairs: Vec<Object<Pair>>) -> Map<String, Value> {
    pairs
        .into_iter()
        .map(|Object(it)| (it.key, it.value.map_or(Value::Null, |value| value.0)))
        .collect()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Request {
    #[serde(deserialize_with = "nullable")]
    resource_logs: Vec<Object<ResourceLogs>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceLogs {
    resource: Option<Object<WireResource>>,
    #[serde(deserialize_with = "nullable")]
    scope_logs: Vec<Object<ScopeLogs>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireResource {
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<Object<Pair>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ScopeLogs {
    scope: Option<Object<WireScope>>,
    #[serde(deserialize_with = "nullable")]
    log_records: Vec<Object<LogRecord>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireScope {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LogRecord {
    #[serde(deserialize_with = "whole")]
    time_unix_nano: u64,
    #[serde(deserialize_with = "whole")]
    observed_time_unix_nano: u64,
    #[serde(deserialize_with = "whole")]
    severity_number: i32,
    #[serde(deserialize_with = "nullable")]
    severity_text: String,
    body: Option<Any>,
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<Object<Pair>>,
    #[serde(deserialize_with = "whole")]
    dropped_attributes_count: u32,
    #[serde(deserialize_with = "whole")]
    flags: u32,
    #[serde(deserialize_with = "nullable")]
    trace_id: String,
    #[serde(deserialize_with = "nullable")]
    span_id: String,
    #[serde(deserialize_with = "nullable")]
    event_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pair {
    #[serde(deserialize_with = "nullable")]
    key: String,
    value: Option<Any>,
}

#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct Values<T> {
    #[serde(default = "Vec::new", deserialize_with = "nullable")]
    values: Vec<T>,
}

/// A JSON object. Derived readers would take an array too and fill the fields by position.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// Reads `null` as if the field were left out.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a whole number that stands as a number, as a string of digits, or as `null`.
pub(crate) fn whole<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i128> + Default,
{
    let number = match Option::deserialize(deserializer)? {
        None => return Ok(T::default()),
        Some(Whole::Signed(it)) => i128::from(it),
        Some(Whole::Unsigned(it)) => i128::from(it),
        Some(Whole::Text(it)) => it.parse().map_err(D::Error::custom)?,
    };
    T::try_from(number).map_err(|_| D::Error::custom(format!("number {number} is out of range")))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Whole {
    Signed(i64),
    Unsigned(u64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Double {
    Number(f64),
    Text(String),
}

impl Double {
    fn value(self) -> Result<Value, String> {
        match self {
            Self::Number(it) => Ok(from_double(it)),
            // Protobuf spells the numbers that JSON does not have; Rust reads the same names.
            Self::Text(it) => it.parse().map(from_double).map_err(|error| format!("{it}: {error}")),
        }
    }
}

/// One value; `{}` is the empty one.
#[derive(Default)]
struct Any(Value);

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnyVisitor)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Any;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Any, A::Error> {
        let mut found = Value::Null;
        while let Some(key) = map.next_key::<String>()? {
            found = value_of(&key, &mut map)?.unwrap_or(found);
        }
        Ok(Any(found))
    }
}

/// Reads the value of one key; `None` when it is `null` or the key is unknown.
fn value_of<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Option<Value>, A::Error> {
    Ok(match key {
        // Bytes stay in base64: JSON has no other form for them.
        "stringValue" | "bytesValue" => map.next_value::<Option<String>>()?.map(Value::String),
        "boolValue" => map.next_value::<Option<bool>>()?.map(Value::Bool),
        "intValue" => map.next_value::<Option<Int>>()?.map(|it| it.0.into()),
        "doubleValue" => match map.next_value::<Option<Double>>()? {
            None => None,
            Some(it) => Some(it.value().map_err(A::Error::custom)?),
        },
        "arrayValue" => map
            .next_value::<Option<Object<Values<Any>>>>()?
            .map(|Object(it)| it.values.into_iter().map(|it| it.0).collect()),
        "kvlistValue" => map
            .next_value::<Option<Object<Values<Object<Pair>>>>>()?
            .map(|Object(it)| Value::Object(to_map(it.values))),
        _ => {
            map.next_value::<IgnoredAny>()?;
            None
        }
    })
}

struct Int(i64);

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole(deserializer).map(Self)
    }
}
