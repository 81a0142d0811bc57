//! The codes of a log are tests: each is brought about, said, and healed as its page says, and each drill must notice a
//! missing fault.

use std::{collections::BTreeSet, fs, path::Path};

use e2e::stories::packs::{all_are_held, holds, named};

#[test]
fn a_log_without_its_safe_point_is_refused_and_comes_back_with_it() {
    holds("SAFESEQ_NOT_FOUND").unwrap();
}

#[test]
fn a_safe_point_of_the_wrong_length_is_refused_and_costs_no_entry() {
    holds("SAFESEQ_CORRUPT").unwrap();
}

#[test]
fn a_log_that_lost_its_end_is_refused() {
    holds("SAFESEQ_GT_MAXSEQ").unwrap();
}

#[test]
fn a_log_that_lost_its_beginning_is_refused() {
    holds("FIRST_SEQ_NOT_ONE").unwrap();
}

#[test]
fn a_log_that_lost_an_entry_in_the_middle_is_refused() {
    holds("SEQ_GAP").unwrap();
}

#[test]
fn a_log_with_an_entry_that_is_no_json_is_refused() {
    holds("WAL_CORRUPT_INVALID_JSON").unwrap();
}

#[test]
fn a_log_with_a_length_that_no_writer_produces_is_refused() {
    holds("WAL_CORRUPT_FRAME").unwrap();
}

#[test]
fn a_log_with_an_entry_that_was_edited_is_refused() {
    holds("WAL_CORRUPT_CHAIN").unwrap();
}

#[test]
fn a_log_that_was_cut_with_its_safe_point_is_shorter_than_its_seal_says() {
    holds("WAL_TRUNCATED").unwrap();
}

#[test]
fn an_edit_behind_a_lowered_safe_point_is_found_by_the_seal() {
    holds("WAL_SEALED_DAMAGED").unwrap();
}

#[test]
fn a_forged_chain_is_not_the_one_that_was_sealed() {
    holds("WAL_FORKED").unwrap();
}

#[test]
fn a_log_has_one_writer() {
    holds("WAL_LOCKED").unwrap();
}

#[test]
fn a_switch_without_its_next_log_is_refused() {
    holds("WAL_SWITCH_BROKEN").unwrap();
}

#[test]
fn a_frame_that_was_never_acknowledged_is_cut_and_nothing_else() {
    holds("WAL_PHANTOM_DISCARDED").unwrap();
}

#[test]
fn a_log_of_an_older_system_is_adopted_when_it_is_asked_for() {
    holds("WAL_LEGACY_ADOPTED").unwrap();
}

#[test]
fn a_deleted_log_is_begun_anew_when_the_loss_is_accepted() {
    holds("WAL_RESET_BY_OPERATOR").unwrap();
}

#[test]
fn every_drill_of_the_pack_is_a_test_here() {
    all_are_held(named("wal"), include_str!("wal_drills.rs")).unwrap();
}

#[test]
fn every_code_that_the_runbook_of_a_refused_log_names_has_a_drill() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/runbooks/log-refused.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, cause) = page.split_once("## Cause").unwrap();
    let (cause, _) = cause.split_once("## Recovery").unwrap();
    let named_there: BTreeSet<_> =
        cause.split("[`").skip(1).map(|it| it.split_once('`').unwrap().0).collect();
    assert!(named_there.len() > 8, "{named_there:?}");
    let drilled: BTreeSet<_> = named("wal").map(|it| it.name).collect();
    let missing: Vec<_> = named_there.difference(&drilled).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
