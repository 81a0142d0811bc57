//! The databases of the control plane: whose they are, what they are called, and the steps that make them.
//!
//! `application_id` marks a file as ours and `user_version` counts the steps it has taken.
//!
//! | layout       | application id | file              | floor               |
//! |--------------|----------------|-------------------|---------------------|
//! | [`EVENTS`]   | `AOps`         | `orchestrator.db` | `orchestrator.used` |
//! | [`ROLLOUTS`] | `ARol`         | `rollouts.db`     | `rollouts.used`     |

mod events;
mod rollouts;

pub use events::EVENTS_PER_BLOCK;

/// Lock of the one process that serves the databases of a directory.
pub const LOCK: &str = "orchestrator.lock";

/// A kind of database that is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What it holds, in a word.
    pub name: &'static str,
    /// Its file in the data directory.
    pub file: &'static str,
    /// The file beside it that says how far it went.
    pub floor: &'static str,
    /// What `SQLite` keeps as `application_id`.
    pub application_id: i32,
    /// Each step brings a file from version `index` to `index + 1`.
    pub steps: &'static [&'static str],
}

/// Events.
pub const EVENTS: Layout = Layout {
    name: "events",
    file: "orchestrator.db",
    floor: "orchestrator.used",
    application_id: events::APPLICATION_ID,
    steps: events::STEPS,
};

/// Rollouts, releases and nodes.
pub const ROLLOUTS: Layout = Layout {
    name: "rollouts",
    file: "rollouts.db",
    floor: "rollouts.used",
    application_id: rollouts::APPLICATION_ID,
    steps: rollouts::STEPS,
};

/// Every layout.
pub const OURS: [&Layout; 2] = [&EVENTS, &ROLLOUTS];

impl Layout {
    /// The version of a current file.
    pub fn latest(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// The layout with this `application_id`.
    pub fn of(application_id: i32) -> Option<&'static Self> {
        OURS.into_iter().find(|it| it.application_id == application_id)
    }
}
