//! The files in which a consumer keeps its progress.

use std::{
    io,
    path::{Path, PathBuf},
};

use drain::{Progress, ProgressError};
use thiserror::Error;
use vfs::{Vfs, read_whole};
use wal_format::{WalId, names};

/// Most bytes of a progress file; ours have a few hundred. A longer one is not ours.
const PROGRESS_LEN_MAX: u64 = 64 << 10;

/// Content of both files; `None` for one that does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    cursors: Option<Vec<u8>>,
    position: Option<Vec<u8>>,
}

impl Files {
    pub(super) fn read(vfs: &dyn Vfs, dir: &Path) -> Result<Self, ProgressReadError> {
        let read = |name: &str| {
            let path = dir.join(name);
            read_whole(vfs, &path, PROGRESS_LEN_MAX)
                .map_err(|source| ProgressReadError::Io { path, source })
        };
        let switch = dir.join(names::SWITCH);
        let waits =
            vfs.stat(&switch).map_err(|source| ProgressReadError::Io { path: switch, source })?;
        if waits.is_some() {
            // The log is being replaced: what the files say is about the one before.
            return Ok(Self::default());
        }
        Ok(Self { cursors: read(names::CURSORS)?, position: read(names::POS)? })
    }

    pub(super) fn progress(&self, wal_id: WalId) -> Result<Progress, ProgressReadError> {
        Ok(Progress::load(wal_id, self.cursors.as_deref(), self.position.as_deref())?)
    }

    pub(super) fn write_cursors(
        &mut self,
        vfs: &dyn Vfs,
        dir: &Path,
        bytes: Vec<u8>,
    ) -> io::Result<()> {
        vfs::replace(vfs, &dir.join(names::CURSORS), &bytes)?;
        self.cursors = Some(bytes);
        Ok(())
    }

    pub(super) fn write_position(
        &mut self,
        vfs: &dyn Vfs,
        dir: &Path,
        bytes: Vec<u8>,
    ) -> io::Result<()> {
        vfs::replace(vfs, &dir.join(names::POS), &bytes)?;
        self.position = Some(bytes);
        Ok(())
    }
}

/// Reads how far a log has been delivered.
///
/// # Errors
///
/// [`ProgressReadError`] when a file cannot be read or cannot be what a consumer left.
pub fn load_progress(
    vfs: &dyn Vfs,
    dir: &Path,
    wal_id: WalId,
) -> Result<Progress, ProgressReadError> {
    Files::read(vfs, dir)?.progress(wal_id)
}

/// Why the progress of a log is not known.
#[derive(Debug, Error)]
pub enum ProgressReadError {
    /// The files cannot be true.
    #[error("drain failed: {0}")]
    Progress(#[from] ProgressError),
    /// A file could not be read.
    #[error("drain failed: cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl ProgressReadError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Progress(error) => error.code(),
            Self::Io { .. } => "IO",
        }
    }
}
