//! Tutorials 01 and 02 run as they stand.
//!
//! Each block of shell commands runs in one shell, in order, and ends with success; the block of text behind a block is
//! its output and its errors. What differs each time, times, ids and ports, is compared as one word for all. Tutorial 03
//! is a story (`tests/tutorial.rs`).
#![expect(clippy::unwrap_used, reason = "a broken page fails the test")]

use std::{fmt::Write as _, fs, path::Path, process::Command};

use e2e::harness::{Bin, Ports, run_to_end};

/// Printed behind the output of each block, with the exit code of its last command.
const MARK: &str = "@@ exit code ";

/// Shell commands, with what is shown as their output.
#[derive(Debug)]
struct Block {
    commands: String,
    shown: Option<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    for fenced in page.split("\n```").skip(1).step_by(2) {
        let (language, body) = fenced.split_once('\n').unwrap();
        let body = format!("{body}\n");
        match language {
            "sh" => found.push(Block { commands: body, shown: None }),
            "text" => {
                let last = found.last_mut().unwrap();
                assert!(last.shown.replace(body).is_none(), "two outputs: {last:?}");
            }
            other => assert_eq!(other, "sh", "nobody runs this block"),
        }
    }
    found
}

/// A word without what differs each time.
fn hidden(word: &str) -> &str {
    let bare = word.trim_end_matches([';', ',']);
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    if bare.starts_with("20") && bare.contains('T') && bare.ends_with('Z') {
        return "<time>";
    }
    if let Some((name @ ("key" | "at"), _)) = word.split_once('=') {
        return name;
    }
    if bare.strip_suffix('s').is_some_and(digits) { "<seconds>" } else { word }
}

/// Words by lines: columns are as wide as the times in them.
fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|it| it.split_whitespace().map(hidden).collect()).collect()
}

/// Runs a page, with `ports` in the place of those that it names: each as it stands there, and what it becomes.
fn every_command_prints_what_the_page_shows(name: &str, ports: &[(&str, String)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let blocks = blocks(&fs::read_to_string(root.join("docs/src/tutorials").join(name)).unwrap());
    let mut script =
        "set -o pipefail\nexec 2>&1\ntrap 'kill $(jobs -p) 2> /dev/null' EXIT\n".to_owned();
    for block in &blocks {
        writeln!(script, "{}\necho \"{MARK}$?\"", block.commands).unwrap();
    }
    for (named, free) in ports {
        assert!(script.contains(named), "{name} no longer has {named}");
        script = script.replace(named, free);
    }
    let dir = tempfile::tempdir().unwrap();
    let programs = [Bin::Autonomy, Bin::Orchestrator].map(|it| it.path().unwrap());
    let programs = programs[0].parent().unwrap().to_str().unwrap().to_owned();
    let mut command = Command::new("bash");
    command.arg("-c").arg(&script).current_dir(dir.path()).env_clear();
    command.env("PATH", format!("{programs}:/usr/bin:/bin")).env("HOME", dir.path());
    let done = run_to_end(&mut command).unwrap();
    let output =
        ports.iter().fold(done.stdout.clone(), |it, (named, free)| it.replace(free, named));
    let mut rest = &*output;
    for Block { commands, shown } in &blocks {
        let (printed, behind) = rest.split_once(MARK).unwrap_or((rest, "none\n"));
        let (code, behind) = behind.split_once('\n').unwrap();
        rest = behind;
        assert_eq!(code, "0", "{commands}{output}{}", done.stderr);
        if let Some(shown) = shown {
            assert_eq!(words(printed), words(shown), "{commands}{output}");
        }
    }
    let shown = blocks.iter().filter(|it| it.shown.is_some()).count();
    assert!(shown >= 10, "only {shown} outputs: are these all blocks?");
}

#[test]
fn a_release_is_received_verified_and_activated_as_the_page_shows() {
    let port = Ports::free().unwrap().runtime.to_string();
    every_command_prints_what_the_page_shows("01-receive-verify-activate.md", &[("7777", port)]);
}

#[test]
fn many_nodes_follow_plans_as_the_page_shows() {
    let ports = Ports::free().unwrap();
    // The three nodes of the page have one port each; here one port at an address each.
    let node = format!("127.0.0.1$1:{}", ports.runtime);
    every_command_prints_what_the_page_shows(
        "02-many-nodes.md",
        &[("8888", ports.orchestrator.to_string()), ("127.0.0.1:777$1", node)],
    );
}
