//! Dispatch on a disk that loses power or fails, and in a process that is killed, at every step: the marker file alone,
//! and a whole tentacle that is sent out and comes back.
//!
//! | change                     | writes, in this order                                                       |
//! |----------------------------|-----------------------------------------------------------------------------|
//! | marker                     | the marker file; it goes with its last entry                                |
//! | a tentacle begins          | the marker file, `meta.json`                                                |
//! | a tentacle comes back      | `handoff.md`, `goal.json`, `meta.json`; the marker file goes                  |
//!
//! * **C9** A tentacle that is active has its marker, and has it until it is completed.
//! * **C10** What others wrote into the marker file stays, and a file that is damaged is not touched.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod scene;

use std::path::Path;

use goal::{
    Classifier, Handoff, HandoffStatus, Identity, MarkerEntry, MarkerFile, Meta, TentacleStatus,
    add_marker, change_markers, clean_markers, read_markers, remove_marker,
};
use scene::{Answer, Change, Disk, WAIT, answer, at, crashes, faults, goal_with};
use vfs::Vfs as _;

/// Below the state, so that it is one of the files that are looked at.
const MARKER: &str = "marker";
const META: &str = "tentacles/a/meta.json";
/// What another program wrote: a live entry of its own, a dead one, and keys that nobody here knows.
const OF_OTHERS: &str = r#"{"name":"m","sig":"abc","active_tentacles":[
    {"name":"live","ts":"0","git_root":"/x","mood":"good"},
    {"name":"dead","ts":"-90000","git_root":"/x"}],"theirs":{"a":[1,2.5]}}"#;

fn mark(disk: &Disk, change: impl FnOnce(&mut MarkerFile, &Disk)) -> Answer {
    let path = at(MARKER);
    let lock = disk.lock(&path.with_extension("lock"), "me");
    let held = lock.map_err(|it| it.to_string())?;
    let done = change_markers(disk, &held, &path, |file| change(file, disk));
    done.map_err(|it| it.code().to_owned())
}

fn enter(disk: &Disk) -> Answer {
    mark(disk, |file, disk| {
        let now = disk.store().now();
        let entry = MarkerEntry {
            name: "a".to_owned(),
            ts: Some(now.as_second().to_string()),
            git_root: Some("/r".to_owned()),
            tentacle_id: Some("id-a".to_owned()),
            ..MarkerEntry::default()
        };
        add_marker(file, entry, now);
    })
}

fn leave(disk: &Disk) -> Answer {
    let who = Identity { name: "a", git_root: Some("/r"), tentacle_id: Some("id-a") };
    mark(disk, |file, disk| {
        remove_marker(file, &who, disk.store().now());
    })
}

fn clean(disk: &Disk) -> Answer {
    mark(disk, |file, disk| {
        let store = disk.store();
        *file = clean_markers(file, store.now(), store.liveness()).0;
    })
}

fn with_others(disk: &Disk) {
    disk.create_dir_all(Path::new(scene::STATE)).unwrap();
    disk.write(&at(MARKER), OF_OTHERS.as_bytes());
}

fn sent(disk: &Disk) -> Answer {
    enter(disk)?;
    let active = |meta: &mut Meta| meta.status = TentacleStatus::Active;
    answer(disk.store().change_tentacle(WAIT, "a", active))
}

fn one(disk: &Disk) {
    goal_with(disk, &["a"]);
}

fn out(disk: &Disk) {
    one(disk);
    sent(disk).unwrap();
}

const CHANGES: [Change; 7] = [
    Change { name: "first entry", before: one, make: enter, order: &[MARKER], refused: None },
    Change {
        name: "entry beside others",
        before: with_others,
        make: enter,
        order: &[MARKER],
        refused: None,
    },
    Change {
        name: "entry goes from others",
        before: |disk| {
            with_others(disk);
            enter(disk).unwrap();
        },
        make: leave,
        order: &[MARKER],
        refused: None,
    },
    Change { name: "last entry goes", before: out, make: leave, order: &[MARKER], refused: None },
    Change { name: "cleanup", before: with_others, make: clean, order: &[MARKER], refused: None },
    Change { name: "sent out", before: one, make: sent, order: &[MARKER, META], refused: None },
    Change {
        name: "comes back",
        before: out,
        make: |disk| {
            let handoff = Handoff { status: Some(HandoffStatus::Done), ..Handoff::default() };
            answer(disk.store().handoff(WAIT, "a", handoff, &Classifier::default()))?;
            answer(disk.store().complete(WAIT, "a"))?;
            leave(disk)
        },
        order: &["tentacles/a/handoff.md", "goal.json", META, MARKER],
        refused: None,
    },
];

/// W1 to W7, C9
#[test]
fn a_crash_at_any_step_of_a_dispatch_loses_nothing_and_asking_again_ends_it() {
    let tried: u64 = CHANGES.iter().map(crashes).sum();
    assert!(tried > 800, "{tried}");
}

/// W8
#[test]
fn a_disk_that_fails_at_any_step_of_a_dispatch_loses_nothing() {
    let tried: u64 = CHANGES.iter().map(faults).sum();
    assert!(tried > 900, "{tried}");
}

/// C10
#[test]
fn what_others_wrote_into_a_marker_file_stays_and_a_damaged_one_is_not_touched() {
    let disk = Disk::default();
    with_others(&disk);
    enter(&disk).unwrap();
    clean(&disk).unwrap();
    let file = read_markers(&disk, &at(MARKER)).unwrap();
    let names: Vec<&str> = file.active_tentacles.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["live", "a"]);
    assert_eq!((file.sig.as_deref(), file.active_tentacles[0].extra.len()), (Some("abc"), 1));
    assert_eq!(file.extra["theirs"], serde_json::json!({"a": [1, 2.5]}));

    disk.write(&at(MARKER), &OF_OTHERS.as_bytes()[..40]);
    let before = disk.files();
    for change in [enter, leave, clean] {
        assert_eq!(change(&disk).unwrap_err(), "MARKER_CORRUPT");
    }
    assert_eq!(disk.files(), before);
}
