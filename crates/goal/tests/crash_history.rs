//! Histories that are moved out of `goal.json`, on a disk that loses power or fails, and in a process that is killed.
//!
//! | change                              | writes, in this order                       | done twice        |
//! |-------------------------------------|---------------------------------------------|-------------------|
//! | an eval that moves                  | `goal-history-N.jsonl`, `goal.json`          | another eval      |
//! | an attempt that moves               | `goal-verify-history-N.jsonl`, `goal.json`   | another attempt   |
//! | any change to a long goal of others | both, then `goal.json`                       | the same          |
//!
//! The invariants are those of `history`, H1 to H5.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod scene;

use std::{fmt::Write as _, path::PathBuf};

use goal::{
    Decision, EvalRequest, Goal, HISTORY_KEPT_LEAST, HISTORY_KEPT_LEN_MAX, History, NewGoal,
    OpError, Run, Word,
};
use scene::{Answer, Change, Disk, WAIT, answer, at, begin, crashes, faults};
use serde_json::{Value, json};
use vfs::{CrashPolicy, FaultPlan};

const EVALS: &str = "goal-history-1.jsonl";
const OTHER_EVALS: &str = "goal-history-2.jsonl";
const ATTEMPTS: &str = "goal-verify-history-1.jsonl";

fn eval_with(disk: &Disk, notes: &str) -> Result<(), OpError> {
    // It ends no iteration, so that there may be as many as a test likes.
    let request = EvalRequest { notes, decision: Decision::Pause, ..EvalRequest::default() };
    disk.store().eval(WAIT, request).map(drop)
}

fn eval(disk: &Disk) -> Answer {
    answer(eval_with(disk, "the one more"))
}

fn attempt_with(disk: &Disk, output: &str) -> Result<(), OpError> {
    let store = disk.store();
    let runs = [Run { id: "sc".to_owned(), exit_code: 1, output: output.to_owned() }];
    store.change_within(WAIT, |_, goal| {
        goal.record_attempt(1, &runs, store.now()).unwrap();
        Ok(())
    })
}

fn attempt(disk: &Disk) -> Answer {
    answer(attempt_with(disk, "no"))
}

/// Gives a goal so many entries, as another program writes them: over several lines, with keys of its own.
fn fill(disk: &Disk, which: History, entries: usize, pad: usize) {
    let path = at("goal.json");
    let mut goal: Value = serde_json::from_slice(&disk.files()[&path]).unwrap();
    let entry =
        |n| json!({"iteration": 1, "decision": "pause", "n": n, "notes": "x ".repeat(pad / 2)});
    goal[which.key()] = (0..entries).map(entry).collect();
    disk.write(&path, serde_json::to_string_pretty(&goal).unwrap().as_bytes());
}

/// A goal one entry before its history is too long.
fn full(disk: &Disk, which: History) {
    begin(&disk.store()).unwrap();
    fill(disk, which, 16, HISTORY_KEPT_LEN_MAX / 16 - 150);
    assert!(disk.store().load().unwrap().to_text().unwrap().len() < HISTORY_KEPT_LEN_MAX + 1_000);
}

/// The same, after a move.
fn moved_and_full(disk: &Disk, which: History) {
    full(disk, which);
    fill_up(disk, which);
    let file = if which == History::Evals { EVALS } else { ATTEMPTS };
    assert!(disk.files().contains_key(&at(file)));
    // Up to the last entry that fits.
    let store = disk.store();
    loop {
        let mut goal = store.load().unwrap();
        let before = goal.to_text().unwrap();
        let long = "y".repeat(3_000);
        match which {
            History::Evals => eval_with(disk, &long).unwrap(),
            History::Attempts => attempt_with(disk, &long).unwrap(),
        }
        let after = store.load().unwrap();
        if in_goal(&after, which) <= in_goal(&goal, which) {
            disk.write(&at("goal.json"), before.as_bytes());
            break;
        }
        goal = after;
        drop(goal);
    }
}

fn fill_up(disk: &Disk, which: History) {
    match which {
        History::Evals => eval(disk).unwrap(),
        History::Attempts => attempt(disk).unwrap(),
    }
}

fn in_goal(goal: &Goal, which: History) -> usize {
    match which {
        History::Evals => goal.eval_history().unwrap().len(),
        History::Attempts => goal.attempts().unwrap().len(),
    }
}

fn whole(disk: &Disk, which: History) -> Vec<Value> {
    let store = disk.store();
    let all = store.whole_history(&store.load().unwrap(), which).unwrap();
    all.iter().map(|it| serde_json::from_str(it.get()).unwrap()).collect()
}

fn gate(disk: &Disk) -> Answer {
    answer(disk.store().say(WAIT, "G", Word::Add { description: "look" }, None))
}

/// Begins another goal over the one that is there.
fn force(disk: &Disk, goal_id: &str) -> Result<Option<PathBuf>, OpError> {
    let store = disk.store();
    let held = store.lock(WAIT)?;
    let new = NewGoal { goal_id: goal_id.to_owned(), ..NewGoal::default() };
    Ok(store.begin(&held, &Goal::new(new, store.now()), true)?)
}
