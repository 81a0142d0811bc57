//! A goal on a disk that loses power or fails, and in a process that is killed, at every step of every change.
//!
//! Each of these changes writes `goal.json` and nothing else: the beginning, evals, gates, criteria, attempts of a
//! verify-loop, the budget, escalations.
//!
//! * **C7** An eval that is asked for again with its anchor happens once.
//! * **C8** What cannot be read as a goal and is gone past is there under another name before a new goal is.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod scene;

use std::path::PathBuf;

use goal::{
    Budget, Criterion, Decision, EvalRequest, Goal, NewGoal, OpError, Run, Status, Store, Word,
};
use jiff::SignedDuration;
use scene::{Answer, Change, Disk, WAIT, answer, at, begin, crashes, faults, goal_with};
use vfs::{CrashPolicy, FaultPlan, OpenMode, Vfs, write_all_at};

const GOAL: &[&str] = &["goal.json"];

fn begun(disk: &Disk) {
    begin(&disk.store()).unwrap();
}

/// A goal with a criterion and a gate.
fn judged(disk: &Disk) {
    begun(disk);
    criterion(disk).unwrap();
    gate(disk, Word::Add { description: "look" }).unwrap();
}

fn change(disk: &Disk, change: impl FnOnce(&Store, &mut Goal)) -> Answer {
    let store = disk.store();
    answer(store.change_within(WAIT, |_, goal| {
        change(&store, goal);
        Ok(())
    }))
}

fn criterion(disk: &Disk) -> Answer {
    let new = Criterion {
        id: "sc".to_owned(),
        description: "it works".to_owned(),
        ..Criterion::default()
    };
    let store = disk.store();
    answer(store.change_within(WAIT, |_, goal| Ok(goal.add_criterion(new, store.now())?)))
}

fn gate(disk: &Disk, word: Word<'_>) -> Answer {
    answer(disk.store().say(WAIT, "G", word, Some("so it is")))
}

fn eval(disk: &Disk, decision: Decision) -> Answer {
    answer(disk.store().eval(WAIT, EvalRequest { decision, ..EvalRequest::default() }))
}

fn runs() -> [Run; 1] {
    [Run { id: "sc".to_owned(), command: None, exit_code: 1, output: "no".to_owned() }]
}

fn force(disk: &Disk, new: NewGoal) -> Result<Option<PathBuf>, OpError> {
    let store = disk.store();
    let held = store.lock(WAIT)?;
    Ok(store.begin(&held, &Goal::new(new, store.now()), true)?)
}

const fn goal_only(
    name: &'static str,
    before: fn(&Disk),
    make: fn(&Disk) -> Answer,
    refused: Option<&'static str>,
) -> Change {
    Change { name, before, make, order: GOAL, refused }
}

const CHANGES: [Change; 19] = [
    goal_only("begin", |_| {}, |it| begin(&it.store()), Some("GOAL_EXISTS")),
    goal_only(
        "begin anew",
        judged,
        |it| {
            let new = NewGoal { goal_id: "h".to_owned(), ..NewGoal::default() };
            force(it, new).map(drop).map_err(|it| it.code().to_owned())
        },
        None,
    ),
    goal_only("criteria add", begun, criterion, Some("GOAL_CRITERION_TAKEN")),
    goal_only(
        "criteria check",
        judged,
        |it| change(it, |s, g| g.record_runs(&runs(), s.now())),
        None,
    ),
    goal_only(
        "verify-loop",
        judged,
        |it| change(it, |s, g| g.record_attempt(1, &runs(), s.now()).unwrap()),
        None,
    ),
    goal_only(
        "escalate",
        judged,
        |it| change(it, |s, g| _ = g.escalate("stall", &[], s.now())),
        None,
    ),
    goal_only("limit", judged, |it| change(it, |s, g| _ = g.limit("iterations", s.now())), None),
    goal_only("reverify", judged, |it| change(it, |s, g| g.reverified(s.now())), None),
    goal_only(
        "budget",
        judged,
        |it| {
            let budget = Budget { max_iterations: Some(3), ..Budget::default() };
            change(it, |s, g| g.set_budget(budget, s.now()))
        },
        None,
    ),
    goal_only("gate add", begun, |it| gate(it, Word::Add { description: "look" }), None),
    goal_only("gate approve", judged, |it| gate(it, Word::Approve), None),
    goal_only("gate reject", judged, |it| gate(it, Word::Reject), None),
    goal_only("gate pass", judged, |it| gate(it, Word::Pass), None),
    goal_only("gate fail", judged, |it| gate(it, Word::Fail), None),
    goal_only("eval, blocked", judged, |it| eval(it, Decision::Continue), None),
    goal_only("eval, pause", judged, |it| eval(it, Decision::Pause), None),
    goal_only("eval, complete", begun, |it| eval(it, Decision::Complete), Some("GOAL_STATUS")),
    goal_only("eval, abandon", judged, |it| eval(it, Decision::Abandon), Some("GOAL_STATUS")),
    goal_only("eval, continue", begun, |it| eval(it, Decision::Continue), None),
];

/// W1 to W7, F1, L2
#[test]
fn a_crash_at_any_step_leaves_the_old_goal_or_the_new_and_what_was_answered_is_there() {
    let tried: u64 = CHANGES.iter().map(crashes).sum();
    assert!(tried > 2_000, "{tried}");
}

/// W8
#[test]
fn a_disk_that_fails_at_any_step_of_a_change_to_the_goal_loses_nothing() {
    let tried: u64 = CHANGES.iter().map(faults).sum();
    assert!(tried > 2_500, "{tried}");
}

/// C7
#[test]
fn an_eval_with_its_anchor_happens_once_whatever_crash_came_between() {
    let anchored = |disk: &Disk| {
        let request =
            EvalRequest { if_anchor: Some("1:active:1:cd0aa985"), ..EvalRequest::default() };
        disk.store().eval(WAIT, request)
    };
    let steps = {
        let disk = Disk::default();
        begun(&disk);
        disk.mem.set_plan(FaultPlan::none());
        assert!(!anchored(&disk).unwrap().replayed);
        disk.mem.steps()
    };
    for (step, seed) in (0..steps).flat_map(|it| (0..8).map(move |seed| (it, seed))) {
        let disk = Disk::default();
        begun(&disk);
        disk.mem.set_plan(FaultPlan::crash_at(step));
        let first = anchored(&disk);
        match seed {
            0 => disk.mem.process_kill(),
            seed => disk.mem.power_loss(CrashPolicy::Random(seed)),
        }
        let was_there = disk.store().load().unwrap().iteration() == 2;
        assert!(first.is_err() || was_there, "step {step}, seed {seed}");
        assert_eq!(anchored(&disk).unwrap().replayed, was_there, "step {step}, seed {seed}");
        let goal = disk.store().load().unwrap();
        assert_eq!((goal.iteration(), goal.eval_history().unwrap().len()), (2, 1));
    }
}

/// C8
#[test]
fn what_is_gone_past_is_never_lost_whatever_crash_came_between() {
    let damaged = b"{\"goal_id\":";
    let force = |disk: &Disk| force(disk, NewGoal::default());
    let ready = || {
        let disk = Disk::default();
        disk.write(&at("goal.json"), damaged);
        disk.mem.set_plan(FaultPlan::none());
        disk
    };
    let whole = ready();
    let aside = force(&whole).unwrap().unwrap();
    for (step, seed) in (0..whole.mem.steps()).flat_map(|it| (0..8).map(move |seed| (it, seed))) {
        let disk = ready();
        disk.mem.set_plan(FaultPlan::crash_at(step));
        let answered = force(&disk);
        match seed {
            0 => disk.mem.process_kill(),
            seed => disk.mem.power_loss(CrashPolicy::Random(seed)),
        }
        let found = disk.files();
        let kept = [&at("goal.json"), &aside]
            .into_iter()
            .any(|it| found.get(it).is_some_and(|it| it == damaged));
        assert!(kept, "step {step}, seed {seed}: {found:?}");
        assert!(answered.is_err() || disk.store().look().unwrap().is_some());
        if let Err(error) = force(&disk) {
            panic!("step {step}, seed {seed}: {error}");
        }
        let end = disk.files();
        assert_eq!(
            end.get(&aside).map(Vec::as_slice),
            Some(&damaged[..]),
            "step {step}, seed {seed}"
        );
        assert_eq!(disk.store().load().unwrap().status(), Status::Active);
    }
}

/// B1
#[test]
fn a_tentacle_whose_meta_cannot_be_looked_at_is_an_error_and_not_absent() {
    let disk = Disk::default();
    goal_with(&disk, &["a", "b"]);
    disk.hide(&at("tentacles/a/meta.json"));
    let error = disk.store().every_tentacle().unwrap_err();
    assert_eq!(error.code(), "GOAL_IO");
    assert!(error.to_string().contains("tentacles/a/meta.json"), "{error}");
}

/// F2, F3
#[test]
fn what_is_no_goal_is_never_written_over_and_what_is_absent_is_not_begun_by_a_change() {
    let vfs = Disk::default();
    let it = vfs.store();
    assert_eq!(eval(&vfs, Decision::Continue).unwrap_err(), "GOAL_ABSENT");
    assert!(it.look().unwrap().is_none());
    let file = vfs.open(&it.place().goal(), OpenMode::Create).unwrap();
    write_all_at(&*file, b"{\"goal_id\":", 0).unwrap();
    for tried in [eval(&vfs, Decision::Continue), begin(&it)] {
        assert_eq!(tried.unwrap_err(), "GOAL_CORRUPT");
    }
    let error = it.load().unwrap_err();
    assert!(error.to_string().contains("/r/.octogent/goal.json"), "{error}");
    assert_eq!(vfs.stat(&it.place().goal()).unwrap().unwrap().len, 11);
    let held = it.lock(SignedDuration::ZERO).unwrap();
    let goal = Goal::new(NewGoal::default(), it.now());
    let aside = it.begin(&held, &goal, true).unwrap().unwrap();
    assert_eq!(vfs.stat(&aside).unwrap().unwrap().len, 11, "it is kept");
    assert_eq!(it.load().unwrap().status(), Status::Active);
    drop(held);
    assert_eq!(begin(&it).unwrap_err(), "GOAL_EXISTS");
}

/// F4
#[test]
fn a_lock_that_was_taken_away_is_noticed_before_anything_is_written() {
    let vfs = Disk::default();
    goal_with(&vfs, &["a"]);
    let it = vfs.store();
    let held = it.lock(SignedDuration::ZERO).unwrap();
    let mut goal = it.load().unwrap();
    goal.eval(EvalRequest::default(), &[], it.now()).unwrap();
    vfs.remove(&it.place().lock()).unwrap();
    assert_eq!(it.save(&held, &mut goal).unwrap_err().code(), "GOAL_LOCK_LOST");
    assert_eq!(it.load().unwrap().iteration(), 1);
    drop(held);

    // A file beside the goal, too: the lock goes while what is changed is thought about.
    let before = vfs.files();
    let lock = it.place().lock();
    let changed = it.change_tentacle(WAIT, "a", |_| vfs.remove(&lock).unwrap());
    assert_eq!(changed.unwrap_err().code(), "GOAL_LOCK_LOST");
    assert_eq!(vfs.files(), before);
}
