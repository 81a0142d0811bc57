//! What is told about step logs, by `daemon` and by `wal steps` alike.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use api::exit::Exit;
use daemon::{PlaceError, log_path};
use serde::Serialize;
use serde_json::Value;
use vfs::{OsVfs, Vfs as _};
use wal_format::step::{StepStatus, Tail, is_step_file, mandate_of};
use wal_recovery::steps::{
    FileError, Folded, PlanState, RecoveryReport, StepOpenError, StepState, read,
};

use crate::{args::StepsDirArg, context::Context, failure::Failure};

/// The directory of the step logs; a recovery takes anything else for a place where no log is.
pub(super) fn any_directory(args: &StepsDirArg, context: Context<'_>) -> Result<PathBuf, Failure> {
    args.wal_dir.clone().map_or_else(|| context.steps_dir(), Ok)
}

/// The directory that was asked for, or the default one.
pub(super) fn directory(args: &StepsDirArg, context: Context<'_>) -> Result<PathBuf, Failure> {
    let Some(named) = &args.wal_dir else { return context.steps_dir() };
    match std::fs::metadata(named) {
        Ok(it) if !it.is_dir() => {
            let message = format!("{} is no directory", named.display());
            Err(Failure::new(Exit::NotFound, "STEPS_NO_DIRECTORY", message)
                .hint("pass the directory of the step logs: --wal-dir DIR"))
        }
        _ => Ok(named.clone()),
    }
}

/// A step log.
#[derive(Debug, Serialize)]
pub(super) struct Log {
    pub(super) mandate_id: String,
    pub(super) file: String,
    /// `ok`, or the code with which an opening would refuse it.
    pub(super) health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
    pub(super) plans: Vec<PlanTold>,
    /// Bytes of a line that a crash has torn; put aside by the next opening.
    pub(super) torn_bytes: u64,
    pub(super) corrupt: Vec<String>,
    pub(super) corrupt_lines: u64,
    pub(super) orphan_plans: u64,
    /// Records about what no record has introduced.
    pub(super) strays: u64,
    pub(super) unknown_ops: u64,
}

/// A plan in a log.
#[derive(Debug, Serialize)]
pub(super) struct PlanTold {
    pub(super) plan_id: String,
    pub(super) cycle: Option<u64>,
    /// `open`, `succeeded`, `failed` or `abandoned`.
    pub(super) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) by_status: BTreeMap<&'static str, u64>,
    pub(super) steps: Vec<StepTold>,
}

/// A step in a plan.
#[derive(Debug, Serialize)]
pub(super) struct StepTold {
    pub(super) step_id: String,
    pub(super) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effect: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idem_key: Option<String>,
    /// Whether it began since a human last approved it.
    pub(super) reached: bool,
    pub(super) recovered: bool,
    pub(super) orphan: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_msg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) evidence: Option<Value>,
}

/// Every log of a directory, in the order of their names. No directory has none.
pub(super) fn logs(dir: &Path) -> Result<Vec<Log>, Failure> {
    let names = match OsVfs.stat(dir) {
        Ok(Some(stat)) if stat.is_dir => OsVfs.list(dir),
        Ok(_) => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let names = names.map_err(|it| Failure::file("list", dir, &it))?;
    Ok(names.iter().filter(|it| is_step_file(it)).map(|it| log(&dir.join(it))).collect())
}

/// One log, also when it does not hold.
pub(super) fn log(path: &Path) -> Log {
    let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    let mut log = Log {
        mandate_id: mandate_of(name).unwrap_or(name).to_owned(),
        file: path.display().to_string(),
        health: "ok",
        problem: None,
        plans: Vec::new(),
        torn_bytes: 0,
        corrupt: Vec::new(),
        corrupt_lines: 0,
        orphan_plans: 0,
        strays: 0,
        unknown_ops: 0,
    };
    match read(&OsVfs, path) {
        Err(error) => log.refused(&error),
        Ok(found) => {
            let len = OsVfs.stat(path).ok().flatten().map_or(0, |it| it.len);
            log.fill(path, found, len);
        }
    }
    log
}

impl Log {
    fn refused(&mut self, error: &StepOpenError) {
        self.health = error.code();
        self.problem = Some(error.to_string());
    }

    fn fill(&mut self, path: &Path, found: Folded, len: u64) {
        if let Tail::Torn { at } = found.tail {
            self.torn_bytes = len.saturating_sub(at as u64);
        }
        self.corrupt_lines = found.counts.corrupt;
        self.corrupt = found.corrupt.iter().map(ToString::to_string).collect();
        self.orphan_plans = found.plans.orphans();
        self.strays = found.counts.strays;
        self.unknown_ops = found.counts.unknown_ops;
        self.plans = found.plans.all().iter().map(plan).collect();
        let path = path.to_owned();
        if let Some(v) = found.newer {
            self.refused(&StepOpenError::Newer { path, v });
        } else if found.counts.corrupt > 0 {
            self.refused(&StepOpenError::Corrupt { path, found: Box::new(found) });
        }
    }

    /// Steps of plans that have not ended, and have this status.
    pub(super) fn open_steps(&self, status: &str) -> u64 {
        let open = self.plans.iter().filter(|it| it.state == "open");
        open.filter_map(|it| it.by_status.get(status)).sum()
    }
}

/// A plan as it is told.
pub(super) fn plan(plan: &PlanState) -> PlanTold {
    let steps: Vec<StepTold> = plan.steps.iter().map(step).collect();
    let mut by_status = BTreeMap::new();
    for step in &steps {
        *by_status.entry(step.status).or_default() += 1;
    }
    PlanTold {
        plan_id: plan.plan_id.clone(),
        cycle: plan.cycle,
        state: plan.finalized.map_or("open", ended),
        reason: plan.finalize_reason.clone(),
        by_status,
        steps,
    }
}

fn step(it: &StepState) -> StepTold {
    StepTold {
        step_id: it.step_id().to_owned(),
        status: it.status.map_or(StepStatus::Pending, |it| it).as_str(),
        tool: it.planned.tool.clone(),
        effect: it.planned.effect.and_then(|it| serde_json::to_value(it).ok()),
        idem_key: it.idem_key.clone(),
        reached: it.reached,
        recovered: it.recovered,
        orphan: it.orphan,
        reason: it.reason.clone(),
        error_class: it.error_class.clone(),
        error_msg: it.error_msg.clone(),
        evidence: it.evidence.clone(),
    }
}

/// How the end of a plan is called.
pub(super) const fn ended(status: wal_format::step::FinalizeStatus) -> &'static str {
    use wal_format::step::FinalizeStatus as F;

    match status {
        F::Succeeded => "succeeded",
        F::Failed => "failed",
        F::Abandoned => "abandoned",
    }
}

/// What a recovery did.
#[derive(Debug, Serialize)]
pub(super) struct Recovered {
    pub(super) reset_count: u64,
    pub(super) files_scanned: u64,
    pub(super) files_failed: Vec<FailedFile>,
    pub(super) torn_tails: u64,
    pub(super) orphan_plans: u64,
    pub(super) strays: u64,
}

/// A log that was left alone.
#[derive(Debug, Serialize)]
pub(super) struct FailedFile {
    pub(super) path: String,
    pub(super) code: &'static str,
    pub(super) error: String,
}

impl From<&RecoveryReport> for Recovered {
    fn from(report: &RecoveryReport) -> Self {
        let failed = report.files_failed.iter().map(|it| FailedFile {
            path: it.path.display().to_string(),
            code: it.error.code(),
            error: it.error.to_string(),
        });
        Self {
            reset_count: report.reset_count,
            files_scanned: report.files_scanned,
            files_failed: failed.collect(),
            torn_tails: report.torn_tails,
            orphan_plans: report.orphan_plans,
            strays: report.per_file.iter().map(|it| it.strays).sum(),
        }
    }
}

/// The log of a mandate, by its id.
pub(super) fn path_of(dir: &Path, mandate: &str) -> Result<PathBuf, Failure> {
    log_path(dir, mandate).map_err(|error| {
        Failure::of(Exit::Usage, "BAD_NAME", &error).hint("autonomy wal steps status lists them")
    })
}

/// Explains a place that somebody has. `exit` is what that means for the command.
pub(super) fn not_placed(error: &PlaceError, exit: Exit) -> Failure {
    let failure = Failure::of(exit, error.code(), error);
    match error {
        PlaceError::AlreadyLocked { .. } => failure
            .hint("one daemon or command at a time: wait for it to end, or stop it with SIGTERM"),
        PlaceError::NotALock { .. } => Failure { exit: Exit::Failed, ..failure }
            .hint("look at what has that name, and move it away; nothing was changed"),
        PlaceError::Io { .. } => {
            Failure { exit: Exit::Failed, ..failure }.hint("check owner and mode of the --wal-dir")
        }
    }
}

/// Explains a log that does not open.
pub(super) fn not_opened(error: &StepOpenError) -> Failure {
    let (exit, hint) = match error {
        StepOpenError::NotFound { .. } => {
            (Exit::NotFound, "autonomy wal steps status lists the logs of a directory")
        }
        StepOpenError::Locked { .. } => (Exit::Busy, "wait for the other process to end"),
        StepOpenError::Corrupt { .. } => (
            Exit::Integrity,
            "nothing in it was changed: look at it with autonomy wal steps inspect, and put a good copy back. Without \
             it nobody knows which of its steps ran: once it is moved away, the same plan runs them all again",
        ),
        StepOpenError::Newer { .. } => (Exit::Integrity, "use the program that wrote it"),
        StepOpenError::TooLong { .. } => {
            (Exit::Integrity, "archive it, or move it away when it is none")
        }
        StepOpenError::Io { .. } => (Exit::Failed, "check disk, owner and mode of the --wal-dir"),
    };
    Failure::of(exit, error.code(), error).hint(hint)
}

/// Explains a log that was not recovered.
pub(super) fn not_recovered(error: &FileError) -> Failure {
    match error {
        FileError::Open(error) => not_opened(error),
        FileError::Append(error) => not_appended(error),
    }
}

/// Explains a record that was not written.
pub(super) fn not_appended(error: &wal_recovery::steps::StepAppendError) -> Failure {
    use wal_recovery::steps::{Refusal, StepAppendError as E};

    let (exit, hint) = match error {
        E::Refused(Refusal::PlanConflict { .. }) => (
            Exit::Conflict,
            "the plan file is another one than before: pass another --fired-at, or put the old one back",
        ),
        E::Refused(Refusal::UnknownPlan { .. } | Refusal::UnknownStep { .. }) => {
            (Exit::NotFound, "autonomy wal steps inspect lists plans and steps")
        }
        E::Refused(_) => (Exit::Conflict, "autonomy wal steps inspect shows where it is"),
        E::Line(_) => (Exit::Usage, "shorten what is put on record"),
        E::Full { .. } => (Exit::Failed, "use another mandate: another --fired-at"),
        E::Closed { .. } | E::Io { .. } | E::Poisoned { .. } => (
            Exit::Failed,
            "nothing was begun after it; mend the disk and run the same command again",
        ),
    };
    Failure::of(exit, error.code(), error).hint(hint)
}
