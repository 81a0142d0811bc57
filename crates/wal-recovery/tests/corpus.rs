//! The seeds of the fuzz targets over this crate, as ordinary tests.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the checks are those of the fuzz targets"
)]

#[path = "../../../tests/fuzz/src/disk.rs"]
mod disk;
#[path = "../../../tests/fuzz/src/json.rs"]
mod json;
#[path = "harness/oracle.rs"]
mod oracle;
#[path = "../../../tests/fuzz/src/recover.rs"]
mod recover;
#[path = "../../../tests/fuzz/src/replay.rs"]
mod replay;
#[path = "../../../tests/fuzz/src/steps.rs"]
mod steps;
#[path = "../../../tests/fuzz/src/tail.rs"]
mod tail;

#[test]
fn every_seed_of_recover_holds() {
    replay::replay("recover", recover::check);
}

#[test]
fn every_seed_of_tail_holds() {
    replay::replay("tail", tail::check);
}

#[test]
fn every_seed_of_steps_holds() {
    replay::replay("steps", steps::check);
}
