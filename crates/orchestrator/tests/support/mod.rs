//! A service on a port of its own and a client without habits: one connection a request.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Method, Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use orchestrator::{Config, Limits, ServeError, serve};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// How long anything may take before the test says that it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// Fails the test when `work` does not end in time.
#[track_caller]
pub(crate) fn within<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        match timeout(DEADLINE, work).await {
            Ok(done) => done,
            Err(late) => panic!("{place}: {late} after {DEADLINE:?}"),
        }
    }
}

/// Settings of a service that lets everybody do everything, and keeps its audit trail beside its data.
pub(crate) fn config(dir: &Path) -> Config {
    let audit_dir = dir.join("audit");
    let config = Config::from_lookup(Some(dir.to_owned()), &|_| None).unwrap();
    Config { audit_dir, enforcement: false, ..config }
}

pub(crate) struct Service {
    pub(crate) addr: SocketAddr,
    pub(crate) dir: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<Result<(), ServeError>>,
    temp: Option<tempfile::TempDir>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with_limits(Limits::STANDARD).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let mut service = Self::start_in(temp.path(), limits).await;
        service.temp = Some(temp);
        service
    }

    /// The listener exists before this returns, so requests wait until the store is open.
    pub(crate) async fn start_in(dir: &Path, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let config = Config { listen: addr, limits, ..config(dir) };
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(serve(config, listener, async {
            // A dropped sender stops the service as well.
            _ = stopped.await;
        }));
        Self { addr, dir: dir.to_owned(), stop: Some(stop), ended, temp: None }
    }

    pub(crate) fn ask_to_stop(&mut self) {
        _ = self.stop.take();
    }

    pub(crate) async fn ended(&mut self) -> Result<(), ServeError> {
        within(&mut self.ended).await.unwrap()
    }

    pub(crate) async fn stop(mut self) -> Result<(), ServeError> {
        self.ask_to_stop();
        self.ended().await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.addr, Method::GET, path, &[], Bytes::new()).await
    }

    pub(crate) async fn post(&self, body: &Value) -> Answer {
        post(self.addr, body).await
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.bytes))
    }

    /// Checks that this is problem JSON with `status` and `code`, and returns its detail.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{body}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(body["status"], status, "{body}");
        assert!(body["type"].as_str().unwrap().ends_with(&format!("#{code}")), "{body}");
        assert!(!body["title"].as_str().unwrap().is_empty(), "{body}");
        body["detail"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{:?}", self.bytes);
        assert_eq!(self.headers["content-type"], "application/json");
        self.json()
    }
}

pub(crate) async fn post(addr: SocketAddr, body: &Value) -> Answer {
    let json = [("content-type", "application/json")];
    send(addr, Method::POST, "/v1/events", &json, body.to_string().into()).await
}

pub(crate) async fn send(
    addr: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Answer {
    within(async {
        let stream = TcpStream::connect(addr).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, bytes }
    })
    .await
}

/// An event whose content follows from its number.
pub(crate) fn event(number: usize) -> Value {
    json!({
        "event_id": format!("edge-{}:wal:{number}", number % 5),
        "event_type": (["ai.policy.decision", "ai.agent.action", "ai.agent.error"][number % 3]),
        "node_id": format!("edge-{}", number % 5),
        "timestamp": format!("2026-01-02T{:02}:{:02}:{:02}Z", number / 3600 % 24, number / 60 % 60, number % 60),
        "number": number,
    })
}

pub(crate) fn batch(numbers: impl IntoIterator<Item = usize>) -> Value {
    json!({ "events": numbers.into_iter().map(event).collect::<Vec<_>>() })
}

pub(crate) fn numbers(page: &Value) -> Vec<u64> {
    let events = page["events"].as_array().unwrap();
    assert_eq!(page["count"], events.len());
    events.iter().map(|it| it["number"].as_u64().unwrap()).collect()
}
