//! Events of every shape: what is encoded is decoded, chained, and has one canonical form.

use arbitrary::{Result, Unstructured};
use jiff::Timestamp;
use serde_json::{Map, Number, Value};
use wal_format::{
    Chain, Decoded, Entry, Event, Frame, Kind, Seq, canonical_json, encode_entry, leading_seq,
    read_seq, split_chain,
};

use crate::json::Plain;

/// Lists and maps inside one another.
const DEPTH_MAX: usize = 6;
/// Members of a list or map.
const WIDTH_MAX: usize = 8;
/// Entries of a log.
const ENTRIES_MAX: usize = 4;

/// Makes a log from `choices` and reads it back.
pub fn check(choices: &[u8]) {
    let mut choices = Unstructured::new(choices);
    let Ok(entries) = entries(&mut choices) else { return };
    let start = Chain::before(choices.take_rest());
    let mut log = Vec::new();
    let mut chain = start;
    for (seq, at, event) in &entries {
        chain = encode_entry(*seq, *at, &event.to_json(), chain, &mut log).unwrap();
    }
    let mut rest = &*log;
    let mut previous = start;
    for (seq, at, event) in &entries {
        let Ok(Decoded::Whole(frame, behind)) = Frame::decode(rest) else {
            panic!("an entry of ours is a whole frame");
        };
        previous = check_one(frame.payload(), previous, *seq, *at, event);
        rest = behind;
    }
    assert_eq!((rest, previous), (&[][..], chain));
}

fn check_one(payload: &[u8], previous: Chain, seq: Seq, at: Timestamp, event: &Event) -> Chain {
    let (body, chain) = split_chain(payload).unwrap();
    assert_eq!(previous.link(body), chain);
    assert_eq!(leading_seq(payload), Some(seq));
    assert_eq!(read_seq(payload), Ok(seq.get()));
    let entry = Entry::parse(payload).unwrap();
    assert_eq!((entry.seq, entry.time()), (seq, Some(at)));
    assert_eq!(&entry.event.to_owned().unwrap(), event);

    let Plain(value) = serde_json::from_slice(payload).unwrap();
    let canonical = canonical_json(&value);
    let Plain(again) = serde_json::from_slice(&canonical).unwrap();
    assert_eq!(canonical_json(&again), canonical, "the canonical form is its own");
    chain
}

fn entries(choices: &mut Unstructured<'_>) -> Result<Vec<(Seq, Timestamp, Event)>> {
    let count = choices.int_in_range(1..=ENTRIES_MAX)?;
    (0..count)
        .map(|_| {
            let seq = Seq::new(choices.arbitrary::<u64>()?).unwrap_or(Seq::FIRST);
            let second = choices.int_in_range(-60_000_000_000_i64..=250_000_000_000)?;
            let micros = choices.int_in_range(0..=999_999)?;
            let at = Timestamp::new(second, 0).and_then(|it| {
                let part = jiff::SignedDuration::from_micros(micros);
                it.checked_add(part)
            });
            let at = at.map_err(|_| arbitrary::Error::IncorrectFormat)?;
            Ok((seq, at, event(choices)?))
        })
        .collect()
}

fn event(choices: &mut Unstructured<'_>) -> Result<Event> {
    let kind = match choices.int_in_range(0..=4)? {
        0 => Kind::Decision,
        1 => Kind::Action,
        2 => Kind::Lifecycle,
        3 => Kind::Error,
        _ => Kind::parse(choices.arbitrary()?),
    };
    let attrs = map(choices, 0)?;
    let trace_id = choices.arbitrary::<Option<&str>>()?.map(str::to_owned);
    let span_id = choices.arbitrary::<Option<&str>>()?.map(str::to_owned);
    Ok(Event { kind, attrs, trace_id, span_id })
}

fn map(choices: &mut Unstructured<'_>, depth: usize) -> Result<Map<String, Value>> {
    let count = choices.int_in_range(0..=WIDTH_MAX)?;
    (0..count).map(|_| Ok((choices.arbitrary::<String>()?, value(choices, depth + 1)?))).collect()
}

fn value(choices: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    Ok(match choices.int_in_range(0..=7)? {
        0 => Value::Null,
        1 => choices.arbitrary::<bool>()?.into(),
        2 => choices.arbitrary::<u64>()?.into(),
        3 => choices.arbitrary::<i64>()?.into(),
        4 => Number::from_f64(f64::from_bits(choices.arbitrary()?)).into(),
        6 if depth < DEPTH_MAX => {
            let count = choices.int_in_range(0..=WIDTH_MAX)?;
            (0..count).map(|_| value(choices, depth + 1)).collect::<Result<_>>()?
        }
        7 if depth < DEPTH_MAX => Value::Object(map(choices, depth)?),
        _ => choices.arbitrary::<&str>()?.into(),
    })
}
