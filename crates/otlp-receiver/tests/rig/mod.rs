//! A receiver and a stand-in for the control plane, on sockets of this machine.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::{
    collections::BTreeSet,
    io::Write as _,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use api::{
    control::{EventBatch, Ingested},
    problem::{PROBLEM_JSON, Problem},
};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
};
use flate2::write::GzEncoder;
use otlp::{Encoding, Record, Resource};
use otlp_receiver::{Config, Forward, Keep, Limits, Loss, ServeError};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

/// Longest time that anything here may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A running receiver.
pub(crate) struct Receiver {
    pub(crate) addr: SocketAddr,
    pub(crate) client: Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Receiver {
    pub(crate) async fn start(config: Config) -> Self {
        let listener = otlp_receiver::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { _ = stopped.await };
        let task = tokio::spawn(otlp_receiver::serve(listener, config, stopped));
        Self { addr, client: client(), stop: Some(stop), task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) async fn post(&self, encoding: Encoding, body: Vec<u8>) -> reqwest::Response {
        let request = self.client.post(self.url("/v1/logs"));
        let request = request.header("content-type", encoding.content_type()).body(body);
        request.send().await.unwrap()
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            _ = stop.send(());
        }
        timeout(DEADLINE, self.task).await.unwrap().unwrap().unwrap();
    }
}

pub(crate) fn client() -> Client {
    Client::builder()
        .tls_backend_preconfigured(tls::client_config().config)
        .timeout(DEADLINE)
        .build()
        .unwrap()
}

pub(crate) fn config() -> Config {
    Config { name: "test", keep: Keep::Nothing, forward: None, limits: Limits::STANDARD }
}

pub(crate) fn forwarding(url: String, loss: Loss) -> Config {
    Config {
        forward: Some(Forward { url, timeout: DEADLINE, loss, token: None, tls: None }),
        ..config()
    }
}

/// A record as the drain of a node sends it.
pub(crate) fn record(seq: u64, kind: &str) -> Record {
    let attributes = json!({
        "event.kind": kind, "event.id": format!("edge-1:w:{seq}"), "wal.seq": seq, "n": seq,
    });
    Record {
        time_unix_nano: 1_767_323_045_000_006_000,
        body: format!("autonomy.{kind}").into(),
        attributes: attributes.as_object().unwrap().clone(),
        ..Record::default()
    }
}

pub(crate) fn request(encoding: Encoding, records: &[Record]) -> Vec<u8> {
    let attributes = json!({"service.name": "edge-1"}).as_object().unwrap().clone();
    otlp::encode(encoding, &Resource { attributes }, records)
}

/// How the control plane answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should: a request with an event named in `poison` is refused whole.
    Good,
    Unavailable,
    /// A proxy that refuses everything.
    ProxyRefuses,
    /// Success without a count.
    Mute,
    Unauthorized,
}

#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) mood: Mood,
    /// Events that it refuses, by id.
    pub(crate) poison: BTreeSet<String>,
    /// Most events it takes in one request.
    pub(crate) events_max: usize,
    /// Every event stored, once each.
    pub(crate) stored: Vec<Value>,
    pub(crate) requests: usize,
}

/// A stand-in for `POST /v1/events`.
#[derive(Clone, Debug)]
pub(crate) struct ControlPlane {
    pub(crate) url: String,
    state: Arc<Mutex<Plane>>,
}

impl ControlPlane {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/events", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(Plane {
            mood: Mood::Good,
            poison: BTreeSet::new(),
            events_max: usize::MAX,
            stored: Vec::new(),
            requests: 0,
        }));
        let router = Router::new()
            .route("/v1/events", post(ingest))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, state }
    }

    pub(crate) fn plane(&self) -> MutexGuard<'_, Plane> {
        self.state.lock().unwrap()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        let plane = self.plane();
        plane.stored.iter().map(|it| it["event_id"].as_str().unwrap().to_owned()).collect()
    }
}

async fn ingest(State(state): State<Arc<Mutex<Plane>>>, Json(batch): Json<EventBatch>) -> Response {
    let mut plane = state.lock().unwrap();
    plane.requests += 1;
    match plane.mood {
        Mood::Good => {}
        Mood::Unavailable => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Mood::Unauthorized => return (StatusCode::UNAUTHORIZED, "who are you").into_response(),
        Mood::ProxyRefuses => return (StatusCode::BAD_REQUEST, "<html>no</html>").into_response(),
        Mood::Mute => return StatusCode::OK.into_response(),
    }
    if batch.events.len() > plane.events_max {
        return problem(413, "BODY_TOO_LARGE", "send fewer");
    }
    if let Some(index) = batch.events.iter().position(|it| plane.poison.contains(&it.event_id)) {
        return problem(400, "INVALID_EVENTS", &format!("events[{index}].event_id: bad"));
    }
    let received = batch.events.len() as u64;
    let mut inserted = 0;
    for event in batch.events {
        let event = serde_json::to_value(event).unwrap();
        if plane.stored.iter().all(|it| it["event_id"] != event["event_id"]) {
            plane.stored.push(event);
            inserted += 1;
        }
    }
    Json(Ingested { received, inserted, deduped: received - inserted }).into_response()
}

fn problem(status: u16, code: &str, detail: &str) -> Response {
    let body = serde_json::to_vec(&Problem::new(status, code, "t", detail)).unwrap();
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn keeping(path: &Path) -> Config {
    Config { keep: Keep::file(path.to_owned(), "pid 41".to_owned()), ..config() }
}

pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

/// Status, and the text of the status message in the encoding of the request.
pub(crate) async fn refused(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = response.bytes().await.unwrap();
    (status, otlp::error_text(&body, &content_type))
}
