//! `autonomy telemetry drain`: sends what waits to a collector, errors first.

use std::{
    io::{self, Write as _},
    num::NonZeroUsize,
    time::Duration,
};

use api::{env, exit::Exit};
use drain::{Failure as Stop, Notice, Report};
use runtime::{
    Collector, CollectorError, Compression, DrainError, DrainOptions, ProgressReadError, drain_once,
};
use vfs::OsVfs;
use wal_recovery::codes;

use crate::{
    args::{self, Drain, Output},
    commands::{print_json, wal::directory},
    context::Context,
    failure::Failure,
    printable::printable_lines,
};

/// Time limit of one request when nobody asks for another.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &Drain, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.dir.as_deref(), context)?;
    let collector = collector(args, context)?;
    let now = jiff::Timestamp::now();
    let options = DrainOptions {
        dir,
        batch: usize::try_from(args.batch)
            .ok()
            .and_then(NonZeroUsize::new)
            .unwrap_or(drain::BATCH_ENTRIES_DEFAULT),
        retries: args.retries,
        seed: u64::from(std::process::id()) ^ u64::from(now.subsec_nanosecond().unsigned_abs()),
        holder: format!("pid {} since {now:.0}", std::process::id()),
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
    let notice = notice.to_string();
    // It quotes the collector. A reader that went away does not stop a delivery.
    let notice = printable_lines(&notice);
    match output {
        Output::Text => writeln!(io::stdout().lock(), "{notice}").ok(),
        Output::Json => writeln!(io::stderr().lock(), "{notice}").ok(),
    };
}

fn collector(args: &Drain, context: Context<'_>) -> Result<Collector, Failure> {
    let endpoint = args.endpoint.clone().or_else(|| context.var(env::OTLP_ENDPOINT));
    let endpoint = endpoint.ok_or_else(|| {
        Failure::new(Exit::Usage, "NO_ENDPOINT", "there is no collector to send to")
            .hint(format!("pass --endpoint or set {}", env::OTLP_ENDPOINT))
    })?;
    let compression = match (args.compression, context.var(env::OTLP_COMPRESSION).as_deref()) {
        (Some(args::Compression::Gzip), _) | (None, Some("gzip")) => Compression::Gzip,
        (Some(args::Compression::None), _) | (None, None | Some("none")) => Compression::None,
        (None, Some(other)) => {
            let message = format!("{} is `{other}` (gzip or none)", env::OTLP_COMPRESSION);
            return Err(Failure::new(Exit::Usage, "BAD_ENVIRONMENT", message));
        }
    };
    let headers = context.var(env::OTLP_HEADERS).unwrap_or_default();
    Collector::new(&endpoint, &headers, compression, timeout(args, context)?).map_err(|error| {
        let code = match &error {
            CollectorError::Endpoint { .. } => "BAD_ENDPOINT",
            CollectorError::Header { .. } => "BAD_HEADER",
            CollectorError::Client(_) => "HTTP_CLIENT",
        };
        Failure::of(Exit::Usage, code, &error)
    })
}

fn timeout(args: &Drain, context: Context<'_>) -> Result<Duration, Failure> {
    if let Some(timeout) = args.timeout {
        return Ok(timeout);
    }
    match context.var(env::OTLP_TIMEOUT) {
        None => Ok(TIMEOUT),
        Some(text) => match text.parse::<u64>() {
            Ok(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
            _ => {
                let message = format!("{} is `{text}` (milliseconds)", env::OTLP_TIMEOUT);
                Err(Failure::new(Exit::Usage, "BAD_ENVIRONMENT", message))
            }
        },
    }
}

fn failed(error: DrainError, url: &str) -> Failure {
    match error {
        DrainError::Locked { .. } => Failure::of(Exit::Busy, codes::DRAIN_LOCKED, &error)
            .hint("wait for the other drain to end, then try again"),
        DrainError::Lock { .. } => Failure::of(Exit::Failed, "DRAIN_LOCK", &error),
        DrainError::Read(error) => error.into(),
        DrainError::Progress(error) => progress(&error),
        DrainError::Index(_) => Failure::of(Exit::Failed, "DRAIN_INDEX", &error),
        DrainError::Stopped { failure, report } => stopped(&failure, &report, url),
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

fn stopped(failure: &Stop, report: &Report, url: &str) -> Failure {
    let (exit, code) = match failure {
        Stop::Unreachable { .. } => (Exit::Unreachable, "UNREACHABLE"),
        Stop::Busy { .. } => (Exit::Unreachable, "COLLECTOR_BUSY"),
        Stop::Unreadable { .. } => (Exit::Unreachable, "COLLECTOR_UNREADABLE"),
        Stop::Refused { .. } => (Exit::Failed, "COLLECTOR_REFUSED"),
        Stop::TooLarge { .. } => (Exit::Failed, "EVENT_TOO_LARGE"),
        Stop::Progress(error) => (Exit::Integrity, error.code()),
        Stop::LogChanged { .. } => (Exit::Conflict, "LOG_CHANGED"),
        Stop::Local { .. } => (Exit::Failed, "IO"),
        Stop::Misuse { .. } => (Exit::Failed, "DRAIN_MISUSE"),
    };
    let mut said = Failure::of(exit, code, failure);
    if let Stop::Unreachable { text, attempts } = failure {
        said.cause.push(format!("{text} ({url}, {attempts} attempts)"));
    }
    // Before anything was queued there is nothing to count.
    if report.queued > 0 && !matches!(failure, Stop::Progress(_)) {
        let (sent, pending) = (report.accepted.total(), report.pending.total());
        said.cause.push(format!("{sent} events were sent before, {pending} are still in the log"));
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
