//! What an error of `SQLite` means for the store.

use std::path::PathBuf;

use rusqlite::{Error, ErrorCode};
use thiserror::Error as ThisError;

/// The classes of errors that are answered differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Another process has the database locked.
    Busy,
    /// No space on the disk, or the page limit is reached.
    Full,
    /// The content is not what `SQLite` wrote.
    Corrupt,
    /// Reading, writing or syncing failed: what is on the disk is unknown.
    Io,
    /// The query was stopped.
    Interrupted,
    /// The statement or the memory; the store is as it was.
    Other,
}

/// Puts `error` in its class.
pub(super) fn classify(error: &Error) -> Class {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Class::Busy,
        Some(ErrorCode::DiskFull) => Class::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Class::Corrupt,
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::FileLockingProtocolFailed,
        ) => Class::Io,
        Some(ErrorCode::OperationInterrupted) => Class::Interrupted,
        _ => Class::Other,
    }
}

/// Why a store stopped while it was served.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Failure {
    /// `SQLite` found damage.
    #[error("the database is damaged: {detail}")]
    Corrupt {
        /// What `SQLite` says.
        detail: String,
    },
    /// A write, sync or checkpoint failed; nothing was retried.
    #[error("writing the database failed: {detail}")]
    Io {
        /// What `SQLite` says.
        detail: String,
    },
    /// A file of the store was removed or replaced while it was in use.
    #[error("{path} was removed or replaced while it was in use")]
    Moved {
        /// Which file.
        path: PathBuf,
    },
    /// The writer thread ended without a word.
    #[error("the writer ended unexpectedly")]
    WriterEnded,
}

impl Failure {
    /// The failure that `error` is, when it is one after which nothing may be written.
    pub(super) fn of(error: &Error) -> Option<Self> {
        let detail = error.to_string();
        match classify(error) {
            Class::Corrupt => Some(Self::Corrupt { detail }),
            Class::Io => Some(Self::Io { detail }),
            Class::Busy | Class::Full | Class::Interrupted | Class::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn damage_and_io_errors_stop_the_store_and_nothing_else_does() {
        let table = [
            (ffi::SQLITE_BUSY, Class::Busy),
            (ffi::SQLITE_LOCKED, Class::Busy),
            (ffi::SQLITE_FULL, Class::Full),
            (ffi::SQLITE_CORRUPT, Class::Corrupt),
            (ffi::SQLITE_CORRUPT_INDEX, Class::Corrupt),
            (ffi::SQLITE_NOTADB, Class::Corrupt),
            (ffi::SQLITE_IOERR, Class::Io),
            (ffi::SQLITE_IOERR_FSYNC, Class::Io),
            (ffi::SQLITE_IOERR_WRITE, Class::Io),
            (ffi::SQLITE_READONLY, Class::Io),
            (ffi::SQLITE_CANTOPEN, Class::Io),
            (ffi::SQLITE_INTERRUPT, Class::Interrupted),
            (ffi::SQLITE_NOMEM, Class::Other),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, Class::Other),
            (ffi::SQLITE_ERROR, Class::Other),
        ];
        for (code, want) in table {
            let error = Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(classify(&error), want, "{code}");
            let stops = matches!(want, Class::Corrupt | Class::Io);
            assert_eq!(Failure::of(&error).is_some(), stops, "{code}");
        }
        assert_eq!(classify(&Error::InvalidQuery), Class::Other);
    }
}
