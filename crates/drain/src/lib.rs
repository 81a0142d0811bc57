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
//! | `delivery`   | one batch on its way: sent, judged, cut in halves, sent again       |
//! | `deadletter` | a line of the file `telemetry.deadletter.jsonl`                     |
//! | `letters`    | what its lines say together: which letters are open                 |
//! | `machine`    | the state machine: [`Drain`]                                        |
//! | `redelivery` | the state machine that sends dead letters again: [`Redelivery`]     |
//! | `prepare`    | payloads as a request, on any thread: [`Preparer`]                   |
//! | `port`       | inputs, effects, and settings                                       |
//! | `texts`      | what an operator reads                                              |
//!
//! Whoever drives a machine reads the log, speaks HTTP, writes files and waits, as the effects
//! say, and decides nothing.

mod answer;
mod backoff;
mod batch;
mod class;
mod cursors;
mod deadletter;
mod delivery;
mod encode;
mod lane;
mod letters;
mod machine;
mod port;
mod prepare;
mod progress;
mod queue;
mod redelivery;
mod texts;

pub use answer::{ANSWER_BYTES_MAX, Answer, Silence};
pub use backoff::Backoff;
pub use class::{Class, PerClass};
pub use deadletter::{DeadLetter, Line, LineError};
pub use delivery::Source;
pub use encode::{record, resource};
pub use letters::{Counts, Letters, OpenLetter, Place};
pub use machine::Drain;
pub use port::{
    BATCH_BYTES_DEFAULT, BATCH_ENTRIES_DEFAULT, Config, Effect, IndexError, Input, MAX_AGE_DEFAULT,
    RETRIES_DEFAULT, Request, Step, Terms,
};
pub use prepare::{Prepared, Preparer};
pub use progress::{Progress, ProgressError};
pub use queue::EntryRef;
pub use redelivery::{Redelivery, RedeliveryEffect, RedeliveryStep};
pub use texts::{Failure, Notice, RedeliveryReport, Report, RetryNotice};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
