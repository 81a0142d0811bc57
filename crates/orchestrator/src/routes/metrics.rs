//! The state of the control plane as `OpenMetrics` text.
//!
//! | metric                                              | meaning                                            |
//! |-----------------------------------------------------|----------------------------------------------------|
//! | `cp_http_requests_total{method,route,status}`       | requests that were answered                        |
//! | `cp_http_request_duration_seconds{route}`           | how long that took                                 |
//! | `cp_rollout_plans_total{phase}`                     | plans by phase, now                                |
//! | `cp_rollout_plans_created_total`                    | plans that were created by this process            |
//! | `cp_events_ingested_total`, `cp_events_deduped_total` | events that were new, and known                  |
//! | `cp_nodes{status}`                                  | nodes that are up, stale, unknown                  |
//! | `cp_store_up`, `cp_write_ready`                     | 1, or 0 when nothing is read or written any more   |
//! | `cp_leader_epoch`                                   | term of this process                               |
//! | `cp_streams`                                        | event streams that are open                        |

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use api::fleet::STALE_SECONDS_DEFAULT;
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use rollout_store::{ListQuery, Phase, RolloutReader as _, node::FleetSummary};
use tokio::time::Instant;

use super::ha::write_blocked;
use crate::server::{App, Refusal};

/// Content type of the text.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper ends of the times of answers, in seconds.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Routed {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: &'static str,
}

/// What is counted while the service runs.
#[derive(Debug)]
pub(crate) struct Measures {
    requests: Family<Answered, Counter>,
    durations: Family<Routed, Histogram, fn() -> Histogram>,
    pub(crate) plans_created: Counter,
    pub(crate) events_ingested: Counter,
    pub(crate) events_deduped: Counter,
    pub(crate) streams: AtomicU64,
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            plans_created: Counter::default(),
            events_ingested: Counter::default(),
            events_deduped: Counter::default(),
            streams: AtomicU64::new(0),
        }
    }
}

impl Measures {
    fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        self.durations.get_or_create(&Routed { route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&Answered { method, route, status }).inc();
    }
}

/// Counts an answer under the pattern of its route, so that names in paths make no new series.
pub(crate) async fn measure(State(app): State<App>, request: Request, next: Next) -> Response {
    let method = match request.method().as_str() {
        known @ ("GET" | "POST" | "DELETE" | "HEAD" | "PUT" | "PATCH" | "OPTIONS") => known,
        _ => "other",
    }
    .to_owned();
    let route = request.extensions().get::<MatchedPath>().map(|it| it.as_str().to_owned());
    let begun = Instant::now();
    let response = next.run(request).await;
    let route = route.as_deref().unwrap_or("other");
    app.measures.answered(&method, route, response.status().as_u16(), begun.elapsed());
    response
}

/// What is looked up for one answer.
struct Looked {
    plans: Vec<(&'static str, u64)>,
    nodes: FleetSummary,
}

/// Show the metrics.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(crate) async fn show(State(app): State<App>) -> Result<Response, Refusal> {
    let now = app.now();
    let read = move |reader: &rollout_store::SqliteReader| {
        let mut plans = Vec::with_capacity(Phase::NAMES.len());
        for phase in Phase::NAMES {
            let query = ListQuery { phase: Some(phase), after: None, limit: 1 };
            plans.push((phase, reader.rollouts(&query)?.total));
        }
        Ok(Looked { plans, nodes: reader.fleet_summary(now, STALE_SECONDS_DEFAULT)? })
    };
    let looked = app.rollouts.read(read).await?;
    let text = text(&app, &looked).map_err(|error| Refusal::Internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))], text).into_response())
}

fn gauge(value: u64) -> Gauge<u64, AtomicU64> {
    let gauge = Gauge::<u64, AtomicU64>::default();
    gauge.set(value);
    gauge
}

fn text(app: &App, looked: &Looked) -> Result<String, fmt::Error> {
    let measures = &app.measures;
    let mut registry = Registry::with_prefix("cp");
    let help = "Requests that were answered";
    registry.register("http_requests", help, measures.requests.clone());
    let help = "Time until an answer";
    registry.register("http_request_duration_seconds", help, measures.durations.clone());
    let plans = Family::<Of, Gauge<u64, AtomicU64>>::default();
    for (phase, count) in &looked.plans {
        plans.get_or_create(&Of { phase }).set(*count);
    }
    registry.register("rollout_plans_total", "Plans by phase, now", plans);
    let help = "Plans that were created by this process";
    registry.register("rollout_plans_created", help, measures.plans_created.clone());
    registry.register("events_ingested", "Events that were new", measures.events_ingested.clone());
    registry.register("events_deduped", "Events that were known", measures.events_deduped.clone());
    let nodes = Family::<Status, Gauge<u64, AtomicU64>>::default();
    let FleetSummary { up, stale, unknown, .. } = looked.nodes;
    for (status, count) in [("up", up), ("stale", stale), ("unknown", unknown)] {
        nodes.get_or_create(&Status { status }).set(count);
    }
    registry.register("nodes", "Nodes by state", nodes);
    let up = gauge(u64::from(app.rollouts.failure().is_none()));
    registry.register("store_up", "1, or 0 when the store has stopped", up);
    let ready = gauge(u64::from(write_blocked(app).is_none()));
    registry.register("write_ready", "1 when changes are made", ready);
    registry.register("leader_epoch", "Term of this process", gauge(app.rollouts.leads().epoch));
    let streams = gauge(measures.streams.load(Ordering::Relaxed));
    registry.register("streams", "Event streams that are open", streams);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}
