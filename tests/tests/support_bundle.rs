//! `autonomy support-bundle generate`: one archive, without secrets, whatever is broken.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use e2e::harness::{Bin, Finished, Ports, RuntimeOptions, Stack, program, run_to_end};
use serde_json::{Value, json};

const SECRET: &str = "s3cr3t-of-the-node";
/// What follows the beginning of a token that is known.
const TOKEN: &str = "0123456789abcdef";

fn generate(home: &Path, words: &[&str]) -> Finished {
    let mut command = program(Bin::Autonomy).unwrap();
    command.args(["support-bundle", "generate", "--output", "json"]).args(words);
    command.env("HOME", home).current_dir(home);
    for name in ["XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"] {
        command.env_remove(name);
    }
    command.env("AUTONOMY_TOKEN", SECRET).env("AUTONOMY_RUNTIME_URL", "http://127.0.0.1:1");
    command.env("AUTONOMY_DISPATCH_CMD", format!("agent --token {TOKEN}"));
    command.env("AUTONOMY_ORCHESTRATOR_URL", format!("http://ann:{SECRET}@127.0.0.1:1"));
    run_to_end(&mut command).unwrap()
}

#[test]
fn the_archive_has_every_part_and_no_secret_and_says_what_could_not_be_collected() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let wal = home.join("wal");
    fs::create_dir(&wal).unwrap();
    fs::write(wal.join("telemetry.wal"), format!("no log, and a {SECRET}")).unwrap();
    fs::write(wal.join("telemetry.deadletter.jsonl"), "torn\n").unwrap();
    fs::write(wal.join(format!("ghp_{TOKEN}")), "").unwrap();
    let ended = generate(home, &["--out", "a.tar.gz", "--wal-dir", "wal"]);
    assert_eq!(ended.code(), Some(0), "an answer that is no good is an answer: {ended:?}");
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    let parts = told["parts"].as_array().unwrap();
    let problem = |file: &str| {
        let part = parts.iter().find(|it| it["file"] == file);
        part.unwrap_or_else(|| unreachable!("{file}: {told}"))["problem"].clone()
    };
    assert!(problem("wal-status.json").is_string(), "{told}");
    assert!(problem("status.json").is_string(), "nobody answers: {told}");
    assert!(problem("environment.json").is_null() && problem("config.json").is_null(), "{told}");
    let archive = home.join("a.tar.gz");
    assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    let mut tar = Command::new("tar");
    let unpacked = run_to_end(tar.args(["-xzf", "a.tar.gz"]).current_dir(home)).unwrap();
    assert_eq!(unpacked.code(), Some(0), "{unpacked:?}");
    let mut seen = 0;
    for entry in fs::read_dir(home.join("autonomy-support")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(SECRET) && !text.contains(TOKEN), "{}: {text}", path.display());
        if path.extension().is_some_and(|it| it == "json") && !text.is_empty() {
            let all: Result<Vec<Value>, _> =
                serde_json::Deserializer::from_str(&text).into_iter().collect();
            assert!(all.is_ok(), "{}: {text}", path.display());
        }
        seen += 1;
    }
    assert_eq!(seen, parts.len() + 1, "and the manifest");
    let environment = fs::read_to_string(home.join("autonomy-support/environment.json")).unwrap();
    assert!(environment.contains("AUTONOMY_TOKEN") && environment.contains("[redacted]"));
    let read = |file: &str| -> Value {
        let path = home.join("autonomy-support").join(file);
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let host = read("host.json");
    assert!(host["host"].is_string() && host["kernel"].is_string(), "{host}");
    let files = read("log-files.json");
    let names: Vec<_> = files["files"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["[redacted]", "telemetry.deadletter.jsonl", "telemetry.wal"]);
    assert!(files["files"][2]["bytes"].as_u64().unwrap() > 0, "{files}");
    let letters = json!({ "count": 0, "damaged": 1, "dead_letters": [] });
    assert_eq!(read("deadletters.json"), letters);
    let space = read("space.json");
    let log = space.as_array().unwrap().iter().find(|it| it["of"] == "log").unwrap();
    assert!(log["bytes_free"].is_u64() && log["files_total"].is_u64(), "{space}");
    for file in ["runtime-status.json", "runtime-metrics.txt"] {
        let why = problem(file);
        assert!(why.as_str().unwrap().contains("RUNTIME_UNREACHABLE"), "none runs: {why}");
    }
    let again = generate(home, &["--out", "a.tar.gz"]);
    assert_eq!(again.code(), Some(6), "nothing is written over: {again:?}");
}

#[test]
fn what_a_runtime_says_about_itself_is_in_the_archive_and_lists_that_are_empty_are_documents() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    let mut command = program(Bin::Autonomy).unwrap();
    command.args(["support-bundle", "generate", "--output", "json", "--out", "a.tar.gz"]);
    command.arg("--wal-dir").arg(stack.wal_dir()).env("HOME", dir.path());
    command.env("AUTONOMY_RUNTIME_URL", stack.runtime_url()).current_dir(dir.path());
    let ended = run_to_end(&mut command).unwrap();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    runtime.stop().unwrap();
    let mut tar = Command::new("tar");
    run_to_end(tar.args(["-xzf", "a.tar.gz"]).current_dir(dir.path())).unwrap();
    let read =
        |file: &str| fs::read_to_string(dir.path().join("autonomy-support").join(file)).unwrap();
    let json = |file: &str| -> Value { serde_json::from_str(&read(file)).unwrap() };
    assert_eq!(json("runtime-status.json")["node"], "demo-node");
    assert!(read("runtime-metrics.txt").contains("# TYPE "), "{}", read("runtime-metrics.txt"));
    assert_eq!(json("open-intents.json"), json!({ "count": 0, "open_intents": [] }));
    assert_eq!(json("deadletters.json"), json!({ "count": 0, "damaged": 0, "dead_letters": [] }));
    assert_eq!(json("status.json")["control_plane"], json!({ "configured": false }));
}
