//! Tentacles on a disk that loses power or fails, and in a process that is killed, at every step of every change.
//!
//! | change                    | writes, in this order                                    | done twice        |
//! |---------------------------|----------------------------------------------------------|-------------------|
//! | create                    | `todo.md`, `CONTEXT.md`, `meta.json`                      | refused           |
//! | link                      | `meta.json`, `goal.json`                                  | the same          |
//! | sent out                  | `meta.json`                                               | the same          |
//! | a note, done              | `handoff.md`, `goal.json`                                 | said twice        |
//! | needs an orchestrator     | `handoff.md`, `meta.json`, `goal.json`                    | said twice        |
//! | blocked by a quota        | `handoff.md`, `retry-queue.json`, `meta.json`, `goal.json` | said and counted twice |
//! | complete                  | `meta.json`, `retry-queue.json`, `goal.json`              | the same          |
//!
//! * **C1** A tentacle is there when its `meta.json` is, and then its other files are, too.
//! * **C2** What it said is written before anything that follows from it. Said twice, the last word is the same.
//! * **C3** The list inside the goal is the queue again when the change was asked for again.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod scene;

use goal::{Classifier, Handoff, HandoffStatus, Meta, TentacleStatus};
use scene::{Answer, Change, Disk, WAIT, answer, begin, crashes, faults, goal_with};

fn say(disk: &Disk, status: Option<HandoffStatus>, message: &str) -> Answer {
    let handoff = Handoff { status, message: message.to_owned(), ..Handoff::default() };
    answer(disk.store().handoff(WAIT, "a", handoff, &Classifier::default()))
}

fn block(disk: &Disk) -> Answer {
    say(disk, Some(HandoffStatus::Blocked), "429 Too Many Requests: rate limit, retry in 2h")
}

fn two(disk: &Disk) {
    goal_with(disk, &["a", "b"]);
}

fn create(disk: &Disk) -> Answer {
    let meta = Meta::new("a", "id-a".to_owned(), "x");
    answer(disk.store().create_tentacle(WAIT, meta, &["one".to_owned(), "two".to_owned()]))
}

fn blocked(disk: &Disk) {
    two(disk);
    block(disk).unwrap();
    say(disk, Some(HandoffStatus::Done), "it went on").unwrap();
}

fn complete(disk: &Disk) -> Answer {
    answer(disk.store().complete(WAIT, "a"))
}

const META: &str = "tentacles/a/meta.json";
const SAID: &str = "tentacles/a/handoff.md";
const QUEUE: &str = "retry-queue.json";
const GOAL: &str = "goal.json";

/// What each change begins with and writes.
const CHANGES: [Change; 11] = [
    Change {
        name: "create",
        before: |disk| begin(&disk.store()).unwrap(),
        make: create,
        order: &["tentacles/a/todo.md", "tentacles/a/CONTEXT.md", META],
        refused: Some("GOAL_TENTACLE_EXISTS"),
    },
    Change {
        name: "create without a goal",
        before: |_| {},
        make: create,
        order: &["tentacles/a/todo.md", "tentacles/a/CONTEXT.md", META],
        refused: Some("GOAL_TENTACLE_EXISTS"),
    },
    Change {
        name: "link",
        before: |disk| {
            begin(&disk.store()).unwrap();
            create(disk).unwrap();
        },
        make: |disk| answer(disk.store().link(WAIT, "a")),
        order: &[META, GOAL],
        refused: None,
    },
    Change {
        name: "sent out",
        before: two,
        make: |disk| {
            let active = |meta: &mut Meta| meta.status = TentacleStatus::Active;
            answer(disk.store().change_tentacle(WAIT, "a", active))
        },
        order: &[META],
        refused: None,
    },
    Change {
        name: "note",
        before: two,
        make: |disk| say(disk, None, "half of it"),
        order: &[SAID, GOAL],
        refused: None,
    },
    Change {
        name: "done",
        before: two,
        make: |disk| say(disk, Some(HandoffStatus::Done), "all of it"),
        order: &[SAID, GOAL],
        refused: None,
    },
    Change {
        name: "ambiguous",
        before: two,
        make: |disk| say(disk, Some(HandoffStatus::Ambiguous), "what is meant?"),
        order: &[SAID, META, GOAL],
        refused: None,
    },
    Change {
        name: "blocked",
        before: two,
        make: block,
        order: &[SAID, QUEUE, META, GOAL],
        refused: None,
    },
    Change {
        name: "complete",
        before: |disk| {
            two(disk);
            say(disk, Some(HandoffStatus::Done), "all of it").unwrap();
        },
        make: complete,
        order: &[META, GOAL],
        refused: None,
    },
    Change {
        name: "complete what waited",
        before: blocked,
        make: complete,
        order: &[META, QUEUE, GOAL],
        refused: None,
    },
    Change {
        name: "complete what waits",
        before: |disk| {
            two(disk);
            block(disk).unwrap();
        },
        make: complete,
        order: &[META, GOAL],
        refused: None,
    },
];

/// W1 to W7, C1, C2, C3
#[test]
fn a_crash_at_any_step_of_a_change_to_a_tentacle_loses_nothing_and_asking_again_ends_it() {
    let tried: u64 = CHANGES.iter().map(crashes).sum();
    assert!(tried > 2_000, "{tried}");
}

/// W8
#[test]
fn a_disk_that_fails_at_any_step_of_a_change_to_a_tentacle_loses_nothing() {
    let tried: u64 = CHANGES.iter().map(faults).sum();
    assert!(tried > 2_500, "{tried}");
}
