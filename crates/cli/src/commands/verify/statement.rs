//! The result of a verification as a signed in-toto statement (V3).

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use api::exit::Exit;
use supply_chain::{Outcome, REPORT_PREDICATE_TYPE, Report, SigningKey, Subject};

use super::json;
use crate::{
    args::StatementArgs,
    commands::{keys::signing_key, lock::write},
    context::Context,
    failure::Failure,
};

/// Where a statement goes, and who signs it.
pub(super) struct Statement {
    path: PathBuf,
    key: SigningKey,
}

impl Statement {
    /// Reads the key, before anything is verified.
    pub(super) fn prepare(
        args: &StatementArgs,
        context: Context<'_>,
    ) -> Result<Option<Self>, Failure> {
        let (Some(path), Some(key)) = (&args.statement, &args.key) else { return Ok(None) };
        Ok(Some(Self { path: path.clone(), key: signing_key(key, context)? }))
    }

    /// Writes what came out.
    pub(super) fn write(self, report: &Report) -> Result<(), Failure> {
        let digest = report.digest.ok_or_else(|| {
            not_written("there is no image that a statement could be about".to_owned())
        })?;
        let statement = supply_chain::Statement {
            subject: vec![Subject { name: report.image.clone(), digest }],
            predicate_type: REPORT_PREDICATE_TYPE.to_owned(),
            predicate: json(report)?,
        };
        let signed = statement.sign(&self.key).map_err(|it| not_written(it.to_string()))?;
        write(&self.path, &signed.to_bytes()).map_err(|it| {
            let mut failure = not_written(it.message);
            failure.cause.extend(it.cause);
            failure
        })?;
        let result = match report.result {
            Outcome::Verified => "verified",
            Outcome::Failed => "failed",
        };
        let line = format!("statement ({result}) written to {}", self.path.display());
        writeln!(io::stderr().lock(), "{line}")?;
        Ok(())
    }
}

fn not_written(text: String) -> Failure {
    let mut failure = Failure::new(Exit::Failed, "STATEMENT_NOT_WRITTEN", text);
    failure.message = format!("no statement was written: {}", failure.message);
    failure.hint("a file that stood there before is as it was: look at its `verified_at`")
}

/// Adds to a failure before there was a report that no statement was made.
pub(super) fn none_made(mut failure: Failure, asked: Option<&Statement>) -> Failure {
    if let Some(it) = asked {
        let path = it.path.display();
        failure.cause.push(format!("no statement was written to {path}: there is no report"));
    }
    failure
}
