//! A runtime without a log: up, and denying.
//!
//! A log that was refused stays refused until an operator has looked at it. A process that exits
//! instead is started again by whoever watches it, over and over; this one comes up once, says what
//! is wrong wherever it is asked, and waits.
//!
//! | route                     | answer                                                          |
//! |---------------------------|-----------------------------------------------------------------|
//! | `POST /v1/tool`           | 503, deny, with the code and the text of the violation            |
//! | another method there      | 405, deny                                                         |
//! | `GET /health`             | `{"status":"ok","mode":"quarantine"}`                             |
//! | `GET /v1/status`          | `api::health::QuarantineStatus`: cause, place, next step          |
//! | `GET /v1/tools`           | none: no tool can be reached                                      |
//! | `POST /v1/policy/reload`  | 409 `WAL_QUARANTINE`: nothing could record what was put in force  |
//!
//! # Invariants
//!
//! * **Q1** No tool, no evaluator, no writer and no reader of the log exists in this state, so none
//!   can be reached: the type holds texts only.
//! * **Q2** The log directory is not touched: no file is opened after the refusal.
//! * **Q3** Only a new start ends the state. A directory that was repaired meanwhile is recovered
//!   from its first byte, by whoever starts next.
//!
//! The lock of the log is not held. It keeps two writers apart and there is none here; the operator
//! who repairs takes it, and whoever writes the repaired log takes it then.

use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::{
    health::{Health, Mode, QuarantineStatus, RefusedLog},
    tool::{ToolResponse, Verdict},
};
use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use connections::{Bounds, read_body};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Instant};
use uuid::Uuid;
use wal_recovery::{Violation, codes};

use crate::{
    CallCode, Config, Limits, StartError,
    server::{BODY_TIMEOUT, TOOL, not_for_pages, not_found, problem},
    visitors::Hosts,
};

/// A runtime whose log was refused.
#[derive(Debug)]
pub struct Quarantine {
    node: String,
    dir: PathBuf,
    violation: Violation,
    max_body: usize,
    grace: Duration,
    limits: Limits,
    hosts: Hosts,
}

impl Quarantine {
    /// Makes the state for a log in `dir` that was refused with `violation`.
    pub fn new(config: &Config, dir: &Path, violation: Violation) -> Self {
        Self {
            node: config.node.clone(),
            dir: dir.to_owned(),
            violation,
            max_body: config.max_body,
            grace: config.tool_timeout,
            limits: config.limits,
            hosts: Hosts::new(&config.hosts),
        }
    }

    /// Denies until `shutdown` completes.
    ///
    /// # Errors
    ///
    /// [`StartError::Listener`] when the listener has no address.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), StartError> {
        let addr: SocketAddr = listener.local_addr().map_err(StartError::Listener)?;
        let (dir, cause) = (self.dir.display(), self.violation.code());
        let hint = self.violation.hint();
        tracing::warn!(%dir, cause, hint, "{}", codes::WAL_QUARANTINE);
        tracing::info!(%addr, mode = "quarantine", "runtime listening");
        let bounds =
            Bounds { grace: self.grace, connections: self.limits.connections, ..Bounds::STANDARD };
        let shutdown = async {
            shutdown.await;
            tracing::info!("runtime stopping");
        };
        connections::serve(listener, router(Held::of(self)), &bounds, shutdown).await;
        tracing::info!("runtime stopped");
        Ok(())
    }
}

/// What every request sees (Q1).
#[derive(Clone, Debug)]
struct Held {
    node: Arc<str>,
    log: Arc<RefusedLog>,
    hosts: Hosts,
    max_body: usize,
    started: Instant,
}

impl Held {
    fn of(Quarantine { node, dir, violation, max_body, hosts, .. }: Quarantine) -> Self {
        let place = violation.place();
        let log = RefusedLog {
            health: violation.code().to_owned(),
            error: format!("telemetry/wal: {violation}"),
            dir: dir.display().to_string(),
            seq: place.map(|it| it.0),
            offset: place.map(|it| it.1),
            hint: violation.hint().to_owned(),
        };
        Self { node: node.into(), log: Arc::new(log), hosts, max_body, started: Instant::now() }
    }
}

fn router(held: Held) -> Router {
    Router::new()
        .route(TOOL, post(tool).fallback(tool_by_other_method))
        .route("/health", get(health))
        .route("/v1/status", get(status))
        .route("/v1/tools", get(tools))
        .route("/v1/policy/reload", post(reload))
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(held.clone(), programs_only))
        .with_state(held)
}

async fn programs_only(State(held): State<Held>, request: Request, next: Next) -> Response {
    match held.hosts.check(&request) {
        Ok(()) => next.run(request).await,
        Err((code, reason)) if request.uri().path() == TOOL => {
            deny(StatusCode::FORBIDDEN, code.as_str(), reason)
        }
        Err((code, reason)) => not_for_pages(code, reason),
    }
}

/// No `Retry-After`: nothing changes before an operator has acted and the process starts again.
async fn tool(State(held): State<Held>, headers: HeaderMap, body: Body) -> Response {
    // Read only so that the sender sees the answer; whatever it says, it is denied.
    drop(read_body(&headers, body, held.max_body, BODY_TIMEOUT).await);
    deny(StatusCode::SERVICE_UNAVAILABLE, &held.log.health, held.log.error.clone())
}

async fn tool_by_other_method() -> Response {
    let code = CallCode::MethodNotAllowed.as_str();
    let reason = "a tool is called by POST".to_owned();
    let mut response = deny(StatusCode::METHOD_NOT_ALLOWED, code, reason);
    let allow = axum::http::HeaderValue::from_static("POST");
    response.headers_mut().insert("allow", allow);
    response
}

async fn health() -> Json<Health> {
    Json(Health::ok(Mode::Quarantine))
}

async fn status(State(held): State<Held>) -> Json<QuarantineStatus> {
    Json(QuarantineStatus {
        node: held.node.to_string(),
        mode: Mode::Quarantine,
        policy_ref: String::new(),
        policy_digest: String::new(),
        wal: (*held.log).clone(),
        uptime_seconds: held.started.elapsed().as_secs(),
    })
}

async fn tools() -> Json<Value> {
    Json(json!({ "tools": [] }))
}

async fn reload(State(held): State<Held>) -> Response {
    let detail = format!("the log in {} is in quarantine: {}", held.log.dir, held.log.error);
    problem(409, codes::WAL_QUARANTINE, "The policy was not replaced", detail)
}

fn deny(status: StatusCode, code: &str, reason: String) -> Response {
    let body = ToolResponse {
        decision: Verdict::Deny,
        policy_ref: String::new(),
        audit_id: Uuid::new_v4().to_string(),
        seq: None,
        reason: Some(reason),
        code: Some(code.to_owned()),
        output: None,
        error: None,
        obligations: Vec::new(),
    };
    tracing::debug!(audit_id = body.audit_id, code, "denied");
    (status, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::{body::to_bytes, http::Request};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    fn held() -> Held {
        let violation = Violation::SafeSeqCorrupt { len: 7 };
        Held::of(Quarantine {
            node: "n1".to_owned(),
            dir: "/wal".into(),
            violation,
            max_body: 16,
            grace: Duration::ZERO,
            limits: Limits::STANDARD,
            hosts: Hosts::new(&[]),
        })
    }

    async fn answer(method: &str, path: &str, header: Option<&str>, body: &str) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(name) = header {
            request = request.header(name, "x");
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = TowerToHyperService::new(router(held())).call(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn every_call_is_denied_with_the_cause_whatever_it_says() {
        let long = "x".repeat(17);
        for body in [r#"{"kind":"t"}"#, "", "no json", long.as_str()] {
            let (status, answer) = answer("POST", "/v1/tool", None, body).await;
            assert_eq!(status, 503, "{answer}");
            assert_eq!(answer["decision"], "deny");
            assert_eq!(answer["code"], "SAFESEQ_CORRUPT");
            let reason = "telemetry/wal: SAFESEQ_CORRUPT — safe_seq is 7 bytes long (expected 8)";
            assert_eq!(answer["reason"], reason);
            assert_eq!(answer.get("seq"), None);
            assert_eq!(answer.get("output"), None);
        }
        let (status, answer) = answer("GET", "/v1/tool", None, "").await;
        assert_eq!((status, &answer["decision"]), (405, &json!("deny")));
    }

    #[tokio::test]
    async fn the_state_is_said_wherever_it_is_asked() {
        let (_, health) = answer("GET", "/health", None, "").await;
        assert_eq!(health.to_string(), r#"{"mode":"quarantine","status":"ok"}"#);
        let (_, status) = answer("GET", "/v1/status", None, "").await;
        assert_eq!(status["mode"], "quarantine");
        assert_eq!(status["wal"]["health"], "SAFESEQ_CORRUPT");
        assert_eq!(status["wal"].get("seq"), None, "the log itself was not looked at");
        let (code, problem) = answer("POST", "/v1/policy/reload", None, "").await;
        assert_eq!((code, &problem["code"]), (409, &json!("WAL_QUARANTINE")));
        assert_eq!(answer("GET", "/v1/tools", None, "").await.1, json!({ "tools": [] }));
        assert_eq!(answer("GET", "/v1/other", None, "").await.0, 404);
    }

    #[tokio::test]
    async fn a_web_page_is_refused_here_too() {
        let (status, problem) = answer("POST", "/v1/tool", Some("origin"), "{}").await;
        assert_eq!((status, &problem["code"]), (403, &json!("BROWSER_REFUSED")));
        assert_eq!(problem["decision"], "deny");
        let (status, problem) = answer("GET", "/v1/status", Some("origin"), "").await;
        assert_eq!((status, &problem["code"]), (403, &json!("BROWSER_REFUSED")));
    }
}
