//! The drills about disks are tests: the same functions, and each must notice a missing fault.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::Write as _;

use e2e::{
    harness::NO_SKIP,
    stories::{
        Narrator,
        drill::{self, Drill, Ended, Fault},
    },
};

fn drill(name: &str) -> &'static Drill {
    drill::ALL.iter().find(|it| it.name == name).unwrap()
}

/// Tells a drill with its fault, which must pass, and without, which must fail at the proof.
#[track_caller]
fn holds(name: &str) {
    let drill = drill(name);
    match drill.run(Fault::Injected, Narrator::quiet()).unwrap() {
        Ended::Told(verdicts) => {
            assert!(verdicts.passed() >= 6 || verdicts.failed(), "{}", verdicts.table());
            verdicts.into_result().unwrap();
        }
        Ended::Skipped(why) => return skipped(name, &why),
    }
    let Ended::Told(verdicts) = drill.run(Fault::LeftOut, Narrator::quiet()).unwrap() else {
        unreachable!("it was told a moment ago")
    };
    let failure = verdicts.first_failure().unwrap_or_default();
    assert!(failure.starts_with("proof: "), "{name} without its fault: `{failure}`");
}

fn skipped(name: &str, why: &str) {
    assert!(std::env::var_os(NO_SKIP).is_none(), "{name} may not be skipped here: {why}");
    // Not `eprintln`: that is captured, and a skip must be seen.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "skipped {name}: {why}").unwrap();
}

#[test]
fn a_full_disk_denies_loses_nothing_and_needs_no_restart() {
    holds("disk-full");
}

#[test]
fn a_disk_that_goes_read_only_poisons_the_log_and_loses_nothing() {
    holds("disk-read-only");
}

#[test]
fn modes_that_are_taken_away_change_nothing_for_a_running_runtime() {
    holds("log-unreachable");
}

#[test]
fn a_log_that_is_deleted_acknowledges_nothing_any_more() {
    holds("log-removed");
}

#[test]
fn a_log_that_is_replaced_acknowledges_nothing_any_more() {
    holds("log-replaced");
}

#[test]
fn a_lock_that_was_changed_after_it_was_signed_is_not_loaded() {
    holds("supply-chain");
}

#[test]
fn a_collector_that_is_away_costs_nothing_and_gets_everything_later() {
    holds("collector-offline");
}

#[test]
fn a_node_without_a_registry_decides_by_the_last_good_release() {
    holds("registry-gone");
}

#[test]
fn a_bundle_that_is_not_what_was_built_is_rejected() {
    holds("bundle-rejected");
}

#[test]
fn a_control_plane_that_is_killed_loses_nothing_and_nodes_keep_working() {
    holds("control-plane-killed");
}

#[test]
fn a_first_start_on_a_full_disk_says_so_and_leaves_nothing() {
    holds("disk-full-at-first-start");
}

#[test]
fn a_first_start_on_a_read_only_disk_says_so_and_leaves_nothing() {
    holds("disk-read-only-at-first-start");
}

#[test]
fn a_repair_that_finds_no_room_says_so_and_changes_nothing() {
    holds("disk-full-at-recovery");
}
