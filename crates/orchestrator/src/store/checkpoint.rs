//! Keeps the log of `SQLite` small.
//!
//! `SQLite`'s own automatic checkpoints are off: they ignore a failed sync of the database and try it
//! again later, and a sync that is tried again can succeed without the data being there (S3). Here
//! a failed checkpoint stops the store; the log is then still whole and the next start replays it.

use std::time::Duration;

use rusqlite::{Connection, Error};

use super::Failure;

/// Pages in the log at which it is copied into the database (16 MiB).
pub(super) const LOG_PAGES_MAX: i64 = 4096;
/// Pages in the log at which a reader that never ends is worth a warning (256 MiB).
const LOG_PAGES_WARN: i64 = 65_536;
/// How long a checkpoint waits for readers. The queue waits with it.
const READERS_WAIT: Duration = Duration::from_millis(200);

/// When the next checkpoint is due.
#[derive(Debug)]
pub(super) struct Checkpoints {
    due_at: i64,
    busy_timeout: Duration,
    log_empty: bool,
}

impl Checkpoints {
    /// `busy_timeout` is what the connection waits outside of checkpoints.
    pub(super) const fn new(busy_timeout: Duration) -> Self {
        Self { due_at: LOG_PAGES_MAX, busy_timeout, log_empty: false }
    }

    /// Whether [`Self::when_idle`] has something to do.
    pub(super) const fn wants_idle(&self) -> bool {
        !self.log_empty
    }

    /// Called after each commit: moves the log into the database when it is long enough.
    /// Returns whether it was.
    pub(super) fn after_commit(&mut self, conn: &Connection) -> Result<bool, Error> {
        self.log_empty = false;
        let pages = wal_checkpoint(conn, "NOOP")?.pages;
        if pages < self.due_at {
            return Ok(false);
        }
        if self.attempt(conn, "RESTART")? {
            self.due_at = LOG_PAGES_MAX;
        } else {
            // A reader holds the log. Without the growing distance each commit would wait for it.
            self.due_at = pages + LOG_PAGES_MAX;
            if pages >= LOG_PAGES_WARN {
                tracing::warn!(pages, "a reader keeps the log of the store from being emptied");
            }
        }
        Ok(true)
    }

    /// Called when nothing was written for a while, and at the end: empties the log.
    pub(super) fn when_idle(&mut self, conn: &Connection) -> Result<(), Error> {
        self.log_empty = true;
        self.attempt(conn, "TRUNCATE").map(drop)
    }

    /// Returns whether the whole log was copied.
    fn attempt(&self, conn: &Connection, mode: &str) -> Result<bool, Error> {
        conn.busy_timeout(READERS_WAIT)?;
        let outcome = wal_checkpoint(conn, mode);
        conn.busy_timeout(self.busy_timeout)?;
        outcome.map(|it| !it.blocked)
    }
}

#[derive(Debug)]
struct Outcome {
    blocked: bool,
    /// Pages in the log.
    pages: i64,
}

/// Damage and IO errors are errors; anything else only postpones the checkpoint.
fn wal_checkpoint(conn: &Connection, mode: &str) -> Result<Outcome, Error> {
    let outcome = conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        Ok(Outcome { blocked: row.get(0)?, pages: row.get(1)? })
    });
    match outcome {
        Err(error) if Failure::of(&error).is_none() => {
            tracing::warn!(%error, mode, "checkpoint postponed");
            Ok(Outcome { blocked: true, pages: 0 })
        }
        other => other,
    }
}
