//! One group of entries to the disk, in the right order.
//!
//! # Order
//!
//! | step | what                                  | when it fails                              |
//! |-----:|---------------------------------------|--------------------------------------------|
//! |    1 | write the frames of the group         | full: cut them off again; else poisoned    |
//! |    2 | sync the log                          | poisoned                                   |
//! |    3 | write the safe point in place         | poisoned                                   |
//! |    4 | sync the safe point ([`Durability`])  | poisoned                                   |
//!
//! # Invariants
//!
//! * **W1** A receipt exists only after the sync of its frame (step 2 before the answer).
//! * **W2** The safe point never names a frame that is not durable (step 2 before step 3).
//! * **W3** After a failed write or sync nothing is written any more: what is on the disk is
//!   unknown until the next recovery has read it. A sync is never repeated.
//! * **W4** A full disk is no such failure: the half-written tail is cut, nothing acknowledged is
//!   touched, and the next group may succeed. When the cut fails, W3 applies.
//! * **W5** After the process is killed the safe point on disk is the last acknowledged number,
//!   since step 3 precedes the answer.
//!
//! The safe point is overwritten in place: eight bytes inside one sector cannot tear, and a
//! replacement by rename would cost two more syncs.

use std::{io, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use thiserror::Error;
use vfs::{File, Lock, write_all_at};
use wal_format::{Birth, Chain, Event, MAX_PAYLOAD_LEN, SafePoint, Seq, encode_entry};

use crate::codes;

/// Most bytes of events in one group, unless a single event is larger.
pub const GROUP_BYTES_MAX: usize = 4 << 20;
/// Bytes of a payload besides the event: keys, number, time, chain. Rounded up.
const ENVELOPE_LEN: usize = 256;
/// Most bytes of an event.
pub(crate) const EVENT_LEN_MAX: usize = MAX_PAYLOAD_LEN as usize - ENVELOPE_LEN;

/// When the safe point is synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Off the path of the answer. A power loss may set the safe point back, never the log: frames
    /// behind the safe point prove themselves by their chain.
    #[default]
    Chained,
    /// Before the answer.
    Strict,
}

/// An event to be written, serialized.
#[derive(Clone, Debug)]
pub struct Submission {
    at: Timestamp,
    event: Vec<u8>,
}

impl Submission {
    /// Prepares `event`, submitted at `at`.
    ///
    /// # Errors
    ///
    /// [`AppendError::TooLarge`] when it does not fit a frame.
    pub fn new(event: &Event, at: Timestamp) -> Result<Self, AppendError> {
        let event = event.to_json();
        if event.len() > EVENT_LEN_MAX {
            return Err(AppendError::TooLarge { len: event.len() });
        }
        Ok(Self { at, event })
    }

    /// Appends the frame to `out` and returns its chain value.
    pub(crate) fn encode(
        &self,
        seq: Seq,
        previous: Chain,
        out: &mut Vec<u8>,
    ) -> Result<Chain, AppendError> {
        encode_entry(seq, self.at, &self.event, previous, out)
            .map_err(|_| AppendError::TooLarge { len: self.event.len() })
    }

    /// Length of the serialized event in bytes.
    pub fn len(&self) -> usize {
        self.event.len()
    }

    /// Never true: an event has at least its braces.
    pub fn is_empty(&self) -> bool {
        self.event.is_empty()
    }
}

/// Proof that an entry is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its place in the log.
    pub seq: Seq,
    /// Its chain value.
    pub chain: Chain,
}

/// The end of a recovered log. One thread at a time; [`Log`](crate::Log) shares it out.
#[derive(Debug)]
pub struct Writer {
    pub(crate) wal: Arc<dyn File>,
    pub(crate) safe: Arc<dyn File>,
    pub(crate) durability: Durability,
    pub(crate) last: Option<Seq>,
    pub(crate) end: u64,
    pub(crate) chain: Chain,
    pub(crate) safe_dirty: bool,
    pub(crate) failure: Option<AppendError>,
    pub(crate) buffer: Vec<u8>,
    pub(crate) home: Box<Home>,
    pub(crate) _lock: Lock,
}

/// Where the log is, and who it is: a writer can replace its log by the next one.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) dir: PathBuf,
    pub(crate) birth: Birth,
}

impl Writer {
    /// Number of the last acknowledged entry.
    pub fn last(&self) -> Option<Seq> {
        self.last
    }

    /// Length of the log in bytes.
    pub fn len(&self) -> u64 {
        self.end
    }

    /// Whether the log has no entry. A recovered log has at least one.
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Whether the safe point on disk may be older than the one written.
    pub fn safe_point_pending(&self) -> bool {
        self.safe_dirty
    }

    /// Makes a group durable and returns one receipt an entry, in order (W1).
    ///
    /// # Errors
    ///
    /// [`AppendError::DiskFull`] (W4) and [`AppendError::SeqExhausted`] leave the log usable; any
    /// other error poisons it (W3). No entry of the group was acknowledged.
    pub fn commit(&mut self, group: &[Submission]) -> Result<Vec<Receipt>, AppendError> {
        self.usable()?;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let written = self.write_group(group, &mut buffer);
        self.buffer = buffer;
        let receipts = written?;
        let Some(last) = receipts.last() else { return Ok(receipts) };

        self.wal.sync_data().map_err(|it| self.poison("sync the log", &it))?;
        self.end += self.buffer.len() as u64;
        self.last = Some(last.seq);
        self.chain = last.chain;
        self.write_safe_point()?;
        if self.durability == Durability::Strict {
            self.sync_safe_point()?;
        }
        Ok(receipts)
    }

    /// Makes the safe point durable. Cheap when it is.
    ///
    /// # Errors
    ///
    /// [`AppendError::Poisoned`] when the sync fails or the log was poisoned before.
    pub fn sync_safe_point(&mut self) -> Result<(), AppendError> {
        self.usable()?;
        if self.safe_dirty {
            self.safe.sync_data().map_err(|it| self.poison("sync the safe point", &it))?;
            self.safe_dirty = false;
        }
        Ok(())
    }

    /// Encodes and writes the group behind the end of the log (step 1).
    fn write_group(
        &mut self,
        group: &[Submission],
        buffer: &mut Vec<u8>,
    ) -> Result<Vec<Receipt>, AppendError> {
        let (mut last, mut chain) = (self.last, self.chain);
        let mut receipts = Vec::with_capacity(group.len());
        for submission in group {
            let seq = last.map_or(Some(Seq::FIRST), Seq::next).ok_or(AppendError::SeqExhausted)?;
            chain = submission.encode(seq, chain, buffer)?;
            last = Some(seq);
            receipts.push(Receipt { seq, chain });
        }
        match write_all_at(&*self.wal, buffer, self.end) {
            Ok(()) => Ok(receipts),
            Err(error) if is_full(&error) => {
                // W4. Cutting frees space and needs none.
                match self.wal.set_len(self.end) {
                    Ok(()) => Err(AppendError::DiskFull { bytes: buffer.len() as u64 }),
                    Err(cut) => Err(self.poison("cut a half-written group", &cut)),
                }
            }
            Err(error) => Err(self.poison("write to the log", &error)),
        }
    }

    /// Steps 3: W2 holds because the frames were synced by the caller.
    fn write_safe_point(&mut self) -> Result<(), AppendError> {
        let bytes = SafePoint::at(self.last).to_bytes();
        self.safe_dirty = true;
        write_all_at(&*self.safe, &bytes, 0).map_err(|it| self.poison("write the safe point", &it))
    }

    pub(crate) fn usable(&self) -> Result<(), AppendError> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn poison(
        &mut self,
        action: &'static str,
        error: &dyn std::fmt::Display,
    ) -> AppendError {
        let failure = AppendError::Poisoned { action, cause: error.to_string() };
        self.failure = Some(failure.clone());
        failure
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Why an entry was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AppendError {
    /// No room on the disk. The log goes on when there is room again.
    #[error("WAL_DISK_FULL — no room for {bytes} bytes")]
    DiskFull {
        /// Bytes of the group that did not fit.
        bytes: u64,
    },
    /// A write or sync failed, now or earlier. Every append fails until the next recovery.
    #[error("WAL_POISONED — could not {action}: {cause}")]
    Poisoned {
        /// What failed.
        action: &'static str,
        /// What the file system said.
        cause: String,
    },
    /// The event does not fit a frame.
    #[error("WAL_ENTRY_TOO_LARGE — event of {len} bytes (limit {EVENT_LEN_MAX})")]
    TooLarge {
        /// Length of the serialized event in bytes.
        len: usize,
    },
    /// Too much waits for the disk already.
    #[error("WAL_OVERLOADED — {waiting} bytes wait for the disk (limit {limit})")]
    Overloaded {
        /// Bytes that wait.
        waiting: usize,
        /// Most bytes that may wait.
        limit: usize,
    },
    /// The log was closed.
    #[error("WAL_CLOSED — the log is closed")]
    Closed,
    /// There is no number after the last one.
    #[error("WAL_POISONED — sequence numbers are exhausted")]
    SeqExhausted,
}

impl AppendError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::DiskFull { .. } => codes::WAL_DISK_FULL,
            Self::Poisoned { .. } | Self::SeqExhausted => codes::WAL_POISONED,
            Self::TooLarge { .. } => codes::WAL_ENTRY_TOO_LARGE,
            Self::Overloaded { .. } => codes::WAL_OVERLOADED,
            Self::Closed => codes::WAL_CLOSED,
        }
    }
}
