//! Dead letters with the real program, and a collector that refuses decisions until it is told not to.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test; a missing JSON key reads as null"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{
    Router, body::Bytes, extract::State, http::header::CONTENT_TYPE, response::IntoResponse,
    routing::post,
};
use e2e::harness::{
    Bin, Client, Finished, Ports, Process, RuntimeOptions, Stack, autonomy, eventually, program,
};
use otlp::{Encoding, Limits, PartialSuccess};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the collector has seen and how it answers.
#[derive(Debug, Default)]
struct Seen {
    refuses_decisions: AtomicBool,
    /// Requests that are still answered; behind them it accepts and says nothing.
    answers_left: AtomicUsize,
    silent: AtomicBool,
    /// How often it accepted each event.
    accepted: Mutex<BTreeMap<String, u32>>,
}

impl Seen {
    fn accepted(&self) -> BTreeMap<String, u32> {
        self.accepted.lock().unwrap().clone()
    }
}

async fn logs(State(seen): State<Arc<Seen>>, body: Bytes) -> impl IntoResponse {
    let groups = otlp::decode(&body, Encoding::Protobuf, &Limits::STANDARD).unwrap();
    let mut rejected = 0;
    for record in groups.iter().flat_map(|it| &it.records) {
        let decision = record.body == "autonomy.decision";
        if decision && seen.refuses_decisions.load(Ordering::SeqCst) {
            rejected += 1;
        } else {
            let id = record.attributes["event.id"].as_str().unwrap().to_owned();
            *seen.accepted.lock().unwrap().entry(id).or_default() += 1;
        }
    }
    if seen.answers_left.load(Ordering::SeqCst) == 0 {
        seen.silent.store(true, Ordering::SeqCst);
        std::future::pending::<()>().await;
    }
    seen.answers_left.fetch_sub(1, Ordering::SeqCst);
    let partial = PartialSuccess { rejected, message: "no decisions here".to_owned() };
    let body = otlp::encode_response((rejected > 0).then_some(&partial), Encoding::Protobuf);
    ([(CONTENT_TYPE, Encoding::Protobuf.content_type())], body)
}

/// A log that was drained to a collector which refused every decision.
struct Node {
    _dir: TempDir,
    stack: Stack,
    client: Client,
    seen: Arc<Seen>,
    url: String,
}

impl Node {
    fn new(calls: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stack = Stack::new(dir.path(), Ports::free().unwrap());
        stack.load_demo_policy().unwrap();
        let client = Client::new().unwrap();
        let seen = Arc::new(Seen::default());
        seen.refuses_decisions.store(true, Ordering::SeqCst);
        seen.answers_left.store(usize::MAX, Ordering::SeqCst);
        let app = Router::new().route("/v1/logs", post(logs)).with_state(Arc::clone(&seen));
        let address = format!("127.0.0.1:{}", stack.ports.sink);
        let listener = client.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        client.spawn(async move { axum::serve(listener, app).await.unwrap() });
        let url = stack.sink_url();
        let node = Self { _dir: dir, stack, client, seen, url };
        node.call(calls);
        let drained = node.stack.drain().unwrap();
        assert_eq!(drained.code(), Some(9), "{drained:?}");
        node
    }

    fn call(&self, calls: usize) {
        let runtime = self.stack.runtime(&RuntimeOptions::default()).unwrap();
        for number in 0..calls {
            let params = json!({ "message": number.to_string() });
            let called = self.client.tool(&self.stack.runtime_url(), "tool.echo", &params);
            assert_eq!(called.unwrap().0, 200);
        }
        runtime.stop().unwrap();
    }

    fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec!["telemetry", "deadletter"];
        all.extend(args);
        if args[0] == "retry" {
            all.extend(["--endpoint", &*self.url, "--timeout", "1m"]);
        }
        all.extend(["--output", "json"]);
        all
    }

    fn run(&self, args: &[&str]) -> Finished {
        let wal_dir = self.stack.wal_dir();
        let mut all = self.args(args);
        all.extend(["--dir", wal_dir.to_str().unwrap()]);
        autonomy(&all).unwrap()
    }

    fn start(&self, args: &[&str]) -> Process {
        let mut command = program(Bin::Autonomy).unwrap();
        command.args(self.args(args)).arg("--dir").arg(self.stack.wal_dir());
        Process::start("retry", &mut command).unwrap()
    }

    /// The open letters.
    fn list(&self) -> Vec<Value> {
        let listed = self.run(&["list"]);
        assert_eq!(listed.code(), Some(0), "{listed:?}");
        let told: Value = serde_json::from_str(&listed.stdout).unwrap();
        let letters = told["dead_letters"].as_array().unwrap().clone();
        assert_eq!(told["count"], letters.len());
        letters
    }

    fn ids(&self) -> BTreeSet<String> {
        let letters = self.list();
        letters.iter().map(|it| it["event_id"].as_str().unwrap().to_owned()).collect()
    }

    fn file(&self) -> String {
        fs::read_to_string(self.stack.wal_dir().join("telemetry.deadletter.jsonl")).unwrap()
    }
}

#[track_caller]
fn report(finished: &Finished, code: i32) -> Value {
    assert_eq!(finished.code(), Some(code), "{finished:?}");
    serde_json::from_str(&finished.stdout).unwrap()
}

#[test]
fn refused_events_outlive_their_log_and_are_delivered_when_the_collector_takes_them() {
    let node = Node::new(4);
    let letters = node.list();
    assert_eq!(letters.len(), 4, "{letters:?}");
    let exported = node.stack.export().unwrap();
    for letter in &letters {
        let payload = letter["payload"].as_str().unwrap();
        assert!(exported.iter().any(|it| it == payload), "byte for byte: {payload}");
        assert_eq!(letter["text"], "no decisions here");
        assert_eq!(letter["attempts"], 1);
    }

    let again = report(&node.run(&["retry"]), 9);
    assert_eq!((&again["accepted"], &again["refused"]), (&json!(0), &json!(4)));
    assert!(node.list().iter().all(|it| it["attempts"] == 2));

    // The log goes to the archive, and the archive goes away.
    let wal_dir = node.stack.wal_dir();
    let archived = autonomy(&["wal", "archive", "--dir", wal_dir.to_str().unwrap()]).unwrap();
    assert_eq!(archived.code(), Some(0), "{archived:?}");
    fs::remove_dir_all(wal_dir.join("archive")).unwrap();
    assert!(node.stack.export().unwrap().iter().all(|it| !it.contains("autonomy.decision")));

    let ids = node.ids();
    node.seen.refuses_decisions.store(false, Ordering::SeqCst);
    let done = report(&node.run(&["retry"]), 0);
    assert_eq!((&done["accepted"], &done["pending"]), (&json!(4), &json!(0)));
    assert_eq!(node.list(), Vec::<Value>::new());
    assert_eq!(node.file(), "", "what is delivered leaves the file");
    let accepted = node.seen.accepted();
    assert!(ids.iter().all(|it| accepted[it] == 1), "{accepted:?}");
    assert_eq!(report(&node.run(&["retry"]), 0)["queued"], 0);
}

#[test]
fn a_retry_killed_in_the_middle_repeats_only_the_batch_in_flight() {
    let node = Node::new(8);
    let ids = node.ids();
    assert_eq!(ids.len(), 8);
    node.seen.refuses_decisions.store(false, Ordering::SeqCst);
    node.seen.answers_left.store(2, Ordering::SeqCst);
    let retry = node.start(&["retry", "--batch", "2"]);
    let silent = || node.seen.silent.load(Ordering::SeqCst).then_some(());
    eventually("the third batch is in flight", silent).unwrap();

    let busy = node.run(&["purge", "--all", "--reason", "a test"]);
    assert_eq!(busy.code(), Some(75), "{busy:?}");
    assert!(busy.stdout.contains(&format!("is drained by pid {}", retry.id())), "{busy:?}");
    assert_eq!(node.ids().len(), 4, "two batches are recorded");
    retry.kill().unwrap();

    assert_eq!(node.ids().len(), 4);
    node.seen.answers_left.store(usize::MAX, Ordering::SeqCst);
    let done = report(&node.run(&["retry", "--batch", "2"]), 0);
    assert_eq!((&done["queued"], &done["accepted"]), (&json!(4), &json!(4)));
    assert_eq!(node.ids(), BTreeSet::new());
    let accepted = node.seen.accepted();
    let times: Vec<_> = ids.iter().map(|it| accepted[it]).collect();
    assert_eq!(times.iter().filter(|it| **it == 1).count(), 6, "{times:?}");
    assert_eq!(times.iter().filter(|it| **it == 2).count(), 2, "{times:?}");
}

#[test]
fn what_is_purged_is_gone_for_a_reason_that_stays() {
    let node = Node::new(3);
    let ids: Vec<_> = node.ids().into_iter().collect();
    let reason = "ticket 4711";
    for args in [
        &["purge", "--all"][..],
        &["purge", "--event-id", &*ids[0]],
        &["purge", "--reason", reason],
        &["purge", "--all", "--reason", " "],
    ] {
        assert_eq!(node.run(args).code(), Some(2), "{args:?}");
    }
    let unknown = node.run(&["purge", "--event-id", "n:w:1", "--reason", reason]);
    assert_eq!(unknown.code(), Some(5), "{unknown:?}");
    let old = report(&node.run(&["purge", "--before", "1h", "--reason", reason]), 0);
    assert_eq!((&old["purged"], &old["open"]), (&json!(0), &json!(3)));

    let one = report(&node.run(&["purge", "--event-id", &ids[0], "--reason", reason]), 0);
    assert_eq!((&one["purged"], &one["open"]), (&json!(1), &json!(2)));
    assert_eq!(node.ids(), ids[1..].iter().cloned().collect());
    let file = node.file();
    let record = file.lines().find(|it| it.contains(&ids[0])).unwrap();
    let record: Value = serde_json::from_str(record).unwrap();
    assert_eq!((&record["reason"], &record["payload"]), (&json!(reason), &Value::Null));

    let rest = report(&node.run(&["purge", "--all", "--reason", reason]), 0);
    assert_eq!((&rest["purged"], &rest["open"]), (&json!(2), &json!(0)));
    assert_eq!(node.file().lines().count(), 3, "one record for each");
    assert_eq!(report(&node.run(&["retry"]), 0)["queued"], 0);
    assert_eq!(report(&node.run(&["purge", "--delivered"]), 0)["purged"], 0);
    assert_eq!(node.file().lines().count(), 3, "a record is never removed");
}
