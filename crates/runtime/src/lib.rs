//! The enforcement process: decide, record, run the tool, record, answer.
//!
//! | module        | what it does                                                              |
//! |---------------|---------------------------------------------------------------------------|
//! | `config`      | everything a runtime is started with                                        |
//! | `start`       | from a configuration to a serving process, and its clean end                |
//! | `server`      | HTTP in, HTTP out                                                           |
//! | `visitors`    | who may ask: programs, and no web page                                      |
//! | `shape`       | what a request body may look like, before it becomes values                 |
//! | `interceptor` | one call, in the one right order                                            |
//! | `records`     | what is written about a call                                                |
//! | `refusals`    | calls that were turned away unseen, as counts                               |
//! | `journal`     | the log, for async callers                                                  |
//! | `intents`     | calls that were allowed and never heard of again                            |
//! | `on_record`   | what the log says about one call                                            |
//! | `policies`    | the evaluator in force, and its replacement                                 |
//! | `quarantine`  | a runtime without a log: up, and denying                                    |
//! | `rollover`    | a log that is long and delivered goes to the archive                        |
//! | `tools`       | what an allowed call does                                                   |
//! | `exporter`    | drives a drain: log, HTTP, files; by hand or in the background              |
//! | `releases`    | asks the control plane what to run, and says what came of it                |
//! | `metrics`     | the state as OpenMetrics text                                               |
//! | `measures`    | what is counted and timed about calls                                       |
//! | `allow_list`  | which endpoints a tool may reach                                            |
//! | `trace`       | W3C trace context of a request                                              |

mod allow_list;
mod config;
mod exporter;
mod intents;
mod interceptor;
mod journal;
mod measures;
mod metrics;
mod on_record;
mod policies;
mod quarantine;
mod records;
mod refusals;
mod releases;
mod rollover;
mod server;
mod shape;
mod start;
mod tools;
mod trace;
mod visitors;

pub use allow_list::{AllowList, AllowListError, Reach};
pub use config::{Config, Limits, PolicyFrom};
pub use exporter::{
    Asked, Collector, CollectorError, CollectorSettings, Compression, Consumer, DeadLetters,
    DrainError, DrainLockError, DrainOptions, Endpoint, Flaw, LOCK_WAIT, LetterFileError, Listed,
    Pace, ProgressReadError, PurgeError, PurgeOptions, PurgeReport, RetryError, RetryOptions,
    RetryReport, Said, Selection, SettingsError, TIMEOUT_DEFAULT, drain_once, load_progress,
    purge_dead_letters, retry_dead_letters,
};
pub use intents::{CALLS_OPEN, OpenCallsOfDamaged, OpenIntent, open_intents};
pub use interceptor::CallCode;
pub use policies::{ReloadError, version};
pub use quarantine::Quarantine;
pub use releases::{
    ACTIVE_LOCK_LEN_MAX, ACTIVE_LOCK_SCHEMA, ActivationError, ActiveLock, ActiveLockError,
    Candidate, CarryError, ControlPlaneError, FloorError, Recorded, ReleaseSource, ReleaseTrust,
    Remembered, UsedPermit, carry_floor, check_release, load, record_by_hand, release_turn,
    remembered,
};
pub use shape::parse as parse_call;
pub use start::{Recorder, Reloader, Runtime, StartError};
pub use tools::{
    Echo, HttpGet, Lookup, LookupFuture, Shell, ShellLimits, Tool, ToolCall, ToolError,
    ToolErrorCode, ToolFuture, Tools,
};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
