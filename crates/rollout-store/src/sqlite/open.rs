//! Opening a file: what is served, created, or refused.
//!
//! # Table
//!
//! | row | file                                   | decision                        |
//! |-----|----------------------------------------|---------------------------------|
//! | A   | absent, or a database without anything | create                          |
//! | B   | not a database                         | refuse                          |
//! | C   | ours, of this version or an older one  | serve, migrated                 |
//! | D   | ours, of a newer version               | refuse, naming both versions    |
//! | E   | a database of somebody else            | refuse                          |
//!
//! Whether an absent file is a loss is for the owner of the directory to know.

use std::{io, path::Path, path::PathBuf, time::Duration};

use rusqlite::{Connection, Error, OpenFlags, config::DbConfig};
use thiserror::Error as ThisError;
use vfs::{OpenMode, OsVfs, Vfs as _};

use crate::database::{Identity, ROLLOUTS, identity, migrate};

/// Whose files are served.
const APPLICATION_ID: i32 = ROLLOUTS.application_id;

/// How long a connection waits for a lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages that the writer keeps, in KiB: new keys fall anywhere into the indexes.
const CACHE_KIB: i64 = 32 << 10;
/// Prepared statements that a connection keeps.
const STATEMENTS: usize = 64;

/// Why a file was not opened.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum OpenError {
    /// `SQLite` cannot use it.
    #[error("cannot use {}: {source}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What `SQLite` says.
        source: Error,
    },
    /// The operating system does not let it be made durable.
    #[error("cannot sync {}: {source}", .path.display())]
    Sync {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A database of somebody else (row E).
    #[error("{} is the database of another program (application id {application_id})", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose.
        application_id: i32,
    },
    /// A newer program wrote it (row D).
    #[error("{} has version {found}; this program knows versions up to {supported}", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: u32,
        /// What is known.
        supported: u32,
    },
    /// An older program wrote it, and it is opened for reading only.
    #[error("{} has version {found} and must be migrated to {supported} first", .path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: u32,
        /// What is needed.
        supported: u32,
    },
    /// A migration failed; the file is at the version before it.
    #[error("cannot migrate {} to version {version}: {source}", .path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// What was not reached.
        version: u32,
        /// What `SQLite` says.
        source: Error,
    },
}

impl OpenError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unusable { .. } => "STORE_UNUSABLE",
            Self::Sync { .. } => "STORE_SYNC",
            Self::Foreign { .. } => "STORE_FOREIGN",
            Self::Newer { .. } => "STORE_NEWER",
            Self::Older { .. } => "STORE_OLDER",
            Self::Migration { .. } => "STORE_MIGRATION",
        }
    }
}

/// What to do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Serve,
    Foreign,
    Newer,
}

/// Picks the row of the table; rows A and C are served alike, by migrating from what is there.
const fn decide(found: Identity, supported: u32) -> Decision {
    match (found.application_id, found.version, found.empty) {
        (0, 0, true) => Decision::Serve,
        (APPLICATION_ID, version, _) if version > supported => Decision::Newer,
        (APPLICATION_ID, _, _) => Decision::Serve,
        _ => Decision::Foreign,
    }
}

/// Opens, creates or migrates.
pub(super) fn read_write(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = connect(path, flags)?;
    let no_checkpoint = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    let failed = |source| OpenError::Unusable { path: path.to_owned(), source };
    // Until the file is accepted, closing it must not touch it.
    conn.set_db_config(no_checkpoint, true).map_err(failed)?;
    let version = accept(&conn, path)?;
    set_modes(&conn).map_err(failed)?;
    migrate(&mut conn, version, ROLLOUTS.steps).map_err(|error| OpenError::Migration {
        path: path.to_owned(),
        version: error.version,
        source: error.source,
    })?;
    sync(&conn, path)?;
    conn.set_db_config(no_checkpoint, false).map_err(failed)?;
    Ok(conn)
}

/// Opens what is there and current.
pub(super) fn read_only(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = connect(path, flags)?;
    let found = accept(&conn, path)?;
    let supported = ROLLOUTS.latest();
    if found < supported {
        return Err(OpenError::Older { path: path.to_owned(), found, supported });
    }
    Ok(conn)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::Unusable { path: path.to_owned(), source };
    let conn = Connection::open_with_flags(path, flags).map_err(failed)?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

/// Returns the version of a file that may be served. Changes nothing.
fn accept(conn: &Connection, path: &Path) -> Result<u32, OpenError> {
    let failed = |source| OpenError::Unusable { path: path.to_owned(), source };
    let found = identity(conn).map_err(failed)?;
    let supported = ROLLOUTS.latest();
    let path = path.to_owned();
    match decide(found, supported) {
        Decision::Serve => Ok(found.version),
        Decision::Foreign => Err(OpenError::Foreign { path, application_id: found.application_id }),
        Decision::Newer => Err(OpenError::Newer { path, found: found.version, supported }),
    }
}

fn set_modes(conn: &Connection) -> Result<(), Error> {
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let message = format!("journal mode stayed `{mode}`");
        return Err(Error::SqliteFailure(rusqlite::ffi::Error::new(1), Some(message)));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // Checkpoints are explicit: those of SQLite ignore a failed sync and try it again later.
    conn.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))
}

/// A kill can leave a commit in the log that was never synced. Nothing may be answered from it
/// before it is; nor before the names of the files are durable.
fn sync(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    // Reading creates the log.
    identity(conn).map_err(|source| OpenError::Unusable { path: path.to_owned(), source })?;
    // Where SQLite writes: beside the file, which is elsewhere when the name is a link.
    let file = conn.path().map_or_else(|| path.to_owned(), PathBuf::from);
    let mut log = file.clone().into_os_string();
    log.push("-wal");
    let log = PathBuf::from(log);
    if OsVfs.stat(&log).map_err(|source| OpenError::Sync { path: log.clone(), source })?.is_some() {
        OsVfs
            .open(&log, OpenMode::ReadWrite)
            .and_then(|it| it.sync_data())
            .map_err(|source| OpenError::Sync { path: log, source })?;
    }
    let dir = match file.parent() {
        Some(it) if !it.as_os_str().is_empty() => it.to_owned(),
        _ => PathBuf::from("."),
    };
    OsVfs.sync_dir(&dir).map_err(|source| OpenError::Sync { path: dir, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_decided_as_written() {
        let of =
            |application_id, version, empty| decide(Identity { application_id, version, empty }, 3);
        assert_eq!(of(0, 0, true), Decision::Serve, "A");
        assert_eq!(of(APPLICATION_ID, 3, false), Decision::Serve, "C");
        assert_eq!(of(APPLICATION_ID, 1, false), Decision::Serve, "C");
        assert_eq!(of(APPLICATION_ID, 4, false), Decision::Newer, "D");
        assert_eq!(of(0, 0, false), Decision::Foreign, "E");
        assert_eq!(of(0, 7, true), Decision::Foreign, "E");
        assert_eq!(of(7, 1, false), Decision::Foreign, "E");
    }
}
