//! The shell: lock, recovery, steps, in this order.
//!
//! | order | what                                                     | when it fails                          |
//! |------:|----------------------------------------------------------|----------------------------------------|
//! |     1 | the place of the directory is taken                       | another daemon has it: nothing is done  |
//! |     2 | every log of the directory is recovered (D4)              | others go on; ours is not run           |
//! |     3 | a log that was archived has ended: nothing is left to do   |                                        |
//! |     4 | our log is opened                                         | nothing is run                         |
//! |     5 | step by step, as `cycle` says                             | the next run goes on from the log       |
//! |     6 | the log is archived, where that was asked for              | it stays                               |
//!
//! One step is: look at the world, ask whether the runtime answers, make *executing* durable, call, make the
//! outcome durable. Whoever asks for the end gets it between two steps.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use vfs::Vfs;
use wal_format::step::{ARCHIVE_SUFFIX, FinalizeStatus, NameError, StepStatus, file_name};
use wal_recovery::steps::{
    DamagePolicy, ORPHAN_REASON, Plans, RecoveryEvent, RecoveryReport, StepKey, StepLog,
    StepOpening, Unfinalized, archive, recover_from_wal,
};

use crate::{
    cycle::{Action, front},
    heartbeat::Heartbeat,
    place::PidLock,
    plan::Mandate,
    port::Tools,
};

mod error;
mod step;

pub use error::RunError;
use step::Cycle;

/// What follows the name of a log that was archived elsewhere.
const ARCHIVED_SUFFIX: &str = ".archived";

/// What a run needs of the world around it.
#[derive(Clone, Copy)]
pub struct Runner<'a> {
    /// Where the step logs are.
    pub vfs: &'a dyn Vfs,
    /// Where the files are that confirm steps.
    pub world: &'a dyn Vfs,
    /// Directory of the step logs.
    pub dir: &'a Path,
    /// This process.
    pub pid: u32,
    /// The runtime.
    pub tools: &'a dyn Tools,
    /// The time.
    pub clock: &'a dyn Fn() -> Timestamp,
    /// Whether somebody asked for the end.
    pub stop: &'a dyn Fn() -> bool,
    /// Told once, when the place is taken: nobody else runs here, and the run begins.
    pub began: &'a dyn Fn(),
    /// Takes what the recovery has to say.
    pub say: &'a dyn Fn(&RecoveryEvent),
    /// Longest wait for calls of an earlier process (D3).
    pub rest_wait_max: Duration,
    /// Whether a log whose plans have all ended goes to the archive.
    pub archive: bool,
}

impl std::fmt::Debug for Runner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("dir", &self.dir)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// How it ended.
    pub ended: Ended,
    /// The log.
    pub path: PathBuf,
    /// What the recovery did.
    pub recovery: RecoveryReport,
    /// Calls that were made.
    pub calls: u64,
    /// Steps that were found to be done.
    pub confirmed: u64,
    /// The plans of the log, as they are now.
    pub plans: Plans,
    /// Where the log is, when this run archived it.
    pub archived: Option<PathBuf>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The plan has ended.
    Finished {
        /// How.
        status: FinalizeStatus,
        /// Whether it had before.
        already: bool,
    },
    /// The plan had ended before, and its log was archived.
    Archived,
    /// A step waits for a human.
    NeedsHuman {
        /// Which.
        step_id: String,
        /// Why.
        reason: String,
    },
    /// The log has steps that nobody committed. Nothing was executed.
    Orphaned {
        /// Their plans.
        plans: Vec<String>,
    },
    /// Somebody asked for the end.
    Interrupted {
        /// The step that would have been next.
        step_id: String,
    },
}

/// Returns the log of a mandate.
///
/// # Errors
///
/// [`NameError`] when the id names no file.
pub fn log_path(dir: &Path, mandate_id: &str) -> Result<PathBuf, NameError> {
    file_name(mandate_id).map(|it| dir.join(it))
}

impl Runner<'_> {
    /// Runs a plan to its end, or as far as it goes.
    ///
    /// # Errors
    ///
    /// [`RunError`]. What was recorded stands, and the same call goes on from there.
    pub fn run(&self, mandate: &Mandate) -> Result<Ran, RunError> {
        let started = (self.clock)();
        let path = log_path(self.dir, &mandate.id)?;
        let _place = PidLock::take(self.vfs, self.dir, self.pid)?;
        (self.began)();
        let mut cycle = Cycle::new(*self, mandate, started);
        cycle.beat("starting", 0);
        let recovery = self.recover(started);
        let ours = recovery.per_file.iter().find(|it| it.path == path);
        if let Some(error) = ours.and_then(|it| it.error.clone()) {
            return Err(RunError::NotRecovered { path, error });
        }
        let mut ran = Ran {
            ended: Ended::Archived,
            path: path.clone(),
            recovery,
            calls: 0,
            confirmed: 0,
            plans: Plans::default(),
            archived: None,
        };
        if self.is_archived(&path).map_err(|source| RunError::Io { path: path.clone(), source })? {
            cycle.beat("stopped", 0);
            return Ok(ran);
        }
        let log = StepLog::open(self.vfs, &path, &self.opening(started))?.log;
        let ended = self.cycle(&mut cycle, &log);
        let plans = log.plans();
        log.close();
        cycle.ended();
        cycle.beat("stopped", left(&plans));
        ran.ended = ended?;
        (ran.calls, ran.confirmed, ran.plans) = (cycle.calls, cycle.confirmed, plans);
        if self.archive && matches!(ran.ended, Ended::Finished { .. }) {
            let how = self.opening((self.clock)());
            ran.archived = Some(archive(self.vfs, &path, None, Unfinalized::Refuse, &how)?);
        }
        Ok(ran)
    }

    fn recover(&self, now: Timestamp) -> RecoveryReport {
        let how = self.opening(now);
        recover_from_wal(self.vfs, Some(self.dir), &how, &mut |it| (self.say)(&it))
    }

    /// Whether there is an archive of the log, or a note of one, and no log.
    fn is_archived(&self, path: &Path) -> std::io::Result<bool> {
        if self.vfs.stat(path)?.is_some() {
            return Ok(false);
        }
        for suffix in [ARCHIVE_SUFFIX, ARCHIVED_SUFFIX] {
            if self.vfs.stat(&beside(path, suffix))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn opening(&self, now: Timestamp) -> StepOpening {
        let holder = format!("daemon pid {}", self.pid);
        StepOpening { now, holder, damage: DamagePolicy::Isolate }
    }

    /// Does what the table says until it says stop.
    fn cycle(&self, cycle: &mut Cycle<'_>, log: &StepLog) -> Result<Ended, RunError> {
        let commit = &cycle.mandate.commit;
        let mut already = true;
        loop {
            let plans = log.plans();
            let front = front(commit, &plans);
            let verdict = cycle.judge(front)?;
            let now = (self.clock)();
            let mut ended = None;
            match front.action(verdict.kind) {
                Action::Done(status) => return Ok(Ended::Finished { status, already }),
                Action::Orphans => return orphaned(log, &plans, now),
                Action::Conflict(plan) => {
                    return Err(RunError::Conflict { plan_id: plan.plan_id.clone() });
                }
                Action::Commit => {
                    log.commit_plan(commit, now)?;
                }
                Action::Finalize(status) => {
                    log.finalize_plan(&commit.plan_id, status, now)?;
                }
                Action::Step(step, what) => {
                    cycle.beat("running", left(&plans));
                    ended = cycle.step(log, step, what, verdict)?;
                }
            }
            if let Some(ended) = ended {
                return Ok(ended);
            }
            already = false;
            cycle.ticks += 1;
        }
    }
}

/// Marks every orphan, so that it is seen: nothing of it is executed.
fn orphaned(log: &StepLog, plans: &Plans, now: Timestamp) -> Result<Ended, RunError> {
    let mut named = Vec::new();
    for plan in plans.not_finalized() {
        let orphans: Vec<_> = plan.steps.iter().filter(|it| it.orphan).collect();
        if orphans.is_empty() && !plan.is_orphan() {
            continue;
        }
        named.push(plan.plan_id.clone());
        for step in orphans {
            if step.is_final() || step.status == Some(StepStatus::NeedsReview) {
                continue;
            }
            let key = StepKey { plan_id: &plan.plan_id, step_id: step.step_id() };
            log.mark_needs_review(key, ORPHAN_REASON, None, now)?;
        }
    }
    Ok(Ended::Orphaned { plans: named })
}

/// Steps that are not done, in plans that have not ended.
fn left(plans: &Plans) -> u64 {
    plans.not_finalized().flat_map(|it| &it.steps).filter(|it| !it.is_final()).count() as u64
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns the note that says that a log was archived elsewhere, so that its plan never runs again.
pub fn archived_note(path: &Path) -> PathBuf {
    beside(path, ARCHIVED_SUFFIX)
}

impl Heartbeat {
    fn of(cycle: &Cycle<'_>, state: &str, queue_depth: u64) -> Self {
        Self {
            pid: cycle.around.pid,
            ts: (cycle.around.clock)(),
            last_cycle_at: cycle.last_cycle_at,
            active_mandate_id: (state != "stopped").then(|| cycle.mandate.id.clone()),
            queue_depth,
            tick_count: cycle.ticks,
            state: state.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
