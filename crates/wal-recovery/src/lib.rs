//! Opening a write-ahead log safely, appending to it durably, and reading it without a lock.
//!
//! | module      | what it does                                                              |
//! |-------------|---------------------------------------------------------------------------|
//! | `codes`     | every stable code of this crate                                             |
//! | `violation` | why a log cannot be trusted                                                 |
//! | `payloads`  | payloads by their places, for whoever knows them from a reader              |
//! | `plan`      | the boot table: what to do with a directory                                 |
//! | `frames`    | frames of a file, one after the other, in constant memory                   |
//! | `scan`      | the rules R1–R3, JSON and chain over those frames, on all cores             |
//! | `survey`    | looks at a directory and changes nothing                                    |
//! | `recover`   | lock, survey, repair: the only way to a [`Log`]                             |
//! | `marker`    | what a recovery has to say to whoever reads logs                            |
//! | `submission`| what a caller brings, and what it gets                                      |
//! | `writer`    | one group of entries to the disk, in the right order                        |
//! | `growth`    | zeros ahead of the frames                                                   |
//! | `log`       | many callers, one group at a time                                           |
//! | `reader`    | committed entries, while somebody else writes, also as they come            |
//! | `verify`    | reads every byte and says what was done to a log                          |
//! | `remains`   | what can be read of a log that is refused                                 |
//! | `state`     | the small files beside the log                                              |
//! | `mutants`   | protections that a test can take away                                       |
//! | `archive`   | what is delivered goes to the archive, packed and checked                   |
//! | `repair`    | a damaged log is put aside whole, and a new one is linked to it             |
//! | `seal`      | signed statements about how far a log goes                                  |
//! | `switch`    | the live log is replaced by a new one that is linked to it                  |
//! | `steps`     | the step log of a mandate: opened, repaired, appended to, recovered           |

pub mod archive;
pub mod codes;
mod frames;
mod growth;
mod log;
mod marker;
mod mutants;
mod payloads;
mod plan;
mod reader;
mod recover;
mod remains;
pub mod repair;
mod scan;
pub mod seal;
mod state;
pub mod steps;
mod submission;
mod survey;
mod switch;
mod verify;
mod violation;
mod writer;

pub use archive::{RollOver, RollOverError, RolledOver};
pub use log::{Limits, Log, LogStatus};
pub use marker::Marker;
pub use payloads::Payloads;
pub use plan::{Decision, Found, Overrides, decide};
pub use reader::{Item, ReadError, Reader, Refreshed};
pub use recover::{Opening, RecoverError, Recovered, Report, examine, recover};
pub use remains::{Remains, remains};
pub use scan::{Identity, Scanned, Tail};
pub use submission::{Receipt, Submission};
pub use survey::{Survey, SurveyError, survey};
pub use verify::{Damage, DamageCause, DamageKind, SealPoint, Verified, VerifyError, verify};
pub use violation::Violation;
pub use writer::{AppendError, Durability, Writer};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
