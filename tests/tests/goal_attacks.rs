//! What somebody tries who wants a goal to lie, to lose, or to do work twice.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, process::Stdio};

use e2e::{
    harness::{Bin, Process, eventually},
    stories::goals::Lab,
};
use serde_json::{Value, json};

fn lab(dir: &tempfile::TempDir) -> Lab {
    Lab::with_goal(dir.path(), &["--max-iterations", "9"]).unwrap()
}

fn with_program(lab: &Lab, words: &[&str]) -> std::process::Command {
    let mut command = lab.command(words).unwrap();
    let programs = Bin::Autonomy.path().unwrap();
    command.env("PATH", format!("{}:/usr/bin:/bin", programs.parent().unwrap().display()));
    command
}

fn runs(lab: &Lab) -> usize {
    fs::read_to_string(lab.root().join("runs")).unwrap_or_default().lines().count()
}

/// Puts a value into `goal.json`, as another program does.
fn put(lab: &Lab, key: &str, value: &Value) {
    let mut goal = lab.goal().unwrap();
    goal.as_object_mut().unwrap().insert(key.to_owned(), value.clone());
    fs::write(lab.state("goal.json"), serde_json::to_string_pretty(&goal).unwrap()).unwrap();
}

#[test]
fn several_dispatches_at_once_send_each_tentacle_out_once() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    for name in ["a", "b", "c"] {
        lab.linked(name).unwrap();
    }
    let work = "echo $AUTONOMY_TENTACLE >> runs; while [ ! -e go ]; do sleep 0.05; done";
    let words = ["goal", "dispatch", "--cmd", work];
    let all: Vec<Process> = (0..4)
        .map(|_| {
            Process::start("dispatch", lab.command(&words).unwrap().stdout(Stdio::null())).unwrap()
        })
        .collect();
    eventually("the work of all", || (runs(&lab) >= 3).then_some(())).unwrap();
    fs::write(dir.path().join("go"), "").unwrap();
    let codes: Vec<_> = all.into_iter().map(|mut it| it.wait().unwrap().code()).collect();
    assert_eq!(runs(&lab), 3, "{codes:?}");
    for name in ["a", "b", "c"] {
        assert_eq!(lab.meta(name).unwrap()["terminal_status"], "DONE");
    }
}

#[test]
fn work_whose_end_nobody_saw_waits_for_somebody_and_one_that_spoke_is_taken_at_its_word() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    lab.linked("silent").unwrap();
    lab.linked("speaks").unwrap();
    let work = "echo $AUTONOMY_TENTACLE >> runs; while [ ! -e go ]; do sleep 0.05; done; \
                [ $AUTONOMY_TENTACLE = silent ] || autonomy tentacle handoff speaks done --status DONE; \
                echo $AUTONOMY_TENTACLE >> ends";
    let words = ["goal", "loop", "--poll-interval", "1", "--poll-timeout", "1", "--cmd", work];
    let running = Process::start("loop", with_program(&lab, &words).stdout(Stdio::null())).unwrap();
    eventually("the work", || (runs(&lab) == 2).then_some(())).unwrap();
    running.kill().unwrap();
    fs::write(dir.path().join("go"), "").unwrap();
    let ended = || fs::read_to_string(dir.path().join("ends")).unwrap_or_default();
    eventually("its end", || (ended().lines().count() == 2).then_some(())).unwrap();
    let said = with_program(&lab, &[&words[..], &["--format", "json"]].concat()).output().unwrap();
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(said["reason"], "poll_timeout", "{said}");
    assert_eq!(runs(&lab), 2, "nothing ran again");
    assert_eq!(lab.meta("speaks").unwrap()["terminal_status"], "DONE");
    lab.done(&["goal", "resume"]).unwrap();
    let plan = lab.json(&["goal", "dispatch", "--dry-run"]).unwrap();
    assert!(plan["deferred"][0]["reason"].as_str().unwrap().contains("--resend"), "{plan}");
    lab.done(&["goal", "dispatch", "--resend", "--cmd", "echo again >> runs"]).unwrap();
    assert_eq!(runs(&lab), 3);
}

#[test]
fn only_what_a_tentacle_says_since_it_began_is_its_word() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    lab.linked("t").unwrap();
    lab.done(&["tentacle", "handoff", "t", "earlier", "--status", "DONE"]).unwrap();
    let work = "autonomy tentacle handoff t trying; exit 1";
    let words = ["goal", "dispatch", "--format", "json", "--cmd", work];
    let ended = with_program(&lab, &words).output().unwrap();
    assert_eq!(ended.status.code(), Some(9), "{ended:?}");
    let said: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(said["sent"][0]["status"], "AMBIGUOUS", "{said}");
}

#[test]
fn what_others_wrote_stays_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    lab.linked("t").unwrap();
    let path = lab.state("tentacles/t/handoff.md");
    fs::write(&path, b"note \xff\xfe\n").unwrap();
    lab.done(&["tentacle", "handoff", "t", "hi"]).unwrap();
    assert!(fs::read(&path).unwrap().starts_with(b"note \xff\xfe\n"));
    for key in ["eval_history", "verify_loop_history"] {
        let before = fs::read(lab.state("goal.json")).unwrap();
        put(&lab, key, &json!({ "2025": "precious" }));
        let odd = fs::read(lab.state("goal.json")).unwrap();
        assert!(
            lab.refused(&["goal", "eval", "--decision", "pause"]).unwrap().contains("GOAL_CORRUPT")
        );
        assert_eq!(fs::read(lab.state("goal.json")).unwrap(), odd);
        fs::write(lab.state("goal.json"), before).unwrap();
    }
}

#[test]
fn nothing_is_written_that_could_not_be_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    lab.linked("t").unwrap();
    let path = lab.state("tentacles/t/handoff.md");
    fs::write(&path, "x".repeat((4 << 20) - 10)).unwrap();
    let said = lab.refused(&["tentacle", "handoff", "t", "too much", "--status", "DONE"]).unwrap();
    assert!(said.contains("GOAL_FILE_FULL"), "{said}");
    assert_eq!(fs::metadata(&path).unwrap().len(), (4 << 20) - 10);
    lab.done(&["tentacle", "status"]).unwrap();
}

#[test]
fn what_was_found_out_about_one_goal_is_not_written_into_another() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    let old = lab.json(&["goal", "status"]).unwrap()["anchor"].as_str().unwrap().to_owned();
    let slow = "touch began; while [ ! -e go ]; do sleep 0.05; done";
    lab.done(&["goal", "criteria", "add", "--desc", "x", "--verify-cmd", slow]).unwrap();
    let words = ["goal", "criteria", "check"];
    let mut running =
        Process::start("check", lab.command(&words).unwrap().stdout(Stdio::null())).unwrap();
    eventually("the command", || dir.path().join("began").exists().then_some(())).unwrap();
    let criterion = r#"{"description": "x", "verification_command": "false"}"#;
    lab.done(&["goal", "create", "--force", "--title", "two", "--criterion", criterion]).unwrap();
    fs::write(dir.path().join("go"), "").unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(1));
    assert!(running.output().contains("GOAL_REPLACED"), "{}", running.output());
    assert_eq!(lab.goal().unwrap()["success_criteria"][0]["status"], "unverified");
    let eval = ["goal", "eval", "--decision", "complete", "--if-anchor", &old];
    assert!(lab.refused(&eval).unwrap().contains("GOAL_ANCHOR_STALE"));
}

#[test]
fn the_largest_iteration_is_no_crash() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::with_goal(dir.path(), &[]).unwrap();
    put(&lab, "iteration", &json!(u64::MAX));
    lab.done(&["goal", "eval"]).unwrap();
    assert_eq!(lab.iteration().unwrap(), u64::MAX);
}

fn signal(process: &Process, name: &str) {
    let pid = process.id().to_string();
    assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// D3
#[test]
fn the_late_end_of_work_is_not_taken_for_the_end_of_what_was_begun_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    lab.linked("a").unwrap();
    let work = |go: &str, code: u8| {
        format!(
            "echo $$ >> runs; while [ ! -e {go} ]; do sleep 0.05; done; echo {go} >> ends; exit {code}"
        )
    };
    let start = |words: &[&str]| {
        let mut command = lab.command(words).unwrap();
        Process::start("dispatch", command.stdout(Stdio::null())).unwrap()
    };
    let mut first = start(&["goal", "dispatch", "--cmd", &work("go1", 0)]);
    eventually("the first work", || (runs(&lab) == 1).then_some(())).unwrap();
    signal(&first, "-STOP");
    fs::write(dir.path().join("go1"), "").unwrap();
    let shell = fs::read_to_string(lab.root().join("runs")).unwrap();
    let seen = format!("/proc/{}/stat", shell.trim());
    // It has ended, and nobody has asked how.
    let over = || fs::read_to_string(&seen).unwrap().contains(") Z ").then_some(());
    eventually("its end", over).unwrap();

    let mut second = start(&["goal", "dispatch", "--resend", "--cmd", &work("go2", 1)]);
    eventually("the second work", || (runs(&lab) == 2).then_some(())).unwrap();
    signal(&first, "-CONT");
    assert_eq!(first.wait().unwrap().code(), Some(6), "{}", first.output());
    assert!(first.output().contains("GOAL_TAKEN_OVER"), "{}", first.output());
    assert_eq!(lab.meta("a").unwrap().get("terminal_status"), None);
    fs::write(dir.path().join("go2"), "").unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(9), "{}", second.output());
    assert_eq!(lab.meta("a").unwrap()["terminal_status"], "AMBIGUOUS");
}

/// M7
#[test]
fn work_whose_leader_is_gone_and_whose_group_goes_on_is_not_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    lab.linked("a").unwrap();
    let work =
        "(echo $AUTONOMY_TENTACLE >> runs; while [ ! -e go ]; do sleep 0.05; done; echo x > end) &";
    let words = [
        "goal",
        "dispatch",
        "--cmd",
        &format!("{work} echo $$ > leader; while [ ! -e gone ]; do sleep 0.05; done"),
    ];
    let mut command = lab.command(&words).unwrap();
    let running = Process::start("dispatch", command.stdout(Stdio::null())).unwrap();
    eventually("the work", || (runs(&lab) == 1).then_some(())).unwrap();
    let leader =
        || fs::read_to_string(lab.root().join("leader")).ok().filter(|it| it.ends_with('\n'));
    let leader = eventually("its leader", leader).unwrap();
    running.kill().unwrap();
    fs::write(dir.path().join("gone"), "").unwrap();
    let gone =
        || (!std::path::Path::new(&format!("/proc/{}", leader.trim())).exists()).then_some(());
    eventually("the end of the leader", gone).unwrap();
    let words = ["goal", "dispatch", "--resend", "--cmd", work, "--format", "json"];
    let said = lab.command(&words).unwrap().output().unwrap();
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(said["deferred"][0]["reason"], "somebody works on it", "{said}");
    fs::write(dir.path().join("go"), "").unwrap();
    eventually("the end of the work", || lab.root().join("end").exists().then_some(())).unwrap();
    assert_eq!(runs(&lab), 1);
}

/// What was not begun is not written down as work, and is not silent either.
#[test]
fn a_command_that_the_system_does_not_start_is_said_and_leaves_its_tentacle_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    lab.linked("a").unwrap();
    // Longer than an argument of a program may be; only a file holds such a command.
    let file = dir.path().join("config.toml");
    fs::write(&file, format!("dispatch_cmd = \"true {}\"\n", "x".repeat(200_000))).unwrap();
    let before = lab.meta("a").unwrap();
    let mut command = lab.command(&["goal", "dispatch"]).unwrap();
    let said = command.env("AUTONOMY_CONFIG", &file).output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert!(text.contains("COMMAND_NOT_STARTED"), "{text}");
    assert_eq!(lab.meta("a").unwrap(), before);
    let mut again = lab.command(&["goal", "dispatch", "--cmd", "true"]).unwrap();
    assert!(again.output().unwrap().status.success());
    assert_eq!(lab.meta("a").unwrap()["terminal_status"], "DONE");
}
