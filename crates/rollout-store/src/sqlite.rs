//! Plans in one `SQLite` file: one connection that writes, any number that read.
//!
//! | module    | what it holds                                                        |
//! |-----------|----------------------------------------------------------------------|
//! | `open`    | what is opened, created or refused; the modes that durability needs  |
//! | `rows`    | rows inside a transaction                                            |
//! | `read`    | pages by key, scans by index                                         |
//! | `failure` | what an error of `SQLite` means                                      |
//!
//! # Invariants
//!
//! * **Z1** Write-ahead log and `synchronous = FULL`: what `apply` answered survives a kill and a power
//!   cut, as far as the disk keeps what it has synced.
//! * **Z2** Each request has a savepoint of its own; what a refused one wrote is taken back.
//! * **Z3** After a failed write or sync, or damage, the store takes no more work: nothing retries a sync.
//! * **Z4** No query reads more rows than it answers with, whatever the size of the store.
//! * **Z5** A file of a newer program is refused by name and left as it is.

mod failure;
mod open;
mod read;
mod rows;

use std::path::Path;

use rusqlite::{Connection, InterruptHandle, TransactionBehavior, config::DbConfig};

use crate::{
    memory::of_batch,
    moment::Moment,
    store::{
        Answer, ApplyError, BATCH_MAX, Epoch, Request, RolloutReader, RolloutStore, RowError,
        engine::{self, NotApplied},
    },
};
use failure::row_error;
pub use open::OpenError;
use rows::SqliteRows;

/// Pages in the log of `SQLite` at which it is copied into the file (16 MiB).
const LOG_PAGES_MAX: i64 = 4096;

/// The connection that writes. One per file and machine: whoever opens it holds a lock elsewhere.
#[derive(Debug)]
pub struct SqliteStore {
    reader: SqliteReader,
    stopped: Option<String>,
    /// Pages in the log at which the next checkpoint is due.
    checkpoint_at: i64,
}

/// A connection that reads.
#[derive(Debug)]
pub struct SqliteReader {
    conn: Connection,
}

impl SqliteReader {
    /// Opens a file that a [`SqliteStore`] has opened before, for reading only. Blocks.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when it is not there, not ours, or newer.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        open::read_only(path).map(|conn| Self { conn })
    }

    /// Stops a query of this connection from another thread.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.conn.get_interrupt_handle()
    }
}

impl SqliteStore {
    /// Opens or creates the file and brings it to the current version. Blocks.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when it cannot be used; a file that is refused is left as it is.
    ///
    /// # Examples
    ///
    /// ```
    /// use rollout_store::{RolloutStore, SqliteStore};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let mut store = SqliteStore::open(&dir.path().join("rollouts.db"))?;
    /// assert_eq!(store.acquire()?.0, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let conn = open::read_write(path)?;
        let reader = SqliteReader { conn };
        Ok(Self { reader, stopped: None, checkpoint_at: LOG_PAGES_MAX })
    }

    /// Copies the log into the file and empties it. Blocks.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] when that failed; the log is then whole, and the next start reads it.
    pub fn close(self) -> Result<(), ApplyError> {
        if let Some(detail) = self.stopped {
            return Err(ApplyError::Stopped { detail });
        }
        let outcome = checkpoint(&self.reader.conn, "TRUNCATE");
        outcome.map(drop).map_err(|error| of_batch(row_error(&error)))
    }

    /// Z3. Closing the connection would do another checkpoint, which is a retry.
    fn stop(&mut self, error: RowError) -> ApplyError {
        if let RowError::Broken { detail } = &error {
            self.stopped = Some(detail.clone());
            let no_checkpoint = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
            // Nothing better can be done when this fails as well.
            _ = self.reader.conn.set_db_config(no_checkpoint, true);
        }
        of_batch(error)
    }

    fn ready(&self) -> Result<(), ApplyError> {
        match &self.stopped {
            Some(detail) => Err(ApplyError::Stopped { detail: detail.clone() }),
            None => Ok(()),
        }
    }

    /// Keeps the log small. The commit before it is durable whatever happens here.
    fn checkpoint_when_due(&mut self) -> Result<(), rusqlite::Error> {
        let conn = &self.reader.conn;
        let Some(pages) = checkpoint(conn, "NOOP")? else { return Ok(()) };
        if pages < self.checkpoint_at {
            return Ok(());
        }
        // A reader that holds the log moves the next attempt away; each commit would wait for it.
        let whole = checkpoint(conn, "RESTART")?.is_some();
        self.checkpoint_at = if whole { LOG_PAGES_MAX } else { pages + LOG_PAGES_MAX };
        Ok(())
    }
}

/// Returns the pages in the log; `None` when somebody was in the way.
fn checkpoint(conn: &Connection, mode: &str) -> Result<Option<i64>, rusqlite::Error> {
    let pragma = format!("PRAGMA wal_checkpoint({mode})");
    let row = conn.query_row(&pragma, [], |row| Ok((row.get::<_, bool>(0)?, row.get(1)?)));
    match row {
        Ok((false, pages)) => Ok(Some(pages)),
        Ok((true, _)) => Ok(None),
        Err(error) if row_error(&error) == RowError::Busy => Ok(None),
        Err(error) => Err(error),
    }
}

impl RolloutStore for SqliteStore {
    fn reader(&self) -> &dyn RolloutReader {
        &self.reader
    }

    fn acquire(&mut self) -> Result<Epoch, ApplyError> {
        self.ready()?;
        raise_epoch(&mut self.reader.conn).map_err(|error| self.stop(row_error(&error)))
    }

    fn apply(
        &mut self,
        epoch: Epoch,
        now: Moment,
        requests: &[Request],
    ) -> Result<Vec<Answer>, ApplyError> {
        self.ready()?;
        if requests.len() > BATCH_MAX {
            return Err(ApplyError::TooMany { len: requests.len() });
        }
        let answers = match commit(&mut self.reader.conn, epoch, now, requests) {
            Ok(answers) => answers,
            Err(Undone::Batch(error)) => return Err(error),
            Err(Undone::Row(error)) => return Err(self.stop(error)),
        };
        if let Err(error) = self.checkpoint_when_due() {
            // The batch is durable in the log; only the next one is refused.
            self.stop(match row_error(&error) {
                RowError::Full { detail } => RowError::Full { detail },
                _ => RowError::Broken { detail: format!("checkpoint: {error}") },
            });
        }
        Ok(answers)
    }
}

/// In a transaction of its own, whose commit is seen to succeed.
fn raise_epoch(conn: &mut Connection) -> Result<Epoch, rusqlite::Error> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("UPDATE epoch SET epoch = epoch + 1", [])?;
    let epoch = read::epoch(&transaction)?;
    transaction.commit()?;
    Ok(epoch)
}

/// Why nothing of a batch was stored.
enum Undone {
    Batch(ApplyError),
    Row(RowError),
}

impl From<rusqlite::Error> for Undone {
    fn from(error: rusqlite::Error) -> Self {
        Self::Row(row_error(&error))
    }
}

/// One transaction with one savepoint a request (B1, Z2).
fn commit(
    conn: &mut Connection,
    epoch: Epoch,
    now: Moment,
    requests: &[Request],
) -> Result<Vec<Answer>, Undone> {
    let mut transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let current = read::epoch(&transaction)?;
    if current != epoch {
        let (given, current) = (epoch.0, current.0);
        return Err(Undone::Batch(ApplyError::StaleEpoch { given, current }));
    }
    let counted = "UPDATE epoch SET commits = commits + 1";
    transaction.prepare_cached(counted)?.execute([])?;
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        let savepoint = transaction.savepoint()?;
        let outcome = engine::apply(&mut SqliteRows(&savepoint), request, now);
        match outcome {
            Ok(applied) => {
                savepoint.commit()?;
                answers.push(Ok(applied));
            }
            Err(NotApplied::Refused(error)) => {
                savepoint.finish()?;
                answers.push(Err(error));
            }
            Err(NotApplied::Row(error)) => return Err(Undone::Row(error)),
        }
        // Some errors end the whole transaction; what came after would be committed one by one.
        if transaction.is_autocommit() {
            let detail = "the transaction ended on its own".to_owned();
            return Err(Undone::Row(RowError::Full { detail }));
        }
    }
    transaction.commit()?;
    Ok(answers)
}

#[cfg(test)]
mod tests;
