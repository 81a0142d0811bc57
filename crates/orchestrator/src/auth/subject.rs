//! Who somebody is: a checked name.
//!
//! # Invariants
//!
//! * **U1** A subject is 1 to [`SUBJECT_LEN_MAX`] of `A-Z a-z 0-9 . _ - : @ / +`, begins with a letter or
//!   a digit, and is none of [`RESERVED`], which the audit trail uses for callers without an identity.
//! * **U2** `node:<id>` is the node `<id>` and may act for no other. Nobody else may act for a node.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Actor of what is done before anybody has a role.
pub(crate) const BOOTSTRAP: &str = "bootstrap";
/// Actor of whoever says nothing about himself.
pub(crate) const ANONYMOUS: &str = "anonymous";
/// Names of actors that nobody can have.
pub(crate) const RESERVED: [&str; 3] = [BOOTSTRAP, ANONYMOUS, "orchestrator"];
/// Longest subject in bytes: `node:` and the longest id of a node fit.
pub(crate) const SUBJECT_LEN_MAX: usize = 160;
/// What the subject of a node begins with.
pub(crate) const NODE_PREFIX: &str = "node:";

/// A name that can hold roles and tokens (U1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Subject(String);

impl Subject {
    /// Checks a name (U1).
    pub(crate) fn new(text: &str) -> Result<Self, SubjectError> {
        let allowed = |it: char| it.is_ascii_alphanumeric() || "._-:@/+".contains(it);
        if text.is_empty() {
            return Err(SubjectError::Empty);
        }
        if text.len() > SUBJECT_LEN_MAX {
            return Err(SubjectError::TooLong { len: text.len() });
        }
        if let Some(found) = text.chars().find(|it| !allowed(*it)) {
            return Err(SubjectError::Character { found });
        }
        if !text.starts_with(|it: char| it.is_ascii_alphanumeric()) || text == NODE_PREFIX {
            return Err(SubjectError::Form);
        }
        if is_reserved(text) {
            return Err(SubjectError::Reserved);
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the name of a node (U2).
    pub(crate) fn is_node(&self) -> bool {
        self.node().is_some()
    }

    /// The id of the node that it is the name of.
    fn node(&self) -> Option<&str> {
        self.0.strip_prefix(NODE_PREFIX)
    }
}

/// Whether `text` is one of [`RESERVED`], in whatever case: people do not see the difference.
pub(crate) fn is_reserved(text: &str) -> bool {
    RESERVED.iter().any(|it| it.eq_ignore_ascii_case(text))
}

/// Whether `subject` is the node `node_id` (U2).
pub(crate) fn may_act_for(subject: &Subject, node_id: &str) -> bool {
    subject.node() == Some(node_id)
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.0
    }
}

impl TryFrom<String> for Subject {
    type Error = SubjectError;

    fn try_from(text: String) -> Result<Self, SubjectError> {
        Self::new(&text)
    }
}

/// Why a text is not a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum SubjectError {
    #[error("the subject is empty")]
    Empty,
    #[error("the subject has {len} bytes, more than {SUBJECT_LEN_MAX}")]
    TooLong { len: usize },
    #[error("the subject contains {found:?}; allowed are letters, digits and . _ - : @ / +")]
    Character { found: char },
    #[error("the subject begins with neither a letter nor a digit, or is a node without an id")]
    Form,
    #[error("the subject is a name that callers without an identity have")]
    Reserved,
}

impl SubjectError {
    /// Returns the stable code.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Empty | Self::TooLong { .. } | Self::Character { .. } | Self::Form => {
                "SUBJECT_INVALID"
            }
            Self::Reserved => "SUBJECT_RESERVED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_a_short_plain_name_that_is_not_reserved() {
        for text in ["a", "ada", "ada@example.com", "team/ada", "node:robot-7", "CI+1"] {
            assert_eq!(Subject::new(text).unwrap().as_str(), text, "U1");
        }
        let longest = "x".repeat(SUBJECT_LEN_MAX);
        assert!(Subject::new(&longest).is_ok());
        let table = [
            ("", "SUBJECT_INVALID"),
            (" ada", "SUBJECT_INVALID"),
            ("ada lovelace", "SUBJECT_INVALID"),
            ("ada\n", "SUBJECT_INVALID"),
            ("\u{430}da", "SUBJECT_INVALID"),
            ("-ada", "SUBJECT_INVALID"),
            (":ada", "SUBJECT_INVALID"),
            ("node:", "SUBJECT_INVALID"),
            ("bootstrap", "SUBJECT_RESERVED"),
            ("Anonymous", "SUBJECT_RESERVED"),
            ("orchestrator", "SUBJECT_RESERVED"),
        ];
        for (text, code) in table {
            assert_eq!(Subject::new(text).map_err(SubjectError::code), Err(code), "{text:?}");
        }
        let error = Subject::new(&format!("{longest}x")).unwrap_err();
        assert_eq!(error, SubjectError::TooLong { len: SUBJECT_LEN_MAX + 1 });
    }

    #[test]
    fn a_node_acts_for_itself_and_for_nobody_else() {
        let subject = |it: &str| Subject::new(it).unwrap();
        assert!(may_act_for(&subject("node:a"), "a"));
        assert!(may_act_for(&subject("node:a:b"), "a:b"));
        for (who, node) in [
            ("node:a", "b"),
            ("node:a", "A"),
            ("node:a", ""),
            ("node:a", "node:a"),
            ("a", "a"),
            ("Node:a", "a"),
        ] {
            assert!(!may_act_for(&subject(who), node), "{who} for {node} (U2)");
        }
    }
}
