//! The lines of a step log, written once by another program. A change here is a change of the
//! format, and needs a version that still reads these files; nothing rewrites them.
//!
//! | file                      | what it is                                                       |
//! |---------------------------|------------------------------------------------------------------|
//! | `steps.wal.jsonl`         | a log of ours: every record, every change that we write          |
//! | `steps-foreign.wal.jsonl` | a log of the original system: no `v`, no `seq`, no `plan_id` in transitions |
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use wal_format::{
    Seq,
    step::{
        Change, Said, StepLine, StepRecord, StepStatus, Tail, cycle_plan, encode_line, mandate_id,
        plan_id, split_tail,
    },
};

const STEPS: &str = include_str!("golden/steps.wal.jsonl");
const FOREIGN: &str = include_str!("golden/steps-foreign.wal.jsonl");

fn records(file: &str) -> Vec<(StepLine, StepRecord)> {
    assert_eq!(split_tail(file.as_bytes()), (file.as_bytes(), Tail::Ended));
    let lines = file.lines().map(|it| StepLine::parse(it.as_bytes()).unwrap());
    lines
        .map(|it| match it.said.clone() {
            Said::Record(record) => (it, record),
            Said::Unknown { op } => panic!("{op:?}"),
        })
        .collect()
}

#[test]
fn a_log_of_ours_is_written_byte_for_byte_as_it_was() {
    let mut out = Vec::new();
    for (at, (line, record)) in (1..).zip(records(STEPS)) {
        assert_eq!((line.v, line.seq), (Some(1), Seq::new(at)));
        encode_line(&record, line.seq.unwrap(), line.ts.unwrap(), &mut out).unwrap();
    }
    assert_eq!(String::from_utf8(out).unwrap(), STEPS);
}

#[test]
fn its_lines_say_what_was_said() {
    let records = records(STEPS);
    let plan_id = plan_id("daily_summary", "2026-04-20T12:00:00Z");
    let plan = cycle_plan(&plan_id, &mandate_id(&plan_id), "daily_summary", 1).unwrap();
    assert_eq!(records[0].1, StepRecord::PlanCommit(plan));
    let changes: Vec<_> = records
        .iter()
        .filter_map(|(_, it)| match it {
            StepRecord::Transition(it) => Some(it.change.status().as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(
        changes,
        [
            "executing",
            "completed",
            "executing",
            "pending",
            "needs_review",
            "pending",
            "paused",
            "failed",
            "executing"
        ]
    );
    let StepRecord::Transition(done) = &records[3].1 else { panic!("{records:?}") };
    let Change::Completed { recovered, evidence, .. } = &done.change else { panic!("{done:?}") };
    assert_eq!(*recovered, Some(true));
    assert_eq!(evidence.as_ref().unwrap()["reason"], "ü \"\\ \n");
}

#[test]
fn a_log_of_the_original_system_is_read_without_numbers_and_plans() {
    let records = records(FOREIGN);
    assert_eq!(records.len(), 7);
    for (line, record) in &records {
        assert_eq!((line.v, line.seq), (None, None));
        assert!(line.ts.is_some());
        if let StepRecord::Transition(it) = record {
            assert_eq!(it.plan_id, None);
            assert!(matches!(it.change.status(), StepStatus::Executing | StepStatus::Completed));
        }
    }
}
