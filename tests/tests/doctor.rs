//! `autonomy doctor`, on machines with something wrong.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread,
};

use e2e::harness::{Bin, Ports, RuntimeOptions, Stack, program, run_to_end};
use serde_json::{Value, json};

/// The findings, and the exit code.
fn doctor(home: &Path, words: &[&str], vars: &[(&str, &str)]) -> (i32, Value) {
    let mut command = program(Bin::Autonomy).unwrap();
    command.arg("doctor").args(["--output", "json"]).args(words).env("HOME", home);
    for name in ["XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"] {
        command.env_remove(name);
    }
    let ended = run_to_end(command.envs(vars.iter().copied())).unwrap();
    (ended.code().unwrap(), serde_json::from_str(&ended.stdout).unwrap())
}

fn of<'a>(told: &'a Value, check: &str) -> Vec<&'a Value> {
    told["findings"].as_array().unwrap().iter().filter(|it| it["check"] == check).collect()
}

#[test]
fn a_machine_with_a_runtime_is_healthy_and_each_part_is_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    let (wal, policy, url) = (stack.wal_dir(), stack.policy_dir(), stack.runtime_url());
    let (wal, policy) = (wal.to_str().unwrap(), policy.to_str().unwrap());
    let words = ["--wal-dir", wal, "--policy-dir", policy, "--runtime-url", &url];
    // A runtime that answers and denies every call is not well.
    let runtime = stack.runtime(&RuntimeOptions { env: &[], args: &[] }).unwrap();
    let (code, told) = doctor(dir.path(), &words, &[]);
    assert_eq!((code, &of(&told, "decisions")[0]["level"]), (9, &json!("failed")), "{told}");
    runtime.stop().unwrap();
    stack.load_demo_policy().unwrap();
    let runtime = stack.runtime(&RuntimeOptions { env: &[], args: &[] }).unwrap();
    let (code, told) = doctor(dir.path(), &words, &[]);
    // Tests may run in memory, which is no place for a log; nothing else is wrong.
    let failed: Vec<_> =
        told["findings"].as_array().unwrap().iter().filter(|it| it["level"] == "failed").collect();
    let in_memory = failed.iter().all(|it| it["check"] == "file system");
    assert!(in_memory, "{told}");
    assert_eq!(code, if failed.is_empty() { 0 } else { 9 });
    for check in ["log", "directory", "room", "sync", "clock", "runtime", "decisions"] {
        let found = of(&told, check);
        assert_eq!(found.len(), 1, "{check}: {told}");
        assert!(
            ["ok", "warning"].contains(&found[0]["level"].as_str().unwrap()),
            "{check}: {told}"
        );
    }
    runtime.stop().unwrap();
}

#[test]
fn what_is_wrong_is_named_with_what_mends_it_and_hides_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let wal = home.join("wal");
    fs::create_dir(&wal).unwrap();
    fs::set_permissions(&wal, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(wal.join("telemetry.wal"), "no log").unwrap();
    let key = home.join("key.pem");
    fs::write(&key, "x").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    // Somebody who takes connections and never answers is no runtime.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("http://127.0.0.1:{port}");
    let missing = home.join("none.pem");
    let vars = [
        ("AUTONOMY_STRICT_MODE", "yes"),
        ("AUTONOMY_CLIENT_KEY", key.to_str().unwrap()),
        ("AUTONOMY_CA_FILE", missing.to_str().unwrap()),
        ("AUTONOMY_ORCHESTRATOR_URL", &nobody),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &nobody),
    ];
    let words = ["--wal-dir", wal.to_str().unwrap(), "--runtime-url", &nobody];
    let (code, told) = doctor(home, &words, &vars);
    assert_eq!(code, 9, "{told}");
    for (check, level) in [
        ("environment", "failed"),
        ("log", "failed"),
        ("directory", "warning"),
        ("runtime", "failed"),
        ("control plane", "failed"),
        ("collector", "failed"),
        ("keys", "failed"),
        ("keys", "warning"),
        ("policy", "skipped"),
    ] {
        let found = of(&told, check);
        let found = found.iter().find(|it| it["level"] == level);
        let found = found.unwrap_or_else(|| unreachable!("{check} {level}: {told}"));
        assert_eq!(found["fix"].is_string(), level != "skipped", "{found}");
    }
    assert_eq!(fs::read_to_string(wal.join("telemetry.wal")).unwrap(), "no log");
    assert_eq!(fs::read_dir(&wal).unwrap().count(), 1, "nothing is left behind");
}

/// Somebody who answers everything with an object that says nothing.
fn stranger() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            stream.read(&mut [0; 4096]).unwrap_or_default();
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            // Whoever asked may be gone.
            stream.write_all(answer.as_bytes()).ok();
        }
    });
    format!("http://{at}")
}

#[test]
fn somebody_who_answers_and_is_none_of_ours_is_told_as_that_by_doctor_and_status() {
    let dir = tempfile::tempdir().unwrap();
    let url = stranger();
    let words = ["--runtime-url", &url];
    let vars = [("AUTONOMY_ORCHESTRATOR_URL", url.as_str())];
    let (code, told) = doctor(dir.path(), &words, &vars);
    assert_eq!(code, 9, "{told}");
    for check in ["runtime", "control plane"] {
        let found = of(&told, check);
        assert_eq!(found[0]["level"], "failed", "{told}");
        assert!(found[0]["text"].as_str().unwrap().ends_with("(FOREIGN_ANSWER)"), "{told}");
    }
    let mut command = program(Bin::Autonomy).unwrap();
    command.args(["status", "--output", "json"]).args(words).env("HOME", dir.path());
    let ended = run_to_end(command.envs(vars)).unwrap();
    assert_eq!(ended.code(), Some(9), "{ended:?}");
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    for part in ["runtime", "control_plane"] {
        assert_eq!(told[part]["error"]["code"], "FOREIGN_ANSWER", "{told}");
        assert!(told["failed"].as_array().unwrap().iter().any(|it| it == part), "{told}");
    }
}
