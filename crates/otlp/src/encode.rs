//! Records to the body of `POST /v1/logs`.
//!
//! A request holds one resource and one scope. Two values cannot be carried as they are and are
//! sent as text: whole numbers beyond 63 bits, and what is nested deeper than
//! [`VALUE_DEPTH_MAX`](crate::VALUE_DEPTH_MAX).

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource as ProtoResource,
};
use prost::Message as _;
use serde_json::Value;

use crate::{Encoding, Record, Resource, json, value};

/// Encodes one request in the given encoding.
///
/// # Examples
///
/// ```
/// use otlp::{Encoding, Limits, Record, Resource, Severity};
///
/// let record = Record {
///     time_unix_nano: 1_767_323_045_000_000_000,
///     severity: Severity::INFO,
///     body: "decision".into(),
///     ..Record::default()
/// };
/// for encoding in Encoding::ALL {
///     let body = otlp::encode(encoding, &Resource::default(), std::slice::from_ref(&record));
///     let groups = otlp::decode(&body, encoding, &Limits::STANDARD)?;
///     assert_eq!(groups[0].records, [record.clone()]);
/// }
/// # Ok::<(), otlp::DecodeError>(())
/// ```
pub fn encode(encoding: Encoding, resource: &Resource, records: &[Record]) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => encode_protobuf(resource, records),
        Encoding::Json => encode_json(resource, records),
    }
}

/// Encodes one request as protobuf.
pub fn encode_protobuf(resource: &Resource, records: &[Record]) -> Vec<u8> {
    let scope_logs = ScopeLogs {
        log_records: records.iter().map(to_log_record).collect(),
        ..ScopeLogs::default()
    };
    let resource_logs = ResourceLogs {
        resource: Some(ProtoResource {
            attributes: value::to_pairs(&resource.attributes, 0),
            ..ProtoResource::default()
        }),
        scope_logs: vec![scope_logs],
        ..ResourceLogs::default()
    };
    ExportLogsServiceRequest { resource_logs: vec![resource_logs] }.encode_to_vec()
}

/// Encodes one request in the JSON mapping of OTLP.
pub fn encode_json(resource: &Resource, records: &[Record]) -> Vec<u8> {
    json::request_to_vec(resource, records)
}

fn to_log_record(record: &Record) -> LogRecord {
    LogRecord {
        time_unix_nano: record.time_unix_nano,
        observed_time_unix_nano: record.observed_time_unix_nano,
        severity_number: record.severity.0,
        severity_text: record.severity_text.clone(),
        body: match &record.body {
            Value::Null => None,
            body => Some(value::to_any(body, 0)),
        },
        attributes: value::to_pairs(&record.attributes, 0),
        dropped_attributes_count: record.dropped_attributes_count,
        flags: record.flags,
        trace_id: record.trace_id.map_or_else(Vec::new, |it| it.as_bytes().to_vec()),
        span_id: record.span_id.map_or_else(Vec::new, |it| it.as_bytes().to_vec()),
        event_name: record.event_name.clone(),
    }
}
