//! `GET /v1/events/stream`: events as they are stored, as server-sent events.
//!
//! | parameter      | meaning                                             |
//! |----------------|-----------------------------------------------------|
//! | `node_id`, `event_type` | only these                                   |
//! | `last`         | begin with so many that are stored already          |
//!
//! The `id:` of each event is its position. A client that comes back with `Last-Event-ID` goes on behind it,
//! without gap or repeat; without one the stream begins with what is stored next.
//!
//! # Invariants
//!
//! * **T1** What is sent is committed: an event that was seen here is never lost.
//! * **T2** A stream holds one page in memory and no connection of the store while it waits.
//! * **T3** A stream ends when the service stops, when its client does not read, when the store fails, and with the
//!   first event after roles or tokens have changed: what was allowed may not be any more.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::{
    routes::ask::{AskedWrong, Params},
    server::{App, Refusal},
    store::{PageQuery, TailQuery},
};

/// Distance of comments that keep a quiet stream open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events that are read at once.
const PAGE: u32 = 200;
/// Most events of `last`.
const LAST_MAX: u32 = 1000;

struct Following {
    app: App,
    query: TailQuery,
    waiting: VecDeque<(i64, String)>,
    stored: watch::Receiver<i64>,
    stopping: watch::Receiver<bool>,
    /// The state of roles and tokens under which it was allowed.
    allowed_at: u64,
    _slot: OwnedSemaphorePermit,
    _counted: Counted,
}

/// Counts an open stream.
struct Counted(Arc<crate::routes::metrics::Measures>);

impl Counted {
    fn new(measures: Arc<crate::routes::metrics::Measures>) -> Self {
        measures.streams.fetch_add(1, Ordering::Relaxed);
        Self(measures)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Follow events as they are stored.
#[utoipa::path(get, path = "/v1/events/stream", tag = "events",
    params(("node_id" = Option<String>, Query, description = "Only events of this node."),
           ("event_type" = Option<String>, Query, description = "Only events of this type."),
           ("last" = Option<u32>, Query, description = "Begin with so many that are stored already."),
           ("Last-Event-ID" = Option<u64>, Header, description = "Go on behind this event.")),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
pub(crate) async fn stream(
    State(app): State<App>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    let params = Params::of(&uri, &["node_id", "event_type", "last"])?;
    let text = |name| params.text(name).filter(|it| !it.is_empty()).map(str::to_owned);
    let (node_id, event_type) = (text("node_id"), text("event_type"));
    let last = params.number("last")?.map(|it| u32::try_from(it).unwrap_or(LAST_MAX).min(LAST_MAX));
    let limit = app.limits.streams_max;
    let slot = Arc::clone(&app.streams).try_acquire_owned();
    let slot = slot.map_err(|_| Refusal::Overloaded { what: "event streams", limit })?;
    let stored = app.store.stored();
    let mut waiting = VecDeque::new();
    let newest = *stored.borrow();
    let after = match (last_event_id(&headers)?, last) {
        (Some(id), _) => id,
        (None, Some(0) | None) => newest,
        (None, Some(last)) => {
            let query = PageQuery {
                node_id: node_id.clone(),
                event_type: event_type.clone(),
                limit: last,
                before: Some(newest.saturating_add(1)),
                since_ns: None,
            };
            let page = app.store.page(query).await?;
            waiting.extend(page.ids.into_iter().zip(page.bodies).rev());
            newest
        }
    };
    let query = TailQuery { node_id, event_type, after, limit: PAGE };
    let stopping = app.stopping.clone();
    let allowed_at = app.access.current().generation();
    let counted = Counted::new(Arc::clone(&app.measures));
    let following = Following {
        app,
        query,
        waiting,
        stored,
        stopping,
        allowed_at,
        _slot: slot,
        _counted: counted,
    };
    let events = unfold(following, next);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, AskedWrong> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or("");
    let digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let id = Some(text).filter(|_| digits).and_then(|it| it.parse().ok());
    id.map(Some).ok_or_else(|| AskedWrong::Header {
        name: "last-event-id",
        why: "not the id of an event of this stream".to_owned(),
    })
}

async fn next(mut it: Following) -> Option<(Result<Event, Infallible>, Following)> {
    loop {
        // Roles or tokens are others: whoever still may comes back behind the event that he saw last.
        if it.app.access.current().generation() != it.allowed_at {
            return None;
        }
        if let Some((id, body)) = it.waiting.pop_front() {
            let event = Event::default().id(id.to_string()).data(body);
            return Some((Ok(event), it));
        }
        // Marked before the read: what is committed in between wakes the wait.
        it.stored.mark_unchanged();
        match it.app.store.tail(it.query.clone()).await {
            Ok(found) => {
                it.query.after = found.seen;
                it.waiting.extend(found.events);
            }
            Err(error) => {
                tracing::warn!(%error, "an event stream ended early");
                return None;
            }
        }
        if !it.waiting.is_empty() {
            continue;
        }
        tokio::select! {
            _ = it.stopping.wait_for(|it| *it) => return None,
            changed = it.stored.changed() => changed.ok()?,
        }
    }
}
