//! Why a database file was not touched, or not as asked.
//!
//! | code                   | what is wrong                                                     |
//! |------------------------|-------------------------------------------------------------------|
//! | `DB_NOT_FOUND`         | the file is not there                                             |
//! | `DB_NOT_A_FILE`        | a directory, a link or a device has the name                      |
//! | `DB_NOT_A_DATABASE`    | the file is none of `SQLite`                                      |
//! | `DB_FOREIGN`           | the database of another program                                   |
//! | `DB_UNVERSIONED`       | nothing says which version it has                                 |
//! | `DB_NEWER`             | a newer program wrote it                                          |
//! | `DB_CORRUPT`           | its pages contradict each other                                   |
//! | `DB_HOT_JOURNAL`       | a writer was killed, and what it began is not taken back yet      |
//! | `DB_BUSY`              | another process has it                                            |
//! | `DB_EXISTS`            | the name of the copy is taken                                     |
//! | `DB_SAME_FILE`         | source and destination are one file                               |
//! | `DB_MISMATCH`          | the backup is one of another database                             |
//! | `DB_MIGRATION_FAILED`  | a migration failed and was taken back                             |
//! | `DB_MIGRATION_REFUSED` | a migration says what would end its own transaction               |
//! | `DB_MIGRATIONS_INVALID` | the directory of migrations cannot be followed                   |
//! | `DB_SCHEMA_GAP`        | a migration was skipped before                                    |
//! | `DB_DISK_FULL`         | no room                                                           |
//! | `DB_PERMISSION`        | the operating system forbids it                                   |
//! | `DB_IO`                | the operating system cannot do it                                 |
//! | `DB_SQLITE`            | anything else that `SQLite` says                                  |

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::{ErrorCode, ffi::SQLITE_READONLY_ROLLBACK};
use thiserror::Error;

/// Why a database file was not touched, or not as asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// Nothing has this name.
    #[error("{} is not there", .path.display())]
    NotFound {
        /// The name.
        path: PathBuf,
    },
    /// Something has this name that is not a file.
    #[error("{} is {found}, not a file", .path.display())]
    NotAFile {
        /// The name.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// A file, but none of `SQLite`.
    #[error("{} is not a database", .path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The database of another program.
    #[error("{} is the database of another program (application id {application_id})", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose.
        application_id: i32,
    },
    /// Neither ours nor one with a table `schema_version`.
    #[error("{} has no table schema_version (version, migrated_at, name)", .path.display())]
    Unversioned {
        /// The file.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error("{} has schema version {found}; known are versions up to {supported}", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: u32,
        /// What is known.
        supported: u32,
    },
    /// It is damaged.
    #[error("{} is damaged: {finding}", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The first finding.
        finding: String,
    },
    /// A writer was killed: what it began is taken back by the next one, which changes the file.
    #[error("{} was being written when its program was killed; the journal beside it is not played back yet", .path.display())]
    HotJournal {
        /// The file.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("{} is in use by {holder}", .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// By whom, as far as that is known.
        holder: String,
    },
    /// The name of the copy is taken.
    #[error("{} is there already", .path.display())]
    Exists {
        /// The name.
        path: PathBuf,
    },
    /// Source and destination are one file, or one would be overwritten by the way to the other.
    #[error("{} would be read and written at once", .path.display())]
    SameFile {
        /// The file.
        path: PathBuf,
    },
    /// The backup is one of another database.
    #[error("{} has the application id {found}, and {} has {wanted}", .backup.display(), .database.display())]
    Mismatch {
        /// The backup.
        backup: PathBuf,
        /// What it has.
        found: i32,
        /// The database.
        database: PathBuf,
        /// What that has.
        wanted: i32,
    },
    /// A migration failed; the file is at the version before it.
    #[error("migration {version} ({name}) of {} failed: {reason}; the file stays at version {reached}", .path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// What was not reached.
        version: u32,
        /// Its name.
        name: String,
        /// What `SQLite` says.
        reason: String,
        /// The version of the file now.
        reached: u32,
    },
    /// A migration says what would end its transaction, or reach beyond the file.
    #[error("migration {version} ({name}) of {} may not say {statement}; the file stays at version {reached}", .path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What was not reached.
        version: u32,
        /// Its name.
        name: String,
        /// What it says.
        statement: String,
        /// The version of the file now.
        reached: u32,
    },
    /// A directory of migrations that cannot be followed.
    #[error("{}: {reason}", .path.display())]
    Migrations {
        /// The directory, or the file in it.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A migration below the version of the file was never applied to it.
    #[error("{} is at version {version}, but migration {missing} was never applied to it", .path.display())]
    Gap {
        /// The file.
        path: PathBuf,
        /// What it has.
        version: u32,
        /// What it lacks.
        missing: u32,
    },
    /// No room.
    #[error("no room for {}", .path.display())]
    Full {
        /// What was written.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Forbidden.
    #[error("no permission for {}", .path.display())]
    Permission {
        /// What was asked for.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operating system cannot do it.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Anything else that `SQLite` says.
    #[error("cannot use {}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: rusqlite::Error,
    },
}

impl DatabaseError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "DB_NOT_FOUND",
            Self::NotAFile { .. } => "DB_NOT_A_FILE",
            Self::NotADatabase { .. } => "DB_NOT_A_DATABASE",
            Self::Foreign { .. } => "DB_FOREIGN",
            Self::Unversioned { .. } => "DB_UNVERSIONED",
            Self::Newer { .. } => "DB_NEWER",
            Self::Corrupt { .. } => "DB_CORRUPT",
            Self::HotJournal { .. } => "DB_HOT_JOURNAL",
            Self::Busy { .. } => "DB_BUSY",
            Self::Exists { .. } => "DB_EXISTS",
            Self::SameFile { .. } => "DB_SAME_FILE",
            Self::Mismatch { .. } => "DB_MISMATCH",
            Self::Migration { .. } => "DB_MIGRATION_FAILED",
            Self::Refused { .. } => "DB_MIGRATION_REFUSED",
            Self::Migrations { .. } => "DB_MIGRATIONS_INVALID",
            Self::Gap { .. } => "DB_SCHEMA_GAP",
            Self::Full { .. } => "DB_DISK_FULL",
            Self::Permission { .. } => "DB_PERMISSION",
            Self::Io { .. } => "DB_IO",
            Self::Sqlite { .. } => "DB_SQLITE",
        }
    }

    /// Gives an error of `SQLite` its name.
    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let extended = source.sqlite_error().map(|it| it.extended_code);
        match source.sqlite_error_code() {
            _ if extended == Some(SQLITE_READONLY_ROLLBACK) => Self::HotJournal { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Busy { path, holder: ANOTHER.to_owned() }
            }
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, finding: source.to_string() },
            Some(ErrorCode::DiskFull) => Self::Full { path, source: source.into() },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::Permission { path, source: source.into() }
            }
            _ => Self::Sqlite { path, source },
        }
    }

    /// Gives an error of the operating system its name.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Permission { path, source: source.into() }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path, source: source.into() }
            }
            _ => Self::Io { action, path, source },
        }
    }
}

/// A holder that left no name.
pub(super) const ANOTHER: &str = "another process";
