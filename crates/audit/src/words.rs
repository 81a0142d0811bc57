//! The closed sets of a record: what it is about, how it ended, who wrote it.
//!
//! The words are part of the format. A word that is not in its set is no record.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A word that is not in its set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} is one of {allowed}, not {found:?}")]
pub struct UnknownWord {
    /// Which set.
    pub what: &'static str,
    /// What is in it.
    pub allowed: String,
    /// What was found.
    pub found: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal: $($(#[$each:meta])* $variant:ident = $word:literal,)+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$each])* $variant,)+
        }

        impl $name {
            /// Every word, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|it| it.as_str() == word).ok_or_else(|| {
                    let allowed: Vec<_> = Self::ALL.iter().map(|it| it.as_str()).collect();
                    UnknownWord { what: $what, allowed: allowed.join(", "), found: word.to_owned() }
                })
            }
        }
    };
}

words! {
    /// What a record is about.
    Category, "category":
    /// Plans and their phases.
    Rollout = "rollout",
    /// Leaders, quorum, backups.
    Ha = "ha",
    /// Relays.
    Relay = "relay",
    /// Certificates.
    Cert = "cert",
    /// Who may do what.
    Auth = "auth",
    /// The system itself, and the trail.
    System = "system",
    /// Rollbacks.
    Rollback = "rollback",
    /// Goals.
    Goal = "goal",
    /// Telemetry logs.
    Wal = "wal",
}

words! {
    /// How it ended.
    Outcome, "outcome":
    /// It was done.
    Success = "success",
    /// It was tried and failed.
    Failure = "failure",
    /// It was not allowed.
    Denied = "denied",
    /// It was begun.
    Pending = "pending",
}

words! {
    /// Which kind of program wrote the record.
    Source, "source":
    /// A control plane.
    Orchestrator = "orchestrator",
    /// A node.
    Edge = "edge",
    /// A command of an operator.
    Cli = "cli",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_and_no_other() {
        for it in Category::ALL {
            assert_eq!(it.as_str().parse(), Ok(*it));
        }
        for it in Outcome::ALL {
            assert_eq!(it.as_str().parse(), Ok(*it));
        }
        for it in Source::ALL {
            assert_eq!(it.as_str().parse(), Ok(*it));
        }
        let error = "Success".parse::<Outcome>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "outcome is one of success, failure, denied, pending, not \"Success\""
        );
        assert_eq!(Category::ALL.len(), 9);
    }
}
