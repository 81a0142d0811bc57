//! Commands of goals through a runtime, and goals whose workspace changes while nobody is there.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, process::Command};

use e2e::{
    harness::{Ports, RuntimeOptions, Stack, autonomy, run_to_end},
    stories::goals::Lab,
};
use serde_json::Value;

/// Allows programs, but none that speaks of something forbidden.
const POLICY: &str = r#"package autonomy

decision := {"allow": true, "rule": "shell"} if {
    input.kind == "tool.shell"
    every word in input.params.argv { not contains(word, "forbidden") }
}
"#;

#[test]
fn where_a_runtime_is_named_its_policy_decides_about_every_command_and_nothing_runs_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let policies = dir.path().join("policies");
    fs::create_dir(&policies).unwrap();
    fs::write(policies.join("shell.rego"), POLICY).unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    stack.load_policy(&policies).unwrap();
    let runtime = stack.runtime(&RuntimeOptions { env: &[], args: &["--enable-shell"] }).unwrap();
    let repository = dir.path().join("repository");
    let lab = Lab::with_goal(&repository, &[]).unwrap();
    for (id, command) in [
        ("good", "touch good; echo fine"),
        ("bad", "echo no >&2; exit 7"),
        ("denied", "touch forbidden"),
    ] {
        let words = ["goal", "criteria", "add", "--id", id, "--desc", id, "--verify-cmd", command];
        lab.done(&words).unwrap();
    }
    let url = stack.runtime_url();
    let check = ["goal", "criteria", "check", "--runtime-url", &url];
    lab.refused(&check).unwrap();
    let known =
        |place: usize, key: &str| lab.goal().unwrap()["success_criteria"][place][key].clone();
    assert_eq!((known(0, "status"), known(0, "evidence")), ("verified".into(), "fine\n".into()));
    assert_eq!((known(1, "status"), known(1, "evidence")), ("failed".into(), "no\n".into()));
    assert_eq!(known(2, "status"), "failed");
    assert!(
        known(2, "evidence").as_str().unwrap().starts_with("denied: "),
        "{}",
        known(2, "evidence")
    );
    assert!(repository.join("good").exists(), "it ran at the root of the repository");
    assert!(!repository.join("forbidden").exists());

    lab.linked("t").unwrap();
    let dispatch = ["goal", "dispatch", "--runtime-url", &url, "--cmd"];
    let work = "echo $AUTONOMY_TENTACLE > worked";
    let sent = lab.json(&[&dispatch[..], &[work]].concat()).unwrap();
    assert_eq!(sent["sent"][0]["status"], "DONE", "{sent}");
    assert_eq!(fs::read_to_string(repository.join("worked")).unwrap(), "t\n");
    runtime.stop().unwrap();

    fs::remove_file(repository.join("good")).unwrap();
    lab.refused(&check).unwrap();
    assert!(!repository.join("good").exists(), "without its runtime nothing runs");
    let said = known(0, "evidence");
    assert!(said.as_str().unwrap().starts_with("not run: the runtime does not answer"), "{said}");

    let log = exported(&stack);
    for part in ["touch good; echo fine", "touch forbidden", work] {
        assert!(log.contains(part), "`{part}` is not on record: {log}");
    }
}

/// Everything on record in the log of the runtime.
fn exported(stack: &Stack) -> String {
    let dir = stack.wal_dir();
    autonomy(&["telemetry", "export", "--dir", dir.to_str().unwrap(), "--out", "-"]).unwrap().stdout
}

fn git(lab: &Lab, script: &str) {
    let mut shell = Command::new("sh");
    let done = run_to_end(shell.args(["-ec", script]).current_dir(lab.root())).unwrap();
    assert_eq!(done.code(), Some(0), "{done:?}");
}

#[test]
fn a_changed_workspace_is_said_and_evals_wait_where_the_goal_demands_it() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::new(dir.path()).unwrap();
    fs::remove_dir(dir.path().join(".git")).unwrap();
    git(
        &lab,
        "git init -q; git config user.email a@b; git config user.name a; echo .local > .git/info/exclude; echo 1 > a; git add a; git commit -qm a",
    );
    lab.done(&["goal", "init", "--require-reverify"]).unwrap();
    lab.done(&["goal", "criteria", "add", "--desc", "a is 2", "--verify-cmd", "grep -q 2 a"])
        .unwrap();
    // Nothing changed: nothing is asked for.
    lab.done(&["session", "end"]).unwrap();
    let status = lab.json(&["goal", "status"]).unwrap();
    assert_eq!(status["workspace_changed"], Value::Null, "{status}");
    lab.done(&["goal", "resume"]).unwrap();
    lab.done(&["goal", "eval"]).unwrap();
    // Something did.
    lab.done(&["session", "end"]).unwrap();
    fs::write(dir.path().join("b"), "new").unwrap();
    let said = lab.done(&["goal", "status"]).unwrap();
    assert!(said.contains("workspace: changed since the session ended: 1 file(s): b"), "{said}");
    let resumed = lab.json(&["goal", "resume"]).unwrap();
    assert_eq!(resumed["workspace_changed"], "1 file(s): b");
    assert!(lab.refused(&["goal", "eval"]).unwrap().contains("GOAL_REVERIFY_NEEDED"));
    let next = lab.json(&["goal", "status"]).unwrap()["next_move"]["command"].clone();
    assert_eq!(next, "autonomy goal reverify");
    lab.refused(&["goal", "reverify"]).unwrap();
    assert!(lab.refused(&["goal", "eval"]).unwrap().contains("GOAL_REVERIFY_NEEDED"));
    fs::write(dir.path().join("a"), "2").unwrap();
    lab.done(&["goal", "reverify"]).unwrap();
    lab.done(&["goal", "eval"]).unwrap();
    // What cannot be compared counts as changed.
    lab.done(&["session", "end"]).unwrap();
    fs::remove_file(lab.state("workspace-digest.json")).unwrap();
    lab.done(&["goal", "resume"]).unwrap();
    assert!(lab.refused(&["goal", "eval"]).unwrap().contains("GOAL_REVERIFY_NEEDED"));
    lab.done(&["goal", "reverify", "--accept", "looked at it"]).unwrap();
    lab.done(&["goal", "eval"]).unwrap();
    assert_eq!(lab.iteration().unwrap(), 4);
}
