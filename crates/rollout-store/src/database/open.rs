//! Connections, and what a database says about itself.

use std::{os::unix::ffi::OsStrExt as _, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use vfs::{Lock, LockError, OsVfs, Vfs as _};

use super::{
    DatabaseError, LOCK, Layout, identity,
    place::{Start, beside, dir_of, existing, has_log, start},
    versioned,
};

/// Whose database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nobody's yet: there is nothing in it.
    New,
    /// The control plane's.
    Ours(&'static Layout),
    /// Anybody's, with a table `schema_version`.
    Versioned,
    /// Anybody's, without one.
    Other,
    /// Another program's, by its application id.
    Foreign(i32),
}

/// What a database says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose it is.
    pub kind: Kind,
    /// Its schema version; `None` where nothing says it.
    pub version: Option<u32>,
    /// Versions below it that were never reached: something was skipped.
    pub gaps: Vec<u32>,
}

impl Found {
    /// Whose it is, in a word.
    pub const fn application(&self) -> &'static str {
        match self.kind {
            Kind::New => "new",
            Kind::Ours(layout) => layout.name,
            Kind::Versioned => "schema_version",
            Kind::Other => "other",
            Kind::Foreign(_) => "foreign",
        }
    }

    /// The newest version that this program can make of it; `None` where that is not its business.
    pub fn latest(&self) -> Option<u32> {
        match self.kind {
            Kind::Ours(layout) => Some(layout.latest()),
            _ => None,
        }
    }

    /// Refuses what a newer program wrote, and what is another program's.
    pub(super) fn usable(&self, path: &Path) -> Result<(), DatabaseError> {
        let path = path.to_owned();
        match (self.kind, self.version, self.latest()) {
            (Kind::Foreign(application_id), _, _) => {
                Err(DatabaseError::Foreign { path, application_id })
            }
            (_, Some(found), Some(supported)) if found > supported => {
                Err(DatabaseError::Newer { path, found, supported })
            }
            _ => Ok(()),
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Reading; a log that somebody left behind stays as it is.
    Read,
    /// Writing.
    Write,
    /// Writing, and the file is made when it is not there.
    Create,
}

/// Opens a file that is a database or empty. `wait` is how long each lock is waited for.
pub(super) fn connect(
    path: &Path,
    access: Access,
    wait: Duration,
) -> Result<Connection, DatabaseError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if access == Access::Create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    if access != Access::Create || super::place::look(path)?.is_some() {
        existing(path)?;
        // With a journal the first page may be half written; SQLite puts the old one back.
        if start(path)? == Start::Other && super::place::look(&beside(path, "-journal"))?.is_none()
        {
            return Err(DatabaseError::NotADatabase { path: path.to_owned() });
        }
    }
    let keep_log = access == Access::Read && has_log(path)?;
    let failed = |error| DatabaseError::sqlite(path, error);
    let conn = Connection::open_with_flags(path, flags).map_err(failed)?;
    conn.busy_timeout(wait).map_err(failed)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep_log).map_err(failed)?;
    // What is in the file is not trusted to call functions with effects.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map_err(failed)?;
    if access != Access::Read {
        if conn.is_readonly("main").map_err(failed)? {
            let source = "the file can only be read".into();
            return Err(DatabaseError::Permission { path: path.to_owned(), source });
        }
        conn.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    }
    Ok(conn)
}

/// Opens the bytes of a file that nobody writes, and nothing beside it.
pub(super) fn connect_alone(path: &Path) -> Result<Connection, DatabaseError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let uri = uri(path.as_os_str().as_bytes());
    Connection::open_with_flags(uri, flags).map_err(|error| DatabaseError::sqlite(path, error))
}

/// The path as a URI that tells `SQLite` to look at nothing else.
fn uri(path: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut uri = "file:".to_owned();
    for byte in path {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte));
            }
            // Writing to a text cannot fail.
            other => _ = write!(uri, "%{other:02X}"),
        }
    }
    uri + "?immutable=1"
}

/// Reads what a database says about itself. Changes nothing.
pub(super) fn inspect(conn: &Connection, path: &Path) -> Result<Found, DatabaseError> {
    let failed = |error| DatabaseError::sqlite(path, error);
    let identity = identity(conn).map_err(failed)?;
    let (kind, version, gaps) = match (identity.application_id, Layout::of(identity.application_id))
    {
        (_, Some(layout)) => (Kind::Ours(layout), Some(identity.version), Vec::new()),
        (0, None) if identity.empty => (Kind::New, Some(0), Vec::new()),
        (0, None) => match versioned::read(conn).map_err(failed)? {
            Some(applied) => (Kind::Versioned, Some(applied.version), applied.gaps),
            None => (Kind::Other, None, Vec::new()),
        },
        (id, None) => (Kind::Foreign(id), None, Vec::new()),
    };
    Ok(Found { kind, version, gaps })
}

/// The layout of a file by its first bytes, without a connection; `None` when it is not the control plane's.
///
/// # Errors
///
/// [`DatabaseError`] when it cannot be read.
pub fn layout_of(path: &Path) -> Result<Option<&'static Layout>, DatabaseError> {
    existing(path)?;
    Ok(match start(path)? {
        Start::Database(id) => Layout::of(id),
        Start::Empty | Start::Other => None,
    })
}

/// How closely pages are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Pages and tables.
    Quick,
    /// Indexes against tables, too.
    Full,
}

/// Looks for damage; the first finding is the error.
pub(super) fn check(conn: &Connection, path: &Path, check: Check) -> Result<(), DatabaseError> {
    let sql = match check {
        Check::Quick => "PRAGMA quick_check(1)",
        Check::Full => "PRAGMA integrity_check(1)",
    };
    let finding: String = conn
        .query_row(sql, [], |row| row.get(0))
        .map_err(|error| DatabaseError::sqlite(path, error))?;
    if finding == "ok" {
        return Ok(());
    }
    Err(DatabaseError::Corrupt { path: path.to_owned(), finding })
}

/// Keeps the control plane from starting while the value lives; `None` when no control plane was ever
/// started beside this database.
pub(super) fn service_lock(path: &Path, kind: Kind) -> Result<Option<Lock>, DatabaseError> {
    let lock = dir_of(path).join(LOCK);
    if !matches!(kind, Kind::Ours(_)) || super::place::look(&lock)?.is_none() {
        return Ok(None);
    }
    match OsVfs.lock(&lock, &format!("pid {}", std::process::id())) {
        Ok(held) => Ok(Some(held)),
        Err(LockError::Held { holder }) => {
            let holder = format!("the control plane ({holder})");
            Err(DatabaseError::Busy { path: path.to_owned(), holder })
        }
        Err(LockError::Io(error)) => Err(DatabaseError::io("lock", &lock, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_survives_the_way_through_a_uri() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a b?c#d%20é'.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let conn = connect_alone(&path).unwrap();
        assert!(conn.table_exists(None, "t").unwrap());
        assert_eq!(
            conn.execute("INSERT INTO t VALUES (1)", []).unwrap_err().sqlite_error_code(),
            Some(rusqlite::ErrorCode::ReadOnly)
        );
    }

    #[test]
    fn each_kind_of_database_is_told_apart() {
        let kind = |sql: &str| {
            let conn = Connection::open_in_memory().unwrap();
            conn.execute_batch(sql).unwrap();
            inspect(&conn, Path::new("x")).unwrap()
        };
        assert_eq!(kind("").kind, Kind::New);
        assert_eq!(kind("CREATE TABLE t (x)").kind, Kind::Other);
        assert_eq!(kind("CREATE TABLE schema_version (version)").kind, Kind::Other);
        assert_eq!(kind("PRAGMA application_id = 7").kind, Kind::Foreign(7));
        let ours = kind("PRAGMA application_id = 1095921516; PRAGMA user_version = 9");
        assert_eq!((ours.kind, ours.version), (Kind::Ours(&super::super::ROLLOUTS), Some(9)));
        assert_eq!(ours.usable(Path::new("x")).unwrap_err().code(), "DB_NEWER");
        let versioned = kind(
            "CREATE TABLE schema_version (version PRIMARY KEY, migrated_at, name);
             INSERT INTO schema_version (version) VALUES (1), (3), (6)",
        );
        assert_eq!((versioned.kind, versioned.version), (Kind::Versioned, Some(6)));
        assert_eq!(versioned.gaps, [2, 4, 5]);
    }
}
