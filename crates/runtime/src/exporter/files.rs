//! The files in which a consumer keeps its progress.

use std::{
    io,
    path::{Path, PathBuf},
};

use drain::{Progress, ProgressError};
use thiserror::Error;
use vfs::{OpenMode, Vfs, read_whole, write_all_at};
use wal_format::{WalId, names};

/// Most bytes of a progress file; ours have a few hundred. A longer one is not ours.
const PROGRESS_LEN_MAX: u64 = 64 << 10;

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
    let read = |name: &str| {
        let path = dir.join(name);
        read_whole(vfs, &path, PROGRESS_LEN_MAX)
            .map_err(|source| ProgressReadError::Io { path, source })
    };
    let (cursors, position) = (read(names::CURSORS)?, read(names::POS)?);
    Ok(Progress::load(wal_id, cursors.as_deref(), position.as_deref())?)
}

/// Appends lines to a file and syncs them. A file whose last line was torn by a crash gets a line
/// feed first, so that the torn line spoils no other.
pub(super) fn append(vfs: &dyn Vfs, path: &Path, lines: &[u8]) -> io::Result<()> {
    let new = vfs.stat(path)?.is_none();
    let file = vfs.open(path, OpenMode::Create)?;
    let mut end = file.stat()?.len;
    let mut last = [b'\n'];
    if end > 0 {
        file.read_at(&mut last, end - 1)?;
    }
    if last != [b'\n'] {
        write_all_at(&*file, b"\n", end)?;
        end += 1;
    }
    write_all_at(&*file, lines, end)?;
    file.sync_data()?;
    match path.parent() {
        Some(dir) if new => vfs.sync_dir(dir),
        _ => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use vfs::OsVfs;

    use super::*;

    #[test]
    fn a_torn_line_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        append(&OsVfs, &path, b"{\"a\":1}\n").unwrap();
        append(&OsVfs, &path, b"{\"b\":").unwrap();
        append(&OsVfs, &path, b"{\"c\":3}\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"a\":1}\n{\"b\":\n{\"c\":3}\n");
    }
}
