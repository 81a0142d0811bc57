//! What there is to know about a database, without changing it.
//!
//! | database                                     | what is told                                       |
//! |----------------------------------------------|----------------------------------------------------|
//! | sound, or not looked through                 | all                                                |
//! | damaged                                      | all, and the first finding                         |
//! | its writer was killed, with a rollback journal | whose it is, by its first page, and the finding; the rest would need the journal played back |

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    Check, DatabaseError, Found, Kind, Layout, last_run_at,
    open::{Access, check, connect, inspect},
    place::{Start, beside, existing, sidecars, start},
};

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Nobody looked.
    NotChecked,
    /// No damage.
    Sound,
    /// Damage; the first finding.
    Damaged(String),
    /// They are not those of one moment before the journal is played back, which would change the file.
    Unfinished(String),
}

/// What there is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The database.
    pub database: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// What it says about itself.
    pub found: Found,
    /// How commits become durable: `wal`, `delete`, …; `journal` where it is unknown which kind of rollback journal.
    pub journal_mode: String,
    /// The files beside it, with their lengths in bytes.
    pub sidecars: Vec<(PathBuf, u64)>,
    /// What a check found.
    pub pages: Pages,
    /// When it was last maintained.
    pub last_run_at: Option<Timestamp>,
}

/// Looks at a database, and through its pages as asked. Blocks.
///
/// # Errors
///
/// [`DatabaseError`] when it cannot be looked at; damage that a check finds is in the answer.
pub fn status(
    database: &Path,
    look_for: Option<Check>,
    wait: Duration,
) -> Result<Status, DatabaseError> {
    let len = existing(database)?.len();
    let beside_it = sidecars(database)?;
    // Before the first connection, as `start` asks for.
    let first = start(database)?;
    let (found, journal_mode, pages) = match looked_at(database, look_for, wait) {
        Err(error @ DatabaseError::HotJournal { .. }) => {
            (by_first_page(first), "journal".to_owned(), Pages::Unfinished(error.to_string()))
        }
        other => other?,
    };
    let sidecars = beside_it.into_iter().map(|(it, len)| (beside(database, it), len)).collect();
    let last_run_at = last_run_at(database);
    let database = database.to_owned();
    Ok(Status { database, len, found, journal_mode, sidecars, pages, last_run_at })
}

fn looked_at(
    database: &Path,
    look_for: Option<Check>,
    wait: Duration,
) -> Result<(Found, String, Pages), DatabaseError> {
    let conn = connect(database, Access::Read, wait)?;
    let found = inspect(&conn, database)?;
    let mode = conn.pragma_query_value(None, "journal_mode", |row| row.get(0));
    let journal_mode = mode.map_err(|error| DatabaseError::sqlite(database, error))?;
    let pages = match look_for.map(|it| check(&conn, database, it)) {
        None => Pages::NotChecked,
        Some(Ok(())) => Pages::Sound,
        Some(Err(DatabaseError::Corrupt { finding, .. })) => Pages::Damaged(finding),
        Some(Err(error)) => return Err(error),
    };
    Ok((found, journal_mode, pages))
}

/// Whose a database is that cannot be asked.
fn by_first_page(first: Start) -> Found {
    let kind = match first {
        Start::Database(id) => match Layout::of(id) {
            Some(layout) => Kind::Ours(layout),
            None if id != 0 => Kind::Foreign(id),
            None => Kind::Other,
        },
        Start::Empty | Start::Other => Kind::Other,
    };
    Found { kind, version: None, gaps: Vec::new() }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::database::{ROLLOUTS, migrate};

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn looking_leaves_nothing_behind_and_names_what_lies_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let mut conn = Connection::open(&path).unwrap();
        conn.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        migrate(&mut conn, 0, ROLLOUTS.steps).unwrap();
        let seen = status(&path, Some(Check::Full), Duration::ZERO).unwrap();
        assert_eq!((seen.found.application(), seen.found.version), ("rollouts", Some(2)));
        assert_eq!((&*seen.journal_mode, seen.pages), ("wal", Pages::Sound));
        assert_eq!(seen.sidecars.len(), 2);
        drop(conn);
        let seen = status(&path, None, Duration::ZERO).unwrap();
        assert_eq!((seen.sidecars, seen.pages), (Vec::new(), Pages::NotChecked));
        assert_eq!(names(dir.path()), ["a.db"]);
    }

    #[test]
    fn a_writer_that_was_killed_is_in_the_answer_and_nothing_is_played_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        crate::database::hot_journal(&path);
        let files = || {
            let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
            (names(dir.path()), read("a.db"), read("a.db-journal"))
        };
        let before = files();
        for look_for in [None, Some(Check::Full)] {
            let seen = status(&path, look_for, Duration::ZERO).unwrap();
            assert!(matches!(&seen.pages, Pages::Unfinished(it) if it.contains("killed")));
            assert_eq!((seen.found.version, &*seen.journal_mode), (None, "journal"));
            assert_eq!(files(), before);
        }
    }

    #[test]
    fn damage_is_in_the_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(40000))").unwrap();
        drop(conn);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[4096..4196].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
        let seen = status(&path, Some(Check::Quick), Duration::ZERO).unwrap();
        assert!(matches!(seen.pages, Pages::Damaged(_)), "{seen:?}");
    }
}
