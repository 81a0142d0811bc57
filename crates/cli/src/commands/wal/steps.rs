//! `autonomy wal steps`: looks after step logs.
//!
//! Whatever changes a log takes the place of the daemon for as long as that lasts, so neither works under
//! the other.

use std::{
    cell::RefCell,
    io::{self, Write},
    path::{Path, PathBuf},
};

use api::exit::Exit;
use daemon::{PidLock, archived_note};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use vfs::{OsVfs, Vfs as _, replace};
use wal_recovery::steps::{
    DamagePolicy, RecoveryEvent, SOURCE, StepOpening, Unfinalized, archive, recover_from_wal,
};

use crate::{
    args::{StepsArchive, StepsInspect, StepsLook, WalSteps},
    commands::{
        daemon::not_archived,
        steps::{self, Log, Recovered},
        tell, write_pairs,
    },
    context::Context,
    counted::counted,
    failure::Failure,
    printable::printable,
};

mod human;

pub(super) fn run(command: WalSteps, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        WalSteps::Status(args) => status(&args, context),
        WalSteps::Inspect(args) => inspect(&args, context),
        WalSteps::Recover(args) => recover(&args, context),
        WalSteps::Verify(args) => verify(&args, context),
        WalSteps::Archive(args) => pack(&args, context),
        WalSteps::Approve(args) => human::approve(&args, context),
        WalSteps::Complete(args) => human::complete(&args, context),
        WalSteps::Fail(args) => human::fail(&args, context),
        WalSteps::Abandon(args) => human::abandon(&args, context),
    }
}

/// The place of a directory, for a command that changes logs in it.
fn place(dir: &Path) -> Result<PidLock<'static>, Failure> {
    PidLock::take(&OsVfs, dir, std::process::id()).map_err(|it| steps::not_placed(&it, Exit::Busy))
}

fn opening(now: Timestamp) -> StepOpening {
    let holder = format!("wal steps, pid {}", std::process::id());
    StepOpening { now, holder, damage: DamagePolicy::Isolate }
}

#[derive(Debug, Serialize)]
struct Status {
    dir: String,
    logs: Vec<Log>,
}

fn status(args: &StepsLook, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = steps::directory(&args.dir, context)?;
    let mut status = Status { dir: dir.display().to_string(), logs: steps::logs(&dir)? };
    // Steps one by one are for `inspect`.
    for plan in status.logs.iter_mut().flat_map(|it| &mut it.plans) {
        plan.steps.clear();
    }
    tell(&status, args.output.output, |it, out| {
        writeln!(out, "{} in {}", counted(it.logs.len() as u64, "step log"), printable(&it.dir))?;
        it.logs.iter().try_for_each(|log| summary(log, out))
    })?;
    Ok(Exit::Done)
}

fn summary(log: &Log, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}  {}", printable(&log.mandate_id), log.health)?;
    for plan in &log.plans {
        let counts: Vec<_> =
            plan.by_status.iter().map(|(status, count)| format!("{count} {status}")).collect();
        let reason = plan.reason.as_deref().map_or(String::new(), |it| format!(" ({it})"));
        let (id, counts) = (printable(&plan.plan_id), counts.join(", "));
        writeln!(out, "  plan {id}  {}{}: {counts}", plan.state, printable(&reason))?;
    }
    if log.torn_bytes > 0 {
        writeln!(out, "  torn: {}, put aside by the next run", counted(log.torn_bytes, "byte"))?;
    }
    if log.orphan_plans > 0 {
        writeln!(out, "  orphans: {}, never executed", counted(log.orphan_plans, "plan"))?;
    }
    if log.strays > 0 {
        let strays = counted(log.strays, "record");
        writeln!(out, "  strays: {strays} about what no record has introduced")?;
    }
    if let Some(problem) = &log.problem {
        writeln!(out, "  problem: {}", printable(problem))?;
    }
    Ok(())
}

fn inspect(args: &StepsInspect, context: Context<'_>) -> Result<Exit, Failure> {
    let path = named(&args.log, &steps::directory(&args.dir, context)?)?;
    if OsVfs.stat(&path).map_err(|it| Failure::file("read", &path, &it))?.is_none() {
        return Err(steps::not_opened(&wal_recovery::steps::StepOpenError::NotFound { path }));
    }
    let log = steps::log(&path);
    tell(&log, args.output.output, |it, out| {
        summary(it, out)?;
        it.corrupt.iter().try_for_each(|it| writeln!(out, "  {}", printable(it)))?;
        it.plans.iter().try_for_each(|plan| {
            writeln!(out, "\nplan {}", printable(&plan.plan_id))?;
            plan.steps.iter().try_for_each(|step| show(step, out))
        })
    })?;
    Ok(if log.health == "ok" { Exit::Done } else { Exit::Integrity })
}

fn show(step: &steps::StepTold, out: &mut dyn Write) -> io::Result<()> {
    let recovered = if step.recovered { ", found to be done" } else { "" };
    writeln!(out, "  {}  {}{recovered}", printable(&step.step_id), step.status)?;
    let evidence = step.evidence.as_ref().map(Value::to_string);
    let effect = step.effect.as_ref().and_then(Value::as_str).map(str::to_owned);
    for (name, value) in [
        ("tool", &step.tool),
        ("effect", &effect),
        ("key", &step.idem_key),
        ("reason", &step.reason),
        ("error", &step.error_class),
        ("message", &step.error_msg),
        ("evidence", &evidence),
    ] {
        if let Some(value) = value {
            writeln!(out, "    {name:8}  {}", printable(value))?;
        }
    }
    Ok(())
}

/// A log by its file, or by its mandate.
fn named(log: &str, dir: &Path) -> Result<PathBuf, Failure> {
    if log.contains('/') || wal_format::step::is_step_file(log) {
        return Ok(PathBuf::from(log));
    }
    steps::path_of(dir, log)
}

#[derive(Debug, Serialize)]
struct Recovery {
    dir: String,
    events: Vec<Value>,
    #[serde(flatten)]
    report: Recovered,
}

fn recover(args: &StepsLook, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = steps::any_directory(&args.dir, context)?;
    // No directory is a clean start, and is not made.
    let is_dir = OsVfs.stat(&dir).ok().flatten().is_some_and(|it| it.is_dir);
    let _place = if is_dir { Some(place(&dir)?) } else { None };
    let said = RefCell::new(Vec::new());
    let report = recover_from_wal(&OsVfs, Some(&dir), &opening(Timestamp::now()), &mut |it| {
        said.borrow_mut().push(it);
    });
    let said = said.into_inner();
    let recovery = Recovery {
        dir: dir.display().to_string(),
        events: said.iter().map(event).collect(),
        report: Recovered::from(&report),
    };
    tell(&recovery, args.output.output, |it, out| {
        for event in &said {
            writeln!(out, "{}  {}", event.name(), printable(&event.details().to_string()))?;
        }
        let (reset, scanned) = (it.report.reset_count, it.report.files_scanned);
        writeln!(out, "{} reset in {}", counted(reset, "step"), counted(scanned, "step log"))
    })?;
    Ok(if report.files_failed.is_empty() { Exit::Done } else { Exit::Partial })
}

fn event(event: &RecoveryEvent) -> Value {
    json!({ "event": event.name(), "source": SOURCE, "details": event.details() })
}

#[derive(Debug, Serialize)]
struct Verified {
    dir: String,
    logs: u64,
    refused: Vec<Log>,
}

fn verify(args: &StepsLook, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = steps::directory(&args.dir, context)?;
    let logs = steps::logs(&dir)?;
    let count = logs.len() as u64;
    let refused: Vec<_> = logs.into_iter().filter(|it| it.health != "ok").collect();
    let verified = Verified { dir: dir.display().to_string(), logs: count, refused };
    tell(&verified, args.output.output, |it, out| {
        for log in &it.refused {
            writeln!(out, "{}  {}", printable(&log.file), log.health)?;
            log.corrupt.iter().try_for_each(|it| writeln!(out, "  {}", printable(it)))?;
            if let (true, Some(problem)) = (log.corrupt.is_empty(), &log.problem) {
                writeln!(out, "  {}", printable(problem))?;
            }
        }
        let (logs, refused) = (counted(it.logs, "step log"), it.refused.len());
        writeln!(
            out,
            "{logs}, {refused} that {} not hold",
            if refused == 1 { "does" } else { "do" }
        )
    })?;
    Ok(if verified.refused.is_empty() { Exit::Done } else { Exit::Integrity })
}

fn pack(args: &StepsArchive, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = steps::directory(&args.dir, context)?;
    let path = steps::path_of(&dir, &args.mandate)?;
    let _place = place(&dir)?;
    let unfinalized = if args.force { Unfinalized::Force } else { Unfinalized::Refuse };
    let to = args.dest.as_ref().map(|it| it.join(archive_name(&path)));
    let there = OsVfs.stat(&path).map_err(|it| Failure::file("read", &path, &it))?.is_some();
    if let (Some(to), true) = (&to, there) {
        // Before the log goes: as long as it is there, it is what counts.
        let note = archived_note(&path);
        let text = json!({ "archive": to.display().to_string() }).to_string() + "\n";
        replace(&OsVfs, &note, text.as_bytes()).map_err(|it| Failure::file("write", &note, &it))?;
    }
    let archived = archive(&OsVfs, &path, to.as_deref(), unfinalized, &opening(Timestamp::now()));
    let archived = archived.map_err(|error| {
        if to.is_some() && OsVfs.stat(&path).is_ok_and(|it| it.is_some()) {
            // The log is there and says more; a note that stays is overruled by it.
            OsVfs.remove(&archived_note(&path)).ok();
        }
        not_archived(&error)
    })?;
    let told = json!({ "mandate_id": args.mandate, "archive": archived.display().to_string() });
    tell(&told, args.output.output, |_, out| {
        let to = archived.display().to_string();
        write_pairs(out, &[("mandate", args.mandate.clone()), ("archive", to)])
    })?;
    Ok(Exit::Done)
}

fn archive_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}{}", wal_format::step::ARCHIVE_SUFFIX)
}
