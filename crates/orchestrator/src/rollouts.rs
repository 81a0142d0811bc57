//! Rollouts, releases and nodes: one writer thread that commits in groups and keeps the audit trail, a few
//! readers, and the promoter.
//!
//! ```text
//! ask   ──► queue (bounded) ──► writer: one transaction ──► fsync ──► audit trail ──► fsync ──► answers
//! read  ──► slot (bounded)  ──► reader connection on a blocking thread
//! ```
//!
//! | module     | what it holds                                                                   |
//! |------------|---------------------------------------------------------------------------------|
//! | `boot`     | opens `rollouts.db` by the boot table of `store`                                  |
//! | `draft`    | what a request puts on record, before and after its outcome is known             |
//! | `ledger`   | the audit trail as the writer keeps it                                           |
//! | `queue`    | what is asked for, and the handle that asks                                      |
//! | `writer`   | the thread                                                                       |
//! | `promoter` | the thread that moves plans                                                      |
//!
//! # Invariants
//!
//! * **W1** An answer is sent after the commit that holds its change was synced, and after the floor in
//!   `rollouts.used` was raised to it.
//! * **W2** A change and what it puts on record are one transaction: the note stands in the store until it stands
//!   in the trail. A kill between the two loses neither; the next start tells what was not told.
//! * **W3** While the trail cannot be written, whatever has to be put on record is refused.
//! * **W4** After an IO error or damage nothing is written any more: nothing retries a sync.

mod boot;
mod draft;
mod ledger;
mod promoter;
mod queue;
#[cfg(test)]
mod tests;
mod writer;

use std::{path::PathBuf, sync::Arc};

use rollout_store::{ReadError, SqliteReader};
use thiserror::Error;
use tokio::sync::watch;
use vfs::Vfs;

use crate::{
    config::Limits,
    store::{CloseError, DataDir, Failure, Interruptible, Pool, PoolError},
};
pub use boot::RolloutsError;
pub(crate) use draft::Draft;
pub use ledger::LedgerError;
pub(crate) use promoter::ask as step;
use queue::Writer;
pub(crate) use queue::{Ask, AskError, Clock};

impl Interruptible for SqliteReader {
    fn stopper(&self) -> rusqlite::InterruptHandle {
        self.interrupt_handle()
    }
}

/// What the rollouts are opened with.
pub(crate) struct Opening<'a> {
    pub(crate) dir: &'a DataDir,
    pub(crate) audit_dir: PathBuf,
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) clock: Clock,
    pub(crate) limits: &'a Limits,
}

/// Why something was not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum QueryError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the query took longer than {} s", .limit.as_secs_f64())]
    TimedOut { limit: std::time::Duration },
    #[error("the store is being closed")]
    Stopped,
}

/// The open rollouts. One per data directory and per machine.
#[derive(Debug)]
pub(crate) struct Rollouts {
    writer: Arc<Writer>,
    readers: Arc<Pool<SqliteReader>>,
    promoter: promoter::Promoter,
    failed: watch::Receiver<Option<Failure>>,
    version: watch::Receiver<u64>,
    leads: Leads,
}

/// Since when this process writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leads {
    pub(crate) epoch: u64,
    pub(crate) since: rollout_store::Moment,
}

impl Rollouts {
    /// Opens or creates `rollouts.db`, tells what was not told, and starts the threads. Blocks.
    pub(crate) fn open(opening: Opening<'_>) -> Result<Self, RolloutsError> {
        let opened = boot::open(&opening)?;
        let (report, failed) = watch::channel(None);
        let leads = Leads { epoch: opened.epoch.0, since: opened.acquired_at };
        let (count, version) = watch::channel(0);
        let readers = boot::readers(&opened.paths)?;
        let of_promoter = boot::reader(&opened.paths)?;
        let clock = Arc::clone(&opening.clock);
        let writer = Arc::new(Writer::start(opened, opening.limits, clock, (report, count))?);
        let promoter = promoter::Promoter::start(
            of_promoter,
            Arc::clone(&writer),
            opening.clock,
            opening.limits.promote_interval,
        )?;
        let readers = Arc::new(Pool::new(readers, opening.limits.query_timeout));
        Ok(Self { writer, readers, promoter, failed, version, leads })
    }

    /// Asks for a change; returns after it is durable and on record (W1, W2).
    pub(crate) async fn ask(&self, ask: Ask) -> Result<rollout_store::Applied, AskError> {
        self.writer.ask(ask).await
    }

    /// Puts something on record that changes no rollout.
    pub(crate) async fn record(&self, records: Vec<audit::NewRecord>) -> Result<(), AskError> {
        self.writer.record(records).await
    }

    /// Why nothing can be put on record now; `None` when it can.
    pub(crate) fn record_blocked(&self) -> Option<String> {
        self.writer.record_blocked()
    }

    /// Reads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&SqliteReader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, QueryError> {
        match self.readers.run(query).await {
            Ok(Err(ReadError::Interrupted)) | Err(PoolError::TimedOut) => {
                Err(QueryError::TimedOut { limit: self.readers.query_timeout() })
            }
            Ok(found) => Ok(found?),
            Err(PoolError::Stopped) => Err(QueryError::Stopped),
        }
    }

    /// Raised by every change of a plan or release: what was read of them at one number is current while the
    /// number stands.
    pub(crate) fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Since when this process writes.
    pub(crate) const fn leads(&self) -> Leads {
        self.leads
    }

    /// Asks the promoter for a pass now.
    pub(crate) fn nudge(&self) {
        self.promoter.nudge();
    }

    /// Why the store stopped; `None` while it serves.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failed.borrow().clone()
    }

    /// Waits until the store cannot be trusted any more, and says why.
    pub(crate) async fn failed(&self) -> Failure {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(failure) => failure.clone().unwrap_or(Failure::WriterEnded),
            Err(_) => Failure::WriterEnded,
        }
    }

    /// Ends the threads, commits what waits, closes the files. Blocks.
    pub(crate) fn close(&self) -> Result<(), CloseError> {
        self.promoter.stop();
        self.readers.close();
        self.writer.close()
    }
}
