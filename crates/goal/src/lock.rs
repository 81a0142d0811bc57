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
//!
//! * **L1** There are never two holders: a take-over happens under the lock of the system, on the file that has
//!   the name.
//! * **L2** A holder that dies leaves nothing that has to be cleaned by hand.
//! * **L3** The name goes with the holder: after the drop of a [`Held`] there is no file.
//! * **L4** Who takes over from the dead knows so: what they renamed may not be durable yet.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use vfs::{File, OpenMode, Vfs, write_all_at};

use crate::{process::Liveness, state::stamp};

/// Age from which a lock that says nothing readable counts as left behind.
pub const STALE_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// How often a waiter looks.
pub const POLL_EVERY: SignedDuration = SignedDuration::from_millis(50);
/// How long a waiter waits.
pub const WAIT_MAX: SignedDuration = SignedDuration::from_secs(30);
/// Most bytes of a lock file that are read.
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
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "GOAL_LOCKED",
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
        match look.map_err(|source| LockError::Io { path: path.to_owned(), source })? {
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
    if vfs.stat(path)?.is_none() {
        return publish(vfs, path, me, &record);
    }
    let file = match vfs.open(path, OpenMode::ReadWrite) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Look::Again),
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

/// Makes the file with its content, locked, and gives it its name (L1).
fn publish(vfs: &Arc<dyn Vfs>, path: &Path, me: &Owner, record: &[u8]) -> io::Result<Look> {
    let temp = temp_name(path, me.pid);
    let file = vfs.open(&temp, OpenMode::Create)?;
    if !file.try_lock()? || !file.is_named(&temp)? {
        // Another thread of this process is at it.
        return Ok(Look::Busy(format!("process {}", me.pid)));
    }
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
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let failed = |source| LockError::Io { path: path.to_owned(), source };
    let prefix = format!("{}.", name.to_string_lossy());
    for found in vfs.list(dir).map_err(failed)? {
        let pid = found.strip_prefix(&prefix).and_then(|it| it.parse().ok());
        if pid.is_some_and(|pid| !liveness.is_alive(pid, None)) {
            vfs.remove(&dir.join(found)).map_err(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
