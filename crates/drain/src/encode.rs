//! Entries of the log as OTLP log records.
//!
//! | record               | entry                                                            |
//! |----------------------|------------------------------------------------------------------|
//! | time                 | `written_at`; unknown: 0, with the text as attribute `written_at`  |
//! | severity             | `ERROR` for errors, `WARN` for denials, else `INFO`                |
//! | body                 | the kind as stored                                               |
//! | trace id, span id    | those of the event; see [`otlp::Record::set_trace_id`]             |
//! | `event.kind`         | the kind without `autonomy.`; `unknown` when there is none         |
//! | `event.id`           | `<node>:<wal_id>:<seq>`, the same at every attempt                 |
//! | `wal.seq`, `wal.id`  | place in the log                                                 |
//! | other attributes     | those of the event                                               |
//! | `service.name`       | the node (resource)                                              |
//! | `service.instance.id`| the log (resource)                                               |
//!
//! # Invariants
//!
//! * **W1** Every entry has a record, also one that others wrote and that is not an event: it is
//!   then the text of attribute `entry`. An entry that could not be encoded could never be settled.
//! * **W2** No attribute of an event is lost: one with a name from the table gets the prefix
//!   `attr.`, attributes that are no object become the attribute `attrs`.

use std::{borrow::Cow, fmt::Write as _};

use jiff::Timestamp;
use otlp::{
    Id, Pair, Pairs, Record, RecordRef, Resource, SPAN_ID_INVALID, Severity, TRACE_ID_INVALID,
    ValueRef,
};
use wal_format::{Entry, Glance, Kind, Seq, WalId, event_id};

use crate::Class;

const EVENT_KIND: &str = "event.kind";
const EVENT_ID: &str = "event.id";
const WAL_SEQ: &str = "wal.seq";
const WAL_ID: &str = "wal.id";
const WRITTEN_AT: &str = "written_at";
const ATTRS: &str = "attrs";
const ENTRY: &str = "entry";
/// Put before an attribute whose name is taken (W2).
const PREFIX: &str = "attr.";
/// Kind of an entry that names none.
const KIND_UNKNOWN: &str = "unknown";

/// Returns the resource of every record of a log.
pub fn resource(node: &str, wal_id: WalId) -> Resource {
    let attributes =
        [("service.name", node.to_owned()), ("service.instance.id", wal_id.to_string())];
    let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value.into()));
    Resource { attributes: attributes.collect() }
}

/// Returns the record of an entry (W1).
///
/// # Examples
///
/// ```
/// use wal_format::{Seq, WalId};
///
/// let payload = br#"{"seq":1,"written_at":"2026-01-02T03:04:05Z","event":
///     {"kind":"autonomy.decision","attrs":{"decision":"deny"}}}"#;
/// let record = drain::record("edge-1", WalId::from_random([7; 16]), Seq::FIRST, payload);
/// assert_eq!(record.severity, otlp::Severity::WARN);
/// assert_eq!(record.attributes["event.kind"], "decision");
/// assert_eq!(record.attributes["event.id"], "edge-1:07070707-0707-4707-8707-070707070707:1");
/// ```
pub fn record(node: &str, wal_id: WalId, seq: Seq, payload: &[u8]) -> Record {
    Recorder::new(node, wal_id).record(seq, payload).to_record()
}

/// The log that entries come from: what is the same in each of their records.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// An event id without its number.
    event_id: String,
    wal_id: String,
}

impl Recorder {
    pub(crate) fn new(node: &str, wal_id: WalId) -> Self {
        let mut id = event_id(node, wal_id, Seq::FIRST);
        id.truncate(id.len() - Seq::FIRST.to_string().len());
        Self { event_id: id, wal_id: wal_id.to_string() }
    }

    /// Returns the record of an entry (W1). It borrows the payload.
    pub(crate) fn record<'a>(&'a self, seq: Seq, payload: &'a [u8]) -> RecordRef<'a> {
        let mut draft = Draft::default();
        if let Some((seen, attrs)) = seen(payload) {
            draft.set_time(Cow::Borrowed(seen.written_at));
            draft.attrs = attrs;
            draft.set_kind(Cow::Borrowed(seen.kind));
        } else if let Ok(entry) = Entry::parse(payload) {
            draft.add_entry(entry);
        } else {
            draft.set_kind(Cow::Borrowed(""));
            draft.set(ENTRY, String::from_utf8_lossy(payload));
        }
        // The longest number has 20 digits.
        let mut id = String::with_capacity(self.event_id.len() + 20);
        id.push_str(&self.event_id);
        // Writing to a string cannot fail.
        write!(id, "{seq}").ok();
        draft.set(EVENT_ID, Cow::Owned(id));
        draft.set(WAL_ID, Cow::Borrowed(&self.wal_id));
        let seq = seq.get();
        let seq = i64::try_from(seq).map_or(ValueRef::Uint(seq), ValueRef::Int);
        draft.own.push((Cow::Borrowed(WAL_SEQ), seq));
        draft.finish()
    }
}

/// A record in the making.
#[derive(Default)]
struct Draft<'a> {
    time_unix_nano: u64,
    severity: Severity,
    body: Cow<'a, str>,
    trace_id: Option<otlp::TraceId>,
    span_id: Option<otlp::SpanId>,
    /// The attributes of the table.
    own: Vec<Pair<'a>>,
    /// Those of the event.
    attrs: Pairs<'a>,
}

impl<'a> Draft<'a> {
    fn set(&mut self, key: &'static str, text: Cow<'a, str>) {
        self.own.push((Cow::Borrowed(key), ValueRef::Text(text)));
    }

    fn set_time(&mut self, written_at: Cow<'a, str>) {
        let time = written_at.parse::<Timestamp>().ok();
        let nanoseconds = time.and_then(|it| u64::try_from(it.as_nanosecond()).ok());
        self.time_unix_nano = nanoseconds.unwrap_or(0);
        if nanoseconds.is_none() {
            self.set(WRITTEN_AT, written_at);
        }
    }

    fn add_entry(&mut self, entry: Entry<'a>) {
        self.set_time(entry.written_at);
        let event = entry.event;
        if let Some(text) = event.trace_id.filter(|it| !it.is_empty()) {
            self.trace_id = Id::parse(&text);
            if self.trace_id.is_none() {
                self.set(TRACE_ID_INVALID, text);
            }
        }
        if let Some(text) = event.span_id.filter(|it| !it.is_empty()) {
            self.span_id = Id::parse(&text);
            if self.span_id.is_none() {
                self.set(SPAN_ID_INVALID, text);
            }
        }
        self.attrs = attributes(event.attrs.map_or("", serde_json::value::RawValue::get));
        self.set_kind(event.kind);
    }

    /// Sets what follows from the kind, and whether the attributes say that something was denied.
    fn set_kind(&mut self, text: Cow<'a, str>) {
        let kind = Kind::parse(&text);
        let denied = || self.attrs.get("decision").and_then(ValueRef::as_str) == Some("deny");
        self.severity = match Class::of(&kind) {
            Class::Error => Severity::ERROR,
            Class::Decision if denied() => Severity::WARN,
            Class::Decision | Class::Action | Class::Lifecycle => Severity::INFO,
        };
        let known = |text: Cow<'a, str>| match &*text {
            "" => Cow::Borrowed(KIND_UNKNOWN),
            _ => text,
        };
        let short = match &text {
            // The short name is the end of the text, and the text lives longer than the kind.
            Cow::Borrowed(text) => {
                Cow::Borrowed(text.get(text.len() - kind.short().len()..).unwrap_or(text))
            }
            Cow::Owned(_) => Cow::Owned(kind.short().to_owned()),
        };
        self.set(EVENT_KIND, known(short));
        self.body = known(text);
    }

    fn finish(self) -> RecordRef<'a> {
        RecordRef {
            time_unix_nano: self.time_unix_nano,
            observed_time_unix_nano: 0,
            severity: self.severity,
            severity_text: self.severity.name(),
            event_name: "",
            body: ValueRef::Text(self.body),
            attributes: together(self.own, self.attrs),
            dropped_attributes_count: 0,
            flags: 0,
            trace_id: self.trace_id,
            span_id: self.span_id,
        }
    }
}

/// Reads an entry in one pass, when it is written as ours are, with an event that has a kind and attributes and
/// nothing else. `None` says nothing about it.
fn seen(payload: &[u8]) -> Option<(Glance<'_>, Pairs<'_>)> {
    let seen = Glance::at(payload)?;
    let text = std::str::from_utf8(seen.rest).ok()?.strip_prefix(r#","attrs":"#)?;
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    let Some(Ok(ValueRef::Map(attrs))) = values.next() else { return None };
    (text.get(values.byte_offset()..) == Some("}")).then_some((seen, attrs))
}

/// Returns the attributes of an event from their text (W2).
fn attributes(raw: &str) -> Pairs<'_> {
    if raw.is_empty() {
        return Pairs::default();
    }
    let value = match serde_json::from_str::<ValueRef<'_>>(raw) {
        Ok(ValueRef::Map(pairs)) => return pairs,
        Ok(ValueRef::Null) => return Pairs::default(),
        Ok(other) => other,
        Err(_) => raw.into(),
    };
    Pairs::new(vec![(Cow::Borrowed(ATTRS), value)])
}

/// Puts the attributes of an event beside our own (W2).
fn together<'a>(own: Vec<Pair<'a>>, attrs: Pairs<'a>) -> Pairs<'a> {
    let is_own = |key: &str| own.iter().any(|it| it.0 == key);
    let taken: Vec<usize> =
        (0..).zip(attrs.as_slice()).filter(|(_, it)| is_own(&it.0)).map(|(at, _)| at).collect();
    let mut renamed: Vec<String> = Vec::new();
    for key in taken.iter().filter_map(|it| attrs.as_slice().get(*it)).map(|it| &it.0) {
        let mut free = format!("{PREFIX}{key}");
        while attrs.get(&free).is_some() || is_own(&free) || renamed.contains(&free) {
            free.insert_str(0, PREFIX);
        }
        renamed.push(free);
    }
    let mut all = attrs.into_vec();
    for (at, free) in taken.into_iter().zip(renamed) {
        if let Some(pair) = all.get_mut(at) {
            pair.0 = Cow::Owned(free);
        }
    }
    all.extend(own);
    Pairs::new(all)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "07070707-0707-4707-8707-070707070707";

    fn of(payload: &str) -> Record {
        record("edge-1", WalId::from_random([7; 16]), Seq::new(7).unwrap(), payload.as_bytes())
    }

    fn own(record: &Record) -> Value {
        let mut attributes = record.attributes.clone();
        for key in [EVENT_ID, WAL_SEQ, WAL_ID] {
            assert!(attributes.remove(key).is_some(), "{key}");
        }
        Value::Object(attributes)
    }

    #[test]
    fn an_entry_becomes_one_record() {
        let got = of(
            r#"{"seq":7,"written_at":"2026-01-02T03:04:05.000006Z","event":{"kind":"autonomy.decision","attrs":{"decision":"allow","kind":"tool.echo","n":[1,2.5]},"trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174"}}"#,
        );
        let mut want = Record {
            time_unix_nano: 1_767_323_045_000_006_000,
            severity: Severity::INFO,
            severity_text: "INFO".to_owned(),
            body: "autonomy.decision".into(),
            attributes: json!({
                "event.kind": "decision", "event.id": format!("edge-1:{ID}:7"),
                "wal.seq": 7, "wal.id": ID,
                "decision": "allow", "kind": "tool.echo", "n": [1, 2.5],
            })
            .as_object()
            .unwrap()
            .clone(),
            ..Record::default()
        };
        want.set_trace_id("5b8efff798038103d269b633813fc60c");
        want.set_span_id("eee19b7ec3c1b174");
        assert_eq!(got, want);
        let resource = Value::Object(resource("edge-1", WalId::from_random([7; 16])).attributes);
        assert_eq!(resource, json!({"service.name": "edge-1", "service.instance.id": ID}));
    }

    #[test]
    fn no_key_changes_what_is_exported() {
        let trap = r#"{"$serde_json::private::RawValue":"[1]"}"#;
        for (attrs, want) in [
            (format!(r#"{{"a":{trap}}}"#), "a"),
            (format!("[{trap}]"), ATTRS),
            (r#"[{"$serde_json::private::RawValue":"{"}]"#.to_owned(), ATTRS),
        ] {
            let got = of(&format!(r#"{{"seq":7,"event":{{"kind":"x","attrs":{attrs}}}}}"#));
            assert!(attrs.contains(&got.attributes[want].to_string()), "{attrs}: {got:?}");
        }
    }

    #[test]
    fn severity_follows_the_kind_and_the_decision() {
        for (kind, decision, want) in [
            ("autonomy.error", "allow", "ERROR"),
            ("autonomy.decision", "deny", "WARN"),
            ("autonomy.decision", "allow", "INFO"),
            ("autonomy.action", "deny", "INFO"),
            ("autonomy.lifecycle", "deny", "INFO"),
            ("robot.pose", "deny", "INFO"),
        ] {
            let got = of(&format!(
                r#"{{"seq":7,"event":{{"kind":"{kind}","attrs":{{"decision":"{decision}"}}}}}}"#
            ));
            assert_eq!((got.severity.name(), &*got.severity_text), (want, want), "{kind}");
            assert_eq!(got.body, kind);
        }
    }

    #[test]
    fn an_unknown_time_is_zero_and_its_text_is_kept() {
        for (written_at, text) in [
            (r#","written_at":"yesterday""#, "yesterday"),
            (r#","written_at":"1960-01-01T00:00:00Z""#, "1960-01-01T00:00:00Z"),
            ("", ""),
        ] {
            let got = of(&format!(r#"{{"seq":7{written_at},"event":{{"kind":"x"}}}}"#));
            assert_eq!(got.time_unix_nano, 0);
            assert_eq!(own(&got), json!({"event.kind": "x", "written_at": text}));
        }
    }

    #[test]
    fn an_attribute_with_a_taken_name_is_kept_under_another() {
        let got = of(
            r#"{"seq":7,"written_at":"2026-01-02T03:04:05Z","event":{"kind":"x","trace_id":"bad","attrs":{"event.kind":1,"attr.event.kind":2,"trace_id.invalid":3,"entry":4,"written_at":5}}}"#,
        );
        let want = json!({
            "event.kind": "x", "attr.event.kind": 2, "attr.attr.event.kind": 1,
            "trace_id.invalid": "bad", "attr.trace_id.invalid": 3, "entry": 4, "written_at": 5,
        });
        assert_eq!(own(&got), want);
    }

    #[test]
    fn entries_that_others_wrote_have_records_too() {
        let got = of(r#"{"seq":7}"#);
        assert_eq!(own(&got), json!({"event.kind": "unknown", "entry": r#"{"seq":7}"#, }));
        let got = of(r#"{"seq":7,"written_at":"2026-01-02T03:04:05Z","event":{"attrs":[1]}}"#);
        assert_eq!(own(&got), json!({"event.kind": "unknown", "attrs": [1]}));
        assert_eq!(got.body, "unknown");
    }
}
