//! A backup in the place of a database, with nothing lost on the way.
//!
//! # Order
//!
//! | step | what happens                                                        | a kill behind it leaves                   |
//! |-----:|---------------------------------------------------------------------|-------------------------------------------|
//! |    1 | the old file is locked: nobody writes it                            | everything as it was                      |
//! |    2 | the backup is checked, copied to `DB.restore.tmp`, checked, synced  | the same, and the draft                   |
//! |    3 | database, log, index, journal get second names `DB.corrupt-TIME…`, synced | the same, under two names           |
//! |    4 | the old names are removed, the database first, synced               | the second names, no database             |
//! |    5 | the draft takes the name of the database, synced                    | the backup, restored                      |
//! |    6 | the floor of a database of ours is moved to `….corrupt-TIME`        | the backup, restored                      |
//!
//! # Invariants
//!
//! * **U1** After each step the old files are findable under one of their names, all of them, byte for byte; after step 5 the
//!   backup is there, too. Running the command again ends it.
//! * **U2** At no moment lies the name of a database beside a log that is not its own.
//! * **U3** What is proven about writers: no process holds a lock of `SQLite` on the old file, so nobody has it open in WAL mode, and nobody
//!   has a transaction in another mode; and the lock of the control plane is free. The proof asks the kernel and works on a file that
//!   `SQLite` cannot open. A program that is idle with the file open in another mode is not seen; `SQLite` refuses its next write, since the
//!   file has moved. So writers are stopped first all the same.
//! * **U4** The floor goes last: without a floor an absent database would be taken for one that was never there.
//!
//! Where a file system knows one name a file only, steps 3 and 4 are renames, the database first.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::Connection;
use vfs::{OsVfs, Vfs as _, lock_records};

use super::{
    Check, DatabaseError, Found, Kind,
    backup::stamp,
    draft::Draft,
    error::ANOTHER,
    open::{Access, check, connect, connect_alone, inspect, service_lock},
    place::{
        Start, apart, beside, dir_of, existing, has_log, has_newer_header, look, sidecars, start,
    },
};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct RestoreOrder<'a> {
    /// The database; it need not be there.
    pub database: &'a Path,
    /// The backup.
    pub from: &'a Path,
    /// When; part of the names under which the old files are kept.
    pub now: Timestamp,
    /// How long a lock on the backup is waited for. The one on the database is not waited for.
    pub wait: Duration,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The database.
    pub database: PathBuf,
    /// The backup.
    pub from: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// What it says about itself.
    pub found: Found,
    /// Where the old files are.
    pub kept: Vec<PathBuf>,
}

/// Puts a backup in the place of a database. Blocks.
///
/// # Errors
///
/// [`DatabaseError`]. Before step 4 everything is as it was.
pub fn restore(order: &RestoreOrder<'_>) -> Result<Restored, DatabaseError> {
    let RestoreOrder { database, from, now, wait } = *order;
    existing(from)?;
    let old = look(database)?;
    let draft = beside(database, ".restore.tmp");
    apart(from, &[database, &draft])?;
    apart(database, &[from])?;
    // Before the lock, which ends when a handle of the file is closed.
    let id = if old.is_some() { start(database)? } else { Start::Empty };
    let conn = open_backup(from, wait)?;
    let found = inspect(&conn, from)?;
    acceptable(&found, from, id, database)?;
    let service = service_lock(database, found.kind)?;
    let unwritten = match old {
        None => None,
        Some(_) => Some(prove_unwritten(database)?),
    };
    check(&conn, from, Check::Full)?;
    let mut draft = Draft::begin(draft, old.as_ref(), true)?;
    draft.fill(&conn, from)?;
    let len = draft.len()?;
    let kept = swap(database, &mut draft, &found, &stamp(now))?;
    drop((unwritten, service));
    Ok(Restored { database: database.to_owned(), from: from.to_owned(), len, found, kept })
}

/// A backup is one file, which may lie where nothing can be written; a copy that somebody made of a database and its log is
/// read with its log.
fn open_backup(from: &Path, wait: Duration) -> Result<Connection, DatabaseError> {
    if has_log(from)? {
        return connect(from, Access::Read, wait);
    }
    match start(from)? {
        Start::Database(_) => connect_alone(from),
        Start::Empty | Start::Other => Err(DatabaseError::NotADatabase { path: from.to_owned() }),
    }
}

/// Refuses the backup of another database, and one that this program could not use.
fn acceptable(
    found: &Found,
    from: &Path,
    old: Start,
    database: &Path,
) -> Result<(), DatabaseError> {
    let id = match found.kind {
        Kind::Ours(layout) => layout.application_id,
        Kind::Foreign(id) => id,
        Kind::New | Kind::Versioned | Kind::Other => 0,
    };
    match old {
        // The header of a database that is served may still stand in its log only.
        Start::Database(0) if has_newer_header(database)? => {}
        Start::Database(wanted) if wanted != id => {
            let (backup, database) = (from.to_owned(), database.to_owned());
            return Err(DatabaseError::Mismatch { backup, found: id, database, wanted });
        }
        _ => {}
    }
    match found.usable(from) {
        // Whoever backs up the database of another program may have it back.
        Err(DatabaseError::Foreign { .. }) => Ok(()),
        other => other,
    }
}

/// U3.
fn prove_unwritten(database: &Path) -> Result<vfs::Lock, DatabaseError> {
    lock_records(database).map_err(|error| DatabaseError::io("lock", database, error))?.ok_or_else(
        || DatabaseError::Busy { path: database.to_owned(), holder: ANOTHER.to_owned() },
    )
}

/// One thing that is done to names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A second name.
    Link { from: PathBuf, to: PathBuf },
    /// Another name.
    Rename { from: PathBuf, to: PathBuf },
    /// A name less.
    Remove(PathBuf),
    /// Names become durable.
    Sync,
    /// The draft becomes the database.
    TakeName,
}

/// Steps 3 to 6 for the files that are there, in their order.
fn plan(
    database: &Path,
    there: &[&str],
    floor: Option<&Path>,
    stamp: &str,
    links: bool,
) -> Vec<Step> {
    let aside = beside(database, &format!(".corrupt-{stamp}"));
    let pairs: Vec<_> = there.iter().map(|it| (beside(database, it), beside(&aside, it))).collect();
    let mut steps = Vec::new();
    if links {
        steps.extend(
            pairs.iter().map(|(from, to)| Step::Link { from: from.clone(), to: to.clone() }),
        );
        steps.push(Step::Sync);
        steps.extend(pairs.into_iter().map(|it| Step::Remove(it.0)));
    } else {
        steps.extend(pairs.into_iter().map(|(from, to)| Step::Rename { from, to }));
    }
    steps.extend([Step::Sync, Step::TakeName, Step::Sync]);
    if let Some(floor) = floor {
        let to = beside(floor, &format!(".corrupt-{stamp}"));
        steps.extend([Step::Rename { from: floor.to_owned(), to }, Step::Sync]);
    }
    steps
}

/// Takes steps 3 to 6; returns where the old files are.
fn swap(
    database: &Path,
    draft: &mut Draft,
    found: &Found,
    stamp: &str,
) -> Result<Vec<PathBuf>, DatabaseError> {
    // The database first: without it nothing plays its log (U2).
    let mut there = Vec::new();
    if look(database)?.is_some() {
        there.push("");
    }
    there.extend(sidecars(database)?.iter().map(|it| it.0));
    let floor = floor_of(database, found.kind)?;
    let links = match there.first() {
        Some(first) => can_link(&beside(database, first), &beside(draft.path(), ".link"))?,
        None => true,
    };
    let steps = plan(database, &there, floor.as_deref(), stamp, links);
    for step in &steps {
        take(step, database, draft)?;
    }
    let kept = steps.into_iter().filter_map(|it| match it {
        Step::Link { to, .. } | Step::Rename { to, .. } => Some(to),
        Step::Remove(_) | Step::Sync | Step::TakeName => None,
    });
    Ok(kept.collect())
}

/// The file that says how far a database of ours went, when it has the name that belongs to it.
fn floor_of(database: &Path, kind: Kind) -> Result<Option<PathBuf>, DatabaseError> {
    let Kind::Ours(layout) = kind else { return Ok(None) };
    if database.file_name().is_none_or(|it| it != layout.file) {
        return Ok(None);
    }
    let floor = dir_of(database).join(layout.floor);
    Ok(look(&floor)?.map(|_| floor))
}

/// Whether files can have two names here.
fn can_link(file: &Path, probe: &Path) -> Result<bool, DatabaseError> {
    // A kill may have left it.
    OsVfs.remove(probe).ok();
    match OsVfs.link(file, probe) {
        Ok(()) => {
            OsVfs.remove(probe).map_err(|error| DatabaseError::io("remove", probe, error))?;
            Ok(true)
        }
        Err(error) => match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => Ok(false),
            _ => Err(DatabaseError::io("link", file, error)),
        },
    }
}

fn take(step: &Step, database: &Path, draft: &mut Draft) -> Result<(), DatabaseError> {
    let dir = dir_of(database);
    match step {
        Step::Link { from, to } => {
            OsVfs.link(from, to).map_err(|error| DatabaseError::io("link", from, error))
        }
        Step::Rename { from, to } => {
            OsVfs.rename(from, to).map_err(|error| DatabaseError::io("rename", from, error))
        }
        Step::Remove(path) => {
            OsVfs.remove(path).map_err(|error| DatabaseError::io("remove", path, error))
        }
        Step::Sync => OsVfs.sync_dir(&dir).map_err(|error| DatabaseError::io("sync", &dir, error)),
        Step::TakeName => draft.take_name(database),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use super::*;
    use crate::database::{BackupOrder, ROLLOUTS, backup, migrate};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn order<'a>(database: &'a Path, from: &'a Path) -> RestoreOrder<'a> {
        RestoreOrder { database, from, now: NOW, wait: Duration::ZERO }
    }

    fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(dir).unwrap().map(|it| it.unwrap());
        entries
            .map(|it| (it.file_name().into_string().unwrap(), fs::read(it.path()).unwrap()))
            .collect()
    }

    /// A backup with one row, and a database with another one, a log, an index and a journal beside it.
    fn scene(dir: &Path) -> (PathBuf, PathBuf) {
        let (database, from) = (dir.join("a.db"), dir.join("good"));
        let conn = Connection::open(&database).unwrap();
        conn.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES ('backup')").unwrap();
        let wait = Duration::ZERO;
        backup(&BackupOrder { source: &database, destination: &from, replace: false, wait })
            .unwrap();
        conn.execute_batch("INSERT INTO t VALUES ('later')").unwrap();
        drop(conn);
        for suffix in ["-wal", "-shm", "-journal"] {
            fs::write(beside(&database, suffix), format!("stale {suffix}")).unwrap();
        }
        (database, from)
    }

    fn values(path: &Path) -> Vec<String> {
        let conn = connect_alone(path).unwrap();
        let mut rows = conn.prepare("SELECT x FROM t ORDER BY rowid").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn the_old_files_are_kept_and_the_content_is_that_of_the_backup() {
        let dir = tempfile::tempdir().unwrap();
        let (database, from) = scene(dir.path());
        let before = files(dir.path());
        let done = restore(&order(&database, &from)).unwrap();
        assert_eq!(values(&database), ["backup"]);
        let after = files(dir.path());
        let aside = "a.db.corrupt-19700101T000000.000Z";
        for suffix in ["", "-wal", "-shm", "-journal"] {
            assert_eq!(after[&format!("{aside}{suffix}")], before[&format!("a.db{suffix}")]);
        }
        assert_eq!(after.len(), 6, "{:?}", after.keys());
        assert_eq!(done.kept.len(), 4);
        assert_eq!(after["good"], before["good"]);
    }

    /// U1 and U2: each old file has one of its names, and a restored database has no log of another.
    fn nothing_is_lost(dir: &Path, before: &BTreeMap<String, Vec<u8>>, new: &[u8], step: &Step) {
        let now = files(dir);
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let old = &before[&format!("a.db{suffix}")];
            let names = [format!("a.db{suffix}"), format!("a.db.corrupt-T1{suffix}")];
            let found = names.iter().any(|it| now.get(it) == Some(old));
            assert!(found, "{suffix} after {step:?}");
        }
        let restored = now.get("a.db").is_some_and(|it| it == new);
        assert!(!restored || !now.contains_key("a.db-wal"), "a foreign log after {step:?}");
    }

    fn killed_behind(count: usize, links: bool) {
        let dir = tempfile::tempdir().unwrap();
        let (database, from) = scene(dir.path());
        let before = files(dir.path());
        let mut draft = Draft::begin(beside(&database, ".restore.tmp"), None, false).unwrap();
        draft.fill(&connect_alone(&from).unwrap(), &from).unwrap();
        let new = fs::read(draft.path()).unwrap();
        let steps = plan(&database, &["", "-wal", "-shm", "-journal"], None, "T1", links);
        for step in steps.iter().take(count) {
            take(step, &database, &mut draft).unwrap();
            nothing_is_lost(dir.path(), &before, &new, step);
        }
        // As a kill does: nothing is cleaned up. Its lock would end, so the draft of this process has to go.
        std::mem::forget(draft);
        fs::remove_file(beside(&database, ".restore.tmp")).ok();
        restore(&order(&database, &from)).unwrap();
        assert_eq!(values(&database), ["backup"]);
        let left = files(dir.path());
        assert!(!left.contains_key("a.db-wal"));
        let kept = left.iter().any(|(name, it)| name.contains("corrupt") && *it == before["a.db"]);
        assert!(kept, "{:?}", left.keys());
    }

    #[test]
    fn a_kill_behind_any_step_loses_nothing_and_the_next_run_ends_it() {
        for links in [true, false] {
            (0..=12).for_each(|count| killed_behind(count, links));
        }
    }

    #[test]
    fn a_file_that_sqlite_cannot_open_and_one_that_is_gone_are_restored() {
        let dir = tempfile::tempdir().unwrap();
        let (database, from) = scene(dir.path());
        for broken in
            [&b"not a database at all, not at all"[..], b"", b"SQLite format 3\0 and nothing"]
        {
            fs::write(&database, broken).unwrap();
            let now = NOW + jiff::SignedDuration::from_millis(broken.len().try_into().unwrap());
            restore(&RestoreOrder { now, ..order(&database, &from) }).unwrap();
            assert_eq!(values(&database), ["backup"]);
        }
        fs::remove_file(&database).unwrap();
        fs::write(beside(&database, "-wal"), "left").unwrap();
        let now = NOW + jiff::SignedDuration::from_secs(9);
        let done = restore(&RestoreOrder { now, ..order(&database, &from) }).unwrap();
        assert_eq!(done.kept, [dir.path().join("a.db.corrupt-19700101T000009.000Z-wal")]);
        assert_eq!(values(&database), ["backup"]);
    }

    #[test]
    fn a_backup_that_is_damaged_empty_or_of_another_database_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (database, from) = scene(dir.path());
        let at = |name: &str| dir.path().join(name);
        fs::write(at("text"), "no database, and a long line of it").unwrap();
        fs::write(at("empty"), "").unwrap();
        let mut cut = fs::read(&from).unwrap();
        cut.truncate(cut.len() / 2);
        fs::write(at("cut"), cut).unwrap();
        let ours = |name: &str, steps: &[&str], more: &str| {
            let mut conn = Connection::open(at(name)).unwrap();
            migrate(&mut conn, 0, steps).unwrap();
            conn.execute_batch(more).unwrap();
        };
        ours("ours", ROLLOUTS.steps, "");
        let before = files(dir.path());
        for (name, want) in [
            ("text", "DB_NOT_A_DATABASE"),
            ("empty", "DB_NOT_A_DATABASE"),
            ("cut", "DB_CORRUPT"),
            ("ours", "DB_MISMATCH"),
            ("none", "DB_NOT_FOUND"),
            ("a.db", "DB_SAME_FILE"),
            ("a.db-wal", "DB_SAME_FILE"),
        ] {
            let error = restore(&order(&database, &at(name))).unwrap_err();
            assert_eq!(error.code(), want, "{name}: {error}");
            assert_eq!(files(dir.path()), before, "{name}");
        }
        ours("newer", ROLLOUTS.steps, "PRAGMA user_version = 99");
        let error = restore(&order(&at("absent.db"), &at("newer"))).unwrap_err();
        assert_eq!(error.code(), "DB_NEWER");
    }

    #[test]
    fn the_floor_of_a_database_of_ours_goes_with_it_and_the_mode_stays() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let (database, from) = (dir.path().join(ROLLOUTS.file), dir.path().join("good"));
        migrate(&mut Connection::open(&database).unwrap(), 0, ROLLOUTS.steps).unwrap();
        fs::copy(&database, &from).unwrap();
        fs::set_permissions(&database, fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(dir.path().join(ROLLOUTS.floor), "floor").unwrap();
        let done = restore(&order(&database, &from)).unwrap();
        assert_eq!(done.kept.len(), 2);
        assert!(!dir.path().join(ROLLOUTS.floor).exists());
        assert_eq!(fs::read(&done.kept[1]).unwrap(), b"floor");
        assert_eq!(fs::metadata(&database).unwrap().permissions().mode() & 0o777, 0o640);
        // While the control plane has its lock, nothing is done.
        let lock = OsVfs.lock(&dir.path().join(crate::database::LOCK), "pid 7").unwrap();
        let error = restore(&order(&database, &from)).unwrap_err();
        assert!(error.to_string().ends_with("is in use by the control plane (pid 7)"), "{error}");
        drop(lock);
    }
}
