//! Limits of a goal, and whether they are spent.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::state::Goal;

/// Limits; none of them is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// `active`, always; whatever else a file says is read as that.
    #[serde(default)]
    pub status: BudgetStatus,
    /// Most iterations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_iterations: Option<u64>,
    /// Most tentacles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tentacles: Option<u64>,
    /// Longest time since the goal began, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_minutes: Option<u64>,
}

/// The one status of a budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BudgetStatus {
    /// Limits are looked at.
    #[default]
    #[serde(other)]
    Active,
}

/// What is spent of the limits.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in JSON")]
pub struct Spent {
    /// Most iterations.
    pub max_iterations: Option<u64>,
    /// The current iteration.
    pub current_iteration: u64,
    /// Whether it is beyond the limit.
    pub over_iterations: bool,
    /// Most tentacles.
    pub max_tentacles: Option<u64>,
    /// Tentacles that are linked.
    pub tentacle_count: u64,
    /// Whether they are more than the limit.
    pub over_tentacles: bool,
    /// Longest time, in minutes.
    pub timeout_minutes: Option<u64>,
    /// Minutes since the goal began, to a tenth; absent when its birth cannot be read.
    pub elapsed_minutes: Option<f64>,
    /// Whether it lasts longer than the limit; a birth that cannot be read counts as too long ago.
    pub over_timeout: bool,
    /// Whether any limit is passed.
    pub over_budget: bool,
}

impl Spent {
    /// Names of the limits that are passed, in their order.
    pub fn over(&self) -> Vec<&'static str> {
        let all = [
            (self.over_iterations, "iterations"),
            (self.over_tentacles, "tentacles"),
            (self.over_timeout, "timeout"),
        ];
        all.into_iter().filter(|it| it.0).map(|it| it.1).collect()
    }
}

/// Minutes to a tenth.
fn tenths(from: Timestamp, to: Timestamp) -> f64 {
    let seconds = to.duration_since(from).as_secs_f64().max(0.0);
    (seconds / 6.0).round() / 10.0
}

impl Goal {
    /// Compares what was used with the limits.
    #[expect(clippy::cast_precision_loss, reason = "a limit of 2^53 minutes is no limit")]
    pub fn spent(&self, now: Timestamp) -> Spent {
        let budget = self.budget();
        let over = |limit: Option<u64>, used: u64| limit.is_some_and(|it| used > it);
        let tentacle_count = self.tentacles().len() as u64;
        let elapsed_minutes = self.created_at().parse().ok().map(|from| tenths(from, now));
        let over_iterations = over(budget.max_iterations, self.iteration());
        let over_tentacles = over(budget.max_tentacles, tentacle_count);
        let over_timeout = budget
            .timeout_minutes
            .is_some_and(|limit| elapsed_minutes.is_none_or(|used| used > limit as f64));
        Spent {
            max_iterations: budget.max_iterations,
            current_iteration: self.iteration(),
            over_iterations,
            max_tentacles: budget.max_tentacles,
            tentacle_count,
            over_tentacles,
            timeout_minutes: budget.timeout_minutes,
            elapsed_minutes,
            over_timeout,
            over_budget: over_iterations || over_tentacles || over_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::NewGoal;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn goal(budget: Budget) -> Goal {
        Goal::new(NewGoal { budget, ..NewGoal::default() }, at("2026-01-01T00:00:00Z"))
    }

    #[test]
    fn a_limit_is_passed_by_what_is_more_than_it() {
        let budget = Budget {
            max_iterations: Some(1),
            max_tentacles: Some(1),
            timeout_minutes: Some(10),
            ..Budget::default()
        };
        let mut goal = goal(budget);
        let spent = goal.spent(at("2026-01-01T00:10:02Z"));
        assert_eq!((spent.elapsed_minutes, spent.over_budget), (Some(10.0), false));
        goal.link("a", at("2026-01-01T00:00:01Z"));
        goal.link("b", at("2026-01-01T00:00:01Z"));
        goal.known.iteration = 2;
        let spent = goal.spent(at("2026-01-01T00:10:06Z"));
        assert_eq!(spent.over(), ["iterations", "tentacles", "timeout"]);
    }

    #[test]
    fn a_birth_that_cannot_be_read_is_too_long_ago() {
        let mut goal = goal(Budget { timeout_minutes: Some(10), ..Budget::default() });
        "yesterday".clone_into(&mut goal.known.created_at);
        let spent = goal.spent(at("2026-01-01T00:00:01Z"));
        assert_eq!((spent.elapsed_minutes, spent.over()), (None, vec!["timeout"]));
        goal.known.budget = Budget::default();
        assert!(!goal.spent(at("2026-01-01T00:00:01Z")).over_budget);
    }
}
