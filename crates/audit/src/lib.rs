//! Who did what: a tamper-evident trail in one directory, appended to by several processes.
//!
//! | module      | what it holds                                                              |
//! |-------------|----------------------------------------------------------------------------|
//! | [`words`]   | categories, outcomes, sources                                              |
//! | `hash`      | the chain: each record names a hash over itself and everything before it   |
//! | [`record`]  | what is put on record, its bounds, and the line that it becomes            |
//! | [`own`]     | the records that the trail writes about itself                             |
//! | `chain`     | whether a line continues the chain                                         |
//! | `names`     | the files of the directory                                                 |
//! | `head`      | the small file that says how far the trail goes                            |
//! | `lines`     | lines of a file, forwards and backwards, in bounded memory                 |
//! | `tail`      | what stands behind a known record: whole, torn, or damaged                 |
//! | `place`     | the end of the open segment as a process knows it                          |
//! | `attach`    | from what the head says to the real end                                    |
//! | [`trail`]   | opening, appending                                                         |
//! | `rotate`    | full segments are sealed                                                   |
//! | [`prune`]   | old segments are removed, and that stays on record                         |
//! | `survey`    | which files there are, while others write                                  |
//! | [`mod@verify`] | reads every byte and names the first bad record                            |
//! | [`mod@query`] | records that match, newest or all, without a lock                          |
//! | [`export`]  | JSON and CSV                                                               |
//! | [`error`]   | one error for each operation, and the stable codes                         |

mod attach;
mod chain;
pub mod error;
pub mod export;
mod hash;
mod head;
mod lines;
mod names;
pub mod own;
mod place;
pub mod prune;
pub mod query;
pub mod record;
mod rotate;
mod survey;
mod tail;
pub mod trail;
pub mod verify;
pub mod words;

pub use error::{AppendError, Damage, ExportError, Kind, OpenError, PruneError, QueryError};
pub use hash::Hash;
pub use names::{HEAD, LOCK, OPEN};
pub use prune::Pruned;
pub use query::{Filter, Newest, Records, newest, query, records, since};
pub use record::{NewRecord, Record, RecordError};
pub use trail::{Receipt, Settings, Trail};
pub use verify::{Verdict, Verified, verify};
pub use words::{Category, Outcome, Source, UnknownWord};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
