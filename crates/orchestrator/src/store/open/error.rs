//! Why a data directory is not served.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::store::failure::{Class, classify};

/// Why a data directory is not served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory or its lock file cannot be created, read or written.
    #[error("cannot use {path}: {source}")]
    DirUnusable {
        /// The directory or file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another process serves it.
    #[error("data directory {dir} is in use by {holder}")]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// What the holder left: its process id.
        holder: String,
    },
    /// A directory stands where the database should be.
    #[error("{path} is a directory, not a database")]
    NotAFile {
        /// The path of the database.
        path: PathBuf,
    },
    /// The database cannot be written.
    #[error("{path} is read-only")]
    ReadOnly {
        /// The path of the database.
        path: PathBuf,
    },
    /// Events were stored here and the database is gone or empty (rows B, C).
    #[error("{path} is missing or empty, but {evidence} shows that something was stored here")]
    Missing {
        /// The path of the database.
        path: PathBuf,
        /// The file that shows it.
        evidence: PathBuf,
    },
    /// The first bytes are not those of a database.
    #[error("{path} is not an SQLite database")]
    NotADatabase {
        /// The path of the database.
        path: PathBuf,
    },
    /// It is a database of some other program.
    #[error("{path} is a database of another program (application_id {application_id})")]
    Foreign {
        /// The path of the database.
        path: PathBuf,
        /// How it marks itself; 0 when it does not.
        application_id: i32,
    },
    /// A newer program wrote it.
    #[error("{path} has schema version {found}; this program knows versions up to {supported}")]
    Newer {
        /// The path of the database.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The newest known version.
        supported: u32,
    },
    /// Pages are damaged.
    #[error("{path} is damaged: {finding}")]
    Corrupt {
        /// The path of the database.
        path: PathBuf,
        /// The first finding.
        finding: String,
    },
    /// Events that were answered are not in the database: its log was damaged, cut or removed.
    #[error("{path} ends at event {found}, but {evidence} shows that event {committed} was stored")]
    RolledBack {
        /// The path of the database.
        path: PathBuf,
        /// The file that shows it.
        evidence: PathBuf,
        /// The last event of the database; 0 when it has none.
        found: i64,
        /// The last event that is known to have been committed.
        committed: i64,
    },
    /// The file that says how far the database went is not what was written.
    #[error("{path} is damaged: {finding}")]
    MarkCorrupt {
        /// The path of that file.
        path: PathBuf,
        /// What is wrong with it.
        finding: String,
    },
    /// A migration failed and was rolled back.
    #[error("{path} could not be migrated to schema version {version}: {source}")]
    Migration {
        /// The path of the database.
        path: PathBuf,
        /// The version that was not reached.
        version: u32,
        /// What `SQLite` says.
        source: rusqlite::Error,
    },
    /// Another process has the database locked.
    #[error("{path} is locked by another process")]
    Busy {
        /// The path of the database.
        path: PathBuf,
    },
    /// `SQLite` could not open it.
    #[error("cannot open {path}: {source}")]
    Sqlite {
        /// The path of the database.
        path: PathBuf,
        /// What `SQLite` says.
        source: rusqlite::Error,
    },
    /// The writer thread could not be started.
    #[error("cannot start the writer: {source}")]
    Thread {
        /// What the operating system says.
        source: io::Error,
    },
}

impl OpenError {
    /// Gives an error of `SQLite` the name under which it is refused.
    pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match classify(&source) {
            Class::Busy => Self::Busy { path },
            Class::Corrupt => Self::Corrupt { path, finding: source.to_string() },
            _ => Self::Sqlite { path, source },
        }
    }
}
