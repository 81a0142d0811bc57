//! The validation plans of the control plane are tests: the same functions, and each must notice a missing fault.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use e2e::stories::{
    Narrator,
    drill::Fault,
    val::{self, Kill, Options, Plan, Port, Report},
};

fn plan(name: &str) -> &'static Plan {
    val::ALL.iter().find(|it| it.name == name).unwrap()
}

fn run(name: &str, fault: Fault, kill: Kill, evidence: &Path) -> Report {
    let options = Options { port: Port::Free, fault, kill, evidence: evidence.to_owned() };
    plan(name).run(&options, Narrator::quiet()).unwrap()
}

/// Runs a plan as it should be, which must pass, and without its fault, which must fail at `unproven`.
#[track_caller]
fn holds(name: &str, kill: Kill, unproven: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let report = run(name, Fault::Injected, kill, dir.path());
    assert!(report.passed(), "{}", report.to_text());
    let evidence = dir.path().join(plan(name).evidence_name(kill));
    for end in ["report.txt", "report.json", "cp.log"] {
        let file = evidence.join(format!("{name}-{end}"));
        assert!(file.metadata().unwrap().len() > 0, "{} is empty", file.display());
    }

    let without = run(name, Fault::LeftOut, kill, dir.path());
    assert!(!without.passed(), "{}", without.to_text());
    for id in unproven {
        let passed = without.check(id).is_some_and(|it| it.passed);
        assert!(!passed, "{id} passed without the fault:\n{}", without.to_text());
    }
}

#[test]
fn plans_are_created_and_listed_in_time() {
    holds("val07", Kill::Term, &["VAL07-01", "VAL07-02", "VAL07-03"]);
}

#[test]
fn a_hundred_workers_create_plans_and_none_is_lost() {
    holds("val08", Kill::Term, &["VAL08-01", "VAL08-02", "VAL08-03", "VAL08-04"]);
}

#[test]
fn the_scan_names_stale_plans_until_somebody_acts() {
    holds("val09", Kill::Term, &["VAL09-03"]);
}

#[test]
fn retries_and_rollbacks_succeed_and_are_on_record() {
    holds("val10", Kill::Term, &["VAL10-02", "VAL10-03", "VAL10-04", "VAL10-05"]);
}

#[test]
fn a_terminated_control_plane_comes_back_with_everything() {
    holds("val11", Kill::Term, &["VAL11-02", "VAL11-03", "VAL11-04"]);
}

#[test]
fn a_killed_control_plane_comes_back_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    let report = run("val11", Fault::Injected, Kill::Kill, dir.path());
    assert!(report.passed(), "{}", report.to_text());
    let evidence = dir.path().join("val11-kill");
    for name in EVIDENCE_OF_VAL11 {
        let file = evidence.join(name);
        assert!(file.metadata().is_ok_and(|it| it.len() > 0), "{name} is missing or empty");
    }
}

/// The files that the plan documents.
const EVIDENCE_OF_VAL11: &[&str] = &[
    "val11-cp.log",
    "val11-health.txt",
    "val11-plans-created.txt",
    "val11-scan-stuck.json",
    "val11-stuck-check.txt",
    "val11-corrupt-plan-create.txt",
    "val11-corrupt-plan.json",
    "val11-corrupt-check.txt",
    "val11-execute-rollback-corrupt.txt",
    "val11-rollback-corrupt-check.txt",
    "cascade/execute-retry-dev-1.txt",
    "cascade/execute-retry-dev-2.txt",
    "cascade/execute-retry-dev-3.txt",
    "val11-cascade-check.txt",
    "val11-kill-client-error.txt",
    "val11-kill-check.txt",
    "val11-durability-list.json",
    "val11-durability-check.txt",
    "val11-gate-plan.json",
    "val11-gate-check.txt",
    "val11-rapid-restart.txt",
    "val11-audit-executed.json",
    "val11-audit-check.txt",
    "val11-report.txt",
    "val11-report.json",
];
