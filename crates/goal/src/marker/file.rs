//! The marker file on the disk.
//!
//! | after a change   | the file is                        |
//! |------------------|-------------------------------------|
//! | with entries     | replaced as a whole, if it differs   |
//! | without entries  | removed                             |
//!
//! * **M7** After a change returned `Ok` it is durable, also what an earlier one did that was killed before it could say
//!   so. After a crash inside it the file is the old one, the new one, or absent when it has no entry.
//! * **M8** A file that cannot be read is never written over.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;
use vfs::{Lock, Vfs, read_whole, replace};

use super::{MARKER_LEN_MAX, MarkerError, MarkerFile};

/// Why a marker file was not read or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MarkerFileError {
    /// It is damaged (M8).
    #[error(transparent)]
    Damaged(#[from] MarkerError),
    /// The file system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl MarkerFileError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Damaged(error) => error.code(),
            Self::Io { .. } => "GOAL_IO",
        }
    }
}

/// Reads a marker file; one that is absent has no entries.
///
/// # Errors
///
/// [`MarkerFileError`].
pub fn read(vfs: &dyn Vfs, path: &Path) -> Result<MarkerFile, MarkerFileError> {
    let bytes = read_whole(vfs, path, MARKER_LEN_MAX as u64);
    let bytes = bytes.map_err(failed("read", path))?;
    Ok(MarkerFile::parse(bytes.as_deref())?)
}

/// Changes a marker file (M7), and returns what `change` does. `_held` is the lock that all who change it take.
///
/// # Errors
///
/// [`MarkerFileError`].
pub fn change<T>(
    vfs: &dyn Vfs,
    _held: &Lock,
    path: &Path,
    change: impl FnOnce(&mut MarkerFile) -> T,
) -> Result<T, MarkerFileError> {
    let before = read(vfs, path)?;
    let mut file = before.clone();
    let done = change(&mut file);
    if file != before && !file.active_tentacles.is_empty() {
        // Every value of a marker has a form in JSON.
        let text = serde_json::to_vec_pretty(&file).unwrap_or_default();
        replace(vfs, path, &text).map_err(failed("write", path))?;
        return Ok(done);
    }
    if file != before {
        match vfs.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(failed("remove", path))?,
        }
    }
    let dir = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    vfs.sync_dir(dir).map_err(failed("sync", dir))?;
    Ok(done)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> MarkerFileError {
    let path = path.to_owned();
    move |source| MarkerFileError::Io { action, path, source }
}
