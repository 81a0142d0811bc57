//! The log, for async callers.

use std::{fmt, future::Future};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::oneshot;
use wal_format::Event;
use wal_recovery::{AppendError, Log, LogStatus, Receipt, Submission, Writer, codes};

/// Appends events and waits for their durability without blocking a thread.
pub(crate) struct Journal {
    log: Log,
    clock: Clock,
}

/// What tells the time.
type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("log", &self.log).finish_non_exhaustive()
    }
}

impl Journal {
    pub(crate) fn new(log: Log) -> Self {
        Self { log, clock: Box::new(Timestamp::now) }
    }

    #[cfg(test)]
    pub(crate) fn with_clock(
        log: Log,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        Self { log, clock: Box::new(clock) }
    }

    /// The time, as entries carry it.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Returns when the event is durable.
    pub(crate) fn append<A: Serialize>(
        &self,
        event: &Event<A>,
    ) -> impl Future<Output = Result<Receipt, AppendError>> + Send + use<'_, A> {
        // Nobody needs the event any more once it is bytes.
        let submission = Submission::new(event, self.now());
        async move { self.appended(submission?).await }
    }

    async fn appended(&self, submission: Submission) -> Result<Receipt, AppendError> {
        let (sender, receiver) = oneshot::channel();
        self.log.submit(submission, |answer| {
            // A caller that went away does not need the answer; the entry stands.
            sender.send(answer).ok();
        })?;
        let receipt = receiver.await.unwrap_or(Err(AppendError::Closed))?;
        if let Some(back) = receipt.clock_back {
            let (seq, seconds) = (receipt.seq.get(), back.as_secs_f64());
            tracing::warn!(seq, seconds, "{}", codes::WAL_CLOCK_BACKWARDS);
        }
        Ok(receipt)
    }

    /// Lends the writer out for something else than an append; appends wait. Blocks.
    pub(crate) fn with_writer<T>(
        &self,
        work: impl FnOnce(&mut Writer) -> T,
    ) -> Result<T, AppendError> {
        self.log.with_writer(work)
    }

    pub(crate) fn status(&self) -> LogStatus {
        self.log.status()
    }

    /// Commits what waits and closes the log; later appends fail.
    pub(crate) fn close(&self) -> Result<(), AppendError> {
        self.log.close()
    }
}
