//! What a log needs of a file system.
//!
//! # Invariants
//!
//! * **V1** Nothing is durable before the matching sync returned `Ok`: file content before
//!   [`File::sync_data`], names before [`Vfs::sync_dir`].
//! * **V2** After a failed write or sync nobody may assume what is on the disk. This layer reports
//!   and never retries; whoever owns the file is poisoned.
//! * **V3** A write may be short. [`write_all_at`] is the one loop that finishes it.
//! * **V4** What is emptied, kept from others or overwritten as a lock is a file of ours: the modes for it refuse a
//!   symbolic link, and nothing is emptied or taken as a lock that has a second name. Both are said as [`NotOwn`],
//!   and nothing was written.

use std::{fmt, io, path::Path, sync::Arc};

#[cfg(doc)]
use crate::NotOwn;
use crate::{Lock, LockError};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; the file must exist.
    Read,
    /// For reading and writing; the file must exist.
    ReadWrite,
    /// For reading and writing; created when it does not exist, kept as it is when it does.
    Create,
    /// For reading and writing; emptied when it exists, created when it does not.
    Truncate,
    /// As [`Self::Truncate`], and nobody but the owner may read or write it, whatever it was before.
    TruncatePrivate,
    /// As [`Self::Create`], but nobody else may read or write what is created.
    CreatePrivate,
    /// As [`Self::Read`], and the name is that of the file itself, not of a link to it (V4).
    ReadOwn,
    /// As [`Self::ReadWrite`], and the name is that of the file itself, not of a link to it (V4).
    ReadWriteOwn,
    /// As [`Self::Create`], and the name is that of the file itself, not of a link to it (V4).
    CreateOwn,
}

impl OpenMode {
    /// Whether what is in the file goes.
    pub(crate) const fn empties(self) -> bool {
        matches!(self, Self::Truncate | Self::TruncatePrivate)
    }

    /// Whether a missing file is made.
    pub(crate) const fn creates(self) -> bool {
        self.empties() || matches!(self, Self::Create | Self::CreatePrivate | Self::CreateOwn)
    }

    /// Whether it is opened for writing.
    pub(crate) const fn writes(self) -> bool {
        !matches!(self, Self::Read | Self::ReadOwn)
    }

    /// Whether a symbolic link is refused (V4).
    pub(crate) const fn refuses_links(self) -> bool {
        !matches!(self, Self::Read | Self::ReadWrite | Self::Create)
    }
}

/// Which file it is, whatever its name: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// What the file system says about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Length in bytes.
    pub len: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Which file it is.
    pub id: FileId,
    /// How many names it has.
    pub names: u64,
}

/// A file system.
pub trait Vfs: fmt::Debug + Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// What the file system reports, and [`NotOwn`] as the modes say (V4).
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// Creates a directory and its parents, and makes their names durable.
    ///
    /// # Errors
    ///
    /// What the file system reports; an existing directory is no error, a file in its place is.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory that nobody else may look into, and its parents as
    /// [`Self::create_dir_all`] does. An existing directory stays as it is.
    ///
    /// # Errors
    ///
    /// What the file system reports; an existing directory is no error, a file in its place is.
    fn create_private_dir(&self, path: &Path) -> io::Result<()> {
        self.create_dir_all(path)
    }

    /// Gives a file another name, replacing what had that name. Durable after [`Self::sync_dir`].
    ///
    /// # Errors
    ///
    /// What the file system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name. Durable after [`Self::sync_dir`].
    ///
    /// # Errors
    ///
    /// What the file system reports: [`io::ErrorKind::AlreadyExists`] when the name is taken,
    /// [`io::ErrorKind::PermissionDenied`] or [`io::ErrorKind::Unsupported`] where files have one
    /// name only.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after [`Self::sync_dir`].
    ///
    /// # Errors
    ///
    /// What the file system reports; a missing file is an error.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Looks at a path; `Ok(None)` when nothing is there.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>>;

    /// When the content of a file was last changed, in milliseconds since 1970; `Ok(None)` when nothing is there
    /// or the file system does not know.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    fn modified_ms(&self, path: &Path) -> io::Result<Option<i64>> {
        self.stat(path).map(|_| None)
    }

    /// Returns the names in a directory, sorted.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Takes an advisory lock on `path` without waiting, and leaves `holder` in the file for
    /// whoever comes second. The file stays; the lock ends with the process or the [`Lock`].
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] with the text of the holder, [`NotOwn`] for what is no lock file of ours (V4), or what the
    /// file system reports.
    fn lock(&self, path: &Path, holder: &str) -> Result<Lock, LockError>;
}

/// An open file. Offsets are absolute; there is no cursor, so one handle serves many threads.
pub trait File: fmt::Debug + Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of `buf` at `offset` (V3).
    ///
    /// # Errors
    ///
    /// What the file system reports.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts or extends the file; what is added reads as zeros.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the content and the length durable.
    ///
    /// # Errors
    ///
    /// What the file system reports. The content is then unknown (V2).
    fn sync_data(&self) -> io::Result<()>;

    /// Takes an advisory lock on the file itself without waiting; it ends with the handle. `false`
    /// when another handle has it.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    fn try_lock(&self) -> io::Result<bool>;

    /// Looks at the open file.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    fn stat(&self) -> io::Result<Stat>;

    /// Whether `path` still names this file, and not another one or none.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    fn is_named(&self, path: &Path) -> io::Result<bool>;

    /// Length of this file in bytes, if `path` still names it; `None` for another file or none.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    fn named_len(&self, path: &Path) -> io::Result<Option<u64>> {
        Ok(if self.is_named(path)? { Some(self.stat()?.len) } else { None })
    }
}

/// Writes all of `buf` at `offset` (V3).
///
/// # Errors
///
/// The first error of [`File::write_at`]; a write of zero bytes is [`io::ErrorKind::WriteZero`].
pub fn write_all_at(file: &dyn File, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        let written = match file.write_at(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            // An interrupted call wrote nothing; this is not a retry of a failed write.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        buf = buf.get(written..).unwrap_or_default();
        offset += written as u64;
    }
    Ok(())
}
