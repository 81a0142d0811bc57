//! The step log of a mandate: what was decided, how far it came, and what a crash left open.
//!
//! Recovery executes nothing. It makes steps that were interrupted eligible again, and [`verify`](fn@verify)(fn@verify)
//! says whether one may run, is already done, or needs a human.
//!
//! | module    | what it does                                                            |
//! |-----------|-------------------------------------------------------------------------|
//! | `state`   | plans and steps as the lines of a file leave them                       |
//! | `machine` | which status follows which: one table                                   |
//! | `fold`    | lines to plans, and every line that is none                             |
//! | `admit`   | what may be written next                                                |
//! | `open`    | locks, reads, repairs: the only way to a [`StepLog`]                    |
//! | `append`  | one record to the disk, in the right order                              |
//! | `log`     | what threads share of it                                                |
//! | `verify`  | may a step run (again)? Six rules, the first that fits wins             |
//! | `recover` | resets what was executing, file by file                                 |
//! | `event`   | what a recovery has to say, as values                                   |
//! | `archive` | packs a finished log, reads it back, removes it                         |
//! | `codes`   | every stable code of these modules                                      |
//!
//! # Invariants
//!
//! * **S1** What an append has answered is durable: one write, one sync, and after it the name still
//!   named the file.
//! * **S2** After a failed write or sync nothing is appended any more; a sync is never repeated.
//! * **S3** One writer a file, across threads and processes.
//! * **S4** The line behind a torn one is never glued to it: the tail is repaired before the first
//!   append, and what was torn is kept aside.
//! * **S5** A line that does not hold and is not the tail isolates its file: nothing is changed in it.
//!   Skipping such lines is asked for by name.
//! * **S6** One file that fails stops no other, and what was reset before a failure counts.
//! * **S7** Steps in a finalized plan, and steps that wait for a human, are never reset.
//! * **S8** A reset alone allows nothing: the step was reached, so the world has to prove that it may
//!   run, or a human has to.
//! * **S9** A step without a committed plan never begins.
//! * **S10** A log is there as it was or as an archive that was read back, at every moment.

mod admit;
mod append;
mod archive;
pub mod codes;
mod event;
mod fold;
mod log;
mod machine;
mod open;
mod recover;
mod state;
mod verify;

pub use admit::{Place, Refusal, Written};
pub use append::StepAppendError;
pub use archive::{ArchiveStepsError, Unfinalized, archive};
pub use event::{RecoveryEvent, SOURCE, Severity};
pub use fold::{CORRUPT_LINES_MAX, CorruptCause, CorruptLine, Counts, Folded, ORPHAN_REASON, fold};
pub use log::{Completion, StepLog};
pub use machine::{StepEvent, next_status};
pub use open::{
    DamagePolicy, FILE_LEN_MAX, OpenedSteps, StepOpenError, StepOpening, TornTail, read,
};
pub use recover::{
    FailedFile, FileError, FileReport, RecoveryReport, recover_file, recover_from_wal,
};
pub use state::{PlanState, Plans, StepKey, StepState};
pub use verify::{Reason, Verdict, VerdictKind, World, verify};
