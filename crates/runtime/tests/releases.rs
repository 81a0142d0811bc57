//! A runtime that asks a control plane for releases, over real connections.
//!
//! What is desired is recorded, shown and answered; nothing that was not verified is activated; and whatever the
//! control plane does, calls are decided by the policy in force.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use std::{path::Path, sync::Arc, time::Duration};

use api::token::Token;
use policy::DenyAll;
use runtime::{Config, Echo, PolicyFrom, ReleaseSource, Runtime, Tools};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use wal_recovery::Reader;

mod plane;

use plane::{Plane, Says};

fn config(dir: &Path, url: String) -> Config {
    let policy = PolicyFrom::Fixed(Arc::new(DenyAll::no_policy()));
    Config {
        releases: Some(ReleaseSource {
            url,
            interval: Duration::from_millis(2),
            trust: None,
            token: Some(Token::new("SECRET").unwrap()),
            tls: None,
        }),
        ..Config::new(dir, policy, "edge-1")
    }
}

struct Served {
    dir: tempfile::TempDir,
    url: String,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn start(control_plane: String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), control_plane);
        let runtime = Runtime::open(&config, Tools::default().with(Echo)).await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap() };
            runtime.serve(listener, stopped).await.unwrap();
        });
        Self { dir, url, stop, task }
    }

    async fn releases(&self) -> Value {
        let status = client().get(format!("{}/v1/status", self.url)).send().await.unwrap();
        let status: Value = serde_json::from_slice(&status.bytes().await.unwrap()).unwrap();
        status["releases"].clone()
    }

    /// A call is decided as if there were no control plane.
    async fn is_decided(&self) {
        let call = client().post(format!("{}/v1/tool", self.url));
        let answer = call.body(r#"{"kind":"tool.echo"}"#).send().await.unwrap();
        assert_eq!(answer.status(), 403);
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!((&answer["code"], &answer["decision"]), (&json!("no_policy"), &json!("deny")));
    }

    /// Ends the runtime and returns the entries about releases.
    async fn end(self) -> Vec<Value> {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        let mut reader = Reader::open(&vfs::OsVfs, self.dir.path()).unwrap();
        let mut found = Vec::new();
        while let Some(item) = reader.next_entry().unwrap() {
            let entry: Value = serde_json::from_slice(item.payload).unwrap();
            let attrs = &entry["event"]["attrs"];
            if attrs["event"] == "ai.deployment.lifecycle" {
                found.push(attrs.clone());
            }
        }
        found
    }
}

fn client() -> reqwest::Client {
    let tls = tls::client_config().config;
    reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}

fn release(id: &str) -> Value {
    json!({ "release": {
        "id": id,
        "sequence": 4,
        "artifact_ref": "registry.example/agents/arm:1.2.0",
        "lock_fingerprint": format!("blake3:{}", "0a".repeat(32)),
        "channel": "stable",
    }})
}

fn steps(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|it| it["step"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_recorded_refused_and_answered_once_however_often_it_is_desired() {
    let (plane, url) = Plane::start(Says::Body(release("rel-004"))).await;
    let served = Served::start(url.clone()).await;
    plane.rounds(5).await;
    served.is_decided().await;
    assert_eq!(plane.shown.borrow().as_deref(), Some("Bearer SECRET"));
    let shown = served.releases().await;
    assert!(!shown.to_string().contains("SECRET"));
    assert_eq!(shown["desired"]["id"], "rel-004");
    assert_eq!(shown["problem"]["code"], "RELEASE_UNVERIFIED");
    assert_eq!(shown["control_plane"], url);
    assert!(shown["last_answer"].is_string());

    plane.says.send_replace(Says::Body(release("rel-005")));
    plane.rounds(5).await;
    plane.says.send_replace(Says::Body(json!({ "release": null })));
    plane.rounds(2).await;
    let shown = served.releases().await;
    assert_eq!((&shown["desired"], &shown["problem"]), (&Value::Null, &Value::Null));

    let acks = plane.acks.borrow().clone();
    let acked: Vec<_> = acks.iter().map(|it| it["release_id"].as_str().unwrap()).collect();
    assert_eq!(acked, ["rel-004", "rel-005"]);
    assert!(acks.iter().all(|it| it["state"] == "failed" && it["code"] == "RELEASE_UNVERIFIED"));
    let entries = served.end().await;
    let each = ["polled", "candidate_detected", "verify_refused"];
    assert_eq!(steps(&entries), [&each[..], &each[..], &["polled"][..]].concat());
    assert_eq!(entries[1]["release_id"], "rel-004");
    assert_eq!(entries[5]["code"], "RELEASE_UNVERIFIED");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_control_plane_answers_it_is_said_once_and_calls_are_decided() {
    let other = |key: &str, value: Value| {
        let mut body = release("rel-004");
        body["release"][key] = value;
        Says::Body(body)
    };
    let (plane, url) = Plane::start(Says::Body(json!({ "release": null }))).await;
    let served = Served::start(url).await;
    plane.rounds(1).await;
    for (says, code) in [
        (Says::Status(404), "RELEASES_NOT_OFFERED"),
        (Says::Problem(401, "TOKEN_REVOKED"), "CONTROL_PLANE_DENIED"),
        (Says::Problem(403, "NOT_THIS_NODE"), "CONTROL_PLANE_DENIED"),
        (Says::Status(500), "CONTROL_PLANE_REFUSED"),
        (Says::Redirect, "CONTROL_PLANE_REFUSED"),
        (Says::Status(204), "CONTROL_PLANE_REFUSED"),
        (Says::Resets, "CONTROL_PLANE_UNREACHABLE"),
        (Says::Endless, "CONTROL_PLANE_UNREADABLE"),
        (Says::Text(""), "CONTROL_PLANE_UNREADABLE"),
        (Says::Text("null"), "CONTROL_PLANE_UNREADABLE"),
        (Says::Text("{\"release\":{}}"), "CONTROL_PLANE_UNREADABLE"),
        (other("id", json!("")), "CONTROL_PLANE_UNREADABLE"),
        (other("sequence", json!(-1)), "CONTROL_PLANE_UNREADABLE"),
        (other("lock_fingerprint", json!("blake3:0000")), "CONTROL_PLANE_UNREADABLE"),
        (other("artifact_ref", json!("x".repeat(2000))), "CONTROL_PLANE_UNREADABLE"),
    ] {
        plane.says.send_replace(says.clone());
        plane.rounds(2).await;
        assert_eq!(served.releases().await["problem"]["code"], code, "{says:?}");
        served.is_decided().await;
    }
    plane.says.send_replace(Says::Body(json!({ "release": null })));
    plane.rounds(2).await;
    assert_eq!(served.releases().await["problem"], Value::Null);
    assert_eq!(plane.acks.borrow().len(), 0, "nothing that is no release is answered");
    let entries = served.end().await;
    let codes: Vec<_> = entries.iter().filter_map(|it| it["code"].as_str()).collect();
    let want = [
        "RELEASES_NOT_OFFERED",
        "CONTROL_PLANE_DENIED",
        "CONTROL_PLANE_REFUSED",
        "CONTROL_PLANE_UNREACHABLE",
        "CONTROL_PLANE_UNREADABLE",
    ];
    assert_eq!(codes, want, "once for each kind in a row");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_is_not_there_costs_one_entry_and_the_runtime_ends_at_once() {
    // Bound and dropped: nobody listens there now.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let served = Served::start(url).await;
    while served.releases().await["problem"].is_null() {
        tokio::task::yield_now().await;
    }
    served.is_decided().await;
    assert_eq!(served.releases().await["problem"]["code"], "CONTROL_PLANE_UNREACHABLE");
    let entries = served.end().await;
    assert_eq!(steps(&entries), ["poll_failed"]);
}
