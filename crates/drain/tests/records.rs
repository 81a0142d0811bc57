//! Records of entries against a model: the same table, with a copy of everything and one attribute at
//! a time.

use drain::Class;
use otlp::{Record, Severity};
use proptest::prelude::*;
use serde_json::{Map, Value};
use wal_format::{Entry, Kind, Seq, WalId, event_id};

const NODE: &str = "edge-1";

fn wal_id() -> WalId {
    WalId::from_random([7; 16])
}

const EVENT_KIND: &str = "event.kind";
const EVENT_ID: &str = "event.id";
const WAL_SEQ: &str = "wal.seq";
const WAL_ID: &str = "wal.id";
const WRITTEN_AT: &str = "written_at";
const ATTRS: &str = "attrs";
const ENTRY: &str = "entry";
const PREFIX: &str = "attr.";
const KIND_UNKNOWN: &str = "unknown";

fn model(node: &str, wal_id: WalId, seq: Seq, payload: &[u8]) -> Record {
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
    let (attrs, denied) = attributes_of(entry);
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
fn attributes_of(entry: &Entry<'_>) -> (Map<String, Value>, bool) {
    let attrs = entry.event.attrs().unwrap_or_else(|_| {
        let raw = entry.event.attrs.map(serde_json::value::RawValue::get).unwrap_or_default();
        let value = serde_json::from_str(raw).unwrap_or_else(|_| raw.into());
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

/// Keys that collide with ours, with what those are renamed to, and with one another.
fn key() -> impl Strategy<Value = String> {
    let taken: &[&str] =
        &["event.kind", "event.id", "wal.seq", "wal.id", "written_at", "trace_id.invalid"];
    let own = prop::sample::select(taken);
    prop_oneof![
        own.clone().prop_map(str::to_owned),
        (own, 1..4_usize).prop_map(|(it, times)| PREFIX.repeat(times) + it),
        prop::sample::select(&["decision", "entry", "attrs", "a", "z"][..]).prop_map(str::to_owned),
        ".{0,4}",
    ]
}

/// The text of any JSON value, not always in one spelling.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(
            &[
                "null",
                "true",
                "-0",
                "1e3",
                "18446744073709551615",
                "1e999",
                "\"\\u00e9\"",
                "\"deny\""
            ][..]
        )
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|it| it.to_string()),
        any::<String>().prop_map(|it| Value::from(it).to_string()),
    ];
    leaf.prop_recursive(20, 60, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|it| format!("[ {} ]", it.join(","))),
            object(inner),
        ]
    })
}

/// Members in any order; a key may be repeated.
fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::vec((key(), value), 0..6).prop_map(|members| {
        let member = |(key, value)| format!("{}: {value}", Value::String(key));
        format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
    })
}

fn payload() -> impl Strategy<Value = String> {
    let kinds: &[&str] = &["autonomy.error", "autonomy.decision", "robot.pose", "\\u0061", ""];
    let ids: &[&str] =
        &["", "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174", "no id", "\\u0061"];
    let times: &[&str] = &["2026-01-02T03:04:05.000006Z", "1960-01-01T00:00:00Z", "yesterday", ""];
    (
        prop::sample::select(kinds),
        prop::option::of(prop_oneof![4 => object(value()), 1 => value()]),
        prop::option::of((prop::sample::select(ids), prop::sample::select(ids))),
        prop::sample::select(times),
        prop::sample::select(ENDS),
    )
        .prop_map(|(kind, attrs, ids, written_at, end)| {
            let attrs = attrs.map_or_else(String::new, |it| format!(r#","attrs":{it}"#));
            let ids = ids.map_or_else(String::new, |(trace_id, span_id)| {
                format!(r#","trace_id":"{trace_id}","span_id":"{span_id}""#)
            });
            format!(
                r#"{{"seq":7,"written_at":"{written_at}","event":{{"kind":"{kind}"{attrs}{ids}}}{end}"#
            )
        })
}

/// With a chain value, with something that looks like one, and without.
const ENDS: &[&str] = &[
    "}",
    r#","chain":"5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b"}"#,
    "}",
    ",\"chain\":\"5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b\n\"}",
    r#","x":1,"chain":"5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b"}"#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_record_is_that_of_the_model(payload in payload(), seq in 1..u64::MAX) {
        let seq = Seq::new(seq).unwrap();
        let got = drain::record(NODE, wal_id(), seq, payload.as_bytes());
        prop_assert_eq!(got, model(NODE, wal_id(), seq, payload.as_bytes()));
    }

    /// What is read in one pass is refused wherever the parser refuses it.
    #[test]
    fn the_record_of_a_damaged_entry_is_that_of_the_model(
        payload in payload(),
        at in any::<prop::sample::Index>(),
        to in prop_oneof![any::<u8>(), prop::sample::select(&b"\"\\{}[],: 0a"[..])],
    ) {
        let mut payload = payload.into_bytes();
        let at = at.index(payload.len());
        payload[at] = to;
        let got = drain::record(NODE, wal_id(), Seq::FIRST, &payload);
        prop_assert_eq!(got, model(NODE, wal_id(), Seq::FIRST, &payload));
    }
}
