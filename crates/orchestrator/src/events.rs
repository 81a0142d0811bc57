//! `POST /v1/events` and `GET /v1/events`.
//!
//! | module    | what it holds                                                    |
//! |-----------|------------------------------------------------------------------|
//! | `intake`  | body → checked events, or the first thing that is wrong with it  |
//! | `query`   | parameters → filters                                             |
//! | `cursor`  | where a page ended, as an opaque text                            |
//! | `rfc3339` | timestamps as a sortable number                                  |
//! | `stream`  | events as they are stored                                        |
//!
//! Events go out as the JSON text that came in: numbers, their precision and the order of fields
//! are those of the node.

mod cursor;
mod intake;
mod query;
mod rfc3339;
pub(crate) mod stream;

use api::control::Ingested;
use axum::{
    body::Bytes,
    extract::{Request, State},
    http::Uri,
    response::Response,
};
use connections::read_body;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::task;

use crate::{
    auth::subject::NODE_PREFIX,
    routes::{ask::require_json, gate::Who},
};
use crate::{
    config::Limits,
    server::{App, Refusal, json_response},
    store::{NewEvent, Page},
};
use cursor::Cursor;
pub(crate) use intake::IntakeError;

/// Longer bodies are parsed on a blocking thread.
const PARSE_INLINE_LEN_MAX: usize = 64 << 10;

/// Takes in events: all of a request or none, answered when they are durable.
#[utoipa::path(post, path = "/v1/events", tag = "events", request_body = api::control::EventBatch,
    responses((status = 200, body = Ingested)))]
pub(crate) async fn ingest(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    require_json(request.headers())?;
    let node =
        request.extensions().get::<Who>().filter(|it| it.0.starts_with(NODE_PREFIX)).cloned();
    let (parts, body) = request.into_parts();
    let Limits { body_len_max, body_timeout, .. } = *app.limits;
    let body = read_body(&parts.headers, body, body_len_max, body_timeout).await?;
    let events = parse(body, &app.limits).await?;
    if let Some(Who(subject)) = node {
        // A node speaks for itself. Whoever speaks for many has a role of its own.
        let own = subject.strip_prefix(NODE_PREFIX).unwrap_or_default();
        if let Some(other) = events.iter().find(|it| it.node_id != own) {
            return Err(Refusal::OtherNode { node: other.node_id.clone() });
        }
    }
    let received = events.len() as u64;
    let stored = app.store.append(events).await?;
    app.measures.events_ingested.inc_by(stored.inserted);
    app.measures.events_deduped.inc_by(stored.deduped);
    let answer = Ingested { received, inserted: stored.inserted, deduped: stored.deduped };
    json_response(&answer)
}

/// Lists events, newest first.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(("node_id" = Option<String>, Query, description = "Only events of this node."),
           ("event_type" = Option<String>, Query, description = "Only events of this type."),
           ("since" = Option<String>, Query, description = "Only events that happened at this time or later."),
           ("limit" = Option<u32>, Query, description = "Entries of a page.", minimum = 1),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, body = api::control::EventPage)))]
pub(crate) async fn list(State(app): State<App>, uri: Uri) -> Result<Response, Refusal> {
    let query = query::parse(&uri).map_err(|error| Refusal::InvalidQuery(error.to_string()))?;
    let page = app.store.page(query).await?;
    json_response(&PageBody::new(page)?)
}

async fn parse(body: Bytes, limits: &Limits) -> Result<Vec<NewEvent>, Refusal> {
    let event_len_max = limits.event_len_max;
    let parsed = if body.len() <= PARSE_INLINE_LEN_MAX {
        intake::parse(&body, event_len_max)
    } else {
        let work = task::spawn_blocking(move || intake::parse(&body, event_len_max));
        work.await.map_err(|error| Refusal::Internal(error.to_string()))?
    };
    Ok(parsed?)
}

/// [`api::control::EventPage`] over stored text; a test compares the two.
#[derive(Serialize)]
struct PageBody {
    events: Vec<Box<RawValue>>,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl PageBody {
    fn new(page: Page) -> Result<Self, Refusal> {
        let events: Result<Vec<_>, _> =
            page.bodies.into_iter().map(RawValue::from_string).collect();
        let events = events.map_err(|error| Refusal::Internal(format!("stored event: {error}")))?;
        let next_cursor = page.next.map(|before| Cursor { before }.to_string());
        Ok(Self { count: events.len() as u64, events, next_cursor })
    }
}

#[cfg(test)]
mod tests {
    use api::control::EventPage;

    use super::*;

    #[test]
    fn a_page_is_the_wire_type_and_keeps_the_text_of_events() {
        let event = r#"{"event_id":"a","event_type":"t","node_id":"n","timestamp":"2026-01-02T03:04:05Z","big":340282366920938463463374607431768211455,"b":1.0}"#;
        let page = Page { bodies: vec![event.to_owned()], ids: vec![7], next: Some(7) };
        let text = serde_json::to_string(&PageBody::new(page).unwrap()).unwrap();
        assert!(text.contains(event), "{text}");
        let read: EventPage = serde_json::from_str(&text).unwrap();
        assert_eq!((read.count, read.events.len()), (1, 1));
        assert_eq!(read.next_cursor.unwrap().parse(), Ok(Cursor { before: 7 }));
        let last = serde_json::to_string(&PageBody::new(Page::default()).unwrap()).unwrap();
        assert_eq!(last, r#"{"events":[],"count":0}"#);
    }
}
