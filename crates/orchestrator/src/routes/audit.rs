//! The audit trail over HTTP: looking at it, and adding to it from elsewhere.

use api::{
    audit::{AuditList, AuditRecord, NewAuditRecord},
    rollout::{LIMIT_DEFAULT, LIMIT_MAX},
};
use audit::{Category, Filter, NewRecord, Outcome, Record, Source};
use axum::{
    extract::{Request, State},
    http::{StatusCode, Uri},
    response::Response,
};
use jiff::Timestamp;
use tokio::task;

use super::ask::{AskedWrong, BODY_LEN_MAX, Change, Params};
use crate::server::{App, Refusal, json_response};

const PARAMETERS: [&str; 8] =
    ["event_name", "actor", "category", "outcome", "source", "start_time", "end_time", "limit"];

fn filter(params: &Params) -> Result<Filter, AskedWrong> {
    let text = |name| params.text(name).map(str::to_owned);
    let time = |name| params.read(name, "an RFC 3339 time", |it| it.parse::<Timestamp>().ok());
    let (category, outcome) = ("a category of the trail", "an outcome of the trail");
    Ok(Filter {
        event_name: text("event_name"),
        actor: text("actor"),
        category: params.read("category", category, |it| it.parse::<Category>().ok())?,
        outcome: params.read("outcome", outcome, |it| it.parse::<Outcome>().ok())?,
        source: params.read("source", "a source of the trail", |it| it.parse::<Source>().ok())?,
        start_time: time("start_time")?,
        end_time: time("end_time")?,
    })
}

fn wire(it: Record) -> AuditRecord {
    let Record { seq, event, prev, hash, .. } = it;
    AuditRecord {
        seq,
        event_name: event.event_name,
        category: event.category.as_str().to_owned(),
        action: event.action,
        outcome: event.outcome.as_str().to_owned(),
        source: event.source.as_str().to_owned(),
        timestamp: event.timestamp.to_string(),
        actor: event.actor,
        resource_type: event.resource_type,
        resource: event.resource,
        fields: event.fields,
        prev: prev.to_string(),
        hash: hash.to_string(),
    }
}

/// Show the newest records that fit, oldest first. Filters count together; times are inclusive.
#[utoipa::path(get, path = "/v1/audit", tag = "audit",
    params(("event_name" = Option<String>, Query, description = "Exactly this event."),
           ("actor" = Option<String>, Query, description = "Exactly this actor."),
           ("category" = Option<String>, Query, description = "This category."),
           ("outcome" = Option<String>, Query, description = "This outcome."),
           ("source" = Option<String>, Query, description = "This source."),
           ("start_time" = Option<String>, Query, description = "Not before."),
           ("end_time" = Option<String>, Query, description = "Not after."),
           ("limit" = Option<u32>, Query, description = "Entries of the answer.", minimum = 1)),
    responses((status = 200, body = AuditList)))]
pub(crate) async fn query(State(app): State<App>, uri: Uri) -> Result<Response, Refusal> {
    let params = Params::of(&uri, &PARAMETERS)?;
    let filter = filter(&params)?;
    let limit = params.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    // A trail is read from its end; a filter that nothing fits reads all of it, one at a time.
    let one = std::sync::Arc::clone(&app.trail_reads).acquire_owned().await;
    let one = one.map_err(|_| Refusal::Stopping)?;
    let (vfs, dir) = (app.vfs.clone(), app.audit_dir.clone());
    // The place is given back when the read ends, not when whoever asked goes away.
    let found = task::spawn_blocking(move || {
        let found = audit::query(&vfs, &dir, &filter, limit as usize);
        drop(one);
        found
    });
    let found = found.await.map_err(|error| Refusal::Internal(error.to_string()))?;
    let records: Vec<_> = found.map_err(Refusal::Trail)?.into_iter().map(wire).collect();
    json_response(&AuditList { count: records.len() as u64, records })
}

/// Put on record what was done elsewhere. The actor is the caller; the time is that of this service.
#[utoipa::path(post, path = "/v1/audit", tag = "audit", request_body = NewAuditRecord,
    responses((status = 201, body = Noted)))]
pub(crate) async fn append(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let change = Change::read(&app, request, BODY_LEN_MAX).await?;
    let record = asked(change.json()?, change.by.as_str(), app.now())?;
    app.rollouts.record(vec![record]).await?;
    let mut response = json_response(&Noted { recorded: true })?;
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// That a record is durable.
#[derive(Clone, Copy, Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Noted {
    /// Always `true`.
    recorded: bool,
}

fn asked(
    wire: NewAuditRecord,
    actor: &str,
    now: rollout_store::Moment,
) -> Result<NewRecord, AskedWrong> {
    let wrong = |field: &str, why: &dyn std::fmt::Display| AskedWrong::Body {
        reason: format!("{field}: {why}"),
    };
    let category = wire.category.parse::<Category>().map_err(|error| wrong("category", &error))?;
    let outcome = wire.outcome.parse::<Outcome>().map_err(|error| wrong("outcome", &error))?;
    let source = wire.source.parse::<Source>().map_err(|error| wrong("source", &error))?;
    if source == Source::Orchestrator {
        return Err(wrong("source", &"the control plane speaks for itself"));
    }
    // What is said from elsewhere must not look like what happens here.
    if !matches!(category, Category::Goal | Category::Wal | Category::Relay | Category::Cert) {
        return Err(wrong("category", &"goal, wal, relay and cert are recorded from elsewhere"));
    }
    let at = Timestamp::from_millisecond(now.unix_ms()).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut record =
        NewRecord::new(&wire.event_name, (category, &wire.action), outcome, source, at).by(actor);
    record.resource_type = wire.resource_type;
    record.resource = wire.resource;
    record.fields = wire.fields;
    record.check().map_err(|error| wrong("record", &error))?;
    Ok(record)
}
