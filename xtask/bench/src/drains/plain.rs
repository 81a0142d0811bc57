//! Parse and encode as anybody would write it: `serde_json` to a value, the types of OpenTelemetry, `prost`.
//!
//! The request has the same records as ours. Nothing is checked, ordered or remembered.

use std::{hint::black_box, time::Duration};

use anyhow::{Context as _, Result};
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value as Any},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
};
use prost::Message as _;
use serde_json::Value;
use wal_format::{Seq, event_id};

use super::{
    BATCH, Clock,
    events::{Log, NODE, wal_id},
    now,
};

/// Seconds from the payloads to the requests, batch by batch. One thread.
pub(crate) fn encode(log: &Log, entries: u64, clock: Clock) -> Result<f64> {
    let mut payloads = Vec::new();
    log.payloads(entries, |seq, payload| {
        payloads.push((seq, payload.to_vec()));
        Ok(())
    })?;
    let mut spent = Duration::ZERO;
    for batch in payloads.chunks(BATCH) {
        let start = now(clock);
        let records = batch.iter().map(|(seq, payload)| record(*seq, payload));
        let log_records = records.collect::<Result<Vec<_>>>()?;
        let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
        let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
        black_box(ExportLogsServiceRequest { resource_logs }.encode_to_vec());
        spent += now(clock).saturating_sub(start);
    }
    Ok(spent.as_secs_f64())
}

fn record(seq: Seq, payload: &[u8]) -> Result<LogRecord> {
    let mut entry: Value = serde_json::from_slice(payload)?;
    let at: jiff::Timestamp = text_of(&entry, "/written_at").context("a time")?.parse()?;
    let nanos = u64::try_from(at.as_nanosecond())?;
    let kind = text_of(&entry, "/event/kind").context("a kind")?.to_owned();
    let short = kind.strip_prefix("autonomy.").unwrap_or(&kind).to_owned();
    let attrs = entry.pointer_mut("/event/attrs").map(Value::take).unwrap_or_default();
    let (severity_number, severity_text) = match short.as_str() {
        "error" => (17, "ERROR"),
        "decision" if text_of(&attrs, "/decision") == Some("deny") => (13, "WARN"),
        _ => (9, "INFO"),
    };
    let text = |text: String| Some(any(Value::String(text)));
    let pair = |key: &str, value| KeyValue { key: key.to_owned(), value, ..KeyValue::default() };
    let mut attributes = vec![
        pair("event.kind", text(short)),
        pair("event.id", text(event_id(NODE, wal_id(), seq))),
        pair("wal.seq", Some(any(Value::from(seq.get())))),
        pair("wal.id", text(wal_id().to_string())),
    ];
    if let Value::Object(own) = attrs {
        attributes.extend(own.into_iter().map(|(key, it)| pair(&key, Some(any(it)))));
    }
    let id = |key: &str| -> Result<Vec<u8>> {
        let digits = text_of(&entry, key).unwrap_or_default().as_bytes();
        digits.chunks(2).map(|it| Ok(u8::from_str_radix(std::str::from_utf8(it)?, 16)?)).collect()
    };
    Ok(LogRecord {
        time_unix_nano: nanos,
        observed_time_unix_nano: nanos,
        severity_number,
        severity_text: severity_text.to_owned(),
        body: text(kind),
        attributes,
        trace_id: id("/event/trace_id")?,
        span_id: id("/event/span_id")?,
        ..LogRecord::default()
    })
}

fn text_of<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn any(value: Value) -> AnyValue {
    let value = match value {
        Value::Null => None,
        Value::Bool(it) => Some(Any::BoolValue(it)),
        Value::String(it) => Some(Any::StringValue(it)),
        Value::Number(it) => it.as_i64().map(Any::IntValue).or(it.as_f64().map(Any::DoubleValue)),
        Value::Array(items) => {
            let values = items.into_iter().map(any).collect();
            Some(Any::ArrayValue(ArrayValue { values }))
        }
        Value::Object(map) => {
            let pair = |(key, it)| KeyValue { key, value: Some(any(it)), ..KeyValue::default() };
            Some(Any::KvlistValue(KeyValueList { values: map.into_iter().map(pair).collect() }))
        }
    };
    AnyValue { value }
}
