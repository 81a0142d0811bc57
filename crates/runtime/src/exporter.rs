//! Drives a drain: reads the log, sends requests, writes files, waits. Decides nothing.
//!
//! | module       | what it does                                                             |
//! |--------------|--------------------------------------------------------------------------|
//! | `settings`   | how a collector is reached: what is asked for, and `OTEL_*` variables      |
//! | `ahead`      | the next batch, prepared while one is on its way                         |
//! | `collector`  | one request to it, and what came of it                                     |
//! | `files`      | the files in which the progress is kept                                    |
//! | `consumer`   | the lock, the backlog, one pass after another                              |
//! | `lock`       | one consumer at a time                                                     |
//! | `deadletters`| what was refused for good: listed, sent again, given up                    |
//! | `pace`       | when the next pass begins                                                  |
//! | `background` | a consumer inside the runtime                                              |

mod ahead;
mod background;
mod collector;
mod consumer;
mod deadletters;
mod files;
mod lock;
mod pace;
mod settings;

use consumer::{identity, written};

pub(crate) use background::{Exporter, Exporting};
pub use collector::{Collector, CollectorError, Compression, Endpoint};
pub use consumer::{Consumer, DrainError, DrainOptions, drain_once};
pub use deadletters::{
    DeadLetters, Flaw, LetterFileError, Listed, PurgeError, PurgeOptions, PurgeReport, RetryError,
    RetryOptions, RetryReport, Said, Selection, purge_dead_letters, retry_dead_letters,
};
pub use files::{ProgressReadError, load_progress};
pub use lock::{DrainLockError, LOCK_WAIT};
pub use pace::Pace;
pub use settings::{Asked, CollectorSettings, SettingsError, TIMEOUT_DEFAULT};
