//! Errors of goals as failures of commands.

use api::exit::Exit;
use goal::{EvalError, GateError, LockError, OpError, ResumeError, Status, StoreError};

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
    if matches!(error, LockError::NotALock { .. }) {
        return failure.hint("look at what has that name, and move it away; nothing was changed");
    }
    failure
}

/// What is said of an end.
const BEGIN_ANEW: &str = "this is an end; to begin anew: autonomy goal init --force";

/// How a status is left.
pub(super) const fn left_by(status: Status) -> &'static str {
    if status.is_end() {
        BEGIN_ANEW
    } else {
        "look at it: autonomy goal status; go on: autonomy goal resume"
    }
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
        OpError::Store(StoreError::History { .. }) => {
            "restore the file; it is not written. What needs no older entries goes on without it"
        }
        OpError::Eval(EvalError::Unresolved { .. }) => {
            "wait for their handoffs, complete them, or look: autonomy tentacle status"
        }
        OpError::Eval(EvalError::AnchorStale { .. } | EvalError::AnchorSpent { .. }) => {
            "read the goal again: autonomy goal status --format json"
        }
        OpError::Eval(EvalError::Status { status })
        | OpError::Gate(GateError::Status { status }) => left_by(*status),
        OpError::Eval(EvalError::ReverifyNeeded { .. }) => {
            "run the criteria again: autonomy goal reverify; or say why it is good: autonomy goal reverify --accept REASON"
        }
        OpError::Gate(GateError::Unknown { .. } | GateError::Passed { .. }) => {
            "look at the gates: autonomy goal gate list"
        }
        OpError::Resume(ResumeError::NoIteration { .. }) => {
            "look which there are: autonomy goal status"
        }
        OpError::Resume(ResumeError::Ended { .. }) => BEGIN_ANEW,
        OpError::NoTentacle { .. } => "make it: autonomy tentacle create NAME",
        OpError::FileExists { .. } => "move it away, or choose another name",
        OpError::NoHandoff { .. } => {
            "write one: autonomy tentacle handoff NAME MESSAGE --status DONE"
        }
        _ => return None,
    })
}
