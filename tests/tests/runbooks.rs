//! The runbooks of the control plane and of databases run as they stand.
//!
//! Each block of shell commands runs in one shell, against a control plane that the page itself starts: the section
//! `Rehearsal` first, then the others in their order. The block of text behind a block is its output and its errors; what
//! differs each time, times and ids, is compared as one word for all. A block that shows no error ends with success.
#![expect(clippy::unwrap_used, reason = "a broken page fails the test")]

use std::{collections::BTreeSet, process::Command};

use e2e::harness::{Block, NO_SKIP, Ports, Walk, alike, blocks, page};

/// The port of the pages.
const PORT: &str = "8888";

/// The blocks in the order in which they are run.
fn in_order(page: &str) -> Vec<Block> {
    let (before, rehearsal) = page.split_once("\n## Rehearsal\n").unwrap();
    let mut found = blocks(rehearsal).unwrap();
    assert!(found.iter().all(|it| it.shown.is_none()), "a rehearsal shows nothing");
    found.extend(blocks(before).unwrap());
    found
}

/// Runs a page; `after_rehearsal` is run behind its rehearsal.
fn every_command_prints_what_the_page_shows(name: &str, after_rehearsal: &str) {
    let page = page(name).unwrap();
    let mut blocks = in_order(&page);
    let rehearsal = self::blocks(page.split("\n## Rehearsal\n").nth(1).unwrap()).unwrap().len();
    // A plan of this test is not a quarter of an hour old.
    if let Some(it) = blocks.iter_mut().find(|it| it.commands.contains("--threshold 15m")) {
        it.commands = it.commands.replacen("--threshold 15m", "--threshold 1s", 1);
    }
    let port = Ports::free().unwrap().orchestrator.to_string();
    let walk = Walk { between: Some((rehearsal, after_rehearsal)), instead: vec![(PORT, port)] };
    let printed = walk.run(&blocks).unwrap();
    for (block, printed) in blocks.iter().zip(&printed) {
        let fails = block.shown.as_ref().is_some_and(|it| it.contains("error: "));
        assert_eq!(printed.code != 0, fails, "{block:?}\n{printed:?}");
        let shown = block.shown.as_ref();
        assert!(shown.is_none_or(|it| alike(&printed.output, it)), "{block:?}\n{printed:?}");
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
    let page = page("runbooks/09-roles.md").unwrap();
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
