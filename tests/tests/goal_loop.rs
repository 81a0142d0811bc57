//! `autonomy goal loop`, `context` and `coverage`: iterations by themselves, until the criteria or a limit end them.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, process::Stdio};

use e2e::{
    harness::{Process, eventually, run_to_end},
    stories::goals::Lab,
};
use serde_json::Value;

/// Counts its runs in a file, and says DONE.
const WORK: &str = "echo $AUTONOMY_TENTACLE >> worked";

fn lab(dir: &tempfile::TempDir, options: &[&str]) -> Lab {
    Lab::with_goal(dir.path(), options).unwrap()
}

fn criterion(lab: &Lab, command: &str) {
    lab.done(&["goal", "criteria", "add", "--desc", "c", "--verify-cmd", command]).unwrap();
}

/// Runs a loop; its exit code and its one JSON document.
fn looped(lab: &Lab, words: &[&str]) -> (i32, Value) {
    let ended = lab.run(&[&["goal", "loop", "--format", "json"], words].concat()).unwrap();
    let value = serde_json::from_str(&ended.stdout).unwrap();
    (ended.code().unwrap(), value)
}

fn lines(lab: &Lab, name: &str) -> usize {
    fs::read_to_string(lab.root().join(name)).unwrap_or_default().lines().count()
}

#[test]
fn a_loop_sends_out_waits_verifies_and_goes_on_until_the_criteria_are_met() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir, &["--max-iterations", "5"]);
    criterion(&lab, "echo x >> tries; [ $(wc -l < tries) -ge 3 ]");
    lab.linked("a").unwrap();
    lab.done(&["tentacle", "create", "b", "--depends-on", "a"]).unwrap();
    lab.done(&["goal", "link", "b"]).unwrap();
    let (code, said) = looped(&lab, &["--cmd", WORK]);
    assert_eq!((code, &said["outcome"]), (0, &"completed".into()), "{said}");
    assert_eq!(
        fs::read_to_string(lab.root().join("worked")).unwrap(),
        "a\nb\n",
        "each once, in order"
    );
    let rounds = said["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 3, "{said}");
    assert_eq!(rounds[0]["outcome"], "advanced");
    assert_eq!(rounds[2]["outcome"], "completed");
    assert_eq!(
        (lab.text("status").unwrap(), lab.iteration().unwrap()),
        ("completed".to_owned(), 3)
    );
    let goal = lab.goal().unwrap();
    assert_eq!(goal["eval_history"][0]["source"], "goal-loop");
    assert_eq!(goal["success_criteria"][0]["status"], "verified");
    let context = fs::read_to_string(lab.state("goal-context.md")).unwrap();
    assert!(context.starts_with("# Ship v2\n"), "{context}");
    assert!(lab.refused(&["goal", "loop", "--cmd", WORK]).unwrap().contains("GOAL_STATUS"));
}

#[test]
fn a_loop_without_any_end_or_without_work_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir, &["--max-tentacles", "9"]);
    let before = lab.goal().unwrap();
    let said = lab.refused(&["goal", "loop", "--cmd", WORK]).unwrap();
    assert!(said.contains("GOAL_LOOP_UNBOUNDED") && said.contains("--max-iterations"), "{said}");
    let said = lab.refused(&["goal", "loop", "--max-iterations", "2"]).unwrap();
    assert!(said.contains("GOAL_LOOP_NO_COMMAND"), "{said}");
    assert_eq!(lab.goal().unwrap(), before);
    lab.done(&["session", "end"]).unwrap();
    let paused = lab.refused(&["goal", "loop", "--cmd", WORK, "--max-iterations", "2"]).unwrap();
    assert!(paused.contains("GOAL_STATUS") && paused.contains("autonomy goal resume"), "{paused}");
    assert_eq!(lines(&lab, "worked"), 0);
}

#[test]
fn each_limit_of_a_loop_makes_the_goal_budget_limited_with_its_reason_and_resume_goes_on() {
    for (options, words, reason, rounds) in [
        (&[][..], &["--max-iterations", "2"][..], "max_rounds", 2),
        (&["--max-iterations", "2"], &[], "last_iteration_failed", 2),
        (&["--max-tentacles", "1"], &["--max-iterations", "9"], "over_budget:tentacles", 0),
        (&[], &["--max-iterations", "2", "--poll-timeout", "0"], "poll_timeout", 1),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let lab = lab(&dir, options);
        criterion(&lab, "false");
        if reason.starts_with("over") {
            lab.linked("a").unwrap();
            lab.linked("b").unwrap();
        }
        if reason == "poll_timeout" {
            lab.linked("theirs").unwrap();
        }
        let work: &[&str] =
            if reason == "poll_timeout" { &["--no-auto-dispatch"] } else { &["--cmd", WORK] };
        let (code, said) = looped(&lab, &[words, work].concat());
        assert_eq!((code, &said["reason"]), (1, &reason.into()), "{said}");
        assert_eq!(said["rounds"].as_array().unwrap().len(), rounds, "{said}");
        let goal = lab.goal().unwrap();
        assert_eq!(
            (&goal["status"], &goal["budget_limited_reason"]),
            (&"budget_limited".into(), &reason.into())
        );
        let last = goal["eval_history"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["decision"], &last["notes"]), (&"budget_limited".into(), &reason.into()));
        lab.done(&["goal", "resume"]).unwrap();
        assert_eq!(lab.text("status").unwrap(), "active");
    }
}

#[test]
fn a_gate_stops_a_loop_before_its_work_and_the_approval_lets_it_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir, &["--max-iterations", "3"]);
    criterion(&lab, "true");
    lab.done(&["goal", "gate", "add", "review"]).unwrap();
    let (code, said) = looped(&lab, &["--cmd", WORK, "--strict-exit"]);
    assert_eq!((code, &said["outcome"], &said["reason"]), (11, &"gate".into(), &"review".into()));
    assert_eq!(lab.text("status").unwrap(), "awaiting-gate");
    lab.done(&["goal", "gate", "approve", "review"]).unwrap();
    assert_eq!(looped(&lab, &["--cmd", WORK]).0, 0);
}

#[test]
fn what_is_linked_meanwhile_goes_out_and_what_a_quota_blocked_goes_again_when_its_time_has_come() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir, &["--max-iterations", "3"]);
    criterion(&lab, "[ $(wc -l < worked) = 3 ]");
    lab.linked("t").unwrap();
    let first = "echo x >> worked; [ -e again ] || { touch again; autonomy tentacle create u && \
                 autonomy goal link u; autonomy tentacle handoff t 'HTTP 429' \
                 --status BLOCKED --retry-hint 'retry after 1 seconds'; exit 1; }";
    let path = format!(
        "{}:{}",
        e2e::harness::Bin::Autonomy.path().unwrap().parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let words = ["goal", "loop", "--format", "json", "--poll-interval", "1", "--cmd", first];
    let ended = run_to_end(lab.command(&words).unwrap().env("PATH", path)).unwrap();
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code(), &said["outcome"]), (Some(0), &"completed".into()), "{ended:?}");
    let sent = said["rounds"][0]["sent"].as_array().unwrap();
    let words: Vec<&Value> = sent.iter().map(|it| &it["status"]).collect();
    assert_eq!(
        words,
        ["BLOCKED", "DONE", "DONE"],
        "what was linked meanwhile goes out, too: {said}"
    );
    let queue: Value =
        serde_json::from_slice(&fs::read(lab.state("retry-queue.json")).unwrap()).unwrap();
    assert_eq!(queue["entries"].as_array().unwrap().len(), 0, "{queue}");
}

#[test]
fn a_session_that_ends_under_a_loop_ends_the_loop_and_the_goal_stays_paused() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir, &["--max-iterations", "3"]);
    criterion(&lab, "true");
    lab.linked("t").unwrap();
    let words = ["goal", "loop", "--cmd", "mkfifo hold; cat hold"];
    let mut command = lab.command(&words).unwrap();
    let mut running = Process::start("loop", command.stdout(Stdio::null())).unwrap();
    eventually("the work", || lab.root().join("hold").exists().then_some(())).unwrap();
    lab.done(&["session", "end"]).unwrap();
    fs::write(lab.root().join("hold"), "").unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(1));
    assert_eq!((lab.text("status").unwrap(), lab.iteration().unwrap()), ("paused".to_owned(), 1));
}

/// Kills at random moments; what a loop does is done once, and a new loop ends it.
#[test]
fn fifty_kills_of_a_loop_send_no_iteration_twice_and_lose_no_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir, &["--max-iterations", "100000"]);
    criterion(&lab, "echo x >> tries; [ $(wc -l < tries) -ge 400 ]");
    let mut kills = 0;
    for round in 0_u64..50 {
        let words = ["goal", "loop", "--no-auto-dispatch"];
        let mut command = lab.command(&words).unwrap();
        let before = lines(&lab, "tries");
        let running =
            Process::start("loop", command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
        eventually("a few iterations", || {
            (lines(&lab, "tries") as u64 >= before as u64 + round % 5).then_some(())
        })
        .unwrap();
        running.kill().unwrap();
        kills += 1;
        let goal = lab.goal().unwrap();
        let iteration = goal["iteration"].as_u64().unwrap();
        let advanced = lab.count("eval_history").unwrap() as u64;
        assert_eq!(advanced, iteration - 1, "each iteration has one entry");
        assert!(iteration <= lines(&lab, "tries") as u64 + 1, "none without a verdict");
    }
    assert_eq!(kills, 50);
    fs::write(lab.root().join("tries"), "x\n".repeat(400)).unwrap();
    assert_eq!(looped(&lab, &["--no-auto-dispatch"]).0, 0);
    assert_eq!(lab.text("status").unwrap(), "completed");
}

#[test]
fn what_ended_before_a_reset_ends_nothing_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir, &[]);
    lab.linked("t").unwrap();
    lab.done(&["tentacle", "handoff", "t", "done", "--status", "DONE"]).unwrap();
    lab.done(&["tentacle", "complete", "t"]).unwrap();
    lab.done(&["goal", "eval"]).unwrap();
    lab.done(&["goal", "resume", "--from-iteration", "1"]).unwrap();
    assert!(lab.refused(&["tentacle", "complete", "t"]).unwrap().contains("GOAL_NO_HANDOFF"));
    lab.done(&["tentacle", "handoff", "t", "again", "--status", "DONE"]).unwrap();
    lab.done(&["tentacle", "complete", "t"]).unwrap();
    lab.done(&["goal", "eval"]).unwrap();
}

#[test]
fn files_that_lie_where_a_tentacle_begins_are_kept_and_are_no_word_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir, &[]);
    let notes = lab.state("tentacles/t");
    fs::create_dir_all(&notes).unwrap();
    fs::write(notes.join("todo.md"), "mine").unwrap();
    fs::write(notes.join("handoff.md"), "## [2026-01-01 00:00 UTC]\nSTATUS: DONE\n").unwrap();
    let said = lab.refused(&["tentacle", "create", "t"]).unwrap();
    assert!(said.contains("GOAL_FILE_EXISTS") && said.contains("todo.md"), "{said}");
    assert_eq!(fs::read_to_string(notes.join("todo.md")).unwrap(), "mine");
    fs::remove_file(notes.join("todo.md")).unwrap();
    lab.linked("t").unwrap();
    assert!(lab.refused(&["tentacle", "complete", "t"]).unwrap().contains("GOAL_NO_HANDOFF"));
}

#[test]
fn coverage_and_context_tell_a_stranger_what_was_done_and_what_is_next() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir, &["--desc", "make it work"]);
    criterion(&lab, "true");
    criterion(&lab, "false");
    lab.linked("t").unwrap();
    let said =
        ["tentacle", "handoff", "t", "it works\n# not a heading", "--status", "DONE", "--bridge"];
    lab.done(&[&said[..], &["sc-1", "--changed-file", "a.rs"]].concat()).unwrap();
    let open = lab.json(&["goal", "coverage"]).unwrap();
    assert_eq!(open["covered"], 0, "work that is not completed covers nothing: {open}");
    lab.done(&["tentacle", "complete", "t"]).unwrap();
    let found = lab.json(&["goal", "coverage"]).unwrap();
    assert_eq!((&found["covered"], &found["total"]), (&1.into(), &2.into()), "{found}");
    assert_eq!(found["uncovered"], serde_json::json!(["sc-2"]));
    let text = lab.done(&["goal", "context"]).unwrap();
    for part in [
        "> make it work",
        "### t (DONE",
        "> it works",
        "> # not a heading",
        "changed: a.rs",
        "next: `autonomy goal",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!lab.state("goal-context.md").exists());
    lab.done(&["goal", "context", "--write"]).unwrap();
    assert!(fs::read_to_string(lab.state("goal-context.md")).unwrap().contains("> it works"));
}
