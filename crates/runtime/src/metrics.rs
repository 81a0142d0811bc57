//! The state of a runtime as `OpenMetrics` text.
//!
//! What `/metrics` says is what `/v1/status` says at that moment, and what `measures` counts.
//!
//! | metric                                     | meaning                                                     |
//! |--------------------------------------------|-------------------------------------------------------------|
//! | `autonomy_runtime_info{node, version, mode, policy_ref}` | always 1                                        |
//! | `autonomy_uptime_seconds`                  | since the start of the process                                |
//! | `autonomy_wal_healthy`                     | 1, or 0 when the log has stopped                              |
//! | `autonomy_wal_last_seq`                    | last acknowledged entry                                       |
//! | `autonomy_wal_size_bytes`                  | length of the log                                             |
//! | `autonomy_wal_lag`                         | entries after the last settled one; absent when unknown       |
//! | `autonomy_calls_in_flight`, `autonomy_calls_max` | calls in work, and most of them                         |
//! | `autonomy_open_intents`                    | allowed calls without an outcome so far                       |
//! | `autonomy_export_accepted_total{class}`    | entries that the collector accepted                           |
//! | `autonomy_export_dead_lettered_total`      | entries that it refused for good                              |
//! | `autonomy_export_pending`                  | entries that waited when the exporter looked last             |
//! | `autonomy_export_batches_total`, `…_requests_total`, `…_retries_total` | what was sent             |
//! | `autonomy_export_sent_bytes_total`         | bytes of all requests before compression                      |
//! | `autonomy_export_up`                       | 1 when the last pass delivered everything                     |

use std::{fmt, sync::atomic::AtomicU64};

use api::health::{ExporterState, ExporterStatus, Mode, RuntimeStatus};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};

use crate::measures::Measures;

/// Content type of the text.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes the metrics of a state. The help texts have no full stop: the encoder adds it.
pub(crate) fn text(
    status: &RuntimeStatus,
    measures: Option<&Measures>,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("autonomy");
    let mode = match status.mode {
        Mode::Normal => "normal",
        Mode::Strict => "strict",
        Mode::Quarantine => "quarantine",
    };
    registry.register(
        "runtime",
        "The runtime",
        Info::new([
            ("node", status.node.clone()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("mode", mode.to_owned()),
            ("policy_ref", status.policy_ref.clone()),
        ]),
    );
    let uptime = gauge(status.uptime_seconds);
    registry.register_with_unit("uptime", "Time since the start", Unit::Seconds, uptime);
    let wal = &status.wal;
    let healthy = gauge(u64::from(wal.health == "ok"));
    registry.register("wal_healthy", "1, or 0 when the log has stopped", healthy);
    registry.register("wal_last_seq", "Last acknowledged entry", gauge(wal.last_seq));
    registry.register_with_unit("wal_size", "Length of the log", Unit::Bytes, gauge(wal.bytes));
    if let Some(lag) = wal.lag {
        registry.register("wal_lag", "Entries after the last settled one", gauge(lag));
    }
    if let Some(exporter) = &status.exporter {
        export(registry.sub_registry_with_prefix("export"), exporter);
    }
    if let Some(calls) = &status.calls {
        registry.register("calls_in_flight", "Calls in work", gauge(calls.in_flight));
        registry.register("calls_max", "Most calls in work", gauge(calls.calls_max));
        let help = "Allowed calls without an outcome so far";
        registry.register("open_intents", help, gauge(calls.open_intents));
    }
    if let Some(measures) = measures {
        measures.register(&mut registry);
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn export(registry: &mut Registry, status: &ExporterStatus) {
    let accepted = Family::<Vec<(&str, &str)>, Counter>::default();
    for (class, count) in [
        ("error", status.accepted.error),
        ("decision", status.accepted.decision),
        ("action", status.accepted.action),
        ("lifecycle", status.accepted.lifecycle),
    ] {
        accepted.get_or_create(&vec![("class", class)]).inc_by(count);
    }
    registry.register("accepted", "Entries that the collector accepted", accepted);
    for (name, help, count) in [
        ("dead_lettered", "Entries that the collector refused for good", status.dead_lettered),
        ("batches", "Batches begun", status.batches),
        ("requests", "Requests sent", status.requests),
        ("retries", "Requests sent again after a failure", status.retries),
    ] {
        registry.register(name, help, counter(count));
    }
    let bytes = counter(status.bytes);
    registry.register_with_unit("sent", "All requests before compression", Unit::Bytes, bytes);
    registry.register("pending", "Entries that waited at the last look", gauge(status.pending));
    let up = status.state != ExporterState::Stopped && status.last_error.is_none();
    registry.register("up", "1 when the last pass delivered everything", gauge(u64::from(up)));
}

type Whole = Gauge<u64, AtomicU64>;

fn gauge(value: u64) -> Whole {
    let gauge = Whole::default();
    gauge.set(value);
    gauge
}

fn counter(value: u64) -> Counter {
    let counter = Counter::default();
    counter.inc_by(value);
    counter
}

#[cfg(test)]
mod tests {
    use api::health::{CallsStatus, PerClass, WalStatus};

    use super::*;
    use crate::Tools;

    fn status() -> RuntimeStatus {
        RuntimeStatus {
            lock_fingerprint: None,
            node: "edge \"1\"".to_owned(),
            mode: Mode::Normal,
            policy_ref: "arm@1".to_owned(),
            policy_digest: String::new(),
            wal: WalStatus {
                wal_id: "w".to_owned(),
                last_seq: 12,
                position: Some(9),
                lag: Some(3),
                bytes: 4_096,
                health: "ok".to_owned(),
            },
            exporter: Some(ExporterStatus {
                endpoint: "http://h".to_owned(),
                state: ExporterState::Idle,
                accepted: PerClass { error: 1, decision: 5, action: 3, lifecycle: 0 },
                pending: 3,
                dead_lettered: 2,
                batches: 4,
                requests: 6,
                retries: 1,
                bytes: 777,
                last_success: None,
                last_error: None,
            }),
            releases: None,
            calls: Some(CallsStatus {
                in_flight: 2,
                calls_max: 512,
                connections_max: 1024,
                open_intents: 1,
                oldest_open_intent: None,
                tools_still_running: 0,
            }),
            uptime_seconds: 60,
        }
    }

    fn lines(status: &RuntimeStatus) -> Vec<String> {
        let text = text(status, None).unwrap();
        text.lines().filter(|it| !it.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn every_metric_has_its_name_and_value() {
        let mut got = lines(&status());
        got.sort();
        let version = env!("CARGO_PKG_VERSION");
        let mut want: Vec<_> = [
            "autonomy_uptime_seconds 60",
            "autonomy_wal_healthy 1",
            "autonomy_wal_last_seq 12",
            "autonomy_wal_size_bytes 4096",
            "autonomy_wal_lag 3",
            "autonomy_calls_in_flight 2",
            "autonomy_calls_max 512",
            "autonomy_open_intents 1",
            "autonomy_export_accepted_total{class=\"error\"} 1",
            "autonomy_export_accepted_total{class=\"decision\"} 5",
            "autonomy_export_accepted_total{class=\"action\"} 3",
            "autonomy_export_accepted_total{class=\"lifecycle\"} 0",
            "autonomy_export_dead_lettered_total 2",
            "autonomy_export_batches_total 4",
            "autonomy_export_requests_total 6",
            "autonomy_export_retries_total 1",
            "autonomy_export_sent_bytes_total 777",
            "autonomy_export_pending 3",
            "autonomy_export_up 1",
        ]
        .map(str::to_owned)
        .into();
        want.push(format!(
            r#"autonomy_runtime_info{{node="edge \"1\"",version="{version}",mode="normal",policy_ref="arm@1"}} 1"#
        ));
        want.sort();
        assert_eq!(got, want);
    }

    #[test]
    fn every_help_text_is_one_sentence() {
        let text = text(&status(), Some(&Measures::new(&Tools::default()))).unwrap();
        let helps: Vec<_> = text.lines().filter(|it| it.starts_with("# HELP ")).collect();
        assert_eq!(helps.len(), 21, "{helps:?}");
        for help in helps {
            assert!(help.ends_with('.') && !help.ends_with(".."), "{help}");
        }
    }

    #[test]
    fn what_is_not_known_has_no_line() {
        let mut status = status();
        (status.exporter, status.wal.lag) = (None, None);
        status.wal.health = "WAL_DISK_FULL".to_owned();
        let got = lines(&status);
        assert!(!got.iter().any(|it| it.contains("export") || it.contains("lag")), "{got:?}");
        assert!(got.iter().any(|it| it == "autonomy_wal_healthy 0"));
    }
}
