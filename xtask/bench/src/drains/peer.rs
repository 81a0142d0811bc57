//! The exporter of OpenTelemetry: its batch processor, protobuf over HTTP, the blocking client.
//!
//! Its queue drops what does not fit, so whoever emits waits for it to be empty often enough.

use std::{collections::HashMap, time::SystemTime};

use anyhow::{Context as _, Result};
use opentelemetry::{
    Key, KeyValue, SpanId, TraceId,
    logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity},
};
use opentelemetry_otlp::{LogExporter, Protocol, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    logs::{BatchConfigBuilder, BatchLogProcessor, SdkLogger, SdkLoggerProvider},
};
use serde_json::Value;
use wal_format::{Entry, Seq, event_id};

use super::{
    BATCH,
    events::{Log, NODE, wal_id},
};

/// Records that the queue of the processor takes; it is flushed at half of that.
const QUEUE: usize = 64 << 10;
/// Records of [`Ready`].
const READY: u64 = 10_000;

/// Everything that a record of ours carries.
struct Parts {
    at: SystemTime,
    severity: Severity,
    severity_text: &'static str,
    body: AnyValue,
    attributes: Vec<(Key, AnyValue)>,
    ids: Option<(TraceId, SpanId)>,
}

/// Parses each stored payload, emits it, and waits until everything is sent.
pub(crate) fn from_payloads(log: &Log, url: &str, entries: u64) -> Result<()> {
    let provider = provider(url)?;
    let logger = provider.logger("drain");
    let mut emitted = 0;
    log.payloads(entries, |seq, payload| {
        emit(&logger, parts(seq, payload)?);
        emitted += 1;
        flush_in_time(&provider, emitted)
    })?;
    Ok(provider.shutdown()?)
}

/// Records that were parsed before anybody looked at a clock.
pub(crate) struct Ready(Vec<Parts>);

impl Ready {
    pub(crate) fn read(log: &Log) -> Result<Self> {
        let mut all = Vec::new();
        log.payloads(READY, |seq, payload| {
            all.push(parts(seq, payload)?);
            Ok(())
        })?;
        Ok(Self(all))
    }

    /// Emits `entries` records, one copy each, and waits until everything is sent.
    pub(crate) fn emit(&self, url: &str, entries: u64) -> Result<()> {
        let provider = provider(url)?;
        let logger = provider.logger("drain");
        for (emitted, parts) in (1..=entries).zip(self.0.iter().cycle()) {
            emit(
                &logger,
                Parts { body: parts.body.clone(), attributes: parts.attributes.clone(), ..*parts },
            );
            flush_in_time(&provider, emitted)?;
        }
        Ok(provider.shutdown()?)
    }
}

fn provider(url: &str) -> Result<SdkLoggerProvider> {
    // Their client asks for a provider even when it speaks plain HTTP; the second time there is one.
    rustls::crypto::ring::default_provider().install_default().ok();
    let exporter = LogExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{url}/v1/logs"))
        .build()?;
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .build();
    let processor = BatchLogProcessor::builder(exporter).with_batch_config(config).build();
    let resource = Resource::builder_empty().with_attributes([
        KeyValue::new("service.name", NODE),
        KeyValue::new("service.instance.id", wal_id().to_string()),
    ]);
    Ok(SdkLoggerProvider::builder()
        .with_resource(resource.build())
        .with_log_processor(processor)
        .build())
}

fn flush_in_time(provider: &SdkLoggerProvider, emitted: u64) -> Result<()> {
    if emitted.is_multiple_of(QUEUE as u64 / 2) {
        provider.force_flush()?;
    }
    Ok(())
}

fn emit(logger: &SdkLogger, parts: Parts) {
    let mut record = logger.create_log_record();
    record.set_timestamp(parts.at);
    record.set_severity_number(parts.severity);
    record.set_severity_text(parts.severity_text);
    record.set_body(parts.body);
    record.add_attributes(parts.attributes);
    if let Some((trace_id, span_id)) = parts.ids {
        record.set_trace_context(trace_id, span_id, None);
    }
    logger.emit(record);
}

fn parts(seq: Seq, payload: &[u8]) -> Result<Parts> {
    let entry = Entry::parse(payload)?;
    let attrs = entry.event.attrs()?;
    let kind = entry.event.kind();
    let denied = attrs.get("decision").is_some_and(|it| it == "deny");
    let (severity, severity_text) = match kind {
        wal_format::Kind::Error => (Severity::Error, "ERROR"),
        wal_format::Kind::Decision if denied => (Severity::Warn, "WARN"),
        _ => (Severity::Info, "INFO"),
    };
    let text = |text: String| AnyValue::String(text.into());
    let mut attributes = vec![
        (Key::new("event.kind"), text(kind.short().to_owned())),
        (Key::new("event.id"), text(event_id(NODE, wal_id(), seq))),
        (Key::new("wal.seq"), AnyValue::Int(i64::try_from(seq.get())?)),
        (Key::new("wal.id"), text(wal_id().to_string())),
    ];
    let own = attrs.into_iter().filter_map(|(key, it)| Some((Key::new(key), any(it)?)));
    attributes.extend(own);
    let id = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
    let ids = match (id(&entry.event.trace_id), id(&entry.event.span_id)) {
        (Some(trace), Some(span)) => Some((TraceId::from_hex(&trace)?, SpanId::from_hex(&span)?)),
        _ => None,
    };
    Ok(Parts {
        at: entry.time().context("a time")?.into(),
        severity,
        severity_text,
        body: text(kind.as_str().to_owned()),
        attributes,
        ids,
    })
}

/// A value of theirs; they have none for `null`.
fn any(value: Value) -> Option<AnyValue> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(it) => AnyValue::Boolean(it),
        Value::String(it) => AnyValue::String(it.into()),
        Value::Number(it) => match it.as_i64() {
            Some(int) => AnyValue::Int(int),
            None => AnyValue::Double(it.as_f64()?),
        },
        Value::Array(items) => {
            AnyValue::ListAny(Box::new(items.into_iter().filter_map(any).collect()))
        }
        Value::Object(map) => {
            let members = map.into_iter().filter_map(|(key, it)| Some((Key::new(key), any(it)?)));
            AnyValue::Map(Box::new(members.collect::<HashMap<_, _>>()))
        }
    })
}
