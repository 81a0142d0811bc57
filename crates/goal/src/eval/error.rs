//! Why an eval did not happen.

use thiserror::Error;

use super::{Decision, Outcome, Seen};
use crate::status::Status;

/// Why an eval did not happen.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The goal is not open.
    #[error("the goal is {status}; no eval can be made")]
    Status {
        /// Where it stands.
        status: Status,
    },
    /// Work of this iteration is not finished.
    #[error("iteration {iteration} is not finished: {}", named(.waiting))]
    Unresolved {
        /// The iteration.
        iteration: u64,
        /// What is waited for.
        waiting: Vec<Seen>,
    },
    /// The goal moved since.
    #[error("the anchor {given} is not the current one, {current}")]
    AnchorStale {
        /// What was asked for.
        given: String,
        /// What is.
        current: String,
    },
    /// The anchor was used by another decision.
    #[error("the anchor {anchor} was used by `{decision}`, with outcome {outcome}", decision = .decision.as_str(), outcome = .outcome.as_str())]
    AnchorSpent {
        /// The anchor.
        anchor: String,
        /// What was decided then.
        decision: Decision,
        /// What came of it.
        outcome: Outcome,
    },
    /// The workspace changed while the session was away, and this goal wants to know that it still holds.
    #[error("a verification is needed first: {reason}")]
    ReverifyNeeded {
        /// What changed.
        reason: String,
    },
    /// The history in the file is no list.
    #[error("`eval_history` is not a list: {0}")]
    History(String),
}

fn named(waiting: &[Seen]) -> String {
    let each: Vec<String> =
        waiting.iter().map(|it| format!("{} ({})", it.name, it.state)).collect();
    each.join(", ")
}

impl EvalError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Status { .. } => "GOAL_STATUS",
            Self::Unresolved { .. } => "GOAL_UNRESOLVED",
            Self::AnchorStale { .. } => "GOAL_ANCHOR_STALE",
            Self::AnchorSpent { .. } => "GOAL_ANCHOR_SPENT",
            Self::ReverifyNeeded { .. } => "GOAL_REVERIFY_NEEDED",
            Self::History(_) => "GOAL_CORRUPT",
        }
    }
}
