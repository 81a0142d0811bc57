//! A received record with what the other modules need to know about it: a stable id and a kind.
//!
//! | what       | from                                                                          |
//! |------------|-------------------------------------------------------------------------------|
//! | event id   | attribute `event.id`; else `<node>:otlp:<hash of the record>` (R1)              |
//! | kind       | attribute `event.kind`, event name, body: the first that is a name; else `log`  |
//! | node       | `service.name` of the resource; else `unknown_service`                          |
//! | timestamp  | time of the record, or when it was observed, or when it was received            |
//!
//! * **R1** The same record in a request that is sent again gets the same id, so that the control
//!   plane counts it once. Records that are equal in everything, in one request, are numbered: they
//!   are several events, and a sender without ids cannot say more.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use otlp::{Group, Record, Resource, Scope};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const EVENT_ID: &str = "event.id";
const EVENT_KIND: &str = "event.kind";
/// Prefix of the kinds of this system; senders may leave it out.
const KIND_PREFIX: &str = "autonomy.";
/// Kind of a record that names none.
const KIND_DEFAULT: &str = "log";
/// Longest text that is taken for a name of a kind, in bytes.
const KIND_LEN_MAX: usize = 128;
/// What OTLP calls a service that does not say its name.
const NODE_UNKNOWN: &str = "unknown_service";
/// Bytes of the hash that stand in an id: collisions are out of reach.
const HASH_LEN: usize = 16;

/// A record as it was received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) event_id: String,
    /// Without the prefix `autonomy.`.
    pub(crate) kind: String,
    pub(crate) node: String,
    pub(crate) timestamp: Timestamp,
    pub(crate) at: Timestamp,
    pub(crate) record: Record,
    pub(crate) resource: Arc<Resource>,
    pub(crate) scope: Scope,
}

/// Prepares the records of one request, in their order.
pub(crate) fn receive(groups: Vec<Group>, received_at: Timestamp) -> Vec<Received> {
    let mut seen = HashMap::new();
    let mut received = Vec::new();
    for Group { resource, scope, records } in groups {
        let node = resource.service_name().unwrap_or(NODE_UNKNOWN).to_owned();
        for record in records {
            received.push(Received {
                event_id: event_id(&record, &resource, &node, &mut seen),
                kind: kind(&record),
                node: node.clone(),
                timestamp: timestamp(&record).unwrap_or(received_at),
                at: received_at,
                resource: Arc::clone(&resource),
                scope: scope.clone(),
                record,
            });
        }
    }
    received
}

fn event_id(
    record: &Record,
    resource: &Resource,
    node: &str,
    seen: &mut HashMap<String, u32>,
) -> String {
    if let Some(id) = record.attributes.get(EVENT_ID).and_then(Value::as_str)
        && !id.is_empty()
    {
        return id.to_owned();
    }
    let id = format!("{node}:otlp:{}", hash(record, resource));
    let count = seen.entry(id.clone()).or_insert(0);
    *count += 1;
    if *count == 1 { id } else { format!("{id}-{count}") }
}

/// R1: over everything that a sender sends again.
fn hash(record: &Record, resource: &Resource) -> String {
    let all = json!([
        resource.attributes,
        record.time_unix_nano,
        record.observed_time_unix_nano,
        record.severity.0,
        record.severity_text,
        record.event_name,
        record.body,
        record.attributes,
        record.trace_id.map(|it| it.to_string()),
        record.span_id.map(|it| it.to_string()),
    ]);
    let digest = Sha256::digest(all.to_string());
    hex::encode(digest.get(..HASH_LEN).unwrap_or_default())
}

fn kind(record: &Record) -> String {
    let attribute = record.attributes.get(EVENT_KIND).and_then(Value::as_str);
    let candidates = [attribute, Some(&*record.event_name), record.body.as_str()];
    let name = candidates.into_iter().flatten().find(|it| is_name(it)).unwrap_or(KIND_DEFAULT);
    name.strip_prefix(KIND_PREFIX).filter(|it| !it.is_empty()).unwrap_or(name).to_owned()
}

/// A body can be prose, which is no kind of event.
fn is_name(text: &str) -> bool {
    let printable = |it: char| !it.is_whitespace() && !it.is_control();
    !text.is_empty() && text.len() <= KIND_LEN_MAX && text.chars().all(printable)
}

fn timestamp(record: &Record) -> Option<Timestamp> {
    let times = [record.time_unix_nano, record.observed_time_unix_nano];
    let known = times.into_iter().find(|it| *it != 0)?;
    Timestamp::from_nanosecond(i128::from(known)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(records: Vec<Record>) -> Group {
        let attributes = json!({"service.name": "edge-1"}).as_object().unwrap().clone();
        let resource = Arc::new(Resource { attributes });
        Group { resource, scope: Scope::default(), records }
    }

    fn with(attributes: &Value) -> Record {
        Record { attributes: attributes.as_object().unwrap().clone(), ..Record::default() }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_kind_is_the_first_name_that_a_record_gives() {
        let named = Record {
            body: "autonomy.error".into(),
            event_name: "robot.pose".to_owned(),
            ..with(&json!({"event.kind": "autonomy.decision"}))
        };
        assert_eq!(kind(&named), "decision");
        let mut record = Record { attributes: serde_json::Map::new(), ..named };
        assert_eq!(kind(&record), "robot.pose");
        record.event_name.clear();
        assert_eq!(kind(&record), "error");
        for body in [
            json!("the motor is hot"),
            json!(""),
            json!({"a": 1}),
            json!(null),
            json!("x".repeat(KIND_LEN_MAX + 1)),
            json!("a\u{1b}b"),
        ] {
            assert_eq!(kind(&Record { body, ..Record::default() }), "log");
        }
        assert_eq!(kind(&with(&json!({"event.kind": "autonomy."}))), "autonomy.");
    }

    #[test]
    fn an_id_is_the_one_given_or_the_same_hash_each_time() {
        let records = || {
            let plain = Record { body: "x".into(), ..Record::default() };
            vec![
                with(&json!({"event.id": "edge-1:w:7"})),
                plain.clone(),
                Record { time_unix_nano: 1, ..plain.clone() },
                plain,
                with(&json!({"event.id": ""})),
            ]
        };
        let ids = |it| -> Vec<_> {
            receive(it, at("2026-01-02T03:04:05Z")).into_iter().map(|it| it.event_id).collect()
        };
        let once: Vec<String> = ids(vec![group(records())]);
        assert_eq!(once, ids(vec![group(records())]));
        assert_eq!(once[0], "edge-1:w:7");
        assert_eq!(once[1], "edge-1:otlp:211a17b5b61f63c817686c18b828fd9f");
        assert_eq!(once[3], format!("{}-2", once[1]), "equal records of one request are numbered");
        let different: std::collections::BTreeSet<_> = once.iter().collect();
        assert_eq!(different.len(), once.len());
    }

    #[test]
    fn a_time_is_the_best_one_known() {
        let received_at = at("2026-01-02T03:04:05Z");
        let time = |time_unix_nano, observed_time_unix_nano| {
            let record = Record { time_unix_nano, observed_time_unix_nano, ..Record::default() };
            receive(vec![group(vec![record])], received_at)[0].timestamp.to_string()
        };
        assert_eq!(time(1_767_323_045_000_006_000, 1), "2026-01-02T03:04:05.000006Z");
        assert_eq!(time(0, 1_000_000_000), "1970-01-01T00:00:01Z");
        assert_eq!(time(0, 0), "2026-01-02T03:04:05Z");
        assert_eq!(time(u64::MAX, 0), "2554-07-21T23:34:33.709551615Z");
    }

    #[test]
    fn a_service_without_a_name_is_unknown() {
        let group = Group { resource: Arc::default(), ..group(vec![Record::default()]) };
        assert_eq!(receive(vec![group], at("2026-01-02T03:04:05Z"))[0].node, "unknown_service");
    }
}
