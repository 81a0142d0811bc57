//! What a line says.
//!
//! | `op`            | keys besides `op`, `v`, `seq`, `ts`                                           |
//! |-----------------|-------------------------------------------------------------------------------|
//! | `plan_commit`   | `plan_id` `mandate_id` `cycle` `plan_hash` `steps`                              |
//! | `append`        | `step_id` `plan_id` `idem_key` `status`=`pending`                               |
//! | `transition`    | `step_id` `plan_id` `status`, and what the status has ([`Change`])              |
//! | `plan_finalize` | `plan_id` `status`, `reason` when there is one                                  |
//!
//! | `status` of a transition | its keys                                                             |
//! |--------------------------|----------------------------------------------------------------------|
//! | `executing`              | `pre_hash`: the world that was *observed*, not the one expected       |
//! | `completed`              | `post_hash` `result_hash`, `recovered` when true, `evidence` if any    |
//! | `failed`                 | `error_class` `error_msg`                                             |
//! | `needs_review`           | `reason` if any, `evidence` if any                                    |
//! | `paused`                 | `reason` if any                                                       |
//! | `pending`                | `reset` = true after a recovery; else a human approved, for a `reason` |
//! | `abandoned`              | `reason` if any; nothing of ours writes it                            |

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::plan::PlanCommit;
use crate::Plain;

/// Most characters of a text that is written for humans: messages and reasons are cut to it.
pub const TEXT_CHARS_MAX: usize = 500;

/// Returns the first [`TEXT_CHARS_MAX`] characters.
pub fn cut_text(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

/// Where a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// It may begin.
    Pending,
    /// It has begun and nobody knows more.
    Executing,
    /// It waits for an approval.
    Paused,
    /// It waits for a human who finds out what happened.
    NeedsReview,
    /// It is done.
    Completed,
    /// It went wrong, for good.
    Failed,
    /// It was given up.
    Abandoned,
}

impl StepStatus {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Executing,
        Self::Paused,
        Self::NeedsReview,
        Self::Completed,
        Self::Failed,
        Self::Abandoned,
    ];

    /// Returns its name in a line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Executing => "executing",
            Self::Paused => "paused",
            Self::NeedsReview => "needs_review",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whether nothing follows it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Abandoned)
    }
}

/// How a plan ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalizeStatus {
    /// It did what it was for.
    #[default]
    Succeeded,
    /// It did not.
    Failed,
    /// It was given up.
    Abandoned,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum StepRecord {
    /// A cycle has decided.
    PlanCommit(PlanCommit),
    /// A step is due.
    Append(Append),
    /// A step has moved.
    Transition(Transition),
    /// A plan has ended.
    PlanFinalize(PlanFinalize),
}

/// The values of `op` that are known.
pub(super) const OPS: [&str; 4] = ["plan_commit", "append", "transition", "plan_finalize"];

/// The record `append`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// Which step.
    pub step_id: String,
    /// Of which plan.
    #[serde(default)]
    pub plan_id: Option<String>,
    /// Under which key its effect happens at most once. Never made here.
    #[serde(default)]
    pub idem_key: Option<String>,
    /// Always [`StepStatus::Pending`] in what we write.
    pub status: StepStatus,
}

/// The record `transition`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// Which step.
    pub step_id: String,
    /// Of which plan. Lines of others do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    /// Where it is now.
    #[serde(flatten)]
    pub change: Change,
}

/// Where a step is now, and what is known about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Change {
    /// It begins.
    Executing {
        /// The world that was observed.
        #[serde(default)]
        pre_hash: Option<String>,
    },
    /// It is done.
    Completed {
        /// The world after it.
        #[serde(default)]
        post_hash: Option<String>,
        /// What it returned.
        #[serde(default)]
        result_hash: Option<String>,
        /// Whether that was found out and not done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recovered: Option<bool>,
        /// What shows it.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "plain")]
        evidence: Option<Value>,
    },
    /// It went wrong.
    Failed {
        /// Which kind of error.
        #[serde(default)]
        error_class: Option<String>,
        /// Its text, cut.
        #[serde(default)]
        error_msg: Option<String>,
    },
    /// A human has to look.
    NeedsReview {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// What is known.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "plain")]
        evidence: Option<Value>,
    },
    /// It waits for an approval.
    Paused {
        /// For which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It may begin again.
    Pending {
        /// Whether a recovery says so; else a human does.
        #[serde(default, skip_serializing_if = "is_false")]
        reset: bool,
        /// Why a human has approved it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It was given up.
    Abandoned {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

impl Change {
    /// Returns the status that a line with it has.
    pub const fn status(&self) -> StepStatus {
        match self {
            Self::Executing { .. } => StepStatus::Executing,
            Self::Completed { .. } => StepStatus::Completed,
            Self::Failed { .. } => StepStatus::Failed,
            Self::NeedsReview { .. } => StepStatus::NeedsReview,
            Self::Paused { .. } => StepStatus::Paused,
            Self::Pending { .. } => StepStatus::Pending,
            Self::Abandoned { .. } => StepStatus::Abandoned,
        }
    }
}

/// The record `plan_finalize`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFinalize {
    /// Which plan.
    pub plan_id: String,
    /// How it ended.
    #[serde(default)]
    pub status: FinalizeStatus,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(it: &bool) -> bool {
    !*it
}

/// Evidence comes from agents: it is what stands there (see [`Plain`]), and `null` is none.
fn plain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Plain::deserialize(deserializer).map(|it| Some(it.0).filter(|it| !it.is_null()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_the_name_that_stands_in_the_line() {
        for status in StepStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        let last: Vec<_> = StepStatus::ALL.into_iter().filter(|it| it.is_final()).collect();
        assert_eq!(last, [StepStatus::Completed, StepStatus::Failed, StepStatus::Abandoned]);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut_text(&"é".repeat(1500)), "é".repeat(500));
        assert_eq!(cut_text("short"), "short");
    }
}
