//! Texts that were checked: names of things, and what people say.
//!
//! | type                                                                  | rule                                   |
//! |-----------------------------------------------------------------------|----------------------------------------|
//! | [`PlanId`], [`StageId`], [`GateId`], [`NodeId`], [`ReleaseId`], [`Channel`] | 1–128 of `[A-Za-z0-9._-]`         |
//! | [`Actor`]                                                             | 1–256 bytes, no control characters     |
//! | [`Reason`]                                                            | 1–1024 bytes, no control characters    |
//!
//! # Invariants
//!
//! * **N1** A value of these types passed its rule, also when it was read back from a store.
//!
//! Copies share the text: a scan hands the same nodes to many plans.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest name.
pub const NAME_LEN_MAX: usize = 128;
/// Longest name of a person or program.
pub const ACTOR_LEN_MAX: usize = 256;
/// Longest reason.
pub const REASON_LEN_MAX: usize = 1024;

/// A text that breaks the rule of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing in it.
    #[error("{what} is empty")]
    Empty {
        /// Which kind of text.
        what: &'static str,
    },
    /// Too long.
    #[error("{what} has {len} bytes, more than {max}")]
    TooLong {
        /// Which kind of text.
        what: &'static str,
        /// What it has.
        len: usize,
        /// What it may have.
        max: usize,
    },
    /// A character that is not allowed.
    #[error("{what} contains {found:?}")]
    Character {
        /// Which kind of text.
        what: &'static str,
        /// The first such character.
        found: char,
    },
}

impl NameError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "NAME_EMPTY",
            Self::TooLong { .. } => "NAME_TOO_LONG",
            Self::Character { .. } => "NAME_CHARACTER",
        }
    }
}

/// Applies a rule: a largest length and the characters that are allowed.
fn check(
    what: &'static str,
    text: &str,
    max: usize,
    allowed: fn(char) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > max {
        return Err(NameError::TooLong { what, len: text.len(), max });
    }
    match text.chars().find(|it| !allowed(*it)) {
        Some(found) => Err(NameError::Character { what, found }),
        None => Ok(()),
    }
}

const fn of_a_name(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-')
}

fn printable(it: char) -> bool {
    !it.is_control()
}

macro_rules! checked_text {
    ($name:ident, $what:literal, $max:expr, $allowed:expr, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a text.
            ///
            /// # Errors
            ///
            /// [`NameError`] when it breaks the rule of the module.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check($what, text, $max, $allowed)?;
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(it: $name) -> Self {
                it.0.as_ref().to_owned()
            }
        }
    };
}

checked_text!(PlanId, "the id of a plan", NAME_LEN_MAX, of_a_name, "The name of a plan.");
checked_text!(StageId, "the id of a stage", NAME_LEN_MAX, of_a_name, "A stage within a plan.");
checked_text!(GateId, "the id of a gate", NAME_LEN_MAX, of_a_name, "A gate within a stage.");
checked_text!(NodeId, "the id of a node", NAME_LEN_MAX, of_a_name, "The name of a node.");
checked_text!(ReleaseId, "the id of a release", NAME_LEN_MAX, of_a_name, "The name of a release.");
checked_text!(Channel, "a channel", NAME_LEN_MAX, of_a_name, "A group of nodes, such as `stable`.");
checked_text!(Actor, "an actor", ACTOR_LEN_MAX, printable, "Who did something.");
checked_text!(Reason, "a reason", REASON_LEN_MAX, printable, "Why somebody did something.");

impl Channel {
    /// The channel of whoever names none.
    pub const DEFAULT: &str = "stable";

    /// The channel [`Self::DEFAULT`].
    pub fn standard() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl Actor {
    /// The promoter, when a plan moves by itself.
    pub fn promoter() -> Self {
        Self("promoter".into())
    }

    /// A node that acts on a plan.
    pub fn node(id: &NodeId) -> Self {
        Self(format!("node:{id}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_128_of_the_allowed_characters() {
        let longest = "a".repeat(NAME_LEN_MAX);
        for good in ["a", "val11-dur-1", "A.b_c-9", longest.as_str()] {
            assert_eq!(PlanId::new(good).unwrap().as_str(), good);
        }
        let too_long = "a".repeat(NAME_LEN_MAX + 1);
        for (bad, code) in [
            ("", "NAME_EMPTY"),
            (too_long.as_str(), "NAME_TOO_LONG"),
            ("a/b", "NAME_CHARACTER"),
            ("a b", "NAME_CHARACTER"),
            ("ä", "NAME_CHARACTER"),
            ("a\n", "NAME_CHARACTER"),
        ] {
            assert_eq!(PlanId::new(bad).unwrap_err().code(), code, "{bad}");
        }
    }

    #[test]
    fn what_is_read_back_is_checked_again() {
        assert!(serde_json::from_str::<NodeId>("\"n 1\"").is_err());
        assert!(serde_json::from_str::<Reason>("\"it burns\"").is_ok());
    }
}
