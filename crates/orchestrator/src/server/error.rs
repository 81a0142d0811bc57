//! Why the service did not start or ended early: code, next step, exit code.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use api::exit::Exit;
use serde_json::json;
use thiserror::Error;
use wal_recovery::{AppendError, RecoverError, codes};

use crate::{
    auth::file::FileError,
    config::ConfigError,
    rollouts::RolloutsError,
    store::{Failure, OpenError, names},
};

/// Why the service did not start, or ended before it was told to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// There is no data directory.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log filter is not one.
    #[error("{reason}")]
    LogFilter {
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused something that every program needs.
    #[error("cannot start the process: {source}")]
    Process {
        /// What it says.
        source: io::Error,
    },
    /// The data directory is not served.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log of the service's own life is not opened. The text is an interface.
    #[error(transparent)]
    Wal(#[from] RecoverError),
    /// The log of the service's own life cannot be written.
    #[error("telemetry/wal: {0}")]
    Append(#[from] AppendError),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The given listener has no address.
    #[error("cannot use the listener: {source}")]
    Listener {
        /// What the operating system says.
        source: io::Error,
    },
    /// The store stopped while it was served (O5).
    #[error("the store stopped: {failure}")]
    Store {
        /// Why.
        failure: Failure,
    },
    /// The rollouts are not served.
    #[error(transparent)]
    Rollouts(#[from] RolloutsError),
    /// The roles cannot be read.
    #[error(transparent)]
    Access(#[from] FileError),
    /// A file for TLS cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Certificate and key cannot be used.
    #[error("TLS: {source}")]
    Tls {
        /// What is wrong.
        source: tls::MaterialError,
    },
    /// The store could not be closed in order.
    #[error("the store was not closed in order: {reason}; every answered request is durable")]
    Close {
        /// Why.
        reason: String,
    },
    /// A task of the service ended unexpectedly.
    #[error("a task of the service ended unexpectedly: {reason}")]
    Task {
        /// Why.
        reason: String,
    },
}

impl ServeError {
    /// Returns the stable code for programs.
    pub fn code(&self) -> &'static str {
        self.row().0
    }

    /// Returns the code that the process exits with.
    pub fn exit(&self) -> Exit {
        self.row().1
    }

    /// Returns what to do next.
    pub fn hint(&self) -> &'static str {
        self.row().2
    }

    /// Returns the last words of the process: in JSON one line, in text the hint on its own line.
    ///
    /// Unlike a log line it does not depend on a filter.
    pub fn last_words(&self, as_json: bool) -> String {
        let (code, hint) = (self.code(), self.hint());
        // A log that is refused has the same lines in every process: for machines and for people.
        if let Self::Wal(RecoverError::Violation { violation, dir }) = self {
            let (msg, dir) = (codes::WAL_RECOVERY_FAIL_HARD, dir.display().to_string());
            let error = self.to_string();
            let line =
                json!({ "level": "ERROR", "msg": msg, "cause": code, "dir": dir, "error": error });
            return format!("{line}\n{}\nhint: {hint}", violation.fatal_line());
        }
        if !as_json {
            return format!("error: {self} ({code})\nhint: {hint}");
        }
        let error = self.to_string();
        let msg = "orchestrator failed";
        json!({ "level": "ERROR", "msg": msg, "code": code, "error": error, "hint": hint })
            .to_string()
    }

    /// The one table of codes, exit codes and next steps.
    fn row(&self) -> (&'static str, Exit, &'static str) {
        match self {
            Self::Config(ConfigError::BadSwitch { .. }) => {
                ("BAD_ENVIRONMENT", Exit::Usage, "set it to 1 or 0, or unset it")
            }
            Self::Config(_) => ("NO_DATA_DIR", Exit::Usage, "name a directory with --data-dir"),
            Self::LogFilter { .. } => {
                ("LOG_FILTER", Exit::Usage, "set RUST_LOG to a filter such as info, or unset it")
            }
            Self::Process { .. } => {
                ("PROCESS", Exit::Failed, "check the limits of the process (ulimit -a)")
            }
            Self::Open(error) => of_open(error),
            Self::Wal(error) => {
                let exit = match error {
                    RecoverError::Violation { .. } => Exit::Integrity,
                    RecoverError::Locked { .. } => Exit::Busy,
                    RecoverError::Io { .. } | RecoverError::FirstEntry(_) => Exit::Failed,
                };
                (error.code(), exit, error.hint())
            }
            Self::Append(error) => (
                error.code(),
                Exit::Failed,
                "check the disk and its free space, then start again; answered events are kept",
            ),
            Self::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse => (
                "ADDRESS_IN_USE",
                Exit::Failed,
                "stop the process that listens there, or choose another address with --listen",
            ),
            Self::Bind { .. } | Self::Listener { .. } => (
                "ADDRESS_UNUSABLE",
                Exit::Failed,
                "choose an address of this machine with --listen, and a port from 1024",
            ),
            Self::Store { failure: Failure::Corrupt { .. } } => (
                "STORE_CORRUPT",
                Exit::Integrity,
                "keep a copy of the data directory and restore the database that the message names (else orchestrator.db) from a backup",
            ),
            Self::Store { failure: Failure::Moved { .. } } => (
                "STORE_MOVED",
                Exit::Failed,
                "find out what removes files from the data directory, put them back, start again",
            ),
            Self::Store { .. } => (
                "STORE_IO",
                Exit::Failed,
                "check the disk (dmesg, smartctl), then start again; answered events are kept",
            ),
            Self::Rollouts(error) => of_rollouts(error),
            Self::Access(error) => (error.code(), Exit::Integrity, error.hint()),
            Self::TlsFile { .. } => ("TLS_FILE", Exit::Usage, HINT_TLS),
            Self::Tls { .. } => ("TLS_MATERIAL", Exit::Usage, HINT_TLS),
            Self::Close { .. } => {
                ("STORE_CLOSE", Exit::Failed, "start again; the next start finishes it")
            }
            Self::Task { .. } => ("INTERNAL", Exit::Failed, "start again and report this message"),
        }
    }
}

const HINT_ROLLED_BACK: &str = "restore orchestrator.db, orchestrator.db-wal and orchestrator.used together from a backup; or remove orchestrator.used to accept the loss";
const HINT_MARK_CORRUPT: &str = "restore that file together with its database (orchestrator.db or rollouts.db) from a backup; or remove it to take the database as it is";

const HINT_TLS: &str = "check the files of --tls-cert-file, --tls-key-file and --tls-ca-file: PEM, readable, and the key that of the certificate";
const HINT_ROLLOUTS: &str = "restore rollouts.db, rollouts.db-wal and rollouts.used together from a backup; or remove rollouts.used to accept the loss";

fn of_rollouts(error: &RolloutsError) -> (&'static str, Exit, &'static str) {
    match error {
        RolloutsError::Open(error) => of_open(error),
        RolloutsError::Store(error) => {
            let (exit, hint) = match error.code() {
                "STORE_NEWER" => (Exit::Failed, "start the newer version of autonomy-orchestrator"),
                "STORE_FOREIGN" => (Exit::Integrity, "choose another directory with --data-dir"),
                _ => (
                    Exit::Failed,
                    "check owner, mode and free space of the data directory, then start again",
                ),
            };
            (error.code(), exit, hint)
        }
        RolloutsError::Read { source, .. } => (
            source.code(),
            Exit::Integrity,
            "keep a copy of the data directory and restore rollouts.db from a backup",
        ),
        RolloutsError::Write { source, .. } => (
            source.code(),
            Exit::Failed,
            "check the disk and its free space, then start again; answered requests are kept",
        ),
        RolloutsError::RolledBack { .. } => ("STORE_ROLLED_BACK", Exit::Integrity, HINT_ROLLOUTS),
        RolloutsError::Audit { source, .. } => {
            let exit =
                if source.code() == "AUDIT_CORRUPT" { Exit::Integrity } else { Exit::Failed };
            let hint = match source.code() {
                "AUDIT_DISK_FULL" => {
                    "make room in the directory of the audit trail, then start again"
                }
                _ => "run `autonomy audit verify`; AUTONOMY_AUDIT_DIR names another directory",
            };
            (source.code(), exit, hint)
        }
        RolloutsError::Thread { .. } => {
            ("PROCESS", Exit::Failed, "check the limits of the process (ulimit -a)")
        }
    }
}

/// What is told for each of the two databases: the rollouts, and all the rest.
type OfEither = [&'static str; 2];

const RESTORE: OfEither = [
    "restore rollouts.db from a backup, or move it away and choose an empty directory",
    "restore orchestrator.db from a backup, or move it away and choose an empty directory",
];
const COPY_AND_RESTORE: OfEither = [
    "keep a copy of the data directory and restore rollouts.db from a backup",
    "keep a copy of the data directory and restore orchestrator.db from a backup",
];

/// The hint about the database that is damaged, not about the other one.
fn restored(path: &Path, [rollouts, rest]: OfEither) -> &'static str {
    if path.ends_with(names::ROLLOUTS) { rollouts } else { rest }
}

fn of_open(error: &OpenError) -> (&'static str, Exit, &'static str) {
    match error {
        OpenError::DirUnusable { .. } => (
            "DATA_DIR_UNUSABLE",
            Exit::Failed,
            "check owner, mode and free space, or choose another directory with --data-dir",
        ),
        OpenError::Locked { .. } => (
            "DATA_DIR_LOCKED",
            Exit::Busy,
            "stop that process, or choose another directory with --data-dir",
        ),
        OpenError::NotAFile { .. } => {
            ("STORE_NOT_A_FILE", Exit::Integrity, "move the directory away and start again")
        }
        OpenError::ReadOnly { .. } => {
            ("STORE_READ_ONLY", Exit::Failed, "make the file writable for this user (chmod u+w)")
        }
        OpenError::Missing { .. } => (
            "STORE_MISSING",
            Exit::Integrity,
            "restore the database from a backup; or remove that file to start empty on purpose",
        ),
        OpenError::NotADatabase { path } => {
            ("STORE_NOT_A_DATABASE", Exit::Integrity, restored(path, RESTORE))
        }
        OpenError::Foreign { .. } => {
            ("STORE_FOREIGN", Exit::Integrity, "choose another directory with --data-dir")
        }
        OpenError::Newer { .. } => {
            ("STORE_NEWER", Exit::Failed, "start the newer version of autonomy-orchestrator")
        }
        OpenError::Corrupt { path, .. } => {
            ("STORE_CORRUPT", Exit::Integrity, restored(path, COPY_AND_RESTORE))
        }
        OpenError::RolledBack { .. } => ("STORE_ROLLED_BACK", Exit::Integrity, HINT_ROLLED_BACK),
        OpenError::MarkCorrupt { .. } => ("STORE_MARK_CORRUPT", Exit::Integrity, HINT_MARK_CORRUPT),
        OpenError::Migration { .. } => (
            "STORE_MIGRATION",
            Exit::Failed,
            "the database is as it was before; start the older version and report this message",
        ),
        OpenError::Busy { .. } => (
            "STORE_BUSY",
            Exit::Busy,
            "end the other program that has the database open (fuser shows it), start again",
        ),
        OpenError::Sqlite { .. } | OpenError::Thread { .. } => (
            "STORE_UNAVAILABLE",
            Exit::Failed,
            "check owner, mode and free space of the data directory, then start again",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, path::PathBuf};

    use super::*;
    use crate::LISTEN_DEFAULT;

    #[test]
    fn a_damaged_database_is_the_one_that_is_restored() {
        for (file, other) in
            [(names::ROLLOUTS, names::DATABASE), (names::DATABASE, names::ROLLOUTS)]
        {
            let path = || PathBuf::from("/d").join(file);
            for error in [
                OpenError::NotADatabase { path: path() },
                OpenError::Corrupt { path: path(), finding: String::new() },
            ] {
                let hint = ServeError::from(error).hint();
                assert!(hint.contains(file) && !hint.contains(other), "{file}: {hint}");
            }
        }
    }

    #[track_caller]
    fn check(error: impl Into<ServeError>, code: &str, exit: Exit) {
        let error = error.into();
        assert_eq!((error.code(), error.exit()), (code, exit), "{error}");
        assert!(!error.hint().is_empty() && !error.hint().ends_with('.'), "{error}");
    }

    #[test]
    fn every_refusal_of_a_directory_has_a_code_and_its_exit_code() {
        let path = || PathBuf::from("/d/orchestrator.db");
        let source = || rusqlite::Error::InvalidQuery;
        let denied = ErrorKind::PermissionDenied;
        let text = || "x".to_owned();
        let (failed, integrity, busy) = (Exit::Failed, Exit::Integrity, Exit::Busy);
        let error = OpenError::DirUnusable { path: path(), source: denied.into() };
        check(error, "DATA_DIR_UNUSABLE", failed);
        check(OpenError::Locked { dir: path(), holder: text() }, "DATA_DIR_LOCKED", busy);
        check(OpenError::NotAFile { path: path() }, "STORE_NOT_A_FILE", integrity);
        check(OpenError::ReadOnly { path: path() }, "STORE_READ_ONLY", failed);
        check(OpenError::Missing { path: path(), evidence: path() }, "STORE_MISSING", integrity);
        check(OpenError::NotADatabase { path: path() }, "STORE_NOT_A_DATABASE", integrity);
        check(OpenError::Foreign { path: path(), application_id: 0 }, "STORE_FOREIGN", integrity);
        check(OpenError::Newer { path: path(), found: 9, supported: 1 }, "STORE_NEWER", failed);
        check(OpenError::Corrupt { path: path(), finding: text() }, "STORE_CORRUPT", integrity);
        let (found, committed) = (3, 6);
        let error = OpenError::RolledBack { path: path(), evidence: path(), found, committed };
        check(error, "STORE_ROLLED_BACK", integrity);
        let error = OpenError::MarkCorrupt { path: path(), finding: text() };
        check(error, "STORE_MARK_CORRUPT", integrity);
        let error = OpenError::Migration { path: path(), version: 1, source: source() };
        check(error, "STORE_MIGRATION", failed);
        check(OpenError::Busy { path: path() }, "STORE_BUSY", busy);
        check(OpenError::Sqlite { path: path(), source: source() }, "STORE_UNAVAILABLE", failed);
        check(OpenError::Thread { source: denied.into() }, "STORE_UNAVAILABLE", failed);
    }

    #[test]
    fn every_other_end_has_a_code_and_its_exit_code() {
        let addr = LISTEN_DEFAULT;
        let bind = |kind: ErrorKind| ServeError::Bind { addr, source: kind.into() };
        let store = |failure| ServeError::Store { failure };
        let text = || "x".to_owned();
        check(bind(ErrorKind::AddrInUse), "ADDRESS_IN_USE", Exit::Failed);
        check(bind(ErrorKind::PermissionDenied), "ADDRESS_UNUSABLE", Exit::Failed);
        let source = ErrorKind::InvalidInput.into();
        check(ServeError::Listener { source }, "ADDRESS_UNUSABLE", Exit::Failed);
        check(store(Failure::Corrupt { detail: text() }), "STORE_CORRUPT", Exit::Integrity);
        check(store(Failure::Io { detail: text() }), "STORE_IO", Exit::Failed);
        check(store(Failure::Moved { path: "/d".into() }), "STORE_MOVED", Exit::Failed);
        check(store(Failure::WriterEnded), "STORE_IO", Exit::Failed);
        check(ConfigError::NoHome, "NO_DATA_DIR", Exit::Usage);
        let source = ErrorKind::OutOfMemory.into();
        check(ServeError::Process { source }, "PROCESS", Exit::Failed);
        check(ServeError::Close { reason: text() }, "STORE_CLOSE", Exit::Failed);
        check(ServeError::Task { reason: text() }, "INTERNAL", Exit::Failed);
    }
}
