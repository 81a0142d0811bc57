//! Resets what was executing, file by file.
//!
//! Each log may have steps that were `executing` when the process ended. They become `pending`, so that
//! whoever runs cycles can ask [`verify`](fn@super::verify) about them. Nothing is run, deleted,
//! archived or ended here, and a second recovery finds nothing to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;
use vfs::Vfs;
use wal_format::step::{is_step_file, mandate_of};

use super::{
    append::StepAppendError,
    event::RecoveryEvent,
    fold::{CorruptLine, Folded},
    log::StepLog,
    open::{StepOpenError, StepOpening, TornTail, at},
    state::StepKey,
};

/// What became of a directory.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// How many steps were reset.
    pub reset_count: u64,
    /// How many logs were looked at.
    pub files_scanned: u64,
    /// What was not recovered, or not to its end.
    pub files_failed: Vec<FailedFile>,
    /// How many torn tails were put aside.
    pub torn_tails: u64,
    /// How many plans that have not ended have steps that nobody committed.
    pub orphan_plans: u64,
    /// Each log, in the order of its name.
    pub per_file: Vec<FileReport>,
}

/// A log that was not recovered.
#[derive(Clone, Debug)]
pub struct FailedFile {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub error: FileError,
}

/// What became of a log.
#[derive(Clone, Debug, Default)]
pub struct FileReport {
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is, by its name.
    pub mandate_id: Option<String>,
    /// How many steps were reset, durably, also when the rest has failed (S6).
    pub reset_count: u64,
    /// What was put aside.
    pub torn: Option<TornTail>,
    /// Lines that do not hold.
    pub corrupt: Vec<CorruptLine>,
    /// Whether it was left alone for them. Its mandate needs a human.
    pub isolated: bool,
    /// How many plans that have not ended have steps that nobody committed. They need a human.
    pub orphan_plans: u64,
    /// Records about what no record has introduced.
    pub strays: u64,
    /// Lines of later versions that were ignored.
    pub unknown_ops: u64,
    /// Why it was not recovered to its end.
    pub error: Option<FileError>,
}

/// Why a log was not recovered to its end.
#[derive(Clone, Debug, Error)]
pub enum FileError {
    /// It does not open.
    #[error(transparent)]
    Open(#[from] StepOpenError),
    /// A reset was not written.
    #[error(transparent)]
    Append(#[from] StepAppendError),
}

impl FileError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Open(error) => error.code(),
            Self::Append(error) => error.code(),
        }
    }
}

/// Recovers every log of a directory. No directory, or something else in its place, is a clean start:
/// nothing is said.
///
/// # Examples
///
/// ```
/// use vfs::OsVfs;
/// use wal_recovery::steps::{DamagePolicy, StepOpening, recover_from_wal};
///
/// let how = StepOpening {
///     now: "2026-01-02T03:04:05Z".parse()?,
///     holder: "pid 1".to_owned(),
///     damage: DamagePolicy::Isolate,
/// };
/// let dir = tempfile::tempdir()?;
/// let mut said = Vec::new();
/// let report = recover_from_wal(&OsVfs, Some(dir.path()), &how, &mut |it| said.push(it.name()));
/// assert_eq!((report.reset_count, said), (0, vec!["wal_recovery_complete"]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn recover_from_wal(
    vfs: &dyn Vfs,
    wal_dir: Option<&Path>,
    how: &StepOpening,
    say: &mut dyn FnMut(RecoveryEvent),
) -> RecoveryReport {
    let mut report = RecoveryReport::default();
    let Some(dir) = wal_dir.filter(|it| !it.as_os_str().is_empty()) else { return report };
    let names = match vfs.stat(dir) {
        Ok(None) => return report,
        Ok(Some(stat)) if !stat.is_dir => return report,
        Ok(Some(_)) => vfs.list(dir),
        Err(error) => Err(error),
    };
    match names {
        Ok(names) => {
            for name in names.iter().filter(|it| is_step_file(it)) {
                report.add(recover_file(vfs, &dir.join(name), how, say));
            }
        }
        Err(error) => report.unreadable(dir, error, say),
    }
    say(RecoveryEvent::Complete { wal_dir: dir.to_owned(), reset_count: report.reset_count });
    report
}

impl RecoveryReport {
    fn add(&mut self, file: FileReport) {
        self.reset_count += file.reset_count;
        self.files_scanned += 1;
        self.torn_tails += u64::from(file.torn.is_some());
        self.orphan_plans += file.orphan_plans;
        if let Some(error) = file.error.clone() {
            self.files_failed.push(FailedFile { path: file.path.clone(), error });
        }
        self.per_file.push(file);
    }

    fn unreadable(&mut self, dir: &Path, error: io::Error, say: &mut dyn FnMut(RecoveryEvent)) {
        let error = FileError::Open(at("list", dir)(error));
        say(RecoveryEvent::FileFailed { path: dir.to_owned(), error: error.to_string() });
        self.files_failed.push(FailedFile { path: dir.to_owned(), error });
    }
}

/// Recovers one log. A log that is not there has nothing to recover, and is not made.
pub fn recover_file(
    vfs: &dyn Vfs,
    path: &Path,
    how: &StepOpening,
    say: &mut dyn FnMut(RecoveryEvent),
) -> FileReport {
    let name = path.file_name().and_then(|it| it.to_str());
    let mut report = FileReport {
        path: path.to_owned(),
        mandate_id: name.and_then(mandate_of).map(str::to_owned),
        ..FileReport::default()
    };
    if let Err(error) = run(vfs, how, &mut report, say) {
        say(RecoveryEvent::FileFailed { path: path.to_owned(), error: error.to_string() });
        report.error = Some(error);
    }
    report
}

fn run(
    vfs: &dyn Vfs,
    how: &StepOpening,
    report: &mut FileReport,
    say: &mut dyn FnMut(RecoveryEvent),
) -> Result<(), FileError> {
    let path = report.path.clone();
    if vfs.stat(&path).map_err(at("look at", &path))?.is_none() {
        return Ok(());
    }
    let opened = match StepLog::open(vfs, &path, how) {
        Ok(opened) => opened,
        Err(error) => {
            if let StepOpenError::Corrupt { found, .. } = &error {
                report.isolated = true;
                report.note(found, say);
            }
            return Err(error.into());
        }
    };
    report.note(&opened.found, say);
    if let Some(TornTail { bytes, moved_to }) = opened.torn.clone() {
        report.torn = opened.torn;
        say(RecoveryEvent::TornTail { path: path.clone(), bytes, moved_to });
    }
    // The log goes, and its lock with it, when this returns.
    for key in opened.found.plans.interrupted() {
        opened.log.reset_to_pending(key, how.now)?;
        report.reset_count += 1;
        let StepKey { plan_id, step_id } = key;
        say(RecoveryEvent::ResetStep {
            path: path.clone(),
            plan_id: plan_id.to_owned(),
            step_id: step_id.to_owned(),
        });
    }
    Ok(())
}

impl FileReport {
    fn note(&mut self, found: &Folded, say: &mut dyn FnMut(RecoveryEvent)) {
        self.orphan_plans = found.plans.orphans();
        self.strays = found.counts.strays;
        self.unknown_ops = found.counts.unknown_ops;
        self.corrupt.clone_from(&found.corrupt);
        for corrupt in &found.corrupt {
            say(RecoveryEvent::CorruptLine {
                path: self.path.clone(),
                line: corrupt.line,
                error: corrupt.to_string(),
            });
        }
    }
}
