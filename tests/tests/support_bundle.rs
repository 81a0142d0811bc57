//! `autonomy support-bundle generate`: one archive, without secrets, whatever is broken.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use e2e::harness::{Bin, Finished, program, run_to_end};
use serde_json::Value;

const SECRET: &str = "s3cr3t-of-the-node";

fn generate(home: &Path, words: &[&str]) -> Finished {
    let mut command = program(Bin::Autonomy).unwrap();
    command.args(["support-bundle", "generate", "--output", "json"]).args(words);
    command.env("HOME", home).current_dir(home);
    for name in ["XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"] {
        command.env_remove(name);
    }
    command.env("AUTONOMY_TOKEN", SECRET);
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
        assert!(!text.contains(SECRET), "{}: {text}", path.display());
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
    let again = generate(home, &["--out", "a.tar.gz"]);
    assert_eq!(again.code(), Some(6), "nothing is written over: {again:?}");
}
