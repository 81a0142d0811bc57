use proptest::prelude::*;

use super::{line::*, *};

fn time() -> Timestamp {
    Timestamp::from_nanosecond(1_767_323_045_000_000_006).unwrap()
}

fn event() -> NewRecord {
    let kind = (Category::Rollout, "create");
    NewRecord::new("rollout.plan.created", kind, Outcome::Success, Source::Cli, time())
}

fn line(event: &NewRecord) -> Vec<u8> {
    let mut line = Vec::new();
    event.encode((1, Hash::genesis(), 0), &mut line);
    assert_eq!(line.pop(), Some(b'\n'));
    line
}

/// The format, byte for byte. Whoever changes this text breaks every trail that exists.
#[test]
fn the_line_of_a_record_is_what_it_always_was() {
    let event = event().by("ann").on("plan", "arm-7").with("stages", 2);
    let text = String::from_utf8(line(&event)).unwrap();
    assert_eq!(text, include_str!("../../tests/golden/record.jsonl").trim_end());
}

#[test]
fn what_is_not_given_is_absent() {
    let text = String::from_utf8(line(&event())).unwrap();
    for absent in ["actor", "resource", "more", "null"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
    assert!(text.contains(r#""fields":{}"#), "{text}");
}

#[test]
fn every_bound_is_checked_and_named() {
    let long = |len| "x".repeat(len);
    let deep = (0..FIELDS_DEPTH_MAX).fold(Value::Null, |it, _| Value::Array(vec![it]));
    let table: [(NewRecord, &str); 12] = [
        (NewRecord { event_name: String::new(), ..event() }, "event_name is empty"),
        (NewRecord { event_name: "A".into(), ..event() }, "event_name contains 'A'"),
        (NewRecord { event_name: long(129), ..event() }, "event_name has 129 bytes, more than 128"),
        (NewRecord { action: "a\nb".into(), ..event() }, "action contains '\\n'"),
        (event().by(""), "actor is empty"),
        (event().by(&long(257)), "actor has 257 bytes, more than 256"),
        (event().on("", "x"), "resource_type is empty"),
        (event().on("x", &long(1025)), "resource has 1025 bytes, more than 1024"),
        (event().with("x", long(FIELDS_LEN_MAX)), "fields has 32776 bytes, more than 32768"),
        (event().with("x", deep), "fields nests deeper than 32"),
        (
            NewRecord { event_name: own::PRUNED.into(), ..event() },
            "audit.pruned is written by the trail alone",
        ),
        (
            NewRecord { timestamp: Timestamp::MIN, ..event() },
            "-009999-01-02T01:59:59Z is outside of the years 1 to 9999",
        ),
    ];
    for (record, want) in table {
        assert_eq!(record.check().unwrap_err().to_string(), want);
    }
    let widest = event()
        .by(&"\"".repeat(ACTOR_LEN_MAX))
        .on(&"\\".repeat(NAME_LEN_MAX), &"\"".repeat(RESOURCE_LEN_MAX))
        .with("x", long(FIELDS_LEN_MAX - 8));
    widest.check().unwrap();
    let mut line = Vec::new();
    widest.encode((u64::MAX, Hash::genesis(), u32::MAX), &mut line);
    assert!(line.len() < LINE_LEN_MAX, "R2: {}", line.len());
    Record::decode(&line[..line.len() - 1]).unwrap();
}

#[test]
fn another_spelling_of_a_record_is_none_even_with_its_hash() {
    let good = String::from_utf8(line(&event().with("a", 1))).unwrap();
    let (body, _) = good.split_at(good.len() - HASH_START.len() - HASH_DIGITS - HASH_END.len());
    for (from, to) in [
        (r#""fields":{"a":1}"#, r#""fields":{"a":1.0}"#),
        (r#""fields":{"a":1}"#, r#""fields":{"a":2,"a":1}"#),
        (r#"{"action""#, r#"{ "action""#),
        (r#""action":"create""#, r#""action":"\u0063reate""#),
        ("05.000000006Z", "05.000000006+00:00"),
    ] {
        let body = body.replace(from, to);
        assert!(body.contains(to), "{to}");
        let hash = Hash::genesis().link(format!("{body}}}").as_bytes());
        let line = format!("{body},\"hash\":\"{hash}\"}}");
        let fault = Record::decode(line.as_bytes()).unwrap_err();
        assert_eq!(fault, LineFault::Json("not as the trail writes it".to_owned()), "{to}");
    }
    Record::decode(good.as_bytes()).unwrap();
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,9}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,5}", inner, 0..4)
                .prop_map(|it| Value::Object(it.into_iter().collect())),
        ]
    })
}

proptest! {
    /// R1, for whatever callers put into `fields`: keys that parsers take for something else among it.
    #[test]
    fn what_was_encoded_decodes_and_encodes_to_the_same_bytes(
        key in prop_oneof![".{0,9}", Just("$serde_json::private::RawValue".to_owned())],
        value in json(),
        actor in prop::option::of("[^\\p{Cc}]{1,20}"),
        nanos in 0..2_000_000_000_000_000_000_i64,
        more: u32,
    ) {
        let timestamp = Timestamp::from_nanosecond(nanos.into()).unwrap();
        let event = NewRecord { timestamp, actor, ..event().with(&key, value) };
        let mut line = Vec::new();
        let hash = event.encode((7, Hash::genesis(), more), &mut line);
        let record = Record::decode(&line[..line.len() - 1]).unwrap();
        prop_assert_eq!((record.seq, record.hash, record.more), (7, hash, more));
        prop_assert_eq!(&record.event.actor, &event.actor);
        let mut again = Vec::new();
        record.event.encode((7, Hash::genesis(), more), &mut again);
        prop_assert_eq!(line, again);
    }

    #[test]
    fn no_bit_of_a_line_can_change_unnoticed(at: prop::sample::Index, bit in 0..8_u8) {
        let mut line = line(&event().by("ann").with("a", "b"));
        let at = at.index(line.len());
        line[at] ^= 1 << bit;
        prop_assert!(Record::decode(&line).is_err());
    }
}
