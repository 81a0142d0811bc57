//! The writer thread.
//!
//! It takes what waits in the queue, applies it as one batch, raises the floor, puts it on record, and answers.
//!
//! # Invariants
//!
//! * **W5** Time never runs backwards within a process: a clock that jumps back stands still.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

use audit::NewRecord;
use rollout_store::{
    Applied, ApplyError, Epoch, Moment, Request, RolloutStore as _, SqliteStore, Write, Written,
    store::{About, Answer},
};
use tokio::sync::{oneshot, watch};

use super::{
    boot::Opened,
    draft::Draft,
    ledger::Ledger,
    queue::{AskError, Clock, Job, Prepared},
};
use crate::store::{CloseError, Failure, Watched, mark::Mark};

/// Most requests in one transaction; one place is left for the notes that were told.
const GROUP_MAX: usize = 512;
/// Quiet time after which notes that were told are dropped.
const IDLE: Duration = Duration::from_secs(1);

/// Whom the thread tells what.
pub(super) struct Told {
    /// Why it stopped.
    pub(super) report: watch::Sender<Option<Failure>>,
    /// That plans or releases are others.
    pub(super) version: watch::Sender<u64>,
    /// Why nothing can be put on record.
    pub(super) block: watch::Sender<Option<String>>,
}

/// What the thread owns.
pub(super) struct Work {
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
    pub(super) fn new(opened: Opened, clock: Clock, queue: Receiver<Job>, told: Told) -> Self {
        let Told { report, version, block } = told;
        let Opened { store, epoch, mark, watched, ledger, acquired_at, .. } = opened;
        Self {
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
        }
    }

    pub(super) fn run(mut self) -> Result<(), CloseError> {
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
        let mut next = Some(self.wait());
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
    fn wait(&mut self) -> Job {
        if self.ledger.told() > self.dropped {
            match self.queue.recv_timeout(IDLE) {
                Ok(job) => return job,
                Err(RecvTimeoutError::Timeout) => self.drop_told(),
                Err(RecvTimeoutError::Disconnected) => return Job::Close,
            }
        }
        self.queue.recv().unwrap_or(Job::Close)
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
                // Somebody else writes now, or nobody can: this process has nothing left to do.
                if matches!(error, ApplyError::Stopped { .. } | ApplyError::StaleEpoch { .. }) {
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
