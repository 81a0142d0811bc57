//! Tutorials 01 and 02 run as they stand.
//!
//! Each block of shell commands runs in one shell, in order, and ends with success; the block of text behind a block is
//! its output and its errors. What differs each time, times, ids and ports, is compared as one word for all. Tutorial 03
//! is a story (`tests/tutorial.rs`).
#![expect(clippy::unwrap_used, reason = "a broken page fails the test")]

use e2e::harness::{Ports, Walk, alike, blocks, page};

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
