//! The body of `POST /v1/events`: from bytes to checked events.
//!
//! A request is good as a whole or refused with the first thing that is wrong, by index and field.
//!
//! # Invariants
//!
//! * **E1** What is accepted can be read back by every reader of the wire type: each event parses
//!   as JSON values, is not nested deeper than [`EVENT_DEPTH_MAX`], and no field name repeats.
//! * **E3** No key is one by which the JSON library marks its own types: a reader that uses it would be
//!   given the content of a text in the place of an object.
//! * **E2** What is stored is the text of the node without white space, so numbers keep every digit.

use std::{collections::BTreeMap, fmt};

use api::control::EVENTS_PER_REQUEST_MAX;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use thiserror::Error;
use wal_format::Plain;

use super::rfc3339::{Rfc3339Error, to_unix_ns};
use crate::store::NewEvent;

/// Longest `event_id`, `event_type` and `node_id` in bytes. They are keys of indexes.
const KEY_LEN_MAX: usize = 256;
/// Deepest nesting inside an event. JSON readers have limits of their own, commonly 128.
const EVENT_DEPTH_MAX: usize = 64;

/// What is wrong with a body.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum IntakeError {
    /// Not JSON.
    #[error("body: {reason}")]
    NotJson { reason: String },
    /// Something else than an object.
    #[error("body: not a JSON object")]
    NotAnObject,
    /// No `events`.
    #[error("events: missing")]
    NoEvents,
    /// `events` is something else.
    #[error("events: not an array")]
    NotAnArray,
    /// Too many at once.
    #[error("events: {found} events, at most {EVENTS_PER_REQUEST_MAX} in one request")]
    TooMany { found: usize },
    /// One event is wrong.
    #[error("events[{index}]{flaw}")]
    Event { index: usize, flaw: Flaw },
}

/// What is wrong with an event.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum Flaw {
    /// Not an object, or JSON that readers refuse.
    #[error(": {reason}")]
    Unreadable { reason: String },
    /// Too long.
    #[error(": {found} bytes, at most {limit}")]
    TooLong { found: usize, limit: usize },
    /// Too deep (E1).
    #[error(": nested deeper than {EVENT_DEPTH_MAX}")]
    TooDeep,
    /// Not there.
    #[error(".{field}: missing")]
    Missing { field: &'static str },
    /// Not a string.
    #[error(".{field}: {found}, not a string")]
    NotAString { field: &'static str, found: &'static str },
    /// Empty or blank.
    #[error(".{field}: empty")]
    Empty { field: &'static str },
    /// Too long for a key.
    #[error(".{field}: {found} bytes, at most {KEY_LEN_MAX}")]
    KeyTooLong { field: &'static str, found: usize },
    /// A control character.
    #[error(".{field}: contains a control character")]
    Control { field: &'static str },
    /// Not a timestamp.
    #[error(".timestamp: `{found}`: {source}")]
    Timestamp { found: String, source: Rfc3339Error },
}

/// Reads and checks a body.
pub(super) fn parse(body: &[u8], event_len_max: usize) -> Result<Vec<NewEvent>, IntakeError> {
    let not_json = |error: serde_json::Error| IntakeError::NotJson { reason: error.to_string() };
    // A derived reader would also take an array in place of the object.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(IntakeError::NotAnObject);
    }
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(not_json)?;
    let events = envelope.events.ok_or(IntakeError::NoEvents)?;
    if !events.get().starts_with('[') {
        return Err(IntakeError::NotAnArray);
    }
    let Bounded { events, found } = serde_json::from_str(events.get()).map_err(not_json)?;
    if found > EVENTS_PER_REQUEST_MAX {
        return Err(IntakeError::TooMany { found });
    }
    let check = |(index, raw): (usize, &RawValue)| {
        check(raw.get(), event_len_max).map_err(|flaw| IntakeError::Event { index, flaw })
    };
    events.into_iter().enumerate().map(check).collect()
}

/// Beginning of the names that the JSON library keeps for itself (E3).
const RESERVED: &str = "$serde_json::private::";

/// The body; fields beside `events` are left to later versions.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    events: Option<&'a RawValue>,
}

/// An array, of which no more is kept than a request may have.
struct Bounded<'a> {
    events: Vec<&'a RawValue>,
    found: usize,
}

impl<'de> Deserialize<'de> for Bounded<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BoundedVisitor)
    }
}

struct BoundedVisitor;

impl<'de> Visitor<'de> for BoundedVisitor {
    type Value = Bounded<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Bounded<'de>, A::Error> {
        let mut events = Vec::new();
        while events.len() < EVENTS_PER_REQUEST_MAX {
            match seq.next_element()? {
                Some(event) => events.push(event),
                None => return Ok(Bounded { found: events.len(), events }),
            }
        }
        let mut found = events.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            found += 1;
        }
        Ok(Bounded { events, found })
    }
}

fn check(raw: &str, event_len_max: usize) -> Result<NewEvent, Flaw> {
    let body = compact(raw)?;
    if body.len() > event_len_max {
        return Err(Flaw::TooLong { found: body.len(), limit: event_len_max });
    }
    let unreadable = |error: serde_json::Error| Flaw::Unreadable { reason: reason(&error) };
    let Fields(mut fields) = serde_json::from_str(&body).map_err(unreadable)?;
    let event_id = key(&mut fields, "event_id")?;
    let event_type = key(&mut fields, "event_type")?;
    let node_id = key(&mut fields, "node_id")?;
    let timestamp = text(&mut fields, "timestamp")?;
    let at_ns = to_unix_ns(&timestamp)
        .map_err(|source| Flaw::Timestamp { found: shortened(&timestamp), source })?;
    Ok(NewEvent { event_id, event_type, node_id, at_ns, body })
}

/// The place in the line that serde adds is a place in the event, which would be misread as one in
/// the body.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// Every field by name; a name that repeats is an error (E1).
struct Fields(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((name, Plain(value))) = map.next_entry::<String, Plain>()? {
            if name.starts_with(RESERVED) || has_reserved(&value) {
                return Err(serde::de::Error::custom(format_args!("a key under `{RESERVED}`")));
            }
            if fields.contains_key(&name) {
                return Err(serde::de::Error::custom(format_args!("field `{name}` given twice")));
            }
            fields.insert(name, value);
        }
        Ok(Fields(fields))
    }
}

/// Whether a reader would take some object of the event for something else (E3).
fn has_reserved(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_reserved),
        Value::Object(members) => {
            members.iter().any(|(key, value)| key.starts_with(RESERVED) || has_reserved(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn text(fields: &mut BTreeMap<String, Value>, field: &'static str) -> Result<String, Flaw> {
    let found = match fields.remove(field) {
        Some(Value::String(text)) if text.trim().is_empty() => return Err(Flaw::Empty { field }),
        Some(Value::String(text)) => return Ok(text),
        None => return Err(Flaw::Missing { field }),
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::Array(_)) => "an array",
        Some(Value::Object(_)) => "an object",
    };
    Err(Flaw::NotAString { field, found })
}

fn key(fields: &mut BTreeMap<String, Value>, field: &'static str) -> Result<String, Flaw> {
    let text = text(fields, field)?;
    if text.len() > KEY_LEN_MAX {
        return Err(Flaw::KeyTooLong { field, found: text.len() });
    }
    if text.chars().any(char::is_control) {
        return Err(Flaw::Control { field });
    }
    Ok(text)
}

/// As much of a wrong value as an error message should repeat.
fn shortened(value: &str) -> String {
    const SHOWN: usize = 40;
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}

/// Drops white space between tokens (E2) and refuses deep nesting (E1). `raw` is valid JSON.
fn compact(raw: &str) -> Result<String, Flaw> {
    let mut kept = String::with_capacity(raw.len());
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for it in raw.chars() {
        if in_string {
            in_string = escaped || it != '"';
            escaped = !escaped && it == '\\';
            kept.push(it);
            continue;
        }
        match it {
            ' ' | '\t' | '\n' | '\r' => continue,
            '"' => in_string = true,
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > EVENT_DEPTH_MAX {
            return Err(Flaw::TooDeep);
        }
        kept.push(it);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use api::control::ControlEvent;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const LEN_MAX: usize = 2048;

    fn good() -> Value {
        json!({
            "event_id": "n:w:1",
            "event_type": "ai.policy.decision",
            "node_id": "n",
            "timestamp": "2026-01-02T03:04:05Z",
        })
    }

    fn refusal(body: &str) -> String {
        parse(body.as_bytes(), LEN_MAX).unwrap_err().to_string()
    }

    /// Puts the event behind two good ones, so that the index is not the first.
    #[track_caller]
    fn check_event(event: &str, want: &str) {
        let body = format!(r#"{{"events":[{},{},{event}]}}"#, good(), good());
        assert_eq!(refusal(&body), format!("events[2]{want}"), "{event}");
    }

    #[test]
    fn no_key_makes_a_reader_see_another_event() {
        for inner in ["1", "{", "[1]", r#"{\"event_id\":\"x\"}"#] {
            let trap = format!(r#"{{"$serde_json::private::RawValue":"{inner}"}}"#);
            for extra in [trap.clone(), format!("[[{trap}]]"), format!(r#"{{"a":{trap}}}"#)] {
                let good = good().to_string();
                let event = good.replacen('{', &format!(r#"{{"extra":{extra},"#), 1);
                let error = refusal(&format!(r#"{{"events":[{event}]}}"#));
                assert!(error.contains("a key under `$serde_json::private::`"), "{error}");
            }
            assert!(parse(format!(r#"{{"events":{trap}}}"#).as_bytes(), LEN_MAX).is_err());
            assert!(parse(format!(r#"{{"events":[{trap}]}}"#).as_bytes(), LEN_MAX).is_err());
            assert!(parse(trap.as_bytes(), LEN_MAX).is_err());
        }
    }

    #[test]
    fn each_of_the_four_fields_must_be_a_string_that_says_something() {
        for field in ["event_id", "event_type", "node_id", "timestamp"] {
            let with = |value: Value| {
                let mut event = good();
                event[field] = value;
                event.to_string()
            };
            let mut without = good();
            without.as_object_mut().unwrap().remove(field);
            check_event(&without.to_string(), &format!(".{field}: missing"));
            for (value, want) in [
                (json!(""), "empty"),
                (json!(" \t"), "empty"),
                (json!(null), "null, not a string"),
                (json!(5), "a number, not a string"),
                (json!(true), "a boolean, not a string"),
                (json!([]), "an array, not a string"),
                (json!({}), "an object, not a string"),
            ] {
                check_event(&with(value), &format!(".{field}: {want}"));
            }
            let twice = good().to_string().replacen('{', &format!(r#"{{"{field}":"x","#), 1);
            check_event(&twice, &format!(": field `{field}` given twice"));
        }
    }

    #[test]
    fn keys_have_a_length_and_no_control_characters() {
        for field in ["event_id", "event_type", "node_id"] {
            let with = |value: String| {
                let mut event = good();
                event[field] = value.into();
                event.to_string()
            };
            let longest = format!(r#"{{"events":[{}]}}"#, with("x".repeat(KEY_LEN_MAX)));
            assert!(parse(longest.as_bytes(), LEN_MAX).is_ok());
            check_event(
                &with("x".repeat(KEY_LEN_MAX + 1)),
                &format!(".{field}: 257 bytes, at most 256"),
            );
            check_event(
                &with("a\nb".to_owned()),
                &format!(".{field}: contains a control character"),
            );
            check_event(
                &with("a\0b".to_owned()),
                &format!(".{field}: contains a control character"),
            );
        }
    }

    #[test]
    fn a_timestamp_is_rfc_3339() {
        let with = |value: &str| {
            let mut event = good();
            event["timestamp"] = value.into();
            event.to_string()
        };
        check_event(
            &with("yesterday"),
            ".timestamp: `yesterday`: not RFC 3339; an example: 2026-01-02T03:04:05.678Z",
        );
        check_event(
            &with("2026-02-30T00:00:00Z"),
            ".timestamp: `2026-02-30T00:00:00Z`: no such date or time",
        );
        let long = refusal(&format!(r#"{{"events":[{}]}}"#, with(&"é".repeat(500))));
        assert!(
            long.starts_with(&format!("events[0].timestamp: `{}…`: not", "é".repeat(40))),
            "{long}"
        );
    }

    #[test]
    fn an_event_is_an_object_of_bounded_size_that_readers_can_read() {
        check_event("5", ": invalid type: integer `5`, expected an object");
        check_event("null", ": invalid type: null, expected an object");
        let with = |rest: &str| good().to_string().replacen('{', &format!(r#"{{"x":{rest},"#), 1);
        let long = with(&format!("\"{}\"", "y".repeat(LEN_MAX)));
        check_event(&long, &format!(": {} bytes, at most 2048", long.len()));
        let nested = |depth| with(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        check_event(&nested(EVENT_DEPTH_MAX), ": nested deeper than 64");
        check_event(&nested(900), ": nested deeper than 64");
        let body = format!(r#"{{"events":[{}]}}"#, nested(EVENT_DEPTH_MAX - 1));
        assert!(parse(body.as_bytes(), LEN_MAX).is_ok());
        check_event(&with("1e999"), ": number out of range");
        check_event(&with(r#""\ud800""#), ": unexpected end of hex escape");
        check_event(&with(r#"1,"x":2"#), ": field `x` given twice");
    }

    #[test]
    fn a_body_is_an_object_with_an_array_of_events() {
        for (body, want) in [
            ("", "body: not a JSON object"),
            ("{", "body: EOF while parsing an object at line 1 column 1"),
            ("nonsense", "body: not a JSON object"),
            ("{}", "events: missing"),
            (r#"{"events":null}"#, "events: missing"),
            (r#"{"event":[]}"#, "events: missing"),
            (r#"{"events":{}}"#, "events: not an array"),
            (r#"{"events":"x"}"#, "events: not an array"),
            (r#"{"events":[],"events":[]}"#, "body: duplicate field `events` at line 1 column 21"),
            (r#"{"events":[]} x"#, "body: trailing characters at line 1 column 15"),
            (r#"{"events":[{]}"#, "body: key must be a string at line 1 column 13"),
            ("[[]]", "body: not a JSON object"),
        ] {
            assert_eq!(refusal(body), want, "{body}");
        }
        assert!(refusal("\"\u{fffd}\"").starts_with("body: "));
        assert!(parse(b"{\"events\":[\"\xff\"]}", LEN_MAX).is_err());
    }

    #[test]
    fn a_request_has_a_largest_number_of_events() {
        let body = |count: usize| {
            let event = good().to_string();
            let events: Vec<_> = (0..count).map(|_| event.as_str()).collect();
            format!(r#"{{"events":[{}]}}"#, events.join(","))
        };
        let most = body(EVENTS_PER_REQUEST_MAX);
        assert_eq!(parse(most.as_bytes(), LEN_MAX).unwrap().len(), EVENTS_PER_REQUEST_MAX);
        let want = "events: 10003 events, at most 10000 in one request";
        assert_eq!(refusal(&body(EVENTS_PER_REQUEST_MAX + 3)), want);
        assert_eq!(parse(br#"{"events":[]}"#, LEN_MAX), Ok(vec![]));
    }

    #[test]
    fn numbers_keep_every_digit_and_fields_their_order() {
        let text = r#"{"z":0.1000000000000000055511151231257827,"event_id":"i","event_type":"t","node_id":"n","timestamp":"1970-01-01T00:00:01Z","a":[340282366920938463463374607431768211455,"\" } é"]}"#;
        let body =
            format!("{{ \"later\": 1, \"events\" : [\n\t{} ] }}", text.replace(',', " ,\n "));
        let want = NewEvent {
            event_id: "i".to_owned(),
            event_type: "t".to_owned(),
            node_id: "n".to_owned(),
            at_ns: 1_000_000_000,
            body: text.to_owned(),
        };
        assert_eq!(parse(body.as_bytes(), LEN_MAX), Ok(vec![want]));
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |it| it.is_finite()).prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
            "[ \\\\\"\\[\\]{}\n\t]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("\\PC{0,6}", inner, 0..4)
                    .prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_read_back_by_the_wire_type(rest in json_value()) {
            let mut event = good();
            event["rest"] = rest;
            let pretty = serde_json::to_string_pretty(&event).unwrap();
            let body = format!(r#"{{"events":[{pretty}]}}"#);
            let stored = parse(body.as_bytes(), usize::MAX).unwrap().remove(0);
            prop_assert_eq!(&stored.body, &event.to_string());
            let read: ControlEvent = serde_json::from_str(&stored.body).unwrap();
            prop_assert_eq!(serde_json::to_value(read).unwrap(), event);
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
            _ = parse(&body, LEN_MAX);
        }
    }
}
