//! The writer thread.
//!
//! It takes what waits in the queue, applies it as one batch, raises the floor, puts it on record, and answers.
//!
//! # Invariants
//!
//! * **W5** Time never runs backwards within a process: a clock that jumps back stands still.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use audit::NewRecord;
use rollout_store::{
    Applied, ApplyError, Epoch, Idempotency, Moment, Request, RolloutStore as _, SqliteStore,
    Write, WriteError, Written,
    store::{About, Answer, Note},
};
use thiserror::Error;
use tokio::sync::{oneshot, watch};

use super::{
    boot::{Opened, RolloutsError},
    draft::Draft,
    ledger::Ledger,
};
use crate::{
    config::Limits,
    store::{CloseError, Failure, Watched, mark::Mark},
};

/// Most requests in one transaction; one place is left for the notes that were told.
const GROUP_MAX: usize = 512;
/// Quiet time after which notes that were told are dropped.
const IDLE: Duration = Duration::from_secs(1);

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
struct Prepared {
    request: Request,
    draft: Option<Draft>,
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

enum Job {
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
        let Opened { store, epoch, mark, watched, ledger, acquired_at, .. } = opened;
        let work = Work {
            store: Some(store),
            epoch,
            mark,
            watched,
            dropped: 0,
            ledger,
            clock,
            last: acquired_at,
            queue,
            report,
            version,
            block,
        };
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

/// What the thread owns.
struct Work {
    /// `None` after a failure (W4).
    store: Option<SqliteStore>,
    epoch: Epoch,
    mark: Mark,
    watched: Watched,
    /// Notes up to this number were dropped from the store.
    dropped: u64,
    ledger: Ledger,
    clock: Clock,
    last: Moment,
    queue: Receiver<Job>,
    report: watch::Sender<Option<Failure>>,
    version: watch::Sender<u64>,
    block: watch::Sender<Option<String>>,
}

type Asked = (Box<Prepared>, oneshot::Sender<Result<Applied, AskError>>);
type Recorded = (Vec<NewRecord>, oneshot::Sender<Result<(), AskError>>);

/// Whoever waits while the store has his request.
struct Waiting {
    draft: Option<Draft>,
    answer: oneshot::Sender<Result<Applied, AskError>>,
}

impl Waiting {
    fn refuse(self, error: &AskError) {
        // Whoever asked may have gone.
        _ = self.answer.send(Err(error.clone()));
    }
}

fn divided((ask, answer): Asked) -> (Request, Waiting) {
    let Prepared { request, draft } = *ask;
    (request, Waiting { draft, answer })
}

/// What is done at once.
#[derive(Default)]
struct Group {
    asked: Vec<Asked>,
    recorded: Vec<Recorded>,
    ending: bool,
}

impl Work {
    fn run(mut self) -> Result<(), CloseError> {
        loop {
            let group = self.gather();
            let ending = group.ending;
            self.record_alone(group.recorded);
            self.change(group.asked);
            if ending {
                break;
            }
        }
        self.drop_told();
        let Some(store) = self.store.take() else { return Ok(()) };
        store.close().map_err(|error| CloseError::Rollouts { reason: error.to_string() })?;
        let path = self.mark.path().to_owned();
        self.mark.sync().map_err(|source| CloseError::Mark { path, source })
    }

    /// Waits for work and takes all that waits, up to the bound of a group.
    fn gather(&mut self) -> Group {
        let mut group = Group::default();
        let mut next = self.wait();
        while let Some(job) = next {
            match job {
                Job::Ask(ask, answer) => group.asked.push((ask, answer)),
                Job::Record(records, answer) => group.recorded.push((records, answer)),
                Job::Close => {
                    group.ending = true;
                    break;
                }
            }
            if group.asked.len() + group.recorded.len() >= GROUP_MAX {
                break;
            }
            next = self.queue.try_recv().ok();
        }
        group
    }

    /// The next job; notes that were told are dropped when none comes for a while.
    fn wait(&mut self) -> Option<Job> {
        if self.ledger.told() > self.dropped {
            match self.queue.recv_timeout(IDLE) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Timeout) => self.drop_told(),
                Err(RecvTimeoutError::Disconnected) => return Some(Job::Close),
            }
        }
        Some(self.queue.recv().unwrap_or(Job::Close))
    }

    fn now(&mut self) -> Moment {
        self.last = self.last.max((self.clock)());
        self.last
    }

    /// W3: brings the trail up to date; why that cannot be done.
    fn ledger_ready(&mut self) -> Result<(), AskError> {
        if self.ledger.is_sound() {
            return Ok(());
        }
        let Some(store) = &self.store else { return Err(AskError::Stopped) };
        let caught_up = self.ledger.catch_up(store.reader());
        let blocked = caught_up.as_ref().err().map(ToString::to_string);
        if let (Ok(()), true) = (&caught_up, self.block.borrow().is_some()) {
            tracing::info!("the audit trail can be written again");
        }
        self.block.send_replace(blocked.clone());
        blocked.map_or(Ok(()), |detail| Err(AskError::NotOnRecord { detail }))
    }

    /// What changes no rollout.
    fn record_alone(&mut self, recorded: Vec<Recorded>) {
        for (records, answer) in recorded {
            let outcome = self.ledger_ready().and_then(|()| self.append(&records, None));
            // Whoever asked may have gone.
            _ = answer.send(outcome);
        }
    }

    fn append(&mut self, records: &[NewRecord], told: Option<u64>) -> Result<(), AskError> {
        self.ledger.append(records, told).map_err(|error| {
            let detail = error.to_string();
            tracing::error!(
                code = error.code(),
                error = detail,
                "the audit trail cannot be written"
            );
            self.block.send_replace(Some(detail.clone()));
            AskError::NotOnRecord { detail }
        })
    }

    fn change(&mut self, asked: Vec<Asked>) {
        if asked.is_empty() {
            return;
        }
        if self.store.is_none() {
            return refuse_all(asked, &AskError::Stopped);
        }
        let asked = match self.ledger_ready() {
            Ok(()) => asked,
            Err(error) => {
                let (to_record, rest): (Vec<_>, Vec<_>) =
                    asked.into_iter().partition(|it| it.0.draft.is_some());
                refuse_all(to_record, &error);
                rest
            }
        };
        if asked.is_empty() {
            return;
        }
        let (requests, waiting): (Vec<_>, Vec<_>) = asked.into_iter().map(divided).unzip();
        match self.apply(requests) {
            Ok((answers, now)) => self.answer(waiting, answers, now),
            Err(error) => waiting.into_iter().for_each(|it| it.refuse(&error)),
        }
    }

    /// Applies a batch; when this returns, it is durable and the floor is raised to it (W1).
    fn apply(&mut self, mut requests: Vec<Request>) -> Result<(Vec<Answer>, Moment), AskError> {
        let now = self.now();
        let asked = requests.len();
        let told = self.ledger.told();
        if told > self.dropped {
            requests.push(Write::Told { through: told }.into());
        }
        let Some(store) = &mut self.store else { return Err(AskError::Stopped) };
        let applied = store.apply(self.epoch, now, &requests);
        let commits = store.reader().commits();
        let mut answers = match applied {
            Ok(answers) => answers,
            Err(error) => {
                if matches!(error, ApplyError::Stopped { .. }) {
                    self.fail(Failure::Io { detail: error.to_string() });
                }
                return Err(error.into());
            }
        };
        if let Some(path) = self.watched.moved() {
            // The commit went into a file that nobody will find again.
            self.fail(Failure::Moved { path: path.clone() });
            return Err(AskError::Stopped);
        }
        let raised = commits.map_err(|error| error.to_string()).and_then(|commits| {
            let number = i64::try_from(commits).unwrap_or(i64::MAX);
            self.mark.raise(number).map_err(|error| error.to_string())
        });
        if let Err(detail) = raised {
            // An answer without its floor is one whose loss the next start would not see.
            self.fail(Failure::Io { detail: format!("{}: {detail}", self.mark.path().display()) });
            return Err(AskError::Stopped);
        }
        if answers.iter().flatten().any(|it| changes_plans(&it.written)) {
            self.version.send_modify(|it| *it += 1);
        }
        if answers.len() > asked {
            answers.truncate(asked);
            self.dropped = told;
        }
        Ok((answers, now))
    }

    /// Puts a batch on record, then answers it. A record that cannot be told now stands in the store (W2): the
    /// change is made and will be told, so it is answered as what it is.
    fn answer(&mut self, mut waiting: Vec<Waiting>, answers: Vec<Answer>, now: Moment) {
        let mut records = Vec::new();
        let mut told = None;
        for (waiting, answer) in waiting.iter_mut().zip(&answers) {
            let Some(draft) = waiting.draft.take() else { continue };
            match answer {
                Ok(Applied { written, note: Some(note), .. }) => {
                    let draft = self.ledger.numbered(draft, *note);
                    records.push(draft.accepted(&About::of(written), now));
                    told = Some(*note);
                }
                Ok(_) => {}
                Err(error) => records.push(draft.refused(error.code(), &error.to_string(), now)),
            }
        }
        // Told or not, the outcome of the change is known. What could not be told blocks the next one (W3).
        _ = self.append(&records, told);
        for (waiting, answer) in waiting.into_iter().zip(answers) {
            // Whoever asked may have gone; the change is durable all the same.
            _ = waiting.answer.send(answer.map_err(AskError::Refused));
        }
    }

    /// Drops notes that were told, in a batch of their own.
    fn drop_told(&mut self) {
        if self.ledger.told() <= self.dropped {
            return;
        }
        if let Err(error) = self.apply(Vec::new()) {
            // They are told once all the same (G1), and the next batch drops them.
            tracing::warn!(%error, "notes that were told could not be dropped");
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.store = None;
        tracing::error!(error = %failure, "rollouts stopped");
        self.report.send_replace(Some(failure));
    }
}

/// Whether what nodes are to do may be another afterwards.
const fn changes_plans(written: &Written) -> bool {
    match written {
        Written::Created(_) | Written::Changed(_) | Written::Released(_) => true,
        Written::Reported { started } => *started,
        Written::Existing(_)
        | Written::Unchanged(_)
        | Written::ReleasedBefore(_)
        | Written::Seen(_)
        | Written::Dropped => false,
    }
}

fn refuse_all(asked: Vec<Asked>, error: &AskError) {
    for (_, answer) in asked {
        // Whoever asked may have gone.
        _ = answer.send(Err(error.clone()));
    }
}
