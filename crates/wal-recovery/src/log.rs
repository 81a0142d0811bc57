//! Many callers, one group at a time.
//!
//! Callers put their entries into a queue. Whoever finds the writer at rest takes it, commits
//! everything that waits as one group, and gives it back; entries that arrive meanwhile form the
//! next group. A background thread takes over when callers do not wait themselves, and syncs the
//! safe point when the log falls idle. There is no fixed delay: one caller alone pays one sync, many
//! callers share one.
//!
//! # Invariants
//!
//! * **K1** No lock is held during a write or a sync: whoever commits owns the writer by value.
//! * **K2** Entries are committed in the order in which they were submitted.
//! * **K3** Every submission is answered exactly once, also when the log fails or is closed.
//! * **K4** After a poisoning error every later submission is answered with that error at once.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::{AppendError, GROUP_BYTES_MAX, Receipt, Submission, Writer};

/// Most bytes of events that may wait for the disk.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Longest time between a safe point and its sync.
const SAFE_POINT_SYNC_WITHIN: Duration = Duration::from_millis(5);

type Answer = Result<Receipt, AppendError>;
type Done = Box<dyn FnOnce(Answer) + Send>;

/// A log that many threads append to.
pub struct Log {
    shared: Arc<Shared>,
    background: Mutex<Option<thread::JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    queue: VecDeque<(Submission, Done)>,
    queued_bytes: usize,
    /// `None` while somebody commits (K1).
    writer: Option<Writer>,
    closing: bool,
    status: LogStatus,
    safe_synced: Instant,
}

/// How a log is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// Number of the last acknowledged entry; 0 before the first.
    pub last_seq: u64,
    /// Length of the log in bytes.
    pub bytes: u64,
    /// The error that stops every append, or the last one that did not.
    pub failure: Option<AppendError>,
}

impl Log {
    /// Starts to share out a recovered writer.
    ///
    /// # Errors
    ///
    /// When the background thread cannot be started.
    pub fn start(writer: Writer) -> std::io::Result<Self> {
        let status = LogStatus {
            last_seq: writer.last().map_or(0, wal_format::Seq::get),
            bytes: writer.len(),
            failure: None,
        };
        let state = State {
            queue: VecDeque::new(),
            queued_bytes: 0,
            writer: Some(writer),
            closing: false,
            status,
            safe_synced: Instant::now(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        let background = thread::Builder::new().name("wal-commit".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.background()
        })?;
        Ok(Self { shared, background: Mutex::new(Some(background)) })
    }

    /// Appends an entry and waits until it is durable.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the entry was then not acknowledged.
    pub fn append(&self, submission: Submission) -> Result<Receipt, AppendError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = Box::new(move |answer| {
            // The receiver is waiting in this very function.
            drop(sender.send(answer));
        });
        let writer = {
            let mut state = self.shared.state();
            state.admit(submission, done)?;
            state.writer.take()
        };
        if let Some(writer) = writer {
            self.shared.commit_one_group(writer);
        }
        receiver.recv().unwrap_or(Err(AppendError::Closed))
    }

    /// Appends an entry and calls `done` when it is durable or has failed. Does not wait.
    ///
    /// `done` runs on the thread that commits and must not block.
    ///
    /// # Errors
    ///
    /// [`AppendError`] when the entry is not even queued; `done` is then not called.
    pub fn submit(
        &self,
        submission: Submission,
        done: impl FnOnce(Answer) + Send + 'static,
    ) -> Result<(), AppendError> {
        self.shared.state().admit(submission, Box::new(done))?;
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Returns how the log is doing.
    pub fn status(&self) -> LogStatus {
        self.shared.state().status.clone()
    }

    /// Commits what waits, syncs the safe point, and ends. Every later append fails. Waits for the
    /// disk.
    ///
    /// # Errors
    ///
    /// The error that poisoned the log, if one did.
    pub fn close(&self) -> Result<(), AppendError> {
        self.shared.state().closing = true;
        self.shared.wake.notify_all();
        let background = self.background.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(background) = background {
            // A panic there has been reported; the queue is answered by its drop.
            drop(background.join());
        }
        let mut state = self.shared.state();
        // The lock of the directory goes with the writer.
        state.writer = None;
        match &state.status.failure {
            Some(failure @ AppendError::Poisoned { .. }) => Err(failure.clone()),
            _ => Ok(()),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; every caller has heard of it already.
        self.close().ok();
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl State {
    fn admit(&mut self, submission: Submission, done: Done) -> Result<(), AppendError> {
        if self.closing {
            return Err(AppendError::Closed);
        }
        if let Some(failure @ AppendError::Poisoned { .. }) = &self.status.failure {
            return Err(failure.clone());
        }
        let waiting = self.queued_bytes;
        if waiting > 0 && waiting + submission.len() > QUEUE_BYTES_MAX {
            return Err(AppendError::Overloaded { waiting, limit: QUEUE_BYTES_MAX });
        }
        self.queued_bytes += submission.len();
        self.queue.push_back((submission, done));
        Ok(())
    }

    /// Takes the next group off the queue (K2).
    fn group(&mut self) -> (Vec<Submission>, Vec<Done>) {
        let mut bytes = 0;
        let mut group = (Vec::new(), Vec::new());
        while let Some((next, _)) = self.queue.front() {
            bytes += next.len();
            if bytes > GROUP_BYTES_MAX && !group.0.is_empty() {
                break;
            }
            if let Some((submission, done)) = self.queue.pop_front() {
                self.queued_bytes -= submission.len();
                group.0.push(submission);
                group.1.push(done);
            }
        }
        group
    }

    /// What the background thread does next; `None` when the log is closed and all is done.
    fn next_task(&mut self) -> Option<Task> {
        // While somebody else commits there is nothing to do; they wake us.
        let Some(writer) = self.writer.take() else { return Some(Task::Wait(None)) };
        if !self.queue.is_empty() {
            return Some(Task::Commit(writer));
        }
        let poisoned = matches!(self.status.failure, Some(AppendError::Poisoned { .. }));
        let pending = writer.safe_point_pending() && !poisoned;
        self.writer = Some(writer);
        let due = SAFE_POINT_SYNC_WITHIN.saturating_sub(self.safe_synced.elapsed());
        match (pending, self.closing) {
            (true, closing) if closing || due.is_zero() => Some(Task::SyncSafePoint),
            (true, _) => Some(Task::Wait(Some(due))),
            (false, true) => None,
            (false, false) => Some(Task::Wait(None)),
        }
    }
}

/// What the background thread does next.
enum Task {
    Commit(Writer),
    SyncSafePoint,
    Wait(Option<Duration>),
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements that can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits what waits as one group and puts the writer back.
    fn commit_one_group(&self, mut writer: Writer) {
        let ((group, waiters), safe_synced) = {
            let mut state = self.state();
            (state.group(), state.safe_synced)
        };
        let outcome = writer.commit(&group);
        let mut failure = outcome.as_ref().err().cloned();
        let mut synced = None;
        if failure.is_none() && safe_synced.elapsed() >= SAFE_POINT_SYNC_WITHIN {
            // Under load the log never falls idle. This group is durable already; a failure here
            // stops the next one.
            failure = writer.sync_safe_point().err();
            synced = Some(Instant::now());
        }
        {
            let mut state = self.state();
            state.status = LogStatus {
                last_seq: writer.last().map_or(0, wal_format::Seq::get),
                bytes: writer.len(),
                failure,
            };
            state.safe_synced = synced.unwrap_or(state.safe_synced);
            state.writer = Some(writer);
        }
        // The next group, the sync of the safe point, or the close: one of them may be due.
        self.wake.notify_one();
        match outcome {
            Ok(receipts) => {
                waiters.into_iter().zip(receipts).for_each(|(done, receipt)| done(Ok(receipt)));
            }
            Err(error) => waiters.into_iter().for_each(|done| done(Err(error.clone()))),
        }
    }

    fn background(&self) {
        let mut state = self.state();
        while let Some(next) = state.next_task() {
            state = match next {
                Task::Commit(writer) => {
                    drop(state);
                    self.commit_one_group(writer);
                    self.state()
                }
                Task::SyncSafePoint => self.sync_safe_point(state),
                Task::Wait(None) => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Task::Wait(Some(due)) => {
                    let woken = self.wake.wait_timeout(state, due);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn sync_safe_point<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(mut writer) = state.writer.take() else { return state };
        drop(state);
        let outcome = writer.sync_safe_point();
        let mut state = self.state();
        if let Err(failure) = outcome {
            state.status.failure = Some(failure);
        }
        state.safe_synced = Instant::now();
        state.writer = Some(writer);
        state
    }
}

#[cfg(test)]
mod tests;
