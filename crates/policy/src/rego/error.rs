//! Why the modules of a bundle are refused.

use thiserror::Error;

use super::{
    EVALUATION_DEPTH_MAX, NESTING_MAX, PARSE_VISITS_MAX, Place, STATEMENTS_MAX, place::Report,
};

/// A policy that is not compiled.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// A module is not Rego.
    #[error("{}{message}", at(place.as_ref()))]
    Syntax {
        /// Where.
        place: Option<Place>,
        /// What the parser says.
        message: String,
    },
    /// The modules together make no policy.
    #[error("{}{message}", at(place.as_ref()))]
    Compile {
        /// Where.
        place: Option<Place>,
        /// What the engine says.
        message: String,
    },
    /// A module has a NUL, after which nothing would be read.
    #[error("{file}: NUL at byte {offset}")]
    Nul {
        /// Name of the file.
        file: String,
        /// Byte of the first one.
        offset: usize,
    },
    /// An expression nests too deep.
    #[error("{place}: expression nests deeper than {NESTING_MAX}")]
    TooNested {
        /// Where the limit is passed.
        place: Place,
    },
    /// Literals nest so that parsing would take too long.
    #[error("{place}: literals nest so that parsing takes more than {PARSE_VISITS_MAX} steps")]
    TooEntangled {
        /// Where the limit is passed.
        place: Place,
    },
    /// A body has too many statements.
    #[error("{place}: body has {found} statements, the limit is {STATEMENTS_MAX}")]
    TooManyStatements {
        /// Where the body starts.
        place: Place,
        /// How many it has.
        found: usize,
    },
    /// A function is called that a policy does not have.
    #[error("{place}: `{name}` is not available: {why}")]
    Function {
        /// Where it is called.
        place: Place,
        /// Its name.
        name: String,
        /// Why it is not available.
        why: &'static str,
    },
    /// A rule needs itself.
    #[error("{}rule `{rule}` needs itself", at(place.as_ref()))]
    Recursion {
        /// Where the rule is defined.
        place: Option<Place>,
        /// Path of the rule below `data`.
        rule: String,
    },
    /// Rules that need each other make too long a chain.
    #[error("rule `{rule}` needs an evaluation {depth} deep, the limit is {EVALUATION_DEPTH_MAX}")]
    TooDeep {
        /// Path of the rule below `data`.
        rule: String,
        /// How deep the evaluation would be.
        depth: u32,
    },
    /// A rule that is asked for is put together from rules below it.
    #[error("`data.{rule}` must be defined as a whole, not part by part")]
    SplitAnswer {
        /// Path of the rule below `data`.
        rule: String,
    },
    /// The data has a value where a rule is defined.
    #[error("data and rules both define `data.{path}`")]
    DataConflict {
        /// Path below `data`.
        path: String,
    },
    /// The data cannot be taken over.
    #[error("data nests deeper than {limit} or has a number out of range")]
    Data {
        /// Deepest nesting of data.
        limit: usize,
    },
    /// The engine broke on the modules.
    #[error("the policy engine failed on these modules: {message}")]
    EnginePanicked {
        /// What the engine said last.
        message: String,
    },
    /// There is no thread to compile on.
    #[error("no thread to compile on: {message}")]
    NoThread {
        /// What the operating system says.
        message: String,
    },
}

impl ModuleError {
    /// Returns the stable text of the kind of error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "rego_syntax",
            Self::Compile { .. } => "rego_compile",
            Self::Nul { .. } => "rego_nul",
            Self::TooNested { .. } => "rego_too_nested",
            Self::TooEntangled { .. } => "rego_too_entangled",
            Self::TooManyStatements { .. } => "rego_too_many_statements",
            Self::Function { .. } => "rego_function_not_available",
            Self::Recursion { .. } => "rego_recursion",
            Self::TooDeep { .. } => "rego_too_deep",
            Self::SplitAnswer { .. } => "rego_split_answer",
            Self::DataConflict { .. } => "data_conflict",
            Self::Data { .. } => "data_out_of_range",
            Self::EnginePanicked { .. } => "engine_panicked",
            Self::NoThread { .. } => "no_thread",
        }
    }

    /// Returns where in the modules it is, when there is a place.
    pub const fn place(&self) -> Option<&Place> {
        match self {
            Self::Syntax { place, .. }
            | Self::Compile { place, .. }
            | Self::Recursion { place, .. } => place.as_ref(),
            Self::TooNested { place }
            | Self::TooEntangled { place }
            | Self::TooManyStatements { place, .. }
            | Self::Function { place, .. } => Some(place),
            Self::Nul { .. }
            | Self::TooDeep { .. }
            | Self::SplitAnswer { .. }
            | Self::DataConflict { .. }
            | Self::Data { .. }
            | Self::EnginePanicked { .. }
            | Self::NoThread { .. } => None,
        }
    }

    pub(super) fn syntax(text: &str) -> Self {
        let Report { place, message } = Report::read(text);
        Self::Syntax { place, message }
    }

    pub(super) fn compile(text: &str) -> Self {
        let Report { place, message } = Report::read(text);
        Self::Compile { place, message }
    }
}

fn at(place: Option<&Place>) -> String {
    place.map(|it| format!("{it}: ")).unwrap_or_default()
}
