//! JSON values to OTLP values and back.
//!
//! | JSON                                  | OTLP            | back                            |
//! |---------------------------------------|-----------------|---------------------------------|
//! | `null`                                | empty value     | `null`                          |
//! | boolean, string                       | the same        | the same                        |
//! | whole number of 64 bits with sign     | `int`           | the same                        |
//! | larger whole number                   | `string`        | string of the same digits (V2)  |
//! | other number                          | `double`        | the same                        |
//! | array, object                         | array, key list | the same                        |
//! | nested deeper than [`VALUE_DEPTH_MAX`]| `string`        | string with the JSON text (V1)  |
//! | –                                     | `bytes`         | string in base64                |
//! | –                                     | NaN, infinities | string `NaN`, `Infinity`, …     |
//!
//! # Invariants
//!
//! * **V1** What is encoded can be decoded by readers that stop at 100 nested messages, as most
//!   protobuf libraries do: one level of an object costs three of them.
//! * **V2** No number loses a digit: OTLP has no unsigned 64-bit integers.
//! * **V3** In a key list with a repeated key, which OTLP forbids, the last one counts.

use base64::Engine as _;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use serde_json::{Map, Number, Value};

use crate::view::{Pairs, ValueRef};

/// Lists and maps inside one another that are sent as such (V1).
pub const VALUE_DEPTH_MAX: usize = 16;

/// What becomes of one JSON value on the wire, whichever the encoding: the one place that decides.
#[derive(Debug)]
pub(crate) enum Wire<'a> {
    Empty,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'a str),
    /// Text that stands for a value OTLP cannot carry.
    Spelled(String),
    List(&'a [ValueRef<'a>]),
    Map(&'a Pairs<'a>),
}

/// Decides how `value` is sent when `depth` lists and maps are around it.
pub(crate) fn to_wire<'a>(value: &'a ValueRef<'a>, depth: usize) -> Wire<'a> {
    match value {
        ValueRef::Null => Wire::Empty,
        ValueRef::Bool(it) => Wire::Bool(*it),
        ValueRef::Text(it) => Wire::Text(it),
        ValueRef::Int(it) => Wire::Int(*it),
        ValueRef::Uint(it) => Wire::Spelled(it.to_string()),
        ValueRef::Double(it) => Wire::Double(*it),
        ValueRef::List(_) | ValueRef::Map(_) if depth >= VALUE_DEPTH_MAX => {
            Wire::Spelled(value.to_string())
        }
        ValueRef::List(items) => Wire::List(items),
        ValueRef::Map(pairs) => Wire::Map(pairs),
    }
}

/// Returns the JSON form of a value.
pub(crate) fn from_any(any: AnyValue) -> Value {
    match any.value {
        None => Value::Null,
        Some(Any::BoolValue(it)) => Value::Bool(it),
        // A reference into a table that log requests do not have: only its number is known.
        Some(Any::StringValueStrindex(it)) => it.into(),
        Some(Any::IntValue(it)) => it.into(),
        Some(Any::DoubleValue(it)) => from_double(it),
        Some(Any::StringValue(it)) => Value::String(it),
        Some(Any::BytesValue(it)) => {
            Value::String(base64::engine::general_purpose::STANDARD.encode(it))
        }
        Some(Any::ArrayValue(it)) => Value::Array(it.values.into_iter().map(from_any).collect()),
        Some(Any::KvlistValue(it)) => Value::Object(from_pairs(it.values)),
    }
}

/// Returns the JSON form of attributes (V3).
pub(crate) fn from_pairs(pairs: Vec<KeyValue>) -> Map<String, Value> {
    pairs.into_iter().map(|it| (it.key, it.value.map_or(Value::Null, from_any))).collect()
}

/// Returns a JSON number, or the name of a number that JSON does not have.
pub(crate) fn from_double(double: f64) -> Value {
    Number::from_f64(double).map_or_else(
        || {
            let name = match (double.is_nan(), double.is_sign_positive()) {
                (true, _) => "NaN",
                (false, true) => "Infinity",
                (false, false) => "-Infinity",
            };
            name.into()
        },
        Value::Number,
    )
}

/// Returns how many lists and maps stand inside one another.
pub(crate) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Encoding, Limits, Record, Resource, decode, encode_protobuf};

    /// The value as a reader of our protobuf has it.
    fn sent(value: &Value) -> Value {
        let record = Record { body: value.clone(), ..Record::default() };
        let body = encode_protobuf(&Resource::default(), &[record]);
        let limits = Limits { value_depth: usize::MAX, ..Limits::STANDARD };
        let mut groups = decode(&body, Encoding::Protobuf, &limits).unwrap();
        groups.remove(0).records.remove(0).body
    }

    #[track_caller]
    fn check(value: &Value, back: &Value) {
        assert_eq!(&sent(value), back);
    }

    #[test]
    fn values_come_back_and_numbers_keep_every_digit() {
        let value = json!({"a": [1, -1, 1.5, true, null, "x", {"b": []}], "c": {}});
        check(&value, &value);
        check(&json!(i64::MIN), &json!(i64::MIN));
        check(&json!(9_007_199_254_740_993_i64), &json!(9_007_199_254_740_993_i64));
        check(&json!(u64::MAX), &json!("18446744073709551615"));
        check(&json!(1.0), &json!(1.0));
    }

    #[test]
    fn what_is_nested_too_deep_is_sent_as_json_text() {
        let nested = |levels| (0..levels).fold(json!(7), |inner, _| json!([inner]));
        check(&nested(VALUE_DEPTH_MAX), &nested(VALUE_DEPTH_MAX));
        let sent = sent(&nested(100));
        assert_eq!(depth(&sent), VALUE_DEPTH_MAX);
        let text = "[".repeat(100 - VALUE_DEPTH_MAX) + "7" + &"]".repeat(100 - VALUE_DEPTH_MAX);
        let innermost = (0..VALUE_DEPTH_MAX).fold(&sent, |it, _| &it[0]);
        assert_eq!(innermost, &json!(text));
    }

    #[test]
    fn what_json_cannot_say_is_spelled() {
        let any = |value| AnyValue { value: Some(value) };
        assert_eq!(from_any(any(Any::DoubleValue(f64::NAN))), json!("NaN"));
        assert_eq!(from_any(any(Any::DoubleValue(f64::NEG_INFINITY))), json!("-Infinity"));
        assert_eq!(from_any(any(Any::BytesValue(vec![1, 2]))), json!("AQI="));
    }
}
