//! The keys of `goal.json` that this version knows, the histories aside.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::{EVALS, UNTITLED};
use crate::{
    budget::Budget, criteria::Criterion, document::Document, eval::RecordedOutcome, gate::Gate,
    history::Moved, status::Status,
};

/// Keys of [`Known`]; a test compares them.
pub(super) const OWNED: &[&str] = &[
    "goal_id",
    "title",
    "description",
    "created_at",
    "updated_at",
    "status",
    "iteration",
    "seq",
    "tentacles",
    "iterations",
    "success_criteria",
    "gates",
    "budget",
    "resumed_at",
    "completed_at",
    "paused_at",
    "pause_reason",
    "needs_human_at",
    "needs_human_reason",
    "needs_human_failing_criteria",
    "awaiting_gate_id",
    "awaiting_gate_reason",
    "budget_limited_at",
    "budget_limited_reason",
    "require_reverify",
    "reverify_needed",
    "eval_outcomes",
    "history_moved",
];
/// One iteration of a goal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Iteration {
    /// Tentacles linked to it.
    #[serde(default)]
    pub tentacles: Vec<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
    /// The decision that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_decision: Option<String>,
}

/// Keys that this version knows, the histories aside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) goal_id: String,
    #[serde(default = "untitled")]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) created_at: String,
    #[serde(default)]
    pub(crate) updated_at: String,
    pub(crate) status: Status,
    #[serde(default = "one", deserialize_with = "iteration")]
    pub(crate) iteration: u64,
    #[serde(default)]
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) tentacles: Vec<String>,
    #[serde(default)]
    pub(crate) iterations: BTreeMap<u64, Iteration>,
    #[serde(default)]
    pub(crate) success_criteria: Vec<Criterion>,
    #[serde(default)]
    pub(crate) gates: Vec<Gate>,
    #[serde(default)]
    pub(crate) budget: Budget,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resumed_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) completed_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) paused_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pause_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) needs_human_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) needs_human_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) needs_human_failing_criteria: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) awaiting_gate_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) awaiting_gate_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) budget_limited_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) budget_limited_reason: Option<String>,
    /// Whether a resume after a change of the workspace makes a verification necessary.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) require_reverify: bool,
    /// Why evals wait for a verification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reverify_needed: Option<String>,
    /// What was answered to evals, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) eval_outcomes: Vec<RecordedOutcome>,
    /// What of the histories is in files beside the goal.
    #[serde(default, skip_serializing_if = "Moved::is_empty")]
    pub(crate) history_moved: Moved,
}

pub(super) fn untitled() -> String {
    UNTITLED.to_owned()
}

const fn one() -> u64 {
    1
}

/// A malformed iteration is the first one.
fn iteration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_u64().filter(|it| *it > 0).unwrap_or(1))
}

/// Rebuilds the iterations of a file that has none, from its history.
pub(super) fn legacy_iterations(
    document: &Document,
    known: &Known,
) -> Result<BTreeMap<u64, Iteration>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default = "one")]
        iteration: u64,
        #[serde(default)]
        decision: Option<String>,
        #[serde(default)]
        evaluated_at: Option<String>,
    }
    let mut found: BTreeMap<u64, Iteration> = BTreeMap::new();
    for raw in document.entries(EVALS)? {
        let entry: Entry = serde_json::from_str(raw.get())?;
        let iteration = found.entry(entry.iteration).or_default();
        iteration.eval_decision = entry.decision;
        iteration.completed_at = entry.evaluated_at;
    }
    let current = found.entry(known.iteration).or_default();
    current.tentacles.clone_from(&known.tentacles);
    Ok(found)
}
