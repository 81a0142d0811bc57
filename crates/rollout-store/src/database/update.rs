//! A file brought to its newest version.

use std::{path::Path, path::PathBuf, time::Duration};

use jiff::Timestamp;
use vfs::{OsVfs, Vfs as _};

use super::{
    DatabaseError, Found, Kind, Migration, migrate,
    open::{Access, connect, inspect, service_lock},
    place::{dir_of, look},
    versioned,
};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct UpdateOrder<'a> {
    /// The database. One that is not there is created, when there are migrations for it.
    pub database: &'a Path,
    /// What brings it further; databases of the control plane bring their own.
    pub migrations: Option<&'a [Migration]>,
    /// When.
    pub now: Timestamp,
    /// How long each lock is waited for.
    pub wait: Duration,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// The database.
    pub database: PathBuf,
    /// Its version before.
    pub from: u32,
    /// What it says about itself now.
    pub found: Found,
    /// The versions that were reached now, with their names.
    pub applied: Vec<(u32, String)>,
}

/// Applies what is missing, each migration in a transaction of its own, and stops at the first that fails. Blocks.
///
/// # Errors
///
/// [`DatabaseError`]; the file is at the version before the migration that failed.
pub fn update(order: &UpdateOrder<'_>) -> Result<Updated, DatabaseError> {
    let UpdateOrder { database, migrations, now, wait } = *order;
    let path = || database.to_owned();
    let absent = look(database)?.is_none();
    if absent && migrations.is_none_or(<[_]>::is_empty) {
        return Err(DatabaseError::NotFound { path: path() });
    }
    let access = if absent { Access::Create } else { Access::Write };
    let mut conn = connect(database, access, wait)?;
    let before = inspect(&conn, database)?;
    before.usable(database)?;
    let _service = service_lock(database, before.kind)?;
    let from = before.version.unwrap_or_default();
    let applied = match (before.kind, migrations) {
        (Kind::Ours(layout), None) => {
            let took = migrate(&mut conn, from, layout.steps);
            took.map_err(|error| match DatabaseError::sqlite(database, error.source) {
                DatabaseError::Sqlite { source, .. } => DatabaseError::Migration {
                    path: path(),
                    version: error.version,
                    name: layout.name.to_owned(),
                    reason: source.to_string(),
                    reached: error.version.saturating_sub(1),
                },
                other => other,
            })?;
            (from + 1..=layout.latest()).map(|it| (it, layout.name.to_owned())).collect()
        }
        (Kind::Ours(_), Some(_)) => {
            let reason = format!(
                "{} is a database of the control plane and brings its own migrations",
                database.display()
            );
            return Err(DatabaseError::Migrations { path: path(), reason });
        }
        (Kind::Versioned, None) => Vec::new(),
        (Kind::New | Kind::Versioned, Some(migrations)) => {
            versioned::apply(&mut conn, database, migrations, now)?
        }
        // Tables without a version: applying the first migration to them would be a guess.
        (Kind::New | Kind::Other | Kind::Foreign(_), _) => {
            return Err(DatabaseError::Unversioned { path: path() });
        }
    };
    let found = inspect(&conn, database)?;
    conn.close().map_err(|(_, error)| DatabaseError::sqlite(database, error))?;
    if absent {
        let dir = dir_of(database);
        OsVfs.sync_dir(&dir).map_err(|error| DatabaseError::io("sync", &dir, error))?;
    }
    Ok(Updated { database: path(), from, found, applied })
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::database::{EVENTS, OURS};

    fn order<'a>(database: &'a Path, migrations: Option<&'a [Migration]>) -> UpdateOrder<'a> {
        UpdateOrder { database, migrations, now: Timestamp::UNIX_EPOCH, wait: Duration::ZERO }
    }

    #[test]
    fn an_older_file_of_ours_takes_the_steps_that_it_lacks_once() {
        let dir = tempfile::tempdir().unwrap();
        for layout in OURS {
            let path = dir.path().join(layout.file);
            migrate(&mut Connection::open(&path).unwrap(), 0, &layout.steps[..1]).unwrap();
            let done = update(&order(&path, None)).unwrap();
            assert_eq!((done.from, done.found.version), (1, Some(layout.latest())));
            assert_eq!(done.applied.len(), layout.steps.len() - 1);
            assert_eq!(update(&order(&path, None)).unwrap().applied, []);
            assert_eq!(
                update(&order(&path, Some(&[]))).unwrap_err().code(),
                "DB_MIGRATIONS_INVALID"
            );
        }
        let path = dir.path().join(EVENTS.file);
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
        assert_eq!(update(&order(&path, None)).unwrap_err().code(), "DB_NEWER");
    }

    #[test]
    fn a_file_is_created_by_migrations_only_and_tables_without_a_version_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        for none in [None, Some(&[][..])] {
            assert_eq!(update(&order(&path, none)).unwrap_err().code(), "DB_NOT_FOUND");
            assert!(!path.exists());
        }
        let all =
            [Migration { version: 4, name: "x".to_owned(), sql: "CREATE TABLE t (x)".to_owned() }];
        let done = update(&order(&path, Some(&all))).unwrap();
        assert_eq!((done.from, done.found.version), (0, Some(4)));
        assert_eq!(update(&order(&path, Some(&all))).unwrap().applied, []);
        assert_eq!(update(&order(&path, None)).unwrap().found.version, Some(4));

        for (name, sql, code) in [
            ("b", "CREATE TABLE t (x)", "DB_UNVERSIONED"),
            ("c", "PRAGMA application_id = 9", "DB_FOREIGN"),
        ] {
            let path = dir.path().join(name);
            Connection::open(&path).unwrap().execute_batch(sql).unwrap();
            let before = std::fs::read(&path).unwrap();
            assert_eq!(update(&order(&path, Some(&all))).unwrap_err().code(), code);
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }
}
