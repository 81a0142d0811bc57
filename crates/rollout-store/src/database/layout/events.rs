//! Tables and indexes of the database of events.
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

/// `application_id` of the files: `AOps` in ASCII.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"AOps");
/// Events that share one row of `event_blocks`. Part of the format.
pub const EVENTS_PER_BLOCK: i64 = 1024;

/// Each step brings a file from version `index` to `index + 1`.
pub(super) const STEPS: &[&str] = &["
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
