//! What broken and hostile peers send. Nothing may panic, recurse or allocate without bound.
#![expect(clippy::unwrap_used, reason = "tests")]

use otlp::{DecodeError, Encoding, Limits, Record, Resource};
use proptest::prelude::*;
use serde_json::json;

const SMALL: Limits =
    Limits { bytes: 10_000, records: 3, attributes_per_record: 4, messages: 60, value_depth: 5 };

fn decode(body: &[u8], encoding: Encoding) -> Result<usize, DecodeError> {
    let groups = otlp::decode(body, encoding, &SMALL)?;
    Ok(groups.iter().map(|it| it.records.len()).sum())
}

fn record(attributes: serde_json::Value) -> Record {
    let serde_json::Value::Object(attributes) = attributes else { return Record::default() };
    Record { attributes, ..Record::default() }
}

#[track_caller]
fn check(records: &[Record], want: &Result<usize, DecodeError>) {
    for encoding in Encoding::ALL {
        let body = otlp::encode(encoding, &Resource::default(), records);
        assert_eq!(&decode(&body, encoding), want, "{encoding}");
    }
}

/// A protobuf field of length-delimited bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
        len >>= 7;
    }
    out.push(u8::try_from(len).unwrap());
    out.extend_from_slice(bytes);
    out
}

/// A request with one record of these bytes.
fn request(record: &[u8]) -> Vec<u8> {
    field(1, &field(2, &field(2, record)))
}

#[test]
fn each_limit_holds_at_its_value_and_fails_beyond_it() {
    let one = Record::default();
    check(&vec![one.clone(); 3], &Ok(3));
    check(&vec![one; 4], &Err(DecodeError::TooManyRecords { limit: 3 }));

    check(&[record(json!({"a": 1, "b": 2, "c": 3, "d": 4}))], &Ok(1));
    let five = record(json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}));
    check(&[five], &Err(DecodeError::TooManyAttributes { limit: 4 }));

    let nested = |levels| (0..levels).fold(json!(7), |inner, _| json!([inner]));
    check(&[record(json!({"a": nested(5)}))], &Ok(1));
    check(&[record(json!({"a": nested(6)}))], &Err(DecodeError::TooDeep { limit: 5 }));
    let body = Record { body: nested(6), ..Record::default() };
    check(&[body], &Err(DecodeError::TooDeep { limit: 5 }));

    check(&[record(json!({"a": vec![0; 40]}))], &Ok(1));
    check(&[record(json!({"a": vec![0; 60]}))], &Err(DecodeError::TooManyMessages { limit: 60 }));

    for encoding in Encoding::ALL {
        let got = decode(&[b' '; 10_001], encoding);
        assert_eq!(got, Err(DecodeError::TooLarge { bytes: 10_001, limit: 10_000 }));
    }
}

/// Two bytes of protobuf and three of JSON are a whole message.
#[test]
fn a_flood_of_empty_messages_is_refused_before_it_is_decoded() {
    let too_many = Err(DecodeError::TooManyMessages { limit: 60 });
    let flood = |number| field(number, &[]).repeat(1000);
    assert_eq!(decode(&flood(1), Encoding::Protobuf), too_many, "resources");
    assert_eq!(decode(&field(1, &flood(2)), Encoding::Protobuf), too_many, "scopes");
    let got = decode(&field(1, &field(2, &flood(2))), Encoding::Protobuf);
    assert_eq!(got, Err(DecodeError::TooManyRecords { limit: 3 }));
    let got = decode(&request(&flood(6)), Encoding::Protobuf);
    assert_eq!(got, Err(DecodeError::TooManyAttributes { limit: 4 }));
    let list = field(5, &field(5, &flood(1)));
    assert_eq!(decode(&request(&list), Encoding::Protobuf), too_many, "values");
    let ids = field(1, &field(1, &field(3, &flood(3))));
    assert_eq!(decode(&ids, Encoding::Protobuf), too_many, "keys of an entity");
    let body = format!(r#"{{"resourceLogs":[{}{{}}]}}"#, "{},".repeat(1000));
    let got = decode(body.as_bytes(), Encoding::Json);
    assert_eq!(got, Err(DecodeError::TooManyMessages { limit: 60 }));
}

#[test]
fn braces_inside_strings_are_no_objects() {
    let text = r#"{{{\"{{"#.repeat(100);
    let body = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"severityText":"{text}"}}]}}]}}]}}"#
    );
    assert_eq!(decode(body.as_bytes(), Encoding::Json), Ok(1));
}

#[test]
fn a_key_of_the_json_library_is_a_name_like_any_other() {
    let key = "$serde_json::private::RawValue";
    let body = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"attributes":[{{"key":"{key}","value":{{"stringValue":"{{"}}}}],"body":{{"kvlistValue":{{"values":[{{"key":"{key}","value":{{"stringValue":"[1]"}}}}]}}}}}}]}}]}}]}}"#
    );
    let groups = otlp::decode(body.as_bytes(), Encoding::Json, &SMALL).unwrap();
    let found = format!("{groups:?}");
    assert!(found.contains(r#"String("{")"#) && found.contains(r#"String("[1]")"#), "{found}");
    let unknown = format!(r#"{{"{key}":"{{","resourceLogs":[]}}"#);
    assert_eq!(decode(unknown.as_bytes(), Encoding::Json), Ok(0));
    let value = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"{key}":"{{"}}}}]}}]}}]}}"#
    );
    let groups = otlp::decode(value.as_bytes(), Encoding::Json, &SMALL).unwrap();
    assert!(format!("{groups:?}").contains("body: Null"), "{groups:?}");
}

#[test]
fn endless_nesting_is_refused_in_both_encodings() {
    let roomy = Limits { bytes: 20 << 20, messages: 10_000_000, ..SMALL };
    // AnyValue { array_value: ArrayValue { values: [AnyValue …] } }
    let value = (0..5_000).fold(Vec::new(), |inner, _| field(5, &field(1, &inner)));
    let got = otlp::decode(&request(&field(5, &value)), Encoding::Protobuf, &roomy);
    assert!(matches!(got, Err(DecodeError::TooDeep { .. })), "{got:?}");

    let deep = |open: &str, close: &str| {
        let value = open.repeat(50_000) + "{}" + &close.repeat(50_000);
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{value}}}]}}]}}]}}"#)
    };
    for body in [
        deep(r#"{"arrayValue":{"values":["#, "]}}"),
        "[".repeat(100_000),
        r#"{"resourceLogs":"#.repeat(10_000),
    ] {
        let got = otlp::decode(body.as_bytes(), Encoding::Json, &roomy);
        assert!(matches!(got, Err(DecodeError::Malformed { .. })), "{got:?}");
    }
    // What is unknown is skipped without recursion, however deep it is.
    let skipped = deep(r#"{"unknown":["#, "]}");
    assert!(otlp::decode(skipped.as_bytes(), Encoding::Json, &roomy).is_ok());
}

#[test]
fn what_contradicts_the_schema_is_an_error_for_the_whole_request() {
    for body in [
        "",
        "null",
        "[]",
        "7",
        r#"{"resourceLogs":[[]]}"#,
        r#"{"resourceLogs":[{"scopeLogs":[[{},[{}]]]}]}"#,
        r#"{"resourceLogs":{}}"#,
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":-1}]}]}]}"#,
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"x"}]}]}]}"#,
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":"SEVERITY_NUMBER_INFO"}]}]}]}"#,
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":"text"}]}]}]}"#,
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"intValue":"9223372036854775808"}}]}]}]}"#,
        r#"{"resourceLogs":[]} {}"#,
        "{\"resourceLogs\":[{\"schemaUrl\":\"\u{0}\"}]}",
    ] {
        let got = decode(body.as_bytes(), Encoding::Json);
        assert!(matches!(got, Err(DecodeError::Malformed { .. })), "{body}: {got:?}");
    }
    for body in [
        &b"<html>"[..],
        b"{}",
        &[0x0a],
        &[0x0a, 0x05, 0x01],
        &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x0b],
        // severity_text that is not UTF-8
        &request(&field(3, &[0xff, 0xfe])),
        // time_unix_nano with the wire type of a string
        &request(&[0x0a, 0x01, 0x00]),
    ] {
        let got = decode(body, Encoding::Protobuf);
        assert!(matches!(got, Err(DecodeError::Malformed { .. })), "{body:?}: {got:?}");
    }
}

#[test]
fn ids_that_are_none_are_kept_as_text_and_do_not_fail_the_request() {
    let body = request(&[field(9, &[1, 2, 3]), field(10, &[0; 8])].concat());
    let groups = otlp::decode(&body, Encoding::Protobuf, &SMALL).unwrap();
    let record = &groups[0].records[0];
    assert_eq!((record.trace_id, record.span_id), (None, None));
    assert_eq!(
        serde_json::Value::Object(record.attributes.clone()),
        json!({"trace_id.invalid": "010203"})
    );

    let body =
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"zz","spanId":"00"}]}]}]}"#;
    let groups = otlp::decode(body.as_bytes(), Encoding::Json, &SMALL).unwrap();
    let attributes = serde_json::Value::Object(groups[0].records[0].attributes.clone());
    assert_eq!(attributes, json!({"trace_id.invalid": "zz", "span_id.invalid": "00"}));
}

#[test]
fn a_resource_in_front_of_many_scopes_is_not_copied() {
    let scopes = field(2, &field(2, &[])).repeat(20);
    let resource =
        field(1, &field(1, &[field(1, b"key"), field(2, &field(1, &[b'x'; 4000]))].concat()));
    let body = field(1, &[resource, scopes].concat());
    let roomy = Limits { records: 100, messages: 1000, ..SMALL };
    let groups = otlp::decode(&body, Encoding::Protobuf, &roomy).unwrap();
    assert_eq!(groups.len(), 20);
    assert!(
        groups
            .iter()
            .all(|it| std::ptr::eq(&raw const *it.resource, &raw const *groups[0].resource))
    );
}

/// A request that is cut short is an error, or one with fewer whole messages: never a panic.
#[test]
fn every_prefix_of_a_request_is_answered() {
    let attributes = json!({"service.name": "n", "x": [1, {"y": 2.5}]});
    let records = [record(attributes), Record { body: "b".into(), ..Record::default() }];
    for encoding in Encoding::ALL {
        let body = otlp::encode(encoding, &Resource::default(), &records);
        for cut in 1..body.len() {
            let got = decode(&body[..cut], encoding);
            assert!(matches!(got, Err(DecodeError::Malformed { .. })), "{encoding} {cut}: {got:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_body_makes_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for encoding in Encoding::ALL {
            if let Ok(records) = decode(&bytes, encoding) {
                prop_assert!(records <= SMALL.records);
            }
            let answer = otlp::decode_response(&bytes, encoding);
            prop_assert!(answer.is_ok() || answer.is_err());
            let text = otlp::error_text(&bytes, encoding.content_type());
            prop_assert!(text.chars().count() <= otlp::ERROR_TEXT_CHARS_MAX);
            prop_assert!(!text.contains(|it: char| it.is_control()));
        }
    }

    /// Damage in the middle of a real request.
    #[test]
    fn no_damaged_body_makes_a_decoder_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let records = [record(json!({"x": [1, {"y": 2.5}], "z": "text"})), Record::default()];
        for encoding in Encoding::ALL {
            let mut body = otlp::encode(encoding, &Resource::default(), &records);
            let at = at.index(body.len());
            body[at] = byte;
            let got = decode(&body, encoding);
            prop_assert!(got.is_ok() || got.is_err());
        }
    }
}
