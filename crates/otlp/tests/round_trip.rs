//! Both encodings, against each other and against the generated code of `opentelemetry-proto`.
#![expect(clippy::unwrap_used, reason = "tests")]

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use otlp::{Encoder, Encoding, Id, Limits, Record, Resource, Severity};
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Map, Value, json};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON numbers are finite", |it| it.is_finite())
            .prop_map(Value::from),
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|it| Value::Object(it.into_iter().collect())),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(".{0,8}", value(), 0..6).prop_map(|it| it.into_iter().collect())
}

fn record() -> impl Strategy<Value = Record> {
    let ids = (any::<Option<[u8; 16]>>(), any::<Option<[u8; 8]>>());
    let times = (any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>());
    let texts = (any::<String>(), any::<String>());
    (times, -1..30, texts, value(), attributes(), ids).prop_map(
        |(times, severity, texts, body, attributes, ids)| Record {
            time_unix_nano: times.0,
            observed_time_unix_nano: times.1,
            severity: Severity(severity),
            severity_text: texts.0,
            event_name: texts.1,
            body,
            attributes,
            dropped_attributes_count: times.2,
            flags: times.3,
            trace_id: ids.0.and_then(|it| Id::from_bytes(&it)),
            span_id: ids.1.and_then(|it| Id::from_bytes(&it)),
        },
    )
}

proptest! {
    #[test]
    fn records_come_back_in_both_encodings(
        resource in attributes(), records in prop::collection::vec(record(), 0..4)
    ) {
        let resource = Resource { attributes: resource };
        for encoding in Encoding::ALL {
            let body = otlp::encode(encoding, &resource, &records);
            let groups = otlp::decode(&body, encoding, &Limits::STANDARD).unwrap();
            prop_assert_eq!(groups.len(), 1);
            prop_assert_eq!(&*groups[0].resource, &resource);
            prop_assert_eq!(&groups[0].records, &records);
        }
    }

    /// What we write by hand is what the generated code would have written.
    #[test]
    fn the_generated_code_writes_the_same_protobuf(
        resource in attributes(), records in prop::collection::vec(record(), 0..4)
    ) {
        let protobuf = otlp::encode_protobuf(&Resource { attributes: resource }, &records);
        let read = ExportLogsServiceRequest::decode(&*protobuf).unwrap();
        prop_assert_eq!(read.encode_to_vec(), protobuf);
    }

    /// A run of records that were encoded once is the request that has only them.
    #[test]
    fn a_run_of_encoded_records_is_a_request_of_its_own(
        resource in attributes(),
        records in prop::collection::vec(record(), 0..5),
        cut in (0..6_usize, 0..6_usize),
    ) {
        let resource = Resource { attributes: resource };
        let end = cut.1.min(records.len());
        let range = cut.0.min(end)..end;
        for encoding in Encoding::ALL {
            let mut encoder = Encoder::new(encoding, &resource);
            for record in &records {
                encoder.push(&record.into());
            }
            prop_assert_eq!(encoder.len(), records.len());
            let want = otlp::encode(encoding, &resource, &records[range.clone()]);
            prop_assert_eq!(encoder.request(range.clone()), want);
            prop_assert_eq!(encoder.request(0..9), otlp::encode(encoding, &resource, &records));
        }
    }

    /// The generated code has its own JSON mapping: it must see the same request in our JSON as in
    /// our protobuf. Resources are left empty: it requires fields there that may be left out.
    #[test]
    fn the_generated_code_reads_our_json_as_our_protobuf(records in prop::collection::vec(record(), 0..4)) {
        let protobuf = otlp::encode_protobuf(&Resource::default(), &records);
        let want = ExportLogsServiceRequest::decode(&*protobuf).unwrap();
        let json = otlp::encode_json(&Resource::default(), &records);
        let got: ExportLogsServiceRequest = serde_json::from_slice(&json).unwrap();
        prop_assert_eq!(got, want);
    }

    #[test]
    fn we_read_the_json_of_the_generated_code(records in prop::collection::vec(record(), 0..4)) {
        let protobuf = otlp::encode_protobuf(&Resource::default(), &records);
        let request = ExportLogsServiceRequest::decode(&*protobuf).unwrap();
        let json = serde_json::to_vec(&request).unwrap();
        let groups = otlp::decode(&json, Encoding::Json, &Limits::STANDARD).unwrap();
        prop_assert_eq!(&groups[0].records, &records);
    }
}

/// The example that the specification of OTLP shows for logs.
#[test]
fn the_example_of_the_specification_is_read() {
    let body = include_bytes!("golden/specification.json");
    let groups = otlp::decode(body, Encoding::Json, &Limits::STANDARD).unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].resource.service_name(), Some("my.service"));
    assert_eq!((&*groups[0].scope.name, &*groups[0].scope.version), ("my.library", "1.0.0"));
    let record = &groups[0].records[0];
    assert_eq!(record.time_unix_nano, 1_544_712_660_300_000_000);
    assert_eq!(record.observed_time_unix_nano, 1_544_712_660_300_000_000);
    assert_eq!((record.severity, &*record.severity_text), (Severity(10), "Information"));
    assert_eq!(record.body, "Example log record");
    assert_eq!(record.trace_id.unwrap().to_string(), "5b8efff798038103d269b633813fc60c");
    assert_eq!(record.span_id.unwrap().to_string(), "eee19b7ec3c1b174");
    assert_eq!(
        Value::Object(record.attributes.clone()),
        json!({
            "string.attribute": "some string",
            "boolean.attribute": true,
            "int.attribute": 10,
            "double.attribute": 637.704,
            "array.attribute": ["many", "values"],
            "map.attribute": {"some.map.key": "some value"},
        })
    );
}

/// Whatever equals the default may be left out or be `null`; what is unknown is ignored.
#[test]
fn json_may_leave_out_everything_and_add_anything() {
    for (body, records) in [
        (r"{}", 0),
        (r#"{"resourceLogs":null,"more":{"a":[1]}}"#, 0),
        (r#"{"resourceLogs":[{}]}"#, 0),
        (
            r#"{"resourceLogs":[{"resource":null,"scopeLogs":[{"scope":null,"logRecords":[{}]}]}]}"#,
            1,
        ),
        (
            r#"{"resourceLogs":[{"resource":{"attributes":null,"entityRefs":[]},"schemaUrl":"x","scopeLogs":[{"scope":{"name":null},
               "logRecords":[{"timeUnixNano":null,"severityNumber":null,"body":null,"attributes":null,"traceId":null,"new":{}},{"body":{}}]}]}]}"#,
            2,
        ),
    ] {
        let groups = otlp::decode(body.as_bytes(), Encoding::Json, &Limits::STANDARD).unwrap();
        let found: Vec<_> = groups.iter().flat_map(|it| &it.records).collect();
        assert_eq!(found.len(), records, "{body}");
        assert!(found.iter().all(|it| **it == Record::default()), "{body}");
    }
}

#[test]
fn json_values_are_read_in_every_spelling_that_protobuf_allows() {
    for (value, want) in [
        (r#"{"intValue":"-7"}"#, json!(-7)),
        (r#"{"intValue":-7}"#, json!(-7)),
        (r#"{"doubleValue":1}"#, json!(1.0)),
        (r#"{"doubleValue":"1.5"}"#, json!(1.5)),
        (r#"{"doubleValue":"NaN"}"#, json!("NaN")),
        (r#"{"doubleValue":"-Infinity"}"#, json!("-Infinity")),
        (r#"{"arrayValue":{}}"#, json!([])),
        (r#"{"kvlistValue":{"values":null}}"#, json!({})),
        (r#"{"kvlistValue":{"values":[{"key":"a"}]}}"#, json!({"a": null})),
        (r#"{"bytesValue":"AQI="}"#, json!("AQI=")),
        (r#"{"stringValue":null}"#, json!(null)),
        (r#"{"futureValue":{"x":[1]}}"#, json!(null)),
        (r"{}", json!(null)),
    ] {
        let body = format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{value}}}]}}]}}]}}"#
        );
        let groups = otlp::decode(body.as_bytes(), Encoding::Json, &Limits::STANDARD).unwrap();
        assert_eq!(groups[0].records[0].body, want, "{value}");
    }
}

fn sample() -> (Resource, Vec<Record>) {
    let attributes = json!({"service.name": "edge-1", "service.instance.id": "w"});
    let resource = Resource { attributes: attributes.as_object().unwrap().clone() };
    let mut record = Record {
        time_unix_nano: 1_767_323_045_000_006_000,
        severity: Severity::WARN,
        severity_text: "WARN".to_owned(),
        body: "autonomy.decision".into(),
        attributes: json!({"decision": "deny", "n": [1, 2.5, {"deep": null}], "wal.seq": 7})
            .as_object()
            .unwrap()
            .clone(),
        ..Record::default()
    };
    record.set_trace_id("5b8efff798038103d269b633813fc60c");
    record.set_span_id("eee19b7ec3c1b174");
    (resource, vec![record, Record::default()])
}

/// The bytes of both encodings are fixed: what leaves a node does not change by accident.
#[test]
fn the_bytes_of_a_request_are_pinned() {
    let (resource, records) = sample();
    let protobuf = otlp::encode_protobuf(&resource, &records);
    assert_eq!(hex(&protobuf), include_str!("golden/request.pb.hex").trim());
    let json = otlp::encode_json(&resource, &records);
    assert_eq!(String::from_utf8(json).unwrap(), include_str!("golden/request.json").trim());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, it| text + &format!("{it:02x}"))
}
