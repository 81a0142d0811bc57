//! From a directory to a writer: lock, survey, repair.
//!
//! A writer exists only as the result of this (rule L4). Nothing is changed before the survey has
//! accepted the log, but that a switch which was begun is finished (`switch`). What is changed
//! then, in this order:
//!
//! | step | what                                                                            |
//! |-----:|---------------------------------------------------------------------------------|
//! |    1 | rows A and B: position to 0, cursors away, then a safe point of 0, then the log |
//! |    2 | entries behind the safe point are written again, in place                       |
//! |    3 | what is behind the last good entry is cut                                       |
//! |    4 | the log is synced, and the directory                                            |
//! |    5 | the safe point moves up to the last good entry and is synced                    |
//! |    6 | a log without an entry of ours gets one: `wal.created` or `wal.adopted`         |
//!
//! Step 1 makes the safe point durable before the log exists, so a crash between them is a log
//! without entries, not a log without a safe point. Step 2 exists because an earlier process may
//! have died of a failed sync: its pages then look clean in memory without being on the disk, and
//! only writing them again makes the next sync mean something. A position can only name entries of
//! the log before, so a log without entries always starts with a position of 0.
//!
//! Every step can be repeated: a crash anywhere leads back to a row of the boot table that ends in
//! the same place.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use thiserror::Error;
use vfs::{File, Lock, LockError, OpenMode, Vfs, replace, write_all_at};
use wal_format::{Birth, Chain, Origin, Position, SafePoint, Seq, WalId, names};

use crate::{
    AppendError, Decision, Durability, Overrides, Scanned, Submission, Survey, Tail, Violation,
    Writer, codes,
    growth::{Growth, STEP_MAX},
    mutants::{Mutant, removed},
    plan::FoundSafePoint,
    survey, switch,
    writer::{Home, Named},
};

/// Bytes copied at once when entries are written again.
const COPY_LEN: usize = 256 << 10;

/// What a process brings to open a log.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The directory; created when it does not exist.
    pub dir: PathBuf,
    /// Node that writes, recorded when a log begins.
    pub node: String,
    /// Sixteen random bytes: the id of the log, in case a new one begins.
    pub random: [u8; 16],
    /// The time now.
    pub now: Timestamp,
    /// What the operator asked for, for this start.
    pub overrides: Overrides,
    /// When the safe point is synced.
    pub durability: Durability,
    /// Who we are, for whoever finds the log locked: process id, host, start time.
    pub holder: String,
}

/// A log that can be written, and what was done to get there.
#[derive(Debug)]
pub struct Recovered {
    /// The writer.
    pub writer: Writer,
    /// What was found and repaired.
    pub report: Report,
}

/// What recovery found and did, for logs and status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The row of the boot table.
    pub decision: Decision,
    /// Who the log is.
    pub identity: Birth,
    /// The safe point as found; `None` when there was none.
    pub safe_point_found: Option<SafePoint>,
    /// Last entry that was kept, before the first of this start.
    pub last: Option<Seq>,
    /// Entries behind the safe point that were kept.
    pub beyond_safe_point: u64,
    /// Whole frames that were cut; they were never acknowledged (`WAL_PHANTOM_DISCARDED`).
    pub phantoms: u64,
    /// Bytes that were cut, the torn tail included; preallocated zeros are not counted.
    pub bytes_cut: u64,
}

impl Report {
    /// Whether this start began a log because an operator accepted the loss of another
    /// (`WAL_RESET_BY_OPERATOR`).
    pub fn is_reset(&self) -> bool {
        self.last.is_none() && self.identity.origin == Origin::OperatorReset
    }

    /// Whether this start took every whole frame for committed (`WAL_LEGACY_ADOPTED`).
    pub fn is_legacy_upgrade(&self) -> bool {
        self.decision == Decision::AdoptAll
    }
}

/// Opens the log in a directory.
///
/// # Errors
///
/// [`RecoverError`]. When the log is refused or locked, its files are unchanged.
pub fn recover(vfs: &dyn Vfs, opening: &Opening) -> Result<Recovered, RecoverError> {
    let dir = &*opening.dir;
    let lock = lock_dir(vfs, opening)?;
    let held = match switch::roll_forward(vfs, dir, &opening.holder)? {
        Some(file) => Some(file),
        None => lock_named(vfs, dir, names::WAL)?,
    };
    switch::clear_stray(vfs, dir)?;
    let survey = examine(vfs, dir, opening.overrides)?;
    let repaired = repair(vfs, dir, &survey, held)?;
    let known = survey.scanned.as_ref().and_then(|it| it.identity.as_ref());
    let born = known.and_then(|it| it.birth.clone());
    let birth =
        born.clone().unwrap_or_else(|| new_birth(opening, &survey, known.map(|it| it.wal_id)));
    let mut writer = Writer {
        wal: Named { file: repaired.wal, path: dir.join(names::WAL) },
        safe: Named { file: repaired.safe, path: dir.join(names::SAFE_SEQ) },
        durability: opening.durability,
        last: repaired.last,
        end: repaired.end,
        chain: repaired.chain,
        // The first entry of a log is written once; zeros would not pay.
        growth: Growth::new(repaired.end, 0),
        latest: opening.now,
        safe_dirty: false,
        failure: None,
        buffer: Vec::new(),
        home: Box::new(Home { dir: dir.to_owned(), birth: birth.clone() }),
        _lock: lock,
    };
    if born.is_none() {
        let first = Submission::new(&birth.to_event(), opening.now)?;
        writer.commit(&[first])?;
        writer.sync_safe_point()?;
    }
    writer.set_growth_max(STEP_MAX);
    let report = report(&survey, birth);
    Ok(Recovered { writer, report })
}

/// Looks at a directory as [`recover`] would, and changes nothing: for a process that has more to open
/// than its log, and wants to know first.
///
/// # Errors
///
/// [`RecoverError`], as [`recover`] would give it.
pub fn examine(vfs: &dyn Vfs, dir: &Path, asked: Overrides) -> Result<Survey, RecoverError> {
    survey(vfs, dir, asked).map_err(|error| switch::refused(dir, error))
}

/// Takes the lock of the writer; the directory is created when it does not exist.
pub(crate) fn lock_dir(vfs: &dyn Vfs, opening: &Opening) -> Result<Lock, RecoverError> {
    let dir = &*opening.dir;
    vfs.create_dir_all(dir).map_err(at("create", dir.to_owned()))?;
    let path = dir.join(names::LOCK);
    vfs.lock(&path, &opening.holder).map_err(|error| match error {
        LockError::Held { holder } => RecoverError::Locked { dir: dir.to_owned(), holder },
        LockError::Io(source) => at("lock", path.clone())(source),
    })
}

/// Makes the log of rows A and B, and locks it.
fn create_log(vfs: &dyn Vfs, dir: &Path) -> Result<Arc<dyn File>, RecoverError> {
    let path = dir.join(names::WAL);
    vfs.open(&path, OpenMode::Create).map_err(at("open", path))?;
    lock_named(vfs, dir, names::WAL)?
        .ok_or_else(|| at("lock", dir.join(names::WAL))(io::ErrorKind::NotFound.into()))
}

/// Locks the log itself, if there is one: the lock file beside it can be deleted by hand, and then
/// two processes would hold two locks.
pub(crate) fn lock_named(
    vfs: &dyn Vfs,
    dir: &Path,
    name: &str,
) -> Result<Option<Arc<dyn File>>, RecoverError> {
    let path = dir.join(name);
    let file = match vfs.open(&path, OpenMode::ReadWrite) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at("open", path)(error)),
    };
    if file.try_lock().map_err(at("lock", path))? {
        return Ok(Some(file));
    }
    let holder = "another process (telemetry.lock was deleted under it)".to_owned();
    Err(RecoverError::Locked { dir: dir.to_owned(), holder })
}

struct Repaired {
    wal: Arc<dyn File>,
    safe: Arc<dyn File>,
    last: Option<Seq>,
    end: u64,
    chain: Chain,
}

/// Steps 1 to 5.
fn repair(
    vfs: &dyn Vfs,
    dir: &Path,
    survey: &Survey,
    held: Option<Arc<dyn File>>,
) -> Result<Repaired, RecoverError> {
    let scanned = survey.scanned.as_ref();
    let last = scanned.and_then(|it| it.last);
    if last.is_none() && survey.found.used_before {
        forget_progress(vfs, dir)?;
    }
    let (wal_path, safe_path) = (dir.join(names::WAL), dir.join(names::SAFE_SEQ));
    if survey.decision == Decision::AdoptAll {
        // The safe point must not name frames that were never synced (W2).
        if let Some(wal) = &held {
            settle(&**wal, scanned, 0).map_err(at("repair", wal_path.clone()))?;
        }
    }
    let held = match held {
        None if removed(Mutant::SafePointBeforeLog) => Some(create_log(vfs, dir)?),
        held => held,
    };
    if !matches!(survey.found.safe_point, FoundSafePoint::Present(_)) {
        let known = SafePoint::at(last);
        replace(vfs, &safe_path, &known.to_bytes()).map_err(at("write", safe_path.clone()))?;
    }
    let wal = if let Some(wal) = held {
        wal
    } else {
        // The safe point may have been left by a process that was killed before it was durable.
        vfs.sync_dir(dir).map_err(at("sync", dir.to_owned()))?;
        create_log(vfs, dir)?
    };
    settle(&*wal, scanned, scanned.map_or(0, |it| it.safe_end)).map_err(at("repair", wal_path))?;
    vfs.sync_dir(dir).map_err(at("sync", dir.to_owned()))?;

    let safe = vfs.open(&safe_path, OpenMode::ReadWrite).map_err(at("open", safe_path.clone()))?;
    let known = match survey.found.safe_point {
        FoundSafePoint::Present(found) if removed(Mutant::SafePointMovesUp) => found,
        _ => SafePoint::at(last),
    };
    write_all_at(&*safe, &known.to_bytes(), 0)
        .and_then(|()| safe.sync_data())
        .map_err(at("write", safe_path))?;
    Ok(Repaired {
        wal,
        safe,
        last,
        end: scanned.map_or(0, |it| it.end),
        chain: scanned.map_or_else(|| Chain::before(b""), |it| it.chain),
    })
}

/// Step 1: a log without entries has no progress. The position stays as a file, since it is the
/// evidence that the directory was used.
fn forget_progress(vfs: &dyn Vfs, dir: &Path) -> Result<(), RecoverError> {
    let pos = dir.join(names::POS);
    replace(vfs, &pos, &Position::default().to_bytes()).map_err(at("write", pos))?;
    let cursors = dir.join(names::CURSORS);
    match vfs.remove(&cursors) {
        Ok(()) => vfs.sync_dir(dir).map_err(at("sync", dir.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at("remove", cursors)(error)),
    }
}

/// Steps 2 to 4: entries from `from` on are written again, what is behind the end is cut, the rest
/// is synced.
fn settle(wal: &dyn File, scanned: Option<&Scanned>, from: u64) -> io::Result<()> {
    let end = scanned.map_or(0, |it| it.end);
    let mut buffer = vec![0; COPY_LEN];
    let mut offset = if removed(Mutant::Rewrite) { end } else { from };
    while offset < end {
        let len = usize::try_from(end - offset).map_or(COPY_LEN, |it| it.min(COPY_LEN));
        let chunk = buffer.get_mut(..len).unwrap_or_default();
        if wal.read_at(chunk, offset)? < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write_all_at(wal, chunk, offset)?;
        offset += len as u64;
    }
    if wal.stat()?.len > end {
        wal.set_len(end)?;
    }
    wal.sync_data()
}

fn new_birth(opening: &Opening, survey: &Survey, known: Option<WalId>) -> Birth {
    let (wal_id, origin) = match known {
        Some(wal_id) => (wal_id, Origin::Adopted),
        // An operator who asked for a reset gets its marker, whatever there was to reset.
        None if survey.found.used_before || opening.overrides.operator_reset => {
            (WalId::from_random(opening.random), Origin::OperatorReset)
        }
        None => (WalId::from_random(opening.random), Origin::FirstRun),
    };
    Birth { wal_id, node: opening.node.clone(), origin, previous: None }
}

fn report(survey: &Survey, identity: Birth) -> Report {
    let safe_point_found = match survey.found.safe_point {
        FoundSafePoint::Present(safe) => Some(safe),
        FoundSafePoint::Absent | FoundSafePoint::WrongSize(_) => None,
    };
    let last = survey.scanned.as_ref().and_then(|it| it.last);
    let tail = survey.scanned.as_ref().map_or(Tail::Clean, |it| it.tail);
    let count = |seq: Option<Seq>| seq.map_or(0, Seq::get);
    Report {
        decision: survey.decision,
        identity,
        safe_point_found,
        last,
        beyond_safe_point: safe_point_found
            .map_or(0, |safe| count(last).saturating_sub(safe.get())),
        phantoms: match tail {
            Tail::Phantoms { frames } => frames,
            Tail::Clean | Tail::Torn => 0,
        },
        bytes_cut: match tail {
            // What was preallocated is nothing lost.
            Tail::Clean => 0,
            Tail::Torn | Tail::Phantoms { .. } => {
                survey.scanned.as_ref().map_or(0, |it| survey.log_len.saturating_sub(it.end))
            }
        },
    }
}

pub(crate) fn at(action: &'static str, path: PathBuf) -> impl FnOnce(io::Error) -> RecoverError {
    move |source| RecoverError::Io { action, path, source }
}

/// Why a log was not opened.
#[derive(Debug, Error)]
pub enum RecoverError {
    /// The log cannot be trusted. The text is an interface.
    #[error("telemetry/wal: {violation}")]
    Violation {
        /// The directory.
        dir: PathBuf,
        /// What is wrong.
        violation: Violation,
    },
    /// Another process writes it.
    #[error("telemetry/wal: WAL_LOCKED — {} is in use by {holder}", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// What the other process says about itself.
        holder: String,
    },
    /// The file system failed.
    #[error("telemetry/wal: WAL_IO — cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The first entry could not be written.
    #[error("telemetry/wal: {0}")]
    FirstEntry(#[from] AppendError),
}

impl RecoverError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Violation { violation, .. } => violation.code(),
            Self::Locked { .. } => codes::WAL_LOCKED,
            Self::Io { .. } => codes::WAL_IO,
            Self::FirstEntry(error) => error.code(),
        }
    }

    /// Returns what an operator does next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Violation { violation, .. } => violation.hint(),
            Self::Locked { .. } => "stop the other process, or give this one its own --wal-dir",
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "make room on the disk of the log, outside its directory, and start again"
                }
                _ => "check that the directory exists, is a directory, and is writable",
            },
            Self::FirstEntry(_) => "free some space on the disk of the log and start again",
        }
    }
}
