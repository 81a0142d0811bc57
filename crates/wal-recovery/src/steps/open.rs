//! Locks, reads, repairs: the only way to a [`StepLog`].
//!
//! | step | what                                                                                |
//! |-----:|-------------------------------------------------------------------------------------|
//! |    1 | the file is opened, or created with its directories                                   |
//! |    2 | `<file>.lock` is locked, which names the holder, then the file itself, which decides    |
//! |    3 | an empty file: the directory is synced, so that the first append is findable (S1)       |
//! |    4 | every line is read; a later version, or a corrupt line, ends it here (S5)               |
//! |    5 | a torn tail is copied to `<file>.torn-<unix ms>`, synced, and cut off (S4)              |
//! |    6 | a whole line without its line feed gets one                                            |
//! |    7 | the file is synced: nobody acts upon a line that could still vanish                    |
//!
//! Nothing in the file is changed before step 5. A crash between any two steps leaves a file that the
//! next opening reads alike. A log is named itself: a symbolic link is neither read nor written, since what it points
//! to may be the log of another mandate, or none.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use thiserror::Error;
use vfs::{File, Lock, LockError, OpenMode, Vfs, replace, write_all_at};
use wal_format::step::{LOCK_SUFFIX, Tail, VERSION, torn_suffix};

use super::{
    StepLog, codes,
    fold::{Folded, fold},
};

/// Longest step log that is read, in bytes.
pub const FILE_LEN_MAX: u64 = 64 << 20;
/// Most names that are tried for a torn tail: one a millisecond.
const TORN_NAMES_MAX: i64 = 1000;
/// Who holds a file whose lock file names nobody.
const SOMEBODY: &str = "somebody else";

/// What a line in the middle that does not hold means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DamagePolicy {
    /// The file is left alone, and its mandate needs a human (S5).
    #[default]
    Isolate,
    /// The line is skipped, as if it had never been.
    Skip,
}

/// How a step log is opened.
#[derive(Clone, Debug)]
pub struct StepOpening {
    /// The time: in the name of what is put aside, and in what a recovery writes.
    pub now: Timestamp,
    /// Who opens it, for whoever comes second.
    pub holder: String,
    /// What a damaged line means.
    pub damage: DamagePolicy,
}

/// An open step log, and what was found in it.
#[derive(Debug)]
pub struct OpenedSteps {
    /// The log.
    pub log: StepLog,
    /// What its lines said.
    pub found: Folded,
    /// What was torn and is put aside.
    pub torn: Option<TornTail>,
}

/// A torn tail that was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// How many bytes.
    pub bytes: u64,
    /// Where they are now.
    pub moved_to: PathBuf,
}

/// Reads a step log without a lock; what is being appended meanwhile looks like a torn tail.
///
/// # Errors
///
/// [`StepOpenError::NotFound`], [`StepOpenError::TooLong`] and [`StepOpenError::Io`].
pub fn read(vfs: &dyn Vfs, path: &Path) -> Result<Folded, StepOpenError> {
    let file = vfs.open(path, OpenMode::ReadOwn).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StepOpenError::NotFound { path: path.to_owned() },
        _ => at("open", path)(error),
    })?;
    Ok(fold(&read_all(&*file, path)?))
}

impl StepLog {
    /// Opens a step log, which is created when there is none.
    ///
    /// # Errors
    ///
    /// [`StepOpenError`]. No line was changed, unless a repair of the tail was half done.
    pub fn open(
        vfs: &dyn Vfs,
        path: &Path,
        how: &StepOpening,
    ) -> Result<OpenedSteps, StepOpenError> {
        let dir = parent(path);
        vfs.create_dir_all(dir).map_err(at("create", dir))?;
        let file = vfs.open(path, OpenMode::CreateOwn).map_err(at("open", path))?;
        let lock = lock(vfs, path, &*file, &how.holder)?;
        let bytes = read_all(&*file, path)?;
        if bytes.is_empty() {
            sync_dir(vfs, dir)?;
        }
        let found = fold(&bytes);
        if let Some(v) = found.newer {
            return Err(StepOpenError::Newer { path: path.to_owned(), v });
        }
        if found.counts.corrupt > 0 && how.damage == DamagePolicy::Isolate {
            return Err(StepOpenError::Corrupt { path: path.to_owned(), found: Box::new(found) });
        }
        let (end, torn) = settle(vfs, path, &*file, (&bytes, found.tail), how.now)?;
        let log = StepLog::start(path.to_owned(), (file, lock), end, &found);
        Ok(OpenedSteps { log, found, torn })
    }
}

/// Steps 5 to 7: returns the length of the file, and what was put aside.
fn settle(
    vfs: &dyn Vfs,
    path: &Path,
    file: &dyn File,
    (bytes, tail): (&[u8], Tail),
    now: Timestamp,
) -> Result<(u64, Option<TornTail>), StepOpenError> {
    let mut end = bytes.len() as u64;
    let mut torn = None;
    match tail {
        Tail::Ended if bytes.is_empty() => return Ok((end, torn)),
        Tail::Ended => {}
        Tail::Unended => {
            write_all_at(file, b"\n", end).map_err(at("write", path))?;
            end += 1;
        }
        Tail::Torn { at: cut } => {
            let rest = bytes.get(cut..).unwrap_or_default();
            let moved_to = free_name(vfs, path, now)?;
            replace(vfs, &moved_to, rest).map_err(at("write", &moved_to))?;
            end = cut as u64;
            file.set_len(end).map_err(at("cut", path))?;
            torn = Some(TornTail { bytes: rest.len() as u64, moved_to });
        }
    }
    file.sync_data().map_err(at("sync", path))?;
    Ok((end, torn))
}

/// A name that no torn tail has: evidence is not overwritten by other evidence.
fn free_name(vfs: &dyn Vfs, path: &Path, now: Timestamp) -> Result<PathBuf, StepOpenError> {
    let first = now.as_millisecond();
    for ms in first..first.saturating_add(TORN_NAMES_MAX) {
        let name = beside(path, &torn_suffix(ms));
        if vfs.stat(&name).map_err(at("look at", &name))?.is_none() {
            return Ok(name);
        }
    }
    Err(at("find a name beside", path)(io::ErrorKind::AlreadyExists.into()))
}

/// S3. The lock file only names its holder: whoever archives a log removes it, so two processes
/// could lock two of them. There is one file with the name of the log.
fn lock(vfs: &dyn Vfs, path: &Path, file: &dyn File, holder: &str) -> Result<Lock, StepOpenError> {
    let held = |holder: String| StepOpenError::Locked { path: path.to_owned(), holder };
    let name = beside(path, LOCK_SUFFIX);
    let lock = vfs.lock(&name, holder).map_err(|error| match error {
        LockError::Held { holder } => held(holder),
        LockError::Io(source) => at("lock", &name)(source),
    })?;
    let ours = file.try_lock().map_err(at("lock", path))?;
    if !ours || !file.is_named(path).map_err(at("look at", path))? {
        return Err(held(SOMEBODY.to_owned()));
    }
    Ok(lock)
}

pub(super) fn read_all(file: &dyn File, path: &Path) -> Result<Vec<u8>, StepOpenError> {
    let len = file.stat().map_err(at("look at", path))?.len;
    let too_long = || StepOpenError::TooLong { path: path.to_owned(), len };
    if len > FILE_LEN_MAX {
        return Err(too_long());
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| too_long())?];
    let read = file.read_at(&mut bytes, 0).map_err(at("read", path))?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Some file systems cannot sync a directory; they are no worse off than before.
pub(super) fn sync_dir(vfs: &dyn Vfs, dir: &Path) -> Result<(), StepOpenError> {
    match vfs.sync_dir(dir) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        other => other.map_err(at("sync", dir)),
    }
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path with something behind it.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StepOpenError {
    let path = path.to_owned();
    move |source| StepOpenError::Io { what, path, source: Arc::new(source) }
}

/// Why a step log does not open.
#[derive(Clone, Debug, Error)]
pub enum StepOpenError {
    /// There is none; said by [`read`] only.
    #[error("steps: STEPS_NOT_FOUND — there is no {}", path.display())]
    NotFound {
        /// Its path.
        path: PathBuf,
    },
    /// Somebody writes it.
    #[error("steps: STEPS_LOCKED — {} is in use by {holder}", path.display())]
    Locked {
        /// Its path.
        path: PathBuf,
        /// Who.
        holder: String,
    },
    /// A line in the middle does not hold.
    #[error(
        "steps: STEPS_CORRUPT — {}: {} ({} such lines)",
        path.display(),
        found.corrupt.first().map_or_else(String::new, ToString::to_string),
        found.counts.corrupt
    )]
    Corrupt {
        /// Its path.
        path: PathBuf,
        /// What its other lines say.
        found: Box<Folded>,
    },
    /// A later version has written it.
    #[error("steps: STEPS_NEWER — {} has v={v}, this program writes v={VERSION}", path.display())]
    Newer {
        /// Its path.
        path: PathBuf,
        /// The version.
        v: u64,
    },
    /// It is too long to be read.
    #[error("steps: STEPS_TOO_LONG — {} has {len} bytes, at most {FILE_LEN_MAX} are read", path.display())]
    TooLong {
        /// Its path.
        path: PathBuf,
        /// Its length.
        len: u64,
    },
    /// The file system failed.
    #[error("steps: STEPS_IO — cannot {what} {}: {source}", path.display())]
    Io {
        /// What was to be done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the file system said.
        source: Arc<io::Error>,
    },
}

impl StepOpenError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => codes::STEPS_NOT_FOUND,
            Self::Locked { .. } => codes::STEPS_LOCKED,
            Self::Corrupt { .. } => codes::STEPS_CORRUPT,
            Self::Newer { .. } => codes::STEPS_NEWER,
            Self::TooLong { .. } => codes::STEPS_TOO_LONG,
            Self::Io { .. } => codes::STEPS_IO,
        }
    }
}
