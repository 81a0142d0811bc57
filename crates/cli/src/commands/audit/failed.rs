//! What failures of the audit trail mean for an operator.

use api::exit::Exit;
use audit::{AppendError, Damage, ExportError, OpenError, PruneError, QueryError};
use serde_json::json;

use crate::failure::Failure;

/// What to do about a trail that was changed.
const DAMAGED: &str = "keep a copy of the directory, then find out who could write there";

/// A trail that is not what was written: file, offset and kind stand in the text and in the report.
pub(super) fn damaged(damage: &Damage) -> Failure {
    let mut failure = Failure::new(Exit::Integrity, "AUDIT_CORRUPT", damage.to_string());
    failure.report = Some(Box::new(json!({
        "verified": false, "file": damage.file, "offset": damage.offset, "line": damage.line,
        "seq": damage.seq, "kind": damage.kind.as_str(), "detail": damage.detail,
    })));
    failure.hint(DAMAGED)
}

fn io(code: &str, error: &dyn std::error::Error) -> Failure {
    Failure::of(Exit::Failed, code, error).hint("check path, owner, mode and room on the disk")
}

fn newer(code: &str, error: &dyn std::error::Error) -> Failure {
    Failure::of(Exit::Failed, code, error).hint("use that version")
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match &error {
            OpenError::Io { .. } => io(error.code(), &error),
            OpenError::Locked { .. } => Self::of(Exit::Busy, error.code(), &error)
                .hint("another process appends to it: run the same command again"),
            OpenError::Corrupt(damage) => damaged(damage),
            OpenError::Newer { .. } => newer(error.code(), &error),
        }
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Trail(error) => error.into(),
            AppendError::Invalid { .. } | AppendError::TooLarge { .. } => {
                Self::of(Exit::Usage, error.code(), &error)
                    .hint("names, reasons and resources are short texts without control characters")
            }
            AppendError::Poisoned => io(error.code(), &error),
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::NotFound { .. } => Self::of(Exit::NotFound, error.code(), &error)
                .hint(format!("pass --audit-dir, or set {}", api::env::AUDIT_DIR)),
            QueryError::Io { .. } => io(error.code(), &error),
            QueryError::Damaged(damage) => damaged(damage),
            QueryError::Newer { .. } => newer(error.code(), &error),
        }
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Read(error) => error.into(),
            ExportError::Write(_) => io(error.code(), &error),
        }
    }
}

impl From<PruneError> for Failure {
    fn from(error: PruneError) -> Self {
        match error {
            PruneError::Damaged(damage) => damaged(&damage),
            PruneError::Read(error) => error.into(),
            PruneError::Append(error) => error.into(),
            PruneError::Remove { .. } => io(error.code(), &error),
        }
    }
}
