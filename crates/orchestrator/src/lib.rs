//! The control plane: durable event intake and queries over HTTP.
//!
//! | module     | what it holds                                                                |
//! |------------|------------------------------------------------------------------------------|
//! | `auth`     | who may do what: identities, roles, tokens, the decision                      |
//! | `config`   | [`Config`] and [`Limits`]: every setting and every bound                       |
//! | `server`   | [`run`] and [`serve`]: routes, connections, the mapping of errors to answers   |
//! | `events`   | `POST /v1/events` and `GET /v1/events`: validation, filters, cursors           |
//! | `store`    | events on `SQLite`: one writer that commits in groups, a few readers             |
//! | `lifecycle`| the write-ahead log of the service's own starts and stops                    |
//! | `shutdown` | the signals that end the service                                             |
//!
//! # Invariants
//!
//! * **O1** A 2xx answer to `POST /v1/events` is sent after the commit that holds its events was
//!   synced. A kill at any time loses nothing that was answered.
//! * **O2** A request is stored whole or not at all, whatever happens to the requests beside it.
//! * **O3** An `event_id` is stored once. Sending again after an unknown result is always safe.
//! * **O4** The order of events is the order of their insertion. Pages walk it without gap or
//!   repeat while events arrive.
//! * **O5** A store that cannot be trusted stops the service: nothing retries a failed sync, and
//!   what is on the disk is refused by name, never repaired by guess.
//! * **O6** A store that ends before an event that was answered is refused, although `SQLite` takes
//!   a damaged, cut or removed log for a shorter one. After a kill this holds for every answer,
//!   after a loss of power for those before the last checkpoint.
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
