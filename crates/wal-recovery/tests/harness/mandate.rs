//! What the tests of the step log share: a directory of logs, a plan, and lines read without the code
//! under test.

use std::path::{Path, PathBuf};

use serde_json::Value;
use vfs::{MemVfs, OpenMode, Vfs, read_whole, write_all_at};
use wal_format::step::{Effect, PlanCommit, PlannedStep};
use wal_recovery::steps::{
    DamagePolicy, OpenedSteps, RecoveryEvent, RecoveryReport, StepKey, StepLog, StepOpenError,
    StepOpening, recover_from_wal,
};

pub const STEPS: &str = "/steps";

pub fn log_path(mandate: &str) -> PathBuf {
    Path::new(STEPS).join(format!("{mandate}.wal.jsonl"))
}

pub fn how() -> StepOpening {
    StepOpening { now: super::now(), holder: "pid 1".to_owned(), damage: DamagePolicy::Isolate }
}

pub fn key<'a>(plan_id: &'a str, step_id: &'a str) -> StepKey<'a> {
    StepKey { plan_id, step_id }
}

/// A step that expects `pre:<id>` before it and `post:<id>` after it.
pub fn planned(step_id: &str, effect: Option<Effect>) -> PlannedStep {
    PlannedStep {
        step_id: step_id.to_owned(),
        tool: Some("tool.echo".to_owned()),
        params_hash: Some(format!("params:{step_id}")),
        pre_hash: Some(format!("pre:{step_id}")),
        expected_post_hash: Some(format!("post:{step_id}")),
        effect,
    }
}

pub fn plan(plan_id: &str, steps: &[&str]) -> PlanCommit {
    let steps = steps.iter().map(|it| planned(it, None)).collect();
    PlanCommit::new(plan_id, &format!("mnd_{plan_id}"), 1, steps).unwrap()
}

pub fn open_log(vfs: &dyn Vfs, mandate: &str) -> Result<OpenedSteps, StepOpenError> {
    StepLog::open(vfs, &log_path(mandate), &how())
}

/// A log with the plan `p`, each step of which is brought as far as `to` says.
pub fn log_with(vfs: &dyn Vfs, mandate: &str, steps: &[(&str, &str)]) -> StepLog {
    let log = open_log(vfs, mandate).unwrap().log;
    let names: Vec<_> = steps.iter().map(|it| it.0).collect();
    log.commit_plan(&plan("p", &names), super::now()).unwrap();
    for (step, to) in steps {
        bring(&log, key("p", step), to);
    }
    log
}

pub fn bring(log: &StepLog, step: StepKey<'_>, to: &str) {
    let now = super::now();
    if to == "unset" {
        return;
    }
    log.append_pending(step, &format!("key:{}", step.step_id), now).unwrap();
    if to == "pending" {
        return;
    }
    log.mark_executing(step, &format!("pre:{}", step.step_id), now).unwrap();
    match to {
        "executing" => {}
        "completed" => {
            let post_hash = Some(format!("post:{}", step.step_id));
            let done = wal_recovery::steps::Completion { post_hash, ..Default::default() };
            log.mark_completed(step, done, now).unwrap();
        }
        "failed" => _ = log.mark_failed(step, "E", "m", now).unwrap(),
        "needs_review" => _ = log.mark_needs_review(step, "r", None, now).unwrap(),
        "paused" => _ = log.mark_paused(step, "r", now).unwrap(),
        other => panic!("{other}"),
    }
}

pub fn bytes(vfs: &dyn Vfs, path: &Path) -> Option<Vec<u8>> {
    read_whole(vfs, path, u64::MAX).unwrap()
}

/// Every line, by a general parser; a line that is none is a failed test.
pub fn lines(vfs: &dyn Vfs, mandate: &str) -> Vec<Value> {
    let bytes = bytes(vfs, &log_path(mandate)).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

/// What a line is about, in short.
pub fn short(line: &Value) -> String {
    let part = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
    format!("{} {} {} {}", part("op"), part("plan_id"), part("step_id"), part("status"))
}

/// Puts a file there as others left it, durably.
pub fn leave(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) {
    vfs.create_dir_all(path.parent().unwrap()).unwrap();
    let file = vfs.open(path, OpenMode::Truncate).unwrap();
    write_all_at(&*file, bytes, 0).unwrap();
    file.sync_data().unwrap();
    vfs.sync_dir(path.parent().unwrap()).unwrap();
}

pub fn recover_all(vfs: &dyn Vfs) -> (RecoveryReport, Vec<RecoveryEvent>) {
    recover_with(vfs, &how())
}

pub fn recover_with(vfs: &dyn Vfs, how: &StepOpening) -> (RecoveryReport, Vec<RecoveryEvent>) {
    let mut said = Vec::new();
    let dir = Path::new(STEPS);
    let report = recover_from_wal(vfs, Some(dir), how, &mut |it| said.push(it));
    (report, said)
}

pub fn names(said: &[RecoveryEvent]) -> Vec<&'static str> {
    said.iter().map(RecoveryEvent::name).collect()
}

/// Status of a step as the file says.
pub fn status(vfs: &MemVfs, mandate: &str, step: StepKey<'_>) -> String {
    let found = wal_recovery::steps::read(vfs, &log_path(mandate)).unwrap();
    let status = found.plans.step(step).unwrap().1.status;
    status.map_or("unset", wal_format::step::StepStatus::as_str).to_owned()
}
