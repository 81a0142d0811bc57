//! The queue of the writer thread: what is asked for, and the handle that asks.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use audit::NewRecord;
use rollout_store::{
    Applied, ApplyError, Idempotency, Moment, Request, Write, WriteError, store::Note,
};
use thiserror::Error;
use tokio::sync::{oneshot, watch};

use super::{
    boot::{Opened, RolloutsError},
    draft::Draft,
    writer::{Told, Work},
};
use crate::{
    config::Limits,
    store::{CloseError, Failure},
};

/// Where the time comes from.
pub(crate) type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// A change that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) write: Write,
    pub(crate) idempotency: Option<Idempotency>,
    /// What it puts on record.
    pub(crate) draft: Option<Draft>,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum AskError {
    /// The request was refused, and that is on record.
    #[error(transparent)]
    Refused(#[from] WriteError),
    /// The batch was not applied.
    #[error(transparent)]
    Batch(#[from] ApplyError),
    /// The queue is full.
    #[error("{queued} requests wait for the writer already")]
    Overloaded {
        /// Length of the queue.
        queued: usize,
    },
    /// The store stopped, or is being closed.
    #[error("the store takes no more changes")]
    Stopped,
    /// W3.
    #[error("the audit trail cannot be written: {detail}")]
    NotOnRecord {
        /// Why.
        detail: String,
    },
}

/// A request, ready for the store, and what it puts on record.
pub(super) struct Prepared {
    pub(super) request: Request,
    pub(super) draft: Option<Draft>,
}

impl Prepared {
    /// Refuses what could be stored and never be put on record.
    fn new(ask: Ask) -> Result<Self, AskError> {
        let Ask { write, idempotency, draft } = ask;
        let unfit = |detail: String| AskError::NotOnRecord { detail };
        let note = match &draft {
            None => None,
            Some(draft) => {
                draft.check().map_err(|error| unfit(error.to_string()))?;
                let text = draft.to_note().map_err(|error| unfit(error.to_string()))?;
                Some(Note::new(text).map_err(|error| unfit(error.to_string()))?)
            }
        };
        Ok(Self { request: Request { write, idempotency, note }, draft })
    }
}

pub(super) enum Job {
    Ask(Box<Prepared>, oneshot::Sender<Result<Applied, AskError>>),
    Record(Vec<NewRecord>, oneshot::Sender<Result<(), AskError>>),
    Close,
}

/// The handle to the thread.
pub(super) struct Writer {
    jobs: SyncSender<Job>,
    queue_len_max: usize,
    blocked: watch::Receiver<Option<String>>,
    thread: Mutex<Option<JoinHandle<Result<(), CloseError>>>>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("blocked", &*self.blocked.borrow()).finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn start(
        opened: Opened,
        limits: &Limits,
        clock: Clock,
        (report, version): (watch::Sender<Option<Failure>>, watch::Sender<u64>),
    ) -> Result<Self, RolloutsError> {
        let queue_len_max = limits.queue_len_max.max(limits.requests_max);
        let (jobs, queue) = sync_channel(queue_len_max);
        let (block, blocked) = watch::channel(None);
        let work = Work::new(opened, clock, queue, Told { report, version, block });
        let thread = thread::Builder::new()
            .name("rollouts-writer".to_owned())
            .spawn(move || work.run())
            .map_err(|source| RolloutsError::Thread { source })?;
        Ok(Self { jobs, queue_len_max, blocked, thread: Mutex::new(Some(thread)) })
    }

    pub(super) async fn ask(&self, ask: Ask) -> Result<Applied, AskError> {
        self.begin(ask)?.await.unwrap_or(Err(AskError::Stopped))
    }

    /// Puts a request into the queue; the answer comes when it is durable.
    pub(super) fn begin(
        &self,
        ask: Ask,
    ) -> Result<oneshot::Receiver<Result<Applied, AskError>>, AskError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Ask(Box::new(Prepared::new(ask)?), answer)).map(|()| answered)
    }

    pub(super) async fn record(&self, records: Vec<NewRecord>) -> Result<(), AskError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Record(records, answer))?;
        answered.await.unwrap_or(Err(AskError::Stopped))
    }

    pub(super) fn record_blocked(&self) -> Option<String> {
        self.blocked.borrow().clone()
    }

    fn send(&self, job: Job) -> Result<(), AskError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => AskError::Overloaded { queued: self.queue_len_max },
            TrySendError::Disconnected(_) => AskError::Stopped,
        })
    }

    /// Lets the thread finish what waits, and waits for it. Blocks.
    pub(super) fn close(&self) -> Result<(), CloseError> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        // A thread that ended before cannot be told; joining it says how it ended.
        _ = self.jobs.send(Job::Close);
        thread.join().unwrap_or(Err(CloseError::WriterEnded))
    }
}
