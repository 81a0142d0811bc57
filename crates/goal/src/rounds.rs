//! The loop over iterations: what a round does, and what ends it.
//!
//! A round sends out the work of the current iteration, waits for it, runs the commands of the criteria, evaluates. The first
//! row that fits:
//!
//! | when        | condition                                       | what follows                                  |
//! |-------------|-------------------------------------------------|-----------------------------------------------|
//! | a round begins | the goal is not active                       | the loop ends, nothing is written              |
//! |             | a limit of the goal is passed                   | `budget_limited`, `over_budget:…`              |
//! |             | the loop made all rounds that it may             | `budget_limited`, `max_rounds`                 |
//! |             | the time of the loop is up                      | `budget_limited`, `loop_timeout`               |
//! |             | a gate blocks                                   | the loop ends at the gate                      |
//! |             | else                                            | the work is sent out                           |
//! | the work is waited for | the goal is not active               | the loop ends, nothing is written              |
//! |             | all of it is resolved                           | the criteria are verified                      |
//! |             | the time of the loop is up                      | `budget_limited`, `loop_timeout`               |
//! |             | it was waited for too long                      | `budget_limited`, `poll_timeout`               |
//! |             | else                                            | what is ready now is sent out, and waited for   |
//! | the criteria were verified | all are met, and there are some    | eval `complete`                               |
//! |             | a limit of the goal is passed                   | `budget_limited`, `over_budget:…`              |
//! |             | it was the last iteration of the budget          | `budget_limited`, `last_iteration_failed`      |
//! |             | else                                            | eval `continue`, the next round               |
//!
//! * **N1** A loop has an end: the goal limits its iterations or its time, or the loop its rounds or its time.
//! * **N2** Each end is written into the goal, or is one of the goal already. A loop that is killed between is begun anew: an
//!   eval is made once, by its anchor; work that a marker shows alive is waited for, and work whose end nobody saw is not guessed about.
//! * **N3** A goal is completed by its criteria alone: without any, or with one that has no command and nobody verified, it is not.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    budget::Spent,
    criteria::CriterionStatus,
    eval::Seen,
    state::{Goal, stamp},
    status::{Event, Status},
};

/// Who evaluates, in the history.
pub const LOOP_SOURCE: &str = "goal-loop";

/// Why a loop ended whose last iteration did not meet the criteria.
pub(crate) const LAST_ITERATION_FAILED: &str = "last_iteration_failed";

/// What a loop may use, beside the limits of the goal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopLimits {
    /// Most rounds.
    pub rounds: Option<u64>,
    /// Longest time.
    pub time: Option<Duration>,
    /// Longest wait for the work of one round.
    pub wait: Duration,
}

/// What a loop used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopUsed {
    /// Rounds that ended.
    pub rounds: u64,
    /// Time since it began.
    pub time: Duration,
    /// Time that this round has waited; what it sent out itself does not count.
    pub waited: Duration,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoopMove {
    /// The loop ends: the goal is not active.
    Stop(Status),
    /// The loop ends: the goal is at a limit, for this reason.
    Limit(String),
    /// The loop ends: these gates block.
    Gate(Vec<String>),
    /// What is ready is sent out, and waited for.
    Send,
    /// The criteria are verified.
    Verify,
    /// The goal is completed.
    Complete,
    /// The next iteration begins.
    Continue,
}

impl LoopLimits {
    /// Whether a loop with these limits over this goal has an end (N1).
    pub fn bound(&self, goal: &Goal) -> bool {
        let budget = goal.budget();
        let limits = [self.rounds.is_some(), self.time.is_some()];
        limits.contains(&true)
            || budget.max_iterations.is_some()
            || budget.timeout_minutes.is_some()
    }

    fn time_is_up(&self, used: &LoopUsed) -> bool {
        self.time.is_some_and(|it| used.time >= it)
    }

    /// What follows when a round begins.
    pub fn begins(&self, goal: &Goal, spent: &Spent, used: &LoopUsed) -> LoopMove {
        if goal.status() != Status::Active {
            return LoopMove::Stop(goal.status());
        }
        if spent.over_budget {
            return over_budget(spent);
        }
        if self.rounds.is_some_and(|it| used.rounds >= it) {
            return LoopMove::Limit("max_rounds".to_owned());
        }
        if self.time_is_up(used) {
            return LoopMove::Limit("loop_timeout".to_owned());
        }
        let blocking: Vec<String> = goal.blocking().map(|it| it.id.clone()).collect();
        if blocking.is_empty() { LoopMove::Send } else { LoopMove::Gate(blocking) }
    }

    /// What follows while the work of a round is waited for.
    pub fn waits(&self, goal: &Goal, seen: &[Seen], used: &LoopUsed) -> LoopMove {
        if goal.status() != Status::Active {
            return LoopMove::Stop(goal.status());
        }
        if seen.iter().all(|it| it.resolved) {
            return LoopMove::Verify;
        }
        if self.time_is_up(used) {
            return LoopMove::Limit("loop_timeout".to_owned());
        }
        if used.waited >= self.wait {
            return LoopMove::Limit("poll_timeout".to_owned());
        }
        LoopMove::Send
    }
}

fn over_budget(spent: &Spent) -> LoopMove {
    LoopMove::Limit(format!("over_budget:{}", spent.over().join(",")))
}

/// What follows when the criteria were verified (N3).
pub fn loop_verified(goal: &Goal, spent: &Spent) -> LoopMove {
    let criteria = goal.criteria();
    let met = criteria.iter().all(|it| it.status == CriterionStatus::Verified);
    if met && !criteria.is_empty() {
        return LoopMove::Complete;
    }
    if spent.over_budget {
        return over_budget(spent);
    }
    if goal.budget().max_iterations.is_some_and(|it| goal.iteration() >= it) {
        return LoopMove::Limit(LAST_ITERATION_FAILED.to_owned());
    }
    LoopMove::Continue
}

impl Goal {
    /// Ends the loop at one of its limits, and says so in the history; `false` when the goal is not active.
    ///
    /// # Errors
    ///
    /// When the file holds something else than a history; nothing is changed then.
    pub fn limit(&mut self, reason: &str, now: Timestamp) -> Result<bool, serde_json::Error> {
        if self.status() != Status::Active {
            return Ok(false);
        }
        self.enter_limit(reason, now)?;
        self.apply(Event::LimitReached);
        self.known.budget_limited_at = Some(stamp(now));
        self.known.budget_limited_reason = Some(reason.to_owned());
        self.moved(now);
        Ok(true)
    }

    /// Which limit the loop ended at.
    pub fn budget_limited_reason(&self) -> Option<&str> {
        self.known.budget_limited_reason.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        budget::Budget,
        criteria::{Criterion, Run},
        eval::{EvalRequest, Outcome},
        gate::Word,
        state::NewGoal,
    };

    const MINUTE: Duration = Duration::from_mins(1);

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn goal(budget: Budget) -> Goal {
        Goal::new(NewGoal { budget, ..NewGoal::default() }, now())
    }

    fn limits() -> LoopLimits {
        LoopLimits { rounds: Some(3), time: Some(10 * MINUTE), wait: MINUTE }
    }

    fn limit(reason: &str) -> LoopMove {
        LoopMove::Limit(reason.to_owned())
    }

    fn open(resolved: bool) -> Vec<Seen> {
        vec![Seen { name: "t".to_owned(), state: "ready".to_owned(), resolved }]
    }

    /// N1
    #[test]
    fn a_loop_needs_a_limit_of_iterations_or_time_and_tentacles_are_none() {
        let free = LoopLimits { wait: MINUTE, ..LoopLimits::default() };
        let bound = |budget| free.bound(&goal(budget));
        assert!(!bound(Budget::default()));
        assert!(!bound(Budget { max_tentacles: Some(1), ..Budget::default() }));
        assert!(bound(Budget { max_iterations: Some(1), ..Budget::default() }));
        assert!(bound(Budget { timeout_minutes: Some(1), ..Budget::default() }));
        assert!(LoopLimits { rounds: Some(1), ..free }.bound(&goal(Budget::default())));
        assert!(LoopLimits { time: Some(MINUTE), ..free }.bound(&goal(Budget::default())));
    }

    #[test]
    fn a_round_begins_only_where_nothing_ends_the_loop_and_the_first_row_counts() {
        let mut it = goal(Budget { max_iterations: Some(1), ..Budget::default() });
        let begins = |goal: &Goal, used| limits().begins(goal, &goal.spent(now()), &used);
        let fresh = LoopUsed::default();
        assert_eq!(begins(&it, fresh), LoopMove::Send);
        it.say("G", Word::Add { description: "" }, None, now()).unwrap();
        assert_eq!(begins(&it, fresh), LoopMove::Gate(vec!["G".to_owned()]));
        let late = LoopUsed { time: 10 * MINUTE, ..fresh };
        assert_eq!(begins(&it, late), limit("loop_timeout"));
        let often = LoopUsed { rounds: 3, ..late };
        assert_eq!(begins(&it, often), limit("max_rounds"));
        it.known.iteration = 2;
        assert_eq!(begins(&it, often), limit("over_budget:iterations"));
        for status in Status::ALL.into_iter().filter(|it| *it != Status::Active) {
            it.known.status = status;
            assert_eq!(begins(&it, often), LoopMove::Stop(status));
            assert_eq!(limits().waits(&it, &open(true), &often), LoopMove::Stop(status));
        }
    }

    #[test]
    fn work_is_waited_for_until_it_is_resolved_or_a_time_is_up() {
        let it = goal(Budget::default());
        let waits = |resolved, used| limits().waits(&it, &open(resolved), &used);
        let fresh = LoopUsed::default();
        assert_eq!(waits(false, fresh), LoopMove::Send);
        let long = LoopUsed { waited: MINUTE, ..fresh };
        assert_eq!(waits(false, long), limit("poll_timeout"));
        let late = LoopUsed { time: 10 * MINUTE, ..long };
        assert_eq!(waits(false, late), limit("loop_timeout"));
        assert_eq!(waits(true, late), LoopMove::Verify, "what is done is not thrown away");
        assert_eq!(limits().waits(&it, &[], &late), LoopMove::Verify);
    }

    /// N3
    #[test]
    fn criteria_alone_complete_a_goal_and_the_last_iteration_fails_without_them() {
        let mut it = goal(Budget { max_iterations: Some(2), ..Budget::default() });
        let verified = |goal: &Goal| loop_verified(goal, &goal.spent(now()));
        assert_eq!(verified(&it), LoopMove::Continue);
        for id in ["a", "b"] {
            let text = id.to_owned();
            let new = Criterion { id: text.clone(), description: text, ..Criterion::default() };
            it.add_criterion(new, now()).unwrap();
        }
        let run = |id: &str| Run {
            id: id.to_owned(),
            command: None,
            exit_code: 0,
            output: String::new(),
        };
        it.record_runs(&[run("a")], now());
        assert_eq!(verified(&it), LoopMove::Continue, "nobody verified b");
        assert_eq!(
            it.eval(EvalRequest::default(), &[], now()).unwrap().recorded.outcome,
            Outcome::Advanced
        );
        assert_eq!(verified(&it), limit("last_iteration_failed"));
        it.known.iteration = 3;
        assert_eq!(verified(&it), limit("over_budget:iterations"));
        it.record_runs(&[run("b")], now());
        assert_eq!(verified(&it), LoopMove::Complete, "what is met is met");
    }

    /// N2
    #[test]
    fn a_limit_is_written_once_into_goal_and_history_and_resume_leaves_it() {
        let mut it = goal(Budget::default());
        assert!(it.limit("max_rounds", now()).unwrap());
        assert_eq!(it.status(), Status::BudgetLimited);
        assert_eq!(it.budget_limited_reason(), Some("max_rounds"));
        let history = it.eval_history().unwrap();
        let last: serde_json::Value = serde_json::from_str(history.last().unwrap().get()).unwrap();
        assert_eq!(
            (&last["decision"], &last["source"]),
            (&"budget_limited".into(), &LOOP_SOURCE.into())
        );
        assert_eq!(last["notes"], "max_rounds");
        assert!(!it.limit("max_rounds", now()).unwrap());
        assert_eq!(it.eval_history().unwrap().len(), 1);
        it.resume(crate::resume::ResumeRequest::default(), &[], now()).unwrap();
        assert_eq!((it.status(), it.budget_limited_reason()), (Status::Active, None));
    }
}
