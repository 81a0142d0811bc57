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

use otlp::{Record, Resource, Severity};
use serde_json::{Map, Value};
use wal_format::{Entry, Kind, Plain, Seq, WalId, event_id};

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
    let mut record = Record::default();
    record.attributes.insert(EVENT_ID.to_owned(), event_id(node, wal_id, seq).into());
    record.attributes.insert(WAL_SEQ.to_owned(), seq.get().into());
    record.attributes.insert(WAL_ID.to_owned(), wal_id.to_string().into());
    if let Ok(entry) = Entry::parse(payload) {
        add_entry(&entry, &mut record);
    } else {
        set_kind(&Kind::parse(""), &mut record);
        set_severity(Severity::INFO, &mut record);
        let text = String::from_utf8_lossy(payload).into_owned();
        record.attributes.insert(ENTRY.to_owned(), text.into());
    }
    record
}

fn add_entry(entry: &Entry<'_>, record: &mut Record) {
    let nanoseconds = entry.time().and_then(|it| u64::try_from(it.as_nanosecond()).ok());
    record.time_unix_nano = nanoseconds.unwrap_or(0);
    if nanoseconds.is_none() {
        record.attributes.insert(WRITTEN_AT.to_owned(), entry.written_at.as_ref().into());
    }
    record.set_trace_id(entry.event.trace_id.as_deref().unwrap_or_default());
    record.set_span_id(entry.event.span_id.as_deref().unwrap_or_default());

    let kind = entry.event.kind();
    let (attrs, denied) = attributes(entry);
    set_kind(&kind, record);
    set_severity(
        match Class::of(&kind) {
            Class::Error => Severity::ERROR,
            Class::Decision if denied => Severity::WARN,
            Class::Decision | Class::Action | Class::Lifecycle => Severity::INFO,
        },
        record,
    );
    for (key, value) in attrs {
        insert_free(key, value, &mut record.attributes);
    }
}

/// Returns the attributes (W2), and whether they say that something was denied.
fn attributes(entry: &Entry<'_>) -> (Map<String, Value>, bool) {
    let attrs = entry.event.attrs().unwrap_or_else(|_| {
        let raw = entry.event.attrs.map(serde_json::value::RawValue::get).unwrap_or_default();
        let value = serde_json::from_str(raw).map_or_else(|_| raw.into(), |Plain(it)| it);
        Map::from_iter([(ATTRS.to_owned(), value)])
    });
    let denied = attrs.get("decision").and_then(Value::as_str) == Some("deny");
    (attrs, denied)
}

fn set_kind(kind: &Kind, record: &mut Record) {
    let known =
        |text: &str| if text.is_empty() { KIND_UNKNOWN.to_owned() } else { text.to_owned() };
    record.body = known(kind.as_str()).into();
    record.attributes.insert(EVENT_KIND.to_owned(), known(kind.short()).into());
}

fn set_severity(severity: Severity, record: &mut Record) {
    record.severity = severity;
    severity.name().clone_into(&mut record.severity_text);
}

fn insert_free(mut key: String, value: Value, attributes: &mut Map<String, Value>) {
    while attributes.contains_key(&key) {
        key.insert_str(0, PREFIX);
    }
    attributes.insert(key, value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
