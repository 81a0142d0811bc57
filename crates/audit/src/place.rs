//! The files of a trail, and its end as a process knows it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use vfs::{File, Lock, LockError, OpenMode, Vfs};

use crate::{
    error::{Damage, OpenError},
    names,
    tail::{Tail, TailError},
};

/// Pause between two questions for the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// A directory.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) dir: PathBuf,
}

/// The end of the open segment.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) file: Arc<dyn File>,
    pub(crate) tail: Tail,
    /// Up to here the file is known to be synced. What follows was found and is written again before
    /// anything is built on it: whoever wrote it may have failed to sync it, and a second sync would
    /// not make up for that.
    pub(crate) settled: u64,
}

impl Files {
    pub(crate) fn new(vfs: Arc<dyn Vfs>, dir: &Path) -> Self {
        Self { vfs, dir: dir.to_owned() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Opens a file; `Ok(None)` when it is not there.
    pub(crate) fn open(&self, name: &str, mode: OpenMode) -> io::Result<Option<Arc<dyn File>>> {
        match self.vfs.open(&self.path(name), mode) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn exists(&self, name: &str) -> Result<bool, OpenError> {
        let found = self.vfs.stat(&self.path(name)).map_err(self.io(name))?;
        Ok(found.is_some())
    }

    /// The numbers with which the sealed segments begin, in order.
    pub(crate) fn sealed(&self) -> io::Result<Vec<u64>> {
        Ok(self.vfs.list(&self.dir)?.iter().filter_map(|it| names::first_of(it)).collect())
    }

    /// Names the file in an error.
    pub(crate) fn io(&self, name: &str) -> impl FnOnce(io::Error) -> OpenError {
        let path = self.path(name);
        move |source| OpenError::Io { path, source }
    }

    pub(crate) fn tail(&self, name: &str) -> impl FnOnce(TailError) -> OpenError {
        let path = self.path(name);
        move |it| match it {
            TailError::Io(source) => OpenError::Io { path, source },
            TailError::Damaged(damage) => OpenError::Corrupt(damage),
        }
    }

    pub(crate) fn sync_dir(&self) -> Result<(), OpenError> {
        let dir = self.dir.clone();
        let failed = |source| OpenError::Io { path: dir, source };
        self.vfs.sync_dir(&self.dir).map_err(failed)
    }

    /// Waits for the lock, `attempts` times [`LOCK_PAUSE`] at most.
    pub(crate) fn lock(&self, holder: &str, attempts: u32) -> Result<Lock, OpenError> {
        let path = self.path(names::LOCK);
        let mut left = attempts;
        loop {
            match self.vfs.lock(&path, holder) {
                Ok(lock) => return Ok(lock),
                Err(LockError::Io(source)) => return Err(OpenError::Io { path, source }),
                Err(LockError::Held { holder }) if left <= 1 => {
                    return Err(OpenError::Locked { holder });
                }
                Err(LockError::Held { .. }) => thread::sleep(LOCK_PAUSE),
            }
            left -= 1;
        }
    }
}

/// Damage of which only the file is known.
pub(crate) fn at_file(
    name: &str,
    offset: u64,
    seq: u64,
    (kind, detail): (crate::error::Kind, String),
) -> Damage {
    Damage { file: name.to_owned(), offset, line: 1, seq, kind, detail }
}
