//! Goals under `autonomy goal`: the drills, each with its fault and without, kills, and many writers.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, process::Stdio, thread, time::Instant};

use e2e::{
    harness::{Bin, eventually, run_to_end},
    stories::{
        goals::Lab,
        packs::{all_are_held, holds, named},
    },
};
use serde_json::Value;

#[test]
fn the_end_of_a_session_pauses_and_the_next_is_told() {
    holds("FM-1").unwrap();
}

#[test]
fn what_a_killed_process_left_is_cleared() {
    holds("FM-2").unwrap();
}

#[test]
fn an_interrupted_loop_keeps_what_its_attempts_said() {
    holds("FM-3").unwrap();
}

#[test]
fn a_tentacle_that_never_began_is_named() {
    holds("FM-4").unwrap();
}

#[test]
fn a_quota_makes_a_tentacle_wait() {
    holds("FM-5").unwrap();
}

#[test]
fn the_same_failure_three_times_ends_the_loop() {
    holds("FM-6").unwrap();
}

#[test]
fn a_spent_budget_asks_for_a_human() {
    holds("FM-7").unwrap();
}

#[test]
fn a_loop_goes_on_while_one_failure_changes() {
    holds("FM-8").unwrap();
}

#[test]
fn a_stalled_loop_does_not_reopen_a_completed_goal() {
    holds("FM-9").unwrap();
}

#[test]
fn a_pending_gate_stops_an_eval() {
    holds("G-gate").unwrap();
}

#[test]
fn going_back_makes_work_idle() {
    holds("G-rewind").unwrap();
}

#[test]
fn every_drill_of_the_pack_is_a_test_here() {
    all_are_held(named("fm"), include_str!("goals.rs")).unwrap();
}

/// Runs a command once to its end and then as often as asked, each time killed at another moment of its life.
/// Returns how many ended before they were killed.
fn killed_everywhere(lab: &Lab, words: &[&str], rounds: u32, mut check: impl FnMut(bool)) -> u32 {
    let began = Instant::now();
    lab.run(words).unwrap();
    let whole = began.elapsed();
    let mut ended = 0;
    for round in 0..rounds {
        let mut command = lab.command(words).unwrap();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The moment is the fault, not a way to wait for anything.
        let until = Instant::now() + whole * round / rounds;
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            thread::yield_now();
        }
        child.kill().unwrap();
        let success = child.wait().unwrap().success();
        ended += u32::from(success);
        check(success);
    }
    ended
}

/// FM-2e: whatever moment an eval is killed at, the goal is the old one or the new, and the next eval works.
#[test]
fn two_hundred_kills_of_evals_leave_a_whole_goal_and_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::with_goal(dir.path(), &[]).unwrap();
    let mut before = 2;
    let mut changed = 0;
    let answered = killed_everywhere(&lab, &["goal", "eval"], 200, |success| {
        let after = lab.iteration().unwrap();
        assert!(after == before || after == before + 1, "{before} then {after}");
        assert!(!success || after == before + 1, "what was answered is there");
        changed += after - before;
        before = after;
    });
    assert!(answered < 200, "no eval was killed");
    assert!(changed > 0, "no eval came to its end: the kills were all too early");
    lab.done(&["goal", "status"]).unwrap();
    lab.done(&["goal", "eval"]).unwrap();
    assert_eq!(lab.iteration().unwrap(), before + 1);
    assert!(!lab.state("goal.json.lock").exists());
}

/// FM-3: whatever moment a loop is killed at, each attempt that is written is whole, and the next loop works.
#[test]
fn two_hundred_kills_of_loops_leave_whole_attempts() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::with_goal(dir.path(), &[]).unwrap();
    lab.done(&["goal", "criteria", "add", "--desc", "x", "--verify-cmd", "echo said; exit 1"])
        .unwrap();
    let words = ["goal", "verify-loop", "--retry-delay", "0"];
    let mut before = 3;
    killed_everywhere(&lab, &words, 200, |_| {
        let goal = lab.goal().unwrap();
        let attempts = lab.history("verify_loop_history").unwrap();
        assert!(
            (before..=before + 3).contains(&attempts.len()),
            "{before} then {}",
            attempts.len()
        );
        for (place, it) in attempts.iter().skip(before).enumerate() {
            assert_eq!(it["attempt"], place + 1, "{it}");
            assert_eq!(it["results"][0]["exit_code"], 1, "{it}");
        }
        assert_eq!(goal["status"], "active");
        before = attempts.len();
    });
    assert!(before > 3, "no attempt was written: the kills were all too early");
    lab.refused(&words).unwrap();
    assert_eq!(lab.count("verify_loop_history").unwrap(), before + 3);
}

#[test]
fn dispatched_work_ends_as_it_says_and_a_quota_waits() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::with_goal(dir.path(), &[]).unwrap();
    for name in ["says", "silent", "limited", "breaks"] {
        lab.linked(name).unwrap();
    }
    let plan = lab.json(&["goal", "dispatch"]).unwrap();
    assert_eq!(
        (plan["selected"].as_array().unwrap().len(), &plan["eval_blocking_count"]),
        (4, &4.into())
    );
    let command = "case $AUTONOMY_TENTACLE in \
        says) autonomy tentacle handoff says 'too much' --status TOO_BIG;; silent) cat;; \
        limited) echo 'HTTP 429 too many requests' >&2; exit 1;; breaks) exit 3;; esac";
    let mut run = lab.command(&["goal", "dispatch", "--cmd", command, "--format", "json"]).unwrap();
    let programs = Bin::Autonomy.path().unwrap();
    run.env("PATH", format!("{}:/usr/bin:/bin", programs.parent().unwrap().display()));
    let done = run_to_end(&mut run).unwrap();
    assert_eq!(done.code(), Some(9), "{done:?}");
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    let sent: Vec<_> =
        told["sent"].as_array().unwrap().iter().map(|it| it["status"].clone()).collect();
    assert_eq!(sent, ["AMBIGUOUS", "BLOCKED", "TOO_BIG", "DONE"], "in the order of the names");
    let eval = lab.json(&["goal", "eval"]).unwrap();
    assert_eq!(eval["retry_blocked"][0]["tentacle"], "limited");
    assert!(!dir.path().join(".copilot/markers/dispatched-subagent-active").exists());
    lab.done(&["goal", "resume", "--reset-failed", "--from-iteration", "1"]).unwrap();
    let plan = lab.json(&["goal", "dispatch"]).unwrap();
    assert_eq!(plan["selected"].as_array().unwrap().len(), 4, "{plan}");
}

/// FM-2, FM-4: whatever moment a dispatch is killed at, no work runs twice at a time, and the next one finishes it.
#[test]
fn two_hundred_kills_of_dispatches_never_run_work_twice_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::with_goal(dir.path(), &[]).unwrap();
    lab.linked("t").unwrap();
    // Whoever finds the directory there runs beside somebody else.
    let command = "mkdir busy || { echo twice >> twice; exit 1; }; echo ran >> ran; rmdir busy";
    let words = ["goal", "dispatch", "--cmd", command];
    killed_everywhere(&lab, &words, 200, |_| {
        assert!(!dir.path().join("twice").exists());
        let state = lab.goal().unwrap()["status"].clone();
        assert_eq!(state, "active");
        // What a killed dispatch sent out ends by itself; then its marker is dead.
        let markers = dir.path().join(".copilot/markers/dispatched-subagent-active");
        eventually("the work that was sent out ends", || {
            let plan = lab.json(&["goal", "dispatch", "--resend", "--dry-run"]).unwrap();
            let busy = plan["deferred"].as_array().is_some_and(|it| !it.is_empty());
            (!busy).then_some(())
        })
        .unwrap();
        assert!(!dir.path().join("busy").exists(), "{}", markers.display());
        lab.done(&["goal", "resume", "--from-iteration", "1"]).unwrap();
    });
    assert!(fs::read_to_string(dir.path().join("ran")).unwrap().lines().count() > 1);
    let done = lab.run(&words).unwrap();
    assert_eq!(done.code(), Some(0), "{done:?}");
    assert_eq!(lab.meta("t").unwrap()["terminal_status"], "DONE");
}

#[test]
fn of_fifty_writers_at_once_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::with_goal(dir.path(), &[]).unwrap();
    let children: Vec<_> = (0..50)
        .map(|it| {
            lab.command(&["goal", "gate", "add", &format!("G{it}")]).unwrap().spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(lab.count("gates").unwrap(), 50);
    assert_eq!(lab.goal().unwrap()["seq"], 51);
    assert!(!lab.state("goal.json.lock").exists());
}

#[test]
fn who_lost_an_answer_asks_again_and_nothing_happens_twice() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::with_goal(dir.path(), &[]).unwrap();
    let status = lab.json(&["goal", "status"]).unwrap();
    assert_eq!(status["next_move"]["command"], "autonomy tentacle create NAME --todo TEXT");
    let anchor = status["anchor"].as_str().unwrap().to_owned();
    let first = lab.json(&["goal", "eval", "--if-anchor", &anchor]).unwrap();
    let again = lab.json(&["goal", "eval", "--if-anchor", &anchor]).unwrap();
    assert_eq!((&first["replayed"], &again["replayed"]), (&Value::from(false), &Value::from(true)));
    assert_eq!((&first["outcome"], &first["anchor"]), (&again["outcome"], &again["anchor"]));
    assert_eq!(lab.iteration().unwrap(), 2);
    let said = lab.refused(&["goal", "eval", "--if-anchor", "9:active:9"]).unwrap();
    assert!(said.contains("GOAL_ANCHOR_STALE"), "{said}");
}

#[test]
fn nothing_is_done_outside_of_a_repository_or_with_a_bad_name() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::with_goal(dir.path(), &[]).unwrap();
    for name in ["../x", "a/b", "..", ".hidden", ""] {
        let said = lab.refused(&["tentacle", "create", name]).unwrap();
        assert!(said.contains("GOAL_TENTACLE_NAME"), "{said}");
    }
    let bad =
        lab.run(&["goal", "create", "--force", "--criterion", "{}", "--format", "json"]).unwrap();
    let told: Value = serde_json::from_str(&bad.stdout).unwrap();
    assert_eq!((bad.code(), &told["error"]["code"]), (Some(1), &"GOAL_CRITERION_EMPTY".into()));
    fs::remove_dir(dir.path().join(".git")).unwrap();
    assert!(lab.refused(&["goal", "status"]).unwrap().contains("GOAL_NO_PLACE"));
    let state = dir.path().join(".octogent");
    let said = lab.json(&["goal", "status", "--state-dir", state.to_str().unwrap()]).unwrap();
    assert_eq!(said["title"], "Ship v2");
    let empty = dir.path().join("empty");
    let said = lab.json(&["tentacle", "goal", "status", "--state-dir", empty.to_str().unwrap()]);
    assert_eq!(said.unwrap(), serde_json::json!({ "goal": null }));
}
