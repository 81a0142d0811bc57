//! The files in which a consumer keeps its progress.
//!
//! Each is written after each batch that changes it, and overwritten in place where that cannot tear
//! ([`SectorFile`]). The position has eight bytes and the cursors have a check, so whoever reads
//! without the lock while they are written sees the one before, the one after, or that he must look again.

use std::{
    io,
    path::{Path, PathBuf},
};

use drain::{Progress, ProgressError};
use thiserror::Error;
use vfs::{SectorFile, Vfs, read_whole};
use wal_format::{WalId, names};

/// Most bytes of a progress file; ours have a few hundred. A longer one is not ours.
const PROGRESS_LEN_MAX: u64 = 64 << 10;
/// How often cursors that change under the eyes of a reader are looked at again.
const LOOKS_MAX: u32 = 16;

/// Content of both files; `None` for one that does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    cursors: Option<Vec<u8>>,
    position: Option<Vec<u8>>,
}

impl Content {
    fn read(vfs: &dyn Vfs, dir: &Path) -> Result<Self, ProgressReadError> {
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

    fn progress(&self, wal_id: WalId) -> Result<Progress, ProgressError> {
        Progress::load(wal_id, self.cursors.as_deref(), self.position.as_deref())
    }
}

/// Both files, as the consumer that has the lock left them.
#[derive(Debug)]
pub(super) struct Files {
    content: Content,
    cursors: SectorFile,
    position: SectorFile,
}

impl Files {
    pub(super) fn read(vfs: &dyn Vfs, dir: &Path) -> Result<Self, ProgressReadError> {
        Ok(Self {
            content: Content::read(vfs, dir)?,
            cursors: SectorFile::new(dir.join(names::CURSORS)),
            position: SectorFile::new(dir.join(names::POS)),
        })
    }

    /// Returns whether the files are still as they were left.
    pub(super) fn are_unchanged(
        &self,
        vfs: &dyn Vfs,
        dir: &Path,
    ) -> Result<bool, ProgressReadError> {
        Ok(Content::read(vfs, dir)? == self.content)
    }

    pub(super) fn progress(&self, wal_id: WalId) -> Result<Progress, ProgressReadError> {
        Ok(self.content.progress(wal_id)?)
    }

    pub(super) fn write_cursors(&mut self, vfs: &dyn Vfs, bytes: Vec<u8>) -> io::Result<()> {
        self.cursors.write(vfs, &bytes)?;
        self.content.cursors = Some(bytes);
        Ok(())
    }

    pub(super) fn write_position(&mut self, vfs: &dyn Vfs, bytes: Vec<u8>) -> io::Result<()> {
        self.position.write(vfs, &bytes)?;
        self.content.position = Some(bytes);
        Ok(())
    }
}

/// Reads how far a log has been delivered, also while a consumer is at work.
///
/// # Errors
///
/// [`ProgressReadError`] when a file cannot be read or cannot be what a consumer left.
pub fn load_progress(
    vfs: &dyn Vfs,
    dir: &Path,
    wal_id: WalId,
) -> Result<Progress, ProgressReadError> {
    let mut content = Content::read(vfs, dir)?;
    for _ in 0..LOOKS_MAX {
        let progress = content.progress(wal_id);
        if !matches!(progress, Err(ProgressError::CursorsCorrupt { .. })) {
            return Ok(progress?);
        }
        // A consumer overwrites the file in place: what is only half written is another a moment later.
        let again = Content::read(vfs, dir)?;
        if again == content {
            break;
        }
        content = again;
    }
    Ok(content.progress(wal_id)?)
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
