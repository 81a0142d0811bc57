//! The body of `POST /v1/logs` to records.
//!
//! The body comes from a peer that is not trusted:
//!
//! * **H1** No body makes the decoder panic, recurse without bound or allocate beyond the limits.
//! * **H2** What a newer sender adds is ignored, as OTLP demands; what contradicts the schema is
//!   an error for the whole request, never a part of it silently left out.

use std::sync::Arc;

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    logs::v1::{LogRecord, ResourceLogs},
};
use prost::Message as _;
use thiserror::Error;

use crate::{
    Encoding, Group, Id, Limits, Record, Resource, SPAN_ID_INVALID, Scope, Severity,
    TRACE_ID_INVALID, json, scan, value,
};

/// Decodes one request.
///
/// # Errors
///
/// [`DecodeError`] when the body is not a request or is beyond a limit.
pub fn decode(body: &[u8], encoding: Encoding, limits: &Limits) -> Result<Vec<Group>, DecodeError> {
    if body.len() > limits.bytes {
        return Err(DecodeError::TooLarge { bytes: body.len(), limit: limits.bytes });
    }
    let groups = match encoding {
        Encoding::Protobuf => {
            scan::check_protobuf(body, limits)?;
            let request = ExportLogsServiceRequest::decode(body)
                .map_err(|error| DecodeError::Malformed { text: error.to_string() })?;
            request.resource_logs.into_iter().flat_map(groups_of).collect()
        }
        Encoding::Json => {
            scan::check_json(body, limits)?;
            json::request_from_slice(body)
                .map_err(|error| DecodeError::Malformed { text: error.to_string() })?
        }
    };
    check(&groups, limits)?;
    Ok(groups)
}

fn groups_of(logs: ResourceLogs) -> Vec<Group> {
    let attributes = value::from_pairs(logs.resource.unwrap_or_default().attributes);
    let resource = Arc::new(Resource { attributes });
    logs.scope_logs
        .into_iter()
        .map(|scope_logs| {
            let scope = scope_logs.scope.unwrap_or_default();
            Group {
                resource: Arc::clone(&resource),
                scope: Scope { name: scope.name, version: scope.version },
                records: scope_logs.log_records.into_iter().map(to_record).collect(),
            }
        })
        .collect()
}

fn to_record(log: LogRecord) -> Record {
    let mut record = Record {
        time_unix_nano: log.time_unix_nano,
        observed_time_unix_nano: log.observed_time_unix_nano,
        severity: Severity(log.severity_number),
        severity_text: log.severity_text,
        event_name: log.event_name,
        body: log.body.map_or(serde_json::Value::Null, value::from_any),
        attributes: value::from_pairs(log.attributes),
        dropped_attributes_count: log.dropped_attributes_count,
        flags: log.flags,
        trace_id: Id::from_bytes(&log.trace_id),
        span_id: Id::from_bytes(&log.span_id),
    };
    if record.trace_id.is_none() && log.trace_id.iter().any(|it| *it != 0) {
        record.attributes.insert(TRACE_ID_INVALID.to_owned(), hex::encode(log.trace_id).into());
    }
    if record.span_id.is_none() && log.span_id.iter().any(|it| *it != 0) {
        record.attributes.insert(SPAN_ID_INVALID.to_owned(), hex::encode(log.span_id).into());
    }
    record
}

/// The limits that both encodings share are checked on the result.
fn check(groups: &[Group], limits: &Limits) -> Result<(), DecodeError> {
    let records: usize = groups.iter().map(|it| it.records.len()).sum();
    if records > limits.records {
        return Err(DecodeError::TooManyRecords { limit: limits.records });
    }
    for group in groups {
        let too_deep = |it: &serde_json::Value| value::depth(it) > limits.value_depth;
        let deep_resource = group.resource.attributes.values().any(too_deep);
        let deep_record = |it: &Record| too_deep(&it.body) || it.attributes.values().any(too_deep);
        if deep_resource || group.records.iter().any(deep_record) {
            return Err(DecodeError::TooDeep { limit: limits.value_depth });
        }
        let limit = limits.attributes_per_record;
        if group.records.iter().any(|it| it.attributes.len() > limit) {
            return Err(DecodeError::TooManyAttributes { limit });
        }
    }
    Ok(())
}

/// A body that is no request, or one beyond the limits.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body is too long.
    #[error("body of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Length of the body.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// There are too many records.
    #[error("more than {limit} log records in one request")]
    TooManyRecords {
        /// The limit.
        limit: usize,
    },
    /// A record has too many attributes.
    #[error("more than {limit} attributes in one log record")]
    TooManyAttributes {
        /// The limit.
        limit: usize,
    },
    /// There are too many messages of all kinds together.
    #[error("more than {limit} records, attributes and values in one request")]
    TooManyMessages {
        /// The limit.
        limit: usize,
    },
    /// Values are nested too deep.
    #[error("values are nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The body is not what its content type says.
    #[error("not an OTLP logs request: {text}")]
    Malformed {
        /// What the parser found.
        text: String,
    },
}
