//! Tutorials 01, 02 and 03 run as they stand.
//!
//! Each block of shell commands runs in one shell, in order, and ends with success; the block of text behind a block is
//! its output and its errors. What differs each time, times, ids and ports, is compared as one word for all.
//! Tutorial 03 is a story, too (`tests/tutorial.rs`), and shows a part of what is printed.
#![expect(clippy::unwrap_used, reason = "a broken page fails the test")]

use std::path::Path;

use e2e::harness::{Bin, Block, Ports, Walk, alike, blocks, elsewhere, page, shows};

/// Runs a page, with `ports` in the place of those that it names: each as it stands there, and what it becomes.
fn every_command_prints_what_the_page_shows(name: &str, ports: Vec<(&str, String)>) {
    let blocks = blocks(&page(&format!("tutorials/{name}")).unwrap()).unwrap();
    let printed = Walk { instead: ports, ..Walk::default() }.run(&blocks).unwrap();
    for (block, printed) in blocks.iter().zip(&printed) {
        assert_eq!(printed.code, 0, "{block:?}\n{printed:?}");
        let shown = block.shown.as_ref();
        assert!(shown.is_none_or(|it| alike(&printed.output, it)), "{block:?}\n{printed:?}");
    }
    let shown = blocks.iter().filter(|it| it.shown.is_some()).count();
    assert!(shown >= 10, "only {shown} outputs: are these all blocks?");
}

#[test]
fn a_release_is_received_verified_and_activated_as_the_page_shows() {
    let port = Ports::free().unwrap().runtime.to_string();
    every_command_prints_what_the_page_shows("01-receive-verify-activate.md", vec![("7777", port)]);
}

#[test]
fn many_nodes_follow_plans_as_the_page_shows() {
    let ports = Ports::free().unwrap();
    // The three nodes of the page have one port each; here one port at an address each.
    let node = format!("127.0.0.1$1:{}", ports.runtime);
    every_command_prints_what_the_page_shows(
        "02-many-nodes.md",
        vec![("8888", ports.orchestrator.to_string()), ("127.0.0.1:777$1", node)],
    );
}

#[test]
fn a_crash_is_recovered_by_hand_as_the_page_shows() {
    let mut all = blocks(&page("tutorials/03-crash-and-recovery.md").unwrap()).unwrap();
    let story = all.remove(0);
    assert_eq!(story.commands, "cargo xtask demo\n", "the story has a test of its own");
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let checkout = format!("ln -s {} crates", crates.canonicalize().unwrap().display());
    all.insert(0, Block { commands: checkout, shown: None });
    let programs = Bin::Autonomy.path().unwrap();
    Bin::Sink.path().unwrap();
    let mut instead = elsewhere(Ports::free().unwrap());
    instead.push(("cargo build --bins\n", String::new()));
    instead.push(("$PWD/target/debug", programs.parent().unwrap().display().to_string()));
    let printed = Walk { instead, ..Walk::default() }.run(&all).unwrap();
    for (block, printed) in all.iter().zip(&printed) {
        let shown = block.shown.as_ref();
        assert!(shown.is_none_or(|it| shows(&printed.output, it)), "{block:?}\n{printed:?}");
    }
    let said = |word: &str| printed.iter().any(|it| it.output.contains(word));
    assert!(said("\"count\": 5") && said("pre-crash") && said("strict_mode"), "{printed:#?}");
    assert_eq!(printed.last().unwrap().code, 0, "{printed:#?}");
}
