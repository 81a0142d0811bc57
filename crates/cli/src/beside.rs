//! What lies beside a file of ours: the lock that its writers take in turn, and what a writer that was killed left.
//!
//! * **BF1** A file that a living process writes under its own number is nobody else's to remove.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, test_kill_process};
use vfs::{Lock, LockError, OsVfs, Vfs as _};

/// Longest wait for a lock.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How often it is looked at.
const LOCK_POLL: Duration = Duration::from_millis(10);

/// Waits for the lock beside a file, in a directory that is there.
pub(crate) fn lock(path: &Path) -> Result<Lock, LockError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match OsVfs.lock(&name, &format!("process {}", std::process::id())) {
            Err(LockError::Held { .. }) if Instant::now() < until => thread::sleep(LOCK_POLL),
            ended => return ended,
        }
    }
}

/// A name of this process alone: `stem` and its number.
pub(crate) fn own_name(stem: &str) -> String {
    format!("{stem}{}", std::process::id())
}

/// Removes files that are named so and whose process is gone (BF1). One of this process cannot be in use yet: a process with
/// the same number left it.
pub(crate) fn remove_left(dir: &Path, stem: &str) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let pid = name.to_str().and_then(|it| it.strip_prefix(stem));
        let Some(pid) = pid.and_then(|it| it.parse::<u32>().ok()) else { continue };
        let left = pid == std::process::id() || !is_alive(pid);
        if left && entry.file_type().is_ok_and(|it| it.is_file()) {
            removed(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file, or finds it gone.
pub(crate) fn removed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a process is there, of whomever it is.
fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|it| test_kill_process(it) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BF1
    #[test]
    fn what_dead_processes_left_is_removed_and_what_others_have_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let kept = [".x-1", ".x", ".x-4194999a", ".y-4194999"];
        let left = [".x-4194999".to_owned(), own_name(".x-")];
        for name in kept.iter().map(|it| (*it).to_owned()).chain(left) {
            fs::write(dir.path().join(name), "half").unwrap();
        }
        remove_left(dir.path(), ".x-").unwrap();
        let names = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name());
        let names: std::collections::BTreeSet<_> =
            names.map(|it| it.into_string().unwrap()).collect();
        assert_eq!(names, kept.map(str::to_owned).into());
    }
}
