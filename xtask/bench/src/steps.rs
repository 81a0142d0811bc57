//! The case of the step log: a directory of logs is recovered after a crash.

use std::{
    fs::{self, File, OpenOptions},
    path::Path,
    rc::Rc,
    time::Instant,
};

use anyhow::{Result, ensure};
use jiff::Timestamp;
use serde_json::Value;
use vfs::OsVfs;
use wal_format::{
    Seq,
    step::{
        Append, Change, FinalizeStatus, LOCK_SUFFIX, Phase, PlanFinalize, StepRecord, StepStatus,
        Transition, cycle_plan, encode_line, file_name, mandate_id, plan_id,
    },
};
use wal_recovery::steps::{self, DamagePolicy, StepOpening, recover_from_wal};

use crate::{
    rounds::{Case, Contestant, Role, interleaved},
    sample::Sample,
    targets::name,
};

/// Name of the benchmark; those of its cases begin with it.
pub(crate) const BENCH: &str = "steps";
/// How many logs are recovered.
pub(crate) const FILES: u64 = 1_000;

/// Records of a log: five cycles that ended, and most of a sixth.
const RECORDS: u64 = 100;
/// Every so many logs have a step that was executing.
const INTERRUPTED_EVERY: u64 = 10;
/// Least speed, in records a second.
const RECORDS_PER_S: f64 = 100_000.0;

/// Goes through the logs of a directory and returns how many records it has seen.
type Go = fn(&Path, &Logs) -> Result<u64>;

/// The logs of a directory, as a crash left them.
#[derive(Debug)]
struct Logs {
    /// Name and text.
    files: Vec<(String, Vec<u8>)>,
    interrupted: u64,
}

/// The case over so many logs.
pub(crate) fn cases(files: u64) -> Result<Vec<Case>> {
    let logs = Rc::new(Logs::new(files)?);
    let over = |name, role, go: Go| {
        let logs = Rc::clone(&logs);
        Contestant::new(name, role, move |dir, _| logs.timed(dir, go))
    };
    let contestants = vec![
        over(name::RECOVER, Role::Ours, recover),
        over("read alone", Role::Ours, read),
        over("serde_json::Value of each line", Role::Floor, |dir, logs| parse(dir, logs, false)),
        over("the same, each log synced", Role::Floor, |dir, logs| parse(dir, logs, true)),
        Contestant::new(name::RECORDS_100000, Role::Floor, |_, _| {
            Ok(Sample { p50_us: f64::NAN, p99_us: f64::NAN, rate: RECORDS_PER_S, calls: 0 })
        }),
    ];
    Ok(vec![Case {
        name: name::STEPS_RECOVERY.to_owned(),
        unit: "records/s",
        contestants: interleaved(contestants),
    }])
}

/// What a start does: every log locked, read, checked, synced, and what was executing reset.
fn recover(dir: &Path, logs: &Logs) -> Result<u64> {
    let how = StepOpening {
        now: Timestamp::now(),
        holder: format!("pid {}", std::process::id()),
        damage: DamagePolicy::Isolate,
    };
    let report = recover_from_wal(&OsVfs, Some(dir), &how, &mut |_| {});
    ensure!(report.files_failed.is_empty(), "{:?}", report.files_failed);
    ensure!(
        report.reset_count == logs.interrupted,
        "{} of {} steps were reset",
        report.reset_count,
        logs.interrupted
    );
    Ok(report.files_scanned * RECORDS)
}

/// The same lines to the same plans, nothing locked, synced or written.
fn read(dir: &Path, logs: &Logs) -> Result<u64> {
    let mut records = 0;
    for (name, _) in &logs.files {
        let found = steps::read(&OsVfs, &dir.join(name))?;
        let odd = found.counts.corrupt + found.counts.strays + found.counts.irregular;
        ensure!(odd == 0, "{name}: {:?}", found.counts);
        records += found.counts.records;
    }
    Ok(records)
}

/// What anybody does who wants to know what the lines say.
fn parse(dir: &Path, logs: &Logs, sync: bool) -> Result<u64> {
    let mut records = 0;
    for (name, _) in &logs.files {
        let path = dir.join(name);
        let text = fs::read_to_string(&path)?;
        for line in text.lines() {
            let value: Value = serde_json::from_str(line)?;
            records += u64::from(value.get("op").is_some());
        }
        if sync {
            OpenOptions::new().write(true).open(&path)?.sync_data()?;
        }
    }
    Ok(records)
}

impl Logs {
    fn new(files: u64) -> Result<Self> {
        let mut res = Self { files: Vec::new(), interrupted: 0 };
        for number in 0..files {
            let interrupted = number % INTERRUPTED_EVERY == 0;
            res.interrupted += u64::from(interrupted);
            let mandate = mandate_id(&plan_id("bench", &number.to_string()));
            let text = lines(&mandate, interrupted)?;
            res.files.push((file_name(&mandate)?, text));
        }
        Ok(res)
    }

    /// Writes the logs, synced, each with the lock file that whoever wrote it left, and takes the time of `go`.
    fn timed(&self, dir: &Path, go: Go) -> Result<Sample> {
        for (name, text) in &self.files {
            fs::write(dir.join(name), text)?;
            fs::write(dir.join(format!("{name}{LOCK_SUFFIX}")), "pid 1")?;
        }
        rustix::fs::syncfs(File::open(dir)?)?;
        let start = Instant::now();
        let records = go(dir, self)?;
        let seconds = start.elapsed().as_secs_f64();
        let want = self.files.len() as u64 * RECORDS;
        ensure!(records == want, "{records} of {want} records");
        let us = seconds * 1e6;
        Ok(Sample { p50_us: us, p99_us: us, rate: records as f64 / seconds, calls: 1 })
    }
}

/// The text of a log. Its last step was executing, or its last plan was given up.
fn lines(mandate: &str, interrupted: bool) -> Result<Vec<u8>> {
    let mut records = Vec::new();
    for cycle in 1.. {
        let plan_id = plan_id(mandate, &cycle.to_string());
        let plan = cycle_plan(&plan_id, mandate, "bench", cycle)?;
        records.push(StepRecord::PlanCommit(plan));
        for phase in Phase::ALL {
            records.extend(step(phase, &plan_id, cycle)?);
        }
        let status = FinalizeStatus::Succeeded;
        records.push(StepRecord::PlanFinalize(PlanFinalize { plan_id, status, reason: None }));
        if records.len() as u64 >= RECORDS {
            break;
        }
    }
    records.truncate(usize::try_from(RECORDS)?);
    // The last is the begin of the fifth step of the sixth cycle.
    if let Some(last) = records.last_mut().filter(|_| !interrupted) {
        let status = FinalizeStatus::Abandoned;
        let plan_id = match last {
            StepRecord::Transition(it) => it.plan_id.clone().unwrap_or_default(),
            other => anyhow::bail!("the last record is {other:?}"),
        };
        let reason = Some("the bench gives it up".to_owned());
        *last = StepRecord::PlanFinalize(PlanFinalize { plan_id, status, reason });
    }
    let (mut out, now) = (Vec::new(), Timestamp::now());
    let mut seq = Some(Seq::FIRST);
    for record in &records {
        let number = seq.ok_or_else(|| anyhow::anyhow!("no number is left"))?;
        encode_line(record, number, now, &mut out)?;
        seq = number.next();
    }
    Ok(out)
}

/// A step that is due, begins, and is done.
fn step(phase: Phase, plan_id: &str, cycle: u64) -> Result<[StepRecord; 3]> {
    let step_id = phase.step_id(cycle);
    let append = Append {
        step_id: step_id.clone(),
        plan_id: Some(plan_id.to_owned()),
        idem_key: Some(format!("{plan_id}/{step_id}")),
        status: StepStatus::Pending,
    };
    let change = |change| {
        let (step_id, plan_id) = (step_id.clone(), Some(plan_id.to_owned()));
        StepRecord::Transition(Transition { step_id, plan_id, change })
    };
    let done = Change::Completed {
        post_hash: Some(phase.post_hash(cycle)?),
        result_hash: None,
        recovered: None,
        evidence: None,
    };
    let executing = Change::Executing { pre_hash: Some(phase.pre_hash(cycle)?) };
    Ok([StepRecord::Append(append), change(executing), change(done)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::{Against, targets};

    #[test]
    fn every_target_of_the_steps_names_contestants_that_run() {
        let cases = cases(1).unwrap();
        for target in targets(BENCH) {
            let case = cases.iter().find(|it| it.name == target.case).unwrap();
            let runs = |name: &str| case.contestants.iter().any(|it| it.name == name);
            assert!(runs(target.ours), "{target:?}");
            assert!(!matches!(target.against, Against::Named(name) if !runs(name)), "{target:?}");
        }
        assert_eq!(targets(BENCH).count(), 1);
    }

    #[test]
    fn each_contestant_sees_every_record_and_every_tenth_log_has_a_step_to_reset() {
        let logs = Logs::new(11).unwrap();
        assert_eq!(logs.interrupted, 2);
        let ways: [Go; 4] = [
            |dir, logs| parse(dir, logs, false),
            |dir, logs| parse(dir, logs, true),
            read,
            recover,
        ];
        let dir = std::env::temp_dir().join(format!("autonomy-bench-steps-{}", std::process::id()));
        for way in ways {
            fs::create_dir_all(&dir).unwrap();
            logs.timed(&dir, way).unwrap();
            fs::remove_dir_all(&dir).unwrap();
        }
    }
}
