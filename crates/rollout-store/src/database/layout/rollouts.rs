//! Tables and indexes of the database of rollouts.
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

/// `application_id` of the files: `ARol` in ASCII.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"ARol");

/// Each step brings a file from version `index` to `index + 1`.
pub(super) const STEPS: &[&str] = &[
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
