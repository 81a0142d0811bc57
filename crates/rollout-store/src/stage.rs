//! The life of one stage, and of all stages of a plan together.
//!
//! # Table of a stage
//!
//! | phase      | open | promote  | skip    | halt   | fail   |
//! |------------|------|----------|---------|--------|--------|
//! | `pending`  | open |          |         | halted | failed |
//! | `open`     | open | promoted | skipped | halted | failed |
//! | `failed`   | open |          | skipped | halted |        |
//! | `promoted` |      |          |         |        |        |
//! | `skipped`  |      |          |         |        |        |
//! | `halted`   |      |          |         |        |        |
//!
//! # Table of a plan with its stages
//!
//! | act         | phase of the plan             | current stage     | afterwards                               |
//! |-------------|-------------------------------|-------------------|------------------------------------------|
//! | start       | by [`Phase::apply`]           | open              |                                          |
//! | retry       | by [`Phase::apply`]           | open              |                                          |
//! | fail        | by [`Phase::apply`]           | fail              |                                          |
//! | halt        | fail, unless it has failed    | halt              |                                          |
//! | promote     | stays; must be active         | promote           | next stage opens, or complete            |
//! | `skip_failed` | must be active or failed      | skip              | next stage opens (retry), or complete    |
//! | all others  | by [`Phase::apply`]           | stays             |                                          |
//!
//! # Invariants
//!
//! * **S1** What stands before the current stage is promoted or skipped; what stands behind it is pending.
//! * **S2** An active plan has an open stage; a failed one has a failed or a halted one.
//! * **S3** Every state that can be reached and is not terminal has a way out that needs only a
//!   deadline or a person (see `deadline`).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::phase::{Command, PausedFrom, Phase, PhaseRefused};

/// Where a stage is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StagePhase {
    /// Not begun.
    Pending,
    /// Its nodes act, its gates are watched.
    Open,
    /// Its gates passed. Terminal.
    Promoted,
    /// A person went past it. Terminal.
    Skipped,
    /// A person stopped it for good. Terminal.
    Halted,
    /// A gate failed or its deadline passed.
    Failed,
}

/// What happens to a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StageCommand {
    /// It begins, or begins again.
    Open,
    /// All gates passed.
    Promote,
    /// A person goes past it.
    Skip,
    /// A person stops it for good.
    Halt,
    /// A gate failed or the deadline passed.
    Fail,
}

/// A command that the stage does not take; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a stage that is {} does not take `{}`", .phase.name(), .command.as_str())]
pub struct StageRefused {
    /// The phase it stays in.
    pub phase: StagePhase,
    /// What was asked.
    pub command: StageCommand,
}

impl StageCommand {
    /// Every command.
    pub const ALL: [Self; 5] = [Self::Open, Self::Promote, Self::Skip, Self::Halt, Self::Fail];

    /// The name that operators use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Promote => "promote",
            Self::Skip => "skip",
            Self::Halt => "halt",
            Self::Fail => "fail",
        }
    }
}

impl StagePhase {
    /// Every phase.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Open, Self::Failed, Self::Promoted, Self::Skipped, Self::Halted];

    /// Applies the table of a stage.
    ///
    /// # Errors
    ///
    /// [`StageRefused`] for an empty cell.
    pub const fn apply(self, command: StageCommand) -> Result<Self, StageRefused> {
        use StageCommand as C;
        match (self, command) {
            (Self::Pending | Self::Open | Self::Failed, C::Open) => Ok(Self::Open),
            (Self::Open, C::Promote) => Ok(Self::Promoted),
            (Self::Open | Self::Failed, C::Skip) => Ok(Self::Skipped),
            (Self::Pending | Self::Open | Self::Failed, C::Halt) => Ok(Self::Halted),
            (Self::Pending | Self::Open, C::Fail) => Ok(Self::Failed),
            (phase, command) => Err(StageRefused { phase, command }),
        }
    }

    /// Whether nothing can leave it.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Promoted | Self::Skipped | Self::Halted)
    }

    /// The name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Open => "open",
            Self::Promoted => "promoted",
            Self::Skipped => "skipped",
            Self::Halted => "halted",
            Self::Failed => "failed",
        }
    }
}

/// What is done to a plan and its stages as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Release it to nodes.
    Publish,
    /// The first node acts.
    Start,
    /// Stop for a while.
    Pause,
    /// Go on.
    Resume,
    /// Withdraw.
    Cancel,
    /// No further node activates.
    Rollback,
    /// Try the current stage again.
    Retry,
    /// Go past the current stage.
    SkipFailed,
    /// Stop the current stage for good.
    Halt,
    /// The gates of the current stage passed.
    Promote,
    /// A gate failed or a deadline passed.
    Fail,
}

impl Act {
    /// Every act.
    pub const ALL: [Self; 11] = [
        Self::Publish,
        Self::Start,
        Self::Pause,
        Self::Resume,
        Self::Cancel,
        Self::Rollback,
        Self::Retry,
        Self::SkipFailed,
        Self::Halt,
        Self::Promote,
        Self::Fail,
    ];

    /// The name that operators use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Rollback => "rollback",
            Self::Retry => "retry",
            Self::SkipFailed => "skip_failed",
            Self::Halt => "halt",
            Self::Promote => "promote",
            Self::Fail => "fail",
        }
    }
}

/// An act that the plan does not take; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ActRefused {
    /// The phase of the plan forbids it.
    #[error("a plan that is {phase} does not take `{}`", .act.as_str())]
    Phase {
        /// The phase it stays in.
        phase: Phase,
        /// What was asked.
        act: Act,
    },
    /// The current stage forbids it.
    #[error("a stage that is {} does not take `{}`", .stage.name(), .act.as_str())]
    Stage {
        /// The phase the stage stays in.
        stage: StagePhase,
        /// What was asked.
        act: Act,
    },
    /// The record breaks S1: there is no such stage.
    #[error("the plan has {stages} stages and stands at number {current}")]
    Broken {
        /// How many there are.
        stages: usize,
        /// Where it says that it is, from 0.
        current: usize,
    },
}

impl ActRefused {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Phase { .. } => "PHASE_CONFLICT",
            Self::Stage { .. } => "STAGE_CONFLICT",
            Self::Broken { .. } => "PLAN_BROKEN",
        }
    }
}

/// A plan and its stages, as far as the tables are concerned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    /// Of the plan.
    pub phase: Phase,
    /// Of each stage, in order.
    pub stages: Vec<StagePhase>,
    /// The stage it stands at, from 0.
    pub current: usize,
}

impl Life {
    /// A plan that begins, with this many stages.
    pub fn begin(phase: Phase, stages: usize) -> Self {
        Self { phase, stages: vec![StagePhase::Pending; stages], current: 0 }
    }

    /// Applies the table of a plan with its stages.
    ///
    /// # Errors
    ///
    /// [`ActRefused`] when the plan or its stage does not take it.
    pub fn apply(&self, act: Act) -> Result<Self, ActRefused> {
        let broken = ActRefused::Broken { stages: self.stages.len(), current: self.current };
        let stage = *self.stages.get(self.current).ok_or(broken)?;
        let plan = |command: Command| {
            self.phase
                .apply(command)
                .map_err(|PhaseRefused { phase, .. }| ActRefused::Phase { phase, act })
        };
        let to = |command: StageCommand| {
            stage.apply(command).map_err(|it| ActRefused::Stage { stage: it.phase, act })
        };
        let refused = ActRefused::Phase { phase: self.phase, act };
        match act {
            Act::Publish => Ok(self.with(plan(Command::Publish)?, stage)),
            Act::Pause => Ok(self.with(plan(Command::Pause)?, stage)),
            Act::Resume => Ok(self.with(plan(Command::Resume)?, stage)),
            Act::Cancel => Ok(self.with(plan(Command::Cancel)?, stage)),
            Act::Rollback => Ok(self.with(plan(Command::Rollback)?, stage)),
            Act::Start => Ok(self.with(plan(Command::Start)?, to(StageCommand::Open)?)),
            Act::Retry => Ok(self.with(plan(Command::Retry)?, to(StageCommand::Open)?)),
            Act::Fail => Ok(self.with(plan(Command::Fail)?, to(StageCommand::Fail)?)),
            Act::Halt => {
                let failed = self.phase == Phase::Failed;
                let phase = if failed { Phase::Failed } else { plan(Command::Fail)? };
                Ok(self.with(phase, to(StageCommand::Halt)?))
            }
            Act::Promote if self.phase == Phase::Active => self.past(to(StageCommand::Promote)?),
            Act::SkipFailed if matches!(self.phase, Phase::Active | Phase::Failed) => {
                self.past(to(StageCommand::Skip)?)
            }
            Act::Promote | Act::SkipFailed => Err(refused),
        }
    }

    fn with(&self, phase: Phase, stage: StagePhase) -> Self {
        let mut next = self.clone();
        next.phase = phase;
        if let Some(it) = next.stages.get_mut(self.current) {
            *it = stage;
        }
        next
    }

    /// Leaves the current stage in `done` and goes to the next one, or to the end.
    fn past(&self, done: StagePhase) -> Result<Self, ActRefused> {
        // What has failed is active again before it goes on.
        let phase = if self.phase == Phase::Failed { Phase::Active } else { self.phase };
        let mut next = self.with(phase, done);
        let act = Act::Promote;
        if let Some(stage) = next.stages.get_mut(self.current + 1) {
            let refused = |it: StageRefused| ActRefused::Stage { stage: it.phase, act };
            *stage = stage.apply(StageCommand::Open).map_err(refused)?;
            next.current += 1;
        } else {
            let refused = |it: PhaseRefused| ActRefused::Phase { phase: it.phase, act };
            next.phase = phase.apply(Command::Complete).map_err(refused)?;
        }
        Ok(next)
    }

    /// Returns whether S1 and S2 hold.
    pub fn is_sound(&self) -> bool {
        use StagePhase as S;
        let Some(current) = self.stages.get(self.current) else { return false };
        let before = self.stages.iter().take(self.current);
        let behind = self.stages.iter().skip(self.current + 1);
        let agrees = match self.phase {
            Phase::Draft | Phase::Published | Phase::Paused(PausedFrom::Published) => {
                *current == S::Pending
            }
            Phase::Active | Phase::Paused(PausedFrom::Active) => *current == S::Open,
            Phase::Completed => matches!(current, S::Promoted | S::Skipped),
            Phase::Failed => matches!(current, S::Failed | S::Halted),
            Phase::Cancelled | Phase::RolledBack => !matches!(current, S::Promoted | S::Skipped),
        };
        agrees
            && before.into_iter().all(|it| matches!(it, S::Promoted | S::Skipped))
            && behind.into_iter().all(|it| *it == S::Pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_of_a_stage_is_decided_as_the_table_in_the_documentation_says() {
        let source = include_str!("stage.rs");
        for phase in StagePhase::ALL {
            let start = format!("//! | `{}`", phase.name());
            let row = source.lines().find(|it| it.starts_with(&start)).unwrap();
            let cells: Vec<_> = row.split('|').skip(2).map(str::trim).collect();
            for (command, cell) in StageCommand::ALL.into_iter().zip(cells) {
                let want = StagePhase::ALL.into_iter().find(|it| it.name() == cell);
                assert_eq!(phase.apply(command).ok(), want, "{phase:?} {command:?}");
            }
            let left = StageCommand::ALL.iter().any(|it| phase.apply(*it).is_ok());
            assert_eq!(left, !phase.is_terminal());
        }
    }

    #[test]
    fn skipping_the_last_stage_completes_and_skipping_another_opens_the_next() {
        let failed = Life::begin(Phase::Published, 2).apply(Act::Start).unwrap();
        let failed = failed.apply(Act::Fail).unwrap();
        let next = failed.apply(Act::SkipFailed).unwrap();
        assert_eq!((next.phase, next.current), (Phase::Active, 1));
        assert_eq!(next.stages, [StagePhase::Skipped, StagePhase::Open]);
        let end = next.apply(Act::SkipFailed).unwrap();
        assert_eq!(end.phase, Phase::Completed);
    }

    #[test]
    fn a_halted_stage_is_never_entered_again() {
        let active = Life::begin(Phase::Published, 2).apply(Act::Start).unwrap();
        let halted = active.apply(Act::Halt).unwrap();
        assert_eq!(halted.phase, Phase::Failed);
        for act in [Act::Retry, Act::SkipFailed, Act::Halt] {
            let stage = StagePhase::Halted;
            assert_eq!(halted.apply(act), Err(ActRefused::Stage { stage, act }));
        }
        assert_eq!(halted.apply(Act::Rollback).unwrap().phase, Phase::RolledBack);
    }
}
