//! The step log: what a mandate decided to do, and how far it came, one JSON object a line.
//!
//! A *mandate* is one unit of autonomous work and has one file. A *plan* is what one cycle of it
//! decided: steps in order, with hashes. A plan is durable before its first step begins.
//!
//! | module   | what it defines                                                             |
//! |----------|-----------------------------------------------------------------------------|
//! | `record` | what a line says: `plan_commit`, `append`, `transition`, `plan_finalize`      |
//! | `plan`   | the steps of a plan, their bounds and their hash                            |
//! | `line`   | one record to one line and back                                             |
//! | `tail`   | where the lines of a file end, and what a crash has left behind them        |
//! | `hash`   | one hash for equal JSON values, whatever is volatile left out                |
//! | `ids`    | ids of plans, mandates and steps that are derived and not drawn             |
//! | `phase`  | the five steps of a cycle, and the nodes of a graph of tasks                |
//! | `file`   | names of the files, and which of them a recovery looks at                   |
//!
//! # Invariants
//!
//! * **G1** `ts` is the last key of every line, and a line ends with the only line feed in it.
//! * **G2** Keys that are not known are ignored; a line with an unknown `op` is told as such, and is
//!   no damage.
//! * **G3** No strict prefix of a line is a whole line: a torn one is never taken for a record.
//! * **G4** Values that differ only in volatile keys or in the order of their keys have one hash; a
//!   value with a float has none.

mod file;
mod hash;
mod ids;
mod line;
mod phase;
mod plan;
mod record;
mod tail;

pub use file::{
    ARCHIVE_SUFFIX, LOCK_SUFFIX, MANDATE_ID_LEN_MAX, NameError, WAL_GLOB, file_name, is_step_file,
    mandate_of, torn_suffix,
};
pub use hash::{HashError, VOLATILE_KEYS, canonicalize, sha256, sha256_json, sha256_text};
pub use ids::{mandate_id, plan_id, plan_id_drawn};
pub use line::{LINE_LEN_MAX, LineError, Said, StepLine, VERSION, encode_line};
pub use phase::{Node, Phase, cycle_plan};
pub use plan::{Effect, ID_LEN_MAX, PlanCommit, PlanError, PlannedStep, STEPS_MAX, plan_hash};
pub use record::{
    Append, Change, FinalizeStatus, PlanFinalize, StepRecord, StepStatus, TEXT_CHARS_MAX,
    Transition, cut_text,
};
pub use tail::{Tail, split_tail};
