//! What a user does with policies, with the real program: check, test, build, compare, replay.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
};

use e2e::harness::{Client, Finished, Ports, RuntimeOptions, Stack, autonomy};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A policy whose answers depend on everything that a policy is shown.
const POLICY: &str = r#"package autonomy

decision := {"allow": true, "rule": "echo"} if {
    input.kind == "tool.echo"
    not input.params.secret
}

decision := {"allow": false, "reason": "it is a secret", "rule": "secret"} if {
    input.kind == "tool.echo"
    input.params.secret
}

decision := {"allow": true, "rule": "move", "obligations": [{"speed": 1}]} if {
    input.kind == "arm.move"
    input.context.agent.goal == "pick"
    input.context.node == "demo-node"
}

decision := {"allow": true, "rule": "masked", "obligations": ["mask"]} if {
    input.kind == "tool.http_get"
}

decision := {"allow": true, "rule": "even"} if {
    input.kind == "arm.even"
    to_number(substring(input.context.time, 20, 3)) % 2 == 0
}

deny contains "boom" if {
    input.kind == "arm.boom"
    1 / input.params.n > 0
}
"#;

struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn build(&self, from: &str, out: &str, version: &str) -> Finished {
        let (from, out) = (self.text(from), self.text(out));
        autonomy(&["policy", "build", "--in", &from, "--out", &out, "--version", version]).unwrap()
    }
}

fn lines(done: &Finished) -> Vec<Value> {
    done.stdout.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

fn load(stack: &Stack, bundle: &Path) {
    let (bundle, dir) = (bundle.to_str().unwrap(), stack.policy_dir());
    let dir = dir.to_str().unwrap();
    let done = autonomy(&["policy", "load", "--bundle", bundle, "--policy-dir", dir]).unwrap();
    assert_eq!(done.code(), Some(0), "{done:?}");
}

fn replay(stack: &Stack, more: &[&str]) -> (Finished, Vec<Value>, Value) {
    let (wal, slots) = (stack.wal_dir(), stack.policy_dir());
    let (wal, slots) = (wal.to_str().unwrap(), slots.to_str().unwrap());
    let fixed = ["policy", "replay", "--wal", wal, "--policy-dir", slots, "--output", "json"];
    let done = autonomy(&[&fixed[..], more].concat()).unwrap();
    let mut lines = lines(&done);
    let at = lines.iter().position(|it| it.get("decisions").is_some()).unwrap();
    let summary = lines.remove(at);
    (done, lines, summary)
}

/// The body of call `n`: ten different ones in turn.
fn body(n: usize) -> String {
    let call = match n % 10 {
        0..=2 => json!({ "kind": "tool.echo", "params": { "message": n, "x": 1.0 / 3.0 } }),
        3 => json!({ "kind": "tool.echo", "params": { "message": "m", "secret": true } }),
        4 => json!({ "kind": "arm.move", "params": {}, "context": { "goal": "pick" } }),
        5 => json!({ "kind": "arm.move", "params": { "n": u64::MAX } }),
        6 => json!({ "kind": "tool.http_get", "params": { "endpoint": "http://localhost" } }),
        7 => json!({ "kind": "arm.even", "params": {} }),
        8 => json!({ "kind": "arm.boom", "params": { "n": 0 } }),
        _ => return "{\"kind\":".to_owned(),
    };
    call.to_string()
}

/// Makes `calls` calls over `connections` connections at once.
fn call(stack: &Stack, calls: usize, connections: usize) {
    let client = Client::new().unwrap();
    let next = Arc::new(AtomicUsize::new(0));
    let url = format!("{}/v1/tool", stack.runtime_url());
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (http, next, url) = (client.http().clone(), Arc::clone(&next), url.clone());
            client.spawn(async move {
                while let Some(n) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < calls)
                {
                    let answer = http.post(&url).body(body(n)).send().await.unwrap();
                    let status = answer.status().as_u16();
                    assert!(matches!(status, 200 | 400 | 403), "{n}: {status}");
                    answer.bytes().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        client.block_on(task).unwrap();
    }
}

/// Sequence numbers of the decisions in a log that have this rule.
fn seqs_of_rule(stack: &Stack, rule: &str) -> BTreeSet<u64> {
    let entries = stack.export().unwrap();
    let entries = entries.iter().map(|it| serde_json::from_str::<Value>(it).unwrap());
    let of_rule = entries.filter(|it| it.pointer("/event/attrs/rule") == Some(&json!(rule)));
    of_rule.map(|it| it.get("seq").and_then(Value::as_u64).unwrap()).collect()
}

#[test]
fn ten_thousand_recorded_calls_are_decided_alike_by_the_live_bundle_and_one_rule_is_seen() {
    const CALLS: usize = 11_200;
    let bench = Bench::new();
    let stack = Stack::new(&bench.at("node"), Ports::free().unwrap());
    bench.write("p/policy.rego", POLICY);
    bench.build("p", "live.tar.gz", "1.0.0");
    load(&stack, &bench.at("live.tar.gz"));
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    call(&stack, CALLS, 16);
    let client = Client::new().unwrap();
    let large = json!({ "kind": "tool.echo", "params": { "message": "x".repeat(70_000) } });
    client.post(&format!("{}/v1/tool", stack.runtime_url()), large.to_string()).unwrap();
    runtime.stop().unwrap();

    let (done, changed, summary) = replay(&stack, &[]);
    assert_eq!(done.code(), Some(0), "{done:?}");
    assert_eq!(changed, Vec::<Value>::new());
    let (tenth, all) = (CALLS / 10, CALLS + 1);
    assert_eq!(summary["decisions"], all);
    assert_eq!(summary["replayable"], tenth * 9);
    assert!(tenth * 9 >= 10_000);
    assert_eq!(summary["changes"], json!({ "unchanged": tenth * 9 }));
    assert_eq!(summary["not_replayable"], json!({ "not_asked": tenth, "params_omitted": 1 }));
    assert_eq!(summary["decided_by"], json!({ "1.0.0": tenth * 9 }));

    // One rule differs: exactly its calls do.
    let other = POLICY.replace(
        r#"{"allow": false, "reason": "it is a secret", "rule": "secret"}"#,
        r#"{"allow": true, "rule": "secret"}"#,
    );
    assert_ne!(other, POLICY);
    bench.write("q/policy.rego", &other);
    bench.build("q", "candidate.tar.gz", "1.1.0");
    for candidate in ["candidate.tar.gz", "q"] {
        let candidate = bench.text(candidate);
        let (done, changed, summary) =
            replay(&stack, &["--candidate", &candidate, "--first", "100000"]);
        assert_eq!(done.code(), Some(6), "{done:?}");
        assert_eq!(done.stderr, "", "a difference that was found is no failure");
        let want = json!({ "unchanged": tenth * 8, "would_allow": tenth });
        assert_eq!(summary["changes"], want);
        assert!(
            changed.iter().all(|it| it["change"] == "would_allow" && it["kind"] == "tool.echo")
        );
        let seqs: BTreeSet<_> = changed.iter().map(|it| it["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, seqs_of_rule(&stack, "secret"));
    }

    // Without the obligation its call would be allowed; where nothing decides, everything is denied.
    bench.write("r/policy.rego", &POLICY.replace(r#", "obligations": ["mask"]"#, ""));
    let (done, _, summary) = replay(&stack, &["--candidate", &bench.text("r")]);
    assert_eq!(done.code(), Some(6));
    assert_eq!(summary["changes"], json!({ "unchanged": tenth * 8, "would_allow": tenth }));
    bench.write("s/policy.rego", "package autonomy\n\ndecision := {\"allow\": false}\n");
    let (_, changed, summary) = replay(&stack, &["--candidate", &bench.text("s")]);
    assert_eq!(changed.len(), 20);
    let denied = summary["changes"]["would_deny"].as_u64().unwrap();
    let even = seqs_of_rule(&stack, "even").len();
    assert_eq!(denied, (tenth * 4 + even) as u64);
}

#[test]
fn archived_logs_are_replayed_too_and_what_cannot_be_is_counted_by_reason() {
    let bench = Bench::new();
    let stack = Stack::new(&bench.at("node"), Ports::free().unwrap());
    let (wal, endpoint) = (stack.wal_dir(), stack.sink_url());
    let wal = wal.to_str().unwrap();
    bench.write("p/policy.rego", POLICY);
    bench.build("p", "live.tar.gz", "1.0.0");

    // Nothing is loaded: every call is denied, and no policy text has said so.
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    call(&stack, 10, 1);
    runtime.stop().unwrap();
    load(&stack, &bench.at("live.tar.gz"));
    let (done, _, summary) = replay(&stack, &[]);
    assert_eq!(done.code(), Some(5), "{done:?}");
    assert!(done.stdout.contains("NOTHING_REPLAYED"), "{done:?}");
    assert_eq!(summary["not_replayable"], json!({ "not_asked": 1, "not_by_policy": 9 }));

    let _orchestrator = stack.orchestrator().unwrap();
    let _sink = stack.sink().unwrap();
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    call(&stack, 10, 1);
    runtime.stop().unwrap();
    let drained = autonomy(&["telemetry", "drain", "--dir", wal, "--endpoint", &endpoint]).unwrap();
    assert_eq!(drained.code(), Some(0), "{drained:?}");
    let archived = autonomy(&["wal", "archive", "--dir", wal]).unwrap();
    assert_eq!(archived.code(), Some(0), "{archived:?}");
    let redacted = RuntimeOptions { args: &["--redact-params"], ..RuntimeOptions::default() };
    let runtime = stack.runtime(&redacted).unwrap();
    call(&stack, 10, 1);
    runtime.stop().unwrap();

    let (done, _, summary) = replay(&stack, &[]);
    assert_eq!(done.code(), Some(0), "{done:?}");
    assert_eq!((&summary["archived_logs"], &summary["decisions"]), (&json!(1), &json!(30)));
    let reasons = json!({ "not_asked": 3, "not_by_policy": 9, "params_redacted": 9 });
    assert_eq!(summary["not_replayable"], reasons);
    assert_eq!(summary["changes"], json!({ "unchanged": 9 }));
    let (future, from) = (bench.text("future.tar.gz"), bench.text("p"));
    let range = ["--version", "9.0.0", "--runtime-version", ">=99.0.0"];
    let build = ["policy", "build", "--in", &from, "--out", &future];
    assert_eq!(autonomy(&[&build[..], &range].concat()).unwrap().code(), Some(0));
    let candidate = ["policy", "replay", "--wal", wal, "--candidate", &future];
    let done = autonomy(&candidate).unwrap();
    assert_eq!(done.code(), Some(8), "{done:?}");
    assert!(done.stderr.contains("bundle_incompatible"), "{done:?}");
    let (_, _, live_only) = replay(&stack, &["--seq", "1.."]);
    assert_eq!((&live_only["archived_logs"], &live_only["decisions"]), (&json!(0), &json!(10)));

    let pack = fs::read_dir(stack.wal_dir().join("archive")).unwrap();
    let mut packs = pack.map(|it| it.unwrap().path());
    let pack = packs.find(|it| it.extension().is_some_and(|it| it == "zst")).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&pack, bytes).unwrap();
    let dir = stack.policy_dir();
    let dir = dir.to_str().unwrap();
    let done = autonomy(&["policy", "replay", "--wal", wal, "--policy-dir", dir]).unwrap();
    assert_eq!(done.code(), Some(8), "{done:?}");
}

#[test]
fn a_deny_in_a_subdirectory_is_in_the_bundle_and_tests_are_not() {
    let bench = Bench::new();
    bench.write("p/allow.rego", "package autonomy\n\nallow if input.kind == \"tool.echo\"\n");
    let deny = "package autonomy\n\ndeny contains \"never\" if input.params.x\n";
    bench.write("p/deny/x.rego", deny);
    bench.write("p/deny/x_test.rego", "package x_test\n\ntest_x := true\n");
    bench.write("p/README.md", "about");
    let built = bench.build("p", "b.tar.gz", "1.0.0");
    assert_eq!(built.code(), Some(0), "{built:?}");
    assert!(built.stdout.ends_with("left out: 1 test\nleft out: 1 other file\n"), "{built:?}");
    bench.write("call.json", r#"{"kind":"tool.echo","params":{"x":1}}"#);
    let (call, bundle) = (bench.text("call.json"), bench.text("b.tar.gz"));
    let done = autonomy(&["policy", "eval", "--input", &call, "--bundle", &bundle]).unwrap();
    assert_eq!(done.code(), Some(3), "{done:?}");
    let files = policy::Bundle::open(&fs::read(bench.at("b.tar.gz")).unwrap()).unwrap();
    let files: Vec<_> = files.modules().map(|it| it.0.to_owned()).collect();
    assert_eq!(files, ["allow.rego", "deny/x.rego"]);

    std::os::unix::fs::symlink(bench.at("call.json"), bench.at("p/deny/y.rego")).unwrap();
    let refused = bench.build("p", "c.tar.gz", "1.0.0");
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("deny/y.rego is a symbolic link (ODD_FILE)"), "{refused:?}");
    assert!(!bench.at("c.tar.gz").exists());
}

#[test]
fn tests_pass_fail_and_are_never_silently_none() {
    let bench = Bench::new();
    bench.write("p/allow.rego", "package autonomy\n\nallow if input.kind == \"tool.echo\"\n");
    let test = |args: &[&str]| {
        let dir = bench.text("p");
        autonomy(&[&["policy", "test", &dir, "--output", "json"], args].concat()).unwrap()
    };
    let none = test(&[]);
    assert_eq!((none.code(), none.stdout.contains("NO_TESTS")), (Some(1), true), "{none:?}");
    bench.write(
        "p/allow_test.rego",
        "package a_test\n\nimport data.autonomy\n\n\
         test_yes if autonomy.allow with input as {\"kind\": \"tool.echo\"}\n\
         test_no if autonomy.allow with input as {\"kind\": \"tool.shell\"}\n\
         test_error if 1 / count([]) == 1\n\
         test_false := false\n\
         test_slow if count([x | some x in numbers.range(1, 9999); some y in numbers.range(1, 9999); x == y]) == 0\n\
         todo_test_later if false\n",
    );
    let all = test(&["--coverage"]);
    assert_eq!(all.code(), Some(1), "{all:?}");
    let all = lines(&all);
    let results: Vec<_> = all.iter().filter_map(|it| it["result"].as_str()).collect();
    assert_eq!(results, ["pass", "fail", "error", "fail", "error", "skip"], "{all:?}");
    let counts = json!({ "passed": 1, "failed": 2, "errors": 2, "skipped": 1 });
    assert!(all.contains(&counts), "{all:?}");
    let covered = json!({ "file": "allow.rego", "covered": 1, "not_covered": [] });
    assert!(all.contains(&covered), "{all:?}");
    assert_eq!(all.last().unwrap()["error"]["code"], "POLICY_TESTS_FAILED");
    assert_eq!(test(&["--run", "test_yes$"]).code(), Some(0));
    assert_eq!(test(&["--run", "later"]).code(), Some(1));
    assert_eq!(test(&["--run", "("]).code(), Some(2));
}

#[test]
fn check_names_every_error_with_its_place_and_says_nothing_is_wrong_only_then() {
    let bench = Bench::new();
    bench.write("p/a.rego", "package autonomy\n\nallow if http.send({})\n");
    bench.write("p/sub/b.rego", "package autonomy\n\nx if {\n");
    let dir = bench.text("p");
    let done = autonomy(&["policy", "check", &dir]).unwrap();
    assert_eq!(done.code(), Some(8), "{done:?}");
    let want = format!(
        "{dir}/a.rego:3:10: error: `http.send` is not available: a policy has no network \
         (rego_function_not_available)\n  3 | allow if http.send({{}})\n    |          ^\n"
    );
    assert!(done.stdout.starts_with(&want), "{}", done.stdout);
    assert!(done.stdout.contains(&format!("{dir}/sub/b.rego:4:1: error: ")), "{}", done.stdout);
    assert!(done.stdout.ends_with("2 files, 2 errors, 0 warnings\n"), "{}", done.stdout);

    bench.write("q/a.rego", "package other\n\nallow := true\n");
    let (file, dir) = (bench.text("q/a.rego"), bench.text("q"));
    for path in [&file, &dir] {
        let done = autonomy(&["policy", "check", path, "--output", "json"]).unwrap();
        assert_eq!(done.code(), Some(0), "{done:?}");
        let lines = lines(&done);
        assert_eq!(lines[0]["code"], "no_decision_rule");
        assert_eq!(lines[1], json!({ "files": 1, "errors": 0, "warnings": 1 }));
    }
    assert_eq!(autonomy(&["policy", "check", &bench.text("absent")]).unwrap().code(), Some(5));

    for args in [&["load", "--bundle", &*dir][..], &["test", "--bundle", &dir]] {
        let done = autonomy(&[&["policy"], args].concat()).unwrap();
        assert_eq!(done.code(), Some(2), "{done:?}");
        assert!(done.stderr.contains("(DIRECTORY_GIVEN)"), "{done:?}");
        assert!(done.stderr.contains(&format!("policy build --in {dir}")), "{done:?}");
    }
    assert_eq!(bench.build("q", "q.tar.gz", "1.0.0").code(), Some(0));
    let bundle = bench.text("q.tar.gz");
    for command in ["check", "test"] {
        let done = autonomy(&["policy", command, &bundle]).unwrap();
        assert_eq!(done.code(), Some(2), "{done:?}");
        assert!(
            done.stderr.contains("is a bundle") && done.stderr.contains("(BUNDLE_GIVEN)"),
            "{done:?}"
        );
        assert!(done.stderr.contains(&format!("policy test --bundle {bundle}")), "{done:?}");
    }
}

#[test]
fn two_policies_differ_by_manifest_files_and_data_or_not_at_all() {
    let bench = Bench::new();
    let stack = Stack::new(&bench.at("node"), Ports::free().unwrap());
    bench.write("p/a.rego", "package autonomy\n\nallow if input.kind == \"tool.echo\"\n");
    bench.write("p/data.json", r#"{"limits":{"speed":1}}"#);
    bench.build("p", "one.tar.gz", "1.0.0");
    load(&stack, &bench.at("one.tar.gz"));
    bench.write("p/a.rego", "package autonomy\n\nallow if input.kind == \"tool.x\"\n");
    bench.write("p/b.rego", "package autonomy\n\ndeny contains \"b\" if input.params.b\n");
    bench.write("p/data.json", r#"{"limits":{"speed":2}}"#);
    bench.build("p", "two.tar.gz", "2.0.0");
    load(&stack, &bench.at("two.tar.gz"));
    let slots = stack.policy_dir();
    let diff = |from: &str, to: &str| {
        let args = ["policy", "diff", from, to, "--output", "json", "--policy-dir"];
        autonomy(&[&args[..], &[slots.to_str().unwrap()]].concat()).unwrap()
    };
    let (one, two, dir) = (bench.text("one.tar.gz"), bench.text("two.tar.gz"), bench.text("p"));
    for (from, to) in [(&*one, &*two), ("lkg", "current"), (&*one, &*dir)] {
        let done = diff(from, to);
        assert_eq!((done.code(), &*done.stderr), (Some(6), ""), "{done:?}");
        let found = lines(&done).remove(0);
        let files = found["files"].as_array().unwrap();
        let files: Vec<_> = files.iter().map(|it| (&it["file"], &it["change"])).collect();
        let want =
            [("a.rego", "changed"), ("b.rego", "added")].map(|it| (json!(it.0), json!(it.1)));
        assert_eq!(files, [(&want[0].0, &want[0].1), (&want[1].0, &want[1].1)]);
        let speed = json!({ "path": "limits.speed", "change": "changed", "from": 1, "to": 2 });
        assert_eq!(found["data"], json!([speed]));
        assert_eq!(found["manifest"].as_array().unwrap().is_empty(), to == dir);
    }
    for (from, to) in [(&*two, "current"), (&*two, &*dir), ("lkg", &*one)] {
        let done = diff(from, to);
        assert_eq!((done.code(), &lines(&done)[0]["same"]), (Some(0), &json!(true)), "{done:?}");
    }
    assert_eq!(diff(&one, "absent").code(), Some(5));
}
