//! The fast part: the live log goes, a new one comes.

use std::{io, path::Path};

use jiff::Timestamp;
use thiserror::Error;
use vfs::{LockError, OpenMode, Vfs, read_whole, replace};
use wal_format::{Aside, Birth, Origin, Position, SealFile, Seq, Switch, WalId, names};

use crate::{
    AppendError, RecoverError, Writer, codes,
    mutants::{Mutant, removed},
    recover::at,
    switch::{NextLog, begin, carry_through, remove_if_there, write_next},
};

/// Most bytes read of a position. A longer file is refused by its length.
const POSITION_LEN_MAX: u64 = 64;

/// What a writer needs to begin the next log.
#[derive(Clone, Debug)]
pub struct RollOver {
    /// Sixteen random bytes: the id of the next log.
    pub random: [u8; 16],
    /// The time now.
    pub now: Timestamp,
    /// Node that writes, recorded in the next log.
    pub node: String,
    /// Who we are, for a consumer that finds its lock taken.
    pub holder: String,
}

/// What became of the live log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolledOver {
    /// It holds nothing but its birth and stays.
    Nothing,
    /// It is in the archive.
    Switched {
        /// The log that was archived.
        from: WalId,
        /// How many entries it has.
        entries: u64,
        /// How many bytes it has.
        bytes: u64,
        /// The live log now.
        to: Birth,
    },
}

impl Writer {
    /// Sends the log to the archive and goes on with a new one, when everything was delivered.
    ///
    /// It takes a dozen syncs, whatever the length of the log. Readers that have the old log open
    /// finish on it. What is left to do is [`finish_archives`](super::finish_archives).
    ///
    /// # Errors
    ///
    /// [`RollOverError`]. [`RollOverError::Log`] with a poisoned log means that the switch has begun:
    /// the next recovery finishes it. After any other error the writer goes on with its log.
    pub fn roll_over(
        &mut self,
        vfs: &dyn Vfs,
        how: &RollOver,
    ) -> Result<RolledOver, RollOverError> {
        self.usable()?;
        let Some(last) = self.last.filter(|it| *it > Seq::FIRST) else {
            return Ok(RolledOver::Nothing);
        };
        let dir = self.home.dir.clone();
        let path = dir.join(names::DRAIN_LOCK);
        let _consumer = vfs.lock(&path, &how.holder).map_err(|error| match error {
            LockError::Held { holder } => RollOverError::DrainLocked { holder },
            LockError::Io(source) => at("lock", path.clone())(source).into(),
        })?;
        if !removed(Mutant::Delivered) {
            check_delivered(vfs, &dir, last)?;
        }
        self.settle_end()?;

        let from = self.home.birth.wal_id;
        check_free(vfs, &dir, from)?;
        keep_seal(vfs, &dir, from)?;
        let birth = Birth {
            wal_id: WalId::from_random(how.random),
            node: how.node.clone(),
            origin: Origin::Rollover,
            previous: Some((from, self.chain)),
        };
        let next = write_next(vfs, &dir, birth, &[], how.now)?;
        let switch = Switch {
            from: Some(from),
            to: next.birth.wal_id,
            aside: Aside::Archive,
            has_log: true,
            last: next.last,
            chain: next.chain,
            at: how.now,
        };
        match begin(vfs, &dir, &switch) {
            Ok(()) => {}
            Err(failed) if failed.may_have => return Err(self.stopped(&failed.error)),
            Err(failed) => return Err(failed.error.into()),
        }
        let bytes = self.end;
        carry_through(vfs, &dir, &switch).map_err(|it| self.stopped(&it))?;
        self.go_on_with(vfs, next).map_err(|it| self.stopped(&it))?;
        Ok(RolledOver::Switched { from, entries: last.get(), bytes, to: self.home.birth.clone() })
    }

    /// Makes the file end with its last entry and the safe point name it, durably.
    fn settle_end(&mut self) -> Result<(), RollOverError> {
        let path = self.home.dir.join(names::WAL);
        if !self.wal.file.is_named(&path).map_err(at("read", path.clone()))? {
            let text = "it is not the file that this process writes";
            return Err(at("archive", path)(io::Error::other(text)).into());
        }
        if removed(Mutant::SettledBeforeArchive) {
            return Ok(());
        }
        Ok(self.settle()?)
    }

    fn go_on_with(&mut self, vfs: &dyn Vfs, next: NextLog) -> Result<(), RecoverError> {
        let path = &self.safe.path;
        self.safe.file = vfs.open(path, OpenMode::ReadWrite).map_err(at("open", path.clone()))?;
        self.wal.file = next.file;
        self.last = Some(next.last);
        self.end = next.end;
        self.growth.begin_again(next.end);
        self.chain = next.chain;
        self.home.birth = next.birth;
        self.safe_dirty = false;
        Ok(())
    }

    /// The switch has begun and did not come through: nothing may be appended any more (T1).
    fn stopped(&mut self, error: &RecoverError) -> RollOverError {
        let mut text = error.to_string();
        if let RecoverError::Io { source, .. } = error {
            text = format!("{text}: {source}");
        }
        RollOverError::Log(self.poison("replace the log by the next one", &text))
    }
}

/// A1.
fn check_delivered(vfs: &dyn Vfs, dir: &Path, last: Seq) -> Result<(), RollOverError> {
    let path = dir.join(names::POS);
    let bytes = match read_whole(vfs, &path, POSITION_LEN_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            let len = vfs.stat(&path).map_err(at("read", path))?.map_or(0, |it| it.len);
            return Err(RollOverError::NoPosition { len });
        }
        Err(error) => return Err(at("read", path)(error).into()),
    };
    let position = match bytes.as_deref().map(Position::from_bytes) {
        None => Position::default(),
        Some(Ok(position)) => position,
        Some(Err(error)) => return Err(RollOverError::NoPosition { len: error.len as u64 }),
    };
    if position.last() == Some(last) {
        return Ok(());
    }
    Err(RollOverError::NotDrained { last, position: position.get() })
}

/// Another log of this id would be in the way once there is no way back.
fn check_free(vfs: &dyn Vfs, dir: &Path, wal_id: WalId) -> Result<(), RecoverError> {
    if removed(Mutant::NameFree) {
        return Ok(());
    }
    let files = super::pack::Files::of(dir, wal_id);
    for path in [files.plain, files.packed] {
        if vfs.stat(&path).map_err(at("read", path.clone()))?.is_some() {
            return Err(at("create", path)(io::ErrorKind::AlreadyExists.into()));
        }
    }
    Ok(())
}

/// Copies the seal to where it is found when the log is packed.
fn keep_seal(vfs: &dyn Vfs, dir: &Path, wal_id: WalId) -> Result<(), RecoverError> {
    let folder = dir.join(names::ARCHIVE_DIR);
    vfs.create_dir_all(&folder).map_err(at("create", folder.clone()))?;
    if removed(Mutant::SealKept) {
        return Ok(());
    }
    let (path, copy) = (dir.join(names::SEAL), super::pack::Files::of(dir, wal_id).seal);
    match read_whole(vfs, &path, SealFile::LEN_MAX) {
        Ok(Some(bytes)) => replace(vfs, &copy, &bytes).map_err(at("write", copy)),
        Ok(None) => remove_if_there(vfs, &copy),
        // Whatever it is, it is no seal of ours.
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => remove_if_there(vfs, &copy),
        Err(error) => Err(at("read", path)(error)),
    }
}

/// Why the live log was not replaced.
#[derive(Debug, Error)]
pub enum RollOverError {
    /// A1: entries wait.
    #[error(
        "telemetry/wal: WAL_NOT_DRAINED — {} of {last} entries wait for a consumer \
         (position {position})", last.get().saturating_sub(*position)
    )]
    NotDrained {
        /// Last entry of the log.
        last: Seq,
        /// The position; one beyond the last entry proves nothing either.
        position: u64,
    },
    /// A1: the position is none.
    #[error("telemetry/wal: WAL_NOT_DRAINED — telemetry.pos is {len} bytes long (expected 8)")]
    NoPosition {
        /// Length found, in bytes.
        len: u64,
    },
    /// A consumer is at work.
    #[error("telemetry/wal: DRAIN_LOCKED — the log is drained by {holder}")]
    DrainLocked {
        /// What the consumer says about itself.
        holder: String,
    },
    /// The switch was not begun. The writer goes on with its log.
    #[error(transparent)]
    NotBegun(#[from] RecoverError),
    /// The log cannot be written any more, since earlier or since the switch has begun.
    #[error("telemetry/wal: {0}")]
    Log(#[from] AppendError),
}

impl RollOverError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotDrained { .. } | Self::NoPosition { .. } => codes::WAL_NOT_DRAINED,
            Self::DrainLocked { .. } => codes::DRAIN_LOCKED,
            Self::NotBegun(error) => error.code(),
            Self::Log(error) => error.code(),
        }
    }

    /// Returns what an operator does next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotDrained { .. } => {
                "run `autonomy telemetry drain --dir DIR` first; on a full disk, which has no room for its \
                 progress, make room outside the directory, or copy the whole directory to a larger \
                 disk (`cp -a`) and do both there"
            }
            Self::NoPosition { .. } => {
                "restore telemetry.pos from a backup, or remove it and drain again: every entry is \
                 then sent again under the same event id"
            }
            Self::DrainLocked { .. } => "wait for the drain, then try again",
            Self::NotBegun(error) => error.hint(),
            Self::Log(_) => "see to the disk, then start again: recovery finishes what was begun",
        }
    }
}
