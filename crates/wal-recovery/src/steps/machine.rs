//! Which status follows which.
//!
//! | from \ event   | append  | execute   | complete  | confirm   | fail   | review       | pause  | reset   | approve | abandon   |
//! |----------------|---------|-----------|-----------|-----------|--------|--------------|--------|---------|---------|-----------|
//! | (none)         | pending | –         | –         | –         | –      | –            | –      | –       | –       | abandoned |
//! | `pending`      | –       | executing | –         | completed | –      | `needs_review` | paused | –       | –       | abandoned |
//! | `executing`    | –       | –         | completed | completed | failed | `needs_review` | paused | pending | –       | abandoned |
//! | `paused`       | –       | –         | –         | –         | failed | `needs_review` | –      | –       | pending | abandoned |
//! | `needs_review` | –       | –         | completed | completed | failed | –            | –      | –       | pending | abandoned |
//! | a final one    | –       | –         | –         | –         | –      | –            | –      | –       | –       | –         |
//!
//! *Complete* is a step that ran, or a human who attests it with evidence; *confirm* is a step that
//! was found to be done (`recovered`). *Reset* is said by a recovery, *approve* by a human. *Abandon*
//! is only read: what we write is the end of the whole plan.

use std::fmt;

use wal_format::step::{Change, StepStatus};

/// What happens to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepEvent {
    /// It is due.
    Append,
    /// It begins.
    Execute,
    /// It is done.
    Complete,
    /// It was found to be done.
    Confirm,
    /// It went wrong.
    Fail,
    /// A human has to look.
    Review,
    /// It waits for an approval.
    Pause,
    /// A recovery makes it eligible again.
    Reset,
    /// A human makes it eligible again.
    Approve,
    /// It is given up.
    Abandon,
}

impl StepEvent {
    /// Every event.
    pub const ALL: [Self; 10] = [
        Self::Append,
        Self::Execute,
        Self::Complete,
        Self::Confirm,
        Self::Fail,
        Self::Review,
        Self::Pause,
        Self::Reset,
        Self::Approve,
        Self::Abandon,
    ];

    /// Returns what a line of the log says happened.
    pub(super) const fn of(change: &Change) -> Self {
        match change {
            Change::Executing { .. } => Self::Execute,
            Change::Completed { recovered: Some(true), .. } => Self::Confirm,
            Change::Completed { .. } => Self::Complete,
            Change::Failed { .. } => Self::Fail,
            Change::NeedsReview { .. } => Self::Review,
            Change::Paused { .. } => Self::Pause,
            Change::Pending { reset: true, .. } => Self::Reset,
            Change::Pending { reset: false, .. } => Self::Approve,
            Change::Abandoned { .. } => Self::Abandon,
        }
    }
}

impl fmt::Display for StepEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Append => "append",
            Self::Execute => "execute",
            Self::Complete => "complete",
            Self::Confirm => "confirm",
            Self::Fail => "fail",
            Self::Review => "review",
            Self::Pause => "pause",
            Self::Reset => "reset",
            Self::Approve => "approve",
            Self::Abandon => "abandon",
        })
    }
}

/// Returns the status after an event, or `None` where the table has none.
pub const fn next_status(from: Option<StepStatus>, event: StepEvent) -> Option<StepStatus> {
    use StepEvent as E;
    use StepStatus as S;

    match (from, event) {
        (None, E::Append)
        | (Some(S::Paused | S::NeedsReview), E::Approve)
        | (Some(S::Executing), E::Reset) => Some(S::Pending),
        (Some(S::Pending), E::Execute) => Some(S::Executing),
        (Some(S::Executing | S::NeedsReview), E::Complete)
        | (Some(S::Pending | S::Executing | S::NeedsReview), E::Confirm) => Some(S::Completed),
        (Some(S::Executing | S::Paused | S::NeedsReview), E::Fail) => Some(S::Failed),
        (Some(S::Pending | S::Executing | S::Paused), E::Review) => Some(S::NeedsReview),
        (Some(S::Pending | S::Executing), E::Pause) => Some(S::Paused),
        (None | Some(S::Pending | S::Executing | S::Paused | S::NeedsReview), E::Abandon) => {
            Some(S::Abandoned)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_that_of_the_table() {
        let source = include_str!("machine.rs");
        let rows: Vec<Vec<&str>> = source
            .lines()
            .filter_map(|it| it.strip_prefix("//! | ")?.strip_suffix('|'))
            .map(|it| it.split('|').map(str::trim).collect())
            .collect();
        let row = |name: &str| rows.iter().find(|it| it[0] == name).unwrap();
        let states = std::iter::once(None).chain(StepStatus::ALL.map(Some));
        let mut cells = 0;
        for from in states {
            let row = match from {
                None => row("(none)"),
                Some(it) if it.is_final() => row("a final one"),
                Some(it) => row(&format!("`{}`", it.as_str())),
            };
            for (at, event) in StepEvent::ALL.into_iter().enumerate() {
                let title = rows[0][at + 1];
                assert_eq!(event.to_string(), title);
                let want = Some(row[at + 1].trim_matches('`')).filter(|it| *it != "–");
                let found = next_status(from, event).map(StepStatus::as_str);
                assert_eq!(found, want, "{from:?} {event:?}");
                cells += 1;
            }
        }
        assert_eq!(cells, 8 * 10);
    }

    #[test]
    fn only_a_recovery_or_a_human_makes_a_step_pending_that_was_not() {
        for from in StepStatus::ALL {
            let to_pending = StepEvent::ALL
                .into_iter()
                .filter(|it| next_status(Some(from), *it) == Some(StepStatus::Pending));
            for event in to_pending {
                assert!(matches!(event, StepEvent::Reset | StepEvent::Approve));
            }
        }
    }
}
