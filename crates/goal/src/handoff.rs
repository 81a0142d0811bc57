//! Handoffs: what a worker says when it stops, as sections of a Markdown file.
//!
//! ```text
//! ## [2026-03-01 10:00 UTC]
//! STATUS: BLOCKED
//! Changed: src/a.rs
//! Bridge: sc-1
//! QUOTA_REASON: rate_limit
//! RETRY_HINT: 2h
//!
//!   The message, every line of it indented.
//! ```
//!
//! | status            | needs the orchestrator | may be reset |
//! |-------------------|------------------------|--------------|
//! | `DONE`            | no                     | no           |
//! | `BLOCKED`         | yes                    | yes          |
//! | `TOO_BIG`         | yes                    | no           |
//! | `AMBIGUOUS`       | yes                    | yes          |
//! | `REGRESSED`       | yes                    | no           |
//! | `SCOPE_ESCALATION` | yes                   | yes          |
//! | `SCOPE_REDUCTION` | no                     | no           |
//!
//! # Invariants
//!
//! * **H1** The last section with a known status says how things stand; all fields come from that one
//!   section. A later note without a status takes nothing back.
//! * **H2** Without any status the last section is used.
//! * **H3** A message cannot pass for a section or a field: [`section`] indents its lines, and the
//!   reader knows headings and fields at the start of a line only. Values that would break a line,
//!   or that contain a comma, are written as JSON strings.
//! * **H4** What [`section`] wrote, [`parse`] reads back, the seconds of the time and empty lines
//!   around the message left out.
//! * **H5** Files of other writers are read too: without indentation, with several values behind
//!   commas, with text before the first heading. There the first field of a name counts.

mod read;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Classifier, QuotaReason};

pub use read::parse;

/// How a worker left its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HandoffStatus {
    /// It is finished.
    Done,
    /// Something outside stands in the way, a quota for example.
    Blocked,
    /// It has to be split.
    TooBig,
    /// It can be understood in more than one way.
    Ambiguous,
    /// Something that worked before does not any more.
    Regressed,
    /// It needs more than it was given.
    ScopeEscalation,
    /// It was finished with less than it was given.
    ScopeReduction,
}

impl HandoffStatus {
    /// Every status, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Done,
        Self::Blocked,
        Self::TooBig,
        Self::Ambiguous,
        Self::Regressed,
        Self::ScopeEscalation,
        Self::ScopeReduction,
    ];

    /// Returns the name that files carry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "DONE",
            Self::Blocked => "BLOCKED",
            Self::TooBig => "TOO_BIG",
            Self::Ambiguous => "AMBIGUOUS",
            Self::Regressed => "REGRESSED",
            Self::ScopeEscalation => "SCOPE_ESCALATION",
            Self::ScopeReduction => "SCOPE_REDUCTION",
        }
    }

    /// Returns the status with this name, written as in files.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// Returns whether somebody has to decide what happens next.
    pub const fn needs_orchestrator(self) -> bool {
        !matches!(self, Self::Done | Self::ScopeReduction)
    }

    /// Returns whether the task may simply be tried again. One that is too big, or that broke
    /// something, has to be planned anew.
    pub const fn resettable(self) -> bool {
        matches!(self, Self::Blocked | Self::Ambiguous | Self::ScopeEscalation)
    }
}

impl fmt::Display for HandoffStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a worker says when it stops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handoff {
    /// How it left the task; none for a note.
    pub status: Option<HandoffStatus>,
    /// Files that it changed.
    pub changed_files: Vec<String>,
    /// Ids of the criteria that its work serves.
    pub bridge_links: Vec<String>,
    /// The quota that is used up.
    pub quota_reason: Option<QuotaReason>,
    /// When to try again, in the words of the provider.
    pub retry_hint: Option<String>,
    /// Anything else, in many lines if need be.
    pub message: String,
}

impl Handoff {
    /// Returns the handoff with the quota that its message speaks of, when it is blocked and names
    /// none itself.
    #[must_use]
    pub fn classified(mut self, classifier: &Classifier) -> Self {
        if self.status == Some(HandoffStatus::Blocked) && self.quota_reason.is_none() {
            self.quota_reason = classifier.classify(&self.message);
        }
        self
    }
}

/// What a file of handoffs says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// How the task was left; none when no section says so.
    pub status: Option<HandoffStatus>,
    /// Files that were changed.
    pub changed_files: Vec<String>,
    /// Ids of the criteria that the work serves.
    pub bridge_links: Vec<String>,
    /// The quota that is used up, as written: other writers may have more names.
    pub quota_reason: Option<String>,
    /// When to try again, in the words of the provider.
    pub retry_hint: Option<String>,
    /// Anything else.
    pub message: String,
    /// The time of the heading, in whole minutes; none when it cannot be read.
    pub at: Option<Timestamp>,
}

/// Returns the text to append to a file of handoffs; it begins and ends a line of its own.
///
/// # Examples
///
/// ```
/// use goal::{Handoff, HandoffStatus, parse_handoffs, handoff_section};
///
/// let message = "All done.\nSTATUS: BLOCKED".to_owned();
/// let handoff = Handoff { status: Some(HandoffStatus::Done), message, ..Handoff::default() };
/// let text = handoff_section(&handoff, "2026-03-01T10:00:00Z".parse()?);
/// assert!(text.starts_with("\n## [2026-03-01 10:00 UTC]\nSTATUS: DONE\n"));
/// assert_eq!(parse_handoffs(&text).status, Some(HandoffStatus::Done));
/// # Ok::<(), jiff::Error>(())
/// ```
pub fn section(handoff: &Handoff, at: Timestamp) -> String {
    let time = at.to_string();
    let (date, clock) = (time.get(..10).unwrap_or_default(), time.get(11..16).unwrap_or_default());
    let mut text = format!("\n## [{date} {clock} UTC]\n");
    let mut field = |name: &str, value: &str| {
        text.extend([name, ": ", value, "\n"]);
    };
    if let Some(status) = handoff.status {
        field("STATUS", status.as_str());
    }
    for path in &handoff.changed_files {
        field("Changed", &quoted(path));
    }
    for id in &handoff.bridge_links {
        field("Bridge", &quoted(id));
    }
    if let Some(reason) = handoff.quota_reason {
        field("QUOTA_REASON", reason.as_str());
    }
    if let Some(hint) = &handoff.retry_hint {
        field("RETRY_HINT", &quoted(hint));
    }
    // Some readers take a lone carriage return for the end of a line.
    let message = handoff.message.replace("\r\n", "\n").replace('\r', "\n");
    let message = message.trim_matches('\n');
    if !message.is_empty() {
        text.push('\n');
    }
    for line in message.split('\n').filter(|_| !message.is_empty()) {
        text.push_str(if line.is_empty() { "" } else { INDENT });
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// What is in front of every line of a message (H3).
const INDENT: &str = "  ";

/// Writes a value so that it stays one value on one line (H3).
fn quoted(value: &str) -> String {
    let plain = !value.is_empty()
        && value.trim() == value
        && !value.starts_with('"')
        && !value.contains(|it: char| it.is_control() || it == ',');
    if plain { value.to_owned() } else { serde_json::Value::from(value).to_string() }
}

#[cfg(test)]
mod tests;
