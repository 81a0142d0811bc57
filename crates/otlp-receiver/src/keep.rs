//! The file or stream that the lines go to.
//!
//! # Invariants
//!
//! * **P1** After [`Keeper::append`] returned `Ok` the lines are durable (file) or flushed (stream).
//! * **P2** A failed write is cut off again, so that no half line stands in front of later ones. When
//!   that fails too, or a sync fails, nobody knows what is on the disk: the file is given up and
//!   every later append fails with the first cause, until the next start.
//! * **P3** A file whose last line was torn by a crash gets a line feed before the next one.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;
use vfs::{File, Lock, LockError, OpenMode, Vfs, write_all_at};

use crate::Keep;

/// Suffix of the lock beside the file.
const LOCK_SUFFIX: &str = ".lock";

/// Where lines go.
pub(crate) struct Keeper {
    target: Target,
    broken: Option<String>,
}

enum Target {
    Nothing,
    File { file: Arc<dyn File>, len: u64, _lock: Lock },
    Stream(Box<dyn io::Write + Send>),
}

impl Keeper {
    /// Opens the file, or takes the stream.
    pub(crate) fn open(keep: Keep) -> Result<Self, KeepError> {
        let target = match keep {
            Keep::Nothing => Target::Nothing,
            Keep::Stream(stream) => Target::Stream(stream),
            Keep::File { path, holder, vfs } => open_file(&*vfs, &path, &holder)?,
        };
        Ok(Self { target, broken: None })
    }

    /// Returns whether there is anything to write to.
    pub(crate) const fn is_needed(&self) -> bool {
        !matches!(self.target, Target::Nothing)
    }

    /// Returns why nothing can be kept any more.
    pub(crate) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Appends whole lines (P1).
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<(), String> {
        if let Some(cause) = &self.broken {
            return Err(cause.clone());
        }
        match &mut self.target {
            Target::Nothing => Ok(()),
            Target::Stream(stream) => stream
                .write_all(lines)
                .and_then(|()| stream.flush())
                .map_err(|error| format!("stream: {error}")),
            Target::File { file, len, .. } => {
                let (written, broken) = append_to(&**file, *len, lines);
                if written.is_ok() {
                    *len += lines.len() as u64;
                }
                self.broken = broken;
                written
            }
        }
    }
}

/// Writes and syncs lines at the end of a file. The second value says why the file is given up.
fn append_to(file: &dyn File, len: u64, lines: &[u8]) -> (Result<(), String>, Option<String>) {
    if let Err(error) = write_all_at(file, lines, len) {
        let cause = format!("write: {error}");
        // P2: the half line goes; a file that cannot be cut is given up.
        let broken = file.set_len(len).err().map(|cut| format!("{cause}, then cut: {cut}"));
        return (Err(cause), broken);
    }
    match file.sync_data() {
        Ok(()) => (Ok(()), None),
        Err(error) => {
            let cause = format!("sync: {error}");
            (Err(cause.clone()), Some(cause))
        }
    }
}

fn open_file(vfs: &dyn Vfs, path: &Path, holder: &str) -> Result<Target, KeepError> {
    let fail = |source| KeepError::Open { path: path.to_owned(), source };
    let mut lock_path = OsString::from(path);
    lock_path.push(LOCK_SUFFIX);
    let lock = vfs.lock(Path::new(&lock_path), holder).map_err(|error| match error {
        LockError::Held { holder } => KeepError::Locked { path: path.to_owned(), holder },
        LockError::Io(source) => fail(source),
    })?;
    let file = vfs.open(path, OpenMode::Create).map_err(fail)?;
    // The name of a new file must survive a crash as its lines do.
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => vfs.sync_dir(dir),
        _ => vfs.sync_dir(Path::new(".")),
    }
    .map_err(fail)?;
    let len = end_of_lines(&*file).map_err(fail)?;
    Ok(Target::File { file, len, _lock: lock })
}

/// P3.
fn end_of_lines(file: &dyn File) -> io::Result<u64> {
    let len = file.stat()?.len;
    let Some(last_at) = len.checked_sub(1) else { return Ok(0) };
    let mut last = [0];
    file.read_at(&mut last, last_at)?;
    if last == [b'\n'] {
        return Ok(len);
    }
    write_all_at(file, b"\n", len)?;
    Ok(len + 1)
}

/// Why records cannot be kept.
#[derive(Debug, Error)]
pub enum KeepError {
    /// The file cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the file system reports.
        source: io::Error,
    },
    /// Another process writes to the file.
    #[error("{} is held by {holder}", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// What the other process says about itself.
        holder: String,
    },
}

impl KeepError {
    /// Returns what to do next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Open { .. } => "choose a file in an existing directory that may be written to",
            Self::Locked { .. } => "stop the other receiver, or choose another file",
        }
    }
}

#[cfg(test)]
mod tests {
    use vfs::{CrashPolicy, Fault, FaultPlan, MemVfs, Op, read_whole};

    use super::*;

    const PATH: &str = "/out.jsonl";

    fn open(vfs: &MemVfs) -> Result<Keeper, KeepError> {
        let (path, holder) = (PathBuf::from(PATH), "pid 41".to_owned());
        Keeper::open(Keep::File { path, holder, vfs: Arc::new(vfs.clone()) })
    }

    fn content(vfs: &MemVfs) -> String {
        let bytes = read_whole(vfs, Path::new(PATH), 1_000).unwrap().unwrap_or_default();
        String::from_utf8(bytes).unwrap()
    }

    fn fails_at(vfs: &MemVfs, fault: Fault, is_it: impl Fn(&Op) -> bool + Send + 'static) {
        let mut once = Some(fault);
        vfs.set_plan(FaultPlan::new(move |_, op| if is_it(op) { once.take() } else { None }));
    }

    #[test]
    fn lines_are_appended_and_survive_a_power_loss() {
        let vfs = MemVfs::default();
        let mut keeper = open(&vfs).unwrap();
        keeper.append(b"one\n").unwrap();
        keeper.append(b"two\n").unwrap();
        vfs.power_loss(CrashPolicy::LoseAll);
        assert_eq!(content(&vfs), "one\ntwo\n");
        open(&vfs).unwrap().append(b"three\n").unwrap();
        assert_eq!(content(&vfs), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_full_disk_leaves_no_half_line_and_is_got_over() {
        let vfs = MemVfs::default();
        let mut keeper = open(&vfs).unwrap();
        keeper.append(b"one\n").unwrap();
        fails_at(&vfs, Fault::Enospc, |op| matches!(op, Op::Write { .. }));
        assert!(keeper.append(b"lost line\n").is_err());
        assert_eq!((content(&vfs).as_str(), keeper.broken()), ("one\n", None));
        keeper.append(b"two\n").unwrap();
        assert_eq!(content(&vfs), "one\ntwo\n");
    }

    #[test]
    fn a_failed_sync_gives_the_file_up() {
        let vfs = MemVfs::default();
        let mut keeper = open(&vfs).unwrap();
        fails_at(&vfs, Fault::Eio, |op| matches!(op, Op::Sync(_)));
        assert!(keeper.append(b"one\n").is_err());
        assert!(keeper.broken().is_some());
        assert!(keeper.append(b"two\n").is_err(), "the next sync would succeed and mean nothing");
    }

    #[test]
    fn a_torn_last_line_spoils_no_other() {
        let vfs = MemVfs::default();
        let file = vfs.open(Path::new(PATH), OpenMode::Create).unwrap();
        write_all_at(&*file, b"{\"torn", 0).unwrap();
        open(&vfs).unwrap().append(b"whole\n").unwrap();
        assert_eq!(content(&vfs), "{\"torn\nwhole\n");
    }

    #[test]
    fn the_second_receiver_learns_who_writes() {
        let vfs = MemVfs::default();
        let first = open(&vfs).unwrap();
        let error = open(&vfs).err().unwrap();
        assert_eq!(error.to_string(), "/out.jsonl is held by pid 41");
        drop(first);
        open(&vfs).unwrap();
    }
}
