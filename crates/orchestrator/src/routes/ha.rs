//! Who leads, who may write, and whether this process is ready.

use api::ha::{HaMode, HaRole, HaStatus, Leader, Ready};
use axum::{extract::State, http::StatusCode, response::Response};
use serde::Serialize;

use crate::server::{App, Refusal, json_response};

/// That the process answers.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Alive {
    /// Always `ok`.
    status: &'static str,
}

/// Say that the process answers.
#[utoipa::path(get, path = "/v1/health", tag = "health", responses((status = 200, body = Alive)))]
pub(crate) async fn health() -> Result<Response, Refusal> {
    json_response(&Alive { status: "ok" })
}

fn ready(reason: Option<String>) -> Result<Response, Refusal> {
    let ready = reason.is_none();
    let mut response = json_response(&Ready { ready, reason })?;
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

/// Say whether reads are answered.
#[utoipa::path(get, path = "/v1/health/read-ready", tag = "health",
    responses((status = 200, body = Ready), (status = 503, body = Ready)))]
pub(crate) async fn read_ready(State(app): State<App>) -> Result<Response, Refusal> {
    ready(app.rollouts.failure().map(|it| it.to_string()))
}

/// Say whether writes are answered.
#[utoipa::path(get, path = "/v1/health/write-ready", tag = "health",
    responses((status = 200, body = Ready), (status = 503, body = Ready)))]
pub(crate) async fn write_ready(State(app): State<App>) -> Result<Response, Refusal> {
    ready(write_blocked(&app))
}

/// Why no change is made now; `None` when changes are made.
pub(crate) fn write_blocked(app: &App) -> Option<String> {
    let stopped = app.rollouts.failure().map(|it| it.to_string());
    let not_on_record = || {
        app.rollouts.record_blocked().map(|it| format!("the audit trail cannot be written: {it}"))
    };
    stopped.or_else(not_on_record)
}

/// Say who leads.
#[utoipa::path(get, path = "/v1/ha/status", tag = "ha", responses((status = 200, body = HaStatus)))]
pub(crate) async fn status(State(app): State<App>) -> Result<Response, Refusal> {
    let leads = app.rollouts.leads();
    let blocked = write_blocked(&app);
    json_response(&HaStatus {
        mode: HaMode::Standalone,
        role: HaRole::Leader,
        leader: Some(Leader {
            holder_id: app.holder.to_string(),
            epoch: leads.epoch,
            acquired_at: leads.since.to_string(),
        }),
        write_ready: blocked.is_none(),
        write_blocked_by: blocked,
        queried_at: app.now().to_string(),
    })
}

/// Give up leading, so that another process leads. A process that has its store alone refuses.
#[utoipa::path(post, path = "/v1/ha/resign", tag = "ha", responses((status = 409)))]
pub(crate) async fn resign() -> Result<Response, Refusal> {
    Err(Refusal::Standalone)
}
