//! How an operator recovers a plan.
//!
//! | strategy      | act         | concerns      | from                      | afterwards                          |
//! |---------------|-------------|---------------|---------------------------|-------------------------------------|
//! | `retry`       | retry       | current stage | published, active, failed | active; the stage begins again      |
//! | `rollback`    | rollback    | plan          | all but draft and terminal | rolled back, for good              |
//! | `skip_failed` | skip        | current stage | active, failed            | the stage is passed by, for good    |
//!
//! A rollback means that no further node activates; nodes that were activated keep running.

use serde::{Deserialize, Serialize};

use crate::stage::Act;

/// One of the three ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Begin the current stage again.
    Retry,
    /// Give the plan up.
    Rollback,
    /// Go past the current stage.
    SkipFailed,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 3] = [Self::Retry, Self::Rollback, Self::SkipFailed];

    /// The name in requests.
    pub const fn name(self) -> &'static str {
        self.act().as_str()
    }

    /// The strategy of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == text)
    }

    /// What it does to a plan.
    pub const fn act(self) -> Act {
        match self {
            Self::Retry => Act::Retry,
            Self::Rollback => Act::Rollback,
            Self::SkipFailed => Act::SkipFailed,
        }
    }

    /// Whether it can be undone by another strategy.
    pub const fn is_reversible(self) -> bool {
        matches!(self, Self::Retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deadline::reachable, phase::Phase};

    #[test]
    fn each_strategy_is_taken_in_the_phases_of_the_table() {
        for life in reachable(2) {
            let halted = life.stages[life.current] == crate::StagePhase::Halted;
            let retry = matches!(life.phase, Phase::Published | Phase::Active | Phase::Failed);
            assert_eq!(life.apply(Strategy::Retry.act()).is_ok(), retry && !halted, "{life:?}");
            let skip = matches!(life.phase, Phase::Active | Phase::Failed) && !halted;
            assert_eq!(life.apply(Strategy::SkipFailed.act()).is_ok(), skip, "{life:?}");
            let rollback = !life.phase.is_terminal() && life.phase != Phase::Draft;
            assert_eq!(life.apply(Strategy::Rollback.act()).is_ok(), rollback, "{life:?}");
        }
        for it in Strategy::ALL {
            assert_eq!(Strategy::parse(it.name()), Some(it));
        }
    }
}
