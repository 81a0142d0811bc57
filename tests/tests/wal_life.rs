//! The life of a log with the real program: archived, repaired, sealed.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test; a missing JSON key reads as null"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use e2e::harness::{
    Bin, Client, Finished, Ports, Process, RuntimeOptions, Stack, autonomy, eventually, program,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A key made by `openssl genpkey -algorithm ed25519` for this test.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIBnb6dsGpPp/hhZc+mqc3aQviQH8qwf1qQC0HC0wf6kT\n-----END PRIVATE KEY-----\n";

/// Its public half, as `openssl pkey -pubout` prints it.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAIQaV2Mc42K3SZsngg1m5AnJLsAXlGP4KKVUdO+06IeY=\n-----END PUBLIC KEY-----\n";

/// The public half of another key.
const OTHER_PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAcmZDKb0cPc4/PZWdZuOyg5lzyK7rbTyj9TRWAswRUW8=\n-----END PUBLIC KEY-----\n";

/// A log directory, and what runs over it.
struct Node {
    dir: TempDir,
    stack: Stack,
    client: Client,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stack = Stack::new(dir.path(), Ports::free().unwrap());
        stack.load_demo_policy().unwrap();
        Self { dir, stack, client: Client::new().unwrap() }
    }

    fn runtime(&self) -> Process {
        self.stack.runtime(&RuntimeOptions::default()).unwrap()
    }

    fn call(&self, count: usize) {
        for number in 0..count {
            let (status, _) = self
                .client
                .tool(
                    &self.stack.runtime_url(),
                    "tool.echo",
                    &json!({ "message": number.to_string() }),
                )
                .unwrap();
            assert_eq!(status, 200);
        }
    }

    /// Runs `autonomy wal <args> --dir … --output json`.
    fn wal(&self, args: &[&str]) -> Finished {
        let dir = self.stack.wal_dir();
        let mut all = vec!["wal"];
        all.extend(args);
        all.extend(["--dir", dir.to_str().unwrap(), "--output", "json"]);
        autonomy(&all).unwrap()
    }

    #[track_caller]
    fn done(&self, args: &[&str]) -> Value {
        let finished = self.wal(args);
        assert_eq!(finished.code(), Some(0), "{finished:?}");
        serde_json::from_str(&finished.stdout).unwrap()
    }

    #[track_caller]
    fn refused(&self, args: &[&str], exit: i32, code: &str) {
        let finished = self.wal(args);
        assert_eq!(finished.code(), Some(exit), "{finished:?}");
        let error: Value = serde_json::from_str(&finished.stdout).unwrap();
        assert_eq!(error["error"]["code"], code);
        assert!(error["error"]["hint"].is_string(), "{error}");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.stack.wal_dir().join(name)).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.stack.wal_dir().join(name), bytes).unwrap();
    }

    fn entries(&self) -> Vec<Value> {
        let lines = self.stack.export().unwrap();
        lines.iter().map(|it| serde_json::from_str(it).unwrap()).collect()
    }

    /// Starts a sink that writes to `out`.
    fn sink(&self, out: &Path) -> Process {
        let mut command = program(Bin::Sink).unwrap();
        let address = self.stack.sink_url().replace("http://", "");
        command.args(["--listen", &address, "--out"]).arg(out);
        let mut process = Process::start("otel-sink", &mut command).unwrap();
        process.wait_for("otel-sink listening").unwrap();
        process
    }
}

#[test]
fn a_call_is_found_in_the_archive_and_what_was_not_looked_at_is_said() {
    let node = Node::new();
    let call = |message: &str| {
        let params = json!({ "message": message });
        let (status, answer) =
            node.client.tool(&node.stack.runtime_url(), "tool.echo", &params).unwrap();
        assert_eq!(status, 200);
        answer.audit_id
    };
    let asked = |id: &str| {
        let url = format!("{}/v1/decisions/{id}", node.stack.runtime_url());
        let (status, body) = node.client.get(&url).unwrap();
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let sink = node.sink(&node.dir.path().join("sink.jsonl"));
    let mut archived = Vec::new();
    for message in ["first", "second"] {
        let runtime = node.runtime();
        let id = call(message);
        runtime.stop().unwrap();
        assert_eq!(node.stack.drain().unwrap().code(), Some(0));
        let wal_id = node.done(&["archive"])["archived"]["wal_id"].as_str().unwrap().to_owned();
        archived.push((message, id, wal_id));
    }
    sink.stop().unwrap();
    let runtime = node.runtime();
    for (message, id, wal_id) in &archived {
        let (status, found) = asked(id);
        assert_eq!((status, &found["archived"]), (200, &json!(wal_id)), "{found}");
        let entries = found["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 2, "{found}");
        assert_eq!(entries[0]["event"]["attrs"]["params"]["message"], *message);
        assert_eq!(entries[1]["event"]["attrs"]["outcome"], "ok");
    }
    let live = call("live");
    let (status, found) = asked(&live);
    assert_eq!((status, found.get("archived")), (200, None), "{found}");

    let nobody = "5e0c6fd8-8a94-4f3c-9d0d-0a9ad2d0a6a1";
    let searched = |archived: usize, not_searched: usize, unreadable: usize| {
        json!({
            "complete": not_searched + unreadable == 0,
            "archived_logs": archived,
            "not_searched": not_searched,
            "unreadable": unreadable,
        })
    };
    let (status, problem) = asked(nobody);
    assert_eq!((status, &problem["code"]), (404, &json!("CALL_NOT_FOUND")));
    assert_eq!(problem["searched"], searched(2, 0, 0), "{problem}");
    // The newest does not unpack: the one before it is still found, and nobody knows about others.
    let [(_, first, _), (_, second, newest)] = &archived[..] else { unreachable!() };
    let pack = format!("archive/telemetry-{newest}.wal.zst");
    let mut bytes = node.read(&pack);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    node.write(&pack, &bytes);
    assert_eq!(asked(first).0, 200);
    assert_eq!(asked(second).1["searched"], searched(1, 0, 1));
    fs::remove_file(node.stack.wal_dir().join(format!("archive/telemetry-{newest}.json"))).unwrap();
    assert_eq!(asked(nobody).1["searched"], searched(1, 1, 0));
    runtime.stop().unwrap();
}

#[test]
fn a_delivered_log_is_archived_and_the_next_one_goes_on() {
    let node = Node::new();
    let runtime = node.runtime();
    node.call(3);
    node.refused(&["archive"], 75, "WAL_LOCKED");
    for (args, next) in [
        (&["archive"][..], "archives its log by itself above --wal-max-bytes"),
        (&["repair", "--reason", "x"], "stop the runtime"),
    ] {
        let locked: Value = serde_json::from_str(&node.wal(args).stdout).unwrap();
        let hint = locked["error"]["hint"].as_str().unwrap();
        assert!(hint.contains(next) && !hint.contains("--wal-dir"), "{hint}");
    }
    runtime.stop().unwrap();
    node.refused(&["archive"], 6, "WAL_NOT_DRAINED");

    let out = node.dir.path().join("sink.jsonl");
    let sink = node.sink(&out);
    assert_eq!(node.stack.drain().unwrap().code(), Some(0));
    let before = node.entries();
    let archived = node.done(&["archive"]);
    assert_eq!(archived["archived"]["entries"], before.len());
    assert_eq!(archived["packed"][0]["wal_id"], archived["archived"]["wal_id"]);
    assert_eq!(archived["failed"], json!([]));
    let id = archived["archived"]["wal_id"].as_str().unwrap();
    let names = |dir: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(node.stack.wal_dir().join(dir)).unwrap();
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
    };
    let want = [format!("telemetry-{id}.json"), format!("telemetry-{id}.wal.zst")];
    assert_eq!(names("archive"), want.into());
    let manifest: Value =
        serde_json::from_slice(&node.read(&format!("archive/telemetry-{id}.json"))).unwrap();
    assert_eq!(manifest["last_chain"], before.last().unwrap()["chain"]);

    // Nothing new: nothing to do.
    let again = node.done(&["archive"]);
    assert_eq!((&again["archived"], &again["packed"]), (&Value::Null, &json!([])));

    let runtime = node.runtime();
    node.call(2);
    runtime.stop().unwrap();
    let after = node.entries();
    let birth = &after[0]["event"]["attrs"];
    assert_eq!(birth["origin"], "rollover");
    assert_eq!(birth["previous_wal_id"], id);
    assert_eq!(birth["previous_chain"], manifest["last_chain"]);
    assert_eq!(birth["node"], before[0]["event"]["attrs"]["node"]);

    assert_eq!(node.stack.drain().unwrap().code(), Some(0));
    sink.stop().unwrap();
    let lines = fs::read_to_string(&out).unwrap();
    let ids: Vec<String> = lines
        .lines()
        .map(|it| serde_json::from_str::<Value>(it).unwrap()["event_id"].to_string())
        .collect();
    assert_eq!(ids.len(), before.len() + after.len());
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "each is there once");

    let pruned = node.done(&["archive", "--keep-bytes", "1"]);
    assert_eq!(pruned["deleted"].as_array().unwrap().len(), 2);
    assert!(names("archive").is_empty());
}

#[test]
fn a_damaged_log_is_put_aside_and_the_runtime_goes_on() {
    let node = Node::new();
    let runtime = node.runtime();
    node.call(3);
    runtime.stop().unwrap();
    node.refused(&["repair", "--dry-run"], 6, "WAL_NOT_DAMAGED");
    node.refused(&["repair", "--reason", "no need"], 6, "WAL_NOT_DAMAGED");

    let mut log = node.read("telemetry.wal");
    let at = log.len() / 2;
    log[at] ^= 1;
    node.write("telemetry.wal", &log);
    node.refused(&["archive"], 8, "WAL_CORRUPT_CHAIN");
    let plan = node.done(&["repair", "--dry-run"]);
    assert_eq!(plan["code"], "WAL_CORRUPT_CHAIN");
    assert_eq!(node.read("telemetry.wal"), log, "a dry run changes nothing");
    assert!(!node.stack.wal_dir().join("damaged").exists());
    node.refused(&["repair", "--reason", " "], 2, "REPAIR_REASON_MISSING");
    assert_eq!(node.wal(&["repair"]).code(), Some(2), "either a reason or a dry run");

    let repaired = node.done(&["repair", "--reason", "ticket 4711", "--operator", "ada"]);
    assert_eq!(repaired["result"], "WAL_REPAIRED");
    assert_eq!(repaired["first_bad_seq"], plan["first_bad_seq"]);
    let aside = repaired["aside"].as_str().unwrap();
    assert_eq!(node.read(&format!("{aside}/telemetry.wal")), log);

    let runtime = node.runtime();
    node.call(1);
    runtime.stop().unwrap();
    let entries = node.entries();
    assert_eq!(entries[0]["event"]["attrs"]["previous_wal_id"], plan["previous_wal_id"]);
    let record = &entries[1]["event"]["attrs"];
    assert_eq!(record["event"], "wal.repaired");
    assert_eq!((&record["reason"], &record["operator"]), (&json!("ticket 4711"), &json!("ada")));
    assert_eq!(record["aside"], aside);
}

#[test]
fn a_log_is_sealed_while_the_runtime_writes_and_a_shorter_one_is_noticed() {
    let node = Node::new();
    let key = node.dir.path().join("seal.pem");
    fs::write(&key, KEY).unwrap();
    let key = key.to_str().unwrap();
    let runtime = node.runtime();
    node.call(3);
    let sealed = node.done(&["seal", "--key", key]);
    let entries = node.entries();
    let seq = usize::try_from(sealed["seq"].as_u64().unwrap()).unwrap();
    assert_eq!(sealed["chain"], entries[seq - 1]["chain"]);
    runtime.stop().unwrap();
    node.refused(&["seal", "--key", "/dev/null"], 2, "SEAL_KEY_INVALID");

    // The log loses its end together with its safe point: only the seal can tell.
    let log = node.read("telemetry.wal");
    let first = 4 + usize::try_from(u32::from_be_bytes(log[..4].try_into().unwrap())).unwrap();
    node.write("telemetry.wal", &log[..first]);
    node.write("telemetry.safe_seq", &1_u64.to_le_bytes());
    assert_eq!(node.done(&["status"])["health"], "ok");
    node.refused(&["seal", "--key", key], 8, "SEAL_CONTRADICTED");
}

#[test]
fn a_seal_is_checked_when_a_log_is_verified() {
    let node = Node::new();
    let path = |name: &str| node.dir.path().join(name).display().to_string();
    let (key, public, other) = (path("seal.pem"), path("pub.pem"), path("other.pem"));
    fs::write(&key, KEY).unwrap();
    fs::write(&public, PUBLIC_KEY).unwrap();
    fs::write(&other, OTHER_PUBLIC_KEY).unwrap();
    let runtime = node.runtime();
    node.call(3);
    runtime.stop().unwrap();
    node.refused(&["verify", "--pub", &public], 5, "SEAL_NOT_FOUND");
    node.done(&["seal", "--key", &key]);
    let verified = node.done(&["verify", "--pub", &public]);
    assert_eq!(verified["result"], "ok");
    assert_eq!(verified["seal"], "holds, by the key of --pub");
    node.refused(&["verify", "--pub", &other], 8, "SEAL_KEY_MISMATCH");

    // A log that was shortened and looks whole is shorter than its seal says.
    let log = node.read("telemetry.wal");
    let first = 4 + usize::try_from(u32::from_be_bytes(log[..4].try_into().unwrap())).unwrap();
    node.write("telemetry.wal", &log[..first]);
    node.write("telemetry.safe_seq", &1_u64.to_le_bytes());
    let damaged = node.wal(&["verify", "--pub", &public]);
    assert_eq!(damaged.code(), Some(8), "{damaged:?}");
    let damaged: Value = serde_json::from_str(&damaged.stdout).unwrap();
    assert_eq!((&damaged["kind"], &damaged["seq"]), (&json!("truncate"), &json!(2)));
}

#[test]
fn a_long_log_goes_to_the_archive_by_itself_once_it_is_delivered() {
    let node = Node::new();
    let sink = node.sink(&node.dir.path().join("sink.jsonl"));
    let mut command = node.stack.runtime_command(&RuntimeOptions::default()).unwrap();
    command.args(["--wal-max-bytes", "4KiB", "--archive-keep", "30d,1GiB"]);
    let mut runtime = Process::start("runtime", &mut command).unwrap();
    runtime.wait_for("runtime listening").unwrap();
    node.call(20);
    let status = format!("{}/v1/status", node.stack.runtime_url());
    let before = node.client.get_json(&status).unwrap()["wal"]["wal_id"].clone();
    let answered = node.entries();
    assert_eq!(node.stack.drain().unwrap().code(), Some(0));

    runtime.wait_for("log packed").unwrap();
    let after = node.client.get_json(&status).unwrap()["wal"]["wal_id"].clone();
    assert_ne!(before, after);
    node.call(2);
    let live = node.entries();
    let birth = &live[0]["event"]["attrs"];
    assert_eq!((&birth["origin"], &birth["previous_wal_id"]), (&json!("rollover"), &before));
    assert_eq!(live[0]["event"]["attrs"]["previous_chain"], answered.last().unwrap()["chain"]);
    let archived = format!("archive/telemetry-{}.json", before.as_str().unwrap());
    let manifest: Value = serde_json::from_slice(&node.read(&archived)).unwrap();
    assert_eq!(manifest["entries"], json!(answered.len()));
    // What comes after is delivered from the new log, and nothing twice.
    assert_eq!(node.stack.drain().unwrap().code(), Some(0));
    runtime.stop().unwrap();
    sink.stop().unwrap();
    let sent = fs::read_to_string(node.dir.path().join("sink.jsonl")).unwrap();
    let ids: Vec<_> = sent
        .lines()
        .map(|it| serde_json::from_str::<Value>(it).unwrap()["event_id"].to_string())
        .collect();
    let unique: BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "an event was sent twice");
    assert_eq!(ids.len(), answered.len() + live.len());
}

#[test]
fn a_log_that_is_never_at_rest_goes_to_the_archive_all_the_same() {
    let node = Node::new();
    let out = node.dir.path().join("sink.jsonl");
    let sink = node.sink(&out);
    let mut command = node.stack.runtime_command(&RuntimeOptions::default()).unwrap();
    command.args(["--wal-max-bytes", "4KiB"]);
    let mut runtime = Process::start("runtime", &mut command).unwrap();
    runtime.wait_for("runtime listening").unwrap();
    let (done, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let drained = || assert_eq!(node.stack.drain().unwrap().code(), Some(0));
    let call_on = || {
        while !done.load(Ordering::Relaxed) {
            node.call(1);
            calls.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(call_on);
        }
        let archived = eventually("the log is archived under traffic", || {
            drained();
            runtime.output().contains("log packed").then_some(())
        });
        done.store(true, Ordering::Relaxed);
        archived.unwrap();
    });
    let answered = calls.load(Ordering::Relaxed);
    runtime.stop().unwrap();
    drained();
    sink.stop().unwrap();
    // Every entry of every log was sent, and each once.
    let sent = fs::read_to_string(&out).unwrap();
    let records: Vec<Value> = sent.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let ids: BTreeSet<_> = records.iter().map(|it| it["event_id"].to_string()).collect();
    assert_eq!(ids.len(), records.len(), "an event was sent twice");
    let archive = fs::read_dir(node.stack.wal_dir().join("archive")).unwrap();
    let manifests = archive.map(|it| it.unwrap().path());
    let archived: u64 = manifests
        .filter(|it| it.extension().is_some_and(|it| it == "json"))
        .map(|it| serde_json::from_slice::<Value>(&fs::read(it).unwrap()).unwrap())
        .map(|it| it["entries"].as_u64().unwrap())
        .sum();
    let live = node.entries();
    assert_eq!(records.len() as u64, archived + live.len() as u64);
    assert!(records.len() > 2 * answered, "two entries for each of {answered} calls");
}

#[test]
fn a_log_with_an_open_call_is_not_archived() {
    let node = Node::new();
    let sink = node.sink(&node.dir.path().join("sink.jsonl"));
    let runtime = node.runtime();
    node.call(1);
    runtime.kill().unwrap();
    // The outcome of the call is lost, as when the process dies between decision and outcome.
    let log = node.read("telemetry.wal");
    let count = node.entries().len();
    let mut at = 0;
    for _ in 1..count {
        let len = u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
        at += 4 + usize::try_from(len).unwrap();
    }
    node.write("telemetry.wal", &log[..at]);
    node.write("telemetry.safe_seq", &(count as u64 - 1).to_le_bytes());
    assert_eq!(node.stack.drain().unwrap().code(), Some(0));
    // Whoever holds the log may be about to record an outcome, or another call.
    let held = fs::File::create(node.stack.wal_dir().join("telemetry.lock")).unwrap();
    held.lock().unwrap();
    node.refused(&["archive"], 75, "WAL_LOCKED");
    drop(held);
    node.refused(&["archive"], 6, "CALLS_OPEN");
    // The next start says that the outcome is unknown; then nothing is open any more.
    node.runtime().stop().unwrap();
    assert_eq!(node.stack.drain().unwrap().code(), Some(0));
    node.done(&["archive"]);
    sink.stop().unwrap();
}

#[test]
fn a_switch_of_another_log_is_refused_until_it_is_repaired() {
    let node = Node::new();
    let runtime = node.runtime();
    node.call(2);
    runtime.stop().unwrap();
    // A switch of another log: nothing here fits it.
    let switch = include_bytes!("../../crates/wal-format/tests/golden/switch-archive.json");
    node.write("telemetry.switch", switch);
    let status = node.wal(&["status"]);
    assert_eq!(status.code(), Some(8));
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["health"], "WAL_SWITCH_BROKEN");
    let mut command = node.stack.runtime_command(&RuntimeOptions::default()).unwrap();
    let refused = e2e::harness::run_to_end(&mut command).unwrap();
    assert_eq!(refused.code(), Some(8), "{refused:?}");
    assert!(refused.stderr.contains("FATAL wal recovery failed: WAL_SWITCH_BROKEN: "));
    node.done(&["repair", "--reason", "a file of another log"]);
    let runtime = node.runtime();
    node.call(1);
    runtime.stop().unwrap();
}

#[test]
fn a_call_without_an_outcome_is_unknown_also_after_a_repair() {
    let node = Node::new();
    let runtime = node.runtime();
    node.call(2);
    runtime.kill().unwrap();
    // The outcome of the last call is lost, and the log is damaged before its decision.
    let entries = node.entries();
    let decision = entries.iter().rfind(|it| it["event"]["kind"] == "autonomy.decision").unwrap();
    let mut log = node.read("telemetry.wal");
    let count = entries.len();
    let mut at = 0;
    for _ in 1..count {
        let len = u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
        at += 4 + usize::try_from(len).unwrap();
    }
    log.truncate(at);
    for (damage_at, behind) in [(200, json!(true)), (at - 80, json!(true))] {
        let mut damaged = log.clone();
        damaged[damage_at] ^= 1;
        node.write("telemetry.wal", &damaged);
        node.write("telemetry.safe_seq", &(count as u64 - 1).to_le_bytes());
        let repaired = node.done(&["repair", "--reason", "a test"]);
        assert_eq!(repaired["calls_unknown"], 1, "{repaired}");
        let runtime = node.runtime();
        runtime.stop().unwrap();
        let unknown: Vec<_> = node
            .entries()
            .into_iter()
            .filter(|it| it["event"]["attrs"]["outcome"] == "unknown")
            .collect();
        assert_eq!(unknown.len(), 1, "said once, and not again by the start: {unknown:?}");
        let said = &unknown[0]["event"]["attrs"];
        assert_eq!(said["audit_id"], decision["event"]["attrs"]["audit_id"]);
        assert_eq!(said["decision_seq"], decision["seq"]);
        assert_eq!(said["behind_damage"], behind);
    }
}
