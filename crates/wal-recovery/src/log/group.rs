//! Entries that are committed together, and whoever waits for them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

use super::Answer;
use crate::{AppendError, Receipt, Submission};

pub(super) type Done = Box<dyn FnOnce(Answer) + Send>;

/// Entries that are committed together.
#[derive(Default)]
pub(super) struct Group {
    submissions: Vec<Submission>,
    bytes: usize,
    /// Whom to call, and about which entry.
    callbacks: Vec<(usize, Done)>,
    /// Where threads wait.
    waiting: Option<Arc<Outcome>>,
}

impl Group {
    pub(super) fn len(&self) -> usize {
        self.submissions.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn submissions(&self) -> &[Submission] {
        &self.submissions
    }

    /// Takes an entry in, and returns where its answer will be.
    pub(super) fn wait_for(&mut self, submission: Submission) -> (Arc<Outcome>, usize) {
        let index = self.push(submission);
        (Arc::clone(self.waiting.get_or_insert_default()), index)
    }

    /// Takes an entry in, whose answer goes to `done`.
    pub(super) fn call(&mut self, submission: Submission, done: Done) {
        let index = self.push(submission);
        self.callbacks.push((index, done));
    }

    fn push(&mut self, submission: Submission) -> usize {
        self.bytes += submission.len();
        self.submissions.push(submission);
        self.submissions.len() - 1
    }

    /// Answers everybody. Threads first: they go on beside the callbacks.
    pub(super) fn answer(mut self, answer: Result<Vec<Receipt>, AppendError>) {
        let callbacks = std::mem::take(&mut self.callbacks);
        let outcome = self.waiting.get_or_insert_default();
        outcome.set(answer);
        for (index, done) in callbacks {
            call(done, outcome.wait(index));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Only a panic of whoever commits leaves a group without an answer (K3).
        for (_, done) in std::mem::take(&mut self.callbacks) {
            call(done, Err(AppendError::Closed));
        }
        if let Some(outcome) = &self.waiting {
            outcome.set(Err(AppendError::Closed));
        }
    }
}

/// Calls one caller back. A panic of theirs has been reported by its hook; the others still get
/// their answers, and the committing thread goes on (K3).
fn call(done: Done, answer: Answer) {
    catch_unwind(AssertUnwindSafe(|| done(answer))).ok();
}

/// The answer of a group, for those who wait for it. Set once, and all are woken at once: one call
/// to the system, and no lock to take when awake.
#[derive(Default)]
pub(super) struct Outcome(OnceLock<Result<Vec<Receipt>, AppendError>>);

impl Outcome {
    /// Waits for the answer about one entry.
    pub(super) fn wait(&self, index: usize) -> Answer {
        match self.0.wait() {
            Ok(receipts) => receipts.get(index).copied().ok_or(AppendError::Closed),
            Err(error) => Err(error.clone()),
        }
    }

    fn set(&self, answer: Result<Vec<Receipt>, AppendError>) {
        // Whoever was first has said it.
        self.0.set(answer).ok();
    }
}
