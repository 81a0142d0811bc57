//! Why a request is no plan.

use thiserror::Error;

use super::{PLAN_LEN_MAX, Warning};
use crate::name::NameError;

/// A request that is no plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// More bytes than [`PLAN_LEN_MAX`].
    #[error("the request has {len} bytes, more than {PLAN_LEN_MAX}")]
    TooLarge {
        /// What it has.
        len: usize,
    },
    /// Not the JSON of a plan.
    #[error("not a plan: {detail}")]
    Shape {
        /// What the parser says.
        detail: String,
    },
    /// Neither `metadata.id` nor `id`, or both and different.
    #[error("`metadata.id` and `id` must name one plan: found {found} different ids")]
    Id {
        /// How many there are.
        found: usize,
    },
    /// An id that no URL can name.
    #[error("the id `{id}` is reserved")]
    IdReserved {
        /// The id.
        id: String,
    },
    /// A text that breaks its rule.
    #[error("{field}: {source}")]
    Name {
        /// Where in the request.
        field: String,
        /// Which rule.
        source: NameError,
    },
    /// A text that is empty, too long, or has control characters.
    #[error("{field} must have 1 to {max} bytes and no control characters")]
    Text {
        /// Where in the request.
        field: String,
        /// How many it may have.
        max: usize,
    },
    /// A list that is empty or too long.
    #[error("{field} has {len} entries; 1 to {max} are allowed")]
    Count {
        /// Where in the request.
        field: String,
        /// How many it has.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// A name that stands twice where it must be unique.
    #[error("{field} stands twice: `{id}`")]
    Twice {
        /// Where in the request.
        field: String,
        /// The name.
        id: String,
    },
    /// A number outside its bounds.
    #[error("{field} is {found}; {min} to {max} are allowed")]
    Range {
        /// Where in the request.
        field: String,
        /// The number.
        found: u64,
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A field that is missing, or has no meaning beside the others.
    #[error("{field} {rule}")]
    Fields {
        /// Where in the request.
        field: String,
        /// What is expected.
        rule: &'static str,
    },
    /// A share that is smaller than the one before it: a cohort never shrinks.
    #[error("{field} is {percent} % after {before} %")]
    PercentFalls {
        /// Where in the request.
        field: String,
        /// The share.
        percent: u8,
        /// The share before it.
        before: u8,
    },
    /// A gate that cannot pass before the deadline.
    #[error("{field} waits for {wait_seconds} s and the stage ends after {deadline_seconds} s")]
    NeverPasses {
        /// Where in the request.
        field: String,
        /// How long the gate waits.
        wait_seconds: u32,
        /// When the stage fails.
        deadline_seconds: u32,
    },
    /// The artifact looks wrong, and that was asked to be an error.
    #[error("{}: {}", .first.field, .first.message)]
    Artifact {
        /// The first warning.
        first: Warning,
    },
}

impl PlanError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "PLAN_TOO_LARGE",
            Self::Shape { .. } => "PLAN_SHAPE",
            Self::Id { .. } => "PLAN_ID",
            Self::IdReserved { .. } => "PLAN_ID_RESERVED",
            Self::Name { .. } => "PLAN_NAME",
            Self::Text { .. } => "PLAN_TEXT",
            Self::Count { .. } => "PLAN_COUNT",
            Self::Twice { .. } => "PLAN_TWICE",
            Self::Range { .. } => "PLAN_RANGE",
            Self::Fields { .. } => "PLAN_FIELDS",
            Self::PercentFalls { .. } => "PLAN_PERCENT_FALLS",
            Self::NeverPasses { .. } => "PLAN_NEVER_PASSES",
            Self::Artifact { .. } => "PLAN_ARTIFACT",
        }
    }
}
