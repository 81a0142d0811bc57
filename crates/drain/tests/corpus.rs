//! The seeds of the fuzz targets over this crate, as ordinary tests.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "the checks are those of the fuzz targets; seeds are files"
)]

#[path = "../../../tests/fuzz/src/cursors.rs"]
mod cursors;
#[path = "../../../tests/fuzz/src/dead_letters.rs"]
mod dead_letters;
#[path = "../../../tests/fuzz/src/json.rs"]
mod json;
#[path = "../../../tests/fuzz/src/replay.rs"]
mod replay;

#[test]
fn every_seed_of_cursors_holds() {
    replay::replay("cursors", cursors::check);
}

#[test]
fn every_seed_of_dead_letters_holds() {
    replay::replay("dead_letters", dead_letters::check);
}
