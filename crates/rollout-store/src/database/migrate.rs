//! How an older file of ours becomes a current one.
//!
//! * **A1** A step and the version that it reaches are one transaction.
//! * **A2** The first step that fails is the last one that is tried; the file is at the version before it.

use rusqlite::{Connection, Error, TransactionBehavior};

/// What a file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whose it is.
    pub application_id: i32,
    /// How many steps it has taken.
    pub version: u32,
    /// Whether it holds no table, index or view.
    pub empty: bool,
}

impl Identity {
    /// A file that nobody has written to.
    pub const NEW: Self = Self { application_id: 0, version: 0, empty: true };
}

/// Reads the identity without changing anything.
///
/// # Errors
///
/// What `SQLite` reports.
pub fn identity(conn: &Connection) -> Result<Identity, Error> {
    let number = |name| conn.pragma_query_value(None, name, |row| row.get(0));
    let version: i32 = number("user_version")?;
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)";
    Ok(Identity {
        application_id: number("application_id")?,
        // A negative version is one that no program of ours wrote: newer than everything.
        version: u32::try_from(version).unwrap_or(u32::MAX),
        empty: conn.query_row(sql, [], |row| row.get(0))?,
    })
}

/// A step failed; the file is at the version before it (A2).
#[derive(Debug)]
pub struct MigrationError {
    /// The version that was not reached.
    pub version: u32,
    /// What `SQLite` says.
    pub source: Error,
}

/// Takes every step after `version`, each in its own transaction (A1), and stops at the first failure.
///
/// # Errors
///
/// [`MigrationError`] with the version that was not reached.
pub fn migrate(conn: &mut Connection, version: u32, steps: &[&str]) -> Result<(), MigrationError> {
    for (step, target) in steps.iter().zip(1..).skip(version as usize) {
        apply(conn, step, target).map_err(|source| MigrationError { version: target, source })?;
    }
    Ok(())
}

fn apply(conn: &mut Connection, step: &str, target: u32) -> Result<(), Error> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "user_version", target)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::OURS;

    #[test]
    fn a_step_that_fails_leaves_the_version_before_it() {
        let mut conn = Connection::open_in_memory().unwrap();
        let steps =
            ["CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (x)", "CREATE TABLE c (x)"];
        let error = migrate(&mut conn, 0, &steps).unwrap_err();
        assert_eq!(error.version, 2);
        assert!(error.source.to_string().contains("table a already exists"), "{}", error.source);
        let found = identity(&conn).unwrap();
        assert_eq!((found.version, found.empty), (1, false));
        assert!(!conn.table_exists(None, "b").unwrap());
        assert!(!conn.table_exists(None, "c").unwrap());
        migrate(&mut conn, 1, &["", "CREATE TABLE b (x)", "CREATE TABLE c (x)"]).unwrap();
        assert_eq!(identity(&conn).unwrap().version, 3);
    }

    #[test]
    fn a_migrated_file_says_that_it_is_ours() {
        for layout in OURS {
            let mut conn = Connection::open_in_memory().unwrap();
            assert_eq!(identity(&conn).unwrap(), Identity::NEW);
            migrate(&mut conn, 0, layout.steps).unwrap();
            let (application_id, version) = (layout.application_id, layout.latest());
            let current = Identity { application_id, version, empty: false };
            assert_eq!(identity(&conn).unwrap(), current, "{}", layout.name);
            migrate(&mut conn, version, layout.steps).unwrap();
        }
    }
}
