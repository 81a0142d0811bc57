//! The control plane: rollouts, releases, nodes, events, roles and the audit trail over HTTP.
//!
//! | module     | what it holds                                                                |
//! |------------|------------------------------------------------------------------------------|
//! | `config`   | [`Config`] and [`Limits`]: every setting and every bound                       |
//! | `server`   | [`run`] and [`serve`]: connections, what handlers reach, the mapping of errors to answers |
//! | `routes`   | the table of routes, the gate before them, the handlers                      |
//! | `auth`     | who may do what: identities, roles, tokens, the decision                      |
//! | `rollouts` | plans, releases and nodes: one writer with the audit trail, readers, the promoter |
//! | `wanted`   | what the nodes of a channel are to do, read once for all of them             |
//! | `presence` | which nodes were heard of: kept in memory, written in groups                 |
//! | `events`   | events: validation, filters, cursors, the stream                             |
//! | `store`    | events on `SQLite`: one writer that commits in groups, a few readers; how both databases are opened |
//! | `lifecycle`| the write-ahead log of the service's own starts and stops                    |
//! | `shutdown` | the signals that end the service                                             |
//!
//! # Invariants
//!
//! * **O1** A 2xx answer to a change, `POST /v1/events` included, is sent after the commit that holds it was
//!   synced. A kill at any time loses nothing that was answered. The one exception is named: that a node asked
//!   (`presence`).
//! * **O2** A request is stored whole or not at all, whatever happens to the requests beside it.
//! * **O3** An `event_id` is stored once. Sending again after an unknown result is always safe.
//! * **O4** The order of events is the order of their insertion. Pages walk it without gap or
//!   repeat while events arrive.
//! * **O5** A store that cannot be trusted stops the service: nothing retries a failed sync, and
//!   what is on the disk is refused by name, never repaired by guess.
//! * **O6** A store that ends before an event or a change that was answered is refused, although `SQLite` takes
//!   a damaged, cut or removed log for a shorter one. After a kill this holds for every answer,
//!   after a loss of power for those before the last checkpoint.
//! * **O7** A change of a plan or release and its record in the audit trail are one: neither is there without the
//!   other, whenever the process dies. What cannot be put on record is refused (see `rollouts`).
//! * **O8** No handler runs for a caller who may not have it; each route says in the table what it needs.
//!
//! # Examples
//!
//! ```
//! use orchestrator::{Config, serve};
//!
//! # let dir = std::env::temp_dir().join(format!("orchestrator-doc-{}", std::process::id()));
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let audit_dir = dir.join("audit");
//! let config = Config { audit_dir, ..Config::from_lookup(Some(dir.clone()), &|_| None)? };
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let service = tokio::spawn(serve(config, listener, async move { _ = stopped.await }));
//! stop.send(()).expect("the service waits for it");
//! service.await.expect("the service does not panic")?;
//! # std::fs::remove_dir_all(dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod auth;
mod config;
mod events;
mod keeper;
mod lifecycle;
mod presence;
mod rollouts;
mod routes;
mod server;
pub mod shutdown;
mod store;
mod wanted;

pub use auth::file::FileError;
pub use config::{
    AUDIT_DIR_NAME, ByteLenError, Config, ConfigError, DATA_DIR_NAME, LISTEN_DEFAULT, Limits,
    TlsFiles, parse_byte_len,
};
pub use rollouts::{LedgerError, RolloutsError};
pub use server::{ServeError, run, serve};
pub use store::{Failure, OpenError, names};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
