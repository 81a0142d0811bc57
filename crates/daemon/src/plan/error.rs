//! Why a plan file is none.

use thiserror::Error;
use wal_format::step::STEPS_MAX;

use super::{PLAN_LEN_MAX, PLAN_VERSION};
use crate::codes;

/// Most steps that a message names.
const NAMED_MAX: usize = 5;

/// Why a plan file is refused. Nothing of it is run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanFileError {
    /// It is longer than any that is read.
    #[error("the file has {len} bytes, at most {PLAN_LEN_MAX} are read")]
    TooLong {
        /// Its length in bytes.
        len: u64,
    },
    /// It is no JSON, or has a key too many, too few, or of another type.
    #[error("line {line} column {column}: {text}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column.
        column: usize,
        /// What is wrong.
        text: String,
    },
    /// It is of another version.
    #[error("version {found} is not known here, only {PLAN_VERSION} is")]
    Version {
        /// The version.
        found: u64,
    },
    /// Something about the plan as a whole.
    #[error("{text}")]
    Bounds {
        /// What is wrong.
        text: String,
    },
    /// It has no steps or too many.
    #[error("it has {found} steps, 1 to {STEPS_MAX} are possible")]
    Steps {
        /// How many.
        found: usize,
    },
    /// Something about a step.
    #[error("steps[{at}] `{step}`: {what}")]
    Step {
        /// Its place in the file, from 0.
        at: usize,
        /// Its id.
        step: String,
        /// What is wrong.
        what: String,
    },
    /// Steps that wait for each other.
    #[error(
        "steps wait for each other: {}{}",
        steps.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", "),
        if steps.len() > NAMED_MAX { ", …" } else { "" }
    )]
    Circle {
        /// Those in a circle, or behind one.
        steps: Vec<String>,
    },
    /// Parameters that have no hash.
    #[error("step `{step}`: `params`: {text}")]
    Params {
        /// The step.
        step: String,
        /// Why.
        text: String,
    },
}

impl PlanFileError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. }
            | Self::Syntax { .. }
            | Self::Version { .. }
            | Self::Bounds { .. }
            | Self::Steps { .. }
            | Self::Step { .. }
            | Self::Circle { .. }
            | Self::Params { .. } => codes::PLAN_FILE_BAD,
        }
    }
}
