//! A copy of a database while others write it.
//!
//! * **J1** The source is read and never changed; a log that a kill left beside it stays, and with a journal that would
//!   have to be played back there is no backup.
//! * **J2** A backup is one file: what is in the log of the source is in it.
//! * **J3** What has the name stays unless its replacement is asked for, and until the new backup is whole.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    DatabaseError, Found,
    draft::Draft,
    open::{Access, connect, inspect},
    place::{apart, beside, existing, look, sidecars},
};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct BackupOrder<'a> {
    /// The database.
    pub source: &'a Path,
    /// The copy.
    pub destination: &'a Path,
    /// Whether what has that name may be replaced.
    pub replace: bool,
    /// How long each lock is waited for.
    pub wait: Duration,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// The database.
    pub source: PathBuf,
    /// The copy.
    pub destination: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// What the database says about itself.
    pub found: Found,
}

/// A moment as part of a file name: UTC, to the millisecond.
pub(super) fn stamp(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%S.%3fZ").to_string()
}

/// Where a backup goes when nobody says where.
pub fn default_backup(source: &Path, now: Timestamp) -> PathBuf {
    beside(source, &format!(".backup-{}", stamp(now)))
}

/// Copies a database as it is at one moment. Blocks.
///
/// # Errors
///
/// [`DatabaseError`]; nothing has the name then that did not have it before.
pub fn backup(order: &BackupOrder<'_>) -> Result<BackedUp, DatabaseError> {
    let BackupOrder { source, destination, replace, wait } = *order;
    let metadata = existing(source)?;
    let taken = look(destination)?.is_some();
    let draft = beside(destination, ".tmp");
    apart(source, &[destination, &draft])?;
    if taken && !replace {
        return Err(DatabaseError::Exists { path: destination.to_owned() });
    }
    // The log of another database would be taken for one of the copy.
    if let Some((suffix, _)) = sidecars(destination)?.iter().find(|it| it.1 > 0) {
        return Err(DatabaseError::Exists { path: beside(destination, suffix) });
    }
    let conn = connect(source, Access::Read, wait)?;
    let found = inspect(&conn, source)?;
    let mut draft = Draft::begin(draft, Some(&metadata), false)?;
    draft.fill(&conn, source)?;
    let len = draft.len()?;
    draft.take_name(destination)?;
    Ok(BackedUp { source: source.to_owned(), destination: destination.to_owned(), len, found })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::Connection;

    use super::*;

    const WAIT: Duration = Duration::ZERO;

    fn order<'a>(source: &'a Path, destination: &'a Path, replace: bool) -> BackupOrder<'a> {
        BackupOrder { source, destination, replace, wait: WAIT }
    }

    fn rows(path: &Path) -> i64 {
        let conn = Connection::open(path).unwrap();
        conn.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn what_is_only_in_the_log_is_in_the_backup_and_the_log_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (source, copy) = (dir.path().join("a.db"), dir.path().join("b.db"));
        let conn = Connection::open(&source).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1), (2)",
        )
        .unwrap();
        let log = fs::read(dir.path().join("a.db-wal")).unwrap();
        assert!(!log.is_empty());
        let done = backup(&order(&source, &copy, false)).unwrap();
        assert_eq!(done.len, fs::metadata(&copy).unwrap().len());
        assert_eq!(done.found.application(), "other");
        assert_eq!(fs::read(dir.path().join("a.db-wal")).unwrap(), log);
        assert_eq!(rows(&copy), 2);
        assert!(!dir.path().join("b.db.tmp").exists());
    }

    /// J1
    #[test]
    fn a_database_whose_writer_was_killed_is_refused_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (source, copy) = (dir.path().join("a.db"), dir.path().join("b.db"));
        crate::database::hot_journal(&source);
        let journal = dir.path().join("a.db-journal");
        let before = (fs::read(&source).unwrap(), fs::read(&journal).unwrap());
        let error = backup(&order(&source, &copy, false)).unwrap_err();
        assert_eq!(error.code(), "DB_HOT_JOURNAL", "{error}");
        let restored = crate::database::restore(&crate::database::RestoreOrder {
            database: &copy,
            from: &source,
            now: Timestamp::UNIX_EPOCH,
            wait: WAIT,
        });
        assert_eq!(restored.unwrap_err().code(), "DB_HOT_JOURNAL");
        assert_eq!((fs::read(&source).unwrap(), fs::read(&journal).unwrap()), before);
        assert!(!copy.exists());
        // Whoever may write it puts it right.
        assert_eq!(rows(&source), 1);
        backup(&order(&source, &copy, false)).unwrap();
        assert_eq!(rows(&copy), 1);
    }

    #[test]
    fn the_draft_is_not_written_under_a_second_name_of_something_else() {
        let dir = tempfile::tempdir().unwrap();
        let (source, copy) = (dir.path().join("a.db"), dir.path().join("b.db"));
        Connection::open(&source).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        fs::write(dir.path().join("precious"), "precious").unwrap();
        fs::hard_link(dir.path().join("precious"), dir.path().join("b.db.tmp")).unwrap();
        assert_eq!(backup(&order(&source, &copy, false)).unwrap_err().code(), "DB_IO");
        assert_eq!(fs::read(dir.path().join("precious")).unwrap(), b"precious");
    }

    #[test]
    fn a_name_that_is_taken_stays_until_its_replacement_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (source, copy) = (dir.path().join("a.db"), dir.path().join("b.db"));
        Connection::open(&source).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        fs::write(&copy, "precious").unwrap();
        let error = backup(&order(&source, &copy, false)).unwrap_err();
        assert_eq!(error.code(), "DB_EXISTS");
        assert_eq!(fs::read(&copy).unwrap(), b"precious");
        backup(&order(&source, &copy, true)).unwrap();
        assert_eq!(rows(&copy), 0);
        // A log beside it would be played over the copy.
        fs::write(dir.path().join("b.db-wal"), "of another").unwrap();
        let error = backup(&order(&source, &copy, true)).unwrap_err();
        assert!(error.to_string().ends_with("b.db-wal is there already"), "{error}");
    }

    #[test]
    fn a_damaged_database_gives_no_backup_and_leaves_no_draft() {
        let dir = tempfile::tempdir().unwrap();
        let (source, copy) = (dir.path().join("a.db"), dir.path().join("b.db"));
        let conn = Connection::open(&source).unwrap();
        conn.execute_batch("CREATE TABLE t (x); CREATE INDEX i ON t (x);
            INSERT INTO t WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n LIMIT 5000) SELECT hex(x) FROM n").unwrap();
        conn.close().unwrap();
        let mut bytes = fs::read(&source).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 8192].fill(0x5a);
        fs::write(&source, bytes).unwrap();
        let error = backup(&order(&source, &copy, false)).unwrap_err();
        assert_eq!(error.code(), "DB_CORRUPT", "{error}");
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.db"]);
    }

    #[test]
    fn what_is_no_database_or_the_same_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("text"), "This is no database, but longer than sixteen bytes.").unwrap();
        Connection::open(at("a.db.tmp")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let code = |source: &str, copy: &str| {
            backup(&order(&at(source), &at(copy), true)).unwrap_err().code()
        };
        assert_eq!(code("text", "b"), "DB_NOT_A_DATABASE");
        assert_eq!(code("none", "b"), "DB_NOT_FOUND");
        assert_eq!(code(".", "b"), "DB_NOT_A_FILE");
        assert_eq!(code("a.db.tmp", "a.db.tmp"), "DB_SAME_FILE");
        assert_eq!(code("a.db.tmp", "a.db"), "DB_SAME_FILE", "the draft would be the source");
        assert_eq!(rows(&at("a.db.tmp")), 0);
    }

    #[test]
    fn a_draft_that_a_kill_left_is_used_again_and_one_that_is_written_is_busy() {
        use vfs::{OpenMode, OsVfs, Vfs as _};

        let dir = tempfile::tempdir().unwrap();
        let (source, copy) = (dir.path().join("a.db"), dir.path().join("b.db"));
        Connection::open(&source).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        fs::write(dir.path().join("b.db.tmp"), "half of something").unwrap();
        let other = OsVfs.open(&dir.path().join("b.db.tmp"), OpenMode::ReadWrite).unwrap();
        assert!(other.try_lock().unwrap());
        assert_eq!(backup(&order(&source, &copy, false)).unwrap_err().code(), "DB_BUSY");
        drop(other);
        backup(&order(&source, &copy, false)).unwrap();
        assert_eq!(rows(&copy), 0);
    }

    #[test]
    fn the_default_name_says_when() {
        let now: Timestamp = "2026-03-04T05:06:07.0089Z".parse().unwrap();
        assert_eq!(
            default_backup(Path::new("d/a.db"), now),
            Path::new("d/a.db.backup-20260304T050607.008Z")
        );
    }
}
