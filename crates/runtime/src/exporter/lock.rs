//! The lock of the one consumer of a log.
//!
//! A consumer that runs for long gives the lock back between its passes, so a command that comes in
//! between waits a little before it gives up. `flock` has no queue and no wake-up to wait for: the
//! lock is tried again at intervals until the time is over.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use thiserror::Error;
use tokio::time::Instant;
use vfs::{Lock, LockError, Vfs};
use wal_format::names;

/// How long the commands wait for the lock.
pub const LOCK_WAIT: Duration = Duration::from_secs(5);
/// Time between two attempts.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// Takes the lock of the consumer of the log in `dir`, waiting for it for up to `wait`.
///
/// # Errors
///
/// [`DrainLockError`]. Nothing has changed.
pub(super) async fn take(
    vfs: &dyn Vfs,
    dir: &Path,
    holder: &str,
    wait: Duration,
) -> Result<Lock, DrainLockError> {
    let path = dir.join(names::DRAIN_LOCK);
    let deadline = Instant::now() + wait;
    loop {
        match vfs.lock(&path, holder) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Held { .. }) if Instant::now() < deadline => {}
            Err(LockError::Held { holder }) => {
                return Err(DrainLockError::Held { dir: dir.to_owned(), holder });
            }
            Err(LockError::Io(source)) => return Err(DrainLockError::Io { path, source }),
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// Why the lock was not taken.
#[derive(Debug, Error)]
pub enum DrainLockError {
    /// Another consumer is at work.
    #[error("{} is drained by {holder}", dir.display())]
    Held {
        /// The directory.
        dir: PathBuf,
        /// What the other consumer says about itself.
        holder: String,
    },
    /// The lock could not be taken for another reason.
    #[error("cannot lock {}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use vfs::MemVfs;

    use super::*;

    fn executor() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn a_lock_that_is_given_back_in_time_is_taken() {
        let (vfs, dir) = (MemVfs::default(), Path::new("/"));
        executor().block_on(async {
            let held = take(&vfs, dir, "pid 41", Duration::ZERO).await.unwrap();
            let give_back = async {
                tokio::task::yield_now().await;
                drop(held);
            };
            let wait = Duration::from_mins(1);
            let (taken, ()) = tokio::join!(take(&vfs, dir, "pid 42", wait), give_back);
            taken.unwrap();
        });
    }

    #[test]
    fn a_lock_that_stays_held_names_its_holder() {
        let (vfs, dir) = (MemVfs::default(), Path::new("/"));
        executor().block_on(async {
            let _held = take(&vfs, dir, "pid 41", Duration::ZERO).await.unwrap();
            let error = take(&vfs, dir, "pid 42", Duration::ZERO).await.unwrap_err();
            assert_eq!(error.to_string(), "/ is drained by pid 41");
        });
    }
}
