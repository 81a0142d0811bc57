//! The one TLS configuration: rustls with the ring provider. Outgoing connections trust the store of the
//! machine, or what the operator names instead; servers show and let in what he names.
//!
//! | module     | what it holds                                                         |
//! |------------|-----------------------------------------------------------------------|
//! | `fault`    | [`Fault`]: what went wrong between two who do not agree on TLS         |
//! | `machine`  | [`client_config`]: trust as the machine has it                          |
//! | `named`    | [`Material`]: authorities and a client certificate from PEM text        |
//! | `server`   | [`Server`]: what a server shows and whom it lets in, from PEM text      |
//!
//! # Invariants
//!
//! * **T1** A machine whose trust store cannot be read gets a configuration that trusts nobody. Plain
//!   HTTP to a collector on the same machine works there; every TLS handshake fails, none is waved
//!   through.
//! * **T2** Whoever names authorities trusts these and no others.
//! * **T3** Text that was named and holds nothing usable is an error, never "nothing named".
//! * **T4** A server that names authorities lets in who shows a certificate of theirs that is valid now,
//!   and nobody else. There is no "optional".
//! * **T5** Such a server resumes no session: every connection shows its certificate anew.

mod fault;
mod machine;
mod named;
mod server;

pub use fault::Fault;
pub use machine::{Trust, client_config};
pub use named::{Files, FilesError, Material, MaterialError, PEM_LEN_MAX, Part};
pub use rustls::ClientConfig;
pub use server::Server;

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
