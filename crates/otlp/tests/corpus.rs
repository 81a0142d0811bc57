//! The seeds of the fuzz target over this crate, as ordinary tests.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "the checks are those of the fuzz target; seeds are files"
)]

#[path = "../../../tests/fuzz/src/otlp_bodies.rs"]
mod otlp_bodies;
#[path = "../../../tests/fuzz/src/replay.rs"]
mod replay;

#[test]
fn every_seed_of_otlp_holds() {
    replay::replay("otlp", otlp_bodies::check);
}
