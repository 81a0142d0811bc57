//! The step log at work: writing, recovering, archiving, in the order of the contract.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use std::{
    path::{Path, PathBuf},
    thread,
};

use harness::{mandate::*, now};
use serde_json::json;
use vfs::{MemVfs, OsVfs, Vfs};
use wal_format::step::FinalizeStatus;
use wal_recovery::steps::{
    ArchiveStepsError, Completion, DamagePolicy, RecoveryEvent, Refusal, Severity, StepAppendError,
    StepLog, StepOpening, Unfinalized, VerdictKind, World, Written, archive, recover_file,
    recover_from_wal, verify,
};

#[test]
fn opening_makes_directory_and_file_and_opening_again_keeps_what_is_there() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a/b/m.wal.jsonl");
    let log = StepLog::open(&OsVfs, &path, &how()).unwrap().log;
    assert!(path.exists());
    log.commit_plan(&plan("p", &["s"]), now()).unwrap();
    log.close();
    let before = std::fs::read(&path).unwrap();
    let opened = StepLog::open(&OsVfs, &path, &how()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(opened.log.plans_not_finalized().len(), 1);
}

#[test]
fn a_commit_is_one_line_with_all_of_its_fields_and_a_time_in_utc() {
    let vfs = MemVfs::default();
    drop(log_with(&vfs, "m", &[("s", "unset")]));
    let lines = lines(&vfs, "m");
    assert_eq!(lines.len(), 1);
    for field in ["plan_id", "mandate_id", "cycle", "plan_hash", "steps", "op", "v", "seq"] {
        assert!(!lines[0][field].is_null(), "{field}");
    }
    assert_eq!(lines[0]["ts"], "2026-01-02T03:04:05.000Z");
}

#[test]
fn a_whole_life_is_a_line_an_event_with_numbers_that_follow() {
    let vfs = MemVfs::default();
    let log = log_with(&vfs, "m", &[("s", "completed")]);
    log.finalize_plan("p", FinalizeStatus::Succeeded, now()).unwrap();
    let lines = lines(&vfs, "m");
    let told: Vec<_> = lines.iter().map(short).collect();
    assert_eq!(
        told,
        [
            "plan_commit p - -",
            "append p s pending",
            "transition p s executing",
            "transition p s completed",
            "plan_finalize p - succeeded",
        ]
    );
    let numbers: Vec<_> = lines.iter().map(|it| it["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
}

#[test]
fn each_mark_keeps_what_it_is_for() {
    let vfs = MemVfs::default();
    let log = log_with(&vfs, "m", &[("f", "executing"), ("r", "executing"), ("z", "executing")]);
    log.mark_failed(key("p", "f"), "Timeout", &"é".repeat(1500), now()).unwrap();
    log.mark_needs_review(key("p", "r"), "why", Some(json!({"a": 1})), now()).unwrap();
    log.reset_to_pending(key("p", "z"), now()).unwrap();
    log.abandon_plan("p", "no use", now()).unwrap();
    let lines = lines(&vfs, "m");
    let [.., failed, review, reset, end] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(failed["error_class"], "Timeout");
    assert_eq!(failed["error_msg"].as_str().unwrap().chars().count(), 500);
    assert_eq!((&review["reason"], &review["evidence"]), (&json!("why"), &json!({"a": 1})));
    assert_eq!(reset["reset"], true);
    assert_eq!((&end["status"], &end["reason"]), (&json!("abandoned"), &json!("no use")));
    assert_eq!(log.step(key("p", "r")).unwrap().reason.as_deref(), Some("why"));
}

#[test]
fn of_two_plans_only_the_one_that_has_not_ended_is_open() {
    let vfs = MemVfs::default();
    let log = log_with(&vfs, "m", &[("s", "executing"), ("t", "unset")]);
    log.commit_plan(&plan("q", &["s"]), now()).unwrap();
    log.finalize_plan("q", FinalizeStatus::Failed, now()).unwrap();
    drop(log);
    let open = open_log(&vfs, "m").unwrap().log.plans_not_finalized();
    assert_eq!((open.len(), open[0].plan_id.as_str()), (1, "p"));
    assert_eq!(open[0].step("s").unwrap().observed_pre_hash.as_deref(), Some("pre:s"));
    assert!(!open[0].step("t").unwrap().is_final());
}

#[test]
fn twenty_threads_of_ten_appends_leave_two_hundred_and_one_whole_lines() {
    let root = tempfile::tempdir().unwrap();
    let disks: [(&dyn Vfs, PathBuf); 2] =
        [(&MemVfs::default(), log_path("m")), (&OsVfs, root.path().join("m.wal.jsonl"))];
    for (vfs, path) in disks {
        let log = StepLog::open(vfs, &path, &how()).unwrap().log;
        let names: Vec<String> = (0..200).map(|it| format!("s{it:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        log.commit_plan(&plan("p", &names), now()).unwrap();
        let append = |step: &&str| {
            log.append_pending(key("p", step), step, now()).unwrap();
        };
        thread::scope(|scope| {
            for steps in names.chunks(10) {
                scope.spawn(move || steps.iter().for_each(append));
            }
        });
        log.close();
        let text = String::from_utf8(bytes(vfs, &path).unwrap()).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        assert_eq!(lines.len(), 201);
        for (at, line) in lines.iter().enumerate() {
            assert_eq!(line["seq"], at + 1);
        }
    }
}

#[test]
fn an_append_after_close_names_the_file_and_closing_twice_is_closing_once() {
    let vfs = MemVfs::default();
    let log = log_with(&vfs, "m", &[("s", "pending")]);
    log.close();
    log.close();
    let error = log.mark_executing(key("p", "s"), "w", now()).unwrap_err();
    assert_eq!(error.to_string(), "steps: STEPS_CLOSED — /steps/m.wal.jsonl was closed");
    open_log(&vfs, "m").unwrap();
}

#[test]
fn a_commit_that_is_repeated_is_not_written_and_another_of_its_name_is_refused() {
    let vfs = MemVfs::default();
    let log = log_with(&vfs, "m", &[("s", "executing")]);
    assert_eq!(log.commit_plan(&plan("p", &["s"]), now()), Ok(Written::AlreadyThere));
    let error = log.commit_plan(&plan("p", &["s", "t"]), now()).unwrap_err();
    assert_eq!(error.code(), "STEPS_PLAN_CONFLICT");
    assert_eq!(lines(&vfs, "m").len(), 3);
    assert_eq!(status(&vfs, "m", key("p", "s")), "executing", "no step is reset");
}

#[test]
fn what_may_not_follow_is_refused_and_leaves_the_log_as_it_was() {
    let vfs = MemVfs::default();
    let log = log_with(&vfs, "m", &[("s", "pending"), ("d", "completed"), ("r", "needs_review")]);
    let before = bytes(&vfs, &log_path("m")).unwrap();
    let check = |result: Result<Written, StepAppendError>, want: &str| {
        assert_eq!(result.unwrap_err().to_string(), format!("steps: STEPS_REFUSED — {want}"));
    };
    let (s, d, r, now) = (key("p", "s"), key("p", "d"), key("p", "r"), now());
    let done = Completion::default;
    check(log.mark_completed(s, done(), now), "the step s of p is pending, it cannot complete");
    check(log.mark_executing(d, "w", now), "the step d of p is completed, it cannot execute");
    check(log.append_pending(s, "key:other", now), "the step s of p is pending, it cannot append");
    check(log.append_pending(s, "", now), "the step s of p needs idem_key");
    check(log.mark_executing(s, "", now), "the step s of p needs pre_hash");
    check(log.reset_to_pending(r, now), "the step r of p is needs_review, it cannot reset");
    check(log.mark_completed(r, done(), now), "the step r of p needs evidence");
    check(log.mark_executing(key("p", "x"), "w", now), "there is no step x of p");
    check(log.mark_executing(key("x", "s"), "w", now), "no plan x was committed");
    check(log.abandon_plan("p", "", now), "the plan p is abandoned without a reason");
    assert_eq!(log.append_pending(s, "key:s", now), Ok(Written::AlreadyThere));
    assert_eq!(bytes(&vfs, &log_path("m")).unwrap(), before);
    // A human who attests, and one who approves.
    let evidence = Some(json!("seen"));
    log.mark_completed(r, Completion { evidence, ..done() }, now).unwrap();
    log.mark_paused(s, "gate", now).unwrap();
    log.approve(s, "looked", now).unwrap();
    log.mark_executing(s, "w", now).unwrap();
    // An end is an end.
    log.finalize_plan("p", FinalizeStatus::Failed, now).unwrap();
    let ended = Ok(Written::AlreadyThere);
    assert_eq!(log.finalize_plan("p", FinalizeStatus::Failed, now), ended);
    check(log.finalize_plan("p", FinalizeStatus::Succeeded, now), "the plan p has ended");
    check(log.reset_to_pending(s, now), "the plan p has ended");
}

#[test]
fn from_a_crash_to_the_end_of_the_plan() {
    let vfs = MemVfs::default();
    drop(log_with(&vfs, "m", &[("s", "executing")]));
    vfs.process_kill();
    let log = open_log(&vfs, "m").unwrap().log;
    assert_eq!(log.plans_not_finalized().len(), 1);
    let s = key("p", "s");
    let world = World { pre_hash: Some("pre:s"), post_hash: None };
    assert_eq!(verify(&log.step(s).unwrap(), world).kind, VerdictKind::SafeToRetry);
    log.reset_to_pending(s, now()).unwrap();
    log.mark_executing(s, "pre:s", now()).unwrap();
    let done = Completion {
        post_hash: Some("post:s".to_owned()),
        recovered: true,
        ..Completion::default()
    };
    log.mark_completed(s, done, now()).unwrap();
    log.finalize_plan("p", FinalizeStatus::Succeeded, now()).unwrap();
    assert!(log.plans_not_finalized().is_empty());
    let recovered = lines(&vfs, "m").iter().filter(|it| it["recovered"] == true).count();
    assert_eq!(recovered, 1);
}

#[test]
fn sw_zero_no_directory_is_a_clean_start_and_an_empty_one_is_told_once() {
    let vfs = MemVfs::default();
    vfs.create_dir_all(Path::new(STEPS)).unwrap();
    leave(&vfs, Path::new("/file"), b"x");
    let run = |dir: Option<&str>| {
        let mut said = Vec::new();
        let report = recover_from_wal(&vfs, dir.map(Path::new), &how(), &mut |it| said.push(it));
        assert_eq!((report.reset_count, report.files_scanned), (0, 0));
        said
    };
    for dir in [None, Some(""), Some("/missing"), Some("/missing/deeper"), Some("/file")] {
        assert_eq!(run(dir), [], "{dir:?}");
    }
    let told = run(Some(STEPS));
    assert_eq!(told, [RecoveryEvent::Complete { wal_dir: STEPS.into(), reset_count: 0 }]);
    let report = recover_file(&vfs, &log_path("none"), &how(), &mut |it| panic!("{it:?}"));
    assert_eq!((report.reset_count, report.error.is_none()), (0, true));
    assert_eq!(vfs.list(Path::new(STEPS)).unwrap(), [""; 0], "nothing is made");
}

#[test]
fn of_two_steps_that_were_executing_the_one_that_is_done_is_not_reset() {
    let vfs = MemVfs::default();
    drop(log_with(&vfs, "m", &[("a", "completed"), ("b", "executing"), ("c", "unset")]));
    let (report, said) = recover_all(&vfs);
    assert_eq!(report.reset_count, 1);
    assert_eq!(names(&said), ["wal_recovery_reset_step", "wal_recovery_complete"]);
    for (step, want) in [("a", "completed"), ("b", "pending"), ("c", "unset")] {
        assert_eq!(status(&vfs, "m", key("p", step)), want);
    }
}

#[test]
fn every_event_has_a_name_a_severity_and_details() {
    let path = || PathBuf::from("/x");
    let error = || "why".to_owned();
    let check = |event: RecoveryEvent, want: (&str, Severity), details| {
        assert_eq!((event.name(), event.severity()), want);
        assert_eq!(event.details(), details);
    };
    check(
        RecoveryEvent::ResetStep { path: path(), plan_id: "p".into(), step_id: "s".into() },
        ("wal_recovery_reset_step", Severity::Info),
        json!({"path": "/x", "plan_id": "p", "step_id": "s"}),
    );
    check(
        RecoveryEvent::FileFailed { path: path(), error: error() },
        ("wal_recovery_file_failed", Severity::Error),
        json!({"path": "/x", "error": "why"}),
    );
    check(
        RecoveryEvent::Complete { wal_dir: path(), reset_count: 3 },
        ("wal_recovery_complete", Severity::Info),
        json!({"wal_dir": "/x", "reset_count": 3}),
    );
    check(
        RecoveryEvent::TornTail { path: path(), bytes: 7, moved_to: path() },
        ("wal_recovery_torn_tail", Severity::Warn),
        json!({"path": "/x", "bytes": 7, "moved_to": "/x"}),
    );
    check(
        RecoveryEvent::CorruptLine { path: path(), line: 2, error: error() },
        ("wal_recovery_corrupt_line", Severity::Error),
        json!({"path": "/x", "line": 2, "error": "why"}),
    );
}

#[test]
fn an_archive_has_every_byte_and_takes_the_place_of_the_log() {
    let root = tempfile::tempdir().unwrap();
    let disks: [(&dyn Vfs, PathBuf); 2] =
        [(&MemVfs::default(), log_path("m")), (&OsVfs, root.path().join("m.wal.jsonl"))];
    for (vfs, path) in disks {
        let log = StepLog::open(vfs, &path, &how()).unwrap().log;
        log.commit_plan(&plan("p", &["s"]), now()).unwrap();
        let how = how();
        let busy = archive(vfs, &path, None, Unfinalized::Refuse, &how).unwrap_err();
        assert_eq!(busy.code(), "STEPS_LOCKED");
        log.close();
        let open = archive(vfs, &path, None, Unfinalized::Refuse, &how).unwrap_err();
        assert!(matches!(&open, ArchiveStepsError::NotFinalized { plan_id, .. } if plan_id == "p"));
        let before = bytes(vfs, &path).unwrap();
        let packed = archive(vfs, &path, None, Unfinalized::Force, &how).unwrap();
        assert_eq!(packed.to_str(), Some(&*format!("{}.gz", path.display())));
        let dir = path.parent().unwrap();
        assert_eq!(vfs.list(dir).unwrap(), ["m.wal.jsonl.gz"], "not even the lock is left");
        assert_eq!(unpack(&bytes(vfs, &packed).unwrap()), before);
        let gone = archive(vfs, &path, None, Unfinalized::Force, &how).unwrap_err();
        assert_eq!(gone.code(), "STEPS_NOT_FOUND");
        // The next log of the mandate does not overwrite it.
        drop(StepLog::open(vfs, &path, &how).unwrap());
        let taken = archive(vfs, &path, None, Unfinalized::Refuse, &how).unwrap_err();
        assert_eq!(taken.code(), "STEPS_ARCHIVE_EXISTS");
        assert!(vfs.stat(&path).unwrap().is_some());
        let to = dir.join("old/m.gz");
        assert_eq!(archive(vfs, &path, Some(&to), Unfinalized::Refuse, &how).unwrap(), to);
    }
}

fn unpack(packed: &[u8]) -> Vec<u8> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_newer_log_is_not_written_and_a_corrupt_one_is_skipped_only_when_asked() {
    let vfs = MemVfs::default();
    leave(&vfs, &log_path("n"), b"{\"op\":\"lease\",\"v\":2,\"seq\":1}\n");
    let error = open_log(&vfs, "n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "steps: STEPS_NEWER — /steps/n.wal.jsonl has v=2, this program writes v=1"
    );
    drop(log_with(&vfs, "m", &[("s", "executing")]));
    let mut file = bytes(&vfs, &log_path("m")).unwrap();
    let at = file.iter().position(|it| *it == b'\n').unwrap() + 1;
    file.splice(at..at, *b"oops\n");
    leave(&vfs, &log_path("m"), &file);
    let (report, said) = recover_all(&vfs);
    assert_eq!((report.reset_count, report.files_failed.len()), (0, 2));
    assert!(report.per_file[0].isolated && !report.per_file[1].isolated);
    assert_eq!(report.per_file[0].mandate_id.as_deref(), Some("m"));
    let failed = "wal_recovery_file_failed";
    assert_eq!(
        names(&said),
        ["wal_recovery_corrupt_line", failed, failed, "wal_recovery_complete"]
    );
    assert_eq!(bytes(&vfs, &log_path("m")).unwrap(), file, "nothing in it is changed");
    let lenient = StepOpening { damage: DamagePolicy::Skip, ..how() };
    let (report, _) = recover_with(&vfs, &lenient);
    assert_eq!(report.reset_count, 1);
    assert_eq!(recover_with(&vfs, &lenient).0.reset_count, 0);
}

#[test]
fn an_orphan_never_begins_and_can_only_be_abandoned() {
    let vfs = MemVfs::default();
    let append = b"{\"op\":\"append\",\"step_id\":\"s\",\"plan_id\":\"p\",\"idem_key\":\"k\",\"status\":\"pending\"}\n";
    leave(&vfs, &log_path("m"), append);
    let log = open_log(&vfs, "m").unwrap().log;
    let refused = log.mark_executing(key("p", "s"), "w", now()).unwrap_err();
    assert!(matches!(refused, StepAppendError::Refused(Refusal::Orphan { .. })), "{refused}");
    let refused = log.finalize_plan("p", FinalizeStatus::Succeeded, now()).unwrap_err();
    assert!(matches!(refused, StepAppendError::Refused(Refusal::OrphanPlan { .. })), "{refused}");
    log.mark_needs_review(key("p", "s"), "no commit", None, now()).unwrap();
    log.abandon_plan("p", "no commit", now()).unwrap();
}
