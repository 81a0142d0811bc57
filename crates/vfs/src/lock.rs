//! Advisory locks that name their holder.
//!
//! The lock is `flock`: it ends with the last handle of the process, however the process ends. The
//! file is never removed, since removing it would let two processes lock two different files.
//!
//! * **K1** The text of the holder goes into a file of ours or nowhere: a symbolic link, a file with a second name and
//!   one that is longer than any text of a holder are refused, and stay as they are.

use std::{
    any::Any,
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rustix::{fs::FlockOperation, io::Errno};

use crate::{
    NotOwn,
    os::{NEVER_WAIT, NO_LINK, check_kind, link_said, stat},
};

/// Most bytes of a holder's text that are read back; a file that has more is none of ours.
const HOLDER_LEN_MAX: u64 = 1024;

/// A lock that is held until this value is dropped.
pub struct Lock {
    _held: Box<dyn Any + Send + Sync>,
}

impl Lock {
    pub(crate) fn new(held: impl Any + Send + Sync) -> Self {
        Self { _held: Box::new(held) }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

/// Why a lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Somebody else has it.
    Held {
        /// What the holder left in the file.
        holder: String,
    },
    /// The file could not be opened, locked or written.
    Io(io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { holder } => write!(f, "held by {holder}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Held { .. } => None,
            Self::Io(error) => Some(error),
        }
    }
}

/// Takes a lock on the records of a whole file (`fcntl`), as `SQLite` locks its databases, without waiting; `None` when
/// another process has a lock on any part of it. Reads and writes nothing. It ends with the value, and **also as soon as this process
/// closes any other handle of the file**: nothing else may open the file meanwhile.
///
/// # Errors
///
/// What the file system reports.
pub fn lock_records(path: &Path) -> io::Result<Option<Lock>> {
    let flags = NEVER_WAIT | NO_LINK;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    check_kind(&file.metadata()?)?;
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock::new(file))),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Takes the lock of the operating system.
pub(crate) fn lock_file(path: &Path, holder: &str) -> Result<Lock, LockError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(NEVER_WAIT | NO_LINK)
        .open(path)
        .map_err(|error| LockError::Io(link_said(error)))?;
    file.metadata().and_then(|it| check_kind(&it)).map_err(LockError::Io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(LockError::Held { holder: read(&mut file) }),
        Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
    }
    check_lock(&file).map_err(LockError::Io)?;
    // The text is a courtesy. On a full disk there may be no room for it, and the lock holds all
    // the same: that is when a log has to be drained.
    write(&mut file, holder).ok();
    Ok(Lock::new(file))
}

/// K1
fn check_lock(file: &File) -> io::Result<()> {
    let found = stat(&file.metadata()?);
    NotOwn::names(&found)?;
    if found.len > HOLDER_LEN_MAX {
        return Err(NotOwn::Long { len: found.len, max: HOLDER_LEN_MAX }.into());
    }
    Ok(())
}

fn read(file: &mut File) -> String {
    let mut bytes = Vec::new();
    match file.take(HOLDER_LEN_MAX).read_to_end(&mut bytes) {
        Ok(_) if !bytes.is_empty() => String::from_utf8_lossy(&bytes).trim().to_owned(),
        _ => "an unknown process".to_owned(),
    }
}

/// Leaves the text. It is not synced, and a reader copes with any content.
fn write(file: &mut File, holder: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    // More of it would make the file none of ours (K1).
    let len = holder.len().min(usize::try_from(HOLDER_LEN_MAX).unwrap_or(usize::MAX));
    file.write_all(holder.as_bytes().get(..len).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_comer_learns_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let first = lock_file(&path, "pid 41").unwrap();
        match lock_file(&path, "pid 42") {
            Err(LockError::Held { holder }) => assert_eq!(holder, "pid 41"),
            other => panic!("{other:?}"),
        }
        drop(first);
        lock_file(&path, "pid 42").unwrap();
    }

    /// K1
    #[test]
    fn a_file_that_is_longer_than_the_name_of_a_holder_is_no_lock_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let precious = "x".repeat(1025);
        std::fs::write(&path, &precious).unwrap();
        let error = lock_file(&path, "pid 42").unwrap_err();
        assert_eq!(error.to_string(), "1025 bytes, where at most 1024 are ever written");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), precious);
    }

    #[test]
    fn a_holder_with_a_long_name_leaves_a_lock_that_can_be_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        drop(lock_file(&path, &"x".repeat(5000)).unwrap());
        lock_file(&path, "pid 42").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "pid 42");
    }
}
