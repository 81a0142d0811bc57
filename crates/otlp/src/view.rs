//! Records and values that borrow what they were made from.
//!
//! A node encodes what stands in its log, and a copy of every key and text would cost more than the
//! encoding. Both encodings are written from these; a [`Record`] is viewed first.
//!
//! # Invariants
//!
//! * **P1** The keys of [`Pairs`] are in byte order and each stands once. Of a repeated key the last
//!   value counts, as everywhere (V3).
//! * **P2** A [`ValueRef`] is what stands in the text. No key is special: `serde_json::Value` takes an
//!   object that begins with the private key of its raw values for something else.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use crate::{Record, Severity, SpanId, TraceId};

mod read;
mod write;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number of 64 bits with sign.
    Int(i64),
    /// A whole number beyond [`i64::MAX`].
    Uint(u64),
    /// Any other number.
    Double(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<ValueRef<'a>>),
    /// An object.
    Map(Pairs<'a>),
}

impl ValueRef<'_> {
    /// Returns the text when it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the value with everything copied.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(it) => Value::Bool(*it),
            Self::Int(it) => (*it).into(),
            Self::Uint(it) => (*it).into(),
            Self::Double(it) => Number::from_f64(*it).map_or(Value::Null, Value::Number),
            Self::Text(it) => Value::String(it.as_ref().to_owned()),
            Self::List(items) => items.iter().map(Self::to_value).collect(),
            Self::Map(pairs) => Value::Object(pairs.to_map()),
        }
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(it) => Self::Bool(*it),
            Value::Number(it) => match (it.as_i64(), it.as_u64()) {
                (Some(int), _) => Self::Int(int),
                (None, Some(uint)) => Self::Uint(uint),
                // Without one of the three a number has no value at all.
                (None, None) => it.as_f64().map_or(Self::Null, Self::Double),
            },
            Value::String(it) => it.as_str().into(),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(map) => Self::Map(map.into()),
        }
    }
}

impl<'a> From<&'a str> for ValueRef<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for ValueRef<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

/// A key and its value.
pub type Pair<'a> = (Cow<'a, str>, ValueRef<'a>);

/// Attributes, or the members of an object (P1).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs<'a>(Vec<Pair<'a>>);

impl<'a> Pairs<'a> {
    /// Puts pairs in order (P1).
    pub fn new(mut pairs: Vec<Pair<'a>>) -> Self {
        let in_order = |(one, next): (&Pair<'_>, &Pair<'_>)| one.0 < next.0;
        if !pairs.iter().zip(pairs.iter().skip(1)).all(in_order) {
            // Stable, so that backwards the last of a repeated key is the first, which is kept.
            pairs.sort_by(|one, other| one.0.cmp(&other.0));
            pairs.reverse();
            pairs.dedup_by(|one, other| one.0 == other.0);
            pairs.reverse();
        }
        Self(pairs)
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&ValueRef<'a>> {
        let at = self.0.binary_search_by(|it| it.0.as_ref().cmp(key)).ok()?;
        self.0.get(at).map(|it| &it.1)
    }

    /// Returns the pairs in order.
    pub fn as_slice(&self) -> &[Pair<'a>] {
        &self.0
    }

    /// Gives the pairs away, in order.
    pub fn into_vec(self) -> Vec<Pair<'a>> {
        self.0
    }

    /// Returns a map with everything copied.
    pub fn to_map(&self) -> Map<String, Value> {
        self.0.iter().map(|(key, value)| (key.as_ref().to_owned(), value.to_value())).collect()
    }
}

impl<'a> From<&'a Map<String, Value>> for Pairs<'a> {
    fn from(map: &'a Map<String, Value>) -> Self {
        Self::new(map.iter().map(|it| (Cow::Borrowed(it.0.as_str()), it.1.into())).collect())
    }
}

/// One log record; the fields are those of [`Record`].
#[derive(Clone, Debug, PartialEq)]
pub struct RecordRef<'a> {
    /// When it happened, in nanoseconds since the Unix epoch; 0 means unknown.
    pub time_unix_nano: u64,
    /// When a collector saw it; 0 means unknown.
    pub observed_time_unix_nano: u64,
    /// How severe it is.
    pub severity: Severity,
    /// The severity in the words of its source.
    pub severity_text: &'a str,
    /// Name of the class of event.
    pub event_name: &'a str,
    /// The message.
    pub body: ValueRef<'a>,
    /// What else is known.
    pub attributes: Pairs<'a>,
    /// Attributes that an earlier hop left out.
    pub dropped_attributes_count: u32,
    /// W3C trace flags.
    pub flags: u32,
    /// The trace it belongs to.
    pub trace_id: Option<TraceId>,
    /// The span it belongs to.
    pub span_id: Option<SpanId>,
}

impl RecordRef<'_> {
    /// Returns the record with everything copied.
    pub fn to_record(&self) -> Record {
        Record {
            time_unix_nano: self.time_unix_nano,
            observed_time_unix_nano: self.observed_time_unix_nano,
            severity: self.severity,
            severity_text: self.severity_text.to_owned(),
            event_name: self.event_name.to_owned(),
            body: self.body.to_value(),
            attributes: self.attributes.to_map(),
            dropped_attributes_count: self.dropped_attributes_count,
            flags: self.flags,
            trace_id: self.trace_id,
            span_id: self.span_id,
        }
    }
}

impl<'a> From<&'a Record> for RecordRef<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            time_unix_nano: record.time_unix_nano,
            observed_time_unix_nano: record.observed_time_unix_nano,
            severity: record.severity,
            severity_text: &record.severity_text,
            event_name: &record.event_name,
            body: (&record.body).into(),
            attributes: (&record.attributes).into(),
            dropped_attributes_count: record.dropped_attributes_count,
            flags: record.flags,
            trace_id: record.trace_id,
            span_id: record.span_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pairs_are_in_order_and_of_a_repeated_key_the_last_counts() {
        let pair = |(key, n)| (Cow::Borrowed(key), ValueRef::Int(n));
        let pairs = Pairs::new([("b", 1), ("a", 2), ("b", 3), ("c", 4), ("b", 5)].map(pair).into());
        assert_eq!(pairs.as_slice(), [("a", 2), ("b", 5), ("c", 4)].map(pair));
        assert_eq!(pairs.get("b"), Some(&ValueRef::Int(5)));
        assert_eq!(pairs.get("d"), None);
        let pairs = Pairs::new([("a", 1), ("a", 2)].map(pair).into());
        assert_eq!(pairs.as_slice(), [("a", 2)].map(pair));
    }

    #[test]
    fn what_is_read_is_what_stands_there() {
        let text = r#"{"z":[null,true,-1,1.5,18446744073709551615,9223372036854775807,-0],"a":{"k":"v\n","k":"w"}}"#;
        let read: ValueRef<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(read.to_value(), serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(ValueRef::from(&read.to_value()), read);
        assert_eq!(serde_json::to_string(&read).unwrap(), read.to_value().to_string());
    }

    #[test]
    fn texts_without_escapes_are_borrowed() {
        let ValueRef::Map(pairs) = serde_json::from_str(r#"{"key":"text","esc":"\n"}"#).unwrap()
        else {
            panic!("an object");
        };
        let pairs = pairs.into_vec();
        assert!(matches!(&pairs[1], (Cow::Borrowed("key"), ValueRef::Text(Cow::Borrowed("text")))));
        assert!(matches!(&pairs[0].1, ValueRef::Text(Cow::Owned(it)) if it == "\n"));
    }

    #[test]
    fn no_key_is_special() {
        let text = r#"{"$serde_json::private::RawValue":"{","$serde_json::private::Number":"1"}"#;
        let read: ValueRef<'_> = serde_json::from_str(text).unwrap();
        let want = Map::from_iter([
            ("$serde_json::private::RawValue".to_owned(), json!("{")),
            ("$serde_json::private::Number".to_owned(), json!("1")),
        ]);
        assert_eq!(read.to_value(), Value::Object(want));
    }
}
