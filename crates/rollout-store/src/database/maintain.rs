//! Keeping a database small: `VACUUM`, and its log emptied.
//!
//! Both survive a kill: `SQLite` finishes or takes back on the next open.
//!
//! | state of the database          | what happens           | `last_run_at` |
//! |--------------------------------|------------------------|---------------|
//! | not due                        | nothing                | stays         |
//! | locked, or read, by somebody   | busy; it is tried at the next run | stays |
//! | served by the control plane    | busy                   | stays         |
//! | free                           | done                   | advances      |
//!
//! What says when it was last done is `DB.maintenance.json`, `{"last_run_at":"…"}`. It is a schedule and no evidence: one that cannot be
//! read counts as never.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use vfs::OsVfs;

use super::{
    DatabaseError,
    open::{Access, connect, inspect, service_lock},
    place::{beside, existing, sidecars},
};

/// Longest record that is read, in bytes.
const RECORD_LEN_MAX: u64 = 4096;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct MaintainOrder<'a> {
    /// The database.
    pub database: &'a Path,
    /// Nothing is done before this much time has passed since the last run.
    pub every: Option<Duration>,
    /// When.
    pub now: Timestamp,
    /// How long each lock is waited for.
    pub wait: Duration,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maintained {
    /// It was done.
    Done {
        /// Bytes of the database and what lies beside it, before.
        before: u64,
        /// The same, after.
        after: u64,
    },
    /// Somebody uses it; nothing was done.
    Busy {
        /// Who, as far as that is known.
        holder: String,
    },
    /// It was done not long ago; nothing was done.
    NotDue {
        /// When it will be.
        due_at: Timestamp,
    },
}

/// What the file beside a database says.
#[derive(Debug, Deserialize, Serialize)]
struct Record {
    last_run_at: Timestamp,
}

fn record(database: &Path) -> PathBuf {
    beside(database, ".maintenance.json")
}

/// When a database was last maintained.
pub fn last_run_at(database: &Path) -> Option<Timestamp> {
    let bytes = vfs::read_whole(&OsVfs, &record(database), RECORD_LEN_MAX).ok()??;
    serde_json::from_slice::<Record>(&bytes).ok().map(|it| it.last_run_at)
}

/// Gives unused pages back to the file system and empties the log. Blocks; takes time and room in proportion to the file.
///
/// # Errors
///
/// [`DatabaseError`]; a database that somebody uses is no error.
pub fn maintain(order: &MaintainOrder<'_>) -> Result<Maintained, DatabaseError> {
    let MaintainOrder { database, every, now, wait } = *order;
    existing(database)?;
    if let Some(due_at) = next_run(last_run_at(database), every, now) {
        return Ok(Maintained::NotDue { due_at });
    }
    let before = bytes(database)?;
    match tidy(database, wait) {
        Ok(()) => {}
        Err(DatabaseError::Busy { holder, .. }) => return Ok(Maintained::Busy { holder }),
        Err(error) => return Err(error),
    }
    let path = record(database);
    let text = serde_json::to_vec(&Record { last_run_at: now })
        .map_err(|error| DatabaseError::io("write", &path, error.into()))?;
    vfs::replace(&OsVfs, &path, &text).map_err(|error| DatabaseError::io("write", &path, error))?;
    Ok(Maintained::Done { before, after: bytes(database)? })
}

/// When it is due, unless it is. A last run in the future is one of another clock.
fn next_run(last: Option<Timestamp>, every: Option<Duration>, now: Timestamp) -> Option<Timestamp> {
    let due_at = last.filter(|it| *it <= now)?.checked_add(every?).ok()?;
    (due_at > now).then_some(due_at)
}

fn tidy(database: &Path, wait: Duration) -> Result<(), DatabaseError> {
    let conn = connect(database, Access::Write, wait)?;
    let found = inspect(&conn, database)?;
    found.usable(database)?;
    let _service = service_lock(database, found.kind)?;
    let failed = |error| DatabaseError::sqlite(database, error);
    conn.execute_batch("VACUUM").map_err(failed)?;
    if !emptied(&conn).map_err(failed)? {
        let holder = super::error::ANOTHER.to_owned();
        return Err(DatabaseError::Busy { path: database.to_owned(), holder });
    }
    conn.close().map_err(|(_, error)| failed(error))
}

/// Moves the log into the file; whether nobody was in the way.
fn emptied(conn: &Connection) -> Result<bool, rusqlite::Error> {
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}

/// Bytes of the database and what lies beside it.
fn bytes(database: &Path) -> Result<u64, DatabaseError> {
    let beside: u64 = sidecars(database)?.iter().map(|it| it.1).sum();
    Ok(existing(database)?.len() + beside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn order(database: &Path, seconds: i64, every: Option<u64>) -> MaintainOrder<'_> {
        let (now, wait) = (at(seconds), Duration::ZERO);
        MaintainOrder { database, every: every.map(Duration::from_secs), now, wait }
    }

    fn grown(path: &Path) -> Connection {
        let conn = Connection::open(path).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (x);
             INSERT INTO t WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n LIMIT 3000) SELECT hex(randomblob(100)) FROM n;
             DELETE FROM t WHERE rowid > 10;",
        )
        .unwrap();
        conn
    }

    #[test]
    fn it_becomes_small_and_the_time_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        drop(grown(&path));
        assert_eq!(last_run_at(&path), None);
        let Maintained::Done { before, after } = maintain(&order(&path, 100, None)).unwrap() else {
            panic!()
        };
        assert!(after * 10 < before, "{before} {after}");
        assert_eq!(last_run_at(&path), Some(at(100)));
        let due = maintain(&order(&path, 150, Some(60))).unwrap();
        assert_eq!(due, Maintained::NotDue { due_at: at(160) });
        assert_eq!(last_run_at(&path), Some(at(100)));
        assert!(matches!(maintain(&order(&path, 160, Some(60))).unwrap(), Maintained::Done { .. }));
        assert_eq!(last_run_at(&path), Some(at(160)));
        // A record that nobody can read counts as never.
        std::fs::write(record(&path), "{").unwrap();
        assert_eq!(last_run_at(&path), None);
        assert!(matches!(maintain(&order(&path, 161, Some(60))).unwrap(), Maintained::Done { .. }));
    }

    #[test]
    fn a_database_that_is_written_or_read_is_busy_and_stays_due() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let conn = grown(&path);
        for sql in ["BEGIN IMMEDIATE", "BEGIN; SELECT * FROM t"] {
            conn.execute_batch(sql).unwrap();
            let done = maintain(&order(&path, 100, None)).unwrap();
            assert_eq!(done, Maintained::Busy { holder: "another process".to_owned() }, "{sql}");
            assert_eq!(last_run_at(&path), None);
            conn.execute_batch("ROLLBACK").unwrap();
        }
        assert!(matches!(maintain(&order(&path, 100, None)).unwrap(), Maintained::Done { .. }));
    }

    #[test]
    fn what_is_not_ours_to_tidy_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        Connection::open(&path).unwrap().pragma_update(None, "application_id", 9).unwrap();
        assert_eq!(maintain(&order(&path, 1, None)).unwrap_err().code(), "DB_FOREIGN");
        assert_eq!(
            maintain(&order(&dir.path().join("b"), 1, None)).unwrap_err().code(),
            "DB_NOT_FOUND"
        );
    }
}
