//! The writer thread.
//!
//! It takes what waits in the queue, commits it as one group, and answers after the commit (O1).
//! Between the two it raises the floor for the next start (`mark`, M2).
//! After a [`Failure`] it answers everything with [`AppendError::Stopped`] and touches nothing (S3).

use std::{
    io,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::{Connection, config::DbConfig};
use thiserror::Error;
use tokio::sync::{oneshot, watch};
use vfs::{FileId, OsVfs, Vfs as _};

use super::{
    CloseError, Failure, NewEvent, OpenError, Stored,
    checkpoint::Checkpoints,
    commit::{Group, commit_group},
    failure::{Class, classify},
    mark::Mark,
    open::Opened,
};
use crate::config::Limits;

/// Most requests in one transaction.
const GROUP_REQUESTS_MAX: usize = 256;
/// A group takes no further request once it has so many events: bounds how long the first waits.
const GROUP_EVENTS_MAX: usize = 10_000;
/// Quiet time after which the log is emptied.
const IDLE: Duration = Duration::from_secs(1);

/// Why the events of a request were not stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum AppendError {
    /// The queue is full.
    #[error("{queued} requests wait for the writer already")]
    Overloaded {
        /// Length of the queue.
        queued: usize,
    },
    /// Another process has the database locked.
    #[error("another process has the database locked")]
    Busy,
    /// No space.
    #[error("no space left for the events of this request: {detail}")]
    Full {
        /// What `SQLite` says.
        detail: String,
    },
    /// The store stopped, or is being closed.
    #[error("the store takes no more events")]
    Stopped,
    /// An error that says nothing about the store.
    #[error("the events could not be stored: {detail}")]
    Other {
        /// What `SQLite` says.
        detail: String,
    },
}

#[cfg(test)]
pub(super) type Inspection = Box<dyn FnOnce(&Connection) + Send>;

enum Job {
    Append(Append),
    Close,
    #[cfg(test)]
    Inspect(Inspection),
}

struct Append {
    events: Vec<NewEvent>,
    answer: oneshot::Sender<Result<Stored, AppendError>>,
}

/// Files whose disappearance would make a commit worthless.
#[derive(Debug)]
pub(crate) struct Watched(Vec<(PathBuf, FileId)>);

impl Watched {
    /// Remembers which files stand at `paths` now.
    pub(crate) fn new(paths: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let look = |path: PathBuf| match OsVfs.stat(&path)? {
            Some(stat) => Ok((path, stat.id)),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        paths.into_iter().map(look).collect::<io::Result<_>>().map(Self)
    }

    /// Returns the first path where the file does not stand any more.
    pub(crate) fn moved(&self) -> Option<&PathBuf> {
        let stands = |path, id| matches!(OsVfs.stat(path), Ok(Some(stat)) if stat.id == id);
        self.0.iter().find(|(path, id)| !stands(path, *id)).map(|(path, _)| path)
    }
}

/// The handle to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: SyncSender<Job>,
    queue_len_max: usize,
    thread: Mutex<Option<JoinHandle<Result<(), CloseError>>>>,
}

impl Writer {
    pub(super) fn start(
        opened: Opened,
        limits: &Limits,
        (report, stored): (watch::Sender<Option<Failure>>, watch::Sender<i64>),
    ) -> Result<Self, OpenError> {
        let (jobs, queue) = sync_channel(limits.queue_len_max);
        let checkpoints = Checkpoints::new(limits.busy_timeout);
        let Opened { conn, watched, mark, .. } = opened;
        let work = Work { conn, watched, mark, checkpoints, queue, report, stored, failed: false };
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || work.run())
            .map_err(|source| OpenError::Thread { source })?;
        let queue_len_max = limits.queue_len_max;
        Ok(Self { jobs, queue_len_max, thread: Mutex::new(Some(thread)) })
    }

    pub(super) async fn append(&self, events: Vec<NewEvent>) -> Result<Stored, AppendError> {
        let (answer, answered) = oneshot::channel();
        match self.jobs.try_send(Job::Append(Append { events, answer })) {
            Ok(()) => answered.await.unwrap_or(Err(AppendError::Stopped)),
            Err(TrySendError::Full(_)) => {
                Err(AppendError::Overloaded { queued: self.queue_len_max })
            }
            Err(TrySendError::Disconnected(_)) => Err(AppendError::Stopped),
        }
    }

    /// Lets the thread finish what waits, and waits for it. Blocks.
    pub(super) fn close(&self) -> Result<(), CloseError> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        // A thread that ended before cannot be told; joining it says how it ended.
        _ = self.jobs.send(Job::Close);
        thread.join().unwrap_or(Err(CloseError::WriterEnded))
    }

    #[cfg(test)]
    pub(super) fn inspect(&self, act: Inspection) {
        self.jobs.send(Job::Inspect(act)).unwrap();
    }
}

/// What the thread owns.
struct Work {
    conn: Connection,
    watched: Watched,
    mark: Mark,
    checkpoints: Checkpoints,
    queue: Receiver<Job>,
    report: watch::Sender<Option<Failure>>,
    stored: watch::Sender<i64>,
    failed: bool,
}

/// What the next turn of the thread does.
enum Turn {
    Commit(Vec<Append>),
    Idle,
    End,
}

impl Work {
    fn run(mut self) -> Result<(), CloseError> {
        let mut ending = false;
        while !ending {
            match self.next(&mut ending) {
                Turn::Commit(group) => self.commit(group),
                Turn::Idle => self.empty_log(),
                Turn::End => break,
            }
        }
        if self.failed {
            return Ok(()); // Reported already; a checkpoint would be a retry (S3).
        }
        self.checkpoints.when_idle(&self.conn).map_err(CloseError::Checkpoint)?;
        let path = self.mark.path().to_owned();
        self.mark.sync().map_err(|source| CloseError::Mark { path, source })
    }

    /// Waits for work and takes all that waits, up to the bounds of a group.
    fn next(&self, ending: &mut bool) -> Turn {
        let mut group = Vec::new();
        let mut events = 0;
        while group.len() < GROUP_REQUESTS_MAX && events < GROUP_EVENTS_MAX {
            let job = if group.is_empty() {
                self.wait()
            } else {
                self.queue.try_recv().map_err(Into::into)
            };
            match job {
                Ok(Job::Append(append)) => {
                    events += append.events.len();
                    group.push(append);
                }
                Ok(Job::Close) | Err(NoJob::Ended) => {
                    *ending = true;
                    break;
                }
                #[cfg(test)]
                Ok(Job::Inspect(act)) => act(&self.conn),
                Err(NoJob::NotYet) => break,
            }
        }
        match (group.is_empty(), *ending) {
            (false, _) => Turn::Commit(group),
            (true, true) => Turn::End,
            (true, false) => Turn::Idle,
        }
    }

    fn wait(&self) -> Result<Job, NoJob> {
        if self.checkpoints.wants_idle() && !self.failed {
            self.queue.recv_timeout(IDLE).map_err(Into::into)
        } else {
            self.queue.recv().map_err(|_| NoJob::Ended)
        }
    }

    fn commit(&mut self, group: Vec<Append>) {
        if self.failed {
            return refuse(group);
        }
        let requests: Vec<_> = group.iter().map(|it| it.events.as_slice()).collect();
        let Group { outcomes, last } = commit_group(&mut self.conn, &requests);
        if let Some(path) = self.watched.moved() {
            // The commit went into a file that nobody will find again.
            self.fail(Failure::Moved { path: path.clone() });
            return refuse(group);
        }
        if let Some(Err(error)) = last.map(|it| self.mark.raise(it)) {
            // An answer without its floor is one whose loss the next start would not see.
            self.fail_mark(&error);
            return refuse(group);
        }
        if let Some(last) = last {
            self.stored.send_replace(last);
        }
        if let Some(failure) = outcomes.iter().find_map(|it| Failure::of(it.as_ref().err()?)) {
            self.fail(failure);
        }
        for (append, outcome) in group.into_iter().zip(outcomes) {
            // Whoever asked may have gone; the events are durable all the same.
            _ = append.answer.send(outcome.map_err(|error| append_error(&error)));
        }
        if !self.failed {
            match self.checkpoints.after_commit(&self.conn) {
                Ok(false) => {}
                outcome => self.checkpointed(outcome.map(drop)),
            }
        }
    }

    fn empty_log(&mut self) {
        let outcome = self.checkpoints.when_idle(&self.conn);
        self.checkpointed(outcome);
    }

    fn checkpointed(&mut self, outcome: Result<(), rusqlite::Error>) {
        if let Err(error) = outcome {
            let detail = format!("checkpoint: {error}");
            return self.fail(Failure::of(&error).unwrap_or(Failure::Io { detail }));
        }
        if let Err(error) = self.mark.sync() {
            self.fail_mark(&error);
        }
    }

    fn fail_mark(&mut self, error: &io::Error) {
        let detail = format!("{}: {error}", self.mark.path().display());
        self.fail(Failure::Io { detail });
    }

    fn fail(&mut self, failure: Failure) {
        self.failed = true;
        // Closing the connection would do another checkpoint, which is a retry (S3).
        let kept = self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        tracing::error!(error = %failure, log_kept = kept.is_ok(), "store stopped");
        self.report.send_replace(Some(failure));
    }
}

fn refuse(group: Vec<Append>) {
    for append in group {
        // Whoever asked may have gone.
        _ = append.answer.send(Err(AppendError::Stopped));
    }
}

fn append_error(error: &rusqlite::Error) -> AppendError {
    let detail = error.to_string();
    match classify(error) {
        Class::Busy => AppendError::Busy,
        Class::Full => AppendError::Full { detail },
        Class::Corrupt | Class::Io => AppendError::Stopped,
        Class::Interrupted | Class::Other => AppendError::Other { detail },
    }
}

/// Why the queue gave nothing.
enum NoJob {
    NotYet,
    Ended,
}

impl From<TryRecvError> for NoJob {
    fn from(error: TryRecvError) -> Self {
        match error {
            TryRecvError::Empty => Self::NotYet,
            TryRecvError::Disconnected => Self::Ended,
        }
    }
}

impl From<RecvTimeoutError> for NoJob {
    fn from(error: RecvTimeoutError) -> Self {
        match error {
            RecvTimeoutError::Timeout => Self::NotYet,
            RecvTimeoutError::Disconnected => Self::Ended,
        }
    }
}
