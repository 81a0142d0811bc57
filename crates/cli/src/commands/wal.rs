//! `autonomy wal`: looks into a log.

mod inspect;
mod progress;
mod verify;

use std::path::Path;

use api::exit::Exit;
use serde::Serialize;
use vfs::{OsVfs, read_whole};
use wal_format::{Position, SafePoint, Seq, names};
use wal_recovery::{
    Decision, Overrides, Remains, Scanned, Survey, SurveyError, Tail, codes, remains, survey,
};

use crate::{
    args::{Output, Wal, WalStatus},
    commands::{print_json, print_pairs, telemetry::progress_failure},
    context::Context,
    counted::counted,
    failure::{Failure, place, with_dir},
};

mod life;
mod steps;

pub(crate) fn run(command: Wal, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Wal::Status(args) => status(&args, context),
        Wal::Archive(args) => life::archive(&args, context),
        Wal::Repair(args) => life::repair(&args, context),
        Wal::Seal(args) => life::seal(&args, context),
        Wal::Inspect(args) => inspect::inspect(&args, context),
        Wal::Verify(args) => verify::verify(&args, context),
        Wal::Steps(command) => steps::run(command, context),
    }
}

/// What `wal status` says.
#[derive(Debug, Serialize)]
struct Status {
    dir: String,
    /// `ok`, or the code with which a start would refuse the log.
    health: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<LogStatus>,
    /// Last entry that a consumer accepted; 0 when none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// Entries that no consumer has accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Problem {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    hint: String,
}

#[derive(Debug, Serialize)]
struct LogStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    wal_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    entries: u64,
    /// The safe point as it stands in its file; absent when it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    safe_seq: Option<u64>,
    bytes: u64,
    /// Bytes of the entries that hold, when the log is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_good: Option<u64>,
    /// Bytes that the next start will cut: a torn tail or frames that were never acknowledged.
    bytes_to_cut: u64,
    /// Whole frames among them.
    phantoms: u64,
}

fn status(args: &WalStatus, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.dir.as_deref(), context)?;
    let (status, exit) = match survey(&OsVfs, &dir, Overrides::default()) {
        Ok(survey) => healthy(&dir, survey)?,
        Err(SurveyError::Violation(violation)) => {
            let problem = Problem {
                message: format!("telemetry/wal: {violation}"),
                place: place(&violation),
                hint: with_dir(violation.hint(), &dir),
            };
            (refused(&dir, violation.code(), problem)?, Exit::Integrity)
        }
        Err(error) => return Err(error.into()),
    };
    match args.output.output {
        Output::Json => print_json(&status)?,
        Output::Text => print_pairs(&pairs(&status))?,
    }
    Ok(exit)
}

fn healthy(dir: &Path, survey: Survey) -> Result<(Status, Exit), Failure> {
    let (survey, progress) = progress::beside(dir, survey)?;
    let Some(scanned) = &survey.scanned else {
        return Err(not_found(dir));
    };
    let log = log_status(&survey, scanned);
    let mut status = Status {
        dir: dir.display().to_string(),
        health: "ok".to_owned(),
        problem: None,
        position: None,
        lag: None,
        log: Some(log),
    };
    let Some(progress) = progress else { return Ok((status, Exit::Done)) };
    match progress {
        Ok(progress) => {
            let position = progress.position().get();
            status.position = Some(position);
            status.lag = Some(scanned.last.map_or(0, Seq::get).saturating_sub(position));
            Ok((status, Exit::Done))
        }
        Err(error) => {
            let failure = progress_failure(&error);
            status.health = failure.code;
            status.problem = Some(Problem {
                message: failure.message,
                place: None,
                hint: failure.hint.unwrap_or_default(),
            });
            Ok((status, failure.exit))
        }
    }
}

fn log_status(survey: &Survey, scanned: &Scanned) -> LogStatus {
    let identity = scanned.identity.as_ref();
    let birth = identity.and_then(|it| it.birth.as_ref());
    let safe_seq = match survey.decision {
        Decision::Scan(safe) => safe.get(),
        _ => 0,
    };
    let Tail::Phantoms { frames: phantoms } = scanned.tail else {
        return LogStatus {
            wal_id: identity.map(|it| it.wal_id.to_string()),
            node: birth.map(|it| it.node.clone()),
            entries: scanned.last.map_or(0, Seq::get),
            safe_seq: Some(safe_seq),
            bytes: survey.log_len,
            bytes_good: None,
            bytes_to_cut: survey.log_len.saturating_sub(scanned.end),
            phantoms: 0,
        };
    };
    LogStatus { phantoms, ..log_status(survey, &Scanned { tail: Tail::Clean, ..scanned.clone() }) }
}

/// What can be said about a log that is refused: what holds of it, and how far it was delivered.
fn refused(dir: &Path, code: &str, problem: Problem) -> Result<Status, Failure> {
    let path = dir.join(names::WAL);
    let found = remains(&OsVfs, dir).map_err(|it| Failure::file("read", &path, &it))?;
    let path = dir.join(names::POS);
    // A position that cannot be read is a problem of its own, told when the log is well again.
    let position = read_whole(&OsVfs, &path, Position::LEN as u64).ok().flatten();
    let position = position.and_then(|it| Position::from_bytes(&it).ok()).map(Position::get);
    let entries = found.last.map_or(0, Seq::get);
    Ok(Status {
        dir: dir.display().to_string(),
        health: code.to_owned(),
        problem: Some(problem),
        log: Some(remaining(&found)),
        position,
        lag: position.map(|it| entries.saturating_sub(it)),
    })
}

fn remaining(found: &Remains) -> LogStatus {
    let identity = found.identity.as_ref();
    LogStatus {
        wal_id: identity.map(|it| it.wal_id.to_string()),
        node: identity.and_then(|it| Some(it.birth.as_ref()?.node.clone())),
        entries: found.last.map_or(0, Seq::get),
        safe_seq: found.safe_point.map(SafePoint::get),
        bytes: found.log_len,
        bytes_good: Some(found.end),
        // Nothing of a log that is refused is ever cut.
        bytes_to_cut: 0,
        phantoms: 0,
    }
}

fn pairs(status: &Status) -> Vec<(&'static str, String)> {
    let mut pairs = vec![("dir", status.dir.clone()), ("health", status.health.clone())];
    if let Some(problem) = &status.problem {
        pairs.push(("problem", problem.message.clone()));
        pairs.extend(problem.place.clone().map(|it| ("place", it)));
        pairs.push(("hint", problem.hint.clone()));
    }
    if let Some(log) = &status.log {
        pairs.extend(log.wal_id.clone().map(|it| ("wal_id", it)));
        pairs.extend(log.node.clone().map(|it| ("node", it)));
        pairs.push(("entries", log.entries.to_string()));
        pairs.extend(log.safe_seq.map(|it| ("safe_seq", it.to_string())));
        pairs.push(("bytes", log.bytes.to_string()));
        pairs.extend(log.bytes_good.map(|it| ("bytes good", it.to_string())));
        if log.bytes_to_cut > 0 {
            let (bytes, phantoms) = (log.bytes_to_cut, log.phantoms);
            pairs.push((
                "to cut",
                format!(
                    "{bytes} bytes, {} (while a runtime writes: allocated ahead)",
                    counted(phantoms, "phantom frame")
                ),
            ));
        }
    }
    pairs.extend(status.position.map(|it| ("position", it.to_string())));
    pairs.extend(status.lag.map(|it| ("lag", it.to_string())));
    pairs
}

/// The directory that was asked for or the default one; it must exist.
pub(crate) fn directory(
    asked: Option<&Path>,
    context: Context<'_>,
) -> Result<std::path::PathBuf, Failure> {
    let dir = match asked {
        Some(dir) => dir.to_owned(),
        None => context.wal_dir()?,
    };
    if dir.is_dir() { Ok(dir) } else { Err(not_found(&dir)) }
}

fn not_found(dir: &Path) -> Failure {
    let message = match std::fs::metadata(dir) {
        Ok(it) if it.is_dir() => format!("there is no log in {}", dir.display()),
        Ok(_) => format!("{} is not a directory", dir.display()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Failure::file("open", dir, &error);
        }
        Err(error) => format!("cannot open {}: {error}", dir.display()),
    };
    Failure::new(Exit::NotFound, codes::WAL_NOT_FOUND, message)
        .hint("--dir is the --wal-dir of the runtime")
}
