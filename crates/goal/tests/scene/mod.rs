//! A change to the files of a goal, tried with a crash and with a failing disk at each of its steps.
//!
//! What must hold for every change (each test file says in which order its changes write):
//!
//! * **W1** Every file is the old one or the new one, whole.
//! * **W2** Files become new in the order that the change declares: `goal.json` comes behind the files beside it.
//! * **W3** What was answered with success is all there.
//! * **W4** Nothing of anybody else is changed or removed.
//! * **W5** Whoever looks reads every file without an error.
//! * **W6** Asked for again, it succeeds, or is refused because it is done. A file that was old then is as one run
//!   leaves it; a file that was new, as one run or two runs leave it: most changes are the same done twice.
//! * **W7** What the second run answered stays when the power is lost right behind it.
//! * **W8** A disk that fails gives an error or no harm, and the rest is as after a crash. The one exception: names
//!   whose sync failed are in doubt until their directory is written again, so W7 is not asked for then.
//! * **W9** A file of lines, the older part of a history, is not replaced. Until `goal.json` is new it has what it had,
//!   and behind that what it may; then it is the new one. What counts of it can always be read.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

mod disk;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use goal::{Goal, History, Meta, NewGoal, OpError, Store};
use jiff::SignedDuration;
use vfs::{CrashPolicy, Fault, FaultPlan, Op};

pub use disk::Disk;

/// Wait for the lock.
pub const WAIT: SignedDuration = SignedDuration::from_secs(1);
/// The directory of the state.
pub const STATE: &str = "/r/.octogent";
/// Seeds of a disk that keeps some of what was not synced.
const SEEDS: u64 = 6;

/// What a change answers: nothing, or the code of its error.
pub type Answer = Result<(), String>;
/// Files by path, locks and half-written ones aside.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A change, and what is there before it.
#[derive(Clone, Copy)]
pub struct Change {
    pub name: &'static str,
    pub before: fn(&Disk),
    pub make: fn(&Disk) -> Answer,
    /// The files that it changes, below the state, in the order in which it does.
    pub order: &'static [&'static str],
    /// The code that refuses it when it is done already.
    pub refused: Option<&'static str>,
}

/// How the machine stops.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Kill,
    /// Somebody looks at the goal before it is changed again, and clears the lock.
    KillAndLook,
    Power(CrashPolicy),
}

impl Stop {
    fn all() -> Vec<Self> {
        let mut all = vec![
            Self::Kill,
            Self::KillAndLook,
            Self::Power(CrashPolicy::LoseAll),
            Self::Power(CrashPolicy::KeepAll),
        ];
        all.extend((1..=SEEDS).map(|it| Self::Power(CrashPolicy::Random(it))));
        all
    }

    fn happens(self, disk: &Disk) {
        match self {
            Self::Kill => disk.mem.process_kill(),
            Self::KillAndLook => {
                disk.mem.process_kill();
                disk.store().clear_dead_lock().unwrap();
            }
            Self::Power(policy) => disk.mem.power_loss(policy),
        }
    }
}

/// The answer of an operation.
pub fn answer<T>(done: Result<T, OpError>) -> Answer {
    done.map(drop).map_err(|it| it.code().to_owned())
}

/// A path below the state.
pub fn at(name: &str) -> PathBuf {
    Path::new(STATE).join(name)
}

/// Begins a goal with the id `g`.
pub fn begin(store: &Store) -> Answer {
    let held = store.lock(WAIT).map_err(|it| it.code().to_owned())?;
    let new = NewGoal { goal_id: "g".to_owned(), title: "G".to_owned(), ..NewGoal::default() };
    let begun = store.begin(&held, &Goal::new(new, store.now()), false);
    begun.map(drop).map_err(|it| it.code().to_owned())
}

/// A goal with these tentacles, which are linked.
pub fn goal_with(disk: &Disk, names: &[&str]) {
    let store = disk.store();
    begin(&store).unwrap();
    for name in names {
        let meta = Meta::new(name, format!("id-{name}"), "what it is about");
        store.create_tentacle(WAIT, meta, &["find out".to_owned()]).unwrap();
        store.link(WAIT, name).unwrap();
    }
}

/// What happens without any disturbance.
struct Course {
    old: Files,
    new: Files,
    twice: Files,
    steps: u64,
}

impl Course {
    fn of(it: &Change) -> Self {
        let disk = ready(it);
        let old = disk.files();
        disk.mem.set_plan(FaultPlan::none());
        assert_eq!((it.make)(&disk), Ok(()), "{}", it.name);
        let (new, steps) = (disk.files(), disk.mem.steps());
        let again = (it.make)(&disk);
        assert_eq!(again.err().as_deref(), it.refused, "{} again", it.name);
        let course = Self { old, new, twice: disk.files(), steps };
        let changed: BTreeSet<PathBuf> =
            course.paths().into_iter().filter(|it| course.is_changed(it)).collect();
        assert_eq!(changed, it.order.iter().map(|it| at(it)).collect(), "{}", it.name);
        course
    }

    fn paths(&self) -> BTreeSet<PathBuf> {
        [&self.old, &self.new, &self.twice].into_iter().flat_map(|it| it.keys().cloned()).collect()
    }

    fn is_changed(&self, path: &Path) -> bool {
        self.old.get(path) != self.new.get(path)
    }

    /// W1, W2, W4, W9
    fn check_between(&self, it: &Change, found: &Files, note: &str) {
        let paths: BTreeSet<PathBuf> =
            self.paths().into_iter().chain(found.keys().cloned()).collect();
        for path in &paths {
            let is = found.get(path);
            let grown = is_lines(path) && self.old.get(path).is_none_or(|old| starts_with(is, old));
            let whole = is == self.old.get(path) || is == self.new.get(path) || grown;
            assert!(whole, "{note}: {} is {}", path.display(), shown(is));
        }
        let new: Vec<bool> =
            it.order.iter().map(|name| found.get(&at(name)) == self.new.get(&at(name))).collect();
        assert!(new.is_sorted_by(|a, b| a >= b), "{note}: {:?} are new as {new:?}", it.order);
    }

    /// W6
    fn check_after(&self, (found, end): (&Files, &Files), note: &str) {
        let paths: BTreeSet<PathBuf> =
            self.paths().into_iter().chain(end.keys().cloned()).collect();
        for path in &paths {
            let is = end.get(path);
            let was_new = self.is_changed(path) && found.get(path) == self.new.get(path);
            let good = is == self.new.get(path) || (was_new && is == self.twice.get(path));
            let want = shown(self.new.get(path));
            assert!(good, "{note}: {} is {}\nnot {want}", path.display(), shown(is));
        }
    }
}

fn is_lines(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "jsonl")
}

fn starts_with(bytes: Option<&Vec<u8>>, old: &[u8]) -> bool {
    bytes.is_some_and(|it| it.starts_with(old))
}

fn shown(bytes: Option<&Vec<u8>>) -> String {
    bytes.map_or("absent".to_owned(), |it| String::from_utf8_lossy(it).into_owned())
}

/// A disk on which everything is as before the change, with files of others here and there.
fn ready(it: &Change) -> Disk {
    let disk = Disk::default();
    (it.before)(&disk);
    disk.later();
    for name in ["notes.txt", "goal.json.bak", "tentacles/readme.md", "tentacles/a/own.txt"] {
        disk.write(&at(name), format!("{name} of somebody").as_bytes());
    }
    disk
}

/// W5, W9
fn look(disk: &Disk, note: &str) {
    let store = disk.store();
    let goal = store.look().unwrap_or_else(|error| panic!("{note}: {error}"));
    let all = store.every_tentacle().unwrap_or_else(|error| panic!("{note}: {error}"));
    for name in all.keys() {
        store.last_handoff(name).unwrap_or_else(|error| panic!("{note}: {error}"));
    }
    for (goal, which) in goal.iter().flat_map(|it| History::ALL.map(|which| (it, which))) {
        let all = store.whole_history(goal, which);
        let all = all.unwrap_or_else(|error| panic!("{note}: {error}"));
        assert_eq!(all.len() as u64, goal.history_len(which).unwrap(), "{note}: {which:?}");
    }
    let queue = store.retry_queue(goal.as_ref()).unwrap_or_else(|error| panic!("{note}: {error}"));
    let names: BTreeSet<&str> = queue.entries.iter().map(|it| it.tentacle.as_str()).collect();
    assert_eq!(names.len(), queue.entries.len(), "{note}: one entry a tentacle");
    if let Some(crumb) = store.breadcrumb() {
        serde_json::from_slice::<serde_json::Value>(&crumb).unwrap();
    }
    store.session_banner();
}

/// W6, W7: does it again, and looks at what it leaves.
fn repeat(it: &Change, course: &Course, disk: &Disk, names_in_doubt: bool, note: &str) {
    let found = disk.files();
    let again = (it.make)(disk);
    let end = disk.files();
    if let Err(code) = &again {
        assert!(found == course.new && end == found, "{note}: refused with {code}");
        assert_eq!(Some(code.as_str()), it.refused, "{note}");
    }
    course.check_after((&found, &end), note);
    assert_eq!(disk.leftovers(), Vec::<PathBuf>::new(), "{note}");
    if again.is_ok() && !names_in_doubt {
        disk.mem.power_loss(CrashPolicy::LoseAll);
        course.check_after((&found, &disk.files()), &format!("{note}, and a loss behind it"));
        assert_eq!(disk.files(), end, "{note}: W7");
    }
}

/// Crashes at every step, in every way; returns how often.
pub fn crashes(it: &Change) -> u64 {
    let course = Course::of(it);
    let mut tried = 0;
    for step in 0..course.steps {
        for stop in Stop::all() {
            let note = format!("{}, step {step}, {stop:?}", it.name);
            let disk = ready(it);
            disk.mem.set_plan(FaultPlan::crash_at(step));
            let done = (it.make)(&disk);
            stop.happens(&disk);
            let found = disk.files();
            course.check_between(it, &found, &note);
            assert!(done.is_err() || found == course.new, "{note}: W3");
            look(&disk, &note);
            repeat(it, &course, &disk, false, &note);
            tried += 1;
        }
    }
    tried
}

/// A fault once, or from then on.
fn failing(step: u64, fault: Fault, lasts: bool) -> FaultPlan {
    FaultPlan::new(move |now, op| {
        // Nothing but a write can be short.
        let fits = !matches!(fault, Fault::Short(_)) || matches!(op, Op::Write { .. });
        (fits && (now == step || (lasts && now > step))).then_some(fault)
    })
}

/// Fails at every step, in every way; returns how often.
pub fn faults(it: &Change) -> u64 {
    let course = Course::of(it);
    let mut tried = 0;
    let all = [
        (Fault::Eio, false),
        (Fault::Eio, true),
        (Fault::Enospc, false),
        (Fault::Enospc, true),
        (Fault::ReadOnly, true),
        (Fault::Interrupted, false),
        (Fault::Short(3), false),
    ];
    for step in 0..course.steps {
        for ((fault, lasts), stop) in all
            .into_iter()
            .flat_map(|it| [(it, None), (it, Some(Stop::Power(CrashPolicy::LoseAll)))])
        {
            let note = format!("{}, step {step}, {fault:?} {lasts}, {stop:?}", it.name);
            let disk = ready(it);
            disk.mem.set_plan(failing(step, fault, lasts));
            let done = (it.make)(&disk);
            let trace = disk.mem.trace();
            let failed = trace.get(usize::try_from(step).unwrap());
            let failed_sync = matches!(failed, Some(Op::SyncDir(_)));
            if matches!(fault, Fault::Short(_)) && !matches!(failed, Some(Op::Write { .. })) {
                continue;
            }
            disk.mem.set_plan(FaultPlan::none());
            if let Some(stop) = stop {
                stop.happens(&disk);
            }
            let found = disk.files();
            course.check_between(it, &found, &note);
            assert!(done.is_err() || found == course.new, "{note}: W3");
            look(&disk, &note);
            repeat(it, &course, &disk, failed_sync && stop.is_none(), &note);
            tried += 1;
        }
    }
    tried
}
