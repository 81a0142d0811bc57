//! Gates: what a human, or another program, has to say before a goal goes on.
//!
//! | status   | blocks an eval | becomes by                    |
//! |----------|----------------|-------------------------------|
//! | pending  | yes            | `add`, and `pass`/`fail` of an unknown one do not begin here |
//! | passed   | no             | `approve`, `pass`             |
//! | rejected | yes            | `reject`, unless it is passed |
//! | failed   | no, but an eval that completes warns | `fail`  |

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    state::{Goal, stamp},
    status::{Event, Next, Status, transition},
};

/// Longest id of a gate or criterion, in bytes.
pub const ID_LEN_MAX: usize = 128;
/// Most gates of a goal.
pub const GATES_MAX: usize = 1000;

/// Where a gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateStatus {
    /// Nobody has spoken.
    Pending,
    /// Approved, or passed by a check.
    Passed,
    /// Rejected.
    Rejected,
    /// A check failed.
    Failed,
}

impl GateStatus {
    /// The name in `goal.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Passed => "passed",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }

    /// Whether it stops an eval that continues or completes.
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Pending | Self::Rejected)
    }
}

/// A gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Its name.
    pub id: String,
    /// What it is about.
    #[serde(default)]
    pub description: String,
    /// Where it stands.
    pub status: GateStatus,
    /// What was said with the last word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<String>,
    /// When it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_at: Option<String>,
    /// When it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_at: Option<String>,
    /// When it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<String>,
}

/// What is said about a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// It is there.
    Add {
        /// What it is about.
        description: &'a str,
    },
    /// A human approves.
    Approve,
    /// A human rejects.
    Reject,
    /// A check passed.
    Pass,
    /// A check failed.
    Fail,
}

/// Why nothing was said about a gate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GateError {
    /// The goal takes no words about gates where it stands.
    #[error("the goal is {status}; no gate can be changed")]
    Status {
        /// Where it stands.
        status: Status,
    },
    /// There is no such gate.
    #[error("there is no gate `{id}`")]
    Unknown {
        /// The gate.
        id: String,
    },
    /// A gate that passed is not rejected.
    #[error("gate `{id}` has passed and cannot be rejected")]
    Passed {
        /// The gate.
        id: String,
    },
    /// A rejection has a reason.
    #[error("a rejection of gate `{id}` needs a reason")]
    NoReason {
        /// The gate.
        id: String,
    },
    /// The id has a form that is not kept.
    #[error("`{id}` is no id: 1 to {ID_LEN_MAX} bytes without control characters")]
    BadId {
        /// The id.
        id: String,
    },
    /// No room.
    #[error("the goal has {GATES_MAX} gates already")]
    TooMany,
}

impl GateError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Status { .. } => "GOAL_STATUS",
            Self::Unknown { .. } => "GOAL_GATE_UNKNOWN",
            Self::Passed { .. } => "GOAL_GATE_PASSED",
            Self::NoReason { .. } => "GOAL_GATE_REASON",
            Self::BadId { .. } => "GOAL_BAD_ID",
            Self::TooMany => "GOAL_TOO_MANY",
        }
    }
}

/// What a word did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Where the gate stands now.
    pub gate: GateStatus,
    /// Whether `add` found it there already.
    pub existed: bool,
    /// Where the goal stands now.
    pub status: Status,
}

/// Whether an id can be kept.
pub(crate) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_LEN_MAX && !id.chars().any(char::is_control)
}

impl Goal {
    /// Gates that stop an eval, in their order.
    pub fn blocking(&self) -> impl Iterator<Item = &Gate> {
        self.known.gates.iter().filter(|it| it.status.blocks())
    }

    /// Writes down which gate is waited for: the first that blocks.
    pub(crate) fn await_first_gate(&mut self) {
        let first = self.blocking().next();
        let found =
            first.map(|it| (it.id.clone(), format!("gate {} is {}", it.id, it.status.as_str())));
        let (id, reason) = found.unzip();
        self.known.awaiting_gate_id = id;
        self.known.awaiting_gate_reason = reason;
    }

    /// Says something about a gate, and moves the goal if that was what it waited for.
    ///
    /// # Errors
    ///
    /// When the goal or the gate does not take it; nothing is changed then.
    pub fn say(
        &mut self,
        id: &str,
        word: Word<'_>,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Said, GateError> {
        let status = self.status();
        if transition(status, Event::GateTouched) == Next::Refused {
            return Err(GateError::Status { status });
        }
        if !is_id(id) {
            return Err(GateError::BadId { id: id.to_owned() });
        }
        let place = self.known.gates.iter().position(|it| it.id == id);
        let place = self.admit(id, word, reason, place)?;
        if matches!(word, Word::Add { .. }) && place.is_some() {
            let gate = place.and_then(|it| self.known.gates.get(it)).map(|it| it.status);
            let gate = gate.unwrap_or(GateStatus::Pending);
            return Ok(Said { gate, existed: true, status });
        }
        let old = place.and_then(|it| self.known.gates.get(it)).cloned();
        let new = changed(old.unwrap_or_else(|| Gate::new(id)), word, reason, now);
        let gate = new.status;
        match place.and_then(|it| self.known.gates.get_mut(it)) {
            Some(found) => *found = new,
            None => self.known.gates.push(new),
        }
        let event = match (word, self.blocking().next().is_none()) {
            (Word::Reject, _) => Event::GateRejected,
            (Word::Add { .. }, _) | (_, false) => Event::GateTouched,
            (_, true) => Event::GateCleared,
        };
        self.apply(event);
        if self.status() == Status::AwaitingGate {
            self.await_first_gate();
        } else {
            self.forget_gate();
        }
        self.moved(now);
        Ok(Said { gate, existed: false, status: self.status() })
    }

    fn admit(
        &self,
        id: &str,
        word: Word<'_>,
        reason: Option<&str>,
        place: Option<usize>,
    ) -> Result<Option<usize>, GateError> {
        let id = id.to_owned();
        let passed = place
            .and_then(|it| self.known.gates.get(it))
            .is_some_and(|it| it.status == GateStatus::Passed);
        match word {
            Word::Approve | Word::Reject if place.is_none() => Err(GateError::Unknown { id }),
            Word::Reject if reason.is_none_or(|it| it.trim().is_empty()) => {
                Err(GateError::NoReason { id })
            }
            Word::Reject if passed => Err(GateError::Passed { id }),
            _ if place.is_none() && self.known.gates.len() >= GATES_MAX => Err(GateError::TooMany),
            _ => Ok(place),
        }
    }
}

impl Gate {
    fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            description: String::new(),
            status: GateStatus::Pending,
            reason: None,
            approved_at: None,
            rejected_at: None,
            passed_at: None,
            failed_at: None,
        }
    }
}

/// The gate after a word.
fn changed(mut gate: Gate, word: Word<'_>, reason: Option<&str>, now: Timestamp) -> Gate {
    let at = Some(stamp(now));
    match word {
        Word::Add { description } => description.clone_into(&mut gate.description),
        Word::Approve => (gate.status, gate.approved_at) = (GateStatus::Passed, at),
        Word::Reject => (gate.status, gate.rejected_at) = (GateStatus::Rejected, at),
        Word::Pass => (gate.status, gate.passed_at) = (GateStatus::Passed, at),
        Word::Fail => (gate.status, gate.failed_at) = (GateStatus::Failed, at),
    }
    if let Some(reason) = reason {
        gate.reason = Some(reason.to_owned());
    }
    gate
}

#[cfg(test)]
mod tests;
