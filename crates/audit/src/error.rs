//! One error for each operation, what damage is, and the stable codes.
//!
//! | code                      | meaning                                                              |
//! |---------------------------|----------------------------------------------------------------------|
//! | `AUDIT_IO`                | the file system failed                                               |
//! | `AUDIT_DISK_FULL`         | the disk is full                                                     |
//! | `AUDIT_LOCKED`            | another process kept the lock for too long                           |
//! | `AUDIT_CORRUPT`           | a record is not what was written, or is missing                      |
//! | `AUDIT_NEWER`             | a newer version wrote the trail                                      |
//! | `AUDIT_POISONED`          | a write or sync failed; open the trail again                         |
//! | `AUDIT_RECORD_INVALID`    | a record breaks its bounds                                           |
//! | `AUDIT_APPEND_TOO_LARGE`  | too many records, or too many bytes, in one append                   |
//! | `AUDIT_NOT_FOUND`         | there is no trail in the directory                                   |
//! | `AUDIT_EXPORT`            | the export could not be written                                      |

use std::{fmt, io, path::PathBuf};

use thiserror::Error;

use crate::record::RecordError;

/// What was done to a trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The record was changed.
    Edited,
    /// The record is gone.
    Deleted,
    /// A record was put there.
    Inserted,
    /// Records stand in another order.
    Reordered,
    /// The end is gone.
    Truncated,
    /// The line is no record.
    BadJson,
    /// A whole file is gone.
    SegmentMissing,
    /// The head does not fit the records.
    HeadMismatch,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Edited,
        Self::Deleted,
        Self::Inserted,
        Self::Reordered,
        Self::Truncated,
        Self::BadJson,
        Self::SegmentMissing,
        Self::HeadMismatch,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::Truncated => "truncated",
            Self::BadJson => "bad_json",
            Self::SegmentMissing => "segment_missing",
            Self::HeadMismatch => "head_mismatch",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The first place at which a trail is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file} line {line} (byte {offset}), record {seq}: {kind}: {detail}")]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where in it, in bytes.
    pub offset: u64,
    /// Which line of it, from 1.
    pub line: u64,
    /// The number that the record has or should have; 0 when a query cannot know it.
    pub seq: u64,
    /// What was done.
    pub kind: Kind,
    /// What was found.
    pub detail: String,
}

/// The code of an error of the file system.
fn io_code(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::StorageFull { "AUDIT_DISK_FULL" } else { "AUDIT_IO" }
}

/// Why a trail was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// How.
        source: io::Error,
    },
    /// Another process kept the lock for longer than the settings allow.
    #[error("the audit trail is locked by {holder}")]
    Locked {
        /// What the holder left in the lock file.
        holder: String,
    },
    /// The end of the trail is not what was written.
    #[error("the audit trail is damaged: {0}")]
    Corrupt(#[source] Damage),
    /// A newer version wrote the trail.
    #[error("a newer version wrote {}", path.display())]
    Newer {
        /// The file that says so.
        path: PathBuf,
    },
}

impl OpenError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { source, .. } => io_code(source),
            Self::Locked { .. } => "AUDIT_LOCKED",
            Self::Corrupt(_) => "AUDIT_CORRUPT",
            Self::Newer { .. } => "AUDIT_NEWER",
        }
    }
}

/// Why records were not appended.
#[derive(Debug, Error)]
pub enum AppendError {
    /// A record breaks its bounds; nothing was written.
    #[error("record {index}: {source}")]
    Invalid {
        /// Which of the records, from 0.
        index: usize,
        /// What is wrong.
        source: RecordError,
    },
    /// Too much for one append; nothing was written.
    #[error("{found} {what} in one append, more than {max}")]
    TooLarge {
        /// Records or bytes.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// A write or sync through this value failed before; nothing was written.
    #[error("a write to the audit trail failed before; open it again")]
    Poisoned,
    /// The same reasons as for opening. After [`OpenError::Io`] it is unknown whether the records are in
    /// the trail; after the others nothing was written.
    #[error(transparent)]
    Trail(#[from] OpenError),
}

impl AppendError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "AUDIT_RECORD_INVALID",
            Self::TooLarge { .. } => "AUDIT_APPEND_TOO_LARGE",
            Self::Poisoned => "AUDIT_POISONED",
            Self::Trail(it) => it.code(),
        }
    }
}

/// Why nothing, or not everything, was pruned.
#[derive(Debug, Error)]
pub enum PruneError {
    /// The trail is damaged: evidence is not removed.
    #[error("the audit trail is damaged, nothing is removed: {0}")]
    Damaged(#[source] Damage),
    /// The trail could not be read.
    #[error(transparent)]
    Read(#[from] QueryError),
    /// The tombstone was not written, so nothing was removed.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A file was not removed. The tombstone names it; pruning again removes it.
    #[error("{}: {source}", path.display())]
    Remove {
        /// Which file.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
}

impl PruneError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Damaged(_) => "AUDIT_CORRUPT",
            Self::Read(it) => it.code(),
            Self::Append(it) => it.code(),
            Self::Remove { source, .. } => io_code(source),
        }
    }
}

impl From<OpenError> for PruneError {
    fn from(it: OpenError) -> Self {
        Self::Append(it.into())
    }
}

/// Why records were not read.
#[derive(Debug, Error)]
pub enum QueryError {
    /// There is no trail in the directory.
    #[error("there is no audit trail in {}", dir.display())]
    NotFound {
        /// The directory.
        dir: PathBuf,
    },
    /// The file system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// How.
        source: io::Error,
    },
    /// A record is not what was written.
    #[error("the audit trail is damaged: {0}")]
    Damaged(#[source] Damage),
    /// A newer version wrote the trail.
    #[error("a newer version wrote {}", path.display())]
    Newer {
        /// The file that says so.
        path: PathBuf,
    },
}

impl QueryError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "AUDIT_NOT_FOUND",
            Self::Io { source, .. } => io_code(source),
            Self::Damaged(_) => "AUDIT_CORRUPT",
            Self::Newer { .. } => "AUDIT_NEWER",
        }
    }
}

/// Why an export is not whole.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The trail could not be read.
    #[error(transparent)]
    Read(#[from] QueryError),
    /// The export could not be written.
    #[error("the export could not be written: {0}")]
    Write(#[source] io::Error),
}

impl ExportError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read(it) => it.code(),
            Self::Write(_) => "AUDIT_EXPORT",
        }
    }
}
