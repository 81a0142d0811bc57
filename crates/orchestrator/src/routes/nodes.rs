//! What a node asks and says: what it should run, how far it is, that it lives.
//!
//! A node is never called. Its poll is a sign of life that is kept in memory and written in groups (see `presence`);
//! what it says about a plan or release is durable when it is answered.

use api::{
    fleet::{Heartbeat as WireHeartbeat, STALE_SECONDS_DEFAULT},
    release::{Ack, AckState, Desired as WireDesired, Release as WireRelease},
};
use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use rollout_store::{
    Applied, Channel, NodeId, PlanId, Progress, ReleaseId, RolloutReader as _, Write, Written,
    node::Heartbeat,
    plan::Kind,
    release::{Assignment, Release},
};
use serde::Serialize;

use super::{
    ask::{AskedWrong, BODY_LEN_MAX, Change, named},
    gate::Permit,
    view,
};
use crate::{
    auth::{decide::Because, subject::NODE_PREFIX},
    rollouts::Ask,
    server::{App, Refusal, json_response},
};

/// Reads the name of a node in the path.
pub(crate) fn node_id(text: &str) -> Result<NodeId, AskedWrong> {
    named("the node", text, NodeId::new)
}

/// Say what a node should run.
#[utoipa::path(get, path = "/v1/nodes/{id}/desired", tag = "nodes",
    params(("id" = String, Path, description = "The node.", example = "n1")),
    responses((status = 200, body = WireDesired)))]
pub(crate) async fn desired(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let node = node_id(&id)?;
    let itself = speaks_for_itself(&request, &node);
    let desired = app.wanted.of(&app.rollouts, &node).await?;
    if itself {
        app.presence.heard(node, app.now());
    }
    let first = desired.rollouts.iter().find(|it| it.rollout_kind == Kind::Behavior);
    let release = match (first, &desired.release) {
        (Some(assigned), _) => Some(of_plan(assigned)),
        (None, latest) => latest.as_ref().map(of_release),
    };
    let rollouts = desired.rollouts.iter().map(view::assigned).collect();
    json_response(&WireDesired { release, rollouts })
}

/// Whether it is the node that asks, and nobody who looks at it: a look is no sign of life.
fn speaks_for_itself(request: &Request, node: &NodeId) -> bool {
    let permit = request.extensions().get::<Permit>();
    permit.is_some_and(|it| {
        it.0.because() == Because::EnforcementOff
            || it.0.actor().strip_prefix(NODE_PREFIX) == Some(node.as_str())
    })
}

fn of_plan(it: &Assignment) -> WireRelease {
    WireRelease {
        id: it.plan_id.to_string(),
        // A plan has no place in its channel before it has passed its gates.
        sequence: 0,
        artifact_ref: it.artifact_ref.clone(),
        lock_fingerprint: it.target_lock_fingerprint.clone(),
        plan_id: Some(it.plan_id.to_string()),
    }
}

fn of_release(it: &Release) -> WireRelease {
    WireRelease {
        id: it.asked.id.to_string(),
        sequence: it.sequence,
        artifact_ref: it.asked.artifact_ref.clone(),
        lock_fingerprint: it.asked.lock_fingerprint.clone(),
        plan_id: None,
    }
}

/// That an acknowledgement is durable.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Accepted {
    /// Always `true`.
    accepted: bool,
}

/// Say how far a node is with a plan or a release.
#[utoipa::path(post, path = "/v1/nodes/{id}/ack", tag = "nodes",
    params(("id" = String, Path, description = "The node.", example = "n1")), request_body = Ack,
    responses((status = 200, body = Accepted)))]
pub(crate) async fn ack(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let node = node_id(&id)?;
    let change = Change::read(&app, request, BODY_LEN_MAX).await?;
    let said: Ack = change.json()?;
    let write = meant(node, &said)?;
    let ask = Ask { write, idempotency: change.idempotency, draft: None };
    let Applied { written, .. } = app.rollouts.ask(ask).await?;
    if matches!(written, Written::Reported { .. }) {
        // A report is what gates wait for.
        app.rollouts.nudge();
    }
    json_response(&Accepted { accepted: true })
}

fn meant(node: NodeId, said: &Ack) -> Result<Write, AskedWrong> {
    let body = |field: &str, why: &dyn std::fmt::Display| AskedWrong::Body {
        reason: format!("{field}: {why}"),
    };
    if let Some(plan) = &said.plan_id {
        let plan = PlanId::new(plan).map_err(|error| body("plan_id", &error))?;
        let progress = match said.state {
            AckState::Downloaded => Progress::Downloaded,
            AckState::Verified => Progress::Verified,
            AckState::Activated => Progress::Activated,
            AckState::Healthy => Progress::Healthy,
            AckState::Failed => Progress::Failed,
        };
        return Ok(Write::Report { plan, node, progress, detail: detail(said) });
    }
    let release = ReleaseId::new(&said.release_id).map_err(|error| body("release_id", &error))?;
    match said.state {
        AckState::Activated | AckState::Healthy => Ok(Write::Ack { node, release }),
        // It runs something else still; that it lives is all that follows.
        AckState::Downloaded | AckState::Verified | AckState::Failed => {
            let (code, text) = (said.code.as_deref().unwrap_or(""), detail(said));
            tracing::warn!(%node, %release, code, detail = text, "a node does not run its release");
            let (channel, lock_fingerprint, version) = (None, None, None);
            Ok(Write::Heartbeat(Heartbeat { node, channel, lock_fingerprint, version }))
        }
    }
}

/// Code and text of a failure, as much as a report holds.
fn detail(said: &Ack) -> String {
    let parts = [said.code.as_deref(), said.detail.as_deref()];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
    let whole = text.chars().filter(|it| !it.is_control()).scan(0, |len, it| {
        *len += it.len_utf8();
        (*len <= rollout_store::evidence::DETAIL_LEN_MAX).then_some(it)
    });
    whole.collect()
}

/// Say that a node lives, and what it runs.
#[utoipa::path(post, path = "/v1/nodes/{id}/heartbeat", tag = "nodes",
    params(("id" = String, Path, description = "The node.", example = "n1")), request_body = Option<WireHeartbeat>,
    responses((status = 200, body = api::fleet::FleetNode)))]
pub(crate) async fn heartbeat(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let node = node_id(&id)?;
    let change = Change::read(&app, request, BODY_LEN_MAX).await?;
    let said: WireHeartbeat = change.optional()?;
    let unfit =
        |error: rollout_store::NameError| AskedWrong::Body { reason: format!("channel: {error}") };
    let channel = said.channel.as_deref().map(Channel::new).transpose().map_err(unfit)?;
    let WireHeartbeat { lock_fingerprint, version, .. } = said;
    let write = Write::Heartbeat(Heartbeat { node, channel, lock_fingerprint, version });
    let ask = Ask { write, idempotency: change.idempotency, draft: None };
    let Applied { written, .. } = app.rollouts.ask(ask).await?;
    let Written::Seen(node) = written else {
        return Err(Refusal::Internal("not the result of a heartbeat".to_owned()));
    };
    let release = match node.release.clone() {
        Some(id) => app.rollouts.read(move |reader| reader.release(&id)).await?,
        None => None,
    };
    json_response(&view::node(&node, release.as_ref(), app.now(), STALE_SECONDS_DEFAULT))
}
