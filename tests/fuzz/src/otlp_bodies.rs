//! Bodies of requests and answers from peers that are not trusted.
//!
//! | bit of byte 0 | meaning                                                     |
//! |--------------:|-------------------------------------------------------------|
//! |             0 | JSON instead of protobuf                                    |
//! |             1 | limits so small that they matter                            |
//! |             2 | an answer instead of a request                              |
//!
//! The rest is the body.

use otlp::{
    DecodeError, ERROR_TEXT_CHARS_MAX, Encoding, Group, Limits, PartialSuccess, VALUE_DEPTH_MAX,
    decode, decode_response, encode, encode_response, error_text,
};
use serde_json::Value;

const SMALL: Limits =
    Limits { bytes: 2048, records: 3, attributes_per_record: 3, messages: 24, value_depth: 3 };

/// Checks one body.
pub fn check(bytes: &[u8]) {
    let Some((flags, body)) = bytes.split_first() else { return };
    let encoding = Encoding::ALL[usize::from(flags & 1)];
    if flags & 4 == 4 {
        check_answer(body, encoding);
    } else {
        let limits = if flags & 2 == 2 { SMALL } else { Limits::STANDARD };
        check_request(body, encoding, &limits);
    }
}

fn check_request(body: &[u8], encoding: Encoding, limits: &Limits) {
    let groups = match decode(body, encoding, limits) {
        Ok(groups) => groups,
        Err(error) => {
            let by_length = matches!(error, DecodeError::TooLarge { .. });
            assert_eq!(by_length, body.len() > limits.bytes);
            return;
        }
    };
    within(&groups, limits);
    assert_eq!(decode(body, encoding, &Limits::STANDARD).as_ref(), Ok(&groups));
    for group in &groups {
        for encoding in Encoding::ALL {
            check_round_trip(group, encoding);
        }
    }
}

fn within(groups: &[Group], limits: &Limits) {
    let records: usize = groups.iter().map(|it| it.records.len()).sum();
    assert!(records <= limits.records);
    for group in groups {
        assert!(group.resource.attributes.values().all(|it| depth(it) <= limits.value_depth));
        for record in &group.records {
            assert!(record.attributes.len() <= limits.attributes_per_record);
            assert!(depth(&record.body) <= limits.value_depth);
            assert!(record.attributes.values().all(|it| depth(it) <= limits.value_depth));
            assert!(record.trace_id.is_none_or(|it| *it.as_bytes() != [0; 16]), "O1");
            assert!(record.span_id.is_none_or(|it| *it.as_bytes() != [0; 8]), "O1");
        }
    }
}

/// What was received is sent on and received again: the same, where OTLP has a form for it; and
/// the same ever after.
fn check_round_trip(group: &Group, encoding: Encoding) {
    let once = again(group, encoding);
    assert_eq!(once.records.len(), group.records.len());
    if group.records.iter().all(|it| fits(&it.body) && it.attributes.values().all(fits)) {
        assert_eq!(once.records, group.records);
    }
    if group.resource.attributes.values().all(fits) {
        assert_eq!(once.resource, group.resource);
    }
    let twice = again(&once, encoding);
    assert_eq!((&twice.records, &twice.resource), (&once.records, &once.resource));
}

fn again(group: &Group, encoding: Encoding) -> Group {
    let body = encode(encoding, &group.resource, &group.records);
    // What is received can be a little longer than what was sent, in the other encoding.
    let limits = Limits { bytes: usize::MAX, messages: usize::MAX, ..Limits::STANDARD };
    let mut groups = decode(&body, encoding, &limits).unwrap();
    assert_eq!(groups.len(), 1);
    groups.remove(0)
}

/// Whether OTLP can carry a value as it is.
fn fits(value: &Value) -> bool {
    depth(value) <= VALUE_DEPTH_MAX && numbers_fit(value)
}

fn numbers_fit(value: &Value) -> bool {
    match value {
        Value::Number(it) => it.is_i64() || it.is_f64(),
        Value::Array(items) => items.iter().all(numbers_fit),
        Value::Object(map) => map.values().all(numbers_fit),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn check_answer(body: &[u8], encoding: Encoding) {
    let text = error_text(body, encoding.content_type());
    assert!(text.chars().count() <= ERROR_TEXT_CHARS_MAX);
    assert!(!text.contains(char::is_control));
    let Ok(partial) = decode_response(body, encoding) else { return };
    assert_ne!(
        partial,
        Some(PartialSuccess::default()),
        "nothing refused and nothing said is none"
    );
    // The wire counts in 63 bits.
    assert!(partial.as_ref().is_none_or(|it| i64::try_from(it.rejected).is_ok()));
    for encoding in Encoding::ALL {
        let body = encode_response(partial.as_ref(), encoding);
        assert_eq!(decode_response(&body, encoding).as_ref(), Ok(&partial));
    }
}
