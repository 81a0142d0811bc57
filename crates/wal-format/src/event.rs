//! What an entry says happened.
//!
//! | key        | value                                                                     |
//! |------------|---------------------------------------------------------------------------|
//! | `kind`     | `autonomy.decision`, `.action`, `.lifecycle`, `.error`, or any other text   |
//! | `attrs`    | object; keys are written in byte order                                      |
//! | `trace_id` | optional, 32 hex digits of a W3C trace                                      |
//! | `span_id`  | optional, 16 hex digits                                                     |

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value, value::RawValue};

use crate::plain::Plain;

/// Prefix of the kinds that this system defines.
const PREFIX: &str = "autonomy.";
/// Bytes that most events have room in.
const USUAL_LEN: usize = 1024;

/// What sort of event it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A policy decision about a tool call.
    Decision,
    /// The outcome of a tool that ran.
    Action,
    /// Something about the process or the log itself.
    Lifecycle,
    /// A failure.
    Error,
    /// Any other text; its class is that of lifecycle events.
    Other(String),
}

impl Kind {
    /// Reads the text of a kind. Every text is a kind.
    pub fn parse(text: &str) -> Self {
        match text {
            "autonomy.decision" => Self::Decision,
            "autonomy.action" => Self::Action,
            "autonomy.lifecycle" => Self::Lifecycle,
            "autonomy.error" => Self::Error,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Returns the text as stored.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Decision => "autonomy.decision",
            Self::Action => "autonomy.action",
            Self::Lifecycle => "autonomy.lifecycle",
            Self::Error => "autonomy.error",
            Self::Other(text) => text,
        }
    }

    /// Returns the text without the `autonomy.` prefix, as operators and collectors see it.
    pub fn short(&self) -> &str {
        let text = self.as_str();
        text.strip_prefix(PREFIX).unwrap_or(text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An event to be written.
///
/// Its attributes are a map, or for who writes many of one form a struct with its fields in byte order of
/// their names, which is spared the map.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event<A = Map<String, Value>> {
    /// What sort of event it is.
    pub kind: Kind,
    /// What is known about it.
    pub attrs: A,
    /// W3C trace id, when the event belongs to a trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// W3C span id, when the event belongs to a span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
}

impl Event {
    /// Makes an event without attributes.
    pub fn new(kind: Kind) -> Self {
        Self { kind, attrs: Map::new(), trace_id: None, span_id: None }
    }

    /// Sets an attribute.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.attrs.insert(key.to_owned(), value.into());
        self
    }

    /// Sets an attribute when there is a value.
    #[must_use]
    pub fn with_some(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}

impl<A: Serialize> Event<A> {
    /// Returns the compact JSON object that stands in an entry.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(USUAL_LEN);
        // Strings, numbers and maps with string keys always serialize.
        match serde_json::to_writer(&mut out, self) {
            Ok(()) => out,
            Err(_) => Vec::new(),
        }
    }
}

/// An event as stored, borrowed from the payload of its entry.
#[derive(Clone, Debug, Deserialize)]
pub struct EventRef<'a> {
    /// Text of the kind; empty when a foreign writer left it out.
    #[serde(borrow, default)]
    pub kind: Cow<'a, str>,
    /// The attributes as stored; absent when a foreign writer left them out.
    #[serde(borrow, default)]
    pub attrs: Option<&'a RawValue>,
    /// W3C trace id.
    #[serde(borrow, default)]
    pub trace_id: Option<Cow<'a, str>>,
    /// W3C span id.
    #[serde(borrow, default)]
    pub span_id: Option<Cow<'a, str>>,
}

impl EventRef<'_> {
    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        Kind::parse(&self.kind)
    }

    /// Returns the attributes; empty when there are none.
    ///
    /// # Errors
    ///
    /// When `attrs` is not an object.
    pub fn attrs(&self) -> serde_json::Result<Map<String, Value>> {
        match self.attrs.map(|raw| serde_json::from_str(raw.get())).transpose()? {
            None | Some(Plain(Value::Null)) => Ok(Map::new()),
            Some(Plain(Value::Object(attrs))) => Ok(attrs),
            Some(_) => Err(serde_json::Error::custom("attrs is not an object")),
        }
    }

    /// Returns the event with everything copied.
    ///
    /// # Errors
    ///
    /// When `attrs` is not an object.
    pub fn to_owned(&self) -> serde_json::Result<Event> {
        Ok(Event {
            kind: self.kind(),
            attrs: self.attrs()?,
            trace_id: self.trace_id.as_deref().map(str::to_owned),
            span_id: self.span_id.as_deref().map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_a_kind_and_keeps_its_text() {
        for text in ["autonomy.decision", "autonomy.action", "autonomy.error", "x", ""] {
            assert_eq!(Kind::parse(text).as_str(), text);
        }
        assert_eq!(Kind::Decision.short(), "decision");
        assert_eq!(Kind::parse("robot.pose").short(), "robot.pose");
    }

    #[test]
    fn attributes_are_written_in_byte_order_and_absent_ids_are_left_out() {
        let event = Event::new(Kind::Error).with("b", 1).with("a", true).with_some("c", None::<u8>);
        assert_eq!(
            String::from_utf8(event.to_json()).unwrap(),
            r#"{"kind":"autonomy.error","attrs":{"a":true,"b":1}}"#
        );
    }

    #[test]
    fn foreign_events_may_leave_everything_out() {
        let event: EventRef<'_> = serde_json::from_str(r#"{"attrs":null,"more":1}"#).unwrap();
        assert_eq!(event.to_owned().unwrap(), Event::new(Kind::parse("")));
        let event: EventRef<'_> = serde_json::from_str(r#"{"attrs":[1]}"#).unwrap();
        assert!(event.attrs().is_err());
    }

    #[test]
    fn no_key_of_an_agent_changes_what_is_read() {
        let params = Map::from_iter([("$serde_json::private::RawValue".to_owned(), "{".into())]);
        let event = Event::new(Kind::Decision).with("decision", "deny").with("params", params);
        let stored = event.to_json();
        let stored: EventRef<'_> = serde_json::from_slice(&stored).unwrap();
        assert_eq!(stored.to_owned().unwrap(), event);
    }
}
