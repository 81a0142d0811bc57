//! Serves HTTP with bounds on slow clients and an end in order.
//!
//! | module    | what it holds                                                  |
//! |-----------|----------------------------------------------------------------|
//! | `body`    | [`read_body`]: a request body within its bounds                  |
//! | `serve`   | [`serve`] and its [`Bounds`]: accepting, ending; who [`Answers`]                  |
//! | `stalled` | a stream that gives up on a client that does not read            |
//!
//! # Invariants
//!
//! * **H1** A client that sends nothing, half a head, or reads nothing is cut off in bounded time.
//! * **H2** After the end was asked for, requests in work finish, up to a bound; none is begun.
//! * **H3** A body that is too long or too slow is given up in bounded time and memory, and its
//!   sender sees the answer.

mod body;
mod serve;
mod stalled;

pub use body::{BodyError, read_body};
pub use serve::{Answers, Bounds, serve};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
