//! Rollout plans and their life: what is asked for, what may happen next, and where it is kept.
//!
//! | module         | what it holds                                                              |
//! |----------------|----------------------------------------------------------------------------|
//! | [`name`]       | checked texts: ids, actors, reasons                                        |
//! | [`moment`]     | time as an argument                                                        |
//! | [`plan`]       | requests, plans, their digest, warnings about artifacts                    |
//! | [`phase`]      | the table of phases                                                        |
//! | [`stage`]      | the table of stages, and of a plan with its stages                         |
//! | [`deadline`]   | who or what ends each state, and the search that proves it                 |
//! | [`cohort`]     | which nodes a share of the fleet is                                        |
//! | [`evidence`]   | what nodes reported                                                        |
//! | [`gate`]       | pass, fail, inconclusive                                                   |
//! | [`rollout`]    | a plan with its life: the record of a store                                |
//! | [`promote`]    | the planner and its steps                                                  |
//! | [`strategy`]   | how an operator recovers a plan                                            |
//! | [`stuck`]      | which plans do not go on                                                   |
//! | [`mod@explain`] | why, whose turn it is, and the command to copy                            |
//! | [`release`], [`node`] | what nodes are to run, and when they were heard of                  |
//! | [`idempotency`] | what a repeated request means                                             |
//! | [`store`]      | the port, the engine behind it, one pass of the promoter                   |
//! | [`memory`]     | the backend in memory                                                      |
//! | `sqlite`       | the backend on one file (feature `sqlite`)                                 |
//! | `database`     | layouts; backup, migration, restore of files (feature `sqlite`)            |

pub mod cohort;
#[cfg(feature = "sqlite")]
pub mod database;
pub mod deadline;
pub mod evidence;
pub mod explain;
pub mod gate;
pub mod idempotency;
pub mod memory;
pub mod moment;
pub mod name;
pub mod node;
pub mod phase;
pub mod plan;
pub mod promote;
pub mod release;
pub mod rollout;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod stage;
pub mod store;
pub mod strategy;
pub mod stuck;

pub use evidence::{Evidence, Progress};
pub use gate::{GateReport, Outcome, Verdict};
pub use idempotency::Idempotency;
pub use memory::MemoryStore;
pub use moment::Moment;
pub use name::{Actor, Channel, GateId, NameError, NodeId, PlanId, Reason, ReleaseId, StageId};
pub use phase::{Command, Phase, PhaseRefused};
pub use plan::{Plan, PlanDigest, PlanError, PlanRequest, Strictness, Warning};
pub use promote::{PlannedStep, Poison, Step};
pub use rollout::Rollout;
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteReader, SqliteStore};
pub use stage::{Act, ActRefused, Life, StagePhase};
pub use store::{
    Applied, ApplyError, Cursor, Epoch, GateRuling, ListQuery, Order, Page, ReadError, Request,
    RolloutReader, RolloutStore, Verb, Write, WriteError, Written, promote_once,
};
pub use strategy::Strategy;
pub use stuck::{StuckList, StuckPlan};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
