//! Every step of the life of a step log can be the last one before a loss of power.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod harness;

use std::path::{Path, PathBuf};

use harness::{mandate::*, now};
use serde_json::Value;
use vfs::{CrashPolicy, FaultPlan, MemVfs, Vfs};
use wal_format::step::FinalizeStatus;
use wal_recovery::steps::{Completion, StepAppendError, Unfinalized, Written, archive};

/// Everything that the history wants to write, in order.
const WANTED: [&str; 11] = [
    "plan_commit p - -",
    "append p a pending",
    "transition p a executing",
    "transition p a completed",
    "append p b pending",
    "transition p b executing",
    "transition p b failed",
    "plan_finalize p - succeeded",
    "plan_commit q - -",
    "append q a pending",
    "transition q a executing",
];

/// Writes the history and tells how many records were acknowledged. `None` when it came to its end.
fn history(vfs: &MemVfs) -> (usize, Option<()>) {
    let mut acked = 0;
    let end = write(vfs, &mut acked);
    (acked, end)
}

fn write(vfs: &MemVfs, acked: &mut usize) -> Option<()> {
    let log = open_log(vfs, "m").ok()?.log;
    let mut ack = |result: Result<Written, StepAppendError>| {
        result.ok()?;
        *acked += 1;
        Some(())
    };
    // Longer than a sector, so that a crash can tear holes into a line.
    let padding = "x".repeat(700);
    let (a, b, now) = (key("p", "a"), key("p", "b"), now());
    ack(log.commit_plan(&plan("p", &["a", "b", &"x".repeat(400)]), now))?;
    ack(log.append_pending(a, "k", now))?;
    ack(log.mark_executing(a, "w", now))?;
    let done =
        Completion { evidence: Some(Value::String(padding.clone())), ..Completion::default() };
    ack(log.mark_completed(a, done, now))?;
    ack(log.append_pending(b, "k2", now))?;
    ack(log.mark_executing(b, "w", now))?;
    ack(log.mark_failed(b, "E", &padding, now))?;
    ack(log.finalize_plan("p", FinalizeStatus::Succeeded, now))?;
    drop(log);
    let log = open_log(vfs, "m").ok()?.log;
    ack(log.commit_plan(&plan("q", &["a"]), now))?;
    ack(log.append_pending(key("q", "a"), &padding, now))?;
    ack(log.mark_executing(key("q", "a"), &padding, now))
}

/// What is there after the crash: every acknowledged record, at most one more, nothing torn or glued.
fn audit(vfs: &MemVfs, acked: usize, place: &str) {
    let (report, _) = recover_all(vfs);
    assert!(report.files_failed.is_empty(), "{place}: {:?}", report.files_failed);
    if vfs.stat(&log_path("m")).unwrap().is_none() {
        assert_eq!(acked, 0, "{place}");
        return;
    }
    let mut told: Vec<Value> = lines(vfs, "m");
    for (at, line) in told.iter().enumerate() {
        assert_eq!(line["seq"], at + 1, "{place}");
    }
    told.retain(|it| it["reset"] != true);
    let told: Vec<_> = told.iter().map(short).collect();
    assert!(told.len() == acked || told.len() == acked + 1, "{place}: {acked} {told:?}");
    assert_eq!(told, WANTED[..told.len()], "{place}");
    assert_eq!(recover_all(vfs).0.reset_count, 0, "{place}: a second recovery finds nothing");
    let log = open_log(vfs, "m").unwrap().log;
    log.commit_plan(&plan("next", &["s"]), now()).unwrap();
    assert_eq!(lines(vfs, "m").last().unwrap()["plan_id"], "next", "{place}");
}

fn policies() -> impl Iterator<Item = CrashPolicy> {
    [CrashPolicy::LoseAll, CrashPolicy::KeepAll].into_iter().chain((0..14).map(CrashPolicy::Random))
}

fn steps_of(act: impl FnOnce(&MemVfs)) -> u64 {
    let vfs = MemVfs::default();
    act(&vfs);
    vfs.steps()
}

#[test]
fn every_step_of_opening_and_appending_can_be_the_last() {
    let steps = steps_of(|vfs| assert_eq!(history(vfs), (WANTED.len(), Some(()))));
    assert!(steps >= 30, "{steps}");
    for step in 0..steps {
        for policy in policies() {
            let vfs = MemVfs::new(FaultPlan::crash_at(step));
            let (acked, end) = history(&vfs);
            assert_eq!(end, None, "step {step}");
            vfs.power_loss(policy);
            audit(&vfs, acked, &format!("step {step} {policy:?}"));
        }
    }
}

#[test]
fn every_step_of_a_recovery_can_be_the_last() {
    let steps = steps_of(|vfs| assert_eq!(history(vfs).0, WANTED.len()));
    let mut torn = 0;
    for (first, second) in (0..steps).flat_map(|it| (0..18).map(move |second| (it, second))) {
        for (policy, killed) in policies().take(6).flat_map(|it| [(it, false), (it, true)]) {
            let vfs = MemVfs::new(FaultPlan::crash_at(first));
            let (acked, _) = history(&vfs);
            // What a killed process has left is seen and not durable.
            if killed {
                vfs.process_kill();
            } else {
                vfs.power_loss(policy);
            }
            vfs.set_plan(FaultPlan::crash_at(second));
            torn += recover_all(&vfs).0.torn_tails;
            vfs.power_loss(policy);
            audit(&vfs, acked, &format!("steps {first} {second} {policy:?} {killed}"));
        }
    }
    assert!(torn > 0, "no history has torn a line");
}

/// The bytes of the log, wherever they are; both places at once hold the same.
fn whereabouts(vfs: &MemVfs) -> Vec<u8> {
    let path = log_path("m");
    let packed = PathBuf::from(format!("{}.gz", path.display()));
    let plain = bytes(vfs, &path);
    let unpacked = bytes(vfs, &packed).map(|it| unpack(&it));
    if let (Some(plain), Some(unpacked)) = (&plain, &unpacked) {
        assert_eq!(plain, unpacked);
    }
    plain.or(unpacked).unwrap()
}

fn unpack(packed: &[u8]) -> Vec<u8> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn sw_11_every_step_of_an_archive_can_be_the_last() {
    let ready = || {
        let vfs = MemVfs::default();
        assert_eq!(history(&vfs).0, WANTED.len());
        let whole = bytes(&vfs, &log_path("m")).unwrap();
        vfs.set_plan(FaultPlan::none());
        (vfs, whole)
    };
    let run = |vfs: &MemVfs| archive(vfs, &log_path("m"), None, Unfinalized::Force, &how());
    let (vfs, _) = ready();
    run(&vfs).unwrap();
    let steps = vfs.steps();
    assert!(steps >= 9, "{steps}");
    for step in 0..steps {
        for policy in policies() {
            let (vfs, whole) = ready();
            vfs.set_plan(FaultPlan::crash_at(step));
            run(&vfs).ok();
            vfs.power_loss(policy);
            let place = format!("step {step} {policy:?}");
            assert_eq!(whereabouts(&vfs), whole, "{place}");
            let names = vfs.list(Path::new(STEPS)).unwrap();
            let seen = names.iter().filter(|it| wal_format::step::is_step_file(it));
            let there = vfs.stat(&log_path("m")).unwrap().is_some();
            assert_eq!(seen.count(), usize::from(there), "{place}");
            // The same call goes on where it was stopped.
            if there {
                run(&vfs).unwrap();
            }
            assert!(vfs.stat(&log_path("m")).unwrap().is_none(), "{place}");
            assert_eq!(whereabouts(&vfs), whole, "{place}");
        }
    }
}

#[test]
fn sw_11b_an_archive_that_was_answered_outlives_a_loss_of_power_and_the_log_does_not() {
    let vfs = MemVfs::default();
    assert_eq!(history(&vfs).0, WANTED.len());
    let whole = bytes(&vfs, &log_path("m")).unwrap();
    archive(&vfs, &log_path("m"), None, Unfinalized::Force, &how()).unwrap();
    vfs.power_loss(CrashPolicy::LoseAll);
    assert!(vfs.stat(&log_path("m")).unwrap().is_none());
    assert_eq!(whereabouts(&vfs), whole);
}

#[test]
fn sw_4c_every_step_of_a_repair_can_be_the_last_and_what_was_torn_is_kept() {
    let torn = format!("{{\"op\":\"{}", "x".repeat(700));
    let ready = || {
        let vfs = MemVfs::default();
        drop(log_with(&vfs, "m", &[("s", "executing")]));
        let mut file = bytes(&vfs, &log_path("m")).unwrap();
        let kept = file.clone();
        file.extend_from_slice(torn.as_bytes());
        leave(&vfs, &log_path("m"), &file);
        vfs.set_plan(FaultPlan::none());
        (vfs, kept)
    };
    let (vfs, _) = ready();
    recover_all(&vfs);
    for step in 0..=vfs.steps() {
        for policy in policies() {
            let (vfs, kept) = ready();
            vfs.set_plan(FaultPlan::crash_at(step));
            recover_all(&vfs);
            vfs.power_loss(policy);
            recover_all(&vfs);
            vfs.power_loss(CrashPolicy::LoseAll);
            let place = format!("step {step} {policy:?}");
            let names = vfs.list(Path::new(STEPS)).unwrap();
            let aside = names.iter().filter(|it| it.contains(".torn-") && !it.contains(".tmp"));
            let aside: Vec<_> =
                aside.map(|it| bytes(&vfs, &Path::new(STEPS).join(it)).unwrap()).collect();
            assert!(aside.contains(&torn.clone().into_bytes()), "{place}: {names:?}");
            let log = bytes(&vfs, &log_path("m")).unwrap();
            assert!(log.starts_with(&kept), "{place}");
            assert_eq!(lines(&vfs, "m").last().unwrap()["reset"], true, "{place}");
        }
    }
}
