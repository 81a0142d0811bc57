//! Serves HTTP with bounds on slow clients and an end in order.
//!
//! | module    | what it holds                                                  |
//! |-----------|----------------------------------------------------------------|
//! | `serve`   | [`serve`] and its [`Bounds`]: accepting, ending                  |
//! | `stalled` | a stream that gives up on a client that does not read            |
//!
//! # Invariants
//!
//! * **H1** A client that sends nothing, half a head, or reads nothing is cut off in bounded time.
//! * **H2** After the end was asked for, requests in work finish, up to a bound; none is begun.

mod serve;
mod stalled;

pub use serve::{Bounds, serve};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
