//! What a general JSON parser says about a payload.
//!
//! `serde_json::Value` itself is not quite general: an object whose first key is that of its raw
//! values (`$serde_json::private::RawValue`) becomes what the text behind it says. [`Plain`] is a
//! `Value` without that.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// The verdict of the parser.
#[derive(Debug)]
pub enum Json {
    /// An object, with its members in the order of the text, repeated keys included.
    Object(Value, Vec<(String, Value)>),
    /// JSON, but not an object.
    Other,
    /// JSON by the grammar of RFC 8259 that a `Value` cannot hold: nested deeper than 128 levels, a
    /// number beyond an `f64`, half a surrogate pair. The log takes such an entry of others as it
    /// is, since it never rewrites one.
    Unusual,
    /// No JSON.
    Bad(String),
}

/// What `serde_json` says about the texts that only a `Value` refuses.
const UNUSUAL: [&str; 5] = [
    "recursion limit exceeded",
    "number out of range",
    "lone leading surrogate in hex escape",
    "unexpected end of hex escape",
    "invalid unicode code point",
];

/// Parses `payload` without the code under test.
pub fn judge(payload: &[u8]) -> Json {
    let value = match serde_json::from_slice::<Plain>(payload) {
        Ok(Plain(value)) => value,
        Err(error) => {
            let text = error.to_string();
            let unusual = UNUSUAL.iter().any(|it| text.starts_with(it));
            return if unusual { Json::Unusual } else { Json::Bad(text) };
        }
    };
    match serde_json::from_slice::<Members>(payload) {
        Ok(members) if value.is_object() => Json::Object(value, members.0),
        _ => Json::Other,
    }
}

/// Any value.
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
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Plain, E> {
        Ok(Plain(Value::Null))
    }

    fn visit_bool<E>(self, it: bool) -> Result<Plain, E> {
        Ok(Plain(it.into()))
    }

    fn visit_i64<E>(self, it: i64) -> Result<Plain, E> {
        Ok(Plain(it.into()))
    }

    fn visit_u64<E>(self, it: u64) -> Result<Plain, E> {
        Ok(Plain(it.into()))
    }

    fn visit_f64<E>(self, it: f64) -> Result<Plain, E> {
        Ok(Plain(Number::from_f64(it).into()))
    }

    fn visit_str<E>(self, it: &str) -> Result<Plain, E> {
        Ok(Plain(it.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Plain, A::Error> {
        let mut items = Vec::new();
        while let Some(Plain(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Plain(items.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plain, A::Error> {
        let mut members = Map::new();
        while let Some((key, Plain(value))) = map.next_entry()? {
            members.insert(key, value);
        }
        Ok(Plain(members.into()))
    }
}

struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some((key, Plain(value))) = map.next_entry()? {
            members.push((key, value));
        }
        Ok(Members(members))
    }
}
