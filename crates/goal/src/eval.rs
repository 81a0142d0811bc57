//! Evals: the one place where a goal goes on, ends, or stops at what stands in its way.
//!
//! What is looked at, in this order; the first that fits decides:
//!
//! | # | for                | condition                       | answer                                |
//! |---|--------------------|---------------------------------|---------------------------------------|
//! | 1 | every decision     | an anchor that was used         | what was answered then                |
//! | 2 | every decision     | an anchor of another moment     | refused                               |
//! | 3 | every decision     | the goal is not open            | refused                               |
//! | 4 | continue, complete | a verification is asked for     | refused                               |
//! | 5 | continue           | over budget and not forced      | needs-human, no entry in the history  |
//! | 6 | continue, complete | a tentacle is not resolved      | refused, each is named                |
//! | 7 | continue, complete | a gate blocks                   | awaiting-gate                         |
//! | 8 | every decision     |                                 | as decided                            |
//!
//! * **E1** What is refused changes nothing.
//! * **E2** One anchor moves a goal at most once: who asks again is told what happened.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    criteria::CriterionStatus,
    gate::GateStatus,
    rounds::LOOP_SOURCE,
    state::{EVALS, Goal, Iteration, OUTCOMES_MAX, stamp},
    status::{Event, Status},
};

mod error;

pub use error::EvalError;

/// What is decided about an iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Another iteration.
    #[default]
    Continue,
    /// Stop for a while.
    Pause,
    /// The goal is met.
    Complete,
    /// The goal is given up.
    Abandon,
}

impl Decision {
    /// Every decision.
    pub const ALL: [Self; 4] = [Self::Continue, Self::Pause, Self::Complete, Self::Abandon];

    /// The name on the command line and in the history.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Pause => "pause",
            Self::Complete => "complete",
            Self::Abandon => "abandon",
        }
    }

    const fn goes_on(self) -> bool {
        matches!(self, Self::Continue | Self::Complete)
    }
}

/// What came of an eval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The next iteration began.
    Advanced,
    /// A human has to decide.
    Escalated,
    /// A gate blocks.
    Blocked,
    /// Stopped for a while.
    Paused,
    /// Met.
    Completed,
    /// Given up.
    Abandoned,
}

impl Outcome {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Advanced => "advanced",
            Self::Escalated => "escalated",
            Self::Blocked => "blocked",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// An answer, kept for who asks again (E2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedOutcome {
    /// The anchor before.
    pub anchor: String,
    /// What was decided.
    pub decision: Decision,
    /// What came of it.
    pub outcome: Outcome,
    /// The status after.
    pub status: Status,
    /// The iteration after.
    pub iteration: u64,
    /// When.
    pub at: String,
}

/// An eval.
#[derive(Clone, Copy, Debug, Default)]
pub struct EvalRequest<'a> {
    /// What is decided.
    pub decision: Decision,
    /// What is said with it.
    pub notes: &'a str,
    /// Whether to go on beyond the budget.
    pub force_over_budget: bool,
    /// The moment at which it may happen.
    pub if_anchor: Option<&'a str>,
    /// Who evaluated, when it was not an operator.
    pub source: Option<&'a str>,
}

impl EvalRequest<'_> {
    /// Whether tentacles have a say in it.
    pub const fn looks_at_tentacles(&self) -> bool {
        self.decision.goes_on()
    }
}

/// A tentacle of the current iteration, as it is seen now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// What is known about it.
    pub state: String,
    /// Whether nothing more is to be expected of it.
    pub resolved: bool,
}

/// What an eval did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// The answer.
    pub recorded: RecordedOutcome,
    /// Whether it was given before, and nothing happened now.
    pub replayed: bool,
    /// The anchor after.
    pub anchor: String,
    /// What people should know.
    pub warnings: Vec<String>,
    /// Gates that block.
    pub blocked_by: Vec<String>,
}

#[derive(Serialize)]
struct Entry<'a> {
    iteration: u64,
    decision: &'a str,
    notes: &'a str,
    evaluated_at: String,
    gates_passed: usize,
    gates_total: usize,
    criteria_verified: usize,
    criteria_total: usize,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    blocked_by_gates: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
}

impl Goal {
    /// Evaluates the current iteration, by the table of this module.
    ///
    /// # Errors
    ///
    /// When it is refused; nothing is changed then (E1).
    pub fn eval(
        &mut self,
        request: EvalRequest<'_>,
        seen: &[Seen],
        now: Timestamp,
    ) -> Result<Evaluated, EvalError> {
        if let Some(answered) = self.answered(request)? {
            return Ok(answered);
        }
        let status = self.status();
        if !status.is_open() {
            return Err(EvalError::Status { status });
        }
        if let Some(reason) = self.reverify_needed().filter(|_| request.decision.goes_on()) {
            return Err(EvalError::ReverifyNeeded { reason: reason.to_owned() });
        }
        let spent = self.spent(now);
        let mut warnings = Vec::new();
        if request.decision == Decision::Continue {
            if spent.over_budget && !request.force_over_budget {
                return Ok(self.over_budget(&spent.over(), now));
            }
            if spent.over_budget {
                warnings
                    .push(format!("WARNING: over budget ({}), forced", spent.over().join(", ")));
            } else if spent.max_iterations == Some(self.iteration()) {
                warnings.push("note: this was the last iteration of the budget".to_owned());
            }
        }
        let mut blocked_by = Vec::new();
        if request.decision.goes_on() {
            let waiting: Vec<Seen> = seen.iter().filter(|it| !it.resolved).cloned().collect();
            if !waiting.is_empty() {
                return Err(EvalError::Unresolved { iteration: self.iteration(), waiting });
            }
            blocked_by = self.blocking().map(|it| it.id.clone()).collect();
        }
        if request.decision == Decision::Complete && blocked_by.is_empty() {
            warnings.extend(self.doubts());
        }
        self.enter(request, &blocked_by, now)?;
        Ok(self.answer(request.decision, warnings, blocked_by, now))
    }

    /// Rows 1 and 2 (E2).
    fn answered(&self, request: EvalRequest<'_>) -> Result<Option<Evaluated>, EvalError> {
        let Some(given) = request.if_anchor else { return Ok(None) };
        let current = self.anchor();
        if given == current {
            return Ok(None);
        }
        let found = self.outcomes().iter().rev().find(|it| it.anchor == given);
        match found {
            Some(it) if it.decision == request.decision => Ok(Some(Evaluated {
                recorded: it.clone(),
                replayed: true,
                anchor: current,
                warnings: Vec::new(),
                blocked_by: Vec::new(),
            })),
            Some(it) => Err(EvalError::AnchorSpent {
                anchor: given.to_owned(),
                decision: it.decision,
                outcome: it.outcome,
            }),
            None => Err(EvalError::AnchorStale { given: given.to_owned(), current }),
        }
    }

    /// Row 5: a human decides, and the history has no entry, since nothing was evaluated.
    fn over_budget(&mut self, over: &[&str], now: Timestamp) -> Evaluated {
        let before = self.anchor();
        self.apply(Event::OverBudget);
        self.ask_human(&format!("over_budget:{}", over.join(",")), &[], now);
        self.remember(before, Decision::Continue, Outcome::Escalated, now)
    }

    /// What speaks against calling the goal met, without forbidding it.
    fn doubts(&self) -> Vec<String> {
        let failed = self.gates().iter().filter(|it| it.status == GateStatus::Failed);
        let gates = failed.map(|it| format!("WARNING: gate {} failed", it.id));
        let open = self.criteria().iter().filter(|it| it.status != CriterionStatus::Verified);
        let criteria =
            open.map(|it| format!("WARNING: criterion {} is {}", it.id, it.status.as_str()));
        gates.chain(criteria).collect()
    }

    /// Writes the entry of the history.
    fn enter(
        &mut self,
        request: EvalRequest<'_>,
        blocked_by: &[String],
        now: Timestamp,
    ) -> Result<(), EvalError> {
        let (decision, notes) = (request.decision.as_str(), request.notes);
        let entry = Entry { blocked_by_gates: blocked_by, ..self.entry(decision, notes, now) };
        let entry = Entry { source: request.source, ..entry };
        let appended = self.append(EVALS, &entry);
        appended.map_err(|error| EvalError::History(error.to_string()))?;
        if request.decision == Decision::Pause {
            self.known.paused_at = Some(stamp(now));
            self.known.pause_reason = Some(format!("eval:{}", request.notes));
        }
        Ok(())
    }

    /// An entry of the history.
    fn entry<'a>(&self, decision: &'a str, notes: &'a str, now: Timestamp) -> Entry<'a> {
        let (gates, criteria) = (self.gates(), self.criteria());
        let verified = |it: &&crate::criteria::Criterion| it.status == CriterionStatus::Verified;
        Entry {
            iteration: self.iteration(),
            decision,
            notes,
            evaluated_at: stamp(now),
            gates_passed: gates.iter().filter(|it| it.status == GateStatus::Passed).count(),
            gates_total: gates.len(),
            criteria_verified: criteria.iter().filter(verified).count(),
            criteria_total: criteria.len(),
            blocked_by_gates: &[],
            source: None,
        }
    }

    /// Writes into the history that the loop ended at a limit.
    pub(crate) fn enter_limit(
        &mut self,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), serde_json::Error> {
        let entry = self.entry(Status::BudgetLimited.as_str(), reason, now);
        self.append(EVALS, &Entry { source: Some(LOOP_SOURCE), ..entry })
    }

    /// Rows 7 and 8.
    fn answer(
        &mut self,
        decision: Decision,
        warnings: Vec<String>,
        blocked_by: Vec<String>,
        now: Timestamp,
    ) -> Evaluated {
        let before = self.anchor();
        let (event, outcome) = match decision {
            _ if !blocked_by.is_empty() => (Event::Blocked, Outcome::Blocked),
            Decision::Continue => (Event::Continue, Outcome::Advanced),
            Decision::Complete => (Event::Complete, Outcome::Completed),
            Decision::Pause => (Event::Pause, Outcome::Paused),
            Decision::Abandon => (Event::Abandon, Outcome::Abandoned),
        };
        self.apply(event);
        if outcome == Outcome::Blocked {
            self.await_first_gate();
        } else {
            self.forget_gate();
            self.close_iteration(decision, now);
        }
        let answer = self.remember(before, decision, outcome, now);
        Evaluated { warnings, blocked_by, ..answer }
    }

    fn close_iteration(&mut self, decision: Decision, now: Timestamp) {
        let at = Some(stamp(now));
        let known = &mut self.known;
        let entry = known.iterations.entry(known.iteration).or_default();
        entry.eval_decision = Some(decision.as_str().to_owned());
        if decision.goes_on() {
            entry.completed_at.clone_from(&at);
        }
        match decision {
            Decision::Continue => {
                known.iteration = known.iteration.saturating_add(1);
                let next: &mut Iteration = known.iterations.entry(known.iteration).or_default();
                next.started_at = at;
                (known.paused_at, known.pause_reason) = (None, None);
            }
            Decision::Complete => known.completed_at = at,
            Decision::Pause | Decision::Abandon => {}
        }
    }

    fn remember(
        &mut self,
        anchor: String,
        decision: Decision,
        outcome: Outcome,
        now: Timestamp,
    ) -> Evaluated {
        self.moved(now);
        let recorded = RecordedOutcome {
            anchor,
            decision,
            outcome,
            status: self.status(),
            iteration: self.iteration(),
            at: stamp(now),
        };
        let outcomes = &mut self.known.eval_outcomes;
        outcomes.push(recorded.clone());
        let surplus = outcomes.len().saturating_sub(OUTCOMES_MAX);
        outcomes.drain(..surplus);
        let (warnings, blocked_by) = (Vec::new(), Vec::new());
        Evaluated { recorded, replayed: false, anchor: self.anchor(), warnings, blocked_by }
    }
}

#[cfg(test)]
mod tests;
