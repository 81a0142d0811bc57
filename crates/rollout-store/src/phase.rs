//! The life of a plan as one table.
//!
//! # Table
//!
//! | phase         | publish   | start  | pause  | resume    | complete  | fail   | cancel    | retry  | rollback    |
//! |---------------|-----------|--------|--------|-----------|-----------|--------|-----------|--------|-------------|
//! | `draft`       | published |        |        |           |           |        | cancelled |        |             |
//! | `published`   | published | active | paused |           |           | failed | cancelled | active | `rolled_back` |
//! | `active`      |           |        | paused |           | completed | failed | cancelled | active | `rolled_back` |
//! | `paused`      |           |        |        | where it was |        | failed | cancelled |        | `rolled_back` |
//! | `failed`      |           |        |        |           |           |        | cancelled | active | `rolled_back` |
//! | `completed`   |           |        |        |           |           |        |           |        |             |
//! | `cancelled`   |           |        |        |           |           |        |           |        |             |
//! | `rolled_back` |           |        |        |           |           |        |           |        |             |
//!
//! An empty cell is refused and changes nothing. Publishing what is published changes nothing either,
//! so that a repeated request is no error.
//!
//! # Invariants
//!
//! * **P1** A phase changes only through [`Phase::apply`].
//! * **P2** Nothing leaves a terminal phase, and every other phase can be left by a person.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where a plan is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Stored, not yet released to nodes.
    Draft,
    /// Released; no node has acted on it.
    Published,
    /// Nodes act on it.
    Active,
    /// A person stopped it for a while.
    Paused(PausedFrom),
    /// Every stage was promoted or skipped. Terminal.
    Completed,
    /// A gate failed, a deadline passed, or a person halted a stage.
    Failed,
    /// A person withdrew it. Terminal.
    Cancelled,
    /// A person rolled it back. Terminal.
    RolledBack,
}

/// Where a paused plan returns to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PausedFrom {
    /// [`Phase::Published`].
    Published,
    /// [`Phase::Active`].
    Active,
}

/// What is asked of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Release it to nodes.
    Publish,
    /// The first node acts.
    Start,
    /// Stop for a while.
    Pause,
    /// Go on where it was.
    Resume,
    /// The last stage is done.
    Complete,
    /// A gate, a deadline or a halt.
    Fail,
    /// Withdraw it.
    Cancel,
    /// Try the current stage again.
    Retry,
    /// No further node activates.
    Rollback,
}

impl Command {
    /// Every command.
    pub const ALL: [Self; 9] = [
        Self::Publish,
        Self::Start,
        Self::Pause,
        Self::Resume,
        Self::Complete,
        Self::Fail,
        Self::Cancel,
        Self::Retry,
        Self::Rollback,
    ];

    /// The name that operators use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Complete => "complete",
            Self::Fail => "fail",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Rollback => "rollback",
        }
    }
}

/// A command that the phase does not take; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a plan that is {phase} does not take `{}`", .command.as_str())]
pub struct PhaseRefused {
    /// The phase it stays in.
    pub phase: Phase,
    /// What was asked.
    pub command: Command,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 9] = [
        Self::Draft,
        Self::Published,
        Self::Active,
        Self::Paused(PausedFrom::Published),
        Self::Paused(PausedFrom::Active),
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::RolledBack,
    ];

    /// Applies the table of this module.
    ///
    /// # Errors
    ///
    /// [`PhaseRefused`] for an empty cell.
    ///
    /// # Examples
    ///
    /// ```
    /// use rollout_store::{Command, Phase};
    ///
    /// let paused = Phase::Published.apply(Command::Pause)?;
    /// assert_eq!(paused.name(), "paused");
    /// assert_eq!(paused.apply(Command::Resume)?, Phase::Published);
    /// assert!(Phase::Cancelled.apply(Command::Retry).is_err());
    /// # Ok::<(), rollout_store::PhaseRefused>(())
    /// ```
    pub const fn apply(self, command: Command) -> Result<Self, PhaseRefused> {
        use Command as C;
        match (self, command) {
            (Self::Draft | Self::Published, C::Publish)
            | (Self::Paused(PausedFrom::Published), C::Resume) => Ok(Self::Published),
            (Self::Published, C::Start)
            | (Self::Paused(PausedFrom::Active), C::Resume)
            | (Self::Published | Self::Active | Self::Failed, C::Retry) => Ok(Self::Active),
            (Self::Published, C::Pause) => Ok(Self::Paused(PausedFrom::Published)),
            (Self::Active, C::Pause) => Ok(Self::Paused(PausedFrom::Active)),
            (Self::Active, C::Complete) => Ok(Self::Completed),
            (Self::Published | Self::Active | Self::Paused(_), C::Fail) => Ok(Self::Failed),
            (
                Self::Draft | Self::Published | Self::Active | Self::Paused(_) | Self::Failed,
                C::Cancel,
            ) => Ok(Self::Cancelled),
            (Self::Published | Self::Active | Self::Paused(_) | Self::Failed, C::Rollback) => {
                Ok(Self::RolledBack)
            }
            (phase, command) => Err(PhaseRefused { phase, command }),
        }
    }

    /// Whether nothing can leave it.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::RolledBack)
    }

    /// Whether nodes may act on the plan: the phases that can be stuck.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Published | Self::Active)
    }

    /// The name in answers and filters; the same for both kinds of paused.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Active => "active",
            Self::Paused(_) => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::RolledBack => "rolled_back",
        }
    }

    /// The names of all phases, in the order of a life.
    pub const NAMES: [&'static str; 8] = [
        "draft",
        "published",
        "active",
        "paused",
        "completed",
        "failed",
        "cancelled",
        "rolled_back",
    ];

    /// The name of [`Self::NAMES`] that `text` is.
    pub fn parse_name(text: &str) -> Option<&'static str> {
        Self::NAMES.into_iter().find(|it| *it == text)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cells of the table in the module documentation.
    fn cell(phase: Phase, command: Command) -> Option<Phase> {
        let source = include_str!("phase.rs");
        let row = format!("//! | `{}`", phase.name());
        let row = source.lines().find(|it| it.starts_with(&row)).unwrap();
        let cells: Vec<_> = row.split('|').skip(2).map(|it| it.trim().trim_matches('`')).collect();
        let index = Command::ALL.iter().position(|it| *it == command).unwrap();
        let by_name = |name: &str| Phase::ALL.into_iter().find(|it| it.name() == name);
        match (cells[index], phase) {
            ("", _) => None,
            ("where it was", Phase::Paused(PausedFrom::Published)) => Some(Phase::Published),
            ("where it was", _) => Some(Phase::Active),
            ("paused", Phase::Active) => Some(Phase::Paused(PausedFrom::Active)),
            (name, _) => Some(by_name(name).unwrap()),
        }
    }

    #[test]
    fn every_cell_is_decided_as_the_table_in_the_documentation_says() {
        for phase in Phase::ALL {
            for command in Command::ALL {
                let want = cell(phase, command).ok_or(PhaseRefused { phase, command });
                assert_eq!(phase.apply(command), want, "{phase:?} {command:?}");
            }
        }
    }

    /// P2.
    #[test]
    fn nothing_leaves_a_terminal_phase_and_a_person_can_end_every_other() {
        for phase in Phase::ALL {
            let left = Command::ALL.iter().any(|it| phase.apply(*it).is_ok());
            assert_eq!(left, !phase.is_terminal(), "{phase:?}");
            assert_eq!(phase.apply(Command::Cancel).is_ok(), !phase.is_terminal());
            assert!(!(phase.is_live() && phase.is_terminal()));
        }
    }

    #[test]
    fn each_phase_has_one_name_and_each_name_a_phase() {
        for phase in Phase::ALL {
            assert_eq!(Phase::parse_name(phase.name()), Some(phase.name()));
        }
        assert!(Phase::NAMES.iter().all(|it| Phase::ALL.iter().any(|phase| phase.name() == *it)));
        assert_eq!(Phase::parse_name("Active"), None);
    }
}
