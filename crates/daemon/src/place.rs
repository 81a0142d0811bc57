//! One daemon a directory: the lock that names its holder.
//!
//! * **L1** The lock of the kernel decides who is alone; the number in the file is for people.
//! * **L2** The file is emptied only by whoever has the lock: who comes second does not wipe it.
//! * **L3** The file goes while the lock is held, and whoever locked a file that is no longer the one with
//!   the name tries again: two never hold two files of one name.
//! * **L4** A process that is gone holds nothing: what it left needs no care.
//! * **L5** Only a lock is written over: a symbolic link, a file with a second name and one that is longer than any
//!   number are refused, and stay as they are.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use thiserror::Error;
use vfs::{File, NotOwn, OpenMode, Vfs, check_own, write_all_at};

use crate::codes;

/// Where it is, below the directory of the step logs.
const NAME: &str = "run/daemon.pid";
/// How often a lock is tried: somebody may just be looking, or leaving.
const TRIES_MAX: u32 = 10;
/// Pause between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// Longest text that is read as a number; a longer file is no lock (L5).
const PID_LEN_MAX: usize = 32;

/// The place of a directory, taken until this is dropped.
#[derive(Debug)]
pub struct PidLock<'a> {
    vfs: &'a dyn Vfs,
    path: PathBuf,
    file: Option<Arc<dyn File>>,
}

/// Whether a place is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// Nobody has it.
    Free,
    /// Somebody has it: by this number, if the file has one.
    Taken(Option<u32>),
}

/// Returns the lock file of a directory.
pub fn pid_path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

impl<'a> PidLock<'a> {
    /// Takes the place of `dir`, which is made when it is not there.
    ///
    /// # Errors
    ///
    /// [`PlaceError::AlreadyLocked`] when somebody has it; [`PlaceError::NotALock`]; [`PlaceError::Io`].
    pub fn take(vfs: &'a dyn Vfs, dir: &Path, pid: u32) -> Result<Self, PlaceError> {
        let path = pid_path(dir);
        let at = |what| {
            let path = path.clone();
            move |source| PlaceError::of(what, path, source)
        };
        if let Some(parent) = path.parent() {
            vfs.create_dir_all(parent).map_err(at("create the directory of"))?;
        }
        let mut holder = None;
        for tried in 0..TRIES_MAX {
            if tried > 0 {
                std::thread::park_timeout(TRY_AGAIN);
            }
            let file = vfs.open(&path, OpenMode::CreateOwn).map_err(at("open"))?;
            if !file.try_lock().map_err(at("lock"))? {
                holder = pid_in(&*file);
                continue;
            }
            // L3
            if !file.is_named(&path).map_err(at("look at"))? {
                continue;
            }
            check_own(&*file, PID_LEN_MAX as u64).map_err(at("take"))?;
            let text = format!("{pid}\n");
            let written = file.set_len(0).and_then(|()| write_all_at(&*file, text.as_bytes(), 0));
            // On a full disk there may be no room for it, and the lock holds all the same (L1).
            written.ok();
            return Ok(Self { vfs, path, file: Some(file) });
        }
        Err(PlaceError::AlreadyLocked { path, pid: holder })
    }

    /// Gives the place back. A second call does nothing.
    pub fn release(&mut self) {
        let Some(file) = self.file.take() else { return };
        // Only the file that is ours; when it stays, nothing is wrong (L4).
        if file.is_named(&self.path).unwrap_or(false) {
            self.vfs.remove(&self.path).ok();
        }
    }
}

impl Drop for PidLock<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

/// Finds out whether somebody has the place of `dir`. Nothing is made or changed.
///
/// # Errors
///
/// What the file system reports.
pub fn is_taken(vfs: &dyn Vfs, dir: &Path) -> io::Result<Seat> {
    let file = match vfs.open(&pid_path(dir), OpenMode::ReadOwn) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Seat::Free),
        file => file?,
    };
    // Ours ends with the handle.
    Ok(if file.try_lock()? { Seat::Free } else { Seat::Taken(pid_in(&*file)) })
}

fn pid_in(file: &dyn File) -> Option<u32> {
    let mut bytes = [0; PID_LEN_MAX];
    let read = file.read_at(&mut bytes, 0).ok()?;
    std::str::from_utf8(bytes.get(..read)?).ok()?.trim().parse().ok()
}

/// Why a place is not taken.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// Somebody has it.
    #[error(
        "{} is held by {}",
        path.display(),
        pid.map_or_else(|| "an unknown process".to_owned(), |it| format!("pid {it}"))
    )]
    AlreadyLocked {
        /// The lock file.
        path: PathBuf,
        /// Whoever has it, if the file says so.
        pid: Option<u32>,
    },
    /// What has the name is no lock; it stays as it is (L5).
    #[error("{} is no lock of a daemon, and nothing is written into it: {why}", path.display())]
    NotALock {
        /// The name.
        path: PathBuf,
        /// What it is instead.
        why: NotOwn,
    },
    /// The file system failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was to be done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl PlaceError {
    fn of(what: &'static str, path: PathBuf, source: io::Error) -> Self {
        match NotOwn::of(&source) {
            Some(why) => Self::NotALock { path, why },
            None => Self::Io { what, path, source },
        }
    }

    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AlreadyLocked { .. } => codes::DAEMON_LOCKED,
            Self::NotALock { .. } => codes::DAEMON_LOCK_INVALID,
            Self::Io { .. } => codes::DAEMON_IO,
        }
    }
}

#[cfg(test)]
mod tests {
    use vfs::{MemVfs, OsVfs, read_whole};

    use super::*;

    /// Gives data a name.
    type Put = fn(&Path, &Path);

    #[test]
    fn who_comes_second_learns_the_number_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let _first = PidLock::take(&OsVfs, dir.path(), 41).unwrap();
        let error = PidLock::take(&OsVfs, dir.path(), 42).unwrap_err();
        assert!(
            matches!(&error, PlaceError::AlreadyLocked { pid: Some(41), path } if *path == pid_path(dir.path()))
        );
        assert!(error.to_string().ends_with("is held by pid 41"), "{error}");
        assert_eq!(std::fs::read_to_string(pid_path(dir.path())).unwrap(), "41\n");
        assert_eq!(is_taken(&OsVfs, dir.path()).unwrap(), Seat::Taken(Some(41)));
    }

    #[test]
    fn a_place_that_was_given_back_leaves_no_file_and_is_free() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(is_taken(&OsVfs, dir.path()).unwrap(), Seat::Free);
        let mut first = PidLock::take(&OsVfs, dir.path(), 41).unwrap();
        first.release();
        assert!(!pid_path(dir.path()).exists());
        let _second = PidLock::take(&OsVfs, dir.path(), 42).unwrap();
        first.release();
        drop(first);
        assert_eq!(is_taken(&OsVfs, dir.path()).unwrap(), Seat::Taken(Some(42)), "it is not ours");
    }

    #[test]
    fn what_a_killed_process_left_needs_no_care() {
        let vfs = MemVfs::default();
        let dir = Path::new("/steps");
        std::mem::forget(PidLock::take(&vfs, dir, 4_000_000).unwrap());
        assert!(PidLock::take(&vfs, dir, 2).is_err());
        vfs.process_kill();
        let second = PidLock::take(&vfs, dir, 2).unwrap();
        let left = read_whole(&vfs, &pid_path(dir), 100).unwrap().unwrap();
        assert_eq!(left, b"2\n", "not a digit of the longer number is left");
        drop(second);
    }

    #[test]
    fn a_file_that_names_nobody_is_held_by_an_unknown_process() {
        let vfs = MemVfs::default();
        let dir = Path::new("/steps");
        let _first = PidLock::take(&vfs, dir, 1).unwrap();
        vfs.open(&pid_path(dir), OpenMode::ReadWrite).unwrap().set_len(0).unwrap();
        let error = PidLock::take(&vfs, dir, 2).unwrap_err();
        assert!(error.to_string().ends_with("an unknown process"), "{error}");
        assert_eq!(error.code(), "DAEMON_LOCKED");
    }

    /// L5
    #[test]
    fn what_is_no_lock_is_refused_and_stays_as_it_is() {
        let long = "x".repeat(33);
        let rows: [(&str, Put); 3] = [
            ("7\n", |data, at| std::os::unix::fs::symlink(data, at).unwrap()),
            ("7\n", |data, at| std::fs::hard_link(data, at).unwrap()),
            (&long, |data, at| std::fs::rename(data, at).unwrap()),
        ];
        for (content, put) in rows {
            let dir = tempfile::tempdir().unwrap();
            let (data, at) = (dir.path().join("precious"), pid_path(dir.path()));
            std::fs::create_dir(dir.path().join("run")).unwrap();
            std::fs::write(&data, content).unwrap();
            put(&data, &at);
            let error = PidLock::take(&OsVfs, dir.path(), 41).unwrap_err();
            assert_eq!(error.code(), "DAEMON_LOCK_INVALID", "{error}");
            assert_eq!(std::fs::read_to_string(&at).unwrap(), content, "{error}");
        }
    }
}
