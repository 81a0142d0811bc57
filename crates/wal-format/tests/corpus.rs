//! The seeds of the fuzz targets over this crate, as ordinary tests.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "the checks are those of the fuzz targets; seeds are files"
)]

#[path = "../../../tests/fuzz/src/encode.rs"]
mod encode;
#[path = "../../../tests/fuzz/src/entry.rs"]
mod entry;
#[path = "../../../tests/fuzz/src/frame.rs"]
mod frame;
#[path = "../../../tests/fuzz/src/json.rs"]
mod json;
#[path = "../../../tests/fuzz/src/life_files.rs"]
mod life_files;
#[path = "../../../tests/fuzz/src/replay.rs"]
mod replay;
#[path = "../../../tests/fuzz/src/small_files.rs"]
mod small_files;

#[test]
fn every_seed_of_frame_holds() {
    replay::replay("frame", frame::check);
}

#[test]
fn every_seed_of_entry_holds() {
    replay::replay("entry", entry::check);
}

#[test]
fn every_seed_of_encode_holds() {
    replay::replay("encode", encode::check);
}

#[test]
fn every_seed_of_small_files_holds() {
    replay::replay("small_files", small_files::check);
}

#[test]
fn every_seed_of_life_files_holds() {
    replay::replay("life_files", life_files::check);
}
