//! The small files beside the log.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;
use vfs::{Vfs, read_whole};
use wal_format::{Position, SafePoint, names};

use crate::{codes, plan::FoundSafePoint};

/// Most bytes read from a file that should have eight. A longer one is refused by its length.
const SMALL: u64 = 64;

/// Reads the safe point.
pub(crate) fn read_safe_point(vfs: &dyn Vfs, dir: &Path) -> io::Result<FoundSafePoint> {
    let path = dir.join(names::SAFE_SEQ);
    match read_small(vfs, &path)? {
        Small::Absent => Ok(FoundSafePoint::Absent),
        Small::TooLong(len) => Ok(FoundSafePoint::WrongSize(len)),
        Small::Bytes(bytes) => Ok(match SafePoint::from_bytes(&bytes) {
            Ok(safe_point) => FoundSafePoint::Present(safe_point),
            Err(error) => FoundSafePoint::WrongSize(error.len as u64),
        }),
    }
}

/// Reads the consumer's position; a missing file means that nothing was accepted.
///
/// # Errors
///
/// [`StateError::PosCorrupt`] when the file does not have eight bytes.
pub fn read_position(vfs: &dyn Vfs, dir: &Path) -> Result<Position, StateError> {
    let path = dir.join(names::POS);
    let small = read_small(vfs, &path);
    match small.map_err(|source| StateError::Io { path: path.clone(), source })? {
        Small::Absent => Ok(Position::default()),
        Small::TooLong(len) => Err(StateError::PosCorrupt { path, len }),
        Small::Bytes(bytes) => Position::from_bytes(&bytes)
            .map_err(|error| StateError::PosCorrupt { path, len: error.len as u64 }),
    }
}

enum Small {
    Absent,
    TooLong(u64),
    Bytes(Vec<u8>),
}

fn read_small(vfs: &dyn Vfs, path: &Path) -> io::Result<Small> {
    match read_whole(vfs, path, SMALL) {
        Ok(None) => Ok(Small::Absent),
        Ok(Some(bytes)) => Ok(Small::Bytes(bytes)),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Ok(Small::TooLong(vfs.stat(path)?.map_or(0, |it| it.len)))
        }
        Err(error) => Err(error),
    }
}

/// Whether something shows that the directory held a log before.
pub(crate) fn used_before(vfs: &dyn Vfs, dir: &Path) -> io::Result<bool> {
    for name in [names::POS, names::CURSORS, names::ARCHIVE_DIR, names::ACTIVE_LOCK] {
        if vfs.stat(&dir.join(name))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A file beside the log that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The position file has the wrong length.
    #[error("POS_CORRUPT — {} is {len} bytes long (expected 8)", path.display())]
    PosCorrupt {
        /// The file.
        path: PathBuf,
        /// Length found, in bytes.
        len: u64,
    },
    /// The file system failed.
    #[error("WAL_IO — cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl StateError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PosCorrupt { .. } => codes::POS_CORRUPT,
            Self::Io { .. } => codes::WAL_IO,
        }
    }

    /// Returns what an operator does next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::PosCorrupt { .. } => {
                "move telemetry.pos away: every entry is then sent again under its old event id, \
                 and receivers ignore what they have"
            }
            Self::Io { .. } => "check that the path is a readable file",
        }
    }
}
