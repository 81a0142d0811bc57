//! `--on-corruption quarantine`, with the real program: up, denying, and the log as it was.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test; a missing JSON key reads as null"
)]

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt as _, path::Path};

use e2e::harness::{Client, Ports, Process, RuntimeOptions, Stack, run_to_end};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

const QUARANTINE: RuntimeOptions<'static> =
    RuntimeOptions { env: &[], args: &["--on-corruption", "quarantine"] };
const EXIT: RuntimeOptions<'static> = RuntimeOptions { env: &[], args: &[] };
const RESET: &[(&str, &str)] = &[("AUTONOMYOPS_WAL_OPERATOR_RESET", "1")];

/// A node that ran, answered calls, was drained once, and stopped.
struct Node {
    _dir: TempDir,
    stack: Stack,
    client: Client,
}

impl Node {
    fn used() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stack = Stack::new(dir.path(), Ports::free().unwrap());
        stack.load_demo_policy().unwrap();
        let node = Self { _dir: dir, stack, client: Client::new().unwrap() };
        let runtime = node.stack.runtime(&EXIT).unwrap();
        for _ in 0..3 {
            assert_eq!(node.echo().0, 200);
        }
        runtime.stop().unwrap();
        // Evidence of use, as a drain leaves it.
        fs::write(node.file("telemetry.pos"), 1_u64.to_le_bytes()).unwrap();
        node
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.stack.wal_dir().join(name)
    }

    /// A call that the loaded policy allows.
    fn echo(&self) -> (u16, Value) {
        let body = json!({ "kind": "tool.echo", "params": { "message": "hi" } }).to_string();
        self.post("/v1/tool", body)
    }

    fn post(&self, path: &str, body: String) -> (u16, Value) {
        let url = format!("{}{path}", self.stack.runtime_url());
        let (status, text) = self.client.post(&url, body).unwrap();
        (status, serde_json::from_str(&text).unwrap())
    }

    fn get(&self, path: &str) -> String {
        self.client.get(&format!("{}{path}", self.stack.runtime_url())).unwrap().1
    }

    fn flip(&self, name: &str, at: usize) {
        let mut bytes = fs::read(self.file(name)).unwrap();
        bytes[at] ^= 1;
        fs::write(self.file(name), bytes).unwrap();
    }
}

/// Names, contents and times in a directory. The lock is left out: a start writes its holder there.
fn files(dir: &Path) -> BTreeMap<String, (Vec<u8>, i64, i64)> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let entries = entries.filter(|it| it.file_name() != "telemetry.lock");
    let state = |path: &Path| {
        let meta = fs::metadata(path).unwrap();
        (fs::read(path).unwrap(), meta.mtime(), meta.mtime_nsec())
    };
    entries.map(|it| (it.file_name().into_string().unwrap(), state(&it.path()))).collect()
}

/// The log line with this message.
fn line(runtime: &mut Process, msg: &str) -> Value {
    serde_json::from_str(&runtime.wait_for(msg).unwrap()).unwrap()
}

/// A fault, its code, and the first bad entry.
type Fault = (fn(&Node), &'static str, Option<u64>);

#[test]
fn whatever_is_wrong_with_the_log_every_call_is_denied_with_the_cause_and_nothing_is_written() {
    let faults: [Fault; 5] = [
        (|it| fs::remove_file(it.file("telemetry.safe_seq")).unwrap(), "SAFESEQ_NOT_FOUND", None),
        (|it| fs::write(it.file("telemetry.safe_seq"), b"7").unwrap(), "SAFESEQ_CORRUPT", None),
        (|it| it.flip("telemetry.wal", 60), "WAL_CORRUPT_CHAIN", Some(1)),
        (|it| fs::write(it.file("telemetry.wal"), b"").unwrap(), "SAFESEQ_GT_MAXSEQ", Some(1)),
        (|it| it.flip("telemetry.wal", 0), "WAL_CORRUPT_FRAME", Some(1)),
    ];
    let node = Node::used();
    let backup = files(&node.stack.wal_dir());
    for (fault, code, seq) in faults {
        for (name, (bytes, ..)) in &backup {
            fs::write(node.file(name), bytes).unwrap();
        }
        fault(&node);
        denies(&node, code, seq);
    }
}

#[track_caller]
fn denies(node: &Node, code: &str, seq: Option<u64>) {
    let before = files(&node.stack.wal_dir());
    let mut runtime = node.stack.runtime(&QUARANTINE).unwrap();
    let error = line(&mut runtime, "WAL_RECOVERY_FAIL_HARD");
    assert_eq!((&error["level"], &error["cause"]), (&json!("ERROR"), &json!(code)));
    let warn = line(&mut runtime, "WAL_QUARANTINE");
    assert_eq!((&warn["level"], &warn["cause"]), (&json!("WARN"), &json!(code)));
    assert_eq!(node.get("/health"), r#"{"status":"ok","mode":"quarantine"}"#);

    for _ in 0..3 {
        let (status, answer) = node.echo();
        assert_eq!((status, &answer["decision"]), (503, &json!("deny")), "{answer}");
        assert_eq!(answer["code"], code);
        assert_eq!(answer["reason"], error["error"]);
        assert_eq!((answer.get("seq"), answer.get("output")), (None, None), "{answer}");
    }
    let status: Value = serde_json::from_str(&node.get("/v1/status")).unwrap();
    assert_eq!(status["mode"], "quarantine");
    assert_eq!(
        (&status["wal"]["health"], &status["wal"]["error"]),
        (&json!(code), &error["error"])
    );
    assert_eq!(status["wal"]["seq"].as_u64(), seq);
    assert_eq!(status["wal"]["offset"].is_u64(), seq.is_some());
    let (refused, problem) = node.post("/v1/policy/reload", String::new());
    assert_eq!((refused, &problem["code"]), (409, &json!("WAL_QUARANTINE")), "{problem}");
    runtime.signal(Signal::HUP).unwrap();
    assert_eq!(line(&mut runtime, "policy not replaced")["cause"], code);

    runtime.stop().unwrap();
    assert_eq!(files(&node.stack.wal_dir()), before, "{code}: the directory was changed");
    let ended = run_to_end(&mut node.stack.runtime_command(&EXIT).unwrap()).unwrap();
    assert_eq!(ended.code(), Some(8), "without the option the same log ends the process");
}

#[test]
fn an_operator_repairs_while_it_denies_and_the_next_start_goes_on() {
    let node = Node::used();
    node.flip("telemetry.wal", 60);
    let denying = node.stack.runtime(&QUARANTINE).unwrap();
    assert_eq!(node.echo().0, 503);

    // The lock is free for whoever repairs: here, a second node takes the directory over.
    for name in ["telemetry.wal", "telemetry.safe_seq"] {
        fs::remove_file(node.file(name)).unwrap();
    }
    let beside = Stack::new(&node.stack.dir, Ports::free().unwrap());
    let options = RuntimeOptions { env: RESET, args: QUARANTINE.args };
    let mut repaired = beside.runtime(&options).unwrap();
    repaired.wait_for("WAL_RESET_BY_OPERATOR").unwrap();
    repaired.stop().unwrap();

    assert_eq!(node.echo().0, 503, "only a new start ends the quarantine");
    denying.stop().unwrap();
    let runtime = node.stack.runtime(&QUARANTINE).unwrap();
    assert_eq!(node.get("/health"), r#"{"status":"ok","mode":"normal"}"#);
    assert_eq!(node.echo().0, 200);
    runtime.stop().unwrap();
}

#[test]
fn what_is_no_violation_ends_the_process_with_and_without_the_option() {
    let node = Node::used();
    let runtime = node.stack.runtime(&EXIT).unwrap();
    let beside = Stack::new(&node.stack.dir, Ports::free().unwrap());
    let locked = run_to_end(&mut beside.runtime_command(&QUARANTINE).unwrap()).unwrap();
    assert_eq!(locked.code(), Some(75), "{locked:?}");
    assert!(locked.stderr.contains("WAL_LOCKED"), "{locked:?}");
    runtime.stop().unwrap();

    fs::remove_file(node.file("telemetry.wal")).unwrap();
    fs::create_dir(node.file("telemetry.wal")).unwrap();
    let broken = run_to_end(&mut node.stack.runtime_command(&QUARANTINE).unwrap()).unwrap();
    assert_eq!(broken.code(), Some(1), "{broken:?}");
    assert!(broken.stderr.contains("WAL_IO"), "{broken:?}");
}
