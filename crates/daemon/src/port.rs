//! What a cycle needs of a runtime.

use jiff::Timestamp;
use serde_json::{Map, Value};
use thiserror::Error;

/// A call of a tool.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Kind of the tool.
    pub tool: &'a str,
    /// What it is called with.
    pub params: &'a Map<String, Value>,
    /// The key under which its effect happens at most once.
    pub idem_key: &'a str,
    /// Whose step it is.
    pub mandate_id: &'a str,
    /// The step.
    pub step_id: &'a str,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Called {
    /// It was allowed and did what it was asked for.
    Done {
        /// What it returned.
        output: Value,
    },
    /// It was refused: the tool did not run.
    Denied {
        /// The code of the refusal.
        code: String,
        /// Why.
        reason: String,
    },
    /// It ran and went wrong, or nobody was there to run it.
    Failed {
        /// The code of the error.
        code: String,
        /// Its text.
        message: String,
        /// What it returned all the same.
        output: Option<Value>,
    },
    /// It may have run: nobody knows (D5).
    Lost {
        /// What happened to the answer.
        why: String,
    },
}

/// A runtime that does not answer. Nothing was called.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the runtime does not answer: {why}")]
pub struct Unreachable {
    /// What happened.
    pub why: String,
}

/// A runtime.
pub trait Tools {
    /// Finds out whether calls are answered now, without one.
    ///
    /// # Errors
    ///
    /// [`Unreachable`].
    fn ready(&self) -> Result<(), Unreachable>;

    /// Whether every call that reached the runtime before `since` has ended (D3).
    ///
    /// # Errors
    ///
    /// [`Unreachable`].
    fn at_rest(&self, since: Timestamp) -> Result<bool, Unreachable>;

    /// Calls a tool, once. An implementation never sends a call a second time.
    fn call(&self, call: &Call<'_>) -> Called;
}
