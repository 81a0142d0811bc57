//! One writer of a goal, whoever it is, however the last one ended.
//!
//! The file is published whole by a hard link, with the lock of the operating system already held on it: so its
//! name says that somebody has it, and the kernel says whether that somebody lives. Programs that only create the
//! file and write their pid into it are respected, too.
//!
//! | file                            | lock of the system | answer                                |
//! |---------------------------------|--------------------|---------------------------------------|
//! | absent                          |                    | published: ours                       |
//! | any                             | held               | busy                                  |
//! | a record of this program        | free               | its writer is dead: taken over        |
//! | a bare pid that lives           | free               | busy                                  |
//! | a bare pid that is dead         | free               | taken over                            |
//! | anything else, older than 30 s  | free               | taken over                            |
//! | anything else, younger          | free               | busy                                  |
//! | another file than was opened    |                    | looked at again                       |
//! | a link, or a file with a second name, or longer than a record | free | refused, as it was    |
//!
//! * **L1** There are never two holders: a take-over happens under the lock of the system, on the file that has
//!   the name.
//! * **L2** A holder that dies leaves nothing that has to be cleaned by hand.
//! * **L3** The name goes with the holder: after the drop of a [`Held`] there is no file.
//! * **L4** Who takes over from the dead knows so: what they renamed may not be durable yet.
//! * **L5** Only a lock is written over: a name that is a symbolic link is not followed, and a file that has another
//!   name than this one and those that publishing gives it, or is longer than any record, stays as it is.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use vfs::{File, NotOwn, OpenMode, Vfs, check_own, write_all_at};

use crate::{process::Liveness, state::stamp};

/// Age from which a lock that says nothing readable counts as left behind.
pub const STALE_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// How often a waiter looks.
pub const POLL_EVERY: SignedDuration = SignedDuration::from_millis(50);
/// How long a waiter waits.
pub const WAIT_MAX: SignedDuration = SignedDuration::from_secs(30);
/// Most bytes of a lock file that are read; what is longer is no lock (L5).
const RECORD_LEN_MAX: usize = 4096;
/// How often a name that changes under our hands is looked at again.
const LOOKS_MAX: u32 = 16;

/// Who has a lock; one line of JSON in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Process.
    pub pid: u32,
    /// Host.
    pub host: String,
    /// Identity of the boot.
    pub boot_id: String,
    /// When the process began, in ticks since the boot; tells processes with the same number apart.
    pub start_time: Option<u64>,
    /// When the lock was taken.
    #[serde(default)]
    pub acquired_at: String,
}

impl Owner {
    /// This process.
    pub fn new(pid: u32, liveness: &dyn Liveness) -> Self {
        Self {
            pid,
            host: liveness.host().to_owned(),
            boot_id: liveness.boot_id().to_owned(),
            start_time: liveness.start_time(pid),
            acquired_at: String::new(),
        }
    }
}

/// Why a lock was not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody has it, and goes on having it.
    #[error("{} is held by {holder}", .path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
        /// Who, as far as the file says.
        holder: String,
    },
    /// What has the name is no lock; it stays as it is (L5).
    #[error("{} is no lock of a goal, and nothing is written into it: {why}", .path.display())]
    NotALock {
        /// The name.
        path: PathBuf,
        /// What it is instead.
        why: NotOwn,
    },
    /// The file could not be used.
    #[error("cannot lock {}: {source}", .path.display())]
    Io {
        /// The lock.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl LockError {
    fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match NotOwn::of(&source) {
            Some(why) => Self::NotALock { path, why },
            None => Self::Io { path, source },
        }
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "GOAL_LOCKED",
            Self::NotALock { .. } => "GOAL_LOCK_INVALID",
            Self::Io { .. } => "GOAL_IO",
        }
    }
}

/// The right to change a goal, until it is dropped (L3).
#[derive(Debug)]
pub struct Held {
    vfs: Arc<dyn Vfs>,
    file: Arc<dyn File>,
    path: PathBuf,
    took_over: bool,
}

impl Held {
    /// Whether the last holder died (L4).
    pub(crate) const fn took_over(&self) -> bool {
        self.took_over
    }

    /// Whether the name still is ours. A program that only looks at ages may have taken it.
    pub(crate) fn is_ours(&self) -> io::Result<bool> {
        self.file.is_named(&self.path)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Removed while it is held, so that nobody else's is. What cannot be removed is taken over by the next.
        if self.file.is_named(&self.path).unwrap_or(false) {
            self.vfs.remove(&self.path).ok();
        }
    }
}

/// What a look at the lock says.
enum Look {
    Ours(Held),
    Busy(String),
    Again,
}

/// What a lock file says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Record(Owner),
    Pid(u32),
    Nothing,
}

fn said(bytes: &[u8]) -> Said {
    // What a longer record left behind the line is not ours to read.
    let line = bytes.split(|it| *it == b'\n').next().unwrap_or_default();
    if let Ok(owner) = serde_json::from_slice::<Owner>(line) {
        return Said::Record(owner);
    }
    let text = std::str::from_utf8(line).unwrap_or_default().trim();
    text.parse().map_or(Said::Nothing, Said::Pid)
}

/// Tries to take the lock once.
///
/// # Errors
///
/// [`LockError::Busy`] when somebody has it, and what the file system reports.
pub(crate) fn try_lock(
    vfs: &Arc<dyn Vfs>,
    path: &Path,
    me: &Owner,
    liveness: &dyn Liveness,
    now: Timestamp,
) -> Result<Held, LockError> {
    let mut holder = "a writer that comes and goes".to_owned();
    for _ in 0..LOOKS_MAX {
        let look = look(vfs, path, me, liveness, now);
        match look.map_err(|source| LockError::of(path, source))? {
            Look::Ours(held) => return Ok(held),
            Look::Busy(by) => {
                holder = by;
                break;
            }
            Look::Again => {}
        }
    }
    Err(LockError::Busy { path: path.to_owned(), holder })
}

fn look(
    vfs: &Arc<dyn Vfs>,
    path: &Path,
    me: &Owner,
    liveness: &dyn Liveness,
    now: Timestamp,
) -> io::Result<Look> {
    let record = record(me, now);
    let file = match vfs.open(path, OpenMode::ReadWriteOwn) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return publish(vfs, path, me, &record);
        }
        Err(error) => return Err(error),
    };
    let free = file.try_lock()?;
    let found = said(&read(&*file)?);
    if !free {
        return Ok(Look::Busy(holder(&found)));
    }
    if !file.is_named(path)? {
        return Ok(Look::Again);
    }
    check_lock(vfs, path, &*file)?;
    let dead = match &found {
        Said::Record(_) => true,
        Said::Pid(pid) => !liveness.is_alive(*pid, None),
        Said::Nothing => vfs.modified_ms(path)?.is_some_and(|at| {
            i128::from(now.as_millisecond()) - i128::from(at) > STALE_AFTER.as_millis()
        }),
    };
    if !dead {
        return Ok(Look::Busy(holder(&found)));
    }
    // The new record is whole before the old one is cut off: a kill between leaves one that can be read.
    write_all_at(&*file, &record, 0)?;
    file.set_len(record.len() as u64)?;
    Ok(Look::Ours(held(vfs, file, path, true)))
}

fn held(vfs: &Arc<dyn Vfs>, file: Arc<dyn File>, path: &Path, took_over: bool) -> Held {
    Held { vfs: Arc::clone(vfs), file, path: path.to_owned(), took_over }
}

/// L5. A publisher that was killed left its second name, and that is one of a lock.
fn check_lock(vfs: &Arc<dyn Vfs>, path: &Path, file: &dyn File) -> io::Result<()> {
    let stat = file.stat()?;
    if stat.names > 1 && stat.names > 1 + temps(vfs, path, file)? {
        return Err(NotOwn::Names { names: stat.names }.into());
    }
    let max = RECORD_LEN_MAX as u64;
    if stat.len > max {
        return Err(NotOwn::Long { len: stat.len, max }.into());
    }
    Ok(())
}

/// How many names of a publisher are names of this file.
fn temps(vfs: &Arc<dyn Vfs>, path: &Path, file: &dyn File) -> io::Result<u64> {
    let id = file.stat()?.id;
    let mut count = 0;
    for (name, _) in temp_names(vfs, path)? {
        // One that has gone, or is a link to it, is none of its names.
        let opened = vfs.open(&name, OpenMode::ReadOwn);
        count += u64::from(opened.and_then(|it| it.stat()).is_ok_and(|it| it.id == id));
    }
    Ok(count)
}

/// Makes the file with its content, locked, and gives it its name (L1).
fn publish(vfs: &Arc<dyn Vfs>, path: &Path, me: &Owner, record: &[u8]) -> io::Result<Look> {
    let temp = temp_name(path, me.pid);
    let file = vfs.open(&temp, OpenMode::CreateOwn)?;
    if !file.try_lock()? || !file.is_named(&temp)? {
        // Another thread of this process is at it.
        return Ok(Look::Busy(format!("process {}", me.pid)));
    }
    check_own(&*file, RECORD_LEN_MAX as u64)?;
    let linked = write_all_at(&*file, record, 0)
        .and_then(|()| file.set_len(record.len() as u64))
        .and_then(|()| vfs.link(&temp, path));
    vfs.remove(&temp)?;
    match linked {
        Ok(()) => Ok(Look::Ours(held(vfs, file, path, false))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Look::Again),
        Err(error) => Err(error),
    }
}

/// The names that publishers give their files beside a lock, with their processes.
fn temp_names(vfs: &Arc<dyn Vfs>, path: &Path) -> io::Result<Vec<(PathBuf, u32)>> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Ok(Vec::new()) };
    let prefix = format!("{}.", name.to_string_lossy());
    let pid = |it: &String| it.strip_prefix(&prefix)?.parse().ok();
    let names = vfs.list(dir)?.into_iter();
    Ok(names.filter_map(|it| Some((dir.join(&it), pid(&it)?))).collect())
}

fn temp_name(path: &Path, pid: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{pid}"));
    name.into()
}

fn record(me: &Owner, now: Timestamp) -> Vec<u8> {
    let owner = Owner { acquired_at: stamp(now), ..me.clone() };
    let mut line = serde_json::to_vec(&owner).unwrap_or_default();
    line.push(b'\n');
    line
}

fn holder(found: &Said) -> String {
    match found {
        Said::Record(owner) => {
            format!("process {} on {} since {}", owner.pid, owner.host, owner.acquired_at)
        }
        Said::Pid(pid) => format!("process {pid}"),
        Said::Nothing => "a process that left no name".to_owned(),
    }
}

fn read(file: &dyn File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; RECORD_LEN_MAX];
    let mut len = 0;
    while let Some(rest) = bytes.get_mut(len..).filter(|it| !it.is_empty()) {
        match file.read_at(rest, len as u64)? {
            0 => break,
            read => len += read,
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// Takes over a lock whose holder is dead; `None` when there is no lock, or its holder lives (L2).
///
/// # Errors
///
/// What the file system reports.
pub(crate) fn take_dead(
    vfs: &Arc<dyn Vfs>,
    path: &Path,
    me: &Owner,
    liveness: &dyn Liveness,
    now: Timestamp,
) -> Result<Option<Held>, LockError> {
    let failed = |source| LockError::Io { path: path.to_owned(), source };
    if vfs.stat(path).map_err(failed)?.is_none() {
        return Ok(None);
    }
    match try_lock(vfs, path, me, liveness, now) {
        Ok(held) => Ok(Some(held)),
        Err(LockError::Busy { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes temporary names that dead processes left (L2).
///
/// # Errors
///
/// What the file system reports.
pub(crate) fn clear_temps(
    vfs: &Arc<dyn Vfs>,
    path: &Path,
    liveness: &dyn Liveness,
) -> Result<(), LockError> {
    let failed = |source| LockError::of(path, source);
    for (name, pid) in temp_names(vfs, path).map_err(failed)? {
        if !liveness.is_alive(pid, None) {
            vfs.remove(&name).map_err(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
