//! The failure modes of the step log are tests: the same functions, and each must notice a missing fault.

use e2e::stories::packs::{all_are_held, holds, named};

#[test]
fn a_daemon_killed_before_a_step_begins_leaves_it_eligible() {
    holds("SW-1").unwrap();
}

#[test]
fn a_daemon_killed_before_an_effect_runs_the_step_again() {
    holds("SW-2").unwrap();
}

#[test]
fn an_interrupted_step_that_nothing_confirms_waits_for_a_human() {
    holds("SW-2b").unwrap();
}

#[test]
fn an_effect_that_is_there_is_found_and_not_repeated() {
    holds("SW-3").unwrap();
}

#[test]
fn a_call_whose_answer_is_lost_is_neither_repeated_nor_taken_for_failed() {
    holds("SW-lost").unwrap();
}

#[test]
fn half_a_record_at_the_end_costs_nothing_but_itself() {
    holds("SW-4").unwrap();
}

#[test]
fn a_log_that_was_cut_off_anywhere_says_what_its_whole_lines_say() {
    holds("SW-4b").unwrap();
}

#[test]
fn steps_that_nobody_committed_are_reported_and_never_executed() {
    holds("SW-5").unwrap();
}

#[test]
fn records_about_steps_that_nobody_introduced_are_counted_and_mean_nothing() {
    holds("SW-5b").unwrap();
}

#[test]
fn a_log_that_cannot_be_read_keeps_no_other_from_being_recovered() {
    holds("SW-6").unwrap();
}

#[test]
fn a_plan_that_has_ended_is_left_alone() {
    holds("SW-7").unwrap();
}

#[test]
fn a_recovery_that_is_killed_is_finished_by_the_next() {
    holds("SW-8").unwrap();
}

#[test]
fn a_start_without_a_directory_is_a_clean_start() {
    holds("SW-zero").unwrap();
}

#[test]
fn a_step_whose_beginning_cannot_be_recorded_is_not_run() {
    holds("SW-9").unwrap();
}

#[test]
fn on_a_full_disk_no_step_runs_without_a_record() {
    holds("SW-9b").unwrap();
}

#[test]
fn a_second_daemon_changes_nothing_and_a_killed_one_bars_nobody() {
    holds("SW-10").unwrap();
}

#[test]
fn a_daemon_that_is_asked_to_end_finishes_its_step_and_begins_no_other() {
    holds("SW-term").unwrap();
}

#[test]
fn an_archive_that_is_killed_loses_nothing() {
    holds("SW-11").unwrap();
}

#[test]
fn a_step_that_waits_for_a_human_waits_across_restarts() {
    holds("SW-12").unwrap();
}

#[test]
fn every_drill_of_the_pack_is_a_test_here() {
    all_are_held(named("sw"), include_str!("step_log.rs")).unwrap();
}
