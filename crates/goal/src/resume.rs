//! Resuming a goal, and going back to an earlier iteration.
//!
//! * **R1** A resume runs nothing and judges nothing: it makes work possible again.
//! * **R2** What is refused changes nothing.
//! * **R3** The history of evals stays: a way back is not an undoing.

use jiff::Timestamp;
use thiserror::Error;

use crate::{
    state::{Goal, stamp},
    status::{Event, Next, Status, transition},
};

/// What is asked for with a resume.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResumeRequest {
    /// Makes tentacles idle again that were blocked, or ambiguous, or out of their scope.
    pub reset_failed: bool,
    /// Goes back to this iteration.
    pub from_iteration: Option<u64>,
    /// Whether the goal was awaiting a gate when its session ended.
    pub was_awaiting_gate: bool,
}

/// A linked tentacle, as far as a resume looks at it.
#[derive(Clone, Debug)]
pub struct Linked {
    /// Its name.
    pub name: String,
    /// Whether its last word is one that `reset_failed` means.
    pub resettable: bool,
    /// The iteration that it was linked in.
    pub goal_iteration: Option<u64>,
}

/// What a resume did, and what its caller has to do to the files of tentacles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Where the goal stood.
    pub before: Status,
    /// Where it stands.
    pub status: Status,
    /// The iteration.
    pub iteration: u64,
    /// Tentacles that become idle.
    pub reset: Vec<String>,
    /// Those of them that were linked in an iteration before the one it stands at: nothing waits for them until they are
    /// linked again.
    pub elsewhere: Vec<String>,
}

/// Why a goal was not resumed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The goal has ended.
    #[error("the goal is {status}, which is an end")]
    Ended {
        /// Where it stands.
        status: Status,
    },
    /// There is no such iteration.
    #[error("there is no iteration {given}: 1 to {last}")]
    NoIteration {
        /// What was asked for.
        given: u64,
        /// The current one.
        last: u64,
    },
}

impl ResumeError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Ended { .. } => "GOAL_STATUS",
            Self::NoIteration { .. } => "GOAL_NO_ITERATION",
        }
    }
}

impl Goal {
    /// Resumes.
    ///
    /// # Errors
    ///
    /// At an end, and for an iteration that there is not (R2).
    pub fn resume(
        &mut self,
        request: ResumeRequest,
        linked: &[Linked],
        now: Timestamp,
    ) -> Result<Resumed, ResumeError> {
        let before = self.status();
        if transition(before, Event::Resume) == Next::Refused {
            return Err(ResumeError::Ended { status: before });
        }
        let last = self.iteration();
        let from = request.from_iteration;
        if let Some(given) = from.filter(|it| !(1..=last).contains(it)) {
            return Err(ResumeError::NoIteration { given, last });
        }
        let chosen = linked.iter().filter(|it| {
            let behind = from.is_some_and(|from| it.goal_iteration.is_some_and(|it| it >= from));
            behind || (request.reset_failed && it.resettable)
        });
        let reset: Vec<String> = chosen.map(|it| it.name.clone()).collect();
        let blocked = request.was_awaiting_gate && self.blocking().next().is_some();
        self.apply(if blocked { Event::ResumeBlocked } else { Event::Resume });
        self.forget_reasons();
        if blocked {
            self.await_first_gate();
        }
        let at = stamp(now);
        if let Some(from) = from {
            self.rewind(from, &at);
        }
        self.known.resumed_at = Some(at);
        self.moved(now);
        let behind = linked.iter().filter(|it| {
            reset.contains(&it.name) && it.goal_iteration.is_some_and(|at| at < self.iteration())
        });
        let elsewhere = behind.map(|it| it.name.clone()).collect();
        Ok(Resumed { before, status: self.status(), iteration: self.iteration(), reset, elsewhere })
    }

    /// Writes down that the workspace changed meanwhile; evals wait where the goal demands it.
    pub fn workspace_changed(&mut self, reason: &str) {
        if self.known.require_reverify {
            self.known.reverify_needed = Some(reason.to_owned());
        }
    }

    fn forget_reasons(&mut self) {
        let known = &mut self.known;
        (known.needs_human_at, known.needs_human_reason) = (None, None);
        known.needs_human_failing_criteria = None;
        (known.budget_limited_at, known.budget_limited_reason) = (None, None);
        (known.paused_at, known.pause_reason) = (None, None);
        self.forget_gate();
    }

    /// R3
    fn rewind(&mut self, from: u64, at: &str) {
        self.known.iteration = from;
        for (number, entry) in self.known.iterations.range_mut(from..) {
            (entry.completed_at, entry.eval_decision) = (None, None);
            entry.started_at = (*number == from).then(|| at.to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
