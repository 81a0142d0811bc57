//! Events on `SQLite`: one writer thread that commits in groups, a few readers.
//!
//! ```text
//! append ──► queue (bounded) ──► writer thread: one transaction for all that wait ──► fsync ──► answers
//! page   ──► slot (bounded)  ──► reader connection on a blocking thread
//! ```
//!
//! | module       | what it holds                                                          |
//! |--------------|------------------------------------------------------------------------|
//! | `names`      | the files of the data directory                                        |
//! | `mark`       | the floor below which a database is a loss                             |
//! | `open`       | the boot table: what is served, created, or refused                    |
//! | `commit`     | one transaction for many requests, without one hurting another (O2)    |
//! | `writer`     | the thread: queue, groups, answers after the commit (O1)               |
//! | `checkpoint` | keeps the log of `SQLite` small                                          |
//! | `pool`       | connections for reading, with queries that can be stopped              |
//! | `reader`     | pages by key, never by offset (O4)                                     |
//! | `failure`    | what an error of `SQLite` means                                          |
//!
//! # Invariants
//!
//! * **S1** Ids are given in commit order by the one writer, so a reader that saw id `n` saw every
//!   smaller id.
//! * **S2** `event_blocks.latest_ns` is not less than `at_ns` of any event of its block; both are
//!   written in one transaction. Skipping a block by it skips no match.
//! * **S3** After an IO error or damage the writer takes no more work: nothing retries an fsync.
//! * **S4** A database that ends before an event that was answered is refused, not continued.

mod checkpoint;
mod commit;
mod failure;
pub(crate) mod mark;
pub mod names;
mod open;
mod pool;
mod reader;
mod writer;

use std::{io, path::PathBuf};

use thiserror::Error;
use tokio::sync::watch;

use crate::config::Limits;
pub use failure::Failure;
pub use open::OpenError;
pub(crate) use open::{DataDir, Paths, connect, examine_pages};
pub(crate) use pool::{Interruptible, Pool, PoolError};
pub(crate) use reader::PageError;
use reader::Readers;
pub(crate) use writer::AppendError;
pub(crate) use writer::Watched;
use writer::Writer;

/// An event that was checked, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewEvent {
    /// Stable id (O3).
    pub(crate) event_id: String,
    /// Filter key.
    pub(crate) event_type: String,
    /// Filter key.
    pub(crate) node_id: String,
    /// When it happened, in nanoseconds since 1970 (UTC).
    pub(crate) at_ns: i64,
    /// The whole event as JSON, as it came.
    pub(crate) body: String,
}

/// What became of the events of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// New ones.
    pub(crate) inserted: u64,
    /// Known ones.
    pub(crate) deduped: u64,
}

/// Which events, from where, how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageQuery {
    pub(crate) node_id: Option<String>,
    pub(crate) event_type: Option<String>,
    /// Inclusive, in nanoseconds since 1970 (UTC).
    pub(crate) since_ns: Option<i64>,
    /// Only events inserted before the one with this id.
    pub(crate) before: Option<i64>,
    pub(crate) limit: u32,
}

/// Which events behind a position, how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TailQuery {
    pub(crate) node_id: Option<String>,
    pub(crate) event_type: Option<String>,
    /// Only events inserted after the one with this id.
    pub(crate) after: i64,
    pub(crate) limit: u32,
}

/// Events, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Position and JSON of each.
    pub(crate) events: Vec<(i64, String)>,
    /// Everything that fits up to this position has been read.
    pub(crate) seen: i64,
}

/// Events, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// JSON of each event.
    pub(crate) bodies: Vec<String>,
    /// The position of each event.
    pub(crate) ids: Vec<i64>,
    /// The `before` of the next page; `None` when nothing follows.
    pub(crate) next: Option<i64>,
}

/// An open store. One per data directory and per machine.
#[derive(Debug)]
pub(crate) struct Store {
    writer: Writer,
    readers: Readers,
    failed: watch::Receiver<Option<Failure>>,
    stored: watch::Receiver<i64>,
}

impl Store {
    /// Opens or creates the store in `dir`. Blocks.
    pub(crate) fn open(dir: &DataDir, limits: &Limits) -> Result<Self, OpenError> {
        let opened = open::open(dir, limits)?;
        let (report, failed) = watch::channel(None);
        let readers = Readers::open(&opened.paths, limits, report.clone())?;
        let (last, stored) = watch::channel(opened.last);
        let writer = Writer::start(opened, limits, (report, last))?;
        Ok(Self { writer, readers, failed, stored })
    }

    /// Stores the events of one request; returns after they are durable (O1).
    pub(crate) async fn append(&self, events: Vec<NewEvent>) -> Result<Stored, AppendError> {
        self.writer.append(events).await
    }

    /// Reads one page.
    pub(crate) async fn page(&self, query: PageQuery) -> Result<Page, PageError> {
        self.readers.page(query).await
    }

    /// Reads what came behind a position.
    pub(crate) async fn tail(&self, query: TailQuery) -> Result<Tail, PageError> {
        self.readers.tail(query).await
    }

    /// The position of the last event that is stored, as it moves.
    pub(crate) fn stored(&self) -> watch::Receiver<i64> {
        self.stored.clone()
    }

    /// Waits until the store cannot be trusted any more, and says why.
    pub(crate) async fn failed(&self) -> Failure {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(failure) => failure.clone().unwrap_or(Failure::WriterEnded),
            Err(_) => Failure::WriterEnded,
        }
    }

    /// Commits what waits, empties the log of `SQLite`, closes the files. Blocks.
    pub(crate) fn close(&self) -> Result<(), CloseError> {
        self.readers.close();
        self.writer.close()
    }

    #[cfg(test)]
    pub(crate) fn with_writer(&self, act: impl FnOnce(&rusqlite::Connection) + Send + 'static) {
        self.writer.inspect(Box::new(act));
    }
}

/// The store could not be closed in order. What was answered is durable all the same.
#[derive(Debug, Error)]
pub(crate) enum CloseError {
    /// The last checkpoint failed; the next start does it.
    #[error("the last checkpoint failed: {0}")]
    Checkpoint(rusqlite::Error),
    /// The rollouts could not be closed in order.
    #[error("the rollouts: {reason}")]
    Rollouts {
        /// Why.
        reason: String,
    },
    /// The floor for the next start could not be synced.
    #[error("cannot sync {}: {source}", .path.display())]
    Mark {
        /// The file that holds it.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The writer thread had ended before.
    #[error("the writer had ended before")]
    WriterEnded,
}

#[cfg(test)]
mod tests;
