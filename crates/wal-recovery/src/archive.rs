//! What is delivered goes to the archive.
//!
//! | part | what                                                          | cost                     |
//! |------|---------------------------------------------------------------|--------------------------|
//! | fast | the log is replaced (`switch`) and has its name in `archive/` | a dozen syncs            |
//! | slow | each log in `archive/` is packed, checked, described          | reads it three times     |
//!
//! The fast part needs the writer, the slow part does not: it can run while the new log is written,
//! be stopped at any point, and be repeated.
//!
//! # The slow part
//!
//! | step | what                                                                                  |
//! |-----:|---------------------------------------------------------------------------------------|
//! |    1 | the log is read by the rules of the scan                                                |
//! |    2 | it is packed into `telemetry-<wal_id>.wal.zst.tmp`, which is synced                     |
//! |    3 | that is read back and unpacked; the hash of what comes out is compared                  |
//! |    4 | it takes the name `telemetry-<wal_id>.wal.zst`; the directory is synced                 |
//! |    5 | `telemetry-<wal_id>.json` is written, with the seal that the log had                    |
//! |    6 | the log as it was is removed, then the copy of its seal; the directory is synced        |
//!
//! # Invariants
//!
//! * **A1** A log goes to the archive when every entry of it was accepted by a consumer, and while no
//!   consumer runs: the position covers the last entry, under the lock of the consumer.
//! * **A2** A log that was acknowledged is in `archive/` as it was or as a packed file that was read
//!   back; the former is removed only after the latter and its description are durable.
//! * **A3** [`prune`] deletes packed and described logs and nothing else.

mod catalogue;
mod pack;
mod prune;
mod roll_over;
mod stream;
mod unpack;

use std::path::PathBuf;

use thiserror::Error;
use vfs::Vfs;

pub use catalogue::{Catalogue, catalogue};
pub use pack::{Finished, PackError, finish_archives};
pub use prune::{Keep, Pruned, prune};
pub use roll_over::{RollOver, RollOverError, RolledOver};
pub use unpack::{check, packed, read};

use crate::{Decision, Opening, RecoverError, Recovered, codes, examine, recover};

/// What was archived.
#[derive(Debug)]
pub struct Archived {
    /// What became of the live log.
    pub rolled: RolledOver,
    /// What was packed, logs of earlier calls that were stopped included.
    pub finished: Finished,
}

/// A log that is ours alone and is about to go to the archive. Nobody can write to it before this is gone,
/// so what is found in it now is still true when it goes.
#[derive(Debug)]
pub struct Ready {
    recovered: Recovered,
    opening: Opening,
}

/// Takes the lock of a log and opens it.
///
/// # Errors
///
/// [`ArchiveError::NotFound`] and [`ArchiveError::Recover`].
pub fn begin(vfs: &dyn Vfs, opening: Opening) -> Result<Ready, ArchiveError> {
    let seen = examine(vfs, &opening.dir, opening.overrides)?;
    if matches!(seen.decision, Decision::Initialize | Decision::InitializeAudited) {
        return Err(ArchiveError::NotFound { dir: opening.dir });
    }
    Ok(Ready { recovered: recover(vfs, &opening)?, opening })
}

impl Ready {
    /// Archives the log, and finishes what earlier calls have left.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`]. When the log itself is not archived, it stays as it is.
    pub fn archive(self, vfs: &dyn Vfs) -> Result<Archived, ArchiveError> {
        let Self { mut recovered, opening } = self;
        let how = RollOver {
            random: opening.random,
            now: opening.now,
            node: recovered.report.identity.node,
            holder: opening.holder,
        };
        let rolled = recovered.writer.roll_over(vfs, &how)?;
        let finished = finish_archives(vfs, &opening.dir, how.now, &how.holder)?;
        Ok(Archived { rolled, finished })
    }
}

/// Archives the log of a directory that nobody writes, and finishes what earlier calls have left.
///
/// # Errors
///
/// [`ArchiveError`]. When the log itself is not archived, it stays as it is.
pub fn archive(vfs: &dyn Vfs, opening: &Opening) -> Result<Archived, ArchiveError> {
    begin(vfs, opening.clone())?.archive(vfs)
}

/// Why a log was not archived.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// There is no log.
    #[error("telemetry/wal: WAL_NOT_FOUND — no telemetry.wal in {}", dir.display())]
    NotFound {
        /// The directory.
        dir: PathBuf,
    },
    /// It does not open.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// It was not replaced.
    #[error(transparent)]
    RollOver(#[from] RollOverError),
    /// It was replaced, and then not packed. The next call goes on.
    #[error(transparent)]
    Pack(#[from] PackError),
}

impl ArchiveError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => codes::WAL_NOT_FOUND,
            Self::Recover(error) => error.code(),
            Self::RollOver(error) => error.code(),
            Self::Pack(error) => error.code(),
        }
    }

    /// Returns what an operator does next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "check --dir: it is the --wal-dir of the runtime",
            Self::Recover(error) => error.hint(),
            Self::RollOver(error) => error.hint(),
            Self::Pack(error) => error.hint(),
        }
    }
}
