//! Drives a drain: reads the log, sends requests, writes files, waits. Decides nothing.
//!
//! | module       | what it does                                                             |
//! |--------------|--------------------------------------------------------------------------|
//! | `settings`   | how a collector is reached: what is asked for, and `OTEL_*` variables      |
//! | `collector`  | one request to it, and what came of it                                     |
//! | `files`      | the files in which the progress is kept                                    |
//! | `consumer`   | the lock, the backlog, one pass after another                              |
//! | `pace`       | when the next pass begins                                                  |
//! | `background` | a consumer inside the runtime                                              |

mod background;
mod collector;
mod consumer;
mod files;
mod pace;
mod settings;

pub(crate) use background::{Exporter, Exporting};
pub use collector::{Collector, CollectorError, Compression, Endpoint};
pub use consumer::{Consumer, DrainError, DrainOptions, drain_once};
pub use files::{ProgressReadError, load_progress};
pub use pace::Pace;
pub use settings::{Asked, CollectorSettings, SettingsError, TIMEOUT_DEFAULT};
