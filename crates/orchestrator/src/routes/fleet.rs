//! Nodes and releases, as operators look at them.

use std::collections::BTreeMap;

use api::{
    fleet::{
        Fleet, FleetSummary, NewRelease as WireNewRelease, PublishedRelease, STALE_SECONDS_DEFAULT,
    },
    release::{fingerprint_flaw, text_flaw},
    rollout::{LIMIT_DEFAULT, LIMIT_MAX},
};
use audit::Category;
use axum::{
    extract::{Request, State},
    http::{StatusCode, Uri},
    response::Response,
};
use rollout_store::{
    Applied, Channel, NodeId, ReleaseId, RolloutReader as _, Write, Written, release::NewRelease,
};

use super::{
    ask::{AskedWrong, BODY_LEN_MAX, Change, Params},
    rollouts::say_replayed,
    view,
};
use crate::{
    rollouts::{Ask, Draft},
    server::{App, Refusal, json_response},
};

/// List nodes, by name.
#[utoipa::path(get, path = "/v1/fleet", tag = "fleet",
    params(("stale_threshold_seconds" = Option<u64>, Query, description = "Age at which a node is stale."),
           ("limit" = Option<u32>, Query, description = "Entries of a page.", minimum = 1),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, body = Fleet)))]
pub(crate) async fn list(State(app): State<App>, uri: Uri) -> Result<Response, Refusal> {
    let params = Params::of(&uri, &["stale_threshold_seconds", "limit", "cursor"])?;
    let stale = params.number("stale_threshold_seconds")?.unwrap_or(STALE_SECONDS_DEFAULT);
    let limit = params.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let after =
        params.read("cursor", "a cursor that this service gave out", |it| NodeId::new(it).ok())?;
    let read = move |reader: &rollout_store::SqliteReader| {
        let nodes = reader.fleet(after.as_ref(), limit)?;
        let mut releases = BTreeMap::new();
        for id in nodes.iter().filter_map(|it| it.release.as_ref()) {
            if !releases.contains_key(id) {
                releases.insert(id.clone(), reader.release(id)?);
            }
        }
        Ok((nodes, releases))
    };
    let (mut nodes, releases) = app.rollouts.read(read).await?;
    let full = nodes.len() >= limit as usize;
    let last = nodes.last().filter(|_| full).map(|it| it.id.to_string());
    let now = app.now();
    for node in &mut nodes {
        node.last_seen = node.last_seen.max(app.presence.of(&node.id));
    }
    let shown = nodes.iter().map(|it| {
        let release = it.release.as_ref().and_then(|id| releases.get(id)).and_then(Option::as_ref);
        view::node(it, release, now, stale)
    });
    json_response(&Fleet {
        nodes: shown.collect(),
        count: nodes.len() as u64,
        generated_at: now.to_string(),
        stale_threshold_seconds: stale,
        next_cursor: last,
    })
}

fn channel(params: &Params) -> Result<Channel, AskedWrong> {
    let asked = params.read("channel", "the name of a channel", |it| Channel::new(it).ok())?;
    Ok(asked.unwrap_or_else(Channel::standard))
}

/// Say how many nodes are up, stale and unknown, and what they run.
#[utoipa::path(get, path = "/v1/fleet/summary", tag = "fleet",
    params(("channel" = Option<String>, Query, description = "The channel whose latest release is shown."),
           ("stale_threshold_seconds" = Option<u64>, Query, description = "Age at which a node is stale.")),
    responses((status = 200, body = FleetSummary)))]
pub(crate) async fn summary(State(app): State<App>, uri: Uri) -> Result<Response, Refusal> {
    let params = Params::of(&uri, &["channel", "stale_threshold_seconds"])?;
    let channel = channel(&params)?;
    let stale = params.number("stale_threshold_seconds")?.unwrap_or(STALE_SECONDS_DEFAULT);
    // What was heard and not written yet must not be shown as stale.
    app.presence.flush(&app.rollouts).await;
    let (now, of) = (app.now(), channel.clone());
    let read = move |reader: &rollout_store::SqliteReader| {
        Ok((reader.fleet_summary(now, stale)?, reader.latest_release(&of)?))
    };
    let (found, latest) = app.rollouts.read(read).await?;
    json_response(&FleetSummary {
        channel: channel.to_string(),
        generated_at: now.to_string(),
        stale_threshold_seconds: stale,
        total: found.up + found.stale + found.unknown,
        up: found.up,
        stale: found.stale,
        unknown: found.unknown,
        latest_release: latest.as_ref().map(view::release),
        releases: found.releases,
    })
}

/// Publish a release to the nodes of a channel. The same release again is answered with 200.
#[utoipa::path(post, path = "/v1/releases", tag = "fleet", request_body = WireNewRelease,
    responses((status = 201, body = PublishedRelease), (status = 200, body = PublishedRelease)))]
pub(crate) async fn publish(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let change = Change::read(&app, request, BODY_LEN_MAX).await?;
    let release = asked(change.json()?)?;
    // What is published goes to nodes as it is.
    if let Some(flaw) = fingerprint_flaw(&release.lock_fingerprint) {
        let (field, found) = ("lock_fingerprint", release.lock_fingerprint);
        return Err(Refusal::Fingerprint { field, found, flaw });
    }
    let draft = Draft::new(
        "release.published",
        (Category::Rollout, "publish"),
        ("release", release.id.as_str()),
        change.by.as_str(),
    )
    .with("channel", release.channel.as_str())
    .with("lock_fingerprint", release.lock_fingerprint.as_str());
    let write = Write::Release { release: Box::new(release), by: change.by };
    let ask = Ask { write, idempotency: change.idempotency, draft: Some(draft) };
    let Applied { written, replayed, .. } = app.rollouts.ask(ask).await?;
    let (status, release) = match written {
        Written::Released(it) => (StatusCode::CREATED, it),
        Written::ReleasedBefore(it) => (StatusCode::OK, it),
        other => return Err(Refusal::Internal(format!("not a release: {other:?}"))),
    };
    let mut response = json_response(&view::release(&release))?;
    *response.status_mut() = status;
    say_replayed(&mut response, replayed);
    Ok(response)
}

fn asked(wire: WireNewRelease) -> Result<NewRelease, AskedWrong> {
    let wrong = |field: &str, why: &dyn std::fmt::Display| AskedWrong::Body {
        reason: format!("{field}: {why}"),
    };
    if let Some(flaw) = text_flaw(&wire.artifact_ref) {
        return Err(wrong("artifact_ref", &flaw));
    }
    if wire.policy.as_ref().is_some_and(|it| it.contains(char::is_control)) {
        return Err(wrong("policy", &"with control characters"));
    }
    let channel = match &wire.channel {
        Some(text) => Channel::new(text).map_err(|error| wrong("channel", &error))?,
        None => Channel::standard(),
    };
    Ok(NewRelease {
        id: ReleaseId::new(&wire.id).map_err(|error| wrong("id", &error))?,
        channel,
        sequence: wire.sequence,
        artifact_ref: wire.artifact_ref,
        lock_fingerprint: wire.lock_fingerprint,
        policy: wire.policy,
    })
}

/// Show the latest release of a channel.
#[utoipa::path(get, path = "/v1/releases/latest", tag = "fleet",
    params(("channel" = Option<String>, Query, description = "The channel.")),
    responses((status = 200, body = PublishedRelease)))]
pub(crate) async fn latest(State(app): State<App>, uri: Uri) -> Result<Response, Refusal> {
    let channel = channel(&Params::of(&uri, &["channel"])?)?;
    let of = channel.clone();
    let found = app.rollouts.read(move |reader| reader.latest_release(&of)).await?;
    let found = found.ok_or_else(|| Refusal::NoRelease { channel: channel.to_string() })?;
    json_response(&view::release(&found))
}
