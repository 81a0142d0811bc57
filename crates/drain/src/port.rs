//! What goes into the machine and what comes out of it.

use std::{num::NonZeroUsize, time::Duration};

use bytes::Bytes;
use otlp::Encoding;
use thiserror::Error;
use wal_format::{Seq, WalId};

use crate::{Answer, Backoff, EntryRef, Failure, Notice, Prepared, Report, Silence};

/// Entries in a batch when nothing else is asked for.
pub const BATCH_ENTRIES_DEFAULT: NonZeroUsize = NonZeroUsize::new(512).unwrap();
/// Bytes of payload in a batch when nothing else is asked for. Collectors take requests of 20 MiB
/// by default; a record is at most some hundred bytes larger than its payload.
pub const BATCH_BYTES_DEFAULT: u64 = 4 << 20;
/// Attempts after the first when nothing else is asked for.
pub const RETRIES_DEFAULT: u32 = 3;
/// Age beyond which an entry goes first when nothing else is asked for.
pub const MAX_AGE_DEFAULT: Duration = Duration::from_hours(1);

/// What a drain is about and how it goes about it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node that wrote the log; part of every event id.
    pub node: String,
    /// The log.
    pub wal_id: WalId,
    /// Encoding of the requests.
    pub encoding: Encoding,
    /// Most entries in a batch.
    pub batch_entries_max: NonZeroUsize,
    /// Most bytes of payload in a batch; a single entry may be larger.
    pub batch_bytes_max: u64,
    /// Attempts after the first before a drain gives up.
    pub retries_max: u32,
    /// How long to wait between attempts.
    pub backoff: Backoff,
    /// An entry older than this goes first; `None` sends by class alone.
    pub max_age: Option<Duration>,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Config {
    /// Returns the settings that the command uses when nothing else is asked for.
    pub const fn standard(node: String, wal_id: WalId, seed: u64) -> Self {
        let terms = Terms::standard(seed);
        Self {
            node,
            wal_id,
            encoding: terms.encoding,
            batch_entries_max: terms.batch_entries_max,
            batch_bytes_max: terms.batch_bytes_max,
            retries_max: terms.retries_max,
            backoff: terms.backoff,
            max_age: Some(MAX_AGE_DEFAULT),
            seed,
        }
    }

    /// Returns how the requests of this drain are made.
    pub(crate) const fn terms(&self) -> Terms {
        Terms {
            encoding: self.encoding,
            batch_entries_max: self.batch_entries_max,
            batch_bytes_max: self.batch_bytes_max,
            retries_max: self.retries_max,
            backoff: self.backoff,
            seed: self.seed,
        }
    }
}

/// How requests are made, whatever is in them.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Encoding of the requests.
    pub encoding: Encoding,
    /// Most entries in a batch.
    pub batch_entries_max: NonZeroUsize,
    /// Most bytes of payload in a batch; a single entry may be larger.
    pub batch_bytes_max: u64,
    /// Attempts after the first before it is given up.
    pub retries_max: u32,
    /// How long to wait between attempts.
    pub backoff: Backoff,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Terms {
    /// Returns the terms that the commands use when nothing else is asked for.
    pub const fn standard(seed: u64) -> Self {
        Self {
            encoding: Encoding::Protobuf,
            batch_entries_max: BATCH_ENTRIES_DEFAULT,
            batch_bytes_max: BATCH_BYTES_DEFAULT,
            retries_max: RETRIES_DEFAULT,
            backoff: Backoff::STANDARD,
            seed,
        }
    }
}

/// What happened outside: one answer to each [`Effect`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Every entry that the log holds now was given to [`Drain::index`](crate::Drain::index), or
    /// every line to [`Letters::add`](crate::Letters::add). Begins a pass.
    Indexed,
    /// The payloads or lines that were asked for, in that order.
    Read(Vec<Vec<u8>>),
    /// The payloads that were asked for, prepared before they were
    /// ([`Drain::ahead`](crate::Drain::ahead)).
    Prepared(Box<Prepared>),
    /// The collector answered.
    Answered(Answer),
    /// The collector did not answer.
    Unanswered(Silence),
    /// The file is written, durably.
    Written,
    /// The time is over.
    Waited,
    /// Reading the log, preparing a request or writing a file failed. The text says which and how.
    Failed(String),
}

/// What is to be done outside before the next [`Input`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read these payloads → [`Input::Read`], [`Input::Prepared`] or [`Input::Failed`].
    Read(Vec<EntryRef>),
    /// Send this request → [`Input::Answered`] or [`Input::Unanswered`]; [`Input::Failed`] when it
    /// could not even be prepared.
    Send(Request),
    /// Append these lines to `telemetry.deadletter.jsonl`, durably → [`Input::Written`] or
    /// [`Input::Failed`]. A file that does not end with a line feed was torn by a crash and gets
    /// one first.
    AppendDeadLetters(Vec<u8>),
    /// Replace `telemetry.cursors` with this → [`Input::Written`] or [`Input::Failed`].
    WriteCursors(Vec<u8>),
    /// Replace `telemetry.pos` with this → [`Input::Written`] or [`Input::Failed`].
    WritePosition([u8; 8]),
    /// Wait → [`Input::Waited`].
    Wait(Duration),
    /// The pass is over: nothing waits. [`Input::Indexed`] begins another.
    Finished(Report),
    /// The pass is over: it stopped. [`Input::Indexed`] goes on with what waits.
    Failed(Failure, Report),
}

/// A request to `POST /v1/logs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The body, not compressed.
    pub body: Bytes,
    /// Its encoding, for the header `Content-Type`.
    pub encoding: Encoding,
    /// Number of the batch.
    pub batch: u64,
    /// Records in the body.
    pub records: usize,
}

/// One step of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What to tell the operator, in this order, before the effect.
    pub notices: Vec<Notice>,
    /// What to do.
    pub effect: Effect,
}

/// An entry was given to the index out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("entry {found} was indexed where {expected} was due")]
pub struct IndexError {
    /// The entry that was due; when nothing was indexed before, the last one that may be first.
    pub expected: u64,
    /// The entry given.
    pub found: Seq,
}
