//! Delivery with the real programs: in the background, following, and while logs are replaced.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test; a missing JSON key reads as null"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
    path::PathBuf,
};

use e2e::harness::{
    Bin, Client, Ports, Process, RuntimeOptions, Stack, autonomy, eventually, program,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A node, and the sink that it delivers to.
struct Node {
    _dir: TempDir,
    stack: Stack,
    client: Client,
    out: PathBuf,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stack = Stack::new(dir.path(), Ports::free().unwrap());
        stack.load_demo_policy().unwrap();
        let out = dir.path().join("sink.jsonl");
        Self { _dir: dir, stack, client: Client::new().unwrap(), out }
    }

    fn runtime(&self, args: &[&str]) -> Process {
        let url = self.stack.sink_url();
        let mut all = vec!["--otlp-endpoint", &url];
        all.extend(args);
        self.stack.runtime(&RuntimeOptions { args: &all, env: &[] }).unwrap()
    }

    fn sink(&self) -> Process {
        let mut command = program(Bin::Sink).unwrap();
        let address = self.stack.sink_url().replace("http://", "");
        command.args(["--listen", &address, "--out"]).arg(&self.out);
        let mut process = Process::start("otel-sink", &mut command).unwrap();
        process.wait_for("otel-sink listening").unwrap();
        process
    }

    fn call(&self, count: usize) {
        let url = self.stack.runtime_url();
        for number in 0..count {
            let message = json!({ "message": number.to_string() });
            assert_eq!(self.client.tool(&url, "tool.echo", &message).unwrap().0, 200);
        }
    }

    fn status(&self) -> Value {
        self.client.get_json(&format!("{}/v1/status", self.stack.runtime_url())).unwrap()
    }

    /// Waits until everything is delivered.
    fn delivered(&self) {
        eventually("everything is delivered", || {
            let status = self.status();
            (status["wal"]["lag"] == 0 && status["exporter"]["state"] == "idle").then_some(())
        })
        .unwrap();
    }

    /// Event ids in the sink, and how often each came.
    fn received(&self) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        for line in fs::read_to_string(&self.out).unwrap_or_default().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            *times.entry(line["event_id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        times
    }

    /// Event ids of the live log and of every archived one.
    fn written(&self) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        let mut add = |wal_id: &str, last: u64| {
            ids.extend((1..=last).map(|seq| format!("demo-node:{wal_id}:{seq}")));
        };
        for file in self.archived() {
            let manifest: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
            add(manifest["wal_id"].as_str().unwrap(), manifest["entries"].as_u64().unwrap());
        }
        let dir = self.stack.wal_dir();
        let args = ["wal", "status", "--dir", dir.to_str().unwrap(), "--output", "json"];
        let status: Value = serde_json::from_str(&autonomy(&args).unwrap().stdout).unwrap();
        let log = &status["log"];
        add(log["wal_id"].as_str().unwrap(), log["entries"].as_u64().unwrap());
        ids
    }

    /// Makes calls until so many logs of 16 KiB are full, and waits until each is archived.
    fn fill_logs(&self, logs: usize) {
        for archived in 1..=logs {
            self.call(40);
            let look = || (self.archived().len() >= archived).then_some(());
            eventually("the log is archived", look).unwrap();
        }
    }

    fn archived(&self) -> Vec<PathBuf> {
        let Ok(files) = fs::read_dir(self.stack.wal_dir().join("archive")) else {
            return Vec::new();
        };
        let files = files.map(|it| it.unwrap().path());
        files.filter(|it| it.extension().is_some_and(|it| it == "json")).collect()
    }

    #[track_caller]
    fn everything_arrived_once(&self) {
        let received = self.received();
        assert!(received.values().all(|it| *it == 1), "{received:?}");
        assert_eq!(received.into_keys().collect::<BTreeSet<_>>(), self.written());
    }
}

#[test]
fn a_runtime_delivers_in_the_background_and_sends_its_last_words() {
    let node = Node::new();
    let sink = node.sink();
    let runtime = node.runtime(&[]);
    node.call(10);
    node.delivered();
    let status = node.status();
    assert_eq!(status["exporter"]["accepted"]["decision"], 10);
    assert_eq!(status["exporter"]["accepted"]["action"], 10);
    let metrics = node.client.get(&format!("{}/metrics", node.stack.runtime_url())).unwrap();
    assert_eq!(metrics.0, 200);
    for line in ["autonomy_export_accepted_total{class=\"decision\"} 10", "autonomy_wal_lag 0"] {
        assert!(metrics.1.lines().any(|it| it == line), "{line}: {}", metrics.1);
    }
    runtime.stop().unwrap();
    node.everything_arrived_once();
    sink.stop().unwrap();
}

#[test]
fn a_collector_that_is_away_stops_no_call_and_gets_everything_later() {
    let node = Node::new();
    let mut runtime = node.runtime(&[]);
    node.call(5);
    let error = eventually("the failure is seen", || {
        let status = node.status();
        (status["exporter"]["state"] == "waiting").then(|| status["exporter"]["last_error"].clone())
    })
    .unwrap();
    assert_eq!(error["code"], "UNREACHABLE");
    assert_eq!(node.status()["wal"]["lag"], node.status()["wal"]["last_seq"]);
    runtime.wait_for("events not delivered; the log keeps them").unwrap();
    node.call(5);

    let sink = node.sink();
    node.delivered();
    assert_eq!(node.status()["exporter"]["last_error"], Value::Null);
    runtime.stop().unwrap();
    node.everything_arrived_once();
    sink.stop().unwrap();
}

#[test]
fn a_runtime_ends_in_time_when_the_collector_hangs_and_names_itself_to_other_consumers() {
    let node = Node::new();
    let deaf = TcpListener::bind(node.stack.sink_url().replace("http://", "")).unwrap();
    let runtime = node.runtime(&[]);
    let id = runtime.id();
    // The connection is made, and never answered: the pass is under way.
    let (_held, _) = deaf.accept().unwrap();
    let refused = node.stack.drain().unwrap();
    assert_eq!(refused.code(), Some(75), "{refused:?}");
    assert!(refused.stderr.contains(&format!("the runtime, pid {id}")), "{refused:?}");
    runtime.stop().unwrap();
    drop(deaf);

    let sink = node.sink();
    assert_eq!(node.stack.drain().unwrap().code(), Some(0));
    node.everything_arrived_once();
    sink.stop().unwrap();
}

#[test]
fn logs_that_are_replaced_while_they_are_delivered_lose_and_repeat_nothing() {
    let node = Node::new();
    let sink = node.sink();
    let runtime = node.runtime(&["--wal-max-bytes", "16KiB"]);
    node.fill_logs(3);
    node.call(5);
    node.delivered();
    runtime.stop().unwrap();
    node.everything_arrived_once();
    sink.stop().unwrap();
}

#[test]
fn a_drain_that_follows_sends_as_entries_come_over_log_after_log() {
    let node = Node::new();
    let sink = node.sink();
    let runtime = node
        .stack
        .runtime(&RuntimeOptions { args: &["--wal-max-bytes", "16KiB"], env: &[] })
        .unwrap();
    let mut command = program(Bin::Autonomy).unwrap();
    command.args(["telemetry", "drain", "--follow", "--endpoint", &node.stack.sink_url()]);
    command.arg("--dir").arg(node.stack.wal_dir());
    let mut follower = Process::start("drain", &mut command).unwrap();
    follower.wait_for("[drain] batch 1 accepted").unwrap();
    node.fill_logs(2);
    runtime.stop().unwrap();
    let all = eventually("the last entry is sent", || {
        let (written, received) = (node.written(), node.received());
        written.iter().all(|it| received.contains_key(it)).then_some(written.len())
    })
    .unwrap();
    // The sink has an event a moment before its sender hears so.
    let said = |output: String| -> usize {
        let counts =
            output.lines().filter_map(|it| it.split_once(" accepted: ")?.1.split(' ').next());
        counts.filter_map(|it| it.parse::<usize>().ok()).sum()
    };
    eventually("the last answer is heard", || (said(follower.output()) == all).then_some(()))
        .unwrap();
    follower.signal(Signal::TERM).unwrap();
    assert!(follower.wait().unwrap().success());
    assert!(follower.output().contains(&format!("drain complete: {all} events sent")));
    node.everything_arrived_once();
    sink.stop().unwrap();
}

#[test]
fn a_killed_runtime_repeats_at_most_the_batch_in_flight() {
    let node = Node::new();
    let sink = node.sink();
    for _ in 0..5 {
        let runtime = node.runtime(&[]);
        node.call(30);
        runtime.kill().unwrap();
    }
    let runtime = node.runtime(&[]);
    node.delivered();
    runtime.stop().unwrap();
    let received = node.received();
    assert_eq!(received.keys().cloned().collect::<BTreeSet<_>>(), node.written());
    assert!(received.values().all(|it| *it <= 2), "{received:?}");
    sink.stop().unwrap();
}

#[test]
fn a_bridge_says_success_only_when_the_control_plane_has_stored_the_events() {
    let node = Node::new();
    let runtime = node.stack.runtime(&RuntimeOptions::default()).unwrap();
    node.call(10);
    runtime.stop().unwrap();
    let mut command = program(Bin::Autonomy).unwrap();
    let address = node.stack.sink_url().replace("http://", "");
    let forward = format!("{}/v1/events", node.stack.orchestrator_url());
    command.args(["telemetry", "bridge", "--listen", &address, "--forward-url", &forward]);
    let mut bridge = Process::start("bridge", &mut command).unwrap();
    bridge.wait_for("telemetry bridge listening").unwrap();

    let refused = node.stack.drain().unwrap();
    assert_eq!(refused.code(), Some(7), "{refused:?}");
    assert!(refused.stderr.contains("HTTP 503"), "{refused:?}");
    let control_plane = node.stack.orchestrator().unwrap();
    assert_eq!(node.stack.drain().unwrap().code(), Some(0));
    let url = format!("{}/v1/events?limit=500", node.stack.orchestrator_url());
    let stored = node.client.get_json(&url).unwrap();
    let ids = stored["events"].as_array().unwrap().iter();
    let ids: Vec<_> = ids.map(|it| it["event_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.iter().cloned().collect::<BTreeSet<_>>(), node.written());
    assert_eq!(ids.len(), node.written().len());
    bridge.stop().unwrap();
    control_plane.stop().unwrap();
}

#[test]
fn a_log_that_others_wrote_has_an_id_of_its_own_and_the_node_that_is_asked_for() {
    let node = Node::new();
    let sink = node.sink();
    let dir = node.stack.wal_dir();
    fs::create_dir_all(&dir).unwrap();
    let payloads = [
        r#"{"seq":1,"written_at":"2026-01-02T03:04:05Z","event":{"kind":"autonomy.action"}}"#,
        r#"{"seq":2,"written_at":"2026-01-02T03:04:06Z","event":{"kind":"autonomy.error"}}"#,
    ];
    let mut log = Vec::new();
    for payload in payloads {
        log.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        log.extend(payload.as_bytes());
    }
    fs::write(dir.join("telemetry.wal"), log).unwrap();
    fs::write(dir.join("telemetry.safe_seq"), 2_u64.to_le_bytes()).unwrap();
    let drain = |more: &[&str]| {
        let (dir, url) = (dir.to_str().unwrap(), node.stack.sink_url());
        let mut args = vec!["telemetry", "drain", "--dir", dir, "--endpoint", &url];
        args.extend(more);
        assert_eq!(autonomy(&args).unwrap().code(), Some(0));
    };
    drain(&["--node", "press-4", "--protocol", "http/json", "--compression", "gzip"]);
    let first = node.received();
    assert_eq!(first.len(), 2);
    let wal_ids: BTreeSet<_> =
        first.keys().map(|it| it.split(':').nth(1).unwrap().to_owned()).collect();
    assert_eq!(wal_ids.len(), 1);
    for seq in 1..=2 {
        let id = format!("press-4:{}:{seq}", wal_ids.first().unwrap());
        assert!(first.contains_key(&id), "{id}: {first:?}");
    }

    // Whoever looks again finds the same id: it comes from the first frame.
    fs::remove_file(dir.join("telemetry.cursors")).unwrap();
    fs::remove_file(dir.join("telemetry.pos")).unwrap();
    drain(&["--node", "press-4"]);
    assert!(node.received().values().all(|it| *it == 2));
    sink.stop().unwrap();
}
