//! Errors of goals as failures of commands.

use api::exit::Exit;
use goal::{EvalError, GateError, LockError, OpError, StoreError};

use crate::{args::GoalWait, failure::Failure};

/// Says an error with its next step.
pub(in crate::commands) fn failure(error: &OpError, wait: GoalWait) -> Failure {
    if let OpError::Store(StoreError::Lock(error)) = error {
        return locked(error, wait);
    }
    let failure = Failure::of(Exit::Failed, error.code(), error);
    match hint(error) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Says that the lock was not taken.
pub(in crate::commands) fn locked(error: &LockError, wait: GoalWait) -> Failure {
    let busy = matches!(error, LockError::Busy { .. }) && wait.strict_exit;
    let exit = if busy { Exit::Busy } else { Exit::Failed };
    let failure = Failure::of(exit, error.code(), error);
    if matches!(error, LockError::Busy { .. }) {
        return failure.hint("wait for it, or look at that process; nothing was changed");
    }
    failure
}

fn hint(error: &OpError) -> Option<&'static str> {
    Some(match error {
        OpError::Store(StoreError::Absent { .. }) => "begin one: autonomy goal init --title TEXT",
        OpError::Store(StoreError::Exists { .. }) => {
            "look at it: autonomy goal status; to begin anew: autonomy goal init --force"
        }
        OpError::Store(StoreError::Corrupt { .. }) => {
            "mend or restore the file; it is not written over. To begin anew, with the file moved aside: \
             autonomy goal init --force"
        }
        OpError::Eval(EvalError::Unresolved { .. }) => {
            "wait for their handoffs, complete them, or look: autonomy tentacle status"
        }
        OpError::Eval(EvalError::AnchorStale { .. } | EvalError::AnchorSpent { .. }) => {
            "read the goal again: autonomy goal status --format json"
        }
        OpError::Eval(EvalError::Status { .. }) | OpError::Gate(GateError::Status { .. }) => {
            "look at it: autonomy goal status; what is no end is left by: autonomy goal resume"
        }
        OpError::Resume(_) => "to begin anew: autonomy goal init --force",
        OpError::NoTentacle { .. } => "make it: autonomy tentacle create NAME",
        OpError::NoHandoff { .. } => {
            "write one: autonomy tentacle handoff NAME MESSAGE --status DONE"
        }
        _ => return None,
    })
}
