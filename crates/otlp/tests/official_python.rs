//! Our bytes, read by the official Python package `opentelemetry-proto`, which shares no code with
//! this crate. Where Python or the package is missing the test says so and checks nothing.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use otlp::{Record, Resource, Severity};
use serde_json::{Value, json};

const IMPORT: &str =
    "from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest";

/// Prints what the package understands of the request on stdin, in its own JSON mapping.
const SCRIPT: &str = r"
import sys, json
from google.protobuf.json_format import MessageToDict
request = ExportLogsServiceRequest()
request.ParseFromString(sys.stdin.buffer.read())
print(json.dumps(MessageToDict(request)))
";

fn python(script: &str, stdin: &[u8]) -> Option<Output> {
    let mut child = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[test]
fn the_official_python_package_reads_our_protobuf() {
    if !python(IMPORT, b"").is_some_and(|it| it.status.success()) {
        assert!(std::env::var_os("AUTONOMY_NO_SKIP").is_none(), "no test may be skipped here");
        // Not `eprintln`: that is captured, and a skip must be seen.
        writeln!(
            std::io::stderr(),
            "skipped the_official_python_package_reads_our_protobuf: \
             python3 with the package opentelemetry-proto is not installed"
        )
        .unwrap();
        return;
    }
    let resource = json!({"service.name": "edge-1"});
    let mut record = Record {
        time_unix_nano: 1_767_323_045_000_006_000,
        severity: Severity::ERROR,
        severity_text: "ERROR".to_owned(),
        body: "autonomy.error".into(),
        attributes: json!({"big": u64::MAX, "f": 1.5, "i": -7, "l": [true, null, {"k": "ü"}]})
            .as_object()
            .unwrap()
            .clone(),
        ..Record::default()
    };
    record.set_trace_id("5b8efff798038103d269b633813fc60c");
    record.set_span_id("eee19b7ec3c1b174");
    let resource = Resource { attributes: resource.as_object().unwrap().clone() };
    let body = otlp::encode_protobuf(&resource, &[record]);

    let output = python(&format!("{IMPORT}\n{SCRIPT}"), &body).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let want = json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "edge-1"}}]},
        "scopeLogs": [{"logRecords": [{
            "timeUnixNano": "1767323045000006000",
            "severityNumber": "SEVERITY_NUMBER_ERROR",
            "severityText": "ERROR",
            "body": {"stringValue": "autonomy.error"},
            "attributes": [
                {"key": "big", "value": {"stringValue": "18446744073709551615"}},
                {"key": "f", "value": {"doubleValue": 1.5}},
                {"key": "i", "value": {"intValue": "-7"}},
                {"key": "l", "value": {"arrayValue": {"values": [
                    {"boolValue": true},
                    {},
                    {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": "ü"}}]}},
                ]}}},
            ],
            // Protobuf's own mapping writes bytes in base64.
            "traceId": "W47/95gDgQPSabYzgT/GDA==",
            "spanId": "7uGbfsPBsXQ=",
        }]}],
    }]});
    assert_eq!(seen, want);
}
