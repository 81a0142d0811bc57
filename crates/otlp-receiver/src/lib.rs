//! Receives OTLP logs over HTTP, keeps them as JSON lines, forwards them to the control plane.
//!
//! | module        | what it holds                                                          |
//! |---------------|------------------------------------------------------------------------|
//! | `config`      | what is kept, where it is forwarded, and the limits                    |
//! | `server`      | routes, start, stop                                                    |
//! | `intake`      | a request body, from bytes to records, within its limits               |
//! | `refusal`     | every error answer                                                     |
//! | `received`    | a record with its stable id and kind                                   |
//! | `line`        | a received record as a line of JSON                                    |
//! | `event`       | a received record as an event of the control plane                     |
//! | `keep`        | the file or stream that the lines go to                                |
//! | `forward`     | the way to the control plane                                           |
//!
//! # The promise
//!
//! **S1** A request is answered with success only when every record of it is kept (lines written
//! and synced) and forwarded (stored by the control plane), or counted as refused in the answer.
//! Otherwise the answer is 503 with `Retry-After`, and the sender keeps the records. Only `lossy`
//! forwarding gives that up.

mod config;
mod event;
mod forward;
mod intake;
mod keep;
mod line;
mod received;
mod refusal;
mod server;

pub use config::{Config, Forward, Keep, Limits, Loss};
pub use forward::ForwardError;
pub use keep::KeepError;
pub use server::{BindError, ServeError, bind, serve};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
