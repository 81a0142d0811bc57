//! Receives OTLP logs over HTTP, keeps them as JSON lines, forwards them to the control plane.
//!
//! | module    | what it does                                                           |
//! |-----------|------------------------------------------------------------------------|
//! | `server`  | `POST /v1/logs` and `GET /health`; start and end                          |
//! | `body`    | a request body within its bounds                                         |
//! | `mapping` | one log record as an event of the control plane                          |
//! | `keep`    | the file, or stdout                                                      |
//! | `forward` | the control plane                                                        |
//!
//! # Invariants
//!
//! * **V1** A success is answered only after the records are in the file, durably, and the control
//!   plane has confirmed them. Anything else is an answer after which the sender keeps them.
//! * **V2** A record has one event id however often it is sent: its own, or one derived from its
//!   content.
//! * **V3** Only `lossy` answers success for what the control plane has not taken, and says so.

mod body;
mod forward;
mod keep;
mod mapping;
mod server;

pub use forward::ForwardUrlError;
pub use keep::Keep;
pub use mapping::control_event;
pub use server::{Config, ServeError, serve};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
