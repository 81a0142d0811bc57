//! The failure modes of the step log, by their names.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use std::path::Path;

use harness::{mandate::*, now};
use serde_json::json;
use vfs::{CrashPolicy, Fault, FaultPlan, MemVfs, Op, OsVfs, Vfs};
use wal_format::step::FinalizeStatus;
use wal_recovery::steps::{
    Completion, RecoveryEvent, StepAppendError, StepLog, StepOpenError, StepOpening, VerdictKind,
    World, fold, recover_from_wal, verify,
};

const NOBODY_LOOKED: World<'_> = World { pre_hash: None, post_hash: None };

fn verdict(vfs: &MemVfs, world: World<'_>) -> (VerdictKind, &'static str) {
    let log = open_log(vfs, "m").unwrap().log;
    let verdict = verify(&log.step(key("p", "s")).unwrap(), world);
    (verdict.kind, verdict.reason.as_str())
}

#[test]
fn sw_1_a_crash_between_commit_and_the_first_step_resets_nothing() {
    let vfs = MemVfs::default();
    drop(log_with(&vfs, "m", &[("s", "pending")]));
    let before = bytes(&vfs, &log_path("m"));
    let (report, said) = recover_all(&vfs);
    assert_eq!((report.reset_count, names(&said)), (0, vec!["wal_recovery_complete"]));
    assert_eq!(bytes(&vfs, &log_path("m")), before);
    let want = (VerdictKind::SafeToRetry, "never_reached_executing");
    assert_eq!(verdict(&vfs, NOBODY_LOOKED), want);
}

#[test]
fn sw_2_a_step_that_was_interrupted_is_reset_once() {
    let vfs = MemVfs::default();
    drop(log_with(&vfs, "m", &[("observe", "completed"), ("s", "executing")]));
    let (report, said) = recover_all(&vfs);
    assert_eq!(report.reset_count, 1);
    let reset = RecoveryEvent::ResetStep {
        path: log_path("m"),
        plan_id: "p".to_owned(),
        step_id: "s".to_owned(),
    };
    let complete = RecoveryEvent::Complete { wal_dir: STEPS.into(), reset_count: 1 };
    assert_eq!(said, [reset, complete]);
    assert_eq!(status(&vfs, "m", key("p", "observe")), "completed");
    assert_eq!(status(&vfs, "m", key("p", "s")), "pending");
    let (again, said) = recover_all(&vfs);
    assert_eq!((again.reset_count, names(&said)), (0, vec!["wal_recovery_complete"]));
}

#[test]
fn sw_2b_a_reset_step_needs_proof_from_the_world() {
    let vfs = MemVfs::default();
    drop(log_with(&vfs, "m", &[("s", "executing")]));
    recover_all(&vfs);
    let want = (VerdictKind::ManualReview, "interrupted_during_execution");
    assert_eq!(verdict(&vfs, NOBODY_LOOKED), want);
    let world = World { pre_hash: Some("pre:s"), post_hash: None };
    assert_eq!(verdict(&vfs, world).0, VerdictKind::SafeToRetry);
}

#[test]
fn sw_3_a_step_whose_effect_is_there_is_completed_and_not_run() {
    let vfs = MemVfs::default();
    drop(log_with(&vfs, "m", &[("s", "executing")]));
    recover_all(&vfs);
    let log = open_log(&vfs, "m").unwrap().log;
    let world = World { pre_hash: None, post_hash: Some("post:s") };
    let verdict = verify(&log.step(key("p", "s")).unwrap(), world);
    assert_eq!(verdict.kind, VerdictKind::AlreadyDone);
    let done = Completion {
        post_hash: verdict.post_hash,
        result_hash: None,
        recovered: true,
        evidence: Some(verdict.evidence),
    };
    log.mark_completed(key("p", "s"), done, now()).unwrap();
    let last = lines(&vfs, "m").pop().unwrap();
    assert_eq!((&last["post_hash"], &last["recovered"]), (&json!("post:s"), &json!(true)));
    assert_eq!(last["evidence"]["reason"], "current_state_matches_expected_post");
}

#[test]
fn sw_4_a_torn_tail_is_put_aside_and_the_first_recovery_counts_right() {
    let vfs = MemVfs::default();
    drop(log_with(&vfs, "m", &[("s", "executing")]));
    let path = log_path("m");
    let mut file = bytes(&vfs, &path).unwrap();
    let torn = b"{\"op\":\"transition\",\"step_id\":\"s\",\"sta";
    file.extend_from_slice(torn);
    leave(&vfs, &path, &file);
    let (report, said) = recover_all(&vfs);
    assert_eq!((report.reset_count, report.torn_tails), (1, 1));
    let want = ["wal_recovery_torn_tail", "wal_recovery_reset_step", "wal_recovery_complete"];
    assert_eq!(names(&said), want);
    assert_eq!(status(&vfs, "m", key("p", "s")), "pending");
    let aside = report.per_file[0].torn.clone().unwrap();
    assert_eq!(aside.bytes, torn.len() as u64);
    assert_eq!(aside.moved_to, Path::new("/steps/m.wal.jsonl.torn-1767323045000"));
    assert_eq!(bytes(&vfs, &aside.moved_to).unwrap(), torn);
    assert_eq!(lines(&vfs, "m").last().unwrap()["seq"], 4, "numbers follow all the same");
    assert_eq!(recover_all(&vfs).0.reset_count, 0);
    // A second one of the same millisecond overwrites nothing.
    let mut file = bytes(&vfs, &path).unwrap();
    file.extend_from_slice(b"{");
    leave(&vfs, &path, &file);
    let aside = recover_all(&vfs).0.per_file[0].torn.clone().unwrap();
    assert_eq!(aside.moved_to, Path::new("/steps/m.wal.jsonl.torn-1767323045001"));
}

#[test]
fn sw_4b_every_prefix_of_a_log_recovers_to_its_whole_lines() {
    let vfs = MemVfs::default();
    let log = log_with(&vfs, "m", &[("a", "completed"), ("b", "failed"), ("c", "needs_review")]);
    bring(&log, key("p", "c"), "unset");
    log.approve(key("p", "c"), "looked", now()).unwrap();
    log.commit_plan(&plan("q", &["a", "é"]), now()).unwrap();
    bring(&log, key("q", "é"), "executing");
    log.finalize_plan("p", FinalizeStatus::Failed, now()).unwrap();
    drop(log);
    let whole = bytes(&vfs, &log_path("m")).unwrap();
    for cut in 0..=whole.len() {
        let prefix = &whole[..cut];
        let vfs = MemVfs::default();
        leave(&vfs, &log_path("m"), prefix);
        // A line is whole with its last brace; its line feed only ends it.
        let ended = whole.get(cut) == Some(&b'\n');
        let kept = if ended {
            cut + 1
        } else {
            prefix.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1)
        };
        let (report, _) = recover_all(&vfs);
        let interrupted = fold(&whole[..kept]).plans.interrupted().count();
        assert_eq!(report.reset_count, interrupted as u64, "cut at {cut}");
        assert_eq!(report.torn_tails, u64::from(!ended && kept != cut), "cut at {cut}");
        assert!(report.files_failed.is_empty(), "cut at {cut}");
        let after = bytes(&vfs, &log_path("m")).unwrap();
        assert_eq!(after[..kept], whole[..kept], "cut at {cut}");
        // The next record is not glued to anything.
        let log = open_log(&vfs, "m").unwrap().log;
        log.commit_plan(&plan("next", &["s"]), now()).unwrap();
        let lines = lines(&vfs, "m");
        let lines_kept = whole[..kept].split_inclusive(|it| *it == b'\n').count();
        assert_eq!(lines.len(), lines_kept + interrupted + 1, "cut at {cut}");
        assert_eq!(lines.last().unwrap()["plan_id"], "next");
        if let Some(torn) = &report.per_file[0].torn {
            assert_eq!(bytes(&vfs, &torn.moved_to).unwrap(), &prefix[kept..], "cut at {cut}");
        }
    }
}

#[test]
fn sw_5_a_plan_without_its_commit_is_reported_and_left_to_a_human() {
    let append = |seq: u64| {
        format!(
            r#"{{"op":"append","step_id":"s","plan_id":"p","idem_key":"k","status":"pending","v":1,"seq":{seq},"ts":"2026-01-02T03:04:05.000Z"}}"#
        )
    };
    let torn = r#"{"op":"plan_commit","plan_id":"p","mand"#;
    for (file, isolated) in [
        (format!("{torn}\n{}\n", append(2)), true),
        (format!("{}\n", append(2)), true),
        (format!("{}\n", append(1)), false),
    ] {
        let vfs = MemVfs::default();
        leave(&vfs, &log_path("m"), file.as_bytes());
        let found = fold(file.as_bytes());
        assert_eq!(found.plans.all().len(), 1);
        let plan = found.plans.plan("p").unwrap();
        assert_eq!((plan.plan_hash.as_ref(), plan.steps.len()), (None, 1));
        assert_eq!(plan.finalize_reason.as_deref(), Some("orphan_steps_detected"));
        assert!(plan.steps[0].is_pending());
        let (report, _) = recover_all(&vfs);
        assert_eq!((report.orphan_plans, report.reset_count), (1, 0));
        assert_eq!(report.per_file[0].isolated, isolated);
    }
}

#[test]
fn sw_6_one_bad_file_stops_no_other() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(format!("{name}.wal.jsonl"));
    let begin = |name: &str, steps: &[&str]| {
        let log = StepLog::open(&OsVfs, &path(name), &how()).unwrap().log;
        log.commit_plan(&plan("p", steps), now()).unwrap();
        for step in steps {
            bring(&log, key("p", step), "executing");
        }
    };
    begin("a", &["1"]);
    begin("c", &["1", "2"]);
    std::fs::create_dir(path("b")).unwrap();
    begin("d", &["1"]);
    let mut bad = std::fs::read(path("d")).unwrap();
    bad[40] = 0xff;
    std::fs::write(path("d"), bad).unwrap();
    let busy = StepLog::open(&OsVfs, &path("e"), &how()).unwrap();
    let mut said = Vec::new();
    let report = recover_from_wal(&OsVfs, Some(root.path()), &how(), &mut |it| said.push(it));
    assert_eq!((report.reset_count, report.files_scanned), (3, 5));
    let failed: Vec<_> = report.files_failed.iter().map(|it| it.error.code()).collect();
    assert_eq!(failed, ["STEPS_IO", "STEPS_CORRUPT", "STEPS_LOCKED"]);
    let told: Vec<_> = names(&said);
    assert_eq!(told.iter().filter(|it| **it == "wal_recovery_file_failed").count(), 3);
    assert_eq!(
        said.last(),
        Some(&RecoveryEvent::Complete { wal_dir: root.path().into(), reset_count: 3 })
    );
    drop(busy);
}

#[test]
fn sw_7_a_step_in_a_finalized_plan_is_untouched() {
    for abandoned in [false, true] {
        let vfs = MemVfs::default();
        let log = log_with(&vfs, "m", &[("s", "executing")]);
        if abandoned {
            log.abandon_plan("p", "no use", now()).unwrap();
        } else {
            let error = log.finalize_plan("p", FinalizeStatus::Succeeded, now()).unwrap_err();
            assert!(error.to_string().contains("has not succeeded"), "{error}");
        }
        drop(log);
        if !abandoned {
            // We never write it, and others may have.
            let line = "{\"op\":\"plan_finalize\",\"plan_id\":\"p\",\"status\":\"succeeded\"}\n";
            let with = [bytes(&vfs, &log_path("m")), Some(line.as_bytes().to_vec())]
                .into_iter()
                .flatten()
                .flatten()
                .collect::<Vec<_>>();
            vfs::replace(&vfs, &log_path("m"), &with).unwrap();
        }
        let before = bytes(&vfs, &log_path("m"));
        assert_eq!(recover_all(&vfs).0.reset_count, 0);
        assert_eq!(bytes(&vfs, &log_path("m")), before);
    }
}

#[test]
fn sw_8_a_recovery_that_was_killed_is_finished_by_the_next() {
    let vfs = MemVfs::default();
    let three = [("a", "executing"), ("b", "executing"), ("c", "executing")];
    drop(log_with(&vfs, "m", &three));
    // The second reset is not written any more.
    let mut syncs = 0;
    vfs.set_plan(FaultPlan::new(move |_, op| {
        let write = matches!(op, Op::Write { path, .. } if path.ends_with("m.wal.jsonl"));
        syncs += u64::from(write);
        (write && syncs == 2).then_some(Fault::Crash)
    }));
    let (first, said) = recover_all(&vfs);
    assert_eq!(first.reset_count, 1, "what is durable counts, also when the rest has failed");
    assert_eq!(first.files_failed.len(), 1);
    let want = ["wal_recovery_reset_step", "wal_recovery_file_failed", "wal_recovery_complete"];
    assert_eq!(names(&said), want);
    vfs.power_loss(CrashPolicy::LoseAll);
    assert_eq!(recover_all(&vfs).0.reset_count, 2);
    let resets: Vec<_> = lines(&vfs, "m").into_iter().filter(|it| it["reset"] == true).collect();
    assert_eq!(resets.len(), 3);
    for step in ["a", "b", "c"] {
        assert_eq!(status(&vfs, "m", key("p", step)), "pending");
    }
}

#[test]
fn sw_9_after_a_failed_append_the_step_must_not_run_and_nothing_is_retried() {
    for (fault, on_sync) in [
        (Fault::Enospc, false),
        (Fault::Eio, false),
        (Fault::ReadOnly, false),
        (Fault::Eio, true),
        (Fault::Enospc, true),
    ] {
        let vfs = MemVfs::default();
        let log = log_with(&vfs, "m", &[("s", "pending")]);
        vfs.set_plan(FaultPlan::new(move |step, op| {
            let hit =
                if on_sync { matches!(op, Op::Sync(_)) } else { matches!(op, Op::Write { .. }) };
            (hit && step < 2).then_some(fault)
        }));
        let error = log.mark_executing(key("p", "s"), "w", now()).unwrap_err();
        assert_eq!(error.code(), "STEPS_IO", "{fault:?}");
        let steps = vfs.steps();
        for _ in 0..2 {
            let again = log.mark_executing(key("p", "s"), "w", now()).unwrap_err();
            assert!(matches!(again, StepAppendError::Poisoned { .. }), "{again}");
        }
        assert_eq!(vfs.steps(), steps, "the disk is not asked again");
        assert_eq!(log.step(key("p", "s")).unwrap().status.unwrap().as_str(), "pending");
        drop(log);
        // A new opening starts from what is there.
        vfs.process_kill();
        let (report, _) = recover_all(&vfs);
        assert!(report.files_failed.is_empty());
        assert_eq!(status(&vfs, "m", key("p", "s")), "pending");
    }
}

#[test]
fn sw_9b_a_log_that_was_removed_or_replaced_takes_no_more() {
    let vfs = MemVfs::default();
    for replaced in [false, true] {
        let log = log_with(&vfs, "m", &[("s", "pending")]);
        vfs.remove(&log_path("m")).unwrap();
        if replaced {
            leave(&vfs, &log_path("m"), b"");
        }
        let error = log.mark_executing(key("p", "s"), "w", now()).unwrap_err();
        assert_eq!(error.code(), "STEPS_IO");
        drop(log);
        leave(&vfs, &log_path("m"), b"");
    }
}

#[test]
fn sw_10_a_second_writer_is_refused_by_the_name_of_the_first() {
    let root = tempfile::tempdir().unwrap();
    let mem = MemVfs::default();
    let disks: [(&dyn Vfs, _); 2] =
        [(&mem, log_path("m")), (&OsVfs, root.path().join("m.wal.jsonl"))];
    for (vfs, path) in disks {
        let first = StepOpening { holder: "pid 41".to_owned(), ..how() };
        let opened = StepLog::open(vfs, &path, &first).unwrap();
        opened.log.commit_plan(&plan("p", &["s"]), now()).unwrap();
        let before = bytes(vfs, &path);
        match StepLog::open(vfs, &path, &how()) {
            Err(StepOpenError::Locked { holder, .. }) => assert_eq!(holder, "pid 41"),
            other => panic!("{other:?}"),
        }
        // Whoever removes the file with the name does not become a second writer.
        let name = path.with_file_name("m.wal.jsonl.lock");
        vfs.remove(&name).unwrap();
        let error = StepLog::open(vfs, &path, &how()).unwrap_err();
        assert_eq!(error.code(), "STEPS_LOCKED");
        assert_eq!(bytes(vfs, &path), before);
        drop(opened);
        StepLog::open(vfs, &path, &how()).unwrap();
    }
    // A killed writer leaves no lock.
    let dead = open_log(&mem, "m").unwrap();
    mem.process_kill();
    open_log(&mem, "m").unwrap();
    drop(dead);
}

#[test]
fn sw_12_a_step_that_needs_a_review_is_never_reset() {
    let vfs = MemVfs::default();
    drop(log_with(&vfs, "m", &[("s", "needs_review"), ("t", "paused")]));
    let before = bytes(&vfs, &log_path("m"));
    for _ in 0..5 {
        assert_eq!(recover_all(&vfs).0.reset_count, 0);
        vfs.power_loss(CrashPolicy::LoseAll);
    }
    assert_eq!(bytes(&vfs, &log_path("m")), before);
    let before = World { pre_hash: Some("pre:s"), post_hash: None };
    assert_eq!(verdict(&vfs, before).0, VerdictKind::ManualReview);
    let after = World { pre_hash: None, post_hash: Some("post:s") };
    assert_eq!(verdict(&vfs, after).0, VerdictKind::AlreadyDone);
}

#[test]
fn logs_that_were_written_once_are_recovered_and_carried_on() {
    let golden = |name: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        std::fs::read(root.join(name)).unwrap()
    };
    for (name, step) in
        [("steps.wal.jsonl", "decide_001"), ("steps-foreign.wal.jsonl", "orient_001")]
    {
        let vfs = MemVfs::default();
        let file = golden(name);
        leave(&vfs, &log_path("m"), &file);
        let (report, said) = recover_all(&vfs);
        assert_eq!((report.reset_count, report.orphan_plans), (1, 0), "{said:?}");
        let after = bytes(&vfs, &log_path("m")).unwrap();
        assert!(after.starts_with(&file));
        let reset = lines(&vfs, "m").pop().unwrap();
        assert_eq!((&reset["step_id"], &reset["reset"]), (&json!(step), &json!(true)));
        assert_eq!(reset["seq"], lines(&vfs, "m").len(), "lines of others count");
        assert_eq!(recover_all(&vfs).0.reset_count, 0);
    }
}

#[test]
fn sw_13_a_log_behind_a_symbolic_link_is_neither_read_nor_written() {
    let dir = tempfile::tempdir().unwrap();
    let (data, link) = (dir.path().join("precious"), dir.path().join("m1.wal.jsonl"));
    std::fs::write(&data, "precious").unwrap();
    std::os::unix::fs::symlink("precious", &link).unwrap();
    let how = how();
    let written = StepLog::open(&OsVfs, &link, &how).unwrap_err();
    let seen = wal_recovery::steps::read(&OsVfs, &link).unwrap_err();
    for error in [written, seen] {
        assert_eq!(error.code(), "STEPS_IO");
        let text = error.to_string();
        assert!(text.ends_with("a symbolic link, not the file itself"), "{text}");
    }
    assert_eq!(std::fs::read_to_string(&data).unwrap(), "precious");
}
