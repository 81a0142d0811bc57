//! Stories that run real processes, and the harness under them.
//!
//! The demo, the drills and `cargo test` call the same functions: `stories` holds what is told,
//! `harness` holds what it is told with. Nothing here sleeps: whatever is waited for is a condition
//! with a deadline.

#![expect(clippy::indexing_slicing, reason = "a missing key of a JSON value reads as null")]

pub mod harness;
pub mod stories;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
