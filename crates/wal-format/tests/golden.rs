//! The bytes on disk, written once. A change here is a change of the format, and needs a version
//! that still reads these files; nothing rewrites them.
//!
//! | file                 | what it is                                                           |
//! |----------------------|----------------------------------------------------------------------|
//! | `chained.wal`        | a log of ours: a birth, every kind, trace ids, keys nobody knows     |
//! | `foreign.wal`        | a log of the original system: no chain, nanoseconds, no birth        |
//! | `adopted.wal`        | `foreign.wal`, carried on by us                                      |
//! | `torn.wal`           | `chained.wal` without its last 40 bytes: a crash inside a write      |
//! | `zeros.wal`          | `chained.wal` and 64 zeros: space that was allocated ahead           |
//! | `telemetry.safe_seq` | a safe point of 6                                                    |
//! | `telemetry.pos`      | a position of 4                                                      |
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use serde_json::{Value, json};
use wal_format::{
    Birth, Chain, Decoded, Entry, Event, Frame, Kind, Origin, Position, SafePoint, Seq, WalId,
    encode_entry, split_chain,
};

const CHAINED: &[u8] = include_bytes!("golden/chained.wal");
const FOREIGN: &[u8] = include_bytes!("golden/foreign.wal");
const ADOPTED: &[u8] = include_bytes!("golden/adopted.wal");
const TORN: &[u8] = include_bytes!("golden/torn.wal");
const ZEROS: &[u8] = include_bytes!("golden/zeros.wal");
const SAFE_SEQ: &[u8] = include_bytes!("golden/telemetry.safe_seq");
const POS: &[u8] = include_bytes!("golden/telemetry.pos");

const AT: &str = "2026-01-02T03:04:05.000006Z";

fn birth(wal_id: WalId, origin: Origin) -> Event {
    Birth { wal_id, node: "edge-1".to_owned(), origin, previous: None }.to_event()
}

/// The events of `chained.wal`.
fn events() -> Vec<Vec<u8>> {
    let mut traced = Event::new(Kind::Decision)
        .with("decision", "deny")
        .with("kind", "tool.shell")
        .with("params", json!({"command": "id", "n": 9_007_199_254_740_993_u64, "r": 1.5}))
        .with("text", "ü \u{1f600} \u{0} \" \\ \n");
    traced.trace_id = Some("5b8efff798038103d269b633813fc60c".to_owned());
    traced.span_id = Some("eee19b7ec3c1b174".to_owned());
    vec![
        birth(WalId::from_random([7; 16]), Origin::FirstRun).to_json(),
        traced.to_json(),
        Event::new(Kind::Action).with("outcome", "ok").to_json(),
        Event::new(Kind::Error).with("outcome", "failed").with("code", "tool_failed").to_json(),
        Event::new(Kind::parse("robot.pose")).with("x", -0.25).to_json(),
        br#"{"kind":"autonomy.lifecycle","attrs":{"event":"later"},"severity":{"level":3}}"#
            .to_vec(),
    ]
}

/// Writes entries behind what `log` holds.
fn carry_on(log: &mut Vec<u8>, first: u64, events: &[Vec<u8>]) {
    let mut chain = Chain::before(log);
    for (seq, event) in (first..).zip(events) {
        let seq = Seq::new(seq).unwrap();
        chain = encode_entry(seq, AT.parse().unwrap(), event, chain, log).unwrap();
    }
}

fn chained() -> Vec<u8> {
    let mut log = Vec::new();
    carry_on(&mut log, 1, &events());
    log
}

fn adopted() -> Vec<u8> {
    let mut log = FOREIGN.to_vec();
    let id = WalId::of_foreign_log(payloads(FOREIGN)[0]);
    let decision = Event::new(Kind::Decision).with("decision", "allow");
    carry_on(&mut log, 4, &[birth(id, Origin::Adopted).to_json(), decision.to_json()]);
    log
}

fn payloads(mut log: &[u8]) -> Vec<&[u8]> {
    let mut payloads = Vec::new();
    while let Decoded::Whole(frame, rest) = Frame::decode(log).unwrap() {
        payloads.push(frame.payload());
        log = rest;
    }
    payloads
}

#[test]
fn encoding_the_same_entries_gives_the_same_bytes() {
    assert_eq!(chained(), CHAINED);
    assert_eq!(adopted(), ADOPTED);
    assert_eq!(&SafePoint::at(Seq::new(6)).to_bytes()[..], SAFE_SEQ);
    assert_eq!(&Position::at(Seq::new(4)).to_bytes()[..], POS);
}

#[test]
fn the_chained_log_decodes_to_what_was_written() {
    let payloads = payloads(CHAINED);
    let mut chain = Chain::before(b"");
    for (n, (payload, event)) in payloads.iter().zip(events()).enumerate() {
        let entry = Entry::parse(payload).unwrap();
        assert_eq!(entry.seq.get(), n as u64 + 1);
        assert_eq!(entry.time(), Some(AT.parse().unwrap()));
        let (body, value) = split_chain(payload).unwrap();
        assert_eq!(chain.link(body), value);
        chain = value;
        let stored: Value = serde_json::from_slice(payload).unwrap();
        assert_eq!(stored["event"], serde_json::from_slice::<Value>(&event).unwrap());
    }
    assert_eq!(payloads.len(), 6);
    assert_eq!(
        chain.to_string(),
        "7ff86d188088cbb2accb419b89d5ed5654010bc2b603a46946880a31b8c62dff"
    );
    let kinds: Vec<String> =
        payloads.iter().map(|it| Entry::parse(it).unwrap().event.kind.into_owned()).collect();
    let ours = ["lifecycle", "decision", "action", "error"].map(|it| format!("autonomy.{it}"));
    assert_eq!(kinds[..4], ours);
    assert_eq!(kinds[4], "robot.pose");
    let decision = Entry::parse(payloads[1]).unwrap().event;
    assert_eq!(decision.trace_id.as_deref(), Some("5b8efff798038103d269b633813fc60c"));
    assert_eq!(decision.span_id.as_deref(), Some("eee19b7ec3c1b174"));
    assert_eq!(decision.attrs().unwrap()["params"]["n"], 9_007_199_254_740_993_u64);
}

#[test]
fn a_log_of_the_original_system_decodes_without_a_chain() {
    let payloads = payloads(FOREIGN);
    assert_eq!(
        std::str::from_utf8(payloads[0]).unwrap(),
        r#"{"seq":1,"written_at":"2026-03-01T10:00:00.123456789Z","event":{"kind":"autonomy.decision","attrs":{"decision":"allow","kind":"tool.echo"}}}"#
    );
    for (n, payload) in (1..).zip(&payloads) {
        assert_eq!(split_chain(payload), None);
        let entry = Entry::parse(payload).unwrap();
        assert_eq!(entry.seq.get(), n);
        assert_eq!(entry.event.kind(), Kind::Decision);
    }
    let decisions: Vec<Value> = payloads
        .iter()
        .map(|it| Entry::parse(it).unwrap().event.attrs().unwrap()["decision"].clone())
        .collect();
    assert_eq!(decisions, ["allow", "allow", "deny"]);
    let time = Entry::parse(payloads[0]).unwrap().time().unwrap();
    assert_eq!(time.as_nanosecond(), 1_772_359_200_123_456_789);
    let id = WalId::of_foreign_log(payloads[0]);
    assert_eq!(id.to_string(), "f301c713-7881-8625-bbb6-524495ab7d97");
}

#[test]
fn an_adopted_log_chains_to_every_byte_of_the_foreign_one() {
    let payloads = payloads(ADOPTED);
    assert_eq!(payloads.len(), 5);
    let (body, chain) = split_chain(payloads[3]).unwrap();
    assert_eq!(Chain::before(FOREIGN).link(body), chain);
    let adopted = Entry::parse(payloads[3]).unwrap().event.attrs().unwrap();
    let birth = Birth::from_attrs(&adopted).unwrap();
    assert_eq!((birth.origin, birth.node.as_str()), (Origin::Adopted, "edge-1"));
    assert_eq!(birth.wal_id, WalId::of_foreign_log(payloads[0]));
    let (body, last) = split_chain(payloads[4]).unwrap();
    assert_eq!(chain.link(body), last);
}

#[test]
fn a_torn_log_ends_torn_and_zeros_end_a_log() {
    assert_eq!(TORN, &CHAINED[..CHAINED.len() - 40]);
    let whole = payloads(TORN);
    assert_eq!(whole, payloads(CHAINED)[..5]);
    let end: usize = whole.iter().map(|it| it.len() + 4).sum();
    assert_eq!(Frame::decode(&TORN[end..]), Ok(Decoded::Torn));

    assert_eq!(ZEROS, [CHAINED, &[0; 64]].concat());
    assert_eq!(payloads(ZEROS), payloads(CHAINED));
    assert_eq!(Frame::decode(&ZEROS[CHAINED.len()..]), Ok(Decoded::End));
}

#[test]
fn the_small_files_decode_to_their_numbers() {
    assert_eq!(SAFE_SEQ, [6, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(SafePoint::from_bytes(SAFE_SEQ).unwrap().get(), 6);
    assert_eq!(Position::from_bytes(POS).unwrap().get(), 4);
}
