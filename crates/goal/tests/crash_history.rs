//! Histories that are moved out of `goal.json`, on a disk that loses power or fails, and in a process that is killed.
//!
//! | change                              | writes, in this order                       | done twice        |
//! |-------------------------------------|---------------------------------------------|-------------------|
//! | an eval that moves                  | `goal-history-N.jsonl`, `goal.json`          | another eval      |
//! | an attempt that moves               | `goal-verify-history-N.jsonl`, `goal.json`   | another attempt   |
//! | any change to a long goal of others | both, then `goal.json`                       | the same          |
//!
//! The invariants are those of `history`, H1 to H5.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails is a failed test"
)]

mod scene;

use std::{fmt::Write as _, path::PathBuf};

use goal::{
    Decision, EvalRequest, Goal, HISTORY_KEPT_LEN_MAX, History, NewGoal, OpError, Run, Word,
};
use scene::{Answer, Change, Disk, WAIT, answer, at, begin, crashes, faults};
use serde_json::{Value, json};
use vfs::{CrashPolicy, FaultPlan};

const EVALS: &str = "goal-history-1.jsonl";
const OTHER_EVALS: &str = "goal-history-2.jsonl";
/// What an entry of [`fill`] has around its text.
const AROUND: usize = 98;
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
    let runs =
        [Run { id: "sc".to_owned(), command: None, exit_code: 1, output: output.to_owned() }];
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
    fill_to_the_brim(disk, which, 16);
}

/// Leaves no room for another entry: each adds more than 160 bytes.
fn fill_to_the_brim(disk: &Disk, which: History, entries: usize) {
    fill(disk, which, entries, (HISTORY_KEPT_LEN_MAX / entries - AROUND) / 2 * 2);
    let goal = disk.store().load().unwrap();
    let len = goal.foreign(which.key()).unwrap().get().len();
    assert!((HISTORY_KEPT_LEN_MAX - 160..=HISTORY_KEPT_LEN_MAX).contains(&len), "{len}");
}

/// The same, after a move.
fn moved_and_full(disk: &Disk, which: History) {
    full(disk, which);
    fill_up(disk, which);
    fill_to_the_brim(disk, which, 16);
    let goal = disk.store().load().unwrap();
    assert!(goal.history_len(which).unwrap() > 16);
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

const fn moves(
    name: &'static str,
    before: fn(&Disk),
    make: fn(&Disk) -> Answer,
    order: &'static [&'static str],
) -> Change {
    Change { name, before, make, order, refused: None }
}

const CHANGES: [Change; 7] = [
    moves("first move", |it| full(it, History::Evals), eval, &[EVALS, "goal.json"]),
    moves("next move", |it| moved_and_full(it, History::Evals), eval, &[EVALS, "goal.json"]),
    moves("attempt", |it| full(it, History::Attempts), attempt, &[ATTEMPTS, "goal.json"]),
    moves(
        "next attempt",
        |it| moved_and_full(it, History::Attempts),
        attempt,
        &[ATTEMPTS, "goal.json"],
    ),
    moves("both, of others", long_of_others, gate, &[EVALS, ATTEMPTS, "goal.json"]),
    moves(
        "begin anew",
        |it| moved_and_full(it, History::Evals),
        |it| answer(force(it, "h")),
        &["goal.json"],
    ),
    moves("first move of a goal begun anew", anew_and_full, eval, &[OTHER_EVALS, "goal.json"]),
];

fn long_of_others(disk: &Disk) {
    begin(&disk.store()).unwrap();
    fill(disk, History::Evals, 40, 2_000);
    fill(disk, History::Attempts, 40, 2_000);
}

fn anew_and_full(disk: &Disk) {
    moved_and_full(disk, History::Evals);
    disk.later();
    force(disk, "h").unwrap();
    fill_to_the_brim(disk, History::Evals, 17);
}

/// W1 to W7, W9, H1, H2, H5
#[test]
fn a_crash_at_any_step_of_a_move_leaves_the_old_history_or_the_new() {
    let tried: u64 = CHANGES.iter().map(crashes).sum();
    assert!(tried > 700, "{tried}");
}

/// W8, W9, H1
#[test]
fn a_disk_that_fails_at_any_step_of_a_move_loses_nothing() {
    let tried: u64 = CHANGES.iter().map(faults).sum();
    assert!(tried > 900, "{tried}");
}

/// A sequence of numbers that looks like chance.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What has to be there, by notes.
#[derive(Default)]
struct Expected {
    /// Up to the last entry that was answered.
    settled: Vec<String>,
    /// Those of evals behind it that were answered with an error: a machine that stopped may have them or not, and lose
    /// them at the next crash, until something is built upon them.
    in_doubt: Vec<String>,
}

impl Expected {
    fn check(&mut self, disk: &Disk, answered: Option<&String>, note: &str) {
        let found = whole(disk, History::Evals);
        let found: Vec<String> =
            found.iter().map(|it| it["notes"].as_str().unwrap().to_owned()).collect();
        let short: Vec<&str> = found.iter().map(|it| it.get(..8).unwrap_or(it)).collect();
        let behind = found.strip_prefix(&self.settled[..]);
        let behind = behind.unwrap_or_else(|| panic!("{note}: {short:?}"));
        assert!(behind.is_sorted_by(|a, b| a < b), "{note}: {short:?}");
        let known = |it: &String| self.in_doubt.contains(it) || answered == Some(it);
        assert!(behind.iter().all(known), "{note}: {short:?}");
        if answered.is_some() {
            assert!(found.last() == answered, "{note}: {short:?}");
            (self.settled, self.in_doubt) = (found, Vec::new());
        }
    }
}

/// H1
#[test]
fn whatever_crashes_come_between_the_whole_history_is_what_was_answered_once_and_in_order() {
    let (mut moves, mut stops) = (0, 0);
    for seed in 1..=24 {
        let mut dice = Dice(seed);
        let (disk, mut expected) = (Disk::default(), Expected::default());
        begin(&disk.store()).unwrap();
        for number in 0..60 {
            let pad = "z".repeat(usize::try_from(dice.roll(9_000)).unwrap());
            let notes = format!("{number:06}, {pad}");
            let crash_at = dice.roll(40);
            disk.mem.set_plan(FaultPlan::crash_at(crash_at));
            let done = eval_with(&disk, &notes);
            let stopped = disk.mem.steps() > crash_at;
            let answered = done.is_ok().then(|| notes.clone());
            if done.is_err() {
                expected.in_doubt.push(notes);
            }
            match dice.roll(3) {
                0 => disk.mem.power_loss(CrashPolicy::Random(dice.roll(1 << 30))),
                1 => disk.mem.power_loss(CrashPolicy::LoseAll),
                _ => disk.mem.process_kill(),
            }
            stops += u64::from(stopped);
            assert!(stopped || done.is_ok(), "seed {seed}, {number}");
            let note = format!("seed {seed}, {number}, step {crash_at}, {done:?}");
            expected.check(&disk, answered.as_ref(), &note);
        }
        let goal = disk.store().load().unwrap();
        moves += goal.history_len(History::Evals).unwrap() - in_goal(&goal, History::Evals) as u64;
    }
    assert!(stops > 300 && moves > 500, "{stops} crashes, {moves} moved");
}

/// H1, H3, H5
#[test]
fn a_goal_begun_over_another_has_its_own_history_and_the_old_file_stays_as_it_was() {
    let disk = Disk::default();
    moved_and_full(&disk, History::Evals);
    let old = disk.files()[&at(EVALS)].clone();
    disk.later();
    force(&disk, "h").unwrap();
    assert!(whole(&disk, History::Evals).is_empty());
    let notes = |it: usize| format!("{it} {}", "of the new goal ".repeat(100));
    for it in 0..100 {
        eval_with(&disk, &notes(it)).unwrap();
    }
    let goal = disk.store().load().unwrap();
    let told = whole(&disk, History::Evals);
    assert_eq!(goal.history_len(History::Evals).unwrap(), 100);
    assert!(in_goal(&goal, History::Evals) < 50);
    for (it, entry) in told.iter().enumerate() {
        assert_eq!(entry["notes"], notes(it));
    }
    assert_eq!(told.len(), 100);
    let files = disk.files();
    assert_eq!(files[&at(EVALS)], old, "nobody wrote to it");
    assert!(files.contains_key(&at(OTHER_EVALS)));
}

/// H1, H3
#[test]
fn a_long_history_of_others_is_read_as_it_is_and_moved_at_the_next_change() {
    let disk = Disk::default();
    begin(&disk.store()).unwrap();
    fill(&disk, History::Evals, 10_000, 60);
    let store = disk.store();
    let before = whole(&disk, History::Evals);
    let goal = store.load().unwrap();
    assert_eq!((before.len(), in_goal(&goal, History::Evals)), (10_000, 10_000));
    let last = goal.eval_history().unwrap().last().unwrap().get().to_owned();
    assert!(!disk.files().contains_key(&at(EVALS)), "who looks moves nothing");

    gate(&disk).unwrap();
    let goal = store.load().unwrap();
    assert_eq!(whole(&disk, History::Evals), before);
    assert_eq!(goal.history_len(History::Evals).unwrap(), 10_000);
    assert_eq!(goal.eval_history().unwrap().last().unwrap().get(), last, "the newest stay");
    let text = goal.to_text().unwrap();
    assert!(text.len() < HISTORY_KEPT_LEN_MAX, "{}", text.len());
    let mut lines = String::new();
    for it in &before[..10_000 - in_goal(&goal, History::Evals)] {
        // Writing to a string does not fail.
        writeln!(lines, "{it}").ok();
    }
    assert_eq!(String::from_utf8(disk.files()[&at(EVALS)].clone()).unwrap(), lines);
}

/// H4
#[test]
fn a_file_that_has_less_than_counts_is_refused_where_it_is_needed_and_never_written() {
    let cut: fn(&Disk) = |disk| {
        let mut bytes = disk.files()[&at(EVALS)].clone();
        bytes.pop();
        disk.write(&at(EVALS), &bytes);
    };
    let gone: fn(&Disk) = |disk| vfs::Vfs::remove(disk, &at(EVALS)).unwrap();
    for damage in [cut, gone] {
        let disk = Disk::default();
        moved_and_full(&disk, History::Evals);
        let good = disk.files();
        damage(&disk);
        let bad = disk.files();
        let store = disk.store();
        let error = store.whole_history(&store.load().unwrap(), History::Evals).unwrap_err();
        assert_eq!(error.code(), "GOAL_FILE_CORRUPT");
        assert!(error.to_string().contains("/r/.octogent/goal-history-1.jsonl"), "{error}");
        assert_eq!(eval(&disk).unwrap_err(), "GOAL_FILE_CORRUPT");
        assert_eq!(disk.files(), bad, "nothing is written");
        gate(&disk).unwrap();
        attempt(&disk).unwrap();
        disk.write(&at(EVALS), &good[&at(EVALS)]);
        let before = whole(&disk, History::Evals);
        eval(&disk).unwrap();
        let after = whole(&disk, History::Evals);
        assert_eq!(after[..before.len()], before);
        assert_eq!(after.len(), before.len() + 1);
    }
}

/// H1
#[test]
fn a_file_with_other_lines_than_were_moved_is_no_history() {
    let disk = Disk::default();
    moved_and_full(&disk, History::Evals);
    let good = disk.files()[&at(EVALS)].clone();
    let mut damaged = good.clone();
    damaged[0] = b'x';
    let place = good.iter().position(|it| *it == b'\n').unwrap();
    let mut joined = good.clone();
    joined[place] = b' ';
    let mut split = good.clone();
    split[place - 1] = b'\n';
    for bytes in [damaged, joined, split] {
        disk.write(&at(EVALS), &bytes);
        let store = disk.store();
        let error = store.whole_history(&store.load().unwrap(), History::Evals).unwrap_err();
        assert_eq!(error.code(), "GOAL_FILE_CORRUPT", "{error}");
    }
    // What lies behind what counts is nobody's.
    disk.write(&at(EVALS), &[&good[..], b"{\"torn"].concat());
    whole(&disk, History::Evals);
    eval(&disk).unwrap();
    assert!(disk.files()[&at(EVALS)].starts_with(&good));
    whole(&disk, History::Evals);
}

/// F2, H5
#[test]
fn a_record_that_is_none_makes_the_goal_unreadable_and_force_keeps_both() {
    let disk = Disk::default();
    moved_and_full(&disk, History::Evals);
    let lines = disk.files()[&at(EVALS)].clone();
    let text = String::from_utf8(disk.files()[&at("goal.json")].clone()).unwrap();
    let bad = text.replacen("\"entries\"", "\"entrys\"", 1);
    assert_ne!(bad, text);
    disk.write(&at("goal.json"), bad.as_bytes());
    assert_eq!(eval(&disk).unwrap_err(), "GOAL_CORRUPT");
    assert_eq!(disk.files()[&at("goal.json")], bad.as_bytes());
    let aside = force(&disk, "h").unwrap().unwrap();
    assert_eq!(disk.files()[&aside], bad.as_bytes());
    assert_eq!(disk.files()[&at(EVALS)], lines);
}

/// F4
#[test]
fn who_lost_the_lock_moves_nothing() {
    let disk = Disk::default();
    full(&disk, History::Evals);
    let before = disk.files();
    let store = disk.store();
    let lost = store.change_within(WAIT, |_, goal| {
        vfs::Vfs::remove(&disk, &store.place().lock()).unwrap();
        Ok(goal.eval(EvalRequest::default(), &[], store.now()).map(drop)?)
    });
    assert_eq!(lost.unwrap_err().code(), "GOAL_LOCK_LOST");
    assert_eq!(disk.files(), before);
}
