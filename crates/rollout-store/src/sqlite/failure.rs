//! What an error of `SQLite` means.
//!
//! | class    | codes                                             | what follows                       |
//! |----------|---------------------------------------------------|------------------------------------|
//! | busy     | `BUSY`, `LOCKED`                                  | the batch can be sent again        |
//! | full     | `FULL`                                            | the batch can be sent again        |
//! | broken   | `CORRUPT`, `NOTADB`, `IOERR`, `READONLY`, `CANTOPEN`, `PERM`, `PROTOCOL` | the store stops (Z3) |
//! | refused  | all others                                        | the request alone is refused       |

use rusqlite::{Error, ErrorCode};

use crate::store::{ReadError, RowError};

/// Puts an error in its class.
pub(super) fn row_error(error: &Error) -> RowError {
    let detail = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => RowError::Busy,
        Some(ErrorCode::DiskFull) => RowError::Full { detail },
        Some(
            ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::FileLockingProtocolFailed,
        ) => RowError::Broken { detail },
        _ => RowError::Refused { detail },
    }
}

/// What a reader hears.
pub(super) fn read_error(error: &Error) -> ReadError {
    if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
        return ReadError::Interrupted;
    }
    match row_error(error) {
        RowError::Busy => ReadError::Busy,
        RowError::Unreadable { plan_id, why } => ReadError::Unreadable { plan_id, why },
        RowError::Full { detail } | RowError::Broken { detail } | RowError::Refused { detail } => {
            ReadError::Failed { detail }
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn each_code_is_in_the_class_of_the_table() {
        let class = |code| {
            let error = Error::SqliteFailure(ffi::Error::new(code), None);
            match row_error(&error) {
                RowError::Busy => "busy",
                RowError::Full { .. } => "full",
                RowError::Broken { .. } => "broken",
                RowError::Refused { .. } => "refused",
                RowError::Unreadable { .. } => "unreadable",
            }
        };
        for (code, want) in [
            (ffi::SQLITE_BUSY, "busy"),
            (ffi::SQLITE_LOCKED, "busy"),
            (ffi::SQLITE_FULL, "full"),
            (ffi::SQLITE_CORRUPT, "broken"),
            (ffi::SQLITE_NOTADB, "broken"),
            (ffi::SQLITE_IOERR, "broken"),
            (ffi::SQLITE_IOERR_FSYNC, "broken"),
            (ffi::SQLITE_READONLY, "broken"),
            (ffi::SQLITE_CANTOPEN, "broken"),
            (ffi::SQLITE_PERM, "broken"),
            (ffi::SQLITE_PROTOCOL, "broken"),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, "refused"),
            (ffi::SQLITE_TOOBIG, "refused"),
            (ffi::SQLITE_NOMEM, "refused"),
        ] {
            assert_eq!(class(code), want, "{code}");
        }
        let stopped = Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None);
        assert_eq!(read_error(&stopped), ReadError::Interrupted);
    }
}
