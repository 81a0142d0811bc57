//! `autonomy daemon`: runs plans of steps.

use std::{
    cell::Cell,
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use api::{env, exit::Exit};
use daemon::{
    Ended, Heartbeat, Mandate, PLAN_LEN_MAX, Plan, Ran, RunError, Runner, Seat, is_taken, log_path,
};
use jiff::Timestamp;
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use vfs::{OsVfs, read_whole};
use wal_format::step::FinalizeStatus;
use wal_recovery::steps::ArchiveStepsError;

use super::{
    status::RUNTIME_URL_DEFAULT,
    steps::{self, Log, Recovered},
    tell, write_pairs,
};
use crate::{
    args::{Daemon, DaemonRun, DaemonStatus},
    context::Context,
    counted::counted,
    failure::Failure,
};

pub(super) mod tools;

pub(crate) fn run(command: Daemon, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Daemon::Run(args) => run_plan(&args, context),
        Daemon::Status(args) => status(&args, context),
    }
}

/// What `daemon run` says.
#[derive(Debug, Serialize)]
struct Told {
    mandate_id: String,
    plan_id: String,
    /// `succeeded`, `failed`, `abandoned`, `archived`, `needs_review`, `orphaned`, `interrupted`, or
    /// `stopped` when the run ended with an error.
    state: &'static str,
    /// Whether the plan had ended before this run.
    already: bool,
    calls: u64,
    /// Steps that were found to be done.
    confirmed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<Recovered>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archived: Option<String>,
    log: Log,
}

fn run_plan(args: &DaemonRun, context: Context<'_>) -> Result<Exit, Failure> {
    let mandate = mandate(args)?;
    let dir = steps::directory(&args.dir, context)?;
    logging::init(context.log_format(), &context.log_filter())
        .map_err(|error| Failure::of(Exit::Usage, "LOG_FILTER", &error).hint(error.hint()))?;
    let url = args.runtime_url.clone().or_else(|| context.var(env::RUNTIME_URL));
    let url = url.as_deref().unwrap_or(RUNTIME_URL_DEFAULT);
    let tools = tools::HttpTools::new(url, args.call_timeout)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|it| Failure::process(&it))?;
    }
    // Who is refused has neither started nor stopped.
    let began = Cell::new(false);
    let runner = Runner {
        vfs: &OsVfs,
        world: &OsVfs,
        dir: &dir,
        pid: std::process::id(),
        tools: &tools,
        clock: &Timestamp::now,
        stop: &|| stop.load(Ordering::Relaxed),
        began: &|| {
            began.set(true);
            tracing::info!(dir = %dir.display(), mandate_id = mandate.id, "daemon_started");
        },
        say: &daemon::say,
        rest_wait_max: args.call_timeout,
        archive: args.archive,
    };
    let ran = runner.run(&mandate);
    if began.get() {
        tracing::info!(mandate_id = mandate.id, "daemon_stopped");
    }
    match ran {
        Ok(ran) => finished(args, &mandate, &dir, &ran),
        Err(error) => Err(stopped(&error, &mandate, &dir)),
    }
}

fn mandate(args: &DaemonRun) -> Result<Mandate, Failure> {
    let path = &args.plan;
    let bytes = match read_whole(&OsVfs, path, PLAN_LEN_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(unread(path, &io::ErrorKind::NotFound.into())),
        Err(error) => return Err(unread(path, &error)),
    };
    Plan::parse(&bytes).and_then(|it| it.mandate(args.fired_at.as_deref())).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        Failure::new(Exit::Usage, error.code(), message)
            .hint("nothing was run; the page \"The step log\" of the book says what a plan file is")
    })
}

fn unread(path: &Path, error: &io::Error) -> Failure {
    let mut failure = Failure::file("read", path, error);
    daemon::codes::PLAN_FILE_IO.clone_into(&mut failure.code);
    failure.hint("--plan names the plan file")
}

fn told(mandate: &Mandate, dir: &Path, state: &'static str) -> Told {
    let file = log_path(dir, &mandate.id).unwrap_or_else(|_| dir.to_owned());
    Told {
        mandate_id: mandate.id.clone(),
        plan_id: mandate.commit.plan_id.clone(),
        state,
        already: false,
        calls: 0,
        confirmed: 0,
        recovery: None,
        archived: None,
        log: steps::log(&file),
    }
}

fn finished(args: &DaemonRun, mandate: &Mandate, dir: &Path, ran: &Ran) -> Result<Exit, Failure> {
    let (state, already) = match &ran.ended {
        Ended::Finished { status, already } => (steps::ended(*status), *already),
        Ended::Archived => ("archived", true),
        Ended::NeedsHuman { .. } => ("needs_review", false),
        Ended::Orphaned { .. } => ("orphaned", false),
        Ended::Interrupted { .. } => ("interrupted", false),
    };
    let mut told = told(mandate, dir, state);
    (told.already, told.calls, told.confirmed) = (already, ran.calls, ran.confirmed);
    told.recovery = Some(Recovered::from(&ran.recovery));
    told.archived = ran.archived.as_ref().map(|it| it.display().to_string());
    if told.archived.is_some() {
        // The log is gone; what it said is still known.
        told.log.health = "ok";
        told.log.problem = None;
        told.log.plans = ran.plans.all().iter().map(steps::plan).collect();
    }
    if let Some(mut failure) = unfinished(&ran.ended, mandate, &told) {
        failure.report = serde_json::to_value(&told).ok().map(Box::new);
        return Err(failure);
    }
    tell(&told, args.output.output, text)?;
    Ok(Exit::Done)
}

/// An end that is not as it was meant.
fn unfinished(ended: &Ended, mandate: &Mandate, told: &Told) -> Option<Failure> {
    let id = &mandate.id;
    match ended {
        Ended::Finished { status: FinalizeStatus::Succeeded, .. }
        | Ended::Archived
        | Ended::Interrupted { .. } => None,
        Ended::Finished { status, already } => {
            let before = if *already { " before, and is not run again" } else { "" };
            let message =
                format!("the plan {} has {}{before}", told.plan_id, said(*status, &told.log));
            Some(Failure::new(Exit::Failed, "PLAN_FAILED", message).hint(format!(
                "autonomy wal steps inspect {id} shows its steps; another --fired-at makes it a new mandate"
            )))
        }
        Ended::NeedsHuman { step_id, reason } => {
            let message = format!("the step {step_id} waits for a human: {reason}");
            Some(Failure::new(Exit::NeedsHuman, "STEP_NEEDS_REVIEW", message).hint(format!(
                "autonomy wal steps inspect {id}, look at the world, then autonomy wal steps approve, complete or fail {step_id} --mandate {id} --reason …"
            )))
        }
        Ended::Orphaned { plans } => {
            let message = format!("nothing was executed: nobody committed {}", plans.join(", "));
            Some(Failure::new(Exit::NeedsHuman, "STEPS_ORPHANED", message).hint(format!(
                "autonomy wal steps inspect {id}, then autonomy wal steps abandon PLAN --mandate {id} --reason …"
            )))
        }
    }
}

/// How a plan ended that did not succeed, and which step is why.
fn said(status: FinalizeStatus, log: &Log) -> String {
    let failed = log.plans.iter().flat_map(|it| &it.steps).find(|it| it.status == "failed");
    match (status, failed) {
        (FinalizeStatus::Abandoned, _) => "been abandoned".to_owned(),
        (_, None) => "failed".to_owned(),
        (_, Some(step)) => {
            let class = step.error_class.as_deref().unwrap_or_default();
            let text = step.error_msg.as_deref().unwrap_or_default();
            format!("failed: {}: {class}: {text}", step.step_id)
        }
    }
}

fn text(told: &Told, out: &mut dyn Write) -> io::Result<()> {
    let state = match (told.state, told.already) {
        ("archived", _) => "archived before: nothing to do".to_owned(),
        (state, true) => format!("{state} before: nothing to do"),
        (state, false) => state.to_owned(),
    };
    let mut pairs = vec![
        ("mandate", told.mandate_id.clone()),
        ("plan", told.plan_id.clone()),
        ("state", state),
        ("calls", told.calls.to_string()),
        ("confirmed", told.confirmed.to_string()),
    ];
    if let Some(it) = &told.recovery {
        pairs.push(("recovered", counted(it.reset_count, "step")));
        if !it.files_failed.is_empty() {
            let failed = counted(it.files_failed.len() as u64, "log");
            pairs.push(("not recovered", format!("{failed}: autonomy wal steps status")));
        }
    }
    pairs.extend(told.archived.clone().map(|it| ("archived", it)));
    write_pairs(out, &pairs)
}

/// A run that ended with an error, and what is on record by then.
fn stopped(error: &RunError, mandate: &Mandate, dir: &Path) -> Failure {
    let mut failure = match error {
        RunError::Place(error) => return steps::not_placed(error, Exit::Failed),
        RunError::Name(_) => Failure::of(Exit::Usage, error.code(), error),
        RunError::NotRecovered { error, .. } => steps::not_recovered(error),
        RunError::Open(error) => steps::not_opened(error),
        RunError::Append(error) => steps::not_appended(error),
        RunError::Conflict { plan_id } => Failure::of(Exit::Conflict, error.code(), error).hint(
            format!("run the file of {plan_id} to its end, or abandon it: autonomy wal steps abandon"),
        ),
        RunError::Unreachable(_) => Failure::of(Exit::Unreachable, error.code(), error)
            .hint("no step was begun: start the runtime and run the same command again"),
        RunError::Unknown { .. } => Failure::of(Exit::Unreachable, error.code(), error).hint(
            "run the same command again: the world or a human decides whether the step may begin again",
        ),
        RunError::StillRunning { .. } => Failure::of(Exit::Busy, error.code(), error)
            .hint("run the same command again when the runtime has no such call any more"),
        RunError::Archive(error) => not_archived(error),
        RunError::Io { .. } => Failure::of(Exit::Failed, error.code(), error),
    };
    failure.report = serde_json::to_value(told(mandate, dir, "stopped")).ok().map(Box::new);
    failure
}

/// Explains a log that was not archived.
pub(super) fn not_archived(error: &ArchiveStepsError) -> Failure {
    let failure = |exit| Failure::of(exit, error.code(), error);
    match error {
        ArchiveStepsError::Open(error) => steps::not_opened(error),
        ArchiveStepsError::NotFinalized { .. } => {
            failure(Exit::Conflict).hint("run the plan to its end, or pass --force")
        }
        ArchiveStepsError::Exists { .. } => {
            failure(Exit::Conflict).hint("move what has the name of the archive away")
        }
        ArchiveStepsError::Damaged { .. } => {
            failure(Exit::Integrity).hint("the log is untouched: check the disk")
        }
    }
}

/// What `daemon status` says.
#[derive(Debug, Serialize)]
struct Status {
    dir: String,
    /// `running` or `stopped`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heartbeat: Option<Heartbeat>,
    mandates: u64,
    open_plans: u64,
    needs_review: u64,
    orphan_plans: u64,
    refused_logs: u64,
}

fn status(args: &DaemonStatus, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = steps::directory(&args.dir, context)?;
    let unread = |error: io::Error| Failure::file("read", &daemon::pid_path(&dir), &error);
    let (state, pid) = match is_taken(&OsVfs, &dir).map_err(unread)? {
        Seat::Free => ("stopped", None),
        Seat::Taken(pid) => ("running", pid),
    };
    let beat = Heartbeat::read(&OsVfs, &dir)
        .map_err(|it| Failure::file("read", &daemon::heartbeat_path(&dir), &it))?;
    let logs = steps::logs(&dir)?;
    let open = logs.iter().flat_map(|it| &it.plans).filter(|it| it.state == "open");
    let status = Status {
        dir: dir.display().to_string(),
        state,
        pid,
        heartbeat: beat,
        mandates: logs.len() as u64,
        open_plans: open.count() as u64,
        needs_review: logs.iter().map(|it| it.open_steps("needs_review")).sum(),
        orphan_plans: logs.iter().map(|it| it.orphan_plans).sum(),
        refused_logs: logs.iter().filter(|it| it.health != "ok").count() as u64,
    };
    tell(&status, args.output.output, |it, out| write_pairs(out, &status_pairs(it)))?;
    Ok(Exit::Done)
}

fn status_pairs(status: &Status) -> Vec<(&'static str, String)> {
    let mut pairs = vec![("dir", status.dir.clone()), ("state", status.state.to_owned())];
    pairs.extend(status.pid.map(|it| ("pid", it.to_string())));
    if let Some(it) = &status.heartbeat {
        pairs.push(("last beat", format!("{:.3}, {}", it.ts, it.state)));
        pairs.extend(it.active_mandate_id.clone().map(|it| ("mandate", it)));
    }
    pairs.push(("mandates", status.mandates.to_string()));
    pairs.push(("open plans", status.open_plans.to_string()));
    pairs.push(("waiting for a human", counted(status.needs_review, "step")));
    pairs.push(("orphan plans", status.orphan_plans.to_string()));
    pairs.push(("refused logs", status.refused_logs.to_string()));
    pairs
}
