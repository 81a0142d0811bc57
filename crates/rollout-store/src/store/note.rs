//! What is to be told elsewhere about an accepted request: an outbox.
//!
//! Whoever keeps an audit trail or feeds another system cannot write there and here in one transaction. So the
//! text goes into the store together with the change (B6), is told afterwards, and is dropped with
//! [`super::Write::Told`]. After a crash [`super::RolloutReader::notes`] gives what may not have been told; the
//! number lets the listener see what he has heard before.

use serde::{Deserialize, Serialize};

use super::Written;
use crate::{moment::Moment, phase::Phase};

/// Longest note, in bytes.
pub const NOTE_LEN_MAX: usize = 8 << 10;

/// A text of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(String);

/// A note that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a note has at most {NOTE_LEN_MAX} bytes, not {len}")]
pub struct NoteError {
    /// What it has.
    pub len: usize,
}

impl Note {
    /// Checks a text.
    ///
    /// # Errors
    ///
    /// [`NoteError`] when it is longer than [`NOTE_LEN_MAX`].
    pub fn new(text: String) -> Result<Self, NoteError> {
        let len = text.len();
        if len > NOTE_LEN_MAX { Err(NoteError { len }) } else { Ok(Self(text)) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the request led to, as far as a note needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// `created`, `existing`, `changed`, `unchanged`, `reported`, `released`, `seen`, `dropped`.
    pub result: String,
    /// Where the plan is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The stage it stands at now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The generation of the plan now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The place of the release in its channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

impl About {
    /// Picks it out of a result.
    pub fn of(written: &Written) -> Self {
        let named = |result: &str| Self { result: result.to_owned(), ..Self::default() };
        match written {
            Written::Created(it) => Self::of_plan("created", it),
            Written::Existing(it) => Self::of_plan("existing", it),
            Written::Changed(it) => Self::of_plan("changed", it),
            Written::Unchanged(it) => Self::of_plan("unchanged", it),
            Written::Reported { .. } => named("reported"),
            Written::Released(it) => Self { sequence: Some(it.sequence), ..named("released") },
            Written::ReleasedBefore(it) => {
                Self { sequence: Some(it.sequence), ..named("existing") }
            }
            Written::Seen(_) => named("seen"),
            Written::Dropped => named("dropped"),
        }
    }

    fn of_plan(result: &str, rollout: &crate::Rollout) -> Self {
        Self {
            result: result.to_owned(),
            phase: Some(rollout.phase()),
            stage: rollout.current_stage_id().map(ToString::to_string),
            generation: Some(rollout.generation()),
            sequence: None,
        }
    }
}

/// A note that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Its number.
    pub number: u64,
    /// When.
    pub at: Moment,
    /// The text of the caller.
    pub text: String,
    /// What the request led to.
    pub about: About,
}
