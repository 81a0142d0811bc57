//! What an operator reads. These lines are interfaces; tests pin them.

use std::{fmt, time::Duration};

use serde::Serialize;
use thiserror::Error;
use wal_format::{Seq, WalId};

use crate::{PerClass, ProgressError};

/// Something worth a line while a drain runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The cursors found are of another log and do not count.
    CursorsOfOtherLog {
        /// The log they are of.
        found: WalId,
    },
    /// What waits.
    Queue {
        /// By class.
        events: PerClass<u64>,
    },
    /// Which dead letters wait.
    Letters {
        /// Those that can be sent.
        open: u64,
        /// Those that cannot: their payload is not in the file and was not found elsewhere.
        without_payload: u64,
    },
    /// A dead letter cannot be sent.
    WithoutPayload {
        /// Its event.
        event_id: String,
        /// Why its payload was not found.
        why: String,
    },
    /// A batch, or a part of it, is sent.
    Sending {
        /// Number of the batch.
        batch: u64,
        /// Events in this request.
        events: usize,
    },
    /// A batch is settled.
    Accepted {
        /// Number of the batch.
        batch: u64,
        /// Events accepted.
        events: u64,
        /// Events refused for good.
        refused: u64,
    },
    /// An attempt failed and there will be another.
    Retrying {
        /// Number of the batch.
        batch: u64,
        /// What went wrong.
        text: String,
        /// Number of the next attempt.
        attempt: u32,
        /// Attempts there will be at most.
        attempts_max: u32,
        /// Time until then.
        delay: Duration,
    },
    /// An attempt failed for good.
    Error {
        /// What went wrong.
        text: String,
    },
    /// The collector accepted everything and has something to say.
    Warning {
        /// What it says.
        text: String,
    },
    /// A batch is sent in halves to find what the collector refuses.
    Splitting {
        /// Number of the batch.
        batch: u64,
        /// Events in the request that was refused.
        events: usize,
        /// Why, in the words of the collector.
        text: String,
    },
    /// An event is refused for good and kept.
    DeadLetter {
        /// Its stable id.
        event_id: String,
        /// Why, in the words of the collector.
        text: String,
    },
}

/// The line of a drain.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[drain] ")?;
        self.write_text(f)
    }
}

/// The line of a retry of dead letters.
#[derive(Clone, Copy, Debug)]
pub struct RetryNotice<'a>(pub &'a Notice);

impl fmt::Display for RetryNotice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[retry] ")?;
        self.0.write_text(f)
    }
}

impl Notice {
    fn write_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CursorsOfOtherLog { found } => {
                write!(f, "telemetry.cursors belongs to log {found}; only telemetry.pos counts")
            }
            Self::Queue { events } => {
                let PerClass { error, decision, action, lifecycle } = events;
                write!(
                    f,
                    "priority queue: {} events ({error} errors, {decision} decisions, {action} actions, {lifecycle} lifecycle)",
                    events.total()
                )
            }
            Self::Letters { open, without_payload } => {
                let letters = if *open == 1 { "letter" } else { "letters" };
                write!(f, "{open} dead {letters} to send")?;
                match without_payload {
                    0 => Ok(()),
                    without => write!(f, ", {without} without a payload"),
                }
            }
            Self::WithoutPayload { event_id, why } => {
                write!(f, "event {event_id} cannot be sent, its payload is not in the file: {why}")
            }
            Self::Sending { batch, events } => {
                write!(f, "sending batch {batch} ({events} events)...")
            }
            Self::Accepted { batch, events, refused: 0 } => {
                write!(f, "batch {batch} accepted: {events} events")
            }
            Self::Accepted { batch, events, refused } => {
                write!(f, "batch {batch} accepted: {events} events, {refused} refused")
            }
            Self::Retrying { batch, text, attempt, attempts_max, delay } => write!(
                f,
                "batch {batch} failed: {text}; attempt {attempt} of {attempts_max} in {:.1}s",
                delay.as_secs_f64()
            ),
            Self::Error { text } => write!(f, "OTLP error: {text}"),
            Self::Warning { text } => write!(f, "warning of the collector: {text}"),
            Self::Splitting { batch, events, text } => {
                write!(
                    f,
                    "batch {batch}: {events} events not taken as a whole: {text}; sending halves"
                )
            }
            Self::DeadLetter { event_id, text } => {
                write!(f, "event {event_id} refused: {text}; kept in telemetry.deadletter.jsonl")
            }
        }
    }
}

/// The accounts of a drain. `queued = accepted + dead_lettered + pending`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Entries that were not settled when they were indexed.
    pub queued: u64,
    /// Entries that the collector accepted, recorded on disk, by class.
    pub accepted: PerClass<u64>,
    /// Entries that the collector refused for good, recorded on disk.
    pub dead_lettered: u64,
    /// Entries that wait, by class.
    pub pending: PerClass<u64>,
    /// Batches begun.
    pub batches: u64,
    /// Requests sent, with retries and parts.
    pub requests: u64,
    /// Requests sent again after a failure.
    pub retries: u64,
    /// Bytes of all requests, before compression.
    pub bytes: u64,
    /// Answers that carried a warning.
    pub warnings: u64,
    /// Last settled entry of each class.
    pub cursors: PerClass<Option<Seq>>,
    /// Every entry up to this one is settled; 0 when the first is not.
    pub position: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "drain complete: {} events sent", self.accepted.total())?;
        match self.dead_lettered {
            0 => Ok(()),
            refused => write!(f, ", {refused} refused (see telemetry.deadletter.jsonl)"),
        }
    }
}

/// The accounts of a retry. `queued = accepted + refused + pending`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RedeliveryReport {
    /// Dead letters that were to be sent.
    pub queued: u64,
    /// Letters that the collector accepted, recorded on disk.
    pub accepted: u64,
    /// Letters that the collector refused again, recorded on disk.
    pub refused: u64,
    /// Letters that wait.
    pub pending: u64,
    /// Letters that were not queued, since their payload is not in the file.
    pub without_payload: u64,
    /// Batches begun.
    pub batches: u64,
    /// Requests sent, with retries and parts.
    pub requests: u64,
    /// Requests sent again after a failure.
    pub retries: u64,
    /// Bytes of all requests, before compression.
    pub bytes: u64,
    /// Answers that carried a warning.
    pub warnings: u64,
}

impl fmt::Display for RedeliveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "retry complete: {} events sent", self.accepted)?;
        if self.refused > 0 {
            write!(f, ", {} refused again", self.refused)?;
        }
        match self.without_payload {
            0 => Ok(()),
            left => write!(f, ", {left} without a payload"),
        }
    }
}

/// Why a drain or a retry stopped. Everything that is not settled stays where it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// No answer, after all attempts.
    #[error("could not reach endpoint")]
    Unreachable {
        /// What went wrong the last time.
        text: String,
        /// Attempts made.
        attempts: u32,
    },
    /// The collector asked to try again, at every attempt.
    #[error("collector is busy: {text} ({attempts} attempts)")]
    Busy {
        /// The last answer.
        text: String,
        /// Attempts made.
        attempts: u32,
    },
    /// What answers there is no collector.
    #[error("no readable answer from the collector: {text} ({attempts} attempts)")]
    Unreadable {
        /// The last answer.
        text: String,
        /// Attempts made.
        attempts: u32,
    },
    /// The collector refused the request; trying again would not help.
    #[error("collector refused the request: {text}")]
    Refused {
        /// The answer.
        text: String,
    },
    /// One event alone is too large for the collector.
    #[error("event {event_id} of {bytes} bytes is too large for the collector: {text}")]
    TooLarge {
        /// The event.
        event_id: String,
        /// Length of the entry in bytes.
        bytes: u32,
        /// The answer.
        text: String,
    },
    /// The files about the progress cannot be true.
    #[error("{0}")]
    Progress(#[from] ProgressError),
    /// An entry is not where it was indexed: the log was replaced meanwhile.
    #[error("entry {seq} is not where it was: the log changed while it was drained")]
    LogChanged {
        /// The entry.
        seq: Seq,
    },
    /// A dead letter is not where it was indexed: the file was changed meanwhile.
    #[error("dead letter {event_id} is not where it was: the file changed while it was sent")]
    LettersChanged {
        /// The event.
        event_id: String,
    },
    /// The disk under the log or the progress failed.
    #[error("{text}")]
    Local {
        /// What went wrong.
        text: String,
    },
    /// The program that drives the machine gave it an input it did not ask for.
    #[error("input {input} while {state}")]
    Misuse {
        /// What the machine was doing.
        state: &'static str,
        /// What it got.
        input: &'static str,
    },
}

impl Failure {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "UNREACHABLE",
            Self::Busy { .. } => "COLLECTOR_BUSY",
            Self::Unreadable { .. } => "COLLECTOR_UNREADABLE",
            Self::Refused { .. } => "COLLECTOR_REFUSED",
            Self::TooLarge { .. } => "EVENT_TOO_LARGE",
            Self::Progress(error) => error.code(),
            Self::LogChanged { .. } => "LOG_CHANGED",
            Self::LettersChanged { .. } => "LETTERS_CHANGED",
            Self::Local { .. } => "IO",
            Self::Misuse { .. } => "DRAIN_MISUSE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_tutorial_are_pinned() {
        let events = PerClass { error: 0, decision: 5, action: 3, lifecycle: 0 };
        for (notice, want) in [
            (
                Notice::Queue { events },
                "[drain] priority queue: 8 events (0 errors, 5 decisions, 3 actions, 0 lifecycle)",
            ),
            (Notice::Sending { batch: 1, events: 8 }, "[drain] sending batch 1 (8 events)..."),
            (
                Notice::Accepted { batch: 1, events: 8, refused: 0 },
                "[drain] batch 1 accepted: 8 events",
            ),
            (
                Notice::Error { text: "connection refused".to_owned() },
                "[drain] OTLP error: connection refused",
            ),
        ] {
            assert_eq!(notice.to_string(), want);
        }
        let failure = Failure::Unreachable { text: "connection refused".to_owned(), attempts: 4 };
        assert_eq!(failure.to_string(), "could not reach endpoint");
        assert_eq!(report(8, 0).to_string(), "drain complete: 8 events sent");
        assert_eq!(report(0, 0).to_string(), "drain complete: 0 events sent");
        assert_eq!(report(1, 0).to_string(), "drain complete: 1 events sent");
    }

    #[test]
    fn the_other_lines_say_what_happened_with_its_values() {
        let text = || "why".to_owned();
        let delay = Duration::from_millis(1_250);
        for (notice, want) in [
            (
                Notice::Retrying { batch: 2, text: text(), attempt: 3, attempts_max: 4, delay },
                "[drain] batch 2 failed: why; attempt 3 of 4 in 1.2s",
            ),
            (
                Notice::Splitting { batch: 2, events: 8, text: text() },
                "[drain] batch 2: 8 events not taken as a whole: why; sending halves",
            ),
            (
                Notice::DeadLetter { event_id: "n:w:7".to_owned(), text: text() },
                "[drain] event n:w:7 refused: why; kept in telemetry.deadletter.jsonl",
            ),
            (
                Notice::Accepted { batch: 2, events: 7, refused: 1 },
                "[drain] batch 2 accepted: 7 events, 1 refused",
            ),
            (Notice::Warning { text: text() }, "[drain] warning of the collector: why"),
        ] {
            assert_eq!(notice.to_string(), want);
        }
        assert_eq!(
            report(7, 1).to_string(),
            "drain complete: 7 events sent, 1 refused (see telemetry.deadletter.jsonl)"
        );
    }

    fn report(accepted: u64, dead_lettered: u64) -> Report {
        Report {
            queued: accepted + dead_lettered,
            accepted: PerClass { decision: accepted, ..PerClass::default() },
            dead_lettered,
            pending: PerClass::default(),
            batches: 1,
            requests: 1,
            retries: 0,
            bytes: 100,
            warnings: 0,
            cursors: PerClass::default(),
            position: 0,
        }
    }
}
