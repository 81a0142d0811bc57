//! Runs a plan of steps through a runtime: each effect at most once, none silently dropped.
//!
//! | module      | what it holds                                                          |
//! |-------------|------------------------------------------------------------------------|
//! | `plan`      | the plan file: strict, bounded, in the order in which its steps run      |
//! | `cycle`     | what to do next, as a table without I/O                                |
//! | `world`     | what a file proves about a step                                        |
//! | `place`     | one daemon a directory: the lock that names its holder                 |
//! | `heartbeat` | what a daemon is doing, for whoever asks                               |
//! | `port`      | what a cycle needs of a runtime                                        |
//! | `run`       | the shell: lock, recovery, steps, in this order                        |
//! | `said`      | what a recovery has to say, as lines of the log of the process         |
//! | `codes`     | every stable code of this crate                                        |
//!
//! The step log itself is `wal_recovery::steps`; this crate is its user.
//!
//! # Invariants
//!
//! * **D1** A call is made after the record that its step begins is durable; when that record fails, no
//!   call is made and nothing more is.
//! * **D2** A step keeps the key under which its effect happens at most once, whatever happens.
//! * **D3** A step that began before is judged only when no call from before this process can still be
//!   running, and begins again only when the world, its declaration or a human allows it.
//! * **D4** Recovery comes after the lock and before the first step.
//! * **D5** A call whose answer is lost is neither repeated nor taken for failed: its step stays as it is.

pub mod codes;
mod cycle;
mod heartbeat;
mod place;
mod plan;
mod port;
mod run;
mod said;
mod world;

pub use cycle::{Action, Do, Front, decide, front};
pub use heartbeat::{HEARTBEAT_LEN_MAX, Heartbeat, heartbeat_path};
pub use place::{PidLock, PlaceError, Seat, is_taken, pid_path};
pub use plan::{
    Confirm, Mandate, NAME_LEN_MAX, PLAN_LEN_MAX, PLAN_VERSION, Plan, PlanFileError,
    STEP_ID_LEN_MAX, Step,
};
pub use port::{Call, Called, Tools, Unreachable};
pub use run::{Ended, Ran, RunError, Runner, archived_note, log_path};
pub use said::say;
pub use world::{ABSENT, Seen, WATCHED_LEN_MAX, look};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
