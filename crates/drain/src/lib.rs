//! Delivery of log entries to a collector: order, batches, cursors, outcomes. No I/O, no clock.
//!
//! | module       | what it defines                                                     |
//! |--------------|---------------------------------------------------------------------|
//! | `class`      | the four priorities                                                 |
//! | `queue`      | the backlog, and which entry goes next                              |
//! | `lane`       | one class of it, a few bytes an entry                               |
//! | `progress`   | how far delivery has come, and whether the files can be true        |
//! | `cursors`    | the file `telemetry.cursors`                                        |
//! | `encode`     | entries as OTLP records                                             |
//! | `batch`      | the batch in flight and its parts                                   |
//! | `answer`     | what the answer of a collector means                                |
//! | `backoff`    | how long to wait before the next attempt                            |
//! | `deadletter` | the file `telemetry.deadletter.jsonl`                               |
//! | `machine`    | the state machine: [`Drain`]                                        |
//! | `port`       | its inputs and effects                                              |
//! | `texts`      | what an operator reads                                              |
//!
//! Whoever drives the machine reads the log, speaks HTTP, writes files and waits, as the effects
//! say, and decides nothing.

mod answer;
mod backoff;
mod batch;
mod class;
mod cursors;
mod deadletter;
mod encode;
mod lane;
mod machine;
mod port;
mod progress;
mod queue;
mod texts;

pub use answer::{ANSWER_BYTES_MAX, Answer, Silence};
pub use backoff::Backoff;
pub use class::{Class, PerClass};
pub use deadletter::DeadLetter;
pub use encode::{record, resource};
pub use machine::Drain;
pub use port::{
    BATCH_BYTES_DEFAULT, BATCH_ENTRIES_DEFAULT, Config, Effect, IndexError, Input, MAX_AGE_DEFAULT,
    RETRIES_DEFAULT, Request, Step,
};
pub use progress::{Progress, ProgressError};
pub use queue::EntryRef;
pub use texts::{Failure, Notice, Report};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
