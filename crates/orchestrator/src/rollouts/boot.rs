//! Opens `rollouts.db`: the boot table of `store::open`, the floor in `rollouts.used`, then the store itself, and
//! then the audit trail.
//!
//! A refused directory is left as it was; examining changes nothing.

use std::{io, path::PathBuf};

use rollout_store::{
    ApplyError, Epoch, Moment, ReadError, RolloutStore as _, SqliteReader, SqliteStore, sqlite,
};
use rusqlite::{Connection, OpenFlags};
use thiserror::Error;

use super::{
    Opening,
    ledger::{Ledger, LedgerError},
};
use crate::{
    config::Limits,
    store::{
        OpenError, Paths, Watched, connect, examine_pages,
        mark::{self, Mark},
        names,
    },
};

/// Connections for reading.
const READERS: usize = 4;

/// Why rollouts are not served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RolloutsError {
    /// The directory or the database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store.
    #[error(transparent)]
    Store(#[from] sqlite::OpenError),
    /// The store cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The database.
        path: PathBuf,
        /// How.
        source: ReadError,
    },
    /// The store cannot be written.
    #[error("{}: {source}", .path.display())]
    Write {
        /// The database.
        path: PathBuf,
        /// How.
        source: ApplyError,
    },
    /// Requests that were answered are not in the database.
    #[error("{path} holds {found} commits, but {evidence} shows that there were {committed}")]
    RolledBack {
        /// The database.
        path: PathBuf,
        /// The file that shows it.
        evidence: PathBuf,
        /// What it has.
        found: i64,
        /// What it had.
        committed: i64,
    },
    /// The audit trail cannot be opened, or what was not told cannot be told.
    #[error("the audit trail in {}: {source}", .dir.display())]
    Audit {
        /// Its directory.
        dir: PathBuf,
        /// How.
        source: LedgerError,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {source}")]
    Thread {
        /// What the operating system says.
        source: io::Error,
    },
}

/// An opened store.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) paths: Paths,
    pub(super) store: SqliteStore,
    pub(super) epoch: Epoch,
    pub(super) acquired_at: Moment,
    pub(super) mark: Mark,
    pub(super) watched: Watched,
    pub(super) ledger: Ledger,
}

pub(super) fn open(opening: &Opening<'_>) -> Result<Opened, RolloutsError> {
    let paths = Paths::of(&opening.dir.path, names::ROLLOUTS, names::ROLLOUTS_USED);
    let floor = mark::read(mark::ROLLOUTS, &paths.used)?;
    if !paths.must_be_created()? {
        examine(&paths, floor, opening.limits)?;
    }
    let mut store = SqliteStore::open(&paths.database)?;
    let epoch = store.acquire().map_err(|source| write_failed(&paths, source))?;
    let acquired_at = (opening.clock)();
    let read_failed = |source| RolloutsError::Read { path: paths.database.clone(), source };
    let commits = store.reader().commits().map_err(read_failed)?;
    let store_id = store.reader().store_id().map_err(read_failed)?;
    let number = i64::try_from(commits).unwrap_or(i64::MAX);
    let unusable = |source| OpenError::DirUnusable { path: paths.used.clone(), source };
    let mark = Mark::leave(mark::ROLLOUTS, &paths.used, number).map_err(unusable)?;
    let watched = [paths.database.clone(), paths.wal.clone(), paths.used.clone()];
    let watched = Watched::new(watched).map_err(unusable)?;
    let dir = opening.audit_dir.clone();
    let audit_failed = |source| RolloutsError::Audit { dir: dir.clone(), source };
    let mut ledger =
        Ledger::open(opening.vfs.clone(), &opening.audit_dir, store_id).map_err(audit_failed)?;
    ledger.catch_up(store.reader()).map_err(audit_failed)?;
    Ok(Opened { paths, store, epoch, acquired_at, mark, watched, ledger })
}

fn write_failed(paths: &Paths, source: ApplyError) -> RolloutsError {
    RolloutsError::Write { path: paths.database.clone(), source }
}

/// Looks at a database that is there. Changes nothing.
fn examine(paths: &Paths, floor: Option<i64>, limits: &Limits) -> Result<(), RolloutsError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = connect(paths, flags, limits)?;
    examine_pages(&conn, &paths.database, limits.check_timeout)?;
    let failed = |source| OpenError::sqlite(&paths.database, source);
    let found = commits(&conn).map_err(failed)?;
    match (floor, found) {
        (Some(_), None) => {
            let (path, evidence) = (paths.database.clone(), paths.used.clone());
            Err(OpenError::Missing { path, evidence }.into())
        }
        (Some(committed), Some(found)) if found < committed => {
            let (path, evidence) = (paths.database.clone(), paths.used.clone());
            Err(RolloutsError::RolledBack { path, evidence, found, committed })
        }
        _ => Ok(()),
    }
}

/// The batches that were committed; `None` in a database that does not count them.
fn commits(conn: &Connection) -> Result<Option<i64>, rusqlite::Error> {
    if !conn.column_exists(None, "epoch", "commits")? {
        return Ok(None);
    }
    conn.query_row("SELECT commits FROM epoch", [], |row| row.get(0)).map(Some)
}

pub(super) fn readers(paths: &Paths) -> Result<Vec<SqliteReader>, RolloutsError> {
    (0..READERS).map(|_| reader(paths)).collect()
}

pub(super) fn reader(paths: &Paths) -> Result<SqliteReader, RolloutsError> {
    Ok(SqliteReader::open(&paths.database)?)
}
