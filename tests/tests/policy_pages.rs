//! The pages about policies say what the programs do.
//!
//! Each block of shell commands of the tutorial runs in one shell, in order; the block of text behind it is its
//! output.
#![expect(clippy::unwrap_used, reason = "a broken page fails the test")]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use e2e::{
    harness::{Bin, Client, Ports, RuntimeOptions, Stack, run_to_end},
    stories::release::Release,
};
use serde_json::{Value, json};

/// Printed between the outputs of two blocks.
const MARK: &str = "@@ next block @@";

fn page(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join("docs/src").join(name)).unwrap()
}

/// Blocks of shell commands, each with the text that is shown as its output.
fn blocks(page: &str) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    for fenced in page.split("\n```").skip(1).step_by(2) {
        let (language, body) = fenced.split_once('\n').unwrap();
        match language {
            "sh" => found.push((format!("{body}\n"), None)),
            "text" => {
                let (_, shown) = found.last_mut().unwrap();
                assert!(shown.replace(format!("{body}\n")).is_none(), "two outputs: {body}");
            }
            other => assert_eq!(other, "sh", "nobody runs this block"),
        }
    }
    found
}

#[test]
fn every_command_of_the_tutorial_prints_what_the_page_shows() {
    let dir = tempfile::tempdir().unwrap();
    let port = Ports::free().unwrap().runtime.to_string();
    let blocks = blocks(&page("tutorials/write-a-policy.md"));
    assert!(blocks.iter().filter(|it| it.1.is_some()).count() >= 9);
    let mut script =
        "set -eu -o pipefail\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n".to_owned();
    for (commands, _) in &blocks {
        let commands = commands.replace("7777", &port);
        script.extend([&*commands, "\necho '", MARK, "'\n"]);
    }
    let programs = Bin::Autonomy.path().unwrap();
    let programs = programs.parent().unwrap().to_str().unwrap().to_owned();
    let mut command = Command::new("bash");
    command.arg("-c").arg(&script).current_dir(dir.path()).env_clear();
    command.env("PATH", format!("{programs}:/usr/bin:/bin")).env("HOME", dir.path());
    let done = run_to_end(&mut command).unwrap();
    let outputs: Vec<_> = done.stdout.split(&format!("{MARK}\n")).collect();
    for (index, (commands, shown)) in blocks.iter().enumerate() {
        let output = outputs.get(index).copied().unwrap_or_default();
        if let Some(shown) = shown {
            assert_eq!(output, shown, "{commands}{done:?}");
        }
    }
    assert_eq!(outputs.len(), blocks.len() + 1, "{done:?}");
}

/// The first cells of every row of the tables below a heading, without their quotes.
fn listed(page: &str, heading: &str) -> BTreeSet<String> {
    let section = page.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|it| it.starts_with("| `"));
    let cells = rows.map(|it| it.split('|').nth(1).unwrap());
    cells.flat_map(|it| it.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

#[test]
fn every_attribute_of_real_entries_is_listed_and_every_listed_one_is_real() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(&dir.path().join("node"), Ports::free().unwrap());
    fs::create_dir(dir.path().join("p")).unwrap();
    let rego = "package autonomy\n\n\
        decision := {\"allow\": true, \"rule\": \"r\", \"obligations\": [\"slow\"]} if input.kind == \"arm.move\"\n\
        decision := {\"allow\": true} if startswith(input.kind, \"tool.\")\n";
    fs::write(dir.path().join("p/a.rego"), rego).unwrap();
    let (from, bundle) = (dir.path().join("p"), dir.path().join("b.tar.gz"));
    let (from, bundle) = (from.to_str().unwrap(), bundle.to_str().unwrap());
    let slots = stack.policy_dir();
    for args in [
        &["policy", "build", "--in", from, "--out", bundle, "--version", "1.0.0"][..],
        &["policy", "load", "--bundle", bundle, "--policy-dir", slots.to_str().unwrap()],
    ] {
        let done = e2e::harness::autonomy(args).unwrap();
        assert_eq!(done.code(), Some(0), "{done:?}");
    }
    let operator = [("AUTONOMY_OPERATOR", "op")];
    let start = || stack.runtime(&RuntimeOptions { env: &operator, args: &["--enable-shell"] });
    let client = Client::new().unwrap();
    let url = format!("{}/v1/tool", stack.runtime_url());
    let runtime = start().unwrap();
    for call in [
        json!({ "kind": "arm.move", "context": { "goal": "pick" } }),
        json!({ "kind": "other", "params": { "x": 1 } }),
        json!({ "kind": "tool.echo", "params": { "message": "x".repeat(70_000) } }),
        json!({ "kind": "tool.http_get", "params": { "endpoint": "http://127.0.0.1:1/" } }),
    ] {
        client.post(&url, call.to_string()).unwrap();
    }
    // A call that is running when the process dies has an unknown outcome.
    let sleeping = json!({ "kind": "tool.shell", "params": { "command": "sleep 30" } }).to_string();
    let (http, at) = (client.http().clone(), url);
    let call = client.spawn(async move { http.post(&at).body(sleeping).send().await.is_ok() });
    e2e::harness::eventually("the decision is on record", || {
        stack.export().ok()?.into_iter().find(|it| it.contains("sleep 30"))
    })
    .unwrap();
    runtime.kill().unwrap();
    assert!(!client.block_on(call).unwrap());
    start().unwrap().stop().unwrap();
    // The policy of a release.
    let release = Release::publish(&stack, "1.0.0", 1).unwrap();
    let loaded = release.load(&stack).unwrap();
    assert_eq!(loaded.code(), Some(0), "{loaded:?}");
    let runtime = start().unwrap();
    let call = json!({ "kind": "tool.echo", "params": { "message": "x" } });
    client.post(&format!("{}/v1/tool", stack.runtime_url()), call.to_string()).unwrap();
    runtime.stop().unwrap();

    let (mut decisions, mut outcomes) = (BTreeSet::new(), BTreeSet::new());
    for line in stack.export().unwrap() {
        let entry: Value = serde_json::from_str(&line).unwrap();
        let attrs = entry["event"]["attrs"].as_object().unwrap();
        match entry["event"]["kind"].as_str().unwrap() {
            "autonomy.decision" => decisions.extend(attrs.keys().cloned()),
            "autonomy.action" | "autonomy.error" => outcomes.extend(attrs.keys().cloned()),
            _ => {}
        }
    }
    let page = page("concepts/what-is-on-record.md");
    assert_eq!(listed(&page, "The decision"), decisions);
    assert_eq!(listed(&page, "The outcome"), outcomes);
}
