//! Reads every byte of a log and says that it is whole, or what was done to it.
//!
//! # What was done, at the first frame F that does not hold
//!
//! *e* is the number expected there, *c* the chain value up to there, *s* the number F states.
//!
//! | row | F is an entry | an entry *e* that follows *c* is further back | *s* | else              | kind     |
//! |-----|---------------|-----------------------------------------------|-----|-------------------|----------|
//! | A   | yes           | yes                                           | > e | *s* is missing there | reorder |
//! | B   | any           | yes                                           | any | otherwise         | insert   |
//! | C   | no            | no                                            | –   | –                 | edit     |
//! | D   | yes           | no                                            | any | numbers behind F were lowered | delete |
//! | E   | yes           | no                                            | any | numbers behind F were raised  | insert |
//! | F   | yes           | no                                            | any | F has the place of *e* | edit |
//! | G   | yes           | no                                            | = e | otherwise         | edit     |
//! | H   | yes           | no                                            | > e | otherwise         | delete   |
//! | I   | yes           | no                                            | < e | otherwise         | insert   |
//!
//! F has the place of *e* when the entry after it states *e* + 1, when its chain value follows from
//! *c* once its number is read as *e*, or when it states no number at all. Numbers behind F were changed when the chain value of the entry
//! after F holds with another number than the one it states.
//!
//! Where whole entries end before the safe point, or before the entry that a seal names, the kind is
//! truncate; unless a whole entry stands there and only its length prefix is wrong: that is an edit.
//! Where everything holds and the seal names another log or another chain value, the kind is fork.
//!
//! # What cannot be found
//!
//! The chain is a hash without a key. Whoever edits an entry and computes all later chain values again
//! leaves a log that holds; only a [`SealPoint`] that was taken before tells. Up to the first entry
//! with a chain, changes are found at that entry, not where they are. And entries behind the safe
//! point and the seal were promised to nobody: what does not hold there is a
//! [`Tail`](crate::Tail), not damage.

mod classify;
mod evidence;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;
use vfs::{File, Vfs};
use wal_format::{Chain, SafePoint, Seq, WalId, names};

use crate::{
    Scanned, SurveyError, Violation, codes,
    plan::FoundSafePoint,
    scan::{Noted, Scanner, Trust, run},
    switch::{View, view},
};

pub use classify::DamageKind;

/// What somebody has signed about a log: the chain value at one of its entries.
///
/// The signature was checked by whoever made this value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealPoint {
    /// Identity of the log.
    pub wal_id: WalId,
    /// Number of the entry.
    pub seq: Seq,
    /// Chain value up to and including that entry.
    pub chain: Chain,
}

/// A log that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What the log holds.
    pub scanned: Scanned,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// The safe point.
    pub safe_point: SafePoint,
    /// Whether a seal was compared.
    pub sealed: bool,
}

impl Verified {
    /// How many entries hold.
    pub fn entries(&self) -> u64 {
        self.scanned.last.map_or(0, Seq::get)
    }

    /// How many of them stand behind the safe point.
    pub fn beyond_safe_point(&self) -> u64 {
        self.entries().saturating_sub(self.safe_point.get())
    }
}

/// The first thing wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What was done.
    pub kind: DamageKind,
    /// Number of the first entry that is not as it was.
    pub seq: u64,
    /// Where it stands or should stand, in bytes.
    pub offset: u64,
    /// How it was noticed.
    pub cause: DamageCause,
}

/// How damage was noticed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DamageCause {
    /// By the rules of the log itself. A start refuses it too.
    #[error("{0}")]
    Rule(Violation),
    /// The log ends before the entry that the seal names.
    #[error("WAL_TRUNCATED — the seal names Seq={sealed} but maxSeq={}", last.map_or(0, Seq::get))]
    EndsBeforeSeal {
        /// The entry that the seal names.
        sealed: Seq,
        /// The last entry that holds.
        last: Option<Seq>,
    },
    /// An entry that the seal covers does not hold.
    #[error(
        "WAL_SEALED_DAMAGED — Seq={seq} is covered by the seal at Seq={sealed} and does not hold"
    )]
    Sealed {
        /// The first entry that does not hold.
        seq: u64,
        /// The entry that the seal names.
        sealed: Seq,
    },
    /// The seal is of another log.
    #[error("WAL_FORKED — the seal is of log {sealed}, this is log {found}")]
    OtherLog {
        /// The log of the seal.
        sealed: WalId,
        /// This log.
        found: WalId,
    },
    /// The entry that the seal names has another chain value.
    #[error("WAL_FORKED — Seq={seq} has the chain value {found}, the seal says {sealed}")]
    OtherChain {
        /// The entry that the seal names.
        seq: Seq,
        /// The value of the seal.
        sealed: Chain,
        /// The value in the log.
        found: Chain,
    },
}

impl DamageCause {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Rule(violation) => violation.code(),
            Self::EndsBeforeSeal { .. } => codes::WAL_TRUNCATED,
            Self::Sealed { .. } => codes::WAL_SEALED_DAMAGED,
            Self::OtherLog { .. } | Self::OtherChain { .. } => codes::WAL_FORKED,
        }
    }

    /// Returns what an operator does next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Rule(violation) => violation.hint(),
            Self::EndsBeforeSeal { .. } | Self::Sealed { .. } => {
                "copy the directory away, then compare it with a backup from after the seal"
            }
            Self::OtherLog { .. } => "check that seal and log are from the same directory",
            Self::OtherChain { .. } => {
                "the log was written anew after it was sealed: copy the directory away and compare \
                 it with a backup and with what the collector received"
            }
        }
    }
}

/// Why a log was not found whole.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// There is no log.
    #[error("telemetry/wal: WAL_NOT_FOUND — no telemetry.wal in {}", dir.display())]
    NotFound {
        /// The directory.
        dir: PathBuf,
    },
    /// The safe point is missing or unreadable, so nobody knows how much must be there; or a switch does
    /// not fit, so nobody knows which log it is.
    #[error("telemetry/wal: {0}")]
    NoSafePoint(Violation),
    /// Something was done to the log.
    #[error("telemetry/wal: {}", .0.cause)]
    Damaged(Damage),
    /// The file system failed.
    #[error("telemetry/wal: WAL_IO — cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl VerifyError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => codes::WAL_NOT_FOUND,
            Self::NoSafePoint(violation) => violation.code(),
            Self::Damaged(damage) => damage.cause.code(),
            Self::Io { .. } => codes::WAL_IO,
        }
    }

    /// Returns what an operator does next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "check --dir: it is the --wal-dir of the runtime",
            Self::NoSafePoint(violation) => violation.hint(),
            Self::Damaged(damage) => damage.cause.hint(),
            Self::Io { .. } => "check that the path is a readable directory",
        }
    }
}

/// Reads the whole log in `dir`, on all cores, and compares it with a seal if there is one. Takes no
/// lock and changes nothing; while somebody writes, the log as it was a moment ago is verified.
///
/// # Errors
///
/// [`VerifyError`].
pub fn verify(
    vfs: &dyn Vfs,
    dir: &Path,
    seal: Option<&SealPoint>,
) -> Result<Verified, VerifyError> {
    let at = |path: PathBuf| move |source| VerifyError::Io { path, source };
    let (path, safe_path) = (dir.join(names::WAL), dir.join(names::SAFE_SEQ));
    // A log and a safe point that belong together, also while the log is replaced (T4).
    let View { file, safe_point } = view(vfs, dir).map_err(|error| match error {
        SurveyError::Violation(violation) => VerifyError::NoSafePoint(violation),
        SurveyError::Io { path, source } => VerifyError::Io { path, source },
    })?;
    let safe = match (safe_point, &file) {
        (FoundSafePoint::Present(safe), _) => safe,
        (FoundSafePoint::WrongSize(len), _) => {
            return Err(VerifyError::NoSafePoint(Violation::SafeSeqCorrupt { len }));
        }
        (FoundSafePoint::Absent, None) => {
            return Err(VerifyError::NotFound { dir: dir.to_owned() });
        }
        (FoundSafePoint::Absent, Some(_)) => {
            return Err(VerifyError::NoSafePoint(Violation::SafeSeqNotFound { path: safe_path }));
        }
    };
    let Some(file) = file else { return without_log(dir, safe) };
    read_all(&file, safe, seal).map_err(at(path))?.map_err(VerifyError::Damaged)
}

/// A safe point without a log: a lost log, unless nothing was ever committed.
fn without_log(dir: &Path, safe: SafePoint) -> Result<Verified, VerifyError> {
    let Some(safe) = safe.last() else { return Err(VerifyError::NotFound { dir: dir.to_owned() }) };
    let violation = Violation::SafeSeqGtMaxSeq { safe, max: None, offset: 0 };
    let cause = DamageCause::Rule(violation);
    Err(VerifyError::Damaged(Damage { kind: DamageKind::Truncate, seq: 1, offset: 0, cause }))
}

fn read_all(
    file: &Arc<dyn File>,
    safe: SafePoint,
    seal: Option<&SealPoint>,
) -> io::Result<Result<Verified, Damage>> {
    let sealed = seal.map(|it| it.seq);
    // A seal vouches for entries as the safe point does.
    let floor = SafePoint::at(safe.last().max(sealed));
    let mut scanner = Scanner::new(Trust::UpTo(floor)).noting(sealed);
    let tail = match run(file, &mut scanner)? {
        Ok(tail) => tail,
        Err(violation) => return damage(file, &scanner, safe, seal, violation).map(Err),
    };
    let noted = scanner.noted();
    let whole = scanner.result(tail);
    if let Some(damage) = seal.and_then(|seal| forked(&whole, noted, seal)) {
        return Ok(Err(damage));
    }
    let bytes = file.stat()?.len.max(whole.end);
    Ok(Ok(Verified { scanned: whole, bytes, safe_point: safe, sealed: seal.is_some() }))
}

/// What is wrong with a log whose entries hold, measured by a seal.
fn forked(scanned: &Scanned, noted: Option<Noted>, seal: &SealPoint) -> Option<Damage> {
    if let Some(other) = other_log(scanned.identity.as_ref().map(|it| it.wal_id), seal) {
        return Some(other);
    }
    // A log that ends before the seal was refused by its rules.
    let noted = noted.filter(|it| it.chain != seal.chain)?;
    let cause = DamageCause::OtherChain { seq: seal.seq, sealed: seal.chain, found: noted.chain };
    Some(Damage { kind: DamageKind::Fork, seq: seal.seq.get(), offset: noted.offset, cause })
}

fn other_log(found: Option<WalId>, seal: &SealPoint) -> Option<Damage> {
    let found = found.filter(|it| *it != seal.wal_id)?;
    let cause = DamageCause::OtherLog { sealed: seal.wal_id, found };
    Some(Damage { kind: DamageKind::Fork, seq: 1, offset: 0, cause })
}

/// What is wrong with a log that breaks a rule.
fn damage(
    file: &Arc<dyn File>,
    scanner: &Scanner,
    safe: SafePoint,
    seal: Option<&SealPoint>,
    violation: Violation,
) -> io::Result<Damage> {
    let (seq, offset) = violation.place().unwrap_or((1, 0));
    // What only the seal vouches for is not damaged when it is the seal of another log.
    let by_seal = seal.filter(|_| seq > safe.get());
    if let Some(seal) = by_seal
        && let Some(other) = other_log(scanner.identity().map(|it| it.wal_id), seal)
    {
        return Ok(other);
    }
    let short = matches!(violation, Violation::SafeSeqGtMaxSeq { .. });
    let kind = if !short {
        classify::classify(evidence::gather(file, scanner, offset)?)
    } else if evidence::only_length_wrong(file, scanner, offset)? {
        DamageKind::Edit
    } else {
        DamageKind::Truncate
    };
    let cause = match by_seal {
        Some(seal) if kind == DamageKind::Truncate => {
            DamageCause::EndsBeforeSeal { sealed: seal.seq, last: scanner.last() }
        }
        Some(seal) => DamageCause::Sealed { seq, sealed: seal.seq },
        None => DamageCause::Rule(violation),
    };
    Ok(Damage { kind, seq, offset, cause })
}
