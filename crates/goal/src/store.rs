//! `goal.json` on the disk.
//!
//! * **F1** After a change returned `Ok` it is durable; after a crash inside it the file is the old one or the new. Moved
//!   entries are durable before it ([`History`](crate::History)).
//! * **F2** A file that cannot be read as a goal is an error that names it, and is never written over. Only
//!   `init --force` goes past it, and moves it aside first.
//! * **F3** What is absent is not begun by a change: only `init` begins a goal.
//! * **F4** Whoever writes shows that it has the lock: each file that is replaced or removed, not the goal alone.
//! * **F5** Nobody builds upon what a process that was killed may have renamed and not synced: who takes the lock over
//!   syncs the directories first. A power loss afterwards takes nothing back that was answered since.

use std::{io, path::PathBuf, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;
use vfs::{Vfs, read_whole, replace};

use crate::{
    history::HistoryError,
    lock::{Held, LockError, Owner, POLL_EVERY, clear_temps, take_dead, try_lock},
    place::Place,
    process::Liveness,
    state::Goal,
    tentacle::check_name,
};

/// Longest `goal.json`, in bytes.
pub const GOAL_LEN_MAX: u64 = 64 << 20;

/// Time, as a program has it.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Waits.
    fn pause(&self, duration: SignedDuration);
}

/// Why a goal was not read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no goal.
    #[error("there is no goal at {}", .path.display())]
    Absent {
        /// Where it would be.
        path: PathBuf,
    },
    /// There is a goal already.
    #[error("there is a goal at {} already", .path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// The file is there, and is no goal (F2).
    #[error("{} cannot be read as a goal: {source}", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// A file of moved entries is not what the goal counts on; it is not written.
    #[error("{} cannot be read as the history of the goal: {source}", .path.display())]
    History {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: HistoryError,
    },
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
    /// The lock was lost to a program that does not respect it; nothing was written.
    #[error("the lock {} was taken away", .path.display())]
    LockLost {
        /// The lock.
        path: PathBuf,
    },
    /// The lock was not taken.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl StoreError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Absent { .. } => "GOAL_ABSENT",
            Self::Exists { .. } => "GOAL_EXISTS",
            Self::Corrupt { .. } => "GOAL_CORRUPT",
            Self::History { .. } => "GOAL_FILE_CORRUPT",
            Self::Io { .. } => "GOAL_IO",
            Self::LockLost { .. } => "GOAL_LOCK_LOST",
            Self::Lock(error) => error.code(),
        }
    }
}

/// The files of a goal.
#[derive(Clone)]
pub struct Store {
    vfs: Arc<dyn Vfs>,
    place: Place,
    me: Owner,
    liveness: Arc<dyn Liveness>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens no file yet.
    pub fn new(
        vfs: Arc<dyn Vfs>,
        place: Place,
        pid: u32,
        liveness: Arc<dyn Liveness>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let me = Owner::new(pid, &*liveness);
        Self { vfs, place, me, liveness, clock }
    }

    /// Where the files are.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The file system.
    pub(crate) fn vfs(&self) -> &dyn Vfs {
        &*self.vfs
    }

    /// Who lives.
    pub fn liveness(&self) -> &dyn Liveness {
        &*self.liveness
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes the lock; waits for it at most this long.
    ///
    /// # Errors
    ///
    /// [`LockError::Busy`] after that time, and what the file system reports.
    pub fn lock(&self, wait: SignedDuration) -> Result<Held, LockError> {
        let path = self.place.lock();
        let until = self.clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX);
        let failed = |source| LockError::Io { path: path.clone(), source };
        self.vfs.create_dir_all(self.place.state()).map_err(failed)?;
        loop {
            let now = self.clock.now();
            match try_lock(&self.vfs, &path, &self.me, &*self.liveness, now) {
                Err(LockError::Busy { .. }) if now < until => self.clock.pause(POLL_EVERY),
                Err(error) => return Err(error),
                Ok(held) => {
                    self.settle(&held)?;
                    return Ok(held);
                }
            }
        }
    }

    /// F5
    fn settle(&self, held: &Held) -> Result<(), LockError> {
        if !held.took_over() {
            return Ok(());
        }
        let sync = |path: PathBuf| {
            let synced = self.vfs.sync_dir(&path);
            synced.map_err(|source| LockError::Io { path, source })
        };
        sync(self.place.state().to_owned())?;
        let dir = self.place.tentacles();
        let names = match self.vfs.list(dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(LockError::Io { path: dir.to_owned(), source }),
        };
        let names = names.into_iter().filter(|it| check_name(it).is_ok());
        for path in names.map(|it| dir.join(it)) {
            let stat = self.vfs.stat(&path);
            let stat = stat.map_err(|source| LockError::Io { path: path.clone(), source })?;
            if stat.is_some_and(|it| it.is_dir) {
                sync(path)?;
            }
        }
        Ok(())
    }

    /// Removes a lock that a dead process left. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    pub fn clear_dead_lock(&self) -> Result<bool, LockError> {
        let (path, now) = (self.place.lock(), self.clock.now());
        let Some(held) = take_dead(&self.vfs, &path, &self.me, &*self.liveness, now)? else {
            return Ok(false);
        };
        self.settle(&held)?;
        drop(held);
        clear_temps(&self.vfs, &path, &*self.liveness)?;
        Ok(true)
    }

    /// Reads the goal; `None` when there is none.
    ///
    /// # Errors
    ///
    /// A file that is no goal (F2), and what the file system reports.
    pub fn look(&self) -> Result<Option<Goal>, StoreError> {
        let path = self.place.goal();
        let bytes = match read_whole(&*self.vfs, &path, GOAL_LEN_MAX) {
            Ok(bytes) => bytes,
            Err(source) => return Err(StoreError::Io { action: "read", path, source }),
        };
        let Some(bytes) = bytes else { return Ok(None) };
        Goal::parse(&bytes).map(Some).map_err(|source| StoreError::Corrupt { path, source })
    }

    /// Reads the goal.
    ///
    /// # Errors
    ///
    /// As [`Self::look`], and when there is none (F3).
    pub fn load(&self) -> Result<Goal, StoreError> {
        self.look()?.ok_or_else(|| StoreError::Absent { path: self.place.goal() })
    }

    /// Writes the goal (F1, F4). A history that is too long loses its older entries to the file beside it, in `goal`
    /// too ([`History`](crate::History)).
    ///
    /// # Errors
    ///
    /// What the file system reports, a lock that was taken away meanwhile, and a file of moved entries that has less
    /// than counts, when it would be written. `goal` is as it was then.
    pub fn save(&self, held: &Held, goal: &mut Goal) -> Result<(), StoreError> {
        let path = self.place.goal();
        let moved = self.move_histories(held, goal)?;
        let text = moved.as_ref().unwrap_or(goal).to_text();
        let text = text.map_err(|source| StoreError::Corrupt { path: path.clone(), source })?;
        self.write(held, path, text.as_bytes())?;
        if let Some(moved) = moved {
            *goal = moved;
        }
        Ok(())
    }

    /// Begins a goal.
    ///
    /// # Errors
    ///
    /// When there is one and `force` does not say to go past it.
    pub fn begin(
        &self,
        held: &Held,
        goal: &Goal,
        force: bool,
    ) -> Result<Option<PathBuf>, StoreError> {
        let path = self.place.goal();
        let found = self.look();
        let aside = match found {
            Ok(None) => None,
            Ok(Some(_)) if force => None,
            Ok(Some(_)) => return Err(StoreError::Exists { path }),
            Err(StoreError::Corrupt { .. }) if force => Some(self.set_aside(held)?),
            Err(error) => return Err(error),
        };
        self.save(held, &mut goal.clone())?;
        Ok(aside)
    }

    /// F2
    fn set_aside(&self, held: &Held) -> Result<PathBuf, StoreError> {
        self.check_ours(held)?;
        let path = self.place.goal();
        let aside =
            path.with_file_name(format!("goal.json.corrupt-{}", self.now().as_millisecond()));
        let moved = self.vfs.rename(&path, &aside);
        let synced = moved.and_then(|()| self.vfs.sync_dir(self.place.state()));
        synced.map_err(|source| StoreError::Io { action: "move aside", path, source })?;
        Ok(aside)
    }

    /// F4
    pub(crate) fn check_ours(&self, held: &Held) -> Result<(), StoreError> {
        if held.is_ours().unwrap_or(false) {
            return Ok(());
        }
        Err(StoreError::LockLost { path: self.place.lock() })
    }

    /// Replaces a file as a whole (F4).
    pub(crate) fn write(&self, held: &Held, path: PathBuf, bytes: &[u8]) -> Result<(), StoreError> {
        self.check_ours(held)?;
        let written = replace(&*self.vfs, &path, bytes);
        written.map_err(|source| StoreError::Io { action: "write", path, source })
    }

    /// Reads a file beside the goal; `None` when there is none.
    pub(crate) fn read(&self, path: PathBuf, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let read = read_whole(&*self.vfs, &path, limit);
        read.map_err(|source| StoreError::Io { action: "read", path, source })
    }

    /// Removes a file beside the goal, if it is there (F4).
    pub(crate) fn remove(&self, held: &Held, path: PathBuf) -> Result<(), StoreError> {
        self.check_ours(held)?;
        match self.vfs.remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Ok(()) => {
                let synced = self.vfs.sync_dir(self.place.state());
                synced.map_err(|source| StoreError::Io { action: "remove", path, source })
            }
            Err(source) => Err(StoreError::Io { action: "remove", path, source }),
        }
    }
}
