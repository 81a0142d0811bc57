//! Strict reading of small JSON documents that are signed or hashed.
//!
//! Two readers that understand one document differently are a way around every signature. What is read here has one
//! meaning, and what has two is refused.
//!
//! # Invariants
//!
//! * **J1** No object has a member twice, at any depth and however its name is escaped.
//! * **J2** Length and nesting are bounded before anything is built.
//! * **J3** An object is read by the names of its members. A list never stands for one.
//! * **J4** A number is a whole number written without point and exponent, so that it has one spelling.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{Algorithm, Digest};

/// Most lists and objects inside one another.
pub(crate) const DEPTH_MAX: usize = 32;
/// Beginning of the names by which the JSON library marks its own types.
const PRIVATE: &str = "$serde_json::private::";
/// Bytes of a foreign text that an error repeats.
const SHOWN_MAX: usize = 96;

/// Why a document does not have the form it should have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FormError {
    /// Longer than anything that is read (J2).
    #[error("it has {len} bytes, more than {max}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// No JSON, or JSON with two meanings (J1, J2).
    #[error("it cannot be read: {text}")]
    Json {
        /// What is wrong, and where.
        text: String,
    },
    /// A member is not there.
    #[error("`{at}` is missing")]
    Missing {
        /// Path of the member.
        at: String,
    },
    /// A member is there that nobody knows.
    #[error("`{at}` is unknown")]
    Unknown {
        /// Path of the member.
        at: String,
    },
    /// A member is of another kind (J3, J4).
    #[error("`{at}` is no {expected}")]
    Kind {
        /// Path of the member.
        at: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A text is longer than it may be.
    #[error("`{at}` has {len} bytes, more than {max}")]
    Length {
        /// Path of the member.
        at: String,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A list has more entries than it may have.
    #[error("`{at}` has {found} entries, more than {max}")]
    Entries {
        /// Path of the list.
        at: String,
        /// How many.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A member is of the right kind, but not one of the values it may have.
    #[error("`{at}`: {text}")]
    Value {
        /// Path of the member.
        at: String,
        /// What is wrong.
        text: String,
    },
}

/// Reads a document that is one object (J1, J2).
pub(crate) fn object(bytes: &[u8], len_max: usize) -> Result<Map<String, Value>, FormError> {
    if bytes.len() > len_max {
        return Err(FormError::TooLong { len: bytes.len(), max: len_max });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = Strict { depth: 0 }.deserialize(&mut deserializer);
    let value = read.and_then(|it| deserializer.end().map(|()| it));
    match value.map_err(|it| FormError::Json { text: shown(&it.to_string()) })? {
        Value::Object(map) => Ok(map),
        _ => Err(FormError::Json { text: "expected an object".to_owned() }),
    }
}

/// A foreign text, shortened for a message, without what could steer a terminal.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect()
}

/// The members of an object, taken by name (J3).
pub(crate) struct Members<'a> {
    at: String,
    map: &'a Map<String, Value>,
    taken: Vec<&'static str>,
}

impl<'a> Members<'a> {
    /// The members of a whole document.
    pub(crate) fn new(map: &'a Map<String, Value>) -> Self {
        Self { at: String::new(), map, taken: Vec::new() }
    }

    /// The path of a member.
    pub(crate) fn at(&self, name: &str) -> String {
        if self.at.is_empty() { shown(name) } else { format!("{}.{}", self.at, shown(name)) }
    }

    /// An error about the value of a member.
    pub(crate) fn error(&self, name: &str, text: impl fmt::Display) -> FormError {
        FormError::Value { at: self.at(name), text: text.to_string() }
    }

    /// A member that may be absent.
    pub(crate) fn find(&mut self, name: &'static str) -> Option<&'a Value> {
        self.taken.push(name);
        self.map.get(name)
    }

    fn take(&mut self, name: &'static str) -> Result<&'a Value, FormError> {
        self.find(name).ok_or_else(|| FormError::Missing { at: self.at(name) })
    }

    fn kind(&self, name: &str, expected: &'static str) -> FormError {
        FormError::Kind { at: self.at(name), expected }
    }

    /// An object inside this one.
    pub(crate) fn inner(&mut self, name: &'static str) -> Result<Self, FormError> {
        let map = self.take(name)?.as_object().ok_or_else(|| self.kind(name, "object"))?;
        Ok(Self { at: self.at(name), map, taken: Vec::new() })
    }

    /// A list of objects.
    pub(crate) fn list(&mut self, name: &'static str, max: usize) -> Result<Vec<Self>, FormError> {
        let items = self.take(name)?.as_array().ok_or_else(|| self.kind(name, "list"))?;
        if items.len() > max {
            return Err(FormError::Entries { at: self.at(name), found: items.len(), max });
        }
        let entry = |(index, item): (usize, &'a Value)| {
            let at = format!("{}[{index}]", self.at(name));
            match item.as_object() {
                Some(map) => Ok(Self { at, map, taken: Vec::new() }),
                None => Err(FormError::Kind { at, expected: "object" }),
            }
        };
        items.iter().enumerate().map(entry).collect()
    }

    /// A text that is as long as it likes; the document bounds it.
    pub(crate) fn any_text(&mut self, name: &'static str) -> Result<&'a str, FormError> {
        self.take(name)?.as_str().ok_or_else(|| self.kind(name, "text"))
    }

    /// A text for people: not empty, bounded, without control characters.
    pub(crate) fn text(&mut self, name: &'static str, max: usize) -> Result<&'a str, FormError> {
        let text = self.any_text(name)?;
        if text.len() > max {
            return Err(FormError::Length { at: self.at(name), len: text.len(), max });
        }
        if text.is_empty() {
            return Err(self.error(name, "is empty"));
        }
        if text.chars().any(char::is_control) {
            return Err(self.error(name, "has a control character"));
        }
        Ok(text)
    }

    /// A whole number (J4).
    pub(crate) fn number(&mut self, name: &'static str) -> Result<u64, FormError> {
        self.take(name)?.as_u64().ok_or_else(|| self.kind(name, "whole number from 0 to 2^64-1"))
    }

    /// A digest made in one of the given ways.
    pub(crate) fn digest(
        &mut self,
        name: &'static str,
        allowed: &[Algorithm],
    ) -> Result<Digest, FormError> {
        let text = self.any_text(name)?;
        let digest = text.parse::<Digest>();
        let digest = digest.map_err(|_| self.error(name, no_digest(text, allowed)))?;
        if allowed.contains(&digest.algorithm()) {
            return Ok(digest);
        }
        Err(self.error(name, no_digest(text, allowed)))
    }

    /// A time, in the one spelling that is written: RFC 3339 in UTC, no digits that say nothing.
    pub(crate) fn time(&mut self, name: &'static str) -> Result<Timestamp, FormError> {
        let text = self.any_text(name)?;
        time(text).map_err(|it| self.error(name, it))
    }

    /// Refuses members that were not asked for.
    pub(crate) fn end(self) -> Result<(), FormError> {
        match self.map.keys().find(|it| !self.taken.contains(&it.as_str())) {
            Some(name) => Err(FormError::Unknown { at: self.at(name) }),
            None => Ok(()),
        }
    }
}

fn no_digest(text: &str, allowed: &[Algorithm]) -> String {
    let names: Vec<_> = allowed.iter().map(|it| format!("{}:", it.name())).collect();
    format!("`{}` is not {} and 64 lower-case hex digits", shown(text), names.join(" or "))
}

/// A time in its one spelling.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let time: Timestamp = text
        .parse()
        .map_err(|_| format!("`{}` is no time of the form 2026-01-02T03:04:05Z", shown(text)))?;
    let spelling = time.to_string();
    if spelling == text {
        return Ok(time);
    }
    Err(format!("`{}` has to be written {spelling}", shown(text)))
}

/// Builds a value and refuses what has two meanings.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format_args!("nested deeper than {DEPTH_MAX}")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, it: bool) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_i64<E>(self, it: i64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_u64<E>(self, it: u64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_f64<E>(self, it: f64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_str<E>(self, it: &str) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_string<E>(self, it: String) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut members = Map::new();
        while let Some(name) = access.next_key::<Cow<'de, str>>()? {
            if name.starts_with(PRIVATE) {
                return Err(A::Error::custom(format_args!("`{}` is reserved", shown(&name))));
            }
            if members.contains_key(name.as_ref()) {
                return Err(A::Error::custom(format_args!("`{}` stands twice", shown(&name))));
            }
            let value = access.next_value_seed(inner)?;
            members.insert(name.into_owned(), value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn refused(text: &str, why: &str) {
        let error = object(text.as_bytes(), 1 << 20).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_however_deep_and_however_it_is_escaped() {
        refused(r#"{"a":1,"a":1}"#, "`a` stands twice"); // J1
        refused(r#"{"x":[{"k":1,"\u006b":2}]}"#, "`k` stands twice");
        refused(r#"{"x":{"k":{},"y":0,"k":{}}}"#, "`k` stands twice");
        assert!(object(br#"{"a":{"k":1},"b":{"k":1},"k":[{"k":1}]}"#, 99).is_ok());
    }

    #[test]
    fn nesting_and_length_are_bounded() {
        let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(object(nested(DEPTH_MAX - 1).as_bytes(), 1 << 20).is_ok());
        refused(&nested(DEPTH_MAX), "nested deeper than 32"); // J2
        refused(&nested(100_000), "nested deeper than 32");
        assert_eq!(object(b"{ }", 2), Err(FormError::TooLong { len: 3, max: 2 }));
    }

    #[test]
    fn what_is_no_object_alone_is_refused() {
        for text in
            ["", "null", "[]", "{} {}", "\u{feff}{}", "{\"a\":1,}", "{'a':1}", "{\"a\":NaN}"]
        {
            assert!(object(text.as_bytes(), 99).is_err(), "{text}");
        }
        assert!(object(b"{\"a\":\"\xff\"}", 99).is_err());
        assert!(object(br#"{"a":"\ud800"}"#, 99).is_err());
        refused(r#"{"$serde_json::private::RawValue":"{}"}"#, "reserved");
    }

    #[test]
    fn a_number_and_a_time_have_one_spelling() {
        for text in ["1.0", "1e3", "-1", "-0", "18446744073709551616", "\"1\"", "null"] {
            let map = object(format!("{{\"n\":{text}}}").as_bytes(), 99).unwrap();
            let error = Members::new(&map).number("n").unwrap_err();
            assert!(matches!(error, FormError::Kind { .. }), "{text}"); // J4
        }
        assert!(time("2026-01-02T03:04:05Z").is_ok());
        for text in ["2026-01-02T03:04:05.0Z", "2026-01-02T03:04:05+00:00", "2026-01-02", "now"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_message_repeats_no_control_characters() {
        let map = object(br#"{"\u001b[2Jx":1}"#, 99).unwrap();
        let error = Members::new(&map).end().unwrap_err().to_string();
        assert_eq!(error, "`\u{fffd}[2Jx` is unknown");
    }

    proptest! {
        #[test]
        fn what_the_library_writes_is_read_as_it_was(keys in prop::collection::vec(".*", 0..6)) {
            let inner: Map<_, _> = keys.iter().map(|it| (it.clone(), Value::from(it.clone()))).collect();
            let map: Map<_, _> = [("x".to_owned(), Value::from(vec![Value::Object(inner)]))].into_iter().collect();
            let bytes = serde_json::to_vec(&map).unwrap();
            prop_assert_eq!(object(&bytes, 1 << 20), Ok(map));
        }
    }
}
