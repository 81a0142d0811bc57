//! Connections, and what a database says about itself.
//!
//! * **O1** Who reads plays nothing back: with a rollback journal the file is opened for reading alone, and a journal of
//!   a writer that was killed is `DB_HOT_JOURNAL`. In WAL mode it is opened for writing, so that `SQLite` clears its own files
//!   away, and a log that was left behind stays.

use std::{os::unix::ffi::OsStrExt as _, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use vfs::{Lock, LockError, OsVfs, Vfs as _};

use super::{
    DatabaseError, LOCK, Layout, identity,
    place::{Start, beside, dir_of, existing, has_log, is_journaled, plain, start},
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
    if access != Access::Create || super::place::look(path)?.is_some() {
        existing(path)?;
        // With a journal the first page may be half written; SQLite puts the old one back.
        if start(path)? == Start::Other && super::place::look(&beside(path, "-journal"))?.is_none()
        {
            return Err(DatabaseError::NotADatabase { path: path.to_owned() });
        }
    }
    let how = match access {
        // O1
        Access::Read if is_journaled(path)? => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Read | Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::Create => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    let keep_log = access == Access::Read && has_log(path)?;
    let failed = |error| DatabaseError::sqlite(path, error);
    let flags = how | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(plain(path), flags).map_err(failed)?;
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
    let uri = uri(plain(path).as_os_str().as_bytes());
    Connection::open_with_flags(uri, flags).map_err(|error| DatabaseError::sqlite(path, error))
}

/// A [`plain`] path as a URI that tells `SQLite` to look at nothing else.
fn uri(path: &[u8]) -> String {
    use std::fmt::Write as _;

    // Between the second slash and the third stands a host, and none is meant.
    let mut uri = if path.starts_with(b"/") { "file://" } else { "file:" }.to_owned();
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

    /// F3
    #[test]
    fn a_path_with_two_slashes_at_its_beginning_names_no_host() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let twice = std::path::PathBuf::from(format!("/{}", path.display()));
        assert!(connect_alone(&twice).unwrap().table_exists(None, "t").unwrap());
    }

    /// F3
    #[test]
    fn no_name_means_anything_but_a_file() {
        for name in [":memory:", "file:a.db?mode=memory", "file::memory:", "file:///tmp"] {
            let found = plain(Path::new(name));
            assert_eq!(found, Path::new(".").join(name), "{name}");
            let uri = uri(found.as_os_str().as_bytes());
            assert!(uri.starts_with("file:./") && uri.ends_with("?immutable=1"), "{uri}");
        }
        let error = connect(Path::new(""), Access::Create, Duration::ZERO).unwrap_err();
        assert_eq!(error.code(), "DB_NOT_A_FILE");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file:a.db?mode=memory");
        connect(&path, Access::Create, Duration::ZERO)
            .unwrap()
            .execute_batch("CREATE TABLE t (x)")
            .unwrap();
        assert!(path.exists());
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
