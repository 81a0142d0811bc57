//! Many callers, one group at a time.
//!
//! Callers put their entries into the group that gathers. Whoever finds the writer at rest takes it,
//! commits the oldest group, and gives it back; entries that arrive meanwhile are the next group. A
//! background thread commits when callers do not wait themselves, and syncs the safe point beside
//! all that. There is no fixed delay: one caller alone pays one sync, many callers share one.
//!
//! # Invariants
//!
//! * **K1** No lock is held during a write or a sync: whoever commits owns the writer by value.
//! * **K2** Entries are committed in the order in which they were submitted.
//! * **K3** Every submission is answered exactly once, also when the log fails or is closed.
//! * **K4** After an error that is final every later submission is answered with that error.
//! * **K5** A group has at most [`Limits::group_bytes`] bytes, so nobody waits for more than the
//!   groups in front of theirs, and those are bounded by [`Limits::queue_bytes`].
//! * **K6** A written safe point is synced within [`state::SAFE_POINT_SYNC_WITHIN`], off the path of the
//!   answers. The sync may run beside a commit: whatever safe point it makes durable was written
//!   after the sync of the frames it names (W2).

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{AppendError, Receipt, Submission, Writer};

mod group;
mod state;

use group::Group;
use state::{State, Task};

/// How often a committer lets other threads run while its group still grows.
const GATHER_ROUNDS: u32 = 64;

type Answer = Result<Receipt, AppendError>;

/// How much may wait and how much is committed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of events in one group, unless a single event is larger.
    pub group_bytes: usize,
    /// Most bytes of events that may wait for the disk.
    pub queue_bytes: usize,
}

impl Limits {
    /// What [`Log::start`] takes: groups of 4 MiB, a queue of 64 MiB.
    pub const STANDARD: Self = Self { group_bytes: 4 << 20, queue_bytes: 64 << 20 };
}

/// A log that many threads append to.
pub struct Log {
    shared: Arc<Shared>,
    background: Mutex<Option<thread::JoinHandle<()>>>,
}

struct Shared {
    limits: Limits,
    state: Mutex<State>,
    /// Wakes the background thread.
    work: Condvar,
    /// Wakes whoever wants the writer for something else than a group.
    idle: Condvar,
}

/// How a log is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// Number of the last acknowledged entry; 0 before the first.
    pub last_seq: u64,
    /// Length of the log in bytes, without what is preallocated.
    pub bytes: u64,
    /// The error that stops every append, or the last one that did not.
    pub failure: Option<AppendError>,
}

impl LogStatus {
    fn of(writer: &Writer, failure: Option<AppendError>) -> Self {
        let last_seq = writer.last().map_or(0, wal_format::Seq::get);
        Self { last_seq, bytes: writer.len(), failure }
    }

    /// The failure that stops every append, if there is one.
    fn is_final(&self) -> Option<&AppendError> {
        self.failure.as_ref().filter(|it| it.is_final())
    }
}

impl Log {
    /// Starts to share out a recovered writer.
    ///
    /// # Errors
    ///
    /// When the background thread cannot be started.
    pub fn start(writer: Writer) -> std::io::Result<Self> {
        Self::with_limits(writer, Limits::STANDARD)
    }

    /// Starts to share out a recovered writer under limits of your own.
    ///
    /// # Errors
    ///
    /// When the background thread cannot be started.
    pub fn with_limits(writer: Writer, limits: Limits) -> std::io::Result<Self> {
        let state = State {
            groups: VecDeque::new(),
            queued_bytes: 0,
            status: LogStatus::of(&writer, None),
            safe: writer.safe_file(),
            safe_dirty: None,
            writer: Some(Box::new(writer)),
            wanted: 0,
            last_group: 0,
            parked: None,
            closing: false,
        };
        let state = Mutex::new(state);
        let (work, idle) = (Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { limits, state, work, idle });
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
        let (outcome, index, writer) = {
            let mut state = self.shared.state();
            let group = state.admit(&submission, self.shared.limits)?;
            let (outcome, index) = group.wait_for(submission);
            (outcome, index, state.writer.take())
        };
        if let Some(writer) = writer {
            self.shared.commit_oldest(writer);
        }
        outcome.wait(index)
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
        let mut state = self.shared.state();
        state.admit(&submission, self.shared.limits)?.call(submission, Box::new(done));
        self.shared.wake(state);
        Ok(())
    }

    /// Waits for the writer, takes it out for something else than an append, and puts it back.
    /// Appends wait meanwhile.
    ///
    /// # Errors
    ///
    /// [`AppendError::Closed`] when the log is closed, or the error that stopped it.
    pub fn with_writer<T>(&self, work: impl FnOnce(&mut Writer) -> T) -> Result<T, AppendError> {
        let mut state = self.shared.state();
        state.wanted += 1;
        let mut writer = loop {
            match state.writer.take() {
                Some(writer) => break writer,
                None if state.closing => {
                    state.wanted -= 1;
                    return Err(AppendError::Closed);
                }
                None => {
                    state = self.shared.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        state.wanted -= 1;
        let stopped = state.status.is_final().cloned();
        drop(state);
        let done = match stopped {
            None => Ok(work(&mut writer)),
            Some(failure) => Err(failure),
        };
        let failure = writer.failure().cloned();
        self.shared.put_back(writer, failure, None);
        done
    }

    /// Returns how the log is doing.
    pub fn status(&self) -> LogStatus {
        self.shared.state().status.clone()
    }

    /// Commits what waits, syncs the safe point, cuts off what was preallocated, and ends. Every
    /// later append fails. Waits for the disk.
    ///
    /// # Errors
    ///
    /// The error that stopped the log, if one did.
    pub fn close(&self) -> Result<(), AppendError> {
        self.shared.state().closing = true;
        self.shared.work.notify_all();
        self.shared.idle.notify_all();
        let background = self.background.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(background) = background {
            // A panic there has been reported; the queue is answered by its drop.
            drop(background.join());
        }
        let mut state = self.shared.state();
        // The lock of the directory goes with the writer.
        let writer = state.writer.take();
        match (state.status.is_final(), writer) {
            (Some(failure), _) => Err(failure.clone()),
            (None, None) => Ok(()),
            (None, Some(writer)) => {
                let closed = writer.close();
                state.status.failure = closed.clone().err();
                closed
            }
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

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements that can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the background thread if it sleeps.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let wanted = state.wants_background();
        if wanted {
            state.parked = None;
        }
        drop(state);
        if wanted {
            self.work.notify_one();
        }
    }

    /// Commits the oldest group and puts the writer back.
    fn commit_oldest(&self, mut writer: Box<Writer>) {
        let (group, stopped) = {
            let mut state = self.gathered();
            let group = state.groups.pop_front().unwrap_or_default();
            state.queued_bytes -= group.bytes();
            (group, state.status.is_final().cloned())
        };
        let outcome = match stopped {
            None => writer.commit(group.submissions()),
            Some(failure) => Err(failure),
        };
        self.put_back(writer, outcome.as_ref().err().cloned(), Some(group.len()));
        group.answer(outcome);
    }

    /// Lets callers that were just answered come again, as long as they do: they would otherwise
    /// wait for the whole group of whoever of them was first. A caller alone waits for nobody.
    fn gathered(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let count = |it: &State| it.groups.front().map_or(0, Group::len);
        let mut before = count(&state);
        for _ in 0..GATHER_ROUNDS {
            if before >= state.last_group {
                break;
            }
            drop(state);
            thread::yield_now();
            state = self.state();
            let now = count(&state);
            if now == before {
                break;
            }
            before = now;
        }
        state
    }

    /// Puts the writer back after a group of so many entries, or after something else.
    fn put_back(&self, writer: Box<Writer>, failure: Option<AppendError>, entries: Option<usize>) {
        let mut state = self.state();
        if state.status.is_final().is_none() {
            state.status = LogStatus::of(&writer, failure);
        }
        if writer.safe_point_pending() {
            state.safe_dirty.get_or_insert_with(Instant::now);
        }
        state.last_group = entries.unwrap_or(state.last_group);
        state.safe = writer.safe_file();
        state.writer = Some(writer);
        if state.wanted > 0 {
            self.idle.notify_one();
        }
        // The next group, the sync of the safe point, or the close: one of them may be due.
        self.wake(state);
    }

    fn background(&self) {
        let mut state = self.state();
        while let Some(next) = state.next_task() {
            state = match next {
                Task::Commit(writer) => {
                    drop(state);
                    self.commit_oldest(writer);
                    self.state()
                }
                Task::SyncSafePoint(safe) => {
                    drop(state);
                    let synced = safe.sync_data();
                    let mut state = self.state();
                    let failure = synced.err().map(|it| AppendError::safe_point_sync(&it));
                    state.status.failure = failure.or(state.status.failure.take());
                    state
                }
                Task::Wait(due) => self.park(state, due),
            };
        }
    }

    fn park<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        due: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        state.parked = Some(due.is_some());
        let mut state = match due {
            None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(due) => {
                let woken = self.work.wait_timeout(state, due);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.parked = None;
        state
    }
}

#[cfg(test)]
mod tests;
