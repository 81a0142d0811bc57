//! Every command that the program lists, where nothing is that it needs: no service answers, no file is there.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{collections::BTreeSet, process::Command};

use e2e::harness::{Bin, Finished, autonomy, program, run_to_end};
use serde_json::{Deserializer, Value};

/// They serve, or run for as long as somebody looks: each has tests of its own.
const SERVE: [&str; 2] = ["runtime start", "demo gazebo"];
/// A place where nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";
/// Longest run of a command, in seconds.
const LONGEST: &str = "60";

fn capabilities() -> Value {
    let ended = autonomy(&["capabilities", "--output", "json"]).unwrap();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or_default()
}

/// A value that fits the form of an argument, and names nothing that is there.
fn value(command: &str, argument: &Value) -> String {
    let name = text(argument, "name");
    if let Some(first) = argument["values"].as_array().and_then(|it| it.first()) {
        return first.as_str().unwrap().to_owned();
    }
    match (command, name) {
        (_, "endpoint" | "runtime-url" | "url") => NOBODY.to_owned(),
        (_, "image" | "from" | "to")
            if command.starts_with("oci") || command.starts_with("bundle") =>
        {
            "oci:./nothing:1.0.0".to_owned()
        }
        ("sign" | "verify", "image") => "oci:./nothing:1.0.0".to_owned(),
        ("run" | "ros2 run", "command" | "args") => "true".to_owned(),
        (_, "older-than" | "since" | "before" | "ttl") => "1h".to_owned(),
        _ => "nothing".to_owned(),
    }
}

fn words(leaf: &Value) -> Vec<String> {
    let command = text(leaf, "command");
    let mut words: Vec<String> = command.split(' ').map(str::to_owned).collect();
    let json = leaf["json"].as_str().unwrap_or_default();
    words.extend(json.split_whitespace().map(str::to_owned));
    let required = |it: &&Value| it["required"] == true;
    for argument in leaf["arguments"].as_array().unwrap().iter().filter(required) {
        if argument["positional"] == false {
            words.push(format!("--{}", text(argument, "name")));
        }
        if argument["takes_value"] == true {
            words.push(value(command, argument));
        }
    }
    words
}

/// Runs a command in an empty directory, with an environment that names nobody. `timeout` ends one that hangs with 124.
fn ran(words: &[String], more: &[(&str, &str)]) -> Finished {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("timeout");
    command.args(["-k", "5", LONGEST]).arg(Bin::Autonomy.path().unwrap()).args(words);
    let plain = program(Bin::Autonomy).unwrap();
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(dir.path()).env("HOME", dir.path()).env("TMPDIR", dir.path());
    for name in ["XDG_STATE_HOME", "XDG_CACHE_HOME", "AUTONOMY_STATE_DIR"] {
        command.env_remove(name);
    }
    command.env("AUTONOMY_ORCHESTRATOR_URL", NOBODY).env("AUTONOMY_RUNTIME_URL", NOBODY);
    command.envs(more.iter().copied());
    run_to_end(&mut command).unwrap()
}

/// The documents on stdout.
fn documents(ended: &Finished) -> Result<Vec<Value>, serde_json::Error> {
    Deserializer::from_str(&ended.stdout).into_iter().collect()
}

#[test]
fn every_command_ends_with_a_listed_code_and_one_json_document_where_nothing_is_there() {
    let told = capabilities();
    let codes: BTreeSet<i64> = told["exit_codes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["code"].as_i64().unwrap())
        .collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for leaf in told["commands"].as_array().unwrap() {
        let command = text(leaf, "command");
        if SERVE.contains(&command) {
            continue;
        }
        seen += 1;
        let words = words(leaf);
        let ended = ran(&words, &[]);
        let code = ended.code().map_or(-1, i64::from);
        if !codes.contains(&code) {
            wrong.push(format!("{words:?}: exit code {code}: {ended:?}"));
        }
        if ended.stderr.contains("panicked") {
            wrong.push(format!("{words:?}: {}", ended.stderr));
        }
        if leaf["json"].is_null() {
            continue;
        }
        match documents(&ended) {
            Ok(all) if all.len() == 1 => {}
            // Entries are a line each, and there are none.
            Ok(all) if all.is_empty() && code == 0 && STREAMS.contains(&command) => {}
            Ok(all) => wrong.push(format!("{words:?}: {} documents: {ended:?}", all.len())),
            Err(error) => wrong.push(format!("{words:?}: {error}: {ended:?}")),
        }
    }
    assert!(seen > 100, "{seen} commands");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Commands whose JSON is a line for each entry.
const STREAMS: [&str; 1] = ["logs"];

#[test]
fn a_wrong_command_line_is_one_json_document_where_json_is_asked_for() {
    for words in [
        &["goal", "init", "--no-such-option", "--format", "json"][..],
        &["wal", "status", "--output=json", "--seq", "x"],
        &["no-such-command", "--output", "json"],
        &["rollout", "plan", "describe", "--output", "json"],
    ] {
        let ended = autonomy(words).unwrap();
        assert_eq!(ended.code(), Some(2), "{ended:?}");
        let all = documents(&ended).unwrap();
        assert_eq!(all.len(), 1, "{ended:?}");
        assert_eq!(all[0]["error"]["code"], "USAGE", "{ended:?}");
        assert!(!all[0]["error"]["message"].as_str().unwrap().is_empty(), "{ended:?}");
    }
    let plain = autonomy(&["goal", "init", "--no-such-option"]).unwrap();
    assert_eq!((plain.code(), plain.stdout.as_str()), (Some(2), ""));
    let passed_on = autonomy(&["run", "--no-such", "--", "x", "--output", "json"]).unwrap();
    assert_eq!(passed_on.stdout, "", "what belongs to the command asks for nothing");
}

#[test]
fn what_reads_changes_nothing_in_an_empty_directory() {
    for leaf in capabilities()["commands"].as_array().unwrap() {
        if leaf["mutates"] == true {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap();
        let (state, cache) = (format!("{home}/state"), format!("{home}/cache"));
        let more = [("HOME", home), ("XDG_STATE_HOME", &state), ("XDG_CACHE_HOME", &cache)];
        let words = words(leaf);
        ran(&words, &more);
        let entries = std::fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().path());
        // A cache may begin: whoever deletes it misses nothing.
        let left: Vec<_> = entries.filter(|it| !it.ends_with("cache")).collect();
        assert!(left.is_empty(), "{words:?} left {left:?}");
    }
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ended = autonomy(&["completions", shell]).unwrap();
        assert_eq!(ended.code(), Some(0));
        for word in ["resilience-status", "verify-loop", "deadletter"] {
            assert!(ended.stdout.contains(word), "{shell}: {word}");
        }
        // A key of a setting, and a code that has a page.
        for word in ["orchestrator_url", "SEQ_GAP"] {
            let offered = ["bash", "zsh", "fish"].contains(&shell);
            assert_eq!(ended.stdout.contains(word), offered, "{shell}: {word}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("autonomy.bash");
    std::fs::write(&script, autonomy(&["completions", "bash"]).unwrap().stdout).unwrap();
    let syntax = "source \"$1\"; complete -p autonomy";
    let mut bash = Command::new("bash");
    let bash = run_to_end(bash.args(["-c", syntax, "bash"]).arg(&script)).unwrap();
    assert!(bash.stdout.contains("_autonomy"), "{bash:?}");
    let pages = dir.path().join("man1");
    let ended = autonomy(&["man", "--dir", pages.to_str().unwrap()]).unwrap();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    for leaf in capabilities()["commands"].as_array().unwrap() {
        let page = format!("autonomy-{}.1", text(leaf, "command").replace(' ', "-"));
        let found = std::fs::read_to_string(pages.join(&page)).unwrap_or_default();
        assert!(found.contains(".TH"), "{page}");
    }
}
