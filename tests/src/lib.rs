//! Stories that run real processes, and the harness under them.
//!
//! The demo, the drills and `cargo test` call the same functions: `stories` holds what is told,
//! `harness` holds what it is told with. Nothing here sleeps: whatever is waited for is a condition
//! with a deadline.

pub mod harness;
pub mod stories;
