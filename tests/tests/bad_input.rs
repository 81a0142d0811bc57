//! Wrong input of every kind: a clear error with code, place and next step; nothing is changed.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
};

use e2e::harness::{
    Bin, Client, Finished, Ports, RuntimeOptions, Stack, autonomy, program, run_to_end,
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn stack() -> (TempDir, Stack) {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    (dir, stack)
}

/// A stack whose log holds a few entries, not running.
fn used() -> (TempDir, Stack) {
    let (dir, stack) = stack();
    stack.load_demo_policy().unwrap();
    stack.runtime(&RuntimeOptions::default()).unwrap().stop().unwrap();
    (dir, stack)
}

/// The command fails with this exit code, says this, and gives a hint.
#[track_caller]
fn fails(ended: &Finished, exit: i32, says: &str) {
    assert_eq!(ended.code(), Some(exit), "{ended:?}");
    assert!(ended.stderr.contains(says), "{says}\n{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
}

fn dir_of(stack: &Stack) -> String {
    stack.wal_dir().to_str().unwrap().to_owned()
}

#[test]
fn every_wrong_request_is_denied_with_a_reason_and_recorded() {
    let (_dir, stack) = used();
    let runtime =
        stack.runtime(&RuntimeOptions { env: &[], args: &["--max-body", "4KiB"] }).unwrap();
    let client = Client::new().unwrap();
    let url = format!("{}/v1/tool", stack.runtime_url());
    let deep = format!(
        r#"{{"kind":"tool.echo","params":{{"x":{}1{}}}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    let long = format!(r#"{{"kind":"tool.echo","params":{{"message":"{}"}}}}"#, "x".repeat(5000));
    for (body, status, code) in [
        ("", 400, "BAD_REQUEST"),
        ("garbage", 400, "BAD_REQUEST"),
        ("[]", 400, "BAD_REQUEST"),
        ("{}", 400, "BAD_REQUEST"),
        (r#"{"kind":""}"#, 400, "BAD_REQUEST"),
        (r#"{"kind":7}"#, 400, "BAD_REQUEST"),
        (r#"{"kind":"tool.echo","params":[]}"#, 400, "BAD_REQUEST"),
        (r#"{"kind":"tool.echo","parms":{}}"#, 400, "BAD_REQUEST"),
        (r#"{"kind":"tool.echo","kind":"tool.shell"}"#, 400, "BAD_REQUEST"),
        (deep.as_str(), 400, "BAD_REQUEST"),
        (
            r#"{"kind":"tool.echo","params":{"message":{"$serde_json::private::RawValue":"1"}}}"#,
            400,
            "BAD_REQUEST",
        ),
        (long.as_str(), 413, "BODY_TOO_LARGE"),
        (r#"{"kind":"tool.shell"}"#, 403, "policy_denied"),
        (r#"{"kind":"tool.unheard_of"}"#, 403, "policy_denied"),
        (r#"{"kind":"tool.echo"}"#, 400, "bad_params"),
        (r#"{"kind":"tool.echo","params":{"message":7}}"#, 400, "bad_params"),
        (r#"{"kind":"tool.echo","params":{"message":"x","more":1}}"#, 400, "bad_params"),
        (r#"{"kind":"tool.http_get","params":{"endpoint":"::"}}"#, 400, "bad_params"),
        (
            r#"{"kind":"tool.http_get","params":{"endpoint":"http://169.254.169.254/"}}"#,
            400,
            "endpoint_not_allowed",
        ),
    ] {
        let (found, text) = client.post(&url, body.to_owned()).unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((found, answer["code"].as_str()), (status, Some(code)), "{body}: {text}");
        // Whatever went wrong, the answer says whether the tool was allowed, and where it stands.
        let allowed = matches!(code, "bad_params" | "endpoint_not_allowed");
        assert_eq!(answer["decision"], if allowed { "allow" } else { "deny" }, "{text}");
        let seq = answer["seq"].as_u64().unwrap();
        let line = stack.export().unwrap()[usize::try_from(seq).unwrap() - 1].clone();
        assert!(line.contains(answer["audit_id"].as_str().unwrap()), "{line}");
    }
    let (status, text) = client.get(&url).unwrap();
    assert_eq!(status, 405);
    assert!(text.contains(r#""decision":"deny""#), "{text}");
    let (status, text) = client.get(&format!("{}/v1/nothing", stack.runtime_url())).unwrap();
    assert_eq!(status, 404);
    assert!(text.contains(r#""code":"NOT_FOUND""#), "{text}");
    runtime.stop().unwrap();
}

/// A browser on the node reaches the loopback; a page from anywhere must not call tools through it.
#[test]
fn what_a_web_page_sends_is_refused() {
    let (_dir, stack) = used();
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    let before = stack.export().unwrap().len();
    let client = Client::new().unwrap();
    let body = r#"{"kind":"tool.echo","params":{"message":"x"}}"#;
    for path in ["/v1/tool", "/v1/policy/reload"] {
        for (name, value) in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
            let request = client.http().post(format!("{}{path}", stack.runtime_url()));
            let request = request.header(name, value).header("content-type", "text/plain");
            let response = client.block_on(async { request.body(body).send().await }).unwrap();
            assert_eq!(response.status(), 403, "{path} {name}");
            let text = client.block_on(async { response.text().await }).unwrap();
            assert!(text.contains("BROWSER_REFUSED"), "{text}");
        }
    }
    assert_eq!(stack.export().unwrap().len(), before, "nothing was decided");
    runtime.stop().unwrap();
}

#[test]
fn an_output_never_overwrites_a_log() {
    let (_dir, stack) = used();
    let wal = stack.wal_dir().join("telemetry.wal");
    let before = fs::read(&wal).unwrap();
    let dir = dir_of(&stack);
    for out in ["telemetry.wal", "telemetry.safe_seq", "export.jsonl"] {
        let out = format!("{dir}/{out}");
        let ended = autonomy(&["telemetry", "export", "--dir", &dir, "--out", &out]).unwrap();
        fails(&ended, 2, "is in the directory of a log");
    }
    assert_eq!(fs::read(&wal).unwrap(), before);
    let full = "/dev/full";
    let ended = autonomy(&["telemetry", "export", "--dir", &dir, "--out", full]).unwrap();
    fails(&ended, 1, "No space left");
    let ended = autonomy(&["telemetry", "export", "--dir", &dir, "--out", "/dev/null"]).unwrap();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_peer_that_breaks_off_or_stalls_harms_nobody() {
    let (_dir, stack) = used();
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    let address = ("127.0.0.1", stack.ports.runtime);
    for head in [
        "POST /v1/tool HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"kind\"",
        "POST /v1/tool HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "\0\0\0\0",
        "GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut peer = TcpStream::connect(address).unwrap();
        peer.write_all(head.as_bytes()).unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // A reset is as good an answer as a status.
        peer.read_to_end(&mut answer).ok();
    }
    let client = Client::new().unwrap();
    let params = json!({ "message": "still here" });
    assert_eq!(client.tool(&stack.runtime_url(), "tool.echo", &params).unwrap().0, 200);
    runtime.stop().unwrap();
}

#[test]
fn a_port_in_use_is_named_and_costs_nothing() {
    let (_dir, mut stack) = stack();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    stack.ports = Ports { orchestrator: port, sink: port, runtime: port };
    for mut command in [
        stack.runtime_command(&RuntimeOptions::default()).unwrap(),
        stack.sink_command().unwrap(),
        stack.orchestrator_command().unwrap(),
    ] {
        let ended = run_to_end(&mut command).unwrap();
        fails(&ended, 1, &format!("127.0.0.1:{port}"));
        assert!(ended.stderr.contains("hint"), "{ended:?}");
    }
    assert!(!stack.wal_dir().exists(), "the log was not even begun");
}

#[test]
fn a_directory_that_is_none_or_cannot_be_written_is_named() {
    let (dir, stack) = stack();
    let file = dir.path().join("file");
    fs::write(&file, b"x").unwrap();
    let below = file.join("below");
    // Nobody, not even root, makes directories in /proc.
    for wal_dir in [file.as_path(), below.as_path(), Path::new("/proc/autonomy")] {
        let mut command = program(Bin::Autonomy).unwrap();
        command.args(["runtime", "start", "--listen", "127.0.0.1:0", "--node-id", "n"]);
        command.arg("--policy-dir").arg(stack.policy_dir()).arg("--wal-dir").arg(wal_dir);
        let ended = run_to_end(&mut command).unwrap();
        fails(&ended, 1, "WAL_IO");
        fails(&ended, 1, wal_dir.to_str().unwrap());
        fails(&ended, 1, "hint: ");
    }
    assert_eq!(fs::read(&file).unwrap(), b"x");
    for mut command in
        [stack.orchestrator_command().unwrap(), stack.orchestrator_command().unwrap()]
    {
        command.arg("--data-dir").arg(&file);
        let ended = run_to_end(&mut command).unwrap();
        assert_ne!(ended.code(), Some(0), "{ended:?}");
    }
}

#[test]
fn garbage_in_the_files_of_a_consumer_is_refused_and_left_alone() {
    for (name, garbage, code) in [
        ("telemetry.pos", &b"garbage"[..], "POS_CORRUPT"),
        ("telemetry.pos", b"", "POS_CORRUPT"),
        ("telemetry.pos", &[0xff; 8], "POS_GT_MAXSEQ"),
        ("telemetry.cursors", b"garbage", "CURSORS_CORRUPT"),
        ("telemetry.cursors", b"", "CURSORS_CORRUPT"),
        ("telemetry.cursors", br#"{"schema":999}"#, "CURSORS_NEWER"),
    ] {
        let (_dir, stack) = used();
        let path = stack.wal_dir().join(name);
        fs::write(&path, garbage).unwrap();
        let ended = stack.drain().unwrap();
        fails(&ended, 8, code);
        fails(&ended, 8, "hint: ");
        assert_eq!(fs::read(&path).unwrap(), garbage);
        let status = autonomy(&["wal", "status", "--dir", &dir_of(&stack)]).unwrap();
        assert_eq!(status.code(), Some(8), "{status:?}");
        assert!(status.stdout.contains(code), "{status:?}");
        // What a consumer left does not stop the producer.
        stack.runtime(&RuntimeOptions::default()).unwrap().stop().unwrap();
        assert_eq!(fs::read(&path).unwrap(), garbage);
    }
}

#[test]
fn a_damaged_log_is_exported_up_to_the_damage() {
    let (_dir, stack) = used();
    let path = stack.wal_dir().join("telemetry.wal");
    let mut log = fs::read(&path).unwrap();
    let last = log.len() - 100;
    log[last] ^= 1;
    fs::write(&path, &log).unwrap();
    let exported =
        autonomy(&["telemetry", "export", "--dir", &dir_of(&stack), "--out", "-"]).unwrap();
    fails(&exported, 8, "WAL_CORRUPT_");
    assert!(exported.stdout.lines().count() >= 2, "{exported:?}");
    let out = stack.dir.join("out.jsonl");
    let out = out.to_str().unwrap();
    let exported =
        autonomy(&["telemetry", "export", "--dir", &dir_of(&stack), "--out", out]).unwrap();
    fails(&exported, 8, "WAL_CORRUPT_");
    assert!(!Path::new(out).exists(), "half an export does not look whole");
    assert_eq!(fs::read(&path).unwrap(), log);
}

#[test]
fn what_does_not_exist_is_not_found() {
    let (_dir, stack) = stack();
    let nowhere = stack.dir.join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    for args in [
        &["wal", "status", "--dir", nowhere][..],
        &["wal", "inspect", "--dir", nowhere],
        &["telemetry", "export", "--dir", nowhere, "--out", "-"],
        &["telemetry", "drain", "--dir", nowhere, "--endpoint", "http://127.0.0.1:1"],
        &["policy", "load", "--bundle", nowhere, "--policy-dir", nowhere],
        &["policy", "build", "--in", nowhere, "--out", "/dev/null", "--version", "1.0.0"],
        &["policy", "eval", "--input", nowhere, "--policy-dir", nowhere],
    ] {
        fails(&autonomy(args).unwrap(), 5, nowhere);
    }
    fs::create_dir_all(&stack.dir).unwrap();
    let empty = stack.dir.to_str().unwrap();
    fails(&autonomy(&["wal", "status", "--dir", empty]).unwrap(), 5, "there is no log in");
}

#[test]
fn a_wrong_command_line_or_environment_is_a_usage_error() {
    for args in [
        &["nonsense"][..],
        &["wal"],
        &["wal", "inspect", "--seq", "9..1"],
        &["wal", "inspect", "--since", "yesterday"],
        &["telemetry", "drain", "--batch", "0"],
        &["telemetry", "drain", "--timeout", "0s"],
        &["runtime", "start", "--listen", "nowhere"],
        &["runtime", "start", "--allowed-domains", "ftp://x"],
        &["runtime", "start", "--max-body", "0"],
        &["runtime", "start", "--node-id", "a:b"],
        &["policy", "build", "--in", "."],
    ] {
        let ended = autonomy(args).unwrap();
        assert_eq!(ended.code(), Some(2), "{args:?} {ended:?}");
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{ended:?}");
    }
    for (name, value) in [
        ("AUTONOMY_STRICT_MODE", "yes"),
        ("AUTONOMYOPS_WAL_LEGACY_UPGRADE", "true"),
        ("AUTONOMYOPS_WAL_OPERATOR_RESET", "2"),
    ] {
        let mut command = program(Bin::Autonomy).unwrap();
        command.args(["runtime", "start", "--listen", "127.0.0.1:0"]).env(name, value);
        fails(&run_to_end(&mut command).unwrap(), 2, name);
    }
}

#[test]
fn in_json_mode_an_error_is_one_object_on_stdout() {
    let ended = autonomy(&["wal", "status", "--dir", "/nonexistent", "--output", "json"]).unwrap();
    assert_eq!(ended.code(), Some(5));
    let error: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(error["error"]["code"], "WAL_NOT_FOUND");
    assert!(error["error"]["message"].as_str().unwrap().contains("/nonexistent"));
    assert!(error["error"]["hint"].is_string());
    let (_dir, stack) = used();
    fs::remove_file(stack.wal_dir().join("telemetry.safe_seq")).unwrap();
    let options = RuntimeOptions { env: &[], args: &["--output", "json"] };
    let refused = run_to_end(&mut stack.runtime_command(&options).unwrap()).unwrap();
    let dir = dir_of(&stack);
    let args = ["telemetry", "export", "--dir", &dir, "--out", "-", "--output", "json"];
    for ended in [refused, autonomy(&args).unwrap()] {
        assert_eq!(ended.code(), Some(8), "{ended:?}");
        let error: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(error["error"]["code"], "SAFESEQ_NOT_FOUND");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (_dir, stack) = used();
    let mut command = program(Bin::Autonomy).unwrap();
    command.args(["telemetry", "export", "--dir", &dir_of(&stack), "--out", "-"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_wrong_policy_is_refused_with_its_place_and_the_slots_stay() {
    let (dir, stack) = used();
    let slots = |stack: &Stack| {
        let read = |name: &str| fs::read(stack.policy_dir().join(name)).unwrap();
        (read("current/bundle.tar.gz"), read("current/meta.json"))
    };
    let before = slots(&stack);
    let source = dir.path().join("rego");
    fs::create_dir_all(&source).unwrap();
    let out = dir.path().join("b.tar.gz");
    let build = |args: &[&str]| {
        let mut command = program(Bin::Autonomy).unwrap();
        command.args(["policy", "build", "--in"]).arg(&source).arg("--out").arg(&out).args(args);
        run_to_end(&mut command).unwrap()
    };
    let load = || {
        let mut command = program(Bin::Autonomy).unwrap();
        command.args(["policy", "load", "--bundle"]).arg(&out);
        command.arg("--policy-dir").arg(stack.policy_dir());
        run_to_end(&mut command).unwrap()
    };

    fs::write(source.join("a.rego"), "package autonomy\n\nallow if {\n").unwrap();
    fails(&build(&["--version", "1.0.0"]), 8, "a.rego:");
    fs::write(source.join("a.rego"), "package autonomy\n\nallow := true\n").unwrap();
    fails(&build(&["--version", "one"]), 2, "one");
    fails(&build(&["--version", "1"]), 2, "not a semantic version");
    fails(&build(&["--version", "1.0.0", "--name", ""]), 2, "bundle_bad_name");
    let range = ["--version", "2.0.0", "--runtime-version", ">=99.0.0"];
    assert_eq!(build(&range).code(), Some(0));
    let rejected = "policy load: REJECTED — bundle requires runtime >=99.0.0, have 0.1.0";
    fails(&load(), 3, rejected);
    assert_eq!(slots(&stack), before);

    for garbage in [&b""[..], b"garbage", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0]] {
        fs::write(&out, garbage).unwrap();
        fails(&load(), 8, "b.tar.gz");
        assert_eq!(slots(&stack), before);
    }
}

#[test]
fn a_damaged_slot_falls_back_and_without_any_everything_is_denied() {
    let (_dir, stack) = used();
    let current = stack.policy_dir().join("current/bundle.tar.gz");
    fs::write(&current, b"garbage").unwrap();
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    let client = Client::new().unwrap();
    let params = json!({ "message": "x" });
    let (status, answer) = client.tool(&stack.runtime_url(), "tool.echo", &params).unwrap();
    assert_eq!((status, answer.code.as_deref()), (403, Some("no_policy")), "{answer:?}");
    runtime.stop().unwrap();
    assert!(stack.export().unwrap().iter().any(|it| it.contains("policy.bundle.rejected")));
    assert_eq!(fs::read(&current).unwrap(), b"garbage");
}

#[test]
fn a_bad_bundle_at_reload_keeps_the_policy_in_force() {
    let (_dir, stack) = used();
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    let client = Client::new().unwrap();
    fs::write(stack.policy_dir().join("current/bundle.tar.gz"), b"garbage").unwrap();
    let reload = format!("{}/v1/policy/reload", stack.runtime_url());
    let (status, body) = client.post(&reload, "").unwrap();
    assert_eq!(status, 409, "{body}");
    assert!(body.contains("POLICY_REJECTED"), "{body}");
    let params = json!({ "message": "x" });
    assert_eq!(client.tool(&stack.runtime_url(), "tool.echo", &params).unwrap().0, 200);
    runtime.stop().unwrap();
}

#[test]
fn help_and_version_end_well() {
    for bin in [Bin::Autonomy, Bin::Orchestrator, Bin::Sink] {
        for flag in ["--help", "--version"] {
            let mut command: Command = program(bin).unwrap();
            let ended = run_to_end(command.arg(flag)).unwrap();
            assert_eq!(ended.code(), Some(0), "{bin:?} {flag} {ended:?}");
            assert!(!ended.stdout.is_empty());
        }
    }
}
