use std::{collections::BTreeSet, fs, thread};

use super::*;
use crate::process::LinuxLiveness;
use vfs::OsVfs;

/// Gives data a name.
type Put = fn(&Path, &Path);

/// Processes that live, by number.
struct Living(BTreeSet<u32>);

impl Liveness for Living {
    fn host(&self) -> &'static str {
        "here"
    }
    fn boot_id(&self) -> &'static str {
        "boot"
    }
    fn start_time(&self, pid: u32) -> Option<u64> {
        self.0.contains(&pid).then_some(1)
    }
}

fn os() -> Arc<dyn Vfs> {
    Arc::new(OsVfs)
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(seconds)
}

fn take(path: &Path, now: Timestamp) -> Result<Held, LockError> {
    let living = Living(BTreeSet::from([7, 8]));
    try_lock(&os(), path, &Owner::new(7, &living), &living, now)
}

/// L3
#[test]
fn a_lock_names_its_holder_and_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("goal.json.lock");
    let held = take(&path, later(0)).unwrap();
    let owner: Owner = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!((owner.pid, owner.host.as_str(), owner.start_time), (7, "here", Some(1)));
    let busy = take(&path, later(3600)).unwrap_err();
    assert!(
        matches!(&busy, LockError::Busy { holder, .. } if holder.contains("process 7")),
        "{busy}"
    );
    assert_eq!(busy.code(), "GOAL_LOCKED");
    drop(held);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// L2, and every row of the table about what is found there
#[test]
fn what_a_dead_process_left_is_taken_over_and_what_a_living_one_has_is_not() {
    let record =
        |pid: u32| serde_json::to_string(&Owner::new(pid, &Living(BTreeSet::new()))).unwrap();
    let rows = [
        // (content, age in seconds, whether it is taken over)
        (record(7), 0, true),
        (record(9), 0, true),
        ("9".to_owned(), 0, true),
        ("9\n".to_owned(), 0, true),
        ("8".to_owned(), 3600, false),
        ("garbage".to_owned(), 31, true),
        ("garbage".to_owned(), 1, false),
        (String::new(), 31, true),
        (String::new(), 1, false),
    ];
    for (content, age, taken) in rows {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        fs::write(&path, &content).unwrap();
        let found = take(&path, later(age));
        assert_eq!(found.is_ok(), taken, "{content:?} {age}: {found:?}");
        if let Ok(held) = found {
            assert!(take(&path, later(age)).is_err(), "L1: {content:?}");
            drop(held);
            assert!(!path.exists());
        } else {
            assert_eq!(fs::read_to_string(&path).unwrap(), content, "left as it was");
        }
    }
}

#[test]
fn a_look_clears_what_a_dead_process_left_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    let living = Living(BTreeSet::from([7, 8]));
    let me = Owner::new(7, &living);
    let clear = || {
        let held = take_dead(&os(), &path, &me, &living, later(0)).unwrap();
        let there = held.is_some();
        // L4
        assert!(held.is_none_or(|it| it.took_over()));
        clear_temps(&os(), &path, &living).unwrap();
        there
    };
    assert!(!clear());
    assert!(!take(&path, later(0)).unwrap().took_over());
    fs::write(&path, "9").unwrap();
    fs::write(dir.path().join("l.9"), "").unwrap();
    fs::write(dir.path().join("l.8"), "").unwrap();
    assert!(clear());
    assert!(!path.exists() && !dir.path().join("l.9").exists() && dir.path().join("l.8").exists());
    fs::write(&path, "8").unwrap();
    assert!(!clear() && path.exists());
}

fn take_a_turn(pid: u32, real: &LinuxLiveness, path: &Path, count: &Path) {
    let me = Owner::new(pid, real);
    loop {
        if let Ok(_held) = try_lock(&os(), path, &me, real, Timestamp::now()) {
            let old: u32 = fs::read_to_string(count).unwrap().parse().unwrap();
            fs::write(count, (old + 1).to_string()).unwrap();
            return;
        }
        thread::yield_now();
    }
}

/// L1: a thousand times, two contenders and the lock of a dead process.
#[test]
fn there_are_never_two_holders_and_no_turn_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (path, count) = (dir.path().join("l"), dir.path().join("count"));
    fs::write(&count, "0").unwrap();
    let real = LinuxLiveness::new().unwrap();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let dead = child.id();
    child.wait().unwrap();
    for _ in 0..1000 {
        fs::write(&path, dead.to_string()).unwrap();
        thread::scope(|scope| {
            for pid in [std::process::id(), std::process::id() + 1_000_000] {
                let (real, path, count) = (&real, &path, &count);
                scope.spawn(move || take_a_turn(pid, real, path, count));
            }
        });
    }
    assert_eq!(fs::read_to_string(&count).unwrap(), "2000");
    assert!(!path.exists());
}

/// L5: data has the name of the lock by a link, and the name of a publisher.
#[test]
fn what_is_no_lock_is_refused_and_stays_as_it_is() {
    let long = "x".repeat(4097);
    let rows: [(&str, &str, Put); 5] = [
        ("l", "{}", |data, at| std::os::unix::fs::symlink(data, at).unwrap()),
        ("l", "{}", |data, at| fs::hard_link(data, at).unwrap()),
        ("l", &long, |data, at| fs::rename(data, at).unwrap()),
        ("l.7", "{}", |data, at| std::os::unix::fs::symlink(data, at).unwrap()),
        ("l.7", "{}", |data, at| fs::hard_link(data, at).unwrap()),
    ];
    for (name, content, put) in rows {
        let dir = tempfile::tempdir().unwrap();
        let (data, at) = (dir.path().join("goal.json"), dir.path().join(name));
        fs::write(&data, content).unwrap();
        put(&data, &at);
        for _ in 0..2 {
            let error = take(&dir.path().join("l"), later(3600)).unwrap_err();
            assert_eq!(error.code(), "GOAL_LOCK_INVALID", "{name}: {error}");
            assert_eq!(fs::read_to_string(&at).unwrap(), content, "{name}: {error}");
        }
    }
}

/// L5: a link that leads nowhere does not become a file.
#[test]
fn a_link_to_nothing_is_refused_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("l")).unwrap();
    assert_eq!(take(&dir.path().join("l"), later(0)).unwrap_err().code(), "GOAL_LOCK_INVALID");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// L2 and L5: killed between the two names of a published lock; and a link that only looks like a second name.
#[test]
fn the_second_name_that_a_killed_publisher_left_is_one_of_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let record = serde_json::to_string(&Owner::new(9, &Living(BTreeSet::new()))).unwrap();
    fs::write(at("l.9"), &record).unwrap();
    fs::hard_link(at("l.9"), at("l")).unwrap();
    let held = take(&at("l"), later(0)).unwrap();
    assert!(held.took_over());
    drop(held);
    fs::remove_file(at("l.9")).unwrap();
    fs::write(at("goal.json"), "{}").unwrap();
    fs::hard_link(at("goal.json"), at("l")).unwrap();
    std::os::unix::fs::symlink("goal.json", at("l.9")).unwrap();
    assert_eq!(take(&at("l"), later(3600)).unwrap_err().code(), "GOAL_LOCK_INVALID");
    assert_eq!(fs::read_to_string(at("goal.json")).unwrap(), "{}");
}
