//! HTTP in, HTTP out.
//!
//! | route                     | answer                                                          |
//! |---------------------------|-----------------------------------------------------------------|
//! | `POST /v1/tool`           | `api::tool::ToolResponse`, always JSON, always with a decision    |
//! | `GET /health`             | `api::health::Health`                                             |
//! | `GET /v1/status`          | `api::health::RuntimeStatus`                                      |
//! | `GET /v1/tools`           | kinds and parameter schemas                                       |
//! | `GET /v1/decisions/{audit_id}` | `on_record`: the entries of one call                         |
//! | `GET /metrics`            | `metrics`: `OpenMetrics` text                                     |
//! | `POST /v1/policy/reload`  | loopback only: swaps the policy without a restart                 |
//!
//! [`Front`] stands before the routes: it refuses what a web page sends, and takes the calls, which are nearly all
//! of the traffic, without looking for their route.

use std::{fmt, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use api::{
    health::{CallsStatus, Health, OldestOpenIntent, RuntimeStatus, WalStatus},
    problem::{PROBLEM_JSON, Problem},
};
use axum::{
    BoxError, Json, Router,
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use connections::{Answers, BodyError, read_body};
use hyper::{body::Incoming, service::Service as _};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    exporter::Exporting,
    interceptor::{Answer, CallCode, Interceptor},
    metrics,
    on_record::Scans,
    policies::{InForce, ReloadError, record_reload},
    records::Call,
    releases::Shown,
    shape,
    start::Wal,
    trace::TraceContext,
    visitors::Hosts,
};

/// Longest wait for the body of a request.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// The route of calls.
pub(crate) const TOOL: &str = "/v1/tool";
/// Bytes that most answers have room in.
const USUAL_ANSWER_LEN: usize = 512;
/// Most bytes of the kind of a tool.
const KIND_LEN_MAX: usize = 256;

/// What every request sees.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) interceptor: Arc<Interceptor>,
    pub(crate) wal: Arc<Wal>,
    pub(crate) scans: Arc<Scans>,
    pub(crate) exporting: Option<Exporting>,
    pub(crate) releasing: Option<Shown>,
    pub(crate) hosts: Hosts,
    pub(crate) max_body: usize,
    pub(crate) started: Instant,
}

#[cfg(test)]
impl App {
    /// For tests: no exporter, and a log whose files nobody reads.
    pub(crate) fn of_tests(interceptor: Arc<Interceptor>) -> Self {
        Self {
            interceptor,
            wal: Arc::new(Wal::of_tests()),
            scans: Arc::default(),
            exporting: None,
            releasing: None,
            hosts: Hosts::new(&[]),
            max_body: crate::Config::MAX_BODY,
            started: Instant::now(),
        }
    }
}

/// Makes the routes besides that of calls.
fn router(app: App) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/v1/status", get(status))
        .route("/v1/tools", get(tools))
        .route("/v1/decisions/{audit_id}", get(decision))
        .route("/metrics", get(scrape))
        .route("/v1/policy/reload", post(reload))
        .fallback(not_found)
        .with_state(app)
}

/// What every request comes to.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    app: Arc<App>,
    routes: Router,
}

impl Answers for Front {
    fn answer(
        self,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response> + Send {
        self.serve(peer, request)
    }
}

impl Front {
    pub(crate) fn new(app: App) -> Self {
        Self { app: Arc::new(app.clone()), routes: router(app) }
    }

    /// Refuses what a web page sends. On the route of calls every answer has a decision.
    pub(crate) async fn serve<B>(self, peer: SocketAddr, mut request: Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError> + fmt::Display,
    {
        let (app, is_call) = (&*self.app, request.uri().path() == TOOL);
        match app.hosts.check(&request) {
            Ok(()) if !is_call => {
                request.extensions_mut().insert(ConnectInfo(peer));
                let Ok(response) = TowerToHyperService::new(self.routes).call(request).await;
                response
            }
            Ok(()) if request.method() == Method::POST => {
                let (head, body) = request.into_parts();
                tool(app, &head.headers, body).await
            }
            Ok(()) => tool_by_other_method(app).await,
            Err((code, reason)) if is_call => {
                let id = Uuid::new_v4().to_string();
                respond(&app.interceptor.turn_away(&id, code, &reason))
            }
            Err((code, reason)) => {
                app.interceptor.turn_away("", code, &reason);
                not_for_pages(code, reason)
            }
        }
    }
}

/// The answer to a web page, on the other routes.
pub(crate) fn not_for_pages(code: CallCode, reason: String) -> Response {
    tracing::debug!(code = code.as_str(), reason, "request refused");
    problem(code.status(), code.as_str(), "Not for web pages", reason)
}

async fn tool<B>(app: &App, headers: &HeaderMap, body: B) -> Response
where
    B: HttpBody<Data = Bytes>,
    B::Error: fmt::Display,
{
    let mut call = Call {
        audit_id: Uuid::new_v4().to_string(),
        kind: String::new(),
        params: Map::new(),
        trace: headers
            .get("traceparent")
            .and_then(|it| it.to_str().ok())
            .and_then(TraceContext::parse),
    };
    let bytes = match read_body(headers, body, app.max_body, BODY_TIMEOUT).await {
        Ok(bytes) => bytes,
        Err(error) => {
            let (code, reason) = unread(error);
            return respond(&app.interceptor.refuse(call, code, reason).await);
        }
    };
    let answer = match shape::parse(&bytes) {
        Ok(request) if !(1..=KIND_LEN_MAX).contains(&request.kind.len()) => {
            let len = request.kind.len();
            let reason = format!("`kind` has {len} bytes (1 to {KIND_LEN_MAX})");
            app.interceptor.refuse(call, CallCode::BadRequest, reason).await
        }
        Ok(request) => {
            call.kind = request.kind;
            call.params = request.params;
            app.interceptor.call(call, request.context).await
        }
        Err(error) => {
            let reason = format!("the body is not a tool request: {error}");
            app.interceptor.refuse(call, CallCode::BadRequest, reason).await
        }
    };
    respond(&answer)
}

/// What is said about a body that was not read.
fn unread(error: BodyError) -> (CallCode, String) {
    match error {
        BodyError::TooLarge { limit } => {
            (CallCode::BodyTooLarge, format!("the body is longer than {limit} bytes"))
        }
        BodyError::Incomplete { reason } => {
            (CallCode::BadRequest, format!("the body could not be read: {reason}"))
        }
        BodyError::Timeout { limit } => {
            (CallCode::BadRequest, format!("the body took longer than {} s", limit.as_secs()))
        }
    }
}

async fn tool_by_other_method(app: &App) -> Response {
    let call = Call {
        audit_id: Uuid::new_v4().to_string(),
        kind: String::new(),
        params: Map::new(),
        trace: None,
    };
    let reason = "a tool is called by POST".to_owned();
    respond(&app.interceptor.refuse(call, CallCode::MethodNotAllowed, reason).await)
}

fn respond(answer: &Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut body = Vec::with_capacity(USUAL_ANSWER_LEN);
    if serde_json::to_writer(&mut body, &answer.body).is_err() {
        // Strings, numbers and maps with string keys always serialize.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert("retry-after", HeaderValue::from_static("1"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert("allow", HeaderValue::from_static("POST"));
    }
    response
}

async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health::ok(app.interceptor.policy.mode()))
}

async fn status(State(app): State<App>) -> Json<RuntimeStatus> {
    let InForce { evaluator, lock_fingerprint } = app.interceptor.policy.in_force();
    let log = app.interceptor.journal.status();
    let position = app.wal.shown_position().await;
    Json(RuntimeStatus {
        node: app.interceptor.node.clone(),
        mode: app.interceptor.policy.mode(),
        policy_ref: evaluator.policy_ref().to_owned(),
        policy_digest: evaluator.policy_digest().to_owned(),
        lock_fingerprint: lock_fingerprint.map(|it| it.to_string()),
        wal: WalStatus {
            wal_id: app.wal.wal_id().to_string(),
            last_seq: log.last_seq,
            position,
            lag: position.map(|it| log.last_seq.saturating_sub(it)),
            bytes: log.bytes,
            health: log.failure.map_or("ok".to_owned(), |it| it.code().to_owned()),
        },
        exporter: app.exporting.as_ref().map(Exporting::status),
        releases: app.releasing.as_ref().map(Shown::status),
        calls: Some(calls(&app.interceptor)),
        uptime_seconds: app.started.elapsed().as_secs(),
    })
}

fn calls(interceptor: &Interceptor) -> CallsStatus {
    let (open, oldest) = interceptor.open.summary();
    CallsStatus {
        in_flight: interceptor.in_flight() as u64,
        calls_max: interceptor.limits.calls as u64,
        connections_max: interceptor.limits.connections as u64,
        open_intents: open as u64,
        oldest_open_intent: oldest.map(|it| OldestOpenIntent {
            audit_id: it.audit_id,
            age_seconds: it.since.elapsed().as_secs(),
        }),
        tools_still_running: interceptor.measures.tools_still_running(),
    }
}

async fn scrape(State(app): State<App>) -> Response {
    let Json(status) = status(State(app.clone())).await;
    match metrics::text(&status, Some(&app.interceptor.measures)) {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => problem(500, "METRICS", "No metrics", error.to_string()),
    }
}

async fn tools(State(app): State<App>) -> Json<Value> {
    let tools = app.interceptor.tools.iter();
    let tools: Vec<_> =
        tools.map(|it| json!({ "kind": it.kind(), "params": it.schema() })).collect();
    Json(json!({ "tools": tools }))
}

async fn decision(State(app): State<App>, Path(id): Path<String>) -> Response {
    match app.scans.lookup(&app.wal.dir, &id).await {
        Ok(on_record) => Json(on_record).into_response(),
        Err(error) => {
            let (status, code) = error.code();
            let more = error.searched().map(|it| ("searched", json!(it)));
            problem_with(status, code, "No records", error.to_string(), more)
        }
    }
}

async fn reload(State(app): State<App>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    if !peer.ip().is_loopback() {
        let detail = format!("{peer} is not on this machine");
        return problem(403, "LOOPBACK_ONLY", "Only from this machine", detail);
    }
    match record_reload(&app.interceptor).await {
        Ok(loaded) => Json(loaded).into_response(),
        Err(error) => {
            let status = if error == ReloadError::Busy { 503 } else { 409 };
            problem(status, error.code(), "The policy was not replaced", error.to_string())
        }
    }
}

pub(crate) async fn not_found(request: Request<Body>) -> Response {
    let detail = format!("{} {} does not exist", request.method(), request.uri().path());
    problem(404, "NOT_FOUND", "No such route", detail)
}

pub(crate) fn problem(status: u16, code: &str, title: &str, detail: String) -> Response {
    problem_with(status, code, title, detail, None)
}

/// A problem with a member of its own, as RFC 9457 allows.
fn problem_with(
    status: u16,
    code: &str,
    title: &str,
    detail: String,
    more: Option<(&str, Value)>,
) -> Response {
    #[derive(Serialize)]
    struct Extended {
        #[serde(flatten)]
        problem: Problem,
        #[serde(flatten)]
        more: Map<String, Value>,
    }
    let problem = Problem::new(status, code, title, detail);
    let more = more.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    let body = Json(Extended { problem, more });
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
    }
    response
}
