//! Payloads: every reader of one says the same about it, and no more than a JSON parser does.
//!
//! | reader          | compared with `serde_json::Value`                                        |
//! |-----------------|--------------------------------------------------------------------------|
//! | `read_seq`      | takes what it takes, and the unusual (see `json`); refuses a repeated key |
//! | `leading_seq`   | what it finds in a payload that `read_seq` takes, `read_seq` finds too    |
//! | `skim`          | what it finds `read_seq` finds too; it takes no birth (S1, S2)            |
//! | `split_chain`   | what it splits off is the last `chain` of the outermost object (E1)       |
//! | `Entry::parse`  | takes less than `read_seq`; the same values                               |

use serde_json::Value;
use wal_format::{
    Birth, CHAIN_SUFFIX_LEN, Chain, Entry, Event, leading_seq, read_seq, skim, split_chain,
};

use crate::json::{Json, judge};

/// Checks one payload.
pub fn check(payload: &[u8]) {
    let json = judge(payload);
    let read = read_seq(payload);
    match (&read, &json) {
        (Ok(seq), Json::Object(value, members)) => {
            assert_eq!(times(members, "seq"), usize::from(!value["seq"].is_null()));
            assert_eq!(value.get("seq").map_or(Some(0), Value::as_u64), Some(*seq));
        }
        (Err(_), Json::Object(value, members)) => {
            let seq = value.get("seq");
            let strange = seq.is_some_and(|it| it.as_u64().is_none());
            assert!(strange || times(members, "seq") > 1, "{read:?}");
        }
        (Ok(seq), Json::Other | Json::Bad(_)) => panic!("seq {seq} in what is {json:?}"),
        (_, Json::Unusual) | (Err(_), Json::Other | Json::Bad(_)) => {}
    }
    if let Some(leading) = leading_seq(payload) {
        assert!(payload.starts_with(format!(r#"{{"seq":{leading},"#).as_bytes()));
        assert!(read.as_ref().is_err() || read == Ok(leading.get()));
    }
    if let Some(seq) = skim(payload) {
        assert_eq!(read, Ok(seq.get()), "S1");
        assert!(!String::from_utf8_lossy(payload).contains(Birth::MARK), "S2");
    }
    check_chain(payload, &json);
    check_entry(payload, &json, read.ok());
}

fn times(members: &[(String, Value)], key: &str) -> usize {
    members.iter().filter(|(it, _)| it == key).count()
}

fn check_chain(payload: &[u8], json: &Json) {
    let Some((body, chain)) = split_chain(payload) else { return };
    let suffix = format!(r#","chain":"{chain}"}}"#);
    assert_eq!(suffix.len(), CHAIN_SUFFIX_LEN);
    assert_eq!([body, suffix.as_bytes()].concat(), payload);
    assert_eq!(chain.to_string().parse::<Chain>(), Ok(chain));
    if let Json::Object(value, members) = json {
        let digits = Value::String(chain.to_string());
        assert_eq!(members.last(), Some(&("chain".to_owned(), digits)), "E1");
        if times(members, "chain") == 1 {
            let Json::Object(mut rest, _) = judge(&[body, b"}"].concat()) else {
                panic!("the body is an object without its end");
            };
            rest["chain"] = value["chain"].clone();
            assert_eq!(rest, *value);
        }
    }
}

fn check_entry(payload: &[u8], json: &Json, read: Option<u64>) {
    let Ok(entry) = Entry::parse(payload) else { return };
    assert_eq!(read, Some(entry.seq.get()), "whoever parses an entry reads its number");
    entry.time();
    let attrs = entry.event.attrs();
    if let Ok(event) = entry.event.to_owned() {
        let stored = event.to_json();
        let again: wal_format::EventRef<'_> = serde_json::from_slice(&stored).unwrap();
        let again: Event = again.to_owned().unwrap();
        assert_eq!(again, event, "what is written is read back");
        assert_eq!(again.to_json(), stored);
    }
    if let Json::Object(value, _) = json {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        assert_eq!(
            text(&value["written_at"]).unwrap_or_default(),
            entry.written_at,
            "absent is empty"
        );
        assert_eq!(text(&value["event"]["kind"]).unwrap_or_default(), entry.event.kind);
        assert_eq!(text(&value["event"]["trace_id"]).as_deref(), entry.event.trace_id.as_deref());
        match (&value["event"]["attrs"], attrs) {
            (Value::Null, Ok(found)) => assert!(found.is_empty()),
            (Value::Object(want), Ok(found)) => assert_eq!(found, *want),
            (Value::Null | Value::Object(_), Err(error)) => panic!("{error}"),
            (other, found) => assert!(found.is_err(), "{other} is no object"),
        }
    }
}
