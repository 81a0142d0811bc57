//! A step log of anybody: looking changes nothing, a recovery loses no record that stood before a damage, and a
//! second one finds nothing to do, also when the first was cut short by a crash.
//!
//! | offset | size | field                                                                              |
//! |-------:|-----:|------------------------------------------------------------------------------------|
//! |      0 |    1 | bit 0: damaged lines are skipped; bit 1: the crash is a kill, no loss of power        |
//! |      1 |    1 | operation at which the recovery crashes, and what the disk keeps of it                |
//! |      2 |      | the file                                                                           |
//!
//! * **1** What is refused is as it was, byte for byte.
//! * **2** What is recovered begins with every byte up to its torn end, and the torn end is beside it.
//! * **3** A torn end holds no whole object, by a parser that the log does not use.
//! * **4** What executed in a plan that has not ended is pending; nothing else of any plan is different.
//! * **5** Who recovers again, or after a crash, has the same plans.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::Value;
use vfs::{CrashPolicy, FaultPlan, MemVfs};
use wal_format::step::{StepStatus, Tail};
use wal_recovery::steps::{
    DamagePolicy, FileError, Folded, PlanState, RecoveryEvent, RecoveryReport, StepOpening,
    StepState, fold, read, recover_from_wal,
};

use crate::{
    disk,
    json::{Json, judge},
};

const NAME: &str = "m.wal.jsonl";

/// Checks one file.
pub fn check(bytes: &[u8]) {
    let Some(([flags, crash], file)) = bytes.split_first_chunk::<2>() else { return };
    let how = StepOpening {
        now: disk::now(),
        holder: "pid 1".to_owned(),
        damage: if flags & 1 == 0 { DamagePolicy::Isolate } else { DamagePolicy::Skip },
    };
    let vfs = disk::make(&BTreeMap::from([(NAME, file.to_vec())]));
    let before = read(&vfs, &path()).unwrap();
    assert!(vfs.trace().is_empty(), "looking changes nothing");
    assert_eq!(before, fold(file));
    prefixes(file, &before);

    let (report, events) = recover(&vfs, &how);
    let steps = vfs.steps();
    let (after, aside) = disk_now(&vfs);
    let refused = before.newer.is_some() || (before.counts.corrupt > 0 && flags & 1 == 0);
    assert_eq!(report.files_scanned, 1);
    assert_eq!(report.files_failed.is_empty(), report.per_file[0].error.is_none());
    told(&report, &events);
    if refused {
        assert!(report.per_file[0].error.is_some() && after == file && aside.is_empty(), "1");
        assert_eq!(report.per_file[0].isolated, before.newer.is_none());
    } else {
        kept(file, &before, &after, &aside);
        let left = fold(&after);
        compare(&before, &left, &report);
        assert_eq!(report.reset_count, by_hand(file, &before).unwrap_or(report.reset_count), "4");
    }
    again(&vfs, &how, &report);
    crashed(file, &how, (u64::from(*crash), steps, flags & 2 != 0), &after);
}

fn path() -> PathBuf {
    Path::new(disk::DIR).join(NAME)
}

fn recover(vfs: &MemVfs, how: &StepOpening) -> (RecoveryReport, Vec<RecoveryEvent>) {
    let mut said = Vec::new();
    let report = recover_from_wal(vfs, Some(Path::new(disk::DIR)), how, &mut |it| said.push(it));
    (report, said)
}

/// The log, and whatever else there is, names of locks aside.
fn disk_now(vfs: &MemVfs) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut files = disk::files(vfs);
    let is_aside = |name: &str| {
        let suffix = Path::new(name).extension();
        !suffix.is_some_and(|it| it == "lock" || it == "tmp")
    };
    files.retain(|name, _| is_aside(name));
    let log = files.remove(NAME).unwrap();
    (log, files.into_values().collect())
}

/// Lines that stand before a damage say the same whatever stands behind them.
fn prefixes(file: &[u8], whole: &Folded) {
    let Some(first) = whole.corrupt.first() else { return };
    let good: Vec<&[u8]> = file.split_inclusive(|it| *it == b'\n').take(first.line - 1).collect();
    let good = fold(&good.concat());
    assert_eq!(good.counts.corrupt, 0, "the first damage is the first");
    assert!(good.counts.records <= whole.counts.records);
    for plan in good.plans.all() {
        let found = whole.plans.plan(&plan.plan_id).unwrap();
        let known: BTreeSet<&str> = found.steps.iter().map(StepState::step_id).collect();
        assert!(plan.steps.iter().all(|it| known.contains(it.step_id())));
        assert!(plan.plan_hash.is_none() || found.plan_hash == plan.plan_hash);
    }
}

/// 2 and 3
fn kept(file: &[u8], before: &Folded, after: &[u8], aside: &[Vec<u8>]) {
    let Tail::Torn { at } = before.tail else {
        assert!(after.starts_with(file) && aside.is_empty(), "2");
        return;
    };
    let (good, torn) = file.split_at(at);
    assert!(after.starts_with(good), "2");
    assert_eq!(aside, [torn.to_vec()], "2");
    let line = torn.strip_suffix(b"\n").unwrap_or(torn);
    assert!(!line.contains(&b'\n'), "one line was not synced, and no more");
    assert!(!matches!(judge(line), Json::Object(..)), "3");
}

/// 4
fn compare(before: &Folded, left: &Folded, report: &RecoveryReport) {
    // Two damages at the end, one of which is put aside: the other one stands at the end now.
    let put_aside_next = u64::from(matches!(left.tail, Tail::Torn { .. }));
    assert_eq!(left.counts.corrupt + put_aside_next, before.counts.corrupt);
    let failed = report.per_file[0].error.is_some();
    let mut resets = 0;
    assert_eq!(left.plans.all().len(), before.plans.all().len());
    for (old, new) in before.plans.all().iter().zip(left.plans.all()) {
        let mut want: PlanState = old.clone();
        for (step, new) in want.steps.iter_mut().zip(&new.steps) {
            let interrupted = old.finalized.is_none() && step.status == Some(StepStatus::Executing);
            if interrupted && new.status == Some(StepStatus::Pending) {
                step.status = new.status;
                resets += 1;
            }
            assert!(failed || !interrupted || new.status == Some(StepStatus::Pending), "4");
        }
        assert_eq!(want, *new, "4");
    }
    assert_eq!(resets, report.reset_count);
}

fn told(report: &RecoveryReport, events: &[RecoveryEvent]) {
    let resets = events.iter().filter(|it| matches!(it, RecoveryEvent::ResetStep { .. })).count();
    assert_eq!(resets as u64, report.reset_count);
    let Some(RecoveryEvent::Complete { reset_count, .. }) = events.last() else {
        panic!("the end is told");
    };
    assert_eq!(*reset_count, report.reset_count);
}

/// How many steps are executing in plans that have not ended, by a walk of our own; `None` for a file with lines
/// whose meaning is more than that walk knows.
fn by_hand(file: &[u8], before: &Folded) -> Option<u64> {
    let end = if let Tail::Torn { at } = before.tail { at } else { file.len() };
    let mut plans: BTreeMap<String, (bool, BTreeMap<String, String>)> = BTreeMap::new();
    if before.counts.corrupt > 0 {
        return None;
    }
    for line in file.get(..end)?.split(|it| *it == b'\n') {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let Json::Object(value, _) = judge(line) else { return None };
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let Some(op) = text("op") else { continue };
        match op.as_str() {
            "plan_commit" => {
                let steps = value.get("steps")?.as_array()?.iter();
                let steps =
                    steps.map(|it| Some((it.get("step_id")?.as_str()?.to_owned(), String::new())));
                let ids: BTreeMap<_, _> = steps.clone().collect::<Option<_>>()?;
                if ids.len() != steps.len() {
                    return None;
                }
                plans.entry(text("plan_id")?).or_insert((false, ids));
            }
            "append" => {
                let plan = plans.entry(text("plan_id")?).or_default();
                plan.1.insert(text("step_id")?, text("status")?);
            }
            "transition" => {
                let status = text("status")?;
                let plan = text("plan_id")?;
                let step = plans.get_mut(&plan).and_then(|it| it.1.get_mut(&text("step_id")?));
                if let Some(step) = step {
                    *step = status;
                }
            }
            "plan_finalize" => {
                if let Some(plan) = plans.get_mut(&text("plan_id")?) {
                    plan.0 = true;
                }
            }
            _ => {}
        }
    }
    let open = plans.values().filter(|it| !it.0).flat_map(|it| it.1.values());
    // Whose last number is the largest there is takes no more lines.
    let full = before.last.is_some_and(|it| it.next().is_none());
    (!full).then(|| open.filter(|it| *it == "executing").count() as u64)
}

/// 5. A damage that is skipped can come to stand at the end, and then is put aside like a torn line.
fn again(vfs: &MemVfs, how: &StepOpening, first: &RecoveryReport) {
    let (before, _) = disk_now(vfs);
    let (second, _) = recover(vfs, how);
    let (after, _) = disk_now(vfs);
    assert_eq!(second.reset_count, 0, "5");
    let code = |it: &RecoveryReport| it.per_file[0].error.as_ref().map(FileError::code);
    assert_eq!(code(&second), code(first), "5");
    assert_eq!(fold(&after).plans, fold(&before).plans, "5");
    if how.damage == DamagePolicy::Isolate {
        assert!(second.torn_tails == 0 && after == before, "5");
    }
}

/// 5. `want` is the log after a recovery that nothing disturbed.
fn crashed(file: &[u8], how: &StepOpening, (at, steps, kill): (u64, u64, bool), want: &[u8]) {
    if steps == 0 {
        return;
    }
    let vfs = disk::make(&BTreeMap::from([(NAME, file.to_vec())]));
    vfs.set_plan(FaultPlan::crash_at(at % steps));
    recover(&vfs, how);
    if kill {
        vfs.process_kill();
    } else {
        vfs.power_loss(CrashPolicy::Random(at));
    }
    recover(&vfs, how);
    let (found, aside) = disk_now(&vfs);
    assert_eq!(fold(&found).plans, fold(want).plans, "5");
    if let Tail::Torn { at } = fold(file).tail
        && found.len() <= at
    {
        let torn = file.get(at..).unwrap_or_default();
        assert!(found.len() == at || how.damage == DamagePolicy::Skip, "2");
        assert!(aside.iter().any(|it| it == torn), "2");
    }
}
