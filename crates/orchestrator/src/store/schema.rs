//! Tables, indexes, and how an older database becomes a current one.
//!
//! # Layout (version 1)
//!
//! | table          | column       | content                                                      |
//! |----------------|--------------|--------------------------------------------------------------|
//! | `events`       | `id`         | insertion order; the key of cursors                          |
//! |                | `event_id`   | unique: a repeated one is not stored again                   |
//! |                | `event_type` | filter                                                       |
//! |                | `node_id`    | filter                                                       |
//! |                | `at_ns`      | timestamp in nanoseconds since 1970 (UTC)                    |
//! |                | `body`       | the event as JSON, as it came                                |
//! | `event_blocks` | `block`      | `id / 1024`                                                  |
//! |                | `latest_ns`  | largest `at_ns` in that block: what `since` can skip         |
//!
//! Every index ends in `id` (`SQLite` appends the row id), so each combination of filters walks its
//! own entries newest first and stops at the limit. `since` cannot be an index of its own, because
//! the order is insertion and nodes report late; it skips whole blocks instead.
//!
//! `application_id` marks the file as ours and `user_version` counts the migrations.

use rusqlite::{Connection, Error, TransactionBehavior};

/// `application_id` of our databases: `AOps` in ASCII.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"AOps");
/// Events that share one row of `event_blocks`. Part of the format.
pub(super) const EVENTS_PER_BLOCK: i64 = 1024;

/// Each step brings a database from version `index` to `index + 1`.
pub(super) const MIGRATIONS: &[&str] = &["
    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        event_id TEXT NOT NULL UNIQUE,
        event_type TEXT NOT NULL,
        node_id TEXT NOT NULL,
        at_ns INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_by_node ON events (node_id);
    CREATE INDEX events_by_type ON events (event_type);
    CREATE INDEX events_by_node_and_type ON events (node_id, event_type);
    CREATE TABLE event_blocks (block INTEGER PRIMARY KEY, latest_ns INTEGER NOT NULL) STRICT;
    PRAGMA application_id = 1095725171;
"];

const _: () = assert!(APPLICATION_ID == 1_095_725_171, "the number in the first migration");

/// What a database says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) application_id: i32,
    pub(super) version: u32,
    /// Whether it holds any table, index or view.
    pub(super) empty: bool,
}

/// Reads the identity without changing anything.
pub(super) fn identity(conn: &Connection) -> Result<Identity, Error> {
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

/// A step failed; the database is at the version before it.
#[derive(Debug)]
pub(super) struct MigrationError {
    /// The version that was not reached.
    pub(super) version: u32,
    pub(super) source: Error,
}

/// Takes every step after `version`, each in its own transaction, and stops at the first failure.
pub(super) fn migrate(
    conn: &mut Connection,
    version: u32,
    steps: &[&str],
) -> Result<(), MigrationError> {
    for (step, target) in steps.iter().zip(1..).skip(version as usize) {
        apply(conn, step, target).map_err(|source| MigrationError { version: target, source })?;
        tracing::info!(version = target, "store migrated");
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
    fn a_migrated_database_says_that_it_is_ours() {
        let mut conn = Connection::open_in_memory().unwrap();
        let new = Identity { application_id: 0, version: 0, empty: true };
        assert_eq!(identity(&conn).unwrap(), new);
        migrate(&mut conn, 0, MIGRATIONS).unwrap();
        let current = Identity { application_id: APPLICATION_ID, version: 1, empty: false };
        assert_eq!(identity(&conn).unwrap(), current);
        migrate(&mut conn, 1, MIGRATIONS).unwrap();
    }
}
