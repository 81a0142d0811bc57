//! May a step run (again)? Pure: the caller has looked at the world.
//!
//! | rule | condition, the first that holds                                   | verdict         | reason                                |
//! |-----:|-------------------------------------------------------------------|-----------------|---------------------------------------|
//! |    1 | a hash of the world after it is recorded                          | `already_done`  | `wal_recorded_completion`             |
//! |    2 | the world is the one expected after it, and shows it              | `already_done`  | `current_state_matches_expected_post` |
//! |    3 | it needs a review                                                 | `manual_review` | `explicitly_marked_needs_review`      |
//! |    4 | it never began, and is neither executing nor completed            | `safe_to_retry` | `never_reached_executing`             |
//! |    5 | the world is the one expected before it, and shows it             | `safe_to_retry` | `current_pre_matches_expected`        |
//! |   5n | it has no effect                                                  | `safe_to_retry` | `declared_without_effect`             |
//! |    6 | otherwise                                                         | `manual_review` | `interrupted_during_execution`        |
//!
//! The world *shows* a step unless its effect is `opaque`: then its hashes are markers that say nothing
//! about the world. A hash that is empty is not known.
//!
//! A reset step is pending and began all the same, so rule 4 does not hold for it (S8). What to do
//! with a step of a plan that was never committed is not asked here: nothing (S9).

use serde_json::{Value, json};
use wal_format::step::{Effect, StepStatus};

use super::state::StepState;

/// The world as it is now, as far as somebody has looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct World<'a> {
    /// The hash to compare with the one expected before the step.
    pub pre_hash: Option<&'a str>,
    /// The hash to compare with the one expected after it.
    pub post_hash: Option<&'a str>,
}

/// What to do with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictKind {
    /// It is done: complete it as recovered.
    AlreadyDone,
    /// It may run, under the same key.
    SafeToRetry,
    /// A human has to look: mark it as such, and pause the mandate.
    ManualReview,
}

impl VerdictKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::AlreadyDone, Self::SafeToRetry, Self::ManualReview];

    /// Returns its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyDone => "already_done",
            Self::SafeToRetry => "safe_to_retry",
            Self::ManualReview => "manual_review",
        }
    }
}

/// Which rule has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Rule 1.
    RecordedCompletion,
    /// Rule 2.
    ExpectedPost,
    /// Rule 3.
    NeedsReview,
    /// Rule 4.
    NeverReached,
    /// Rule 5.
    ExpectedPre,
    /// Rule 5n.
    NoEffect,
    /// Rule 6.
    Interrupted,
}

impl Reason {
    /// Returns its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RecordedCompletion => "wal_recorded_completion",
            Self::ExpectedPost => "current_state_matches_expected_post",
            Self::NeedsReview => "explicitly_marked_needs_review",
            Self::NeverReached => "never_reached_executing",
            Self::ExpectedPre => "current_pre_matches_expected",
            Self::NoEffect => "declared_without_effect",
            Self::Interrupted => "interrupted_during_execution",
        }
    }

    /// Returns what follows from it.
    pub const fn kind(self) -> VerdictKind {
        match self {
            Self::RecordedCompletion | Self::ExpectedPost => VerdictKind::AlreadyDone,
            Self::NeverReached | Self::ExpectedPre | Self::NoEffect => VerdictKind::SafeToRetry,
            Self::NeedsReview | Self::Interrupted => VerdictKind::ManualReview,
        }
    }
}

/// The answer, and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What to do.
    pub kind: VerdictKind,
    /// Which rule says so.
    pub reason: Reason,
    /// The world after the step, when it is done.
    pub post_hash: Option<String>,
    /// For the record.
    pub evidence: Value,
}

/// Judges a step by the table.
pub fn verify(step: &StepState, world: World<'_>) -> Verdict {
    let shown = step.planned.effect != Some(Effect::Opaque);
    let known = |it: &'_ Option<String>| it.clone().filter(|it| !it.is_empty());
    let same = |expected: &Option<String>, current: Option<&str>| {
        shown && known(expected).is_some() && expected.as_deref() == current
    };
    let ran = matches!(step.status, Some(StepStatus::Executing | StepStatus::Completed));

    let reason = if known(&step.post_hash).is_some() {
        Reason::RecordedCompletion
    } else if same(&step.planned.expected_post_hash, world.post_hash) {
        Reason::ExpectedPost
    } else if step.status == Some(StepStatus::NeedsReview) {
        Reason::NeedsReview
    } else if !step.reached && step.observed_pre_hash.is_none() && !ran {
        Reason::NeverReached
    } else if same(&step.planned.pre_hash, world.pre_hash) {
        Reason::ExpectedPre
    } else if step.planned.effect == Some(Effect::None) {
        Reason::NoEffect
    } else {
        Reason::Interrupted
    };
    let post_hash = match reason {
        Reason::RecordedCompletion => known(&step.post_hash),
        Reason::ExpectedPost => world.post_hash.map(str::to_owned),
        _ => None,
    };
    Verdict { kind: reason.kind(), reason, post_hash, evidence: evidence(step, reason) }
}

fn evidence(step: &StepState, reason: Reason) -> Value {
    let status = step.status.map(StepStatus::as_str);
    let reason_text = reason.as_str();
    match reason {
        Reason::RecordedCompletion => {
            json!({"reason": reason_text, "result_hash": step.result_hash})
        }
        Reason::NeverReached => json!({"reason": reason_text, "status": status}),
        Reason::Interrupted => json!({
            "reason": reason_text,
            "status": status,
            "observed_pre_hash": step.observed_pre_hash,
            "expected_pre_hash": step.planned.pre_hash,
        }),
        _ => json!({"reason": reason_text}),
    }
}

#[cfg(test)]
mod tests;
