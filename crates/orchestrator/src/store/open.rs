//! Opening a data directory: what is served, created, or refused.
//!
//! # Boot table
//!
//! `used` is the file `orchestrator.used`, written once a complete store is durable and before the
//! first answer. `log` is a non-empty `orchestrator.db-wal`.
//!
//! | row | database            | log | used | decision                              |
//! |-----|---------------------|-----|------|---------------------------------------|
//! | A   | absent or empty     | no  | no   | create                                |
//! | B   | absent or empty     | yes | any  | refuse: `SQLite` would delete the log   |
//! | C   | absent or empty     | no  | yes  | refuse: what was stored is gone       |
//! | D   | not a file          | any | any  | refuse                                |
//! | E   | present             | any | any  | examine                               |
//!
//! Row A with an empty file is a start that was interrupted before anything could be answered.
//!
//! Examining a database changes nothing: its first bytes, then its identity (whose it is, which
//! version), then its pages, then whether it holds every event up to the floor in `used` (see
//! `mark`). Only after that the journal mode is set and migrations run. A refused directory is left
//! as it was, apart from the lock file, the index file of `SQLite`, and an empty log in place of a
//! missing one.

mod error;

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use rollout_store::database::{EVENTS, Identity, identity, migrate};
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use vfs::{Lock, LockError, OpenMode, OsVfs, Vfs as _};

use super::{
    failure::{Class, classify},
    mark::{self, Mark},
    names,
    writer::Watched,
};
use crate::config::Limits;
pub use error::OpenError;

/// The first bytes of every `SQLite` database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Pages that the writer keeps, in KiB: new keys fall anywhere into the indexes.
const CACHE_KIB: i64 = 32 << 10;
/// Distance of interrupts of a check that does not end.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(20);

/// Where the files are.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(super) dir: PathBuf,
    pub(crate) database: PathBuf,
    pub(crate) wal: PathBuf,
    pub(super) journal: PathBuf,
    pub(crate) used: PathBuf,
}

impl Paths {
    /// Those of the events.
    fn new(dir: &Path) -> Self {
        Self::of(dir, names::DATABASE, names::USED)
    }

    /// Those of a database of this name.
    pub(crate) fn of(dir: &Path, database: &str, used: &str) -> Self {
        Self {
            dir: dir.to_owned(),
            database: dir.join(database),
            wal: dir.join(format!("{database}-wal")),
            journal: dir.join(format!("{database}-journal")),
            used: dir.join(used),
        }
    }

    /// Applies the boot table; whether the database has to be created. Changes nothing.
    pub(crate) fn must_be_created(&self) -> Result<bool, OpenError> {
        match decide(look(self)?) {
            Decision::Create => Ok(true),
            Decision::Examine => check_magic(self).map(|()| false),
            Decision::NotAFile => Err(OpenError::NotAFile { path: self.database.clone() }),
            Decision::Missing(evidence) => {
                let evidence = match evidence {
                    Evidence::Log => self.wal.clone(),
                    Evidence::Used => self.used.clone(),
                };
                Err(OpenError::Missing { path: self.database.clone(), evidence })
            }
        }
    }
}

/// A data directory that no other process of ours uses while this value lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    pub(crate) path: PathBuf,
    _lock: Lock,
}

impl DataDir {
    /// Creates the directory when it is not there, and takes its lock.
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        OsVfs.create_dir_all(path).map_err(|source| unusable(path, source))?;
        let lock_path = path.join(names::LOCK);
        let holder = format!("pid {}", std::process::id());
        match OsVfs.lock(&lock_path, &holder) {
            Ok(lock) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(LockError::Held { holder }) => {
                Err(OpenError::Locked { dir: path.to_owned(), holder })
            }
            Err(LockError::Io(source)) => Err(unusable(&lock_path, source)),
        }
    }
}

/// An opened database.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) paths: Paths,
    pub(super) conn: Connection,
    pub(super) watched: Watched,
    pub(super) mark: Mark,
    /// The last event.
    pub(super) last: i64,
}

/// Opens the database of `dir` by the boot table.
pub(super) fn open(dir: &DataDir, limits: &Limits) -> Result<Opened, OpenError> {
    let paths = Paths::new(&dir.path);
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if paths.must_be_created()? {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let floor = mark::read(mark::EVENTS, &paths.used)?;
    let mut conn = connect(&paths, flags, limits)?;
    let version = examine(&conn, &paths, limits.check_timeout)?;
    let last = check_floor(&conn, &paths, floor)?;
    let mark = prepare(&mut conn, &paths, version, last)?;
    let watched = Watched::new([paths.database.clone(), log_of(&conn, &paths), paths.used.clone()])
        .map_err(|source| unusable(&paths.database, source))?;
    Ok(Opened { paths, conn, watched, mark, last })
}

/// Where `SQLite` writes its log: beside the file, which is elsewhere when the name is a link.
fn log_of(conn: &Connection, paths: &Paths) -> PathBuf {
    conn.path().map_or_else(|| paths.wal.clone(), |it| format!("{it}-wal").into())
}

fn unusable(path: &Path, source: io::Error) -> OpenError {
    OpenError::DirUnusable { path: path.to_owned(), source }
}

/// What stands in the directory.
#[derive(Clone, Copy, Debug)]
struct Found {
    database: Database,
    log: bool,
    used: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Database {
    AbsentOrEmpty,
    NotAFile,
    Present,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Create,
    Examine,
    NotAFile,
    Missing(Evidence),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    Log,
    Used,
}

/// Picks the row of the boot table.
const fn decide(found: Found) -> Decision {
    match (found.database, found.log, found.used) {
        (Database::AbsentOrEmpty, false, false) => Decision::Create,
        (Database::AbsentOrEmpty, true, _) => Decision::Missing(Evidence::Log),
        (Database::AbsentOrEmpty, false, true) => Decision::Missing(Evidence::Used),
        (Database::NotAFile, _, _) => Decision::NotAFile,
        (Database::Present, _, _) => Decision::Examine,
    }
}

fn look(paths: &Paths) -> Result<Found, OpenError> {
    let stat = |path: &Path| OsVfs.stat(path).map_err(|source| unusable(path, source));
    let database = match stat(&paths.database)? {
        Some(it) if it.is_dir => Database::NotAFile,
        Some(it) if it.len > 0 => Database::Present,
        _ => Database::AbsentOrEmpty,
    };
    let log = stat(&paths.wal)?.is_some_and(|it| it.len > 0);
    Ok(Found { database, log, used: stat(&paths.used)?.is_some() })
}

/// Must come before the first connection: closing any handle of a file ends the locks that the
/// process has on it.
fn check_magic(paths: &Paths) -> Result<(), OpenError> {
    let failed = |source| unusable(&paths.database, source);
    // With a journal the first page may be half written; SQLite puts the old one back.
    if OsVfs.stat(&paths.journal).map_err(failed)?.is_some() {
        return Ok(());
    }
    let file = OsVfs.open(&paths.database, OpenMode::Read).map_err(failed)?;
    let mut start = [0; MAGIC.len()];
    let read = file.read_at(&mut start, 0).map_err(failed)?;
    if read < start.len() || start != *MAGIC {
        return Err(OpenError::NotADatabase { path: paths.database.clone() });
    }
    Ok(())
}

pub(crate) fn connect(
    paths: &Paths,
    flags: OpenFlags,
    limits: &Limits,
) -> Result<Connection, OpenError> {
    let failed = |error| OpenError::sqlite(&paths.database, error);
    let conn = Connection::open_with_flags(&paths.database, flags).map_err(failed)?;
    conn.busy_timeout(limits.busy_timeout).map_err(failed)?;
    // Until the database is accepted, closing it must not touch it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    // SQLite falls back to reading when it may not write.
    if conn.is_readonly("main").map_err(failed)? {
        return Err(OpenError::ReadOnly { path: paths.database.clone() });
    }
    Ok(conn)
}

/// Returns the version of a database that is ours, known and sound. Changes nothing.
fn examine(conn: &Connection, paths: &Paths, check_timeout: Duration) -> Result<u32, OpenError> {
    let path = paths.database.clone();
    let found = identity(conn).map_err(|error| OpenError::sqlite(&path, error))?;
    if found.application_id != EVENTS.application_id && found != Identity::NEW {
        return Err(OpenError::Foreign { path, application_id: found.application_id });
    }
    let supported = EVENTS.latest();
    if found.version > supported {
        return Err(OpenError::Newer { path, found: found.version, supported });
    }
    examine_pages(conn, &path, check_timeout).map(|()| found.version)
}

/// Looks for damage for at most `check_timeout`. Changes nothing.
pub(crate) fn examine_pages(
    conn: &Connection,
    path: &Path,
    check_timeout: Duration,
) -> Result<(), OpenError> {
    match quick_check(conn, check_timeout) {
        Ok(None) => Ok(()),
        Ok(Some(finding)) => Err(OpenError::Corrupt { path: path.to_owned(), finding }),
        Err(error) if classify(&error) == Class::Interrupted => {
            tracing::warn!(
                path = %path.display(),
                limit_ms = check_timeout.as_millis(),
                integrity = "unknown",
                "the store is too large to be checked at the start",
            );
            Ok(())
        }
        Err(error) => Err(OpenError::sqlite(path, error)),
    }
}

/// Returns the last event, which must not be before the floor. Changes nothing.
fn check_floor(conn: &Connection, paths: &Paths, floor: Option<i64>) -> Result<i64, OpenError> {
    let path = || paths.database.clone();
    let last = last_event(conn).map_err(|error| OpenError::sqlite(&paths.database, error))?;
    let found = last.unwrap_or(0);
    match floor {
        Some(committed) if found < committed => Err(OpenError::RolledBack {
            path: path(),
            evidence: paths.used.clone(),
            found,
            committed,
        }),
        // The file is left after the tables were durable: without them the log that held them is gone.
        Some(_) if last.is_none() => {
            Err(OpenError::Missing { path: path(), evidence: paths.used.clone() })
        }
        _ => Ok(found),
    }
}

/// The largest id, 0 without events, `None` without their table.
fn last_event(conn: &Connection) -> Result<Option<i64>, rusqlite::Error> {
    if !conn.table_exists(None, "events")? {
        return Ok(None);
    }
    conn.query_row("SELECT coalesce(max(id), 0) FROM events", [], |row| row.get(0)).map(Some)
}

/// Runs `SQLite`'s quick check for at most `limit` and returns its first finding.
fn quick_check(conn: &Connection, limit: Duration) -> Result<Option<String>, rusqlite::Error> {
    let handle = conn.get_interrupt_handle();
    let (done, wait) = mpsc::channel::<()>();
    let timer = thread::spawn(move || {
        let mut left = limit;
        // More than once, because an interrupt that comes before the query has no effect.
        while wait.recv_timeout(left) == Err(mpsc::RecvTimeoutError::Timeout) {
            handle.interrupt();
            left = INTERRUPT_AGAIN;
        }
    });
    let answer = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    drop(done);
    // The timer does nothing that can panic.
    _ = timer.join();
    answer.map(|it| (it != "ok").then_some(it))
}

/// Sets the modes that durability needs, migrates, and leaves the evidence of a complete store that
/// goes to the event `last`.
fn prepare(
    conn: &mut Connection,
    paths: &Paths,
    version: u32,
    last: i64,
) -> Result<Mark, OpenError> {
    set_modes(conn).map_err(|error| OpenError::sqlite(&paths.database, error))?;
    migrate(conn, version, EVENTS.steps).map_err(|error| OpenError::Migration {
        path: paths.database.clone(),
        version: error.version,
        source: error.source,
    })?;
    for version in version + 1..=EVENTS.latest() {
        tracing::info!(version, "store migrated");
    }
    OsVfs.sync_dir(&paths.dir).map_err(|source| unusable(&paths.dir, source))?;
    // A kill can leave a commit in the log that was read above and never synced. Nothing may be
    // answered from it, nor the floor raised to it, before it is.
    let log = log_of(conn, paths);
    OsVfs
        .open(&log, OpenMode::ReadWrite)
        .and_then(|it| it.sync_data())
        .map_err(|source| unusable(&log, source))?;
    let mark = Mark::leave(mark::EVENTS, &paths.used, last)
        .map_err(|source| unusable(&paths.used, source))?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map_err(|error| OpenError::sqlite(&paths.database, error))?;
    Ok(mark)
}

fn set_modes(conn: &Connection) -> Result<(), rusqlite::Error> {
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let message = format!("journal mode stayed `{mode}`");
        return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(1), Some(message)));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // Checkpoints are explicit, see `checkpoint`.
    conn.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    // Reading creates the log file, which is then watched.
    identity(conn).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_boot_table_is_decided_as_written() {
        use Database::{AbsentOrEmpty, NotAFile, Present};
        let table = [
            ("A", AbsentOrEmpty, Some(false), Some(false), Decision::Create),
            ("B", AbsentOrEmpty, Some(true), None, Decision::Missing(Evidence::Log)),
            ("C", AbsentOrEmpty, Some(false), Some(true), Decision::Missing(Evidence::Used)),
            ("D", NotAFile, None, None, Decision::NotAFile),
            ("E", Present, None, None, Decision::Examine),
        ];
        let facts = [(false, false), (false, true), (true, false), (true, true)];
        let found = [AbsentOrEmpty, NotAFile, Present]
            .iter()
            .flat_map(|&database| facts.map(|(log, used)| Found { database, log, used }));
        for found in found {
            let fits = |row: &&(_, _, Option<bool>, Option<bool>, _)| {
                row.1 == found.database
                    && row.2.is_none_or(|it| it == found.log)
                    && row.3.is_none_or(|it| it == found.used)
            };
            let rows: Vec<_> = table.iter().filter(fits).collect();
            assert_eq!(rows.len(), 1, "{found:?}: {rows:?}");
            assert_eq!(decide(found), rows[0].4, "row {}", rows[0].0);
        }
    }

    #[test]
    fn the_check_stops_at_its_limit_and_says_that_it_was_stopped() {
        let conn = Connection::open_in_memory().unwrap();
        assert_eq!(quick_check(&conn, Duration::from_mins(1)).unwrap(), None);
        conn.execute_batch(
            "CREATE TABLE t (x); CREATE INDEX i ON t (x);
             INSERT INTO t WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n LIMIT 300000)
             SELECT hex(x) FROM n",
        )
        .unwrap();
        let error = quick_check(&conn, Duration::ZERO).unwrap_err();
        assert_eq!(classify(&error), Class::Interrupted);
    }
}
