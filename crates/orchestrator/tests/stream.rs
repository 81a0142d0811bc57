//! Events as they are stored: `GET /v1/events/stream`.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use orchestrator::Limits;
use serde_json::{Value, json};
use support::{Service, within};
use tokio::{net::TcpStream, task::JoinHandle};

/// An open stream, read event by event.
struct Stream {
    body: Incoming,
    text: String,
    connection: JoinHandle<()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Stream {
    async fn open(service: &Service, path: &str, last_event_id: Option<&str>) -> (u16, Self) {
        let socket = TcpStream::connect(service.addr).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
        let connection = tokio::spawn(async move { _ = connection.await });
        let mut request = Request::get(path).header("host", "control-plane");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Full::new(Bytes::new())).unwrap();
        let response = within(sender.send_request(request)).await.unwrap();
        let status = response.status().as_u16();
        (status, Self { body: response.into_body(), text: String::new(), connection })
    }

    /// The position and the `event_id` of the next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (found, rest) = (read(event), rest.to_owned());
                self.text = rest;
                match found {
                    Some(found) => return Some(found),
                    None => continue,
                }
            }
            let frame = within(self.body.frame()).await?.ok()?;
            let bytes = frame.into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

/// The position and the `event_id` of an event; `None` for a comment.
fn read(event: &str) -> Option<(String, String)> {
    let field = |name: &str| {
        let prefix = format!("{name}: ");
        event.lines().find_map(|it| it.strip_prefix(&prefix).map(str::to_owned))
    };
    let data: Value = serde_json::from_str(&field("data")?).unwrap();
    Some((field("id").unwrap(), data["event_id"].as_str().unwrap().to_owned()))
}

fn event(id: &str) -> Value {
    let at = "2026-01-02T03:04:05Z";
    json!({ "event_id": id, "event_type": "t", "node_id": "n", "timestamp": at })
}

async fn put(service: &Service, event: Value) {
    assert_eq!(service.post(&json!({ "events": [event] })).await.status, 200);
}

async fn store(service: &Service, ids: &[&str]) {
    for id in ids {
        put(service, event(id)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_shows_what_is_stored_after_it_began_in_that_order() {
    let service = Service::start().await;
    store(&service, &["before"]).await;
    let (status, mut stream) = Stream::open(&service, "/v1/events/stream", None).await;
    assert_eq!(status, 200);
    store(&service, &["a", "b"]).await;
    store(&service, &["c"]).await;
    for want in ["a", "b", "c"] {
        assert_eq!(stream.next().await.unwrap().1, want);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_behind_the_event_that_was_seen_last_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start_in(dir.path(), Limits::STANDARD).await;
    store(&service, &["a", "b", "c"]).await;
    let (_, mut stream) = Stream::open(&service, "/v1/events/stream?last=2", None).await;
    let (seen, id) = stream.next().await.unwrap();
    assert_eq!(id, "b");
    drop(stream);
    service.stop().await.unwrap();
    let service = Service::start_in(dir.path(), Limits::STANDARD).await;
    let (_, mut stream) = Stream::open(&service, "/v1/events/stream", Some(&seen)).await;
    store(&service, &["d"]).await;
    for want in ["c", "d"] {
        assert_eq!(stream.next().await.unwrap().1, want, "no gap and no repeat");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_shows_the_events_that_fit_it_alone() {
    let service = Service::start().await;
    let (_, mut stream) =
        Stream::open(&service, "/v1/events/stream?node_id=other&event_type=t", None).await;
    store(&service, &["a", "b"]).await;
    let mut fits = event("c");
    fits["node_id"] = "other".into();
    put(&service, fits).await;
    assert_eq!(stream.next().await.unwrap().1, "c");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_bounded_and_end_when_the_service_stops() {
    let limits = Limits { streams_max: 1, ..Limits::STANDARD };
    let mut service = Service::with_limits(limits).await;
    let (status, mut stream) = Stream::open(&service, "/v1/events/stream", None).await;
    assert_eq!(status, 200);
    let (status, refused) = Stream::open(&service, "/v1/events/stream", None).await;
    assert_eq!(status, 503);
    drop(refused);
    let begun = tokio::time::Instant::now();
    service.ask_to_stop();
    assert_eq!(stream.next().await, None);
    service.ended().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "it did not wait for the grace to pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_position_and_no_parameter_is_refused() {
    let service = Service::start().await;
    for id in ["x", "-1", "", "99999999999999999999"] {
        let (status, _) = Stream::open(&service, "/v1/events/stream", Some(id)).await;
        assert_eq!(status, 400, "{id}");
    }
    for query in ["?from=now", "?last=x", "?last=1&last=2"] {
        let (status, _) = Stream::open(&service, &format!("/v1/events/stream{query}"), None).await;
        assert_eq!(status, 400, "{query}");
    }
}
