//! Calls of a real runtime: swaps of the policy under load, the end with a call in work, what is on record.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test; a missing JSON key reads as null"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use e2e::harness::{Client, Ports, RuntimeOptions, Stack, autonomy, eventually};
use jiff::Timestamp;
use policy::{Recipe, RuntimeRequirement, Slots};
use serde_json::{Value, json};
use tempfile::TempDir;
use vfs::OsVfs;

/// Callers at once.
const CALLERS: usize = 64;
/// Swaps, each of them asked for by the route and by SIGHUP at once.
const SWAPS: usize = 100;

fn stack() -> (TempDir, Stack, Client) {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    (dir, stack, Client::new().unwrap())
}

/// A bundle of one module.
fn bundle(version: &str, module: &str) -> Vec<u8> {
    let files = BTreeMap::from([("p.rego".to_owned(), module.as_bytes().to_vec())]);
    let requirement = RuntimeRequirement::parse(">=0.0.0").unwrap();
    let created_at = Timestamp::UNIX_EPOCH;
    let recipe = Recipe { version, name: Some("swap"), requirement: &requirement, created_at };
    policy::build(&files, &recipe).unwrap().bytes
}

/// Loads it as `autonomy policy load` does, without a process for each.
fn load(stack: &Stack, bundle: &[u8]) {
    let slots = Slots::new(Arc::new(OsVfs), &stack.policy_dir(), runtime::version());
    slots.activate(bundle, Timestamp::UNIX_EPOCH, "a test").unwrap();
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

fn events(stack: &Stack) -> Vec<Value> {
    let lines = stack.export().unwrap();
    lines.iter().map(|it| serde_json::from_str::<Value>(it).unwrap()["event"].take()).collect()
}

const ALLOWS: &str = "package autonomy\nallow if input.kind == \"tool.echo\"";
const DENIES: &str = "package autonomy\ndefault allow := false";

/// What 64 callers were told: `(decision, policy_ref)` by audit id.
fn call_until(
    stack: &Stack,
    client: &Client,
    stop: &Arc<AtomicBool>,
) -> BTreeMap<String, (String, String)> {
    let told = Arc::new(Mutex::new(BTreeMap::new()));
    let tasks: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (http, told, stop) = (client.http().clone(), Arc::clone(&told), Arc::clone(stop));
            let url = format!("{}/v1/tool", stack.runtime_url());
            client.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let body = json!({ "kind": "tool.echo", "params": { "message": "x" } });
                    let sent = http.post(&url).body(body.to_string()).send().await.unwrap();
                    let answer: Value = serde_json::from_str(&sent.text().await.unwrap()).unwrap();
                    let text = |key: &str| answer[key].as_str().unwrap().to_owned();
                    let said = (text("decision"), text("policy_ref"));
                    told.lock().unwrap().insert(text("audit_id"), said);
                }
            })
        })
        .collect();
    for task in tasks {
        client.block_on(task).unwrap();
    }
    Arc::into_inner(told).unwrap().into_inner().unwrap()
}

/// Lets the callers end, also when the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn every_decision_under_swaps_is_of_one_policy_and_says_which() {
    let (_dir, stack, client) = stack();
    let bundles = [bundle("1.0.0", ALLOWS), bundle("2.0.0", DENIES)];
    load(&stack, &bundles[0]);
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let reload = format!("{}/v1/policy/reload", stack.runtime_url());
    let told = std::thread::scope(|scope| {
        let calling = scope.spawn(|| call_until(&stack, &client, &stop));
        let ends = Ends(&stop);
        for swap in 0..SWAPS {
            load(&stack, &bundles[(swap + 1) % 2]);
            signal(runtime.id(), "-HUP");
            let sent = client.block_on(async { client.http().post(&reload).send().await }).unwrap();
            assert_eq!(sent.status(), 200);
        }
        drop(ends);
        calling.join().unwrap()
    });
    runtime.stop().unwrap();
    let events = events(&stack);
    let (mut digests, mut decided) = (BTreeMap::new(), BTreeMap::new());
    for event in events.iter().filter(|it| it["kind"] == "autonomy.decision") {
        let attrs = &event["attrs"];
        let text = |key: &str| attrs[key].as_str().unwrap().to_owned();
        let want = if text("policy_ref") == "1.0.0" { "allow" } else { "deny" };
        assert_eq!(text("decision"), want, "{attrs}");
        digests
            .entry(text("policy_ref"))
            .or_insert_with(BTreeSet::new)
            .insert(text("policy_digest"));
        decided.insert(text("audit_id"), (text("decision"), text("policy_ref")));
    }
    let refs: Vec<_> = digests.keys().map(String::as_str).collect();
    assert_eq!(refs, ["1.0.0", "2.0.0"], "both decided, and nothing else");
    assert!(digests.values().all(|it| it.len() == 1), "a half-loaded policy: {digests:?}");
    assert_eq!(told, decided, "answers and entries agree");
    assert!(told.len() > SWAPS, "only {} calls: this showed nothing", told.len());
    let loaded = |it: &&Value| it["attrs"]["event"] == "policy.bundle.loaded";
    assert!(events.iter().filter(loaded).count() > SWAPS);
}

#[test]
fn a_runtime_that_is_told_to_end_finishes_the_call_in_work() {
    let (dir, stack, client) = stack();
    load(&stack, &bundle("1.0.0", "package autonomy\nallow if true"));
    let options = RuntimeOptions { env: &[], args: &["--enable-shell"] };
    let mut runtime = stack.runtime(&options).unwrap();
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let body = json!({ "kind": "tool.shell", "params": { "argv": ["cat", fifo] } });
    let url = format!("{}/v1/tool", stack.runtime_url());
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let http = client.http().post(url).header("traceparent", trace).body(body.to_string());
    let call = client.spawn(async move {
        let sent = http.send().await.unwrap();
        (sent.status().as_u16(), sent.text().await.unwrap())
    });
    let open = || {
        let wal = stack.wal_dir();
        let args = ["tool", "open-intents", "--output", "json", "--wal-dir", wal.to_str().unwrap()];
        let listed = autonomy(&args).unwrap();
        assert_eq!(listed.code(), Some(0), "{listed:?}");
        serde_json::from_str::<Value>(&listed.stdout).unwrap()
    };
    let line = eventually("the call is open", || open()["open_intents"].get(0).cloned()).unwrap();
    assert_eq!(line["kind"], "tool.shell");
    let status = client.get_json(&format!("{}/v1/status", stack.runtime_url())).unwrap();
    assert_eq!(status["calls"]["open_intents"], 1, "{status}");
    assert_eq!(status["calls"]["oldest_open_intent"]["audit_id"], line["audit_id"]);
    signal(runtime.id(), "-TERM");
    fs::write(&fifo, "late").unwrap();
    let (status, answer) = client.block_on(call).unwrap();
    assert_eq!(status, 200, "{answer}");
    assert_eq!(runtime.wait().unwrap().code(), Some(0));
    assert_eq!(open(), json!({ "count": 0, "open_intents": [] }));
    let events = events(&stack);
    let of_call: Vec<_> =
        events.iter().filter(|it| it["attrs"]["audit_id"] == line["audit_id"]).collect();
    assert_eq!(of_call.len(), 2, "{of_call:?}");
    assert_eq!(of_call[1]["attrs"]["outcome"], "ok");
    for event in of_call {
        assert_eq!(event["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(event["span_id"], "00f067aa0ba902b7");
    }
}

/// GETs a path, as the named host if there is one.
fn get(client: &Client, stack: &Stack, path: &str, host: Option<&str>) -> (u16, String) {
    let mut request = client.http().get(format!("{}{path}", stack.runtime_url()));
    if let Some(host) = host {
        request = request.header("host", host);
    }
    client.block_on(async {
        let sent = request.send().await.unwrap();
        (sent.status().as_u16(), sent.text().await.unwrap())
    })
}

#[test]
fn what_is_on_record_about_a_call_can_be_asked_for() {
    let (_dir, stack, client) = stack();
    stack.load_demo_policy().unwrap();
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    let get = |path: &str| get(&client, &stack, path, None);
    for (body, entries) in [
        (json!({ "kind": "tool.echo", "params": { "message": "x" } }), 2),
        (json!({ "kind": "tool.shell" }), 1),
    ] {
        let url = format!("{}/v1/tool", stack.runtime_url());
        let answer = client.post(&url, body.to_string()).unwrap().1;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let id = answer["audit_id"].as_str().unwrap();
        let (status, text) = get(&format!("/v1/decisions/{id}"));
        let records: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, records["entries"].as_array().unwrap().len()), (200, entries));
        assert_eq!(records["entries"][0]["seq"], answer["seq"]);
        assert_eq!(records["entries"][0]["event"]["attrs"]["decision"], answer["decision"]);
    }
    for (id, status, code) in [
        ("x", 400, "BAD_AUDIT_ID"),
        ("5e0c6fd8-8a94-4f3c-9d0d-0a9ad2d0a6a1", 404, "CALL_NOT_FOUND"),
    ] {
        let (got, text) = get(&format!("/v1/decisions/{id}"));
        assert_eq!(got, status, "{text}");
        assert!(text.contains(code), "{text}");
    }
    let (_, text) = get("/metrics");
    for line in [
        r#"autonomy_calls_total{decision="allow",code="",kind="tool.echo"} 1"#,
        r#"autonomy_calls_total{decision="deny",code="policy_denied",kind="other"} 1"#,
        r#"autonomy_call_outcomes_total{outcome="ok",code="",kind="tool.echo"} 1"#,
        "autonomy_eval_seconds_count 2",
        "autonomy_persist_seconds_count 3",
        "autonomy_tool_seconds_count 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    runtime.stop().unwrap();
    let list = |dir: &str| autonomy(&["tool", "open-intents", "--wal-dir", dir]).unwrap();
    let listed = list(stack.wal_dir().to_str().unwrap());
    assert_eq!((listed.code(), listed.stdout.as_str()), (Some(0), "open intents: 0\n"));
    let none = list("/nonexistent");
    assert_eq!(none.code(), Some(5), "{none:?}");
}

#[test]
fn what_is_refused_before_and_beside_the_policy_is_on_record() {
    let (_dir, stack, client) = stack();
    stack.load_demo_policy().unwrap();
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    let (status, text) = get(&client, &stack, "/v1/status", Some("evil.example"));
    assert_eq!(status, 403, "{text}");
    assert!(text.contains("HOST_REFUSED"), "{text}");
    let (_, text) = get(&client, &stack, "/metrics", None);
    let line = r#"autonomy_calls_unrecorded_total{code="HOST_REFUSED"} 1"#;
    assert!(text.lines().any(|it| it == line), "{text}");
    // A slot that is no policy: what was in force stays, and the log says why.
    fs::write(stack.policy_dir().join("current").join("meta.json"), "{").unwrap();
    let reload = format!("{}/v1/policy/reload", stack.runtime_url());
    assert_eq!(client.post(&reload, "").unwrap().0, 409);
    runtime.stop().unwrap();
    let events = events(&stack);
    let named = |name: &str| events.iter().filter(|it| it["attrs"]["event"] == name).count();
    assert_eq!((named("policy.bundle.rejected"), named("calls.refused")), (1, 1));
}
