//! Who or what ends each state.
//!
//! # Table
//!
//! | phase of the plan | ends by               | how                                          |
//! |-------------------|-----------------------|----------------------------------------------|
//! | `draft`           | its creator           | publish, or cancel                           |
//! | `published`       | its creator           | retry starts it, or cancel                   |
//! | `active`          | the stage's deadline  | fail                                         |
//! | `paused`          | who paused it         | resume, or cancel                            |
//! | `failed`          | its creator           | rollback; `retry` and `skip_failed` when allowed |
//! | terminal          | –                     |                                              |
//!
//! A published plan has no deadline of its own: it may wait for a maintenance window. The stuck scan
//! names it, and its creator, for as long as it waits.
//!
//! # Invariants
//!
//! * **X1** Every state that can be reached and is not terminal has a row, and its act is accepted there.
//! * **X2** By these acts alone every plan reaches a terminal phase.

use crate::{
    phase::Phase,
    stage::{Act, Life},
};

/// What a stage gets when its plan names no deadline, beyond what its gates wait for anyway.
pub const DEADLINE_SECONDS_DEFAULT: u32 = 24 * 3600;
/// Longest deadline of a stage.
pub const DEADLINE_SECONDS_MAX: u32 = 90 * 24 * 3600;

/// What ends a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Time alone: [`Act::Fail`] when the deadline of the stage passes.
    Deadline,
    /// Whoever created the plan.
    Creator(Act),
    /// Whoever brought it to this phase.
    Holder(Act),
}

impl Escape {
    /// The act that leaves the state.
    pub const fn act(self) -> Act {
        match self {
            Self::Deadline => Act::Fail,
            Self::Creator(act) | Self::Holder(act) => act,
        }
    }
}

/// Picks the row of the table; `None` when the phase is terminal.
pub const fn escape(phase: Phase) -> Option<Escape> {
    match phase {
        Phase::Draft => Some(Escape::Creator(Act::Publish)),
        Phase::Published => Some(Escape::Creator(Act::Retry)),
        Phase::Active => Some(Escape::Deadline),
        Phase::Paused(_) => Some(Escape::Holder(Act::Resume)),
        Phase::Failed => Some(Escape::Creator(Act::Rollback)),
        Phase::Completed | Phase::Cancelled | Phase::RolledBack => None,
    }
}

/// Every state that can be reached with this many stages, in the order of a breadth-first search.
pub fn reachable(stages: usize) -> Vec<Life> {
    let mut seen = vec![Life::begin(Phase::Draft, stages), Life::begin(Phase::Published, stages)];
    let mut known: std::collections::HashSet<Life> = seen.iter().cloned().collect();
    let mut next = 0;
    while let Some(life) = seen.get(next).cloned() {
        next += 1;
        for act in Act::ALL {
            if let Ok(after) = life.apply(act)
                && known.insert(after.clone())
            {
                seen.push(after);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phase::Command;

    const STAGES: usize = 4;

    /// S1, S2, X1: the whole machine, not a sample of it.
    #[test]
    fn no_reachable_state_lacks_an_exit_that_needs_only_a_deadline_or_a_person() {
        for stages in 1..=STAGES {
            let states = reachable(stages);
            for life in &states {
                assert!(life.is_sound(), "{life:?}");
                let after = escape(life.phase).map(|it| life.apply(it.act()).unwrap());
                assert_ne!(after.as_ref(), Some(life), "the exit leads nowhere");
                let stays = Act::ALL.iter().all(|it| life.apply(*it).is_err());
                assert_eq!(after.is_none(), stays, "{life:?}");
            }
            // Each phase is reached, so the search is not empty for a silly reason.
            for phase in Phase::ALL {
                assert!(states.iter().any(|it| it.phase == phase), "{phase:?}");
            }
        }
    }

    /// X2.
    #[test]
    fn deadlines_and_people_alone_end_every_plan() {
        for mut life in reachable(STAGES) {
            let mut steps = 0;
            while let Some(escape) = escape(life.phase) {
                life = life.apply(escape.act()).unwrap();
                steps += 1;
                assert!(steps <= 5, "{life:?}");
            }
            assert!(life.phase.is_terminal());
        }
    }

    #[test]
    fn the_table_has_a_row_exactly_for_what_can_be_left() {
        for phase in Phase::ALL {
            assert_eq!(escape(phase).is_none(), phase.is_terminal());
            assert_eq!(escape(phase).is_some(), phase.apply(Command::Cancel).is_ok());
        }
    }

    #[test]
    fn a_record_that_points_nowhere_is_refused_and_never_followed() {
        let mut life = Life::begin(Phase::Active, 1);
        life.current = 7;
        assert!(!life.is_sound());
        for act in Act::ALL {
            assert_eq!(life.apply(act).unwrap_err().code(), "PLAN_BROKEN");
        }
    }
}
