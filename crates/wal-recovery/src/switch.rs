//! Replacing the live log by a new one that is linked to it.
//!
//! A log is replaced when it goes to the archive and when it is repaired. Both take these steps:
//!
//! | step | what                                                                                   |
//! |-----:|----------------------------------------------------------------------------------------|
//! |   S1 | `telemetry.wal.next` is written whole and synced, and so is its name                     |
//! |   S2 | `telemetry.switch` says what is to happen; durable before anything happens               |
//! |   S3 | the old log gets its second name, `archive/…` or `damaged/…`; that directory is synced   |
//! |   S4 | `telemetry.wal.next` takes the name `telemetry.wal`; the directory is synced             |
//! |   S5 | the safe point becomes that of the new log, the position 0; cursors and seal are removed |
//! |   S6 | `telemetry.switch` is removed; the directory is synced                                   |
//!
//! # Invariants
//!
//! * **T1** Before S2 is durable nothing has changed for anybody: what S1 left is removed or
//!   overwritten. After it there is one way, forward: [`recover`](crate::recover) finishes the switch
//!   before it looks at the log, and every step can be repeated.
//! * **T2** The old log has a durable name at every moment. S3 adds a name before S4 takes the old
//!   one away, since a rename between two directories may be half done after a power loss. Only
//!   where files have one name (S3 fails with "not permitted" or "unsupported") is it renamed.
//! * **T3** Nothing is appended to the new log before S6 is durable. So while there is a switch, the
//!   new log holds exactly the entries that the switch names, and anything else is refused
//!   (`WAL_SWITCH_BROKEN`), never guessed at.
//! * **T4** Whoever reads without a lock sees the directory before S2 or after S6 (`view`).
//!
//! S3 needs no room for the content of the old log, and what has to be kept beside it is copied
//! before S2, so a full disk is noticed while the old log is still in use.

use std::{io, path::Path, sync::Arc};

use vfs::{File, LockError, OpenMode, Vfs, read_whole, replace};
use wal_format::{Position, SafePoint, Switch, WalId, names};

use crate::{
    RecoverError, SurveyError, Violation,
    frames::{FrameReader, Next},
    mutants::{Mutant, removed},
    recover::{at, lock_named},
    scan::{Scanner, Trust, scan},
};

mod next;
mod view;

pub(crate) use next::{NextLog, write_next};
pub(crate) use view::{View, view};

/// Most bytes of a switch file; ours have a few hundred.
const SWITCH_LEN_MAX: u64 = 4096;
/// Most bytes of a log that has only its first entries.
pub(crate) const NEXT_LEN_MAX: u64 = 16 << 20;

/// Reads `telemetry.switch`.
pub(crate) fn read(vfs: &dyn Vfs, dir: &Path) -> Result<Option<Switch>, SurveyError> {
    let path = dir.join(names::SWITCH);
    let bytes = match read_whole(vfs, &path, SWITCH_LEN_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Err(broken(format!("{} is too long", names::SWITCH)));
        }
        Err(source) => return Err(SurveyError::Io { path, source }),
    };
    Switch::from_bytes(&bytes)
        .map(Some)
        .map_err(|error| broken(format!("{} is {error}", names::SWITCH)))
}

/// How far a switch has come, as far as the names tell.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The new log has its first name: S3 is next, or was not durable.
    Before(Arc<dyn File>),
    /// The new log is the live one: S5 is next, or was not durable.
    After(Arc<dyn File>),
}

/// Looks at what a switch has left (T3). Changes nothing.
pub(crate) fn judge(vfs: &dyn Vfs, dir: &Path, switch: &Switch) -> Result<Progress, SurveyError> {
    let wal = open(vfs, dir, names::WAL)?;
    let Some(next) = open(vfs, dir, names::NEXT)? else {
        let wal = wal.ok_or_else(|| {
            broken(format!("there is neither {} nor {}", names::WAL, names::NEXT))
        })?;
        check_new(dir, names::WAL, &wal, switch)?;
        return Ok(Progress::After(wal));
    };
    check_new(dir, names::NEXT, &next, switch)?;
    let stat = |path: &Path| {
        vfs.stat(path).map_err(|source| SurveyError::Io { path: path.to_owned(), source })
    };
    match (switch.aside_path(), wal) {
        (None, None) => {}
        (None, Some(_)) => {
            return Err(broken(format!("there is a {} that it does not know", names::WAL)));
        }
        (Some(aside), None) => {
            if stat(&dir.join(&aside))?.is_none() {
                return Err(broken(format!("there is neither {} nor {aside}", names::WAL)));
            }
        }
        (Some(aside), Some(wal)) => {
            check_old(dir, &wal, switch)?;
            let io = |source| SurveyError::Io { path: dir.join(names::WAL), source };
            let id = wal.stat().map_err(io)?.id;
            if stat(&dir.join(&aside))?.is_some_and(|it| it.id != id) {
                return Err(broken(format!("{aside} is another file already")));
            }
        }
    }
    Ok(Progress::Before(next))
}

/// Carries a switch through from wherever it stands (T1). The caller holds every lock.
pub(crate) fn carry_through(
    vfs: &dyn Vfs,
    dir: &Path,
    switch: &Switch,
) -> Result<(), RecoverError> {
    if let Progress::Before(_) = judge(vfs, dir, switch).map_err(|it| refused(dir, it))? {
        put_aside(vfs, dir, switch)?;
        let next = dir.join(names::NEXT);
        vfs.rename(&next, &dir.join(names::WAL)).map_err(at("rename", next))?;
    }
    vfs.sync_dir(dir).map_err(at("sync", dir.to_owned()))?;

    let (safe, pos) = (dir.join(names::SAFE_SEQ), dir.join(names::POS));
    let known = SafePoint::at(Some(switch.last));
    replace(vfs, &safe, &known.to_bytes()).map_err(at("write", safe))?;
    if !removed(Mutant::PositionBegins) {
        replace(vfs, &pos, &Position::default().to_bytes()).map_err(at("write", pos))?;
    }
    remove_if_there(vfs, &dir.join(names::CURSORS))?;
    remove_if_there(vfs, &dir.join(names::SEAL))?;
    if !removed(Mutant::ForgottenBeforeSwitchEnd) {
        vfs.sync_dir(dir).map_err(at("sync", dir.to_owned()))?;
    }

    remove_if_there(vfs, &dir.join(names::SWITCH))?;
    if removed(Mutant::SwitchEndSynced) {
        return Ok(());
    }
    vfs.sync_dir(dir).map_err(at("sync", dir.to_owned()))
}

/// S3 (T2).
fn put_aside(vfs: &dyn Vfs, dir: &Path, switch: &Switch) -> Result<(), RecoverError> {
    let Some(aside) = switch.aside_path().map(|it| dir.join(it)) else { return Ok(()) };
    let folder = aside.parent().unwrap_or(dir);
    vfs.create_dir_all(folder).map_err(at("create", folder.to_owned()))?;
    let wal = dir.join(names::WAL);
    let there = vfs.stat(&wal).map_err(at("read", wal.clone()))?.is_some();
    let named = vfs.stat(&aside).map_err(at("read", aside.clone()))?.is_some();
    if there && !named {
        let linked = if removed(Mutant::LinkBeforeRename) {
            Err(io::ErrorKind::Unsupported.into())
        } else {
            vfs.link(&wal, &aside)
        };
        match linked {
            Ok(()) => {}
            Err(error) if has_no_links(&error) => {
                vfs.rename(&wal, &aside).map_err(at("rename", wal))?;
            }
            Err(error) => return Err(at("link", wal)(error)),
        }
    }
    if removed(Mutant::AsideNameSynced) {
        return Ok(());
    }
    vfs.sync_dir(folder).map_err(at("sync", folder.to_owned()))
}

fn has_no_links(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
}

/// S2. Says whether the switch has begun, which a failure alone does not tell.
pub(crate) fn begin(vfs: &dyn Vfs, dir: &Path, switch: &Switch) -> Result<(), NotBegun> {
    one_disk(vfs, dir)?;
    if removed(Mutant::SwitchFirst) {
        return Ok(());
    }
    let path = dir.join(names::SWITCH);
    let Err(source) = replace(vfs, &path, &switch.to_bytes()) else { return Ok(()) };
    // A name that was never given cannot be on the disk; one that is visible may be.
    let absent = matches!(vfs.stat(&path), Ok(None));
    Err(NotBegun { may_have: !absent, error: at("write", path)(source) })
}

/// S3 gives the old log a second name, which only works on its own disk: a log that is a symbolic link to
/// another one is noticed here, where there is a way back.
fn one_disk(vfs: &dyn Vfs, dir: &Path) -> Result<(), NotBegun> {
    let not_begun = |path: &Path| {
        let path = path.to_owned();
        move |source| NotBegun { may_have: false, error: at("replace", path)(source) }
    };
    let (wal, next) = (dir.join(names::WAL), dir.join(names::NEXT));
    let device = |path: &Path| {
        let found = vfs.stat(path).map_err(not_begun(path))?;
        Ok(found.map(|it| it.id.device))
    };
    match (device(&wal)?, device(&next)?) {
        (Some(old), Some(new)) if old != new => {
            let text = "it is a link to another disk; move the file here";
            Err(not_begun(&wal)(io::Error::other(text)))
        }
        _ => Ok(()),
    }
}

/// Why S2 failed.
#[derive(Debug)]
pub(crate) struct NotBegun {
    /// Whether the switch may be found after a crash all the same.
    pub(crate) may_have: bool,
    /// What failed.
    pub(crate) error: RecoverError,
}

/// Finishes a switch that was begun, and returns the new log, locked; `None` when there is none.
///
/// The caller holds the lock of the writer.
pub(crate) fn roll_forward(
    vfs: &dyn Vfs,
    dir: &Path,
    holder: &str,
) -> Result<Option<Arc<dyn File>>, RecoverError> {
    let Some(switch) = read(vfs, dir).map_err(|it| refused(dir, it))? else { return Ok(None) };
    // A consumer writes the position, and so does S5.
    let drain_path = dir.join(names::DRAIN_LOCK);
    let _drain = vfs.lock(&drain_path, holder).map_err(|error| match error {
        LockError::Held { holder } => RecoverError::Locked {
            dir: dir.to_owned(),
            holder: format!("{holder} ({}, while a switch waits)", names::DRAIN_LOCK),
        },
        LockError::Io(source) => at("lock", drain_path.clone())(source),
    })?;
    // Held until the end: whoever has deleted the lock file must not be in the middle of this.
    let old = lock_named(vfs, dir, names::WAL)?;
    let next = lock_named(vfs, dir, names::NEXT)?;
    // A killed process may have left a switch that is seen and not durable; acting on it before it is
    // would leave steps without their reason after a power loss.
    if !removed(Mutant::SwitchDurable) {
        vfs.sync_dir(dir).map_err(at("sync", dir.to_owned()))?;
    }
    carry_through(vfs, dir, &switch)?;
    Ok(next.or(old))
}

/// Removes a next log that no switch names (T1). The caller holds every lock.
pub(crate) fn clear_stray(vfs: &dyn Vfs, dir: &Path) -> Result<(), RecoverError> {
    remove_if_there(vfs, &dir.join(names::NEXT))
}

pub(crate) fn remove_if_there(vfs: &dyn Vfs, path: &Path) -> Result<(), RecoverError> {
    match vfs.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(at("remove", path.to_owned())(error))
        }
        _ => Ok(()),
    }
}

fn open(vfs: &dyn Vfs, dir: &Path, name: &str) -> Result<Option<Arc<dyn File>>, SurveyError> {
    let path = dir.join(name);
    match vfs.open(&path, OpenMode::Read) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SurveyError::Io { path, source }),
    }
}

/// The new log holds what the switch says and nothing else (T3).
fn check_new(
    dir: &Path,
    name: &str,
    file: &Arc<dyn File>,
    switch: &Switch,
) -> Result<(), SurveyError> {
    let io = |source| SurveyError::Io { path: dir.join(name), source };
    let len = file.stat().map_err(io)?.len;
    let holds = len <= NEXT_LEN_MAX && {
        let trust = Trust::UpTo(SafePoint::at(Some(switch.last)));
        match scan(file, trust).map_err(io)? {
            Ok(found) => {
                found.identity.is_some_and(|it| it.wal_id == switch.to)
                    && (found.last, found.chain) == (Some(switch.last), switch.chain)
                    && found.end == len
            }
            Err(_) => false,
        }
    };
    if holds || removed(Mutant::NewLogAsNamed) {
        return Ok(());
    }
    Err(broken(format!("{name} is not the new log {}", switch.to)))
}

/// The old log is the one that the switch was about.
fn check_old(dir: &Path, file: &Arc<dyn File>, switch: &Switch) -> Result<(), SurveyError> {
    let Some(from) = switch.from else { return Ok(()) };
    let io = |source| SurveyError::Io { path: dir.join(names::WAL), source };
    match first_id(file).map_err(io)? {
        Some(found) if found == from || removed(Mutant::OldLogAsNamed) => Ok(()),
        _ => Err(broken(format!("{} is not the old log {from}", names::WAL))),
    }
}

/// The id of a log, as far as its first frame tells. A log that others began is named after it.
fn first_id(file: &Arc<dyn File>) -> io::Result<Option<WalId>> {
    let mut frames = FrameReader::new(Arc::clone(file), 0);
    let mut scanner = Scanner::new(Trust::AllWhole);
    if let Next::Frame { offset, payload } = frames.next()?
        && scanner.frame(offset, payload).is_ok()
    {
        return Ok(scanner.identity().map(|it| it.wal_id));
    }
    Ok(None)
}

fn broken(detail: String) -> SurveyError {
    Violation::SwitchBroken { detail }.into()
}

pub(crate) fn refused(dir: &Path, error: SurveyError) -> RecoverError {
    match error {
        SurveyError::Violation(violation) => {
            RecoverError::Violation { dir: dir.to_owned(), violation }
        }
        SurveyError::Io { path, source } => at("read", path)(source),
    }
}
