//! What the callers of a log share, and what is to be done next. No I/O happens here.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use vfs::File;

use super::{Limits, LogStatus, group::Group};
use crate::{AppendError, Submission, Writer};

/// Longest time between a safe point and its sync.
pub(super) const SAFE_POINT_SYNC_WITHIN: Duration = Duration::from_millis(5);

/// What the callers of a log share.
pub(super) struct State {
    /// Groups that wait, the oldest first; the last one gathers.
    pub(super) groups: VecDeque<Group>,
    pub(super) queued_bytes: usize,
    /// `None` while somebody commits (K1).
    pub(super) writer: Option<Box<Writer>>,
    /// Somebody waits on `idle`.
    pub(super) wanted: usize,
    /// Entries of the last group: how many callers are likely to come again.
    pub(super) last_group: usize,
    /// The background thread waits on `work`; whether with a timer.
    pub(super) parked: Option<bool>,
    pub(super) closing: bool,
    pub(super) status: LogStatus,
    pub(super) safe: Arc<dyn File>,
    /// When the oldest safe point that was not synced was written.
    pub(super) safe_dirty: Option<Instant>,
}

impl State {
    /// Finds the group for a submission, or says why there is none.
    pub(super) fn admit(
        &mut self,
        next: &Submission,
        limits: Limits,
    ) -> Result<&mut Group, AppendError> {
        if self.closing {
            return Err(AppendError::Closed);
        }
        if let Some(failure) = self.status.is_final() {
            return Err(failure.clone());
        }
        let (waiting, limit) = (self.queued_bytes, limits.queue_bytes);
        if waiting > 0 && waiting + next.len() > limit {
            return Err(AppendError::Overloaded { waiting, limit });
        }
        self.queued_bytes += next.len();
        let fits = |it: &Group| it.bytes() + next.len() <= limits.group_bytes;
        if !self.groups.back().is_some_and(fits) {
            self.groups.push_back(Group::default());
        }
        // A group was pushed just now if there was none.
        self.groups.back_mut().ok_or(AppendError::Closed)
    }

    /// Whether the background thread sleeps longer than it should: entries wait and nobody commits
    /// them, the log is closing, or a safe point has no timer yet. A wake-up for nothing would cost
    /// each append of a single caller a switch of threads.
    pub(super) fn wants_background(&self) -> bool {
        match self.parked {
            None => false,
            Some(timed) => {
                let commits = self.writer.is_some() && !self.groups.is_empty();
                commits || self.closing || (self.safe_dirty.is_some() && !timed)
            }
        }
    }

    /// What the background thread does next; `None` when the log is closed and all is done.
    pub(super) fn next_task(&mut self) -> Option<Task> {
        // A failed sync is never repeated (W3).
        let dirty = self.safe_dirty.filter(|_| self.status.is_final().is_none());
        let due = dirty.map(|it| SAFE_POINT_SYNC_WITHIN.saturating_sub(it.elapsed()));
        if due.is_some_and(|it| it.is_zero()) {
            self.safe_dirty = None;
            return Some(Task::SyncSafePoint(Arc::clone(&self.safe)));
        }
        // While somebody else has the writer there is nothing more to do; they wake us.
        let Some(writer) = self.writer.take() else { return Some(Task::Wait(due)) };
        if !self.groups.is_empty() && self.wanted == 0 {
            return Some(Task::Commit(writer));
        }
        self.writer = Some(writer);
        if self.closing && self.groups.is_empty() { None } else { Some(Task::Wait(due)) }
    }
}

/// What the background thread does next.
pub(super) enum Task {
    Commit(Box<Writer>),
    SyncSafePoint(Arc<dyn File>),
    Wait(Option<Duration>),
}
