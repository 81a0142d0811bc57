//! How a goal is doing, and the one next thing to do. Advice: nothing here changes anything.
//!
//! Health; the first row that fits:
//!
//! | condition                                                                    | health       |
//! |------------------------------------------------------------------------------|--------------|
//! | completed                                                                    | healthy      |
//! | needs-human, awaiting-gate, abandoned, `budget_limited`                      | needs-action |
//! | over budget                                                                  | needs-action |
//! | paused because of a quota, a rate or a block, or something waits for a quota | needs-action |
//! | paused                                                                       | at-risk      |
//! | a gate blocks, a criterion failed, one iteration or less is left, four fifths of the time are used, two tentacles or less are left | at-risk |
//! | else                                                                         | healthy      |

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    budget::Spent, criteria::CriterionStatus, eval::Seen, rounds::LAST_ITERATION_FAILED,
    state::Goal, status::Status, tentacle::DispatchState,
};

/// How a goal is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Nothing stands in its way.
    Healthy,
    /// Something soon will.
    AtRisk,
    /// Somebody has to act.
    NeedsAction,
}

impl Health {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::AtRisk => "at-risk",
            Self::NeedsAction => "needs-action",
        }
    }
}

/// The one next thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NextMove {
    /// The command; absent at an end.
    pub command: Option<String>,
    /// Why that one.
    pub why: String,
}

/// How a tentacle is seen that nobody works on yet.
const READY: &str = DispatchState::Ready.as_str();
/// How a tentacle is seen that ended, but not well.
const FAILED: &str = DispatchState::ResolvedError.as_str();
/// Words of a pause that somebody has to act upon. The word "limit" is none: memory has limits, too.
const ACT_UPON: [&str; 3] = ["quota", "rate", "blocked"];

/// An id as a word of a shell.
fn word(id: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_./:".contains(it);
    if id.chars().all(plain) && !id.starts_with('-') {
        return id.to_owned();
    }
    format!("'{}'", id.replace('\'', "'\\''"))
}

impl Goal {
    /// How it is doing; `queued` tentacles wait for a quota.
    pub fn health(&self, spent: &Spent, queued: usize) -> Health {
        match self.status() {
            Status::Completed => return Health::Healthy,
            Status::NeedsHuman
            | Status::AwaitingGate
            | Status::Abandoned
            | Status::BudgetLimited => {
                return Health::NeedsAction;
            }
            Status::Active | Status::Paused => {}
        }
        if spent.over_budget {
            return Health::NeedsAction;
        }
        if self.status() == Status::Paused {
            let foreign = self.foreign("pause_metadata").map_or("", RawValue::get);
            let reason = format!("{} {foreign}", self.pause_reason().unwrap_or_default());
            let reason = reason.to_lowercase();
            let act = queued > 0 || ACT_UPON.iter().any(|it| reason.contains(it));
            return if act { Health::NeedsAction } else { Health::AtRisk };
        }
        if self.is_at_risk(spent) { Health::AtRisk } else { Health::Healthy }
    }

    #[expect(clippy::cast_precision_loss, reason = "a limit of 2^53 minutes is no limit")]
    fn is_at_risk(&self, spent: &Spent) -> bool {
        let failed = self.criteria().iter().any(|it| it.status == CriterionStatus::Failed);
        let left = |max: Option<u64>, used: u64| max.map(|it| it.saturating_sub(used));
        let iterations = left(spent.max_iterations, spent.current_iteration);
        let tentacles = left(spent.max_tentacles, spent.tentacle_count);
        let late = spent.timeout_minutes.is_some_and(|limit| {
            spent.elapsed_minutes.is_none_or(|used| used >= limit as f64 * 0.8)
        });
        failed
            || late
            || self.blocking().next().is_some()
            || iterations.is_some_and(|it| it <= 1)
            || tentacles.is_some_and(|it| it <= 2)
    }

    /// The one next thing to do.
    pub fn next_move(&self, spent: &Spent, seen: &[Seen]) -> NextMove {
        let say = |command: &str, why: String| NextMove { command: Some(command.to_owned()), why };
        match self.status() {
            Status::Completed | Status::Abandoned => {
                NextMove { command: None, why: format!("the goal is {}", self.status()) }
            }
            Status::Paused => say("autonomy goal resume", "the goal is paused".to_owned()),
            Status::BudgetLimited => {
                let reason = self.budget_limited_reason().unwrap_or("?");
                let why = format!("the loop ended at a limit: {reason}");
                let spent = spent.over_budget || reason == LAST_ITERATION_FAILED;
                say(if spent { "autonomy goal budget" } else { "autonomy goal resume" }, why)
            }
            Status::NeedsHuman if spent.over_budget => {
                let over = spent.over().join(", ");
                let why = format!("over budget: {over}; raise a limit, then autonomy goal resume");
                say("autonomy goal budget", why)
            }
            Status::NeedsHuman => say(
                "autonomy goal criteria list",
                format!("a human has to decide: {}", self.needs_human_reason().unwrap_or("?")),
            ),
            Status::AwaitingGate => {
                let gate = self.awaiting_gate().map_or("GATE", |it| it.0);
                say(
                    &format!("autonomy goal gate approve {} --reason TEXT", word(gate)),
                    format!("gate {gate} blocks"),
                )
            }
            Status::Active => self.next_of_active(spent, seen),
        }
    }

    fn next_of_active(&self, spent: &Spent, seen: &[Seen]) -> NextMove {
        let say = |command: &str, why: String| NextMove { command: Some(command.to_owned()), why };
        if let Some(reason) = self.reverify_needed() {
            return say("autonomy goal reverify", format!("the workspace changed: {reason}"));
        }
        if spent.over_budget {
            let over = spent.over().join(", ");
            return say("autonomy goal budget", format!("over budget: {over}"));
        }
        if let Some(open) = seen.iter().find(|it| it.state == READY) {
            return say("autonomy goal dispatch", format!("{} is {}", open.name, open.state));
        }
        if let Some(open) = seen.iter().find(|it| !it.resolved) {
            return say("autonomy tentacle status", format!("{} is {}", open.name, open.state));
        }
        if let Some(gate) = self.blocking().next() {
            return say(
                &format!("autonomy goal gate approve {} --reason TEXT", word(&gate.id)),
                format!("gate {} is {}", gate.id, gate.status.as_str()),
            );
        }
        let unmet = self.criteria().iter().find(|it| {
            it.status != CriterionStatus::Verified && !it.verification_command.is_empty()
        });
        if let Some(unmet) = unmet {
            let why = format!("criterion {} is {}", unmet.id, unmet.status.as_str());
            return say("autonomy goal verify-loop", why);
        }
        let met = !self.criteria().is_empty()
            && self.criteria().iter().all(|it| it.status == CriterionStatus::Verified);
        if met {
            let why = "every criterion is verified".to_owned();
            return say("autonomy goal eval --decision complete", why);
        }
        let odd: Vec<&str> =
            seen.iter().filter(|it| it.state == FAILED).map(|it| it.name.as_str()).collect();
        if !odd.is_empty() {
            let why = format!(
                "{} did not end well and can be sent out again; an eval leaves them behind",
                odd.join(", ")
            );
            return say("autonomy goal resume --reset-failed", why);
        }
        if self.tentacles().is_empty() && self.criteria().is_empty() {
            let why = "it has no tentacles and no criteria yet".to_owned();
            return say("autonomy tentacle create NAME --todo TEXT", why);
        }
        say(
            "autonomy goal eval --decision continue",
            "everything in this iteration is resolved".to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        budget::Budget,
        criteria::{Criterion, Run},
        eval::{Decision, EvalRequest},
        gate::Word,
        state::NewGoal,
    };

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn goal(budget: Budget) -> Goal {
        Goal::new(NewGoal { budget, ..NewGoal::default() }, now())
    }

    fn health(goal: &Goal) -> &'static str {
        goal.health(&goal.spent(now()), 0).as_str()
    }

    fn pause(goal: &mut Goal, notes: &str) {
        let request = EvalRequest { decision: Decision::Pause, notes, ..EvalRequest::default() };
        goal.eval(request, &[], now()).unwrap();
    }

    #[test]
    fn the_first_row_that_fits_is_the_health() {
        let mut it = goal(Budget::default());
        assert_eq!(health(&it), "healthy");
        pause(&mut it, "memory limit");
        assert_eq!(health(&it), "at-risk");
        assert_eq!(it.health(&it.spent(now()), 1), Health::NeedsAction);
        pause(&mut it, "Quota used up");
        assert_eq!(health(&it), "needs-action");
        let mut it = goal(Budget { max_iterations: Some(2), ..Budget::default() });
        assert_eq!(health(&it), "at-risk");
        it.known.iteration = 3;
        assert_eq!(health(&it), "needs-action");
        let mut it = goal(Budget { max_tentacles: Some(3), ..Budget::default() });
        assert_eq!(health(&it), "healthy");
        it.link("a", now());
        assert_eq!(health(&it), "at-risk");
        let mut it = goal(Budget::default());
        it.say("G", Word::Add { description: "" }, None, now()).unwrap();
        assert_eq!(health(&it), "at-risk");
        for status in Status::ALL {
            it.known.status = status;
            let want = match status {
                Status::Completed => "healthy",
                Status::Active | Status::Paused => "at-risk",
                _ => "needs-action",
            };
            assert_eq!(health(&it), want, "{status}");
        }
    }

    #[test]
    fn there_is_one_next_thing_to_do_until_an_end() {
        let mut it = goal(Budget::default());
        let next = |it: &Goal| it.next_move(&it.spent(now()), &[]).command;
        assert_eq!(next(&it).unwrap(), "autonomy tentacle create NAME --todo TEXT");
        it.link("t", now());
        assert_eq!(next(&it).unwrap(), "autonomy goal eval --decision continue");
        let criterion = Criterion {
            description: "d".to_owned(),
            verification_command: "true".to_owned(),
            ..Criterion::default()
        };
        it.add_criterion(criterion, now()).unwrap();
        assert_eq!(next(&it).unwrap(), "autonomy goal verify-loop");
        it.record_runs(
            &[Run { id: "sc-1".to_owned(), command: None, exit_code: 0, output: String::new() }],
            now(),
        );
        assert_eq!(next(&it).unwrap(), "autonomy goal eval --decision complete");
        it.say("G", Word::Add { description: "" }, None, now()).unwrap();
        assert_eq!(next(&it).unwrap(), "autonomy goal gate approve G --reason TEXT");
        let open = Seen { name: "t".to_owned(), state: "running".to_owned(), resolved: false };
        let asked = it.next_move(&it.spent(now()), &[open]);
        assert_eq!(asked.why, "t is running");
        let waits = Seen { name: "t".to_owned(), state: READY.to_owned(), resolved: false };
        let asked = it.next_move(&it.spent(now()), &[waits]);
        assert_eq!(asked.command.unwrap(), "autonomy goal dispatch");
        it.say("a b", Word::Add { description: "" }, None, now()).unwrap();
        it.say("G", Word::Approve, None, now()).unwrap();
        assert_eq!(next(&it).unwrap(), "autonomy goal gate approve 'a b' --reason TEXT");
        let mut bad = goal(Budget::default());
        let ended = Seen { name: "t".to_owned(), state: FAILED.to_owned(), resolved: true };
        let asked = bad.next_move(&bad.spent(now()), &[ended]);
        assert!(asked.why.contains("t did not end well"), "{}", asked.why);
        bad.set_budget(Budget { max_iterations: Some(1), ..Budget::default() }, now());
        bad.known.iteration = 2;
        bad.known.status = Status::NeedsHuman;
        assert_eq!(next(&bad).unwrap(), "autonomy goal budget");
        pause(&mut it, "");
        assert_eq!(next(&it).unwrap(), "autonomy goal resume");
        it.known.status = Status::Completed;
        assert_eq!(next(&it), None);
    }
}
