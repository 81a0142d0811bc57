//! JSON to values, without exceptions.
//!
//! `serde_json::Value` has one: an object whose first key is the private one of its raw values
//! becomes whatever the text behind that key says. Keys come from agents, so an attribute could be
//! read as something else than what was written, or make its entry unreadable.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// A value as it stands in the text.
///
/// # Examples
///
/// ```
/// let text = r#"{"$serde_json::private::RawValue":"{"}"#;
/// let wal_format::Plain(value) = serde_json::from_str(text)?;
/// assert_eq!(value.to_string(), text);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug)]
pub struct Plain(pub Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Plain, E> {
        Ok(Plain(Value::Null))
    }

    fn visit_bool<E>(self, it: bool) -> Result<Plain, E> {
        Ok(Plain(Value::Bool(it)))
    }

    fn visit_i64<E>(self, it: i64) -> Result<Plain, E> {
        Ok(Plain(it.into()))
    }

    fn visit_u64<E>(self, it: u64) -> Result<Plain, E> {
        Ok(Plain(it.into()))
    }

    fn visit_f64<E>(self, it: f64) -> Result<Plain, E> {
        // JSON has no other numbers, so there always is one.
        Ok(Plain(Number::from_f64(it).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, it: &str) -> Result<Plain, E> {
        Ok(Plain(Value::String(it.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Plain, A::Error> {
        let mut items = Vec::new();
        while let Some(Plain(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Plain(Value::Array(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plain, A::Error> {
        let mut members = Map::new();
        while let Some((key, Plain(value))) = map.next_entry()? {
            members.insert(key, value);
        }
        Ok(Plain(Value::Object(members)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_stands_there() {
        let text = r#"{"a":[null,true,-1,18446744073709551615,1.5,"x"],"b":{},"a2":""}"#;
        let Plain(value) = serde_json::from_str(text).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
        let text = r#"{"$serde_json::private::RawValue":"{"}"#;
        let Plain(value) = serde_json::from_str(text).unwrap();
        assert_eq!(value.to_string(), text);
    }
}
