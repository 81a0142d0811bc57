//! The drills about disks are tests: the same functions, and each must notice a missing fault.

use e2e::stories::{
    drill,
    packs::{all_are_held, holds},
};

#[test]
fn a_full_disk_denies_loses_nothing_and_needs_no_restart() {
    holds("disk-full").unwrap();
}

#[test]
fn a_disk_that_goes_read_only_poisons_the_log_and_loses_nothing() {
    holds("disk-read-only").unwrap();
}

#[test]
fn modes_that_are_taken_away_change_nothing_for_a_running_runtime() {
    holds("log-unreachable").unwrap();
}

#[test]
fn a_log_that_is_deleted_acknowledges_nothing_any_more() {
    holds("log-removed").unwrap();
}

#[test]
fn a_log_that_is_replaced_acknowledges_nothing_any_more() {
    holds("log-replaced").unwrap();
}

#[test]
fn a_lock_that_was_changed_after_it_was_signed_is_not_loaded() {
    holds("supply-chain").unwrap();
}

#[test]
fn a_collector_that_is_away_costs_nothing_and_gets_everything_later() {
    holds("collector-offline").unwrap();
}

#[test]
fn a_node_without_a_registry_decides_by_the_last_good_release() {
    holds("registry-gone").unwrap();
}

#[test]
fn a_bundle_that_is_not_what_was_built_is_rejected() {
    holds("bundle-rejected").unwrap();
}

#[test]
fn a_control_plane_that_is_killed_loses_nothing_and_nodes_keep_working() {
    holds("control-plane-killed").unwrap();
}

#[test]
fn a_first_start_on_a_full_disk_says_so_and_leaves_nothing() {
    holds("disk-full-at-first-start").unwrap();
}

#[test]
fn a_first_start_on_a_read_only_disk_says_so_and_leaves_nothing() {
    holds("disk-read-only-at-first-start").unwrap();
}

#[test]
fn a_repair_that_finds_no_room_says_so_and_changes_nothing() {
    holds("disk-full-at-recovery").unwrap();
}

#[test]
fn every_drill_without_a_pack_is_a_test_here() {
    all_are_held(drill::ALL, include_str!("disk_faults.rs")).unwrap();
}
