//! The files of the data directory.

use rollout_store::database::{self, EVENTS};

/// The database.
pub const DATABASE: &str = EVENTS.file;
/// Log of the database; `SQLite` gives it this name.
pub const DATABASE_WAL: &str = "orchestrator.db-wal";
/// Rollback journal; exists only when a start was interrupted while the database was created.
pub const DATABASE_JOURNAL: &str = "orchestrator.db-journal";
/// The database of rollouts, releases and nodes.
pub const ROLLOUTS: &str = database::ROLLOUTS.file;
/// Evidence that a complete `rollouts.db` was here and how far it went.
pub const ROLLOUTS_USED: &str = database::ROLLOUTS.floor;
/// Advisory lock of the one process.
pub const LOCK: &str = database::LOCK;
/// Evidence that a complete store was here and how far it went, so that its absence, or an earlier
/// end, is a loss.
pub const USED: &str = EVENTS.floor;
