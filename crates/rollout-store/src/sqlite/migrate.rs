//! Tables, indexes, and how an older file becomes a current one.
//!
//! # Layout (version 2)
//!
//! | table        | column        | content                                                        |
//! |--------------|---------------|----------------------------------------------------------------|
//! | `epoch`      | `epoch`       | who may write                                                  |
//! |              | `commits`     | batches that were committed, ever                              |
//! |              | `store_id`    | random; since version 2                                        |
//! | `notes`      | `number`, `at`, `text`, `about` | notes that may not have been told; since version 2 |
//! | `rollouts`   | `position`    | order of creation; the key of cursors                          |
//! |              | `id`          | unique                                                         |
//! |              | `phase`       | name of the phase; filter                                      |
//! |              | `channel`     | filter                                                         |
//! |              | `live`        | 1 for published and active                                     |
//! |              | `quiet_since` | milliseconds since 1970; what the stuck scan walks             |
//! |              | `body`        | the record as JSON                                             |
//! | `counts`     | `name`, `n`   | rows by phase, and `nodes`; kept by triggers                    |
//! | `reports`    | `plan_id`, `node_id`, … | the last word of a node about a plan                 |
//! | `nodes`      | `id`, `channel`, `last_seen`, … | a node; `plan` since version 2               |
//! | `releases`   | `id`, `channel`, `sequence`, `body` | a release                                |
//! | `remembered` | `key`, `at`, `body` | answers to requests with a key                            |
//!
//! The indexes of live plans are partial: plans that have ended cost a scan nothing.
//!
//! `application_id` marks the file as ours and `user_version` counts the migrations.

use rusqlite::{Connection, Error, TransactionBehavior};

/// `application_id` of our files: `ARol` in ASCII.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"ARol");

/// Each step brings a file from version `index` to `index + 1`.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE epoch (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL) STRICT;
    INSERT INTO epoch VALUES (1, 0);
    CREATE TABLE rollouts (
        position INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        phase TEXT NOT NULL,
        channel TEXT NOT NULL,
        live INTEGER NOT NULL,
        quiet_since INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX rollouts_by_phase ON rollouts (phase);
    CREATE INDEX rollouts_quiet ON rollouts (quiet_since) WHERE live = 1;
    CREATE INDEX rollouts_live ON rollouts (live) WHERE live = 1;
    CREATE INDEX rollouts_live_of ON rollouts (channel) WHERE live = 1;
    CREATE TABLE counts (name TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TRIGGER rollouts_counted AFTER INSERT ON rollouts BEGIN
        INSERT INTO counts VALUES (new.phase, 1) ON CONFLICT (name) DO UPDATE SET n = n + 1;
    END;
    CREATE TRIGGER rollouts_recounted AFTER UPDATE OF phase ON rollouts
    WHEN old.phase <> new.phase BEGIN
        UPDATE counts SET n = n - 1 WHERE name = old.phase;
        INSERT INTO counts VALUES (new.phase, 1) ON CONFLICT (name) DO UPDATE SET n = n + 1;
    END;
    CREATE TABLE reports (
        plan_id TEXT NOT NULL,
        node_id TEXT NOT NULL,
        progress TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        at INTEGER NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (plan_id, node_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE nodes (
        id TEXT PRIMARY KEY,
        channel TEXT NOT NULL,
        last_seen INTEGER,
        release TEXT,
        lock_fingerprint TEXT,
        version TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX nodes_of ON nodes (channel, id) WHERE last_seen IS NOT NULL;
    CREATE INDEX nodes_by_seen ON nodes (last_seen);
    CREATE INDEX nodes_by_release ON nodes (release);
    CREATE TRIGGER nodes_counted AFTER INSERT ON nodes BEGIN
        INSERT INTO counts VALUES ('nodes', 1) ON CONFLICT (name) DO UPDATE SET n = n + 1;
    END;
    CREATE TABLE releases (
        id TEXT PRIMARY KEY,
        channel TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (channel, sequence)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE remembered (key BLOB PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL)
        STRICT, WITHOUT ROWID;
    CREATE INDEX remembered_by_age ON remembered (at);
    PRAGMA application_id = 1095921516;
",
    "
    ALTER TABLE epoch ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE epoch ADD COLUMN store_id TEXT NOT NULL DEFAULT '';
    ALTER TABLE nodes ADD COLUMN plan TEXT;
    UPDATE epoch SET store_id = lower(hex(randomblob(16)));
    CREATE TABLE notes (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        text TEXT NOT NULL,
        about TEXT NOT NULL
    ) STRICT;
",
];

const _: () = assert!(APPLICATION_ID == 1_095_921_516, "the number in the first migration");

/// What a file says about itself.
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

/// A step failed; the file is at the version before it.
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
        assert_eq!(identity(&conn).unwrap().version, 1);
        assert!(!conn.table_exists(None, "b").unwrap());
        assert!(!conn.table_exists(None, "c").unwrap());
    }

    #[test]
    fn a_migrated_file_says_that_it_is_ours() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, 0, MIGRATIONS).unwrap();
        let current = Identity { application_id: APPLICATION_ID, version: 2, empty: false };
        assert_eq!(identity(&conn).unwrap(), current);
        migrate(&mut conn, 2, MIGRATIONS).unwrap();
    }
}
