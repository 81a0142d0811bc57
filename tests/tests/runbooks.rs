//! The runbooks of the control plane and of databases run as they stand.
//!
//! Each block of shell commands runs in one shell, against a control plane that the page itself starts: the section
//! `Rehearsal` first, then the others in their order. The block of text behind a block is its output and its errors; what
//! differs each time, times and ids, is compared as one word for all. A block that shows no error ends with success.
#![expect(clippy::unwrap_used, reason = "a broken page fails the test")]

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, process::Command};

use e2e::harness::{Bin, NO_SKIP, Ports, run_to_end};

/// Printed behind the output of each block, with the exit code of its last command.
const MARK: &str = "@@ exit code ";
/// The port of the pages.
const PORT: &str = "8888";

/// Shell commands, with what is shown as their output.
#[derive(Debug)]
struct Block {
    commands: String,
    shown: Option<String>,
}

fn page(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join("docs/src").join(name)).unwrap()
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    for fenced in text.split("\n```").skip(1).step_by(2) {
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

/// The blocks in the order in which they are run.
fn in_order(page: &str) -> Vec<Block> {
    let (before, rehearsal) = page.split_once("\n## Rehearsal\n").unwrap();
    let mut found = blocks(rehearsal);
    assert!(found.iter().all(|it| it.shown.is_none()), "a rehearsal shows nothing");
    found.extend(blocks(before));
    found
}

/// A word without what differs each time.
fn hidden(word: &str) -> &str {
    let bare = word.trim_end_matches([';', ',']);
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    let hex = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
    if bare.starts_with("20") && bare.contains('T') && bare.ends_with('Z') {
        return "<time>";
    }
    // Where a restore keeps the old files.
    if bare.contains(".corrupt-20") {
        return "<kept>";
    }
    if bare.len() == 16 && bare.bytes().all(hex) {
        return "<id>";
    }
    if bare.strip_suffix('s').is_some_and(digits) { "<seconds>" } else { word }
}

/// Words by lines: columns are as wide as the times in them.
fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|it| it.split_whitespace().map(hidden).collect()).collect()
}

/// Runs a page; `after_rehearsal` is run behind its rehearsal.
fn every_command_prints_what_the_page_shows(name: &str, after_rehearsal: &str) {
    let page = page(name);
    let blocks = in_order(&page);
    let rehearsal = self::blocks(page.split("\n## Rehearsal\n").nth(1).unwrap()).len();
    let port = Ports::free().unwrap().orchestrator.to_string();
    let mut script =
        "set -o pipefail\nexec 2>&1\ntrap 'kill $(jobs -p) 2> /dev/null' EXIT\n".to_owned();
    for (at, block) in blocks.iter().enumerate() {
        writeln!(script, "{}\necho \"{MARK}$?\"", block.commands).unwrap();
        if at + 1 == rehearsal {
            script.push_str(after_rehearsal);
        }
    }
    // A plan of this test is not a quarter of an hour old.
    let script = script.replacen("--threshold 15m", "--threshold 1s", 1).replace(PORT, &port);
    let dir = tempfile::tempdir().unwrap();
    let programs = [Bin::Autonomy, Bin::Orchestrator].map(|it| it.path().unwrap());
    let programs = programs[0].parent().unwrap().to_str().unwrap().to_owned();
    let mut command = Command::new("bash");
    command.arg("-c").arg(&script).current_dir(dir.path()).env_clear();
    command.env("PATH", format!("{programs}:/usr/bin:/bin")).env("HOME", dir.path());
    let done = run_to_end(&mut command).unwrap();
    let output = done.stdout.replace(&port, PORT);
    let mut rest = &*output;
    for Block { commands, shown } in &blocks {
        let (printed, behind) = rest.split_once(MARK).unwrap_or((rest, "none\n"));
        let (code, behind) = behind.split_once('\n').unwrap();
        rest = behind;
        let fails = shown.as_ref().is_some_and(|it| it.contains("error: "));
        assert_eq!(code != "0", fails, "exit code {code}:\n{commands}{output}{}", done.stderr);
        if let Some(shown) = shown {
            assert_eq!(words(printed), words(shown), "{commands}{output}");
        }
    }
    let shown = blocks.iter().filter(|it| it.shown.is_some()).count();
    assert!(shown >= 6, "only {shown} outputs: are these all blocks?");
}

#[test]
fn the_stuck_rollout_is_recovered_as_the_page_shows() {
    // Until the plan has been quiet for as long as the page asks for.
    let wait = "timeout 60 bash -c 'until autonomy rollout stuck --threshold 1s \
                --orchestrator-url http://127.0.0.1:8888 | grep -q arm; do read -rt 0.1 < <(:); done'\n";
    every_command_prints_what_the_page_shows("runbooks/01-stuck-rollout.md", wait);
}

#[test]
fn the_gate_is_approved_and_rejected_as_the_page_shows() {
    every_command_prints_what_the_page_shows("runbooks/02-gate-approval.md", "");
}

#[test]
fn roles_tokens_certificates_and_break_glass_are_as_the_page_shows() {
    let openssl = Command::new("openssl").arg("version").output();
    if !openssl.is_ok_and(|it| it.status.success()) {
        assert!(std::env::var_os(NO_SKIP).is_none(), "openssl may not be missing here");
        return;
    }
    every_command_prints_what_the_page_shows("runbooks/09-roles.md", "");
}

#[test]
fn the_emergency_rollback_is_done_as_the_page_shows() {
    every_command_prints_what_the_page_shows("runbooks/11-emergency-rollback.md", "");
}

#[test]
fn databases_are_backed_up_migrated_restored_and_maintained_as_the_page_shows() {
    every_command_prints_what_the_page_shows("runbooks/database-backup-and-rollback.md", "");
}

/// Roles with what they permit, as the table of a page has them.
fn roles_of_the_page() -> BTreeSet<(String, Vec<String>)> {
    let page = page("runbooks/09-roles.md");
    let section = page.split("\n## Roles\n").nth(1).unwrap();
    let section = section.split("| permission |").next().unwrap();
    let rows = section.lines().filter(|it| it.starts_with("| `"));
    rows.map(|row| {
        let mut quoted = row.split('`').skip(1).step_by(2).map(str::to_owned);
        (quoted.next().unwrap(), quoted.collect())
    })
    .collect()
}

#[test]
fn the_table_of_roles_is_what_the_control_plane_says() {
    let dir = tempfile::tempdir().unwrap();
    let stack = e2e::harness::Stack::new(dir.path(), Ports::free().unwrap());
    let _control_plane = stack.orchestrator().unwrap();
    let client = e2e::harness::Client::new().unwrap();
    let found = client.get_json(&format!("{}/v1/rbac/roles", stack.orchestrator_url())).unwrap();
    let roles = found["roles"].as_array().unwrap().iter().map(|it| {
        let permissions = it["permissions"].as_array().unwrap().iter();
        let permissions = permissions.map(|it| it.as_str().unwrap().to_owned());
        (it["name"].as_str().unwrap().to_owned(), permissions.collect())
    });
    assert_eq!(roles_of_the_page(), roles.collect::<BTreeSet<_>>());
}
