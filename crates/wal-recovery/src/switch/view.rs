//! A log, its safe point and a switch, read as one while somebody else changes them (T4).
//!
//! Without a switch the file is opened first, then the switch is looked for, then the safe point is
//! read, then the name is looked at again. A switch that made this file was over when none was
//! found, so the safe point is not older than the file; and when the name still leads to the file,
//! no later switch has come as far as the safe point.
//!
//! With a switch the new log and the safe point that the switch names are taken.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use vfs::{File, Vfs};
use wal_format::{SafePoint, names};

use super::{Progress, judge, open, read};
use crate::{
    SurveyError,
    mutants::{Mutant, removed},
    plan::FoundSafePoint,
    state::read_safe_point,
};

/// How often a reader that has met a switch tries again. A switch renames once, and the next one
/// cannot follow before everything in the log was delivered.
const ATTEMPTS: usize = 16;

/// What belongs together.
#[derive(Debug)]
pub(crate) struct View {
    /// The log; `None` when there is none.
    pub(crate) file: Option<Arc<dyn File>>,
    /// Its safe point.
    pub(crate) safe_point: FoundSafePoint,
}

/// Looks at a directory as it is before or after a switch. Changes nothing.
pub(crate) fn view(vfs: &dyn Vfs, dir: &Path) -> Result<View, SurveyError> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match attempt(vfs, dir) {
            Ok(Some(view)) => return Ok(view),
            Ok(None) => last = None,
            // Names that were read one after the other may contradict each other; a file that is
            // really broken stays so.
            Err(error @ SurveyError::Violation(_)) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| SurveyError::Io {
        path: dir.join(names::WAL),
        source: io::Error::other("the log is being replaced; try again"),
    }))
}

fn attempt(vfs: &dyn Vfs, dir: &Path) -> Result<Option<View>, SurveyError> {
    let at = |path: PathBuf| move |source| SurveyError::Io { path, source };
    let before = read(vfs, dir)?;
    let file = match &before {
        None => open(vfs, dir, names::WAL)?,
        Some(switch) => match judge(vfs, dir, switch)? {
            Progress::Before(file) | Progress::After(file) => Some(file),
        },
    };
    if read(vfs, dir)? != before && !removed(Mutant::SwitchLookedAtAgain) {
        return Ok(None);
    }
    if let Some(switch) = before {
        let safe_point = FoundSafePoint::Present(SafePoint::at(Some(switch.last)));
        return Ok(Some(View { file, safe_point }));
    }
    let safe_path = dir.join(names::SAFE_SEQ);
    let safe_point = read_safe_point(vfs, dir).map_err(at(safe_path))?;
    let wal_path = dir.join(names::WAL);
    let named = vfs.stat(&wal_path).map_err(at(wal_path.clone()))?.map(|it| it.id);
    let opened = match &file {
        Some(file) => Some(file.stat().map_err(at(wal_path))?.id),
        None => None,
    };
    let holds = named == opened || removed(Mutant::NameLookedAtAgain);
    Ok(holds.then_some(View { file, safe_point }))
}
