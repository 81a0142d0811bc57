//! The one TLS configuration for outgoing connections: rustls with the ring provider and the trust
//! store of the machine, or what the operator names instead.
//!
//! | module     | what it holds                                                         |
//! |------------|-----------------------------------------------------------------------|
//! | `machine`  | [`client_config`]: trust as the machine has it                          |
//! | `named`    | [`Material`]: authorities and a client certificate from PEM text        |
//!
//! # Invariants
//!
//! * **T1** A machine whose trust store cannot be read gets a configuration that trusts nobody. Plain
//!   HTTP to a collector on the same machine works there; every TLS handshake fails, none is waved
//!   through.
//! * **T2** Whoever names authorities trusts these and no others.
//! * **T3** Text that was named and holds nothing usable is an error, never "nothing named".

mod machine;
mod named;

pub use machine::{Trust, client_config};
pub use named::{Material, MaterialError, Part};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
