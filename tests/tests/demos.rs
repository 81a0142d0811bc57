//! `autonomy demo`: what it shows is in the log, and it fails when that is not so.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use e2e::harness::{Bin, Finished, autonomy, program, run_to_end};
use serde_json::Value;

fn demo(tmp: &Path, args: &[&str], vars: &[(&str, &str)]) -> Finished {
    let mut command = program(Bin::Autonomy).unwrap();
    command.env("TMPDIR", tmp).arg("demo").args(args).envs(vars.iter().copied());
    run_to_end(command.current_dir(tmp)).unwrap()
}

fn nothing_is_left(tmp: &Path) {
    assert_eq!(fs::read_dir(tmp).unwrap().count(), 0);
}

#[test]
fn the_policy_demo_shows_every_way_of_a_call_and_passes() {
    let tmp = tempfile::tempdir().unwrap();
    let text = demo(tmp.path(), &["policy"], &[]);
    assert_eq!(text.code(), Some(0), "{text:?}");
    assert_eq!(text.stdout.matches("    recorded : ").count(), 6, "{text:?}");
    assert!(text.stdout.contains("allowed 3, denied 3, wal events 12"), "{text:?}");
    assert!(text.stdout.contains("\nPASS"), "{text:?}");
    let json = demo(tmp.path(), &["policy", "--output", "json"], &[]);
    let told: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(told["verdict"], "PASS");
    assert_eq!(told["calls"].as_array().unwrap().len(), 6);
    nothing_is_left(tmp.path());
}

#[test]
fn a_demo_in_strict_mode_says_that_it_can_show_nothing_and_gives_no_verdict() {
    let tmp = tempfile::tempdir().unwrap();
    for args in [&["policy"][..], &["gazebo", "--local"]] {
        let ended = demo(tmp.path(), args, &[("AUTONOMY_STRICT_MODE", "1")]);
        assert_eq!(ended.code(), Some(2), "{ended:?}");
        assert_eq!(ended.stdout, "", "no verdict: {ended:?}");
        assert!(ended.stderr.contains("AUTONOMY_STRICT_MODE=1 is set"), "{ended:?}");
        assert!(ended.stderr.contains("(DEMO_STRICT_MODE)"), "{ended:?}");
        nothing_is_left(tmp.path());
    }
    let ended = demo(tmp.path(), &["policy"], &[("AUTONOMY_STRICT_MODE", "0")]);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

#[test]
fn the_robot_demo_is_the_same_for_the_same_seed_and_its_verdicts_are_on_record() {
    let tmp = tempfile::tempdir().unwrap();
    let fast = [("SIM_TICK_MS", "0"), ("SIM_MAX_TICKS", "25")];
    let first = demo(tmp.path(), &["gazebo", "--local"], &fast);
    assert_eq!(first.code(), Some(0), "{first:?}");
    assert_eq!(first.stdout, demo(tmp.path(), &["gazebo", "--local"], &fast).stdout);
    nothing_is_left(tmp.path());
    assert_eq!(first.stdout.matches("a step is at most one cell").count(), 5, "{first:?}");
    assert!(first.stdout.contains("tool.gazebo.charge"), "the battery got low: {first:?}");
    let dir = tmp.path().join("wal");
    let dir = dir.to_str().unwrap();
    let kept = demo(tmp.path(), &["gazebo", "--local", "--dir", dir, "--seed", "3"], &fast);
    assert_ne!(kept.stdout, first.stdout);
    let exported = autonomy(&["telemetry", "export", "--dir", dir, "--out", "-"]).unwrap().stdout;
    for label in ["gazebo-telemetry-active", "gazebo-policy-enforced", "gazebo-wal-recording"] {
        assert!(kept.stdout.contains(&format!("\nPASS {label} context=sim")), "{kept:?}");
        assert!(exported.contains(label), "{label} is not on record");
    }
    assert_eq!(autonomy(&["wal", "verify", "--dir", dir]).unwrap().code(), Some(0));
    // A second time into the same log: only what is new counts.
    let again = demo(tmp.path(), &["gazebo", "--local", "--dir", dir], &fast);
    assert_eq!(again.code(), Some(0), "{again:?}");
}

#[test]
fn the_robot_demo_fails_when_nothing_was_tried_or_everything_is_denied() {
    let tmp = tempfile::tempdir().unwrap();
    let idle = demo(tmp.path(), &["gazebo", "--local"], &[("SIM_MAX_TICKS", "0")]);
    assert_eq!(idle.code(), Some(1), "{idle:?}");
    assert!(idle.stdout.contains("FAIL gazebo-telemetry-active context=sim"), "{idle:?}");
    let wrong = demo(tmp.path(), &["gazebo", "--local"], &[("SIM_TICK_MS", "soon")]);
    assert_eq!(wrong.code(), Some(2), "{wrong:?}");
    nothing_is_left(tmp.path());
}

/// A program `docker` that does as the script says.
fn with_docker(script: &str) -> Finished {
    let tmp = tempfile::tempdir().unwrap();
    let docker = tmp.path().join("docker");
    fs::write(&docker, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", tmp.path().display());
    demo(tmp.path(), &["gazebo"], &[("PATH", &path)])
}

#[test]
fn without_local_docker_compose_is_tried_and_its_failure_is_said_with_a_hint() {
    let failed = with_docker("exit 1");
    assert_eq!(failed.code(), Some(1), "{failed:?}");
    assert_eq!(
        failed.stderr,
        "demo gazebo: docker compose up: exit status 1\n\
         hint: if Docker Compose fails to start the orchestrator service, re-run with --local for an in-process demo\n"
    );
    let told = with_docker("echo \"$@\"; exit 0");
    assert_eq!(told.code(), Some(0), "{told:?}");
    assert_eq!(
        told.stdout,
        "compose --file deploy/gazebo/compose.yaml up --build --abort-on-container-exit --exit-code-from robot\n"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let file = fs::read_to_string(root.join("deploy/gazebo/compose.yaml")).unwrap();
    assert!(file.contains("\n  robot:\n"), "the file has the service that is waited for");
    assert!(root.join("deploy/Dockerfile").exists());
}
