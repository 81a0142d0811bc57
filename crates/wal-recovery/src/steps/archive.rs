//! Packs a finished log, reads it back, removes it.
//!
//! | step | what                                                                      |
//! |-----:|---------------------------------------------------------------------------|
//! |    1 | the log is opened as for writing: locked, repaired, every line read        |
//! |    2 | a plan that has not ended refuses it, unless asked for by name             |
//! |    3 | it is packed into `<archive>.tmp`, which is synced and takes its name; the directory is synced |
//! |    4 | the archive is read back and unpacked; every byte is compared              |
//! |    5 | the log is removed, the directory synced                                   |
//! |    6 | its lock file is removed                                                   |
//!
//! A crash leaves the log, or the archive that was read back, or both; then the same call goes on at
//! step 4. Nothing is overwritten that is not this very log.

use std::{
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use thiserror::Error;
use vfs::{OpenMode, Vfs, read_whole, replace};
use wal_format::step::{ARCHIVE_SUFFIX, LOCK_SUFFIX};

use super::{
    codes,
    log::StepLog,
    open::{StepOpenError, StepOpening, at, beside, parent, read_all, sync_dir},
};

/// Most bytes that a pack of bytes is longer than they are, for bytes that do not pack.
const OVERHEAD_MAX: u64 = 1 << 20;

/// What a plan that has not ended means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unfinalized {
    /// The log is not archived.
    #[default]
    Refuse,
    /// It is archived all the same; its steps never run.
    Force,
}

/// Archives a log that nobody writes, to `<path>.gz` or to `to`, and returns where it is.
///
/// # Errors
///
/// [`ArchiveStepsError`]. The log is there as it was, or its archive holds all of it (S10).
pub fn archive(
    vfs: &dyn Vfs,
    path: &Path,
    to: Option<&Path>,
    unfinalized: Unfinalized,
    how: &StepOpening,
) -> Result<PathBuf, ArchiveStepsError> {
    let to = to.map_or_else(|| beside(path, ARCHIVE_SUFFIX), Path::to_owned);
    if vfs.stat(path).map_err(at("look at", path))?.is_none() {
        return Err(StepOpenError::NotFound { path: path.to_owned() }.into());
    }
    let opened = StepLog::open(vfs, path, how)?;
    if let Some(plan) = opened.found.plans.not_finalized().next()
        && unfinalized == Unfinalized::Refuse
    {
        let plan_id = plan.plan_id.clone();
        return Err(ArchiveStepsError::NotFinalized { path: path.to_owned(), plan_id });
    }
    let file = vfs.open(path, OpenMode::Read).map_err(at("open", path))?;
    let bytes = read_all(&*file, path)?;
    let folder = parent(&to);
    vfs.create_dir_all(folder).map_err(at("create", folder))?;
    if vfs.stat(&to).map_err(at("look at", &to))?.is_some() {
        // An earlier call may have come this far.
        if !holds(vfs, &to, &bytes)? {
            return Err(ArchiveStepsError::Exists { path: to });
        }
        // Its name may not be durable yet.
        sync_dir(vfs, folder)?;
    } else {
        let packed = pack(&bytes).map_err(at("pack", path))?;
        replace(vfs, &to, &packed).map_err(at("write", &to))?;
        if !holds(vfs, &to, &bytes)? {
            return Err(ArchiveStepsError::Damaged { path: to });
        }
    }
    vfs.remove(path).map_err(at("remove", path))?;
    sync_dir(vfs, parent(path))?;
    // It only names a holder: when it stays, nothing is wrong.
    vfs.remove(&beside(path, LOCK_SUFFIX)).ok();
    Ok(to)
}

fn pack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Whether a file unpacks to exactly these bytes.
fn holds(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> Result<bool, StepOpenError> {
    let limit = bytes.len() as u64 + OVERHEAD_MAX;
    let packed = match read_whole(vfs, path, limit) {
        Ok(packed) => packed.unwrap_or_default(),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Ok(false),
        Err(error) => return Err(at("read", path)(error)),
    };
    let mut back = Vec::new();
    let mut decoder = GzDecoder::new(&*packed).take(bytes.len() as u64 + 1);
    // The end of the pack has a checksum that is only read with one byte too many.
    Ok(decoder.read_to_end(&mut back).is_ok() && back == bytes)
}

/// Why a log was not archived.
#[derive(Clone, Debug, Error)]
pub enum ArchiveStepsError {
    /// It does not open, or the file system failed.
    #[error(transparent)]
    Open(#[from] StepOpenError),
    /// A plan in it has not ended.
    #[error("steps: STEPS_NOT_FINALIZED — the plan {plan_id} in {} has not ended", path.display())]
    NotFinalized {
        /// The log.
        path: PathBuf,
        /// The first such plan.
        plan_id: String,
    },
    /// Something else has the name of the archive.
    #[error("steps: STEPS_ARCHIVE_EXISTS — {} is there and is not this log", path.display())]
    Exists {
        /// The name.
        path: PathBuf,
    },
    /// What was read back is not what was packed. The log stays.
    #[error("steps: STEPS_ARCHIVE_DAMAGED — {} does not unpack to what was packed", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
    },
}

impl ArchiveStepsError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Open(error) => error.code(),
            Self::NotFinalized { .. } => codes::STEPS_NOT_FINALIZED,
            Self::Exists { .. } => codes::STEPS_ARCHIVE_EXISTS,
            Self::Damaged { .. } => codes::STEPS_ARCHIVE_DAMAGED,
        }
    }
}
