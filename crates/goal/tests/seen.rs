//! Which tentacles an eval looks at.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use goal::{
    Clock, Goal, HandoffStatus, LinuxLiveness, Meta, NewGoal, Place, Store, dispatch_states,
};
use jiff::{SignedDuration, Timestamp};
use vfs::OsVfs;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
    fn pause(&self, _: SignedDuration) {}
}

const WAIT: SignedDuration = SignedDuration::from_secs(1);

fn tentacle(store: &Store, name: &str, depends_on: &[&str], last: Option<HandoffStatus>) {
    let mut meta = Meta::new(name, format!("t-{name}"), "");
    meta.depends_on = depends_on.iter().map(|it| (*it).to_owned()).collect();
    meta.terminal_status = last;
    store.create_tentacle(WAIT, meta, &[]).unwrap();
}

fn states(store: &Store, goal: &Goal) -> Vec<(String, String)> {
    let seen = store.seen(goal).unwrap();
    seen.into_iter().map(|it| (it.name, it.state)).collect()
}

/// B1
#[test]
fn an_eval_sees_what_every_tentacle_would_tell_and_reads_only_what_the_iteration_depends_on() {
    let dir = tempfile::tempdir().unwrap();
    let alive = Arc::new(LinuxLiveness::new().unwrap());
    let place = Place::in_state_dir(dir.path());
    let store = Store::new(Arc::new(OsVfs), place, std::process::id(), alive, Arc::new(Still));
    tentacle(&store, "after-failure", &["between"], None);
    tentacle(&store, "between", &["failed"], None);
    tentacle(&store, "failed", &[], Some(HandoffStatus::Blocked));
    tentacle(&store, "loop-a", &["loop-b"], None);
    tentacle(&store, "loop-b", &["loop-a"], None);
    tentacle(&store, "after-nobody", &["nobody", "../no name"], None);
    tentacle(&store, "done", &["between"], Some(HandoffStatus::Done));
    tentacle(&store, "other", &["done"], None);
    let mut goal = Goal::new(NewGoal::default(), Timestamp::UNIX_EPOCH);
    for name in ["after-failure", "loop-a", "after-nobody", "done", "missing"] {
        goal.link(name, Timestamp::UNIX_EPOCH);
    }

    let told = dispatch_states(&store.every_tentacle().unwrap());
    let told = goal.current_tentacles().iter().map(|name| {
        let state = told.get(name).map_or("missing", |it| it.as_str());
        (name.clone(), state.to_owned())
    });
    let told: Vec<_> = told.collect();
    assert_eq!(states(&store, &goal), told);
    assert!(told.iter().any(|it| it.1 == "missing"));

    let spoil = |name| std::fs::write(store.place().tentacle(name, "meta.json"), "{").unwrap();
    spoil("other");
    assert!(store.every_tentacle().is_err());
    assert_eq!(states(&store, &goal), told, "it has no part in this iteration");
    spoil("failed");
    let error = store.seen(&goal).unwrap_err().to_string();
    assert!(error.contains("failed/meta.json"), "{error}");
}

/// What two dispatches decided at the same time is begun by one of them, also when work on it had begun before.
#[test]
fn work_is_begun_once_by_those_who_saw_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let alive = Arc::new(LinuxLiveness::new().unwrap());
    let place = Place::in_state_dir(dir.path());
    let store = Store::new(Arc::new(OsVfs), place, std::process::id(), alive, Arc::new(Still));
    tentacle(&store, "a", &[], None);
    for again in [false, true] {
        let seen = store.tentacle("a").unwrap().unwrap().meta;
        let mine = store.begin_work(WAIT, "a", &seen).unwrap().unwrap();
        assert!(store.begin_work(WAIT, "a", &seen).unwrap().is_none(), "again: {again}");
        assert!(store.is_my_work("a", &mine).unwrap(), "again: {again}");
        assert!(!store.is_my_work("a", &seen).unwrap(), "again: {again}");
    }
    assert_eq!(store.tentacle("a").unwrap().unwrap().meta.begun, Some(2));
}
