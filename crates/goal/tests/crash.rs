//! A goal on a disk that loses power, or in a process that is killed, at every step of every change.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use goal::{
    Clock, EvalRequest, Goal, LinuxLiveness, NewGoal, Place, Status, Store, StoreError, Word,
};
use jiff::{SignedDuration, Timestamp};
use vfs::{CrashPolicy, FaultPlan, MemVfs, OpenMode, Vfs, write_all_at};

/// A clock that a test turns.
#[derive(Default)]
struct Turned(AtomicI64);

impl Clock for Turned {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }
    fn pause(&self, duration: SignedDuration) {
        let ms = i64::try_from(duration.as_millis()).unwrap();
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

fn store(vfs: &MemVfs) -> Store {
    let vfs: Arc<dyn Vfs> = Arc::new(vfs.clone());
    let alive = Arc::new(LinuxLiveness::new().unwrap());
    let place = Place::in_state_dir(Path::new("/r/.octogent"));
    Store::new(vfs, place, std::process::id(), alive, Arc::new(Turned::default()))
}

fn begin(store: &Store) -> Result<(), StoreError> {
    let held = store.lock(SignedDuration::from_secs(1))?;
    let new = NewGoal { goal_id: "g".to_owned(), ..NewGoal::default() };
    store.begin(&held, &Goal::new(new, store.now()), false).map(drop)
}

/// A change that a table of statuses and a history take part in.
fn advance(store: &Store) -> Result<(), StoreError> {
    let held = store.lock(SignedDuration::from_secs(1))?;
    let mut goal = store.load()?;
    goal.say("G", Word::Pass, None, store.now()).unwrap();
    goal.eval(EvalRequest::default(), &[], store.now()).unwrap();
    store.save(&held, &goal)
}

fn text(store: &Store) -> Option<String> {
    store.look().unwrap().map(|it| it.to_text().unwrap())
}

/// F1, L2
#[test]
fn a_crash_at_any_step_leaves_the_old_goal_or_the_new_and_what_was_answered_is_there() {
    let whole = MemVfs::new(FaultPlan::none());
    begin(&store(&whole)).unwrap();
    let old = text(&store(&whole)).unwrap();
    let before = whole.steps();
    advance(&store(&whole)).unwrap();
    let (new, steps) = (text(&store(&whole)).unwrap(), whole.steps());
    assert!(steps > before + 5, "a lock, a write, two syncs and a rename");
    for (crash, kill) in (0..=steps).flat_map(|it| [(it, false), (it, true)]) {
        let vfs = MemVfs::new(FaultPlan::crash_at(crash));
        let began = begin(&store(&vfs)).is_ok();
        let advanced = began && advance(&store(&vfs)).is_ok();
        vfs.set_plan(FaultPlan::none());
        if kill {
            vfs.process_kill();
        } else {
            vfs.power_loss(CrashPolicy::Random(crash));
        }
        let found = text(&store(&vfs));
        let allowed = match (began, advanced) {
            (_, true) => found.as_ref() == Some(&new),
            (true, false) => found.as_ref().is_some_and(|it| *it == old || *it == new),
            (false, false) => found.as_ref().is_none_or(|it| *it == old),
        };
        assert!(allowed, "step {crash}, kill {kill}, {began} {advanced}: {found:?}");
        if kill && found.is_some() {
            advance(&store(&vfs)).unwrap();
        }
    }
}

/// F2, F3
#[test]
fn what_is_no_goal_is_never_written_over_and_what_is_absent_is_not_begun_by_a_change() {
    let vfs = MemVfs::new(FaultPlan::none());
    let it = store(&vfs);
    assert_eq!(advance(&it).unwrap_err().code(), "GOAL_ABSENT");
    assert_eq!(text(&it), None);
    let file = vfs.open(&it.place().goal(), OpenMode::Create).unwrap();
    write_all_at(&*file, b"{\"goal_id\":", 0).unwrap();
    for tried in [advance(&it), begin(&it)] {
        let error = tried.unwrap_err();
        assert_eq!(error.code(), "GOAL_CORRUPT");
        assert!(error.to_string().contains("/r/.octogent/goal.json"), "{error}");
    }
    assert_eq!(vfs.stat(&it.place().goal()).unwrap().unwrap().len, 11);
    let held = it.lock(SignedDuration::ZERO).unwrap();
    let goal = Goal::new(NewGoal::default(), it.now());
    let aside = it.begin(&held, &goal, true).unwrap().unwrap();
    assert_eq!(vfs.stat(&aside).unwrap().unwrap().len, 11, "it is kept");
    assert_eq!(it.load().unwrap().status(), Status::Active);
    drop(held);
    assert_eq!(begin(&it).unwrap_err().code(), "GOAL_EXISTS");
}

/// F4
#[test]
fn a_lock_that_was_taken_away_is_noticed_before_anything_is_written() {
    let vfs = MemVfs::new(FaultPlan::none());
    let it = store(&vfs);
    begin(&it).unwrap();
    let held = it.lock(SignedDuration::ZERO).unwrap();
    let mut goal = it.load().unwrap();
    goal.eval(EvalRequest::default(), &[], it.now()).unwrap();
    vfs.remove(&it.place().lock()).unwrap();
    assert_eq!(it.save(&held, &goal).unwrap_err().code(), "GOAL_LOCK_LOST");
    assert_eq!(it.load().unwrap().iteration(), 1);
}
