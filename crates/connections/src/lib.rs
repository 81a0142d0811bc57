//! Serves HTTP, plain or over TLS, with bounds on slow clients and an end in order.
//!
//! | module      | what it holds                                                                     |
//! |-------------|-----------------------------------------------------------------------------------|
//! | `body`      | [`read_body`]: a request body within its bounds                                     |
//! | `serve`     | [`serve()`], [`serve_tls`] and their [`Bounds`]: accepting, ending; who [`Answers`] |
//! | `handshake` | TLS, in bounded time                                                              |
//! | `peer`      | [`Peer`]: who is at the other end                                                 |
//! | `stalled`   | a stream that gives up on a client that does not read                             |
//!
//! # Invariants
//!
//! * **H1** A client that sends nothing, half a head, or reads nothing is cut off in bounded time.
//! * **H2** After the end was asked for, requests in work finish, up to a bound; none is begun.
//! * **H3** A body that is too long or too slow is given up in bounded time and memory, and its
//!   sender sees the answer.
//! * **H4** A handshake that is refused, never ends or is none costs its own connection and nothing else.
//! * **H5** Every request carries a [`Peer`] that says who sent it: the address of the connection, and the
//!   certificate that the handshake verified. Nothing in a request can change it.

mod body;
mod handshake;
mod peer;
mod serve;
mod stalled;

pub use body::{BodyError, read_body};
pub use peer::Peer;
pub use serve::{Answers, Bounds, serve, serve_tls};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
