//! Success criteria: what tells that a goal is met, and what a run of their commands said.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    gate::is_id,
    state::{ATTEMPTS, Goal, stamp},
};

/// Longest evidence that is kept of an output, in characters.
pub const EVIDENCE_LEN_MAX: usize = 500;
/// Most criteria of a goal.
pub const CRITERIA_MAX: usize = 1000;
/// Exit code of a command that did not end, or could not begin.
pub const EXIT_NONE: i32 = -1;

/// What is known about a criterion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CriterionStatus {
    /// Nothing.
    #[default]
    Unverified,
    /// Its command ended with 0 when it last ran.
    Verified,
    /// Its command failed when it last ran.
    Failed,
}

impl CriterionStatus {
    /// The name in `goal.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Verified => "verified",
            Self::Failed => "failed",
        }
    }
}

/// A criterion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criterion {
    /// Its name; given by the goal when empty.
    #[serde(default)]
    pub id: String,
    /// What it demands.
    #[serde(default)]
    pub description: String,
    /// The shell command that tells.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verification_command: String,
    /// What is known.
    #[serde(default)]
    pub status: CriterionStatus,
    /// When it was last seen met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
    /// When it was last seen failing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<String>,
    /// The beginning of the output of the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// Why a criterion was not added.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CriterionError {
    /// The id is taken.
    #[error("there is a criterion `{id}` already")]
    Taken {
        /// The id.
        id: String,
    },
    /// The id has a form that is not kept.
    #[error("`{id}` is no id: 1 to {} bytes without control characters", crate::gate::ID_LEN_MAX)]
    BadId {
        /// The id.
        id: String,
    },
    /// A criterion without words tells nobody anything.
    #[error("a criterion needs a description or a command")]
    Empty,
    /// No room.
    #[error("the goal has {CRITERIA_MAX} criteria already")]
    TooMany,
}

impl CriterionError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Taken { .. } => "GOAL_CRITERION_TAKEN",
            Self::BadId { .. } => "GOAL_BAD_ID",
            Self::Empty => "GOAL_CRITERION_EMPTY",
            Self::TooMany => "GOAL_TOO_MANY",
        }
    }
}

/// Adds a criterion to a list: gives it an id when it has none, refuses one that is taken.
///
/// # Errors
///
/// When it is refused; the list is as it was.
pub fn add(list: &mut Vec<Criterion>, mut new: Criterion) -> Result<&Criterion, CriterionError> {
    if list.len() >= CRITERIA_MAX {
        return Err(CriterionError::TooMany);
    }
    if new.description.trim().is_empty() && new.verification_command.trim().is_empty() {
        return Err(CriterionError::Empty);
    }
    if new.id.is_empty() {
        new.id = format!("sc-{}", list.len() + 1);
    }
    if !is_id(&new.id) {
        return Err(CriterionError::BadId { id: new.id });
    }
    if list.iter().any(|it| it.id == new.id) {
        return Err(CriterionError::Taken { id: new.id });
    }
    let place = list.len();
    list.push(new);
    list.get(place).ok_or(CriterionError::TooMany)
}

/// What one run of a command said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The criterion.
    pub id: String,
    /// The command that was run; `None` where the caller knows that it is the one of the criterion.
    pub command: Option<String>,
    /// Exit code; [`EXIT_NONE`] when the command did not end by itself.
    pub exit_code: i32,
    /// Standard output, then standard error.
    pub output: String,
}

impl Run {
    /// Whether the criterion is met.
    pub const fn passed(&self) -> bool {
        self.exit_code == 0
    }
}

/// An entry of the history of attempts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are the keys of the file")]
pub struct Attempt {
    /// Which attempt of its loop, from 1.
    pub attempt: u32,
    /// When it ended.
    pub timestamp: String,
    /// What each criterion said.
    pub results: Vec<AttemptResult>,
    /// Whether all of them are met.
    pub all_passed: bool,
}

/// What one criterion said in an attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttemptResult {
    /// The criterion.
    pub id: String,
    /// Exit code.
    pub exit_code: i32,
    /// First 16 hexadecimal digits of the SHA-256 of the output.
    pub output_hash: String,
    /// Length of the output in bytes.
    pub output_len: usize,
    /// When it ended.
    pub timestamp: String,
}

/// The beginning of a text.
fn cut(text: &str) -> String {
    text.chars().take(EVIDENCE_LEN_MAX).collect()
}

impl Goal {
    /// Adds a criterion.
    ///
    /// # Errors
    ///
    /// When it is refused; nothing is changed then.
    pub fn add_criterion(
        &mut self,
        new: Criterion,
        now: Timestamp,
    ) -> Result<Criterion, CriterionError> {
        let added = add(&mut self.known.success_criteria, new)?.clone();
        self.touch(now);
        Ok(added)
    }

    /// Writes down what runs of commands said. A criterion that is gone meanwhile is left out, and one that has another
    /// command now.
    pub fn record_runs(&mut self, runs: &[Run], now: Timestamp) {
        let at = stamp(now);
        for run in runs {
            let same = |it: &&mut Criterion| {
                it.id == run.id
                    && run.command.as_ref().is_none_or(|ran| *ran == it.verification_command)
            };
            let found = self.known.success_criteria.iter_mut().find(same);
            let Some(criterion) = found else { continue };
            criterion.evidence = Some(cut(&run.output));
            if run.passed() {
                criterion.status = CriterionStatus::Verified;
                criterion.verified_at = Some(at.clone());
            } else {
                criterion.status = CriterionStatus::Failed;
                criterion.failed_at = Some(at.clone());
            }
        }
        self.touch(now);
    }

    /// Writes down an attempt: what it said, and that it was made.
    ///
    /// # Errors
    ///
    /// When the history in the file is no list.
    pub fn record_attempt(
        &mut self,
        attempt: u32,
        runs: &[Run],
        now: Timestamp,
    ) -> Result<(), serde_json::Error> {
        self.record_runs(runs, now);
        let timestamp = stamp(now);
        let results = runs.iter().map(|run| AttemptResult {
            id: run.id.clone(),
            exit_code: run.exit_code,
            output_hash: crate::stall::output_hash(&run.output),
            output_len: run.output.len(),
            timestamp: timestamp.clone(),
        });
        let entry = Attempt {
            attempt,
            results: results.collect(),
            all_passed: !runs.is_empty() && runs.iter().all(Run::passed),
            timestamp,
        };
        self.append(ATTEMPTS, &entry)
    }

    /// Ends the wait for a verification after every criterion with a command was seen met.
    pub fn reverified(&mut self, now: Timestamp) {
        self.known.reverify_needed = None;
        self.moved(now);
    }
}

#[cfg(test)]
mod tests;
