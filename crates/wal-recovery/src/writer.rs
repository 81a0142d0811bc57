//! One group of entries to the disk, in the right order.
//!
//! # Order
//!
//! | step | what                                      | when it fails                              |
//! |-----:|-------------------------------------------|--------------------------------------------|
//! |    1 | write the frames of the group             | full: cut them off again; else poisoned    |
//! |    2 | now and then: write zeros behind them     | full: cut the zeros off; else poisoned     |
//! |    3 | sync the log                              | poisoned                                   |
//! |    4 | look whether the names are still our files | poisoned                                  |
//! |    5 | write the safe point in place             | poisoned                                   |
//! |    6 | sync the safe point ([`Durability`])      | poisoned                                   |
//!
//! # Invariants
//!
//! * **W1** A receipt exists only after the sync of its frame (step 3 before the answer).
//! * **W2** The safe point never names a frame that is not durable (step 3 before step 5).
//! * **W3** After a failed write or sync nothing is written any more: what is on the disk is
//!   unknown until the next recovery has read it. A sync is never repeated.
//! * **W4** A full disk is no such failure: the half-written tail is cut, nothing acknowledged is
//!   touched, and the next group may succeed. When the cut fails, W3 applies.
//! * **W5** After the process is killed the safe point on disk is the last acknowledged number,
//!   since step 5 precedes the answer.
//! * **W6** A receipt exists only when, after the sync, `telemetry.wal` and `telemetry.safe_seq`
//!   still named the files that were written, and the log was as long as it was written: nobody is
//!   told of an entry in a file that was deleted or cut off under us.
//! * **W7** What stands behind the last frame are zeros of our own. A clean close and every recovery
//!   cut them off.
//!
//! The safe point is overwritten in place: eight bytes inside one sector cannot tear, and a
//! replacement by rename would cost two more syncs.
//!
//! Step 2 is [`growth`](crate::growth): a sync that has only data to write is faster than one that
//! has a new length to write too.

use std::{io, path::PathBuf, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;
use vfs::{File, Lock, write_all_at};
use wal_format::{Birth, Chain, SafePoint, Seq};

use crate::{
    Receipt, Submission, codes,
    growth::Growth,
    mutants::{Mutant, removed},
    submission::EVENT_LEN_MAX,
};

/// A clock that falls behind by less than this is not worth a word: callers read it at their own
/// time and enter the queue in another order.
const CLOCK_BACK_MIN: SignedDuration = SignedDuration::from_secs(1);
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

/// A file that belongs to a log, and the name it must keep.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) file: Arc<dyn File>,
    pub(crate) path: PathBuf,
}

/// The end of a recovered log. One thread at a time; [`Log`](crate::Log) shares it out.
#[derive(Debug)]
pub struct Writer {
    pub(crate) wal: Named,
    pub(crate) safe: Named,
    pub(crate) durability: Durability,
    pub(crate) last: Option<Seq>,
    pub(crate) end: u64,
    pub(crate) chain: Chain,
    pub(crate) growth: Growth,
    pub(crate) latest: Timestamp,
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

    /// The error that stopped the log, if one did.
    pub fn failure(&self) -> Option<&AppendError> {
        self.failure.as_ref()
    }

    /// The safe point, for a sync beside a commit: whatever it holds was written after the sync of
    /// the frames it names (W2).
    pub(crate) fn safe_file(&self) -> Arc<dyn File> {
        Arc::clone(&self.safe.file)
    }

    /// Sets how many bytes of zeros are written ahead of the frames at most; 0 turns it off.
    pub fn set_growth_max(&mut self, bytes: u64) {
        self.growth = Growth::new(self.end, bytes);
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
        let end = self.end + buffer.len() as u64;
        self.buffer = buffer;
        let receipts = written?;
        let Some(last) = receipts.last() else { return Ok(receipts) };

        if removed(Mutant::DataBeforeSafePoint) {
            self.write_safe_point(Some(last.seq))?;
            self.sync_safe_point()?;
        }
        self.wal.file.sync_data().map_err(|it| self.poison("sync the log", &it))?;
        self.check_names()?;
        self.end = end;
        self.last = Some(last.seq);
        self.chain = last.chain;
        self.latest = group.last().map_or(self.latest, Submission::at);
        if !removed(Mutant::SafePointBeforeAnswer) {
            self.write_safe_point(self.last)?;
        }
        if self.durability == Durability::Strict && !removed(Mutant::StrictSync) {
            self.sync_safe_point()?;
        }
        Ok(receipts)
    }

    /// Makes the safe point durable. Cheap when it is.
    ///
    /// # Errors
    ///
    /// [`AppendError`] when the sync fails or the log was poisoned before.
    pub fn sync_safe_point(&mut self) -> Result<(), AppendError> {
        self.usable()?;
        if self.safe_dirty {
            if let Err(error) = self.safe.file.sync_data() {
                self.failure = Some(AppendError::safe_point_sync(&error));
                return self.usable();
            }
            self.safe_dirty = false;
        }
        Ok(())
    }

    /// Syncs the safe point and cuts off what was preallocated (W7). The lock goes with the writer.
    ///
    /// # Errors
    ///
    /// [`AppendError`] when the log was poisoned before or a step fails. Everything acknowledged is
    /// durable all the same, and the next recovery cuts.
    pub fn close(mut self) -> Result<(), AppendError> {
        self.settle()
    }

    /// What [`Self::close`] does, for a writer that goes on living.
    pub(crate) fn settle(&mut self) -> Result<(), AppendError> {
        self.sync_safe_point()?;
        if self.growth.cut(self.end) {
            let cut = self.wal.file.set_len(self.end).and_then(|()| self.wal.file.sync_data());
            cut.map_err(|it| self.poison("cut the preallocated end", &it))?;
        }
        Ok(())
    }

    /// Encodes the group and writes it behind the end of the log (steps 1 and 2).
    fn write_group(
        &mut self,
        group: &[Submission],
        buffer: &mut Vec<u8>,
    ) -> Result<Vec<Receipt>, AppendError> {
        let receipts = self.encode(group, buffer)?;
        if self.end + buffer.len() as u64 > self.growth.allocated() {
            // Afterwards the file is long enough again, whatever was cut off it (W6).
            self.check_names()?;
        }
        match write_all_at(&*self.wal.file, buffer, self.end) {
            Ok(()) => {}
            Err(error) if is_full(&error) => return Err(self.give_way(buffer.len())),
            Err(error) => return Err(self.poison("write to the log", &error)),
        }
        let written = self.end + buffer.len() as u64;
        match self.growth.grow(&*self.wal.file, written, buffer.len()) {
            Ok(()) => Ok(receipts),
            Err(error) => Err(self.poison("preallocate", &error)),
        }
    }

    fn encode(&self, group: &[Submission], out: &mut Vec<u8>) -> Result<Vec<Receipt>, AppendError> {
        let (mut last, mut chain, mut latest) = (self.last, self.chain, self.latest);
        let mut receipts = Vec::with_capacity(group.len());
        for submission in group {
            let seq = last.map_or(Some(Seq::FIRST), Seq::next).ok_or(AppendError::SeqExhausted)?;
            chain = submission.encode(seq, chain, out)?;
            let back = latest.duration_since(submission.at());
            let clock_back = (back >= CLOCK_BACK_MIN).then(|| back.unsigned_abs());
            (last, latest) = (Some(seq), submission.at());
            receipts.push(Receipt { seq, chain, clock_back });
        }
        Ok(receipts)
    }

    /// W4. Cutting frees space and needs none.
    fn give_way(&mut self, len: usize) -> AppendError {
        if removed(Mutant::CutOnFullDisk) {
            return AppendError::DiskFull { bytes: len as u64 };
        }
        self.growth.cut(self.end);
        match self.wal.file.set_len(self.end) {
            Ok(()) => AppendError::DiskFull { bytes: len as u64 },
            Err(cut) => self.poison("cut a half-written group", &cut),
        }
    }

    /// Step 4 (W6).
    fn check_names(&mut self) -> Result<(), AppendError> {
        let ends = [(&self.wal, self.growth.allocated()), (&self.safe, 0)];
        for (Named { file, path }, end) in ends {
            let failure = match file.named_len(path) {
                Ok(Some(len)) if len >= end => continue,
                Ok(_) if removed(Mutant::NamesChecked) => continue,
                Ok(Some(len)) => AppendError::FileCut { path: path.clone(), len, end },
                Ok(None) => AppendError::FileReplaced { path: path.clone() },
                Err(error) => {
                    let action = "look at the names of the log";
                    AppendError::Poisoned { action, cause: error.to_string() }
                }
            };
            self.failure = Some(failure.clone());
            return Err(failure);
        }
        Ok(())
    }

    /// Step 5: W2 holds because the frames were synced by the caller.
    fn write_safe_point(&mut self, last: Option<Seq>) -> Result<(), AppendError> {
        let bytes = SafePoint::at(last).to_bytes();
        self.safe_dirty = true;
        let written = write_all_at(&*self.safe.file, &bytes, 0);
        written.map_err(|it| self.poison("write the safe point", &it))
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
        if !removed(Mutant::Poison) {
            self.failure = Some(failure.clone());
        }
        failure
    }
}

pub(crate) fn is_full(error: &io::Error) -> bool {
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
    /// A file of the log was removed or replaced while the log was open. What was written since may
    /// be gone with it, so nothing is acknowledged any more until the next recovery.
    #[error("WAL_FILE_REPLACED — {} is not the file that this log writes any more", path.display())]
    FileReplaced {
        /// The name that was taken away.
        path: PathBuf,
    },
    /// The log was cut off under the writer: entries that were acknowledged are gone.
    #[error("WAL_FILE_REPLACED — {} has {len} bytes, and had {end}: somebody cut it off", path.display())]
    FileCut {
        /// The log.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
        /// The length that it had.
        end: u64,
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
    pub(crate) fn safe_point_sync(error: &io::Error) -> Self {
        Self::Poisoned { action: "sync the safe point", cause: error.to_string() }
    }

    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::DiskFull { .. } => codes::WAL_DISK_FULL,
            Self::Poisoned { .. } | Self::SeqExhausted => codes::WAL_POISONED,
            Self::FileReplaced { .. } | Self::FileCut { .. } => codes::WAL_FILE_REPLACED,
            Self::TooLarge { .. } => codes::WAL_ENTRY_TOO_LARGE,
            Self::Overloaded { .. } => codes::WAL_OVERLOADED,
            Self::Closed => codes::WAL_CLOSED,
        }
    }

    /// Whether every later append fails too, until the next recovery.
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Poisoned { .. } | Self::FileReplaced { .. } | Self::FileCut { .. } | Self::Closed
        )
    }
}
