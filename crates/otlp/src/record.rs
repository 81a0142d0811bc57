//! Log records and what they belong to.
//!
//! # Invariants
//!
//! * **O1** An [`Id`] is never all zeros: OTLP and W3C define that as "no id".
//! * **O2** A trace or span id that cannot be one is not lost: its text becomes the attribute
//!   [`TRACE_ID_INVALID`] or [`SPAN_ID_INVALID`].

use std::{fmt, sync::Arc};

use serde_json::{Map, Value};

/// Attribute that keeps the text of a trace id that is none.
pub const TRACE_ID_INVALID: &str = "trace_id.invalid";
/// Attribute that keeps the text of a span id that is none.
pub const SPAN_ID_INVALID: &str = "span_id.invalid";

/// One log record. The default is the record that says nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// When it happened, in nanoseconds since the Unix epoch; 0 means unknown, as in OTLP.
    pub time_unix_nano: u64,
    /// When a collector saw it; 0 means unknown.
    pub observed_time_unix_nano: u64,
    /// How severe it is.
    pub severity: Severity,
    /// The severity in the words of its source; empty when there are none.
    pub severity_text: String,
    /// Name of the class of event; empty when the record is not an event.
    pub event_name: String,
    /// The message; [`Value::Null`] when there is none.
    pub body: Value,
    /// What else is known.
    pub attributes: Map<String, Value>,
    /// Attributes that an earlier hop left out.
    pub dropped_attributes_count: u32,
    /// W3C trace flags.
    pub flags: u32,
    /// The trace it belongs to.
    pub trace_id: Option<TraceId>,
    /// The span it belongs to.
    pub span_id: Option<SpanId>,
}

impl Record {
    /// Sets the trace id from its hex digits, or keeps the text as an attribute (O2).
    ///
    /// An empty text means that there is none.
    pub fn set_trace_id(&mut self, text: &str) {
        self.trace_id = Id::parse(text);
        self.keep_invalid(TRACE_ID_INVALID, text, self.trace_id.is_some());
    }

    /// Sets the span id from its hex digits, or keeps the text as an attribute (O2).
    ///
    /// An empty text means that there is none.
    pub fn set_span_id(&mut self, text: &str) {
        self.span_id = Id::parse(text);
        self.keep_invalid(SPAN_ID_INVALID, text, self.span_id.is_some());
    }

    fn keep_invalid(&mut self, key: &str, text: &str, valid: bool) {
        if !valid && !text.is_empty() {
            self.attributes.insert(key.to_owned(), text.into());
        }
    }
}

/// What produced records: a node, a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// What is known about it.
    pub attributes: Map<String, Value>,
}

impl Resource {
    /// Returns the attribute `service.name` when it is a text that is not empty.
    pub fn service_name(&self) -> Option<&str> {
        self.attributes.get("service.name").and_then(Value::as_str).filter(|it| !it.is_empty())
    }
}

/// The library that produced records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Its name; empty when unknown.
    pub name: String,
    /// Its version; empty when unknown.
    pub version: String,
}

/// Records of one resource and scope. The resource is shared, so that a large resource in front of
/// many scopes costs its size once.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What produced them.
    pub resource: Arc<Resource>,
    /// The library that produced them.
    pub scope: Scope,
    /// The records, as they stood.
    pub records: Vec<Record>,
}

/// A severity number of OTLP: 1 to 24, 0 for none. Other numbers are kept as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Severity(pub i32);

impl Severity {
    /// Nothing is said.
    pub const UNSPECIFIED: Self = Self(0);
    /// Normal work.
    pub const INFO: Self = Self(9);
    /// Something that a person may want to look at.
    pub const WARN: Self = Self(13);
    /// A failure.
    pub const ERROR: Self = Self(17);

    /// Returns the short name of the range the number is in, empty outside of all ranges.
    pub const fn name(self) -> &'static str {
        match self.0 {
            1..=4 => "TRACE",
            5..=8 => "DEBUG",
            9..=12 => "INFO",
            13..=16 => "WARN",
            17..=20 => "ERROR",
            21..=24 => "FATAL",
            _ => "",
        }
    }
}

/// A W3C trace id.
pub type TraceId = Id<16>;
/// A W3C span id.
pub type SpanId = Id<8>;

/// A trace or span id of `N` bytes, never all zeros (O1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id<const N: usize>([u8; N]);

impl<const N: usize> Id<N> {
    /// Reads `2 × N` hex digits of any case; `None` when the text is no id.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Self::from_bytes(&bytes)
    }

    /// Takes `N` bytes; `None` when there are more or fewer, or all are zero (O1).
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; N] = bytes.try_into().ok()?;
        (bytes != [0; N]).then_some(Self(bytes))
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> fmt::Display for Id<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Id<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_exactly_its_digits_and_is_not_zero() {
        let digits = "5B8EFFF798038103D269B633813FC60C";
        assert_eq!(TraceId::parse(digits).unwrap().to_string(), digits.to_lowercase());
        for bad in ["", "5b", "xx8efff798038103d269b633813fc60c", &"0".repeat(32), &"1".repeat(34)]
        {
            assert_eq!(TraceId::parse(bad), None, "{bad}");
        }
        assert_eq!(SpanId::from_bytes(&[0; 8]), None);
        assert_eq!(SpanId::from_bytes(&[1; 9]), None);
    }

    #[test]
    fn an_id_that_is_none_is_kept_as_an_attribute() {
        let mut record = Record::default();
        record.set_trace_id("nonsense");
        record.set_span_id("");
        assert_eq!(record.trace_id, None);
        assert_eq!(
            Value::Object(record.attributes),
            serde_json::json!({TRACE_ID_INVALID: "nonsense"})
        );
    }

    #[test]
    fn severity_names_follow_the_ranges_of_otlp() {
        let names = [0, 1, 4, 5, 9, 12, 13, 17, 21, 24, 25, -1].map(|it| Severity(it).name());
        let want = [
            "", "TRACE", "TRACE", "DEBUG", "INFO", "INFO", "WARN", "ERROR", "FATAL", "FATAL", "",
            "",
        ];
        assert_eq!(names, want);
    }
}
