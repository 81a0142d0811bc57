//! Which operation fails, and how.

use std::{fmt, path::PathBuf};

/// An operation that changes something or locks, as a fault plan sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A file is created or emptied.
    Create(PathBuf),
    /// Bytes are written.
    Write {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How many.
        len: usize,
    },
    /// A file is cut or extended.
    SetLen(PathBuf, u64),
    /// The content of a file is synced.
    Sync(PathBuf),
    /// A file is renamed.
    Rename(PathBuf, PathBuf),
    /// A file gets a second name.
    Link(PathBuf, PathBuf),
    /// A file is removed.
    Remove(PathBuf),
    /// The names of a directory are synced.
    SyncDir(PathBuf),
    /// A lock file is locked.
    Lock(PathBuf),
    /// An open file is locked.
    LockFile(PathBuf),
}

/// What happens instead of success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device fails. A failed sync leaves the pages clean in memory: reading still shows what
    /// was written, a later sync succeeds, and the bytes may or may not be on the disk.
    Eio,
    /// The disk is full. Half of a write is done, as on a real disk.
    Enospc,
    /// The file system is read-only.
    ReadOnly,
    /// A write does only this many bytes and reports so.
    Short(usize),
    /// The call is interrupted by a signal and does nothing.
    Interrupted,
    /// The call does nothing and reports success. No disk is asked to survive this: it takes one
    /// protection away, so that a test can show that somebody misses it.
    Lie,
    /// Power is lost in the middle of the operation: it may have happened or not, and everything
    /// after it fails.
    Crash,
}

type Decide = dyn FnMut(u64, &Op) -> Option<Fault> + Send;

/// Decides about each operation. The number counts the operations from 0.
pub struct FaultPlan(Box<Decide>);

impl FaultPlan {
    /// Everything works.
    pub fn none() -> Self {
        Self::new(|_, _| None)
    }

    /// Power is lost at operation `step`.
    pub fn crash_at(step: u64) -> Self {
        Self::new(move |now, _| (now == step).then_some(Fault::Crash))
    }

    /// Asks `decide` at each operation.
    pub fn new(decide: impl FnMut(u64, &Op) -> Option<Fault> + Send + 'static) -> Self {
        Self(Box::new(decide))
    }

    pub(crate) fn decide(&mut self, step: u64, op: &Op) -> Option<Fault> {
        (self.0)(step, op)
    }
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultPlan")
    }
}
