//! Looks at a log directory without touching it.
//!
//! Recovery acts on a survey and `wal status` prints one, so both see the same thing.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;
use vfs::{OpenMode, Vfs};
use wal_format::names;

use crate::{
    Decision, Found, Overrides, Scanned, Tail, Violation, codes, decide,
    scan::{End, Trust, scan},
    state::{read_safe_point, used_before},
};

/// What a directory holds and what a start would do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// What was found.
    pub found: Found,
    /// The row of the boot table.
    pub decision: Decision,
    /// Length of the log file in bytes; 0 when there is none.
    pub log_len: u64,
    /// What the log holds; `None` when it need not be read (rows A and B).
    pub scanned: Option<Scanned>,
}

/// Looks at `dir` as a start with these overrides would.
///
/// # Errors
///
/// [`SurveyError::Violation`] when the log would be refused, [`SurveyError::Io`] when the file
/// system fails. Nothing is changed either way.
pub fn survey(vfs: &dyn Vfs, dir: &Path, asked: Overrides) -> Result<Survey, SurveyError> {
    let at = |path: PathBuf| move |source| SurveyError::Io { path, source };
    let wal_path = dir.join(names::WAL);
    let log = vfs.stat(&wal_path).map_err(at(wal_path.clone()))?;
    let safe_path = dir.join(names::SAFE_SEQ);
    let safe_point = read_safe_point(vfs, dir).map_err(at(safe_path.clone()))?;
    let used_before = used_before(vfs, dir).map_err(at(dir.to_owned()))?;
    let found = Found { log: log.is_some(), safe_point, used_before };
    let decision = decide(found, asked);
    let trust = match decision {
        Decision::Initialize | Decision::InitializeAudited => {
            return Ok(Survey { found, decision, log_len: 0, scanned: None });
        }
        Decision::RefuseMissing => {
            return Err(Violation::SafeSeqNotFound { path: safe_path }.into());
        }
        Decision::RefuseWrongSize(len) => return Err(Violation::SafeSeqCorrupt { len }.into()),
        Decision::AdoptAll => Trust::AllWhole,
        Decision::Scan(safe) => Trust::UpTo(safe),
    };
    let scanned = if log.is_some() {
        let file = vfs.open(&wal_path, OpenMode::Read).map_err(at(wal_path.clone()))?;
        scan(&file, trust).map_err(at(wal_path))??
    } else {
        scan_nothing(trust)?
    };
    Ok(Survey { found, decision, log_len: log.map_or(0, |it| it.len), scanned: Some(scanned) })
}

/// A safe point without a log: right only before the first entry.
fn scan_nothing(trust: Trust) -> Result<Scanned, Violation> {
    let scanner = crate::scan::Scanner::new(trust);
    let tail = scanner.judge(End { tail: Tail::Clean, impossible: None })?;
    Ok(scanner.result(tail))
}

/// Why a directory cannot be used.
#[derive(Debug, Error)]
pub enum SurveyError {
    /// The log would be refused.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The file system failed.
    #[error("WAL_IO — cannot read {}", path.display())]
    Io {
        /// What could not be read.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl SurveyError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Violation(violation) => violation.code(),
            Self::Io { .. } => codes::WAL_IO,
        }
    }
}
