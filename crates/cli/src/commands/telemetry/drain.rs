//! `autonomy telemetry drain`: sends what waits to a collector, errors first.

use std::io::{self, Write as _};

use api::exit::Exit;
use drain::{Failure as Stop, Notice, Report};
use runtime::{DrainError, DrainOptions, ProgressReadError, drain_once};
use vfs::OsVfs;
use wal_recovery::codes;

use crate::{
    args::{Drain, Output},
    commands::{
        print_json,
        telemetry::collector::{batch, connect, holder, seed},
        wal::directory,
    },
    context::Context,
    failure::Failure,
};

pub(crate) fn run(args: &Drain, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.dir.as_deref(), context)?;
    let collector = connect(&args.collector, context)?;
    let now = jiff::Timestamp::now();
    let options = DrainOptions {
        dir,
        batch: batch(&args.collector),
        retries: args.collector.retries,
        seed: seed(now),
        holder: holder(now),
    };
    let output = args.output.output;
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let executor = executor.map_err(|it| Failure::process(&it))?;
    let drained =
        executor.block_on(drain_once(&OsVfs, &options, &collector, |notice| tell(notice, output)));
    match drained {
        Ok(report) => {
            match output {
                Output::Json => print_json(&report)?,
                Output::Text => writeln!(io::stdout().lock(), "{report}")?,
            }
            // What the collector refused for good is kept, but it was not delivered.
            Ok(if report.dead_lettered > 0 { Exit::Partial } else { Exit::Done })
        }
        Err(error) => Err(failed(error, collector.url().as_str())),
    }
}

/// Progress is for people: lines on stdout in text mode, on stderr when stdout carries JSON.
fn tell(notice: &Notice, output: Output) {
    // A reader that went away does not stop a delivery.
    match output {
        Output::Text => writeln!(io::stdout().lock(), "{notice}").ok(),
        Output::Json => writeln!(io::stderr().lock(), "{notice}").ok(),
    };
}

fn failed(error: DrainError, url: &str) -> Failure {
    match error {
        DrainError::Locked { .. } => Failure::of(Exit::Busy, codes::DRAIN_LOCKED, &error)
            .hint("wait for the other drain to end, then try again"),
        DrainError::Lock { .. } => Failure::of(Exit::Failed, "DRAIN_LOCK", &error),
        DrainError::Read(error) => error.into(),
        DrainError::Progress(error) => progress(&error),
        DrainError::Index(_) => Failure::of(Exit::Failed, "DRAIN_INDEX", &error),
        DrainError::Stopped { ref failure, ref report } => stopped(&error, failure, report, url),
    }
}

/// Explains a progress file that cannot be used.
pub(crate) fn progress(error: &ProgressReadError) -> Failure {
    match error {
        ProgressReadError::Progress(inner) => {
            Failure::of(Exit::Integrity, inner.code(), error).hint(inner.hint())
        }
        ProgressReadError::Io { .. } => Failure::of(Exit::Failed, "IO", error),
    }
}

fn stopped(error: &DrainError, failure: &Stop, report: &Report, url: &str) -> Failure {
    let mut said = explained(error, failure, url);
    // Before anything was queued there is nothing to count.
    if report.queued > 0 && !matches!(failure, Stop::Progress(_)) {
        let (sent, pending) = (report.accepted.total(), report.pending.total());
        said.cause.push(format!("{sent} events were sent before, {pending} are still in the log"));
    }
    said
}

/// Explains why a delivery stopped; `error` says it in the words of the command.
pub(super) fn explained(error: &dyn std::error::Error, failure: &Stop, url: &str) -> Failure {
    let (exit, code) = match failure {
        Stop::Unreachable { .. } => (Exit::Unreachable, "UNREACHABLE"),
        Stop::Busy { .. } => (Exit::Unreachable, "COLLECTOR_BUSY"),
        Stop::Unreadable { .. } => (Exit::Unreachable, "COLLECTOR_UNREADABLE"),
        Stop::Refused { .. } => (Exit::Failed, "COLLECTOR_REFUSED"),
        Stop::TooLarge { .. } => (Exit::Failed, "EVENT_TOO_LARGE"),
        Stop::Progress(error) => (Exit::Integrity, error.code()),
        Stop::LogChanged { .. } => (Exit::Conflict, "LOG_CHANGED"),
        Stop::LettersChanged { .. } => (Exit::Conflict, "LETTERS_CHANGED"),
        Stop::Local { .. } => (Exit::Failed, "IO"),
        Stop::Misuse { .. } => (Exit::Failed, "DRAIN_MISUSE"),
    };
    let mut said = Failure::of(exit, code, error);
    if let Stop::Unreachable { text, attempts } = failure {
        said.cause.push(format!("{text} ({url}, {attempts} attempts)"));
    }
    match failure {
        Stop::Progress(error) => said.hint(error.hint()),
        Stop::Unreachable { .. } | Stop::Busy { .. } => {
            said.hint("nothing is lost: run the same command again when the collector is back")
        }
        Stop::Refused { .. } => said.hint("check the endpoint and OTEL_EXPORTER_OTLP_HEADERS"),
        _ => said,
    }
}
