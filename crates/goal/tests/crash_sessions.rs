//! The end of a session and what goes on after it, on a disk that loses power or fails, and in a process that is
//! killed, at every step.
//!
//! | change                    | writes, in this order                                                | done twice |
//! |---------------------------|----------------------------------------------------------------------|------------|
//! | end of a session          | breadcrumb, `goal.json`                                               | nothing    |
//! | resume                    | `goal.json`; the breadcrumb goes                                      | counts `seq` |
//! | resume, reset             | `retry-queue.json`, each `meta.json`, `goal.json`; the breadcrumb goes | counts `seq` |
//!
//! * **C4** A goal that its session paused has its breadcrumb.
//! * **C5** A tentacle that is in the queue is not idle: the queue is shorter before it is, so that who asks again
//!   finds what is still to be done.
//! * **C6** A breadcrumb that a crash left behind says nothing about a later pause.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod scene;

use goal::{
    Classifier, Decision, EvalRequest, Handoff, HandoffStatus, ResumeRequest, Status, Word,
};
use scene::{Answer, Change, Disk, WAIT, answer, at, begin, crashes, faults, goal_with};
use vfs::FaultPlan;

const GOAL: &str = "goal.json";
const CRUMB: &str = "goal-resume-breadcrumb.json";
const QUEUE: &str = "retry-queue.json";
const META_A: &str = "tentacles/a/meta.json";
const META_B: &str = "tentacles/b/meta.json";

fn end(disk: &Disk) -> Answer {
    answer(disk.store().end_session(WAIT, "normal"))
}

fn resume(disk: &Disk, request: ResumeRequest) -> Answer {
    answer(disk.store().resume(WAIT, request, None))
}

fn say(disk: &Disk, name: &str, status: HandoffStatus, message: &str) {
    let handoff =
        Handoff { status: Some(status), message: message.to_owned(), ..Handoff::default() };
    disk.store().handoff(WAIT, name, handoff, &Classifier::default()).unwrap();
}

/// Three tentacles, two of which wait for a quota, and a session that ended.
fn waiting(disk: &Disk) {
    goal_with(disk, &["a", "b", "c"]);
    for name in ["a", "b"] {
        say(disk, name, HandoffStatus::Blocked, "429 Too Many Requests: rate limit");
    }
    say(disk, "c", HandoffStatus::TooBig, "split it");
    end(disk).unwrap();
}

fn awaiting(disk: &Disk) {
    begin(&disk.store()).unwrap();
    disk.store().say(WAIT, "G", Word::Add { description: "" }, None).unwrap();
    disk.store().say(WAIT, "G", Word::Reject, Some("not yet")).unwrap();
    end(disk).unwrap();
}

fn rewound(disk: &Disk) {
    goal_with(disk, &["a"]);
    say(disk, "a", HandoffStatus::Done, "all of it");
    disk.store().complete(WAIT, "a").unwrap();
    disk.store().eval(WAIT, EvalRequest::default()).unwrap();
    disk.store().link(WAIT, "a").unwrap();
    end(disk).unwrap();
}

const PLAIN: ResumeRequest =
    ResumeRequest { reset_failed: false, from_iteration: None, was_awaiting_gate: false };
const RESET: ResumeRequest = ResumeRequest { reset_failed: true, ..PLAIN };
const BACK: ResumeRequest = ResumeRequest { from_iteration: Some(1), ..PLAIN };

const CHANGES: [Change; 7] = [
    Change {
        name: "end of a session",
        before: |disk| goal_with(disk, &["a"]),
        make: end,
        order: &[CRUMB, GOAL],
        refused: None,
    },
    Change {
        name: "end of a session at a gate",
        before: |disk| {
            awaiting(disk);
            resume(disk, PLAIN).unwrap();
        },
        make: end,
        order: &[CRUMB, GOAL],
        refused: None,
    },
    Change {
        name: "resume",
        before: |disk| {
            goal_with(disk, &["a"]);
            end(disk).unwrap();
        },
        make: |disk| resume(disk, PLAIN),
        order: &[GOAL, CRUMB],
        refused: None,
    },
    Change {
        name: "resume at a gate",
        before: awaiting,
        make: |disk| resume(disk, PLAIN),
        order: &[GOAL, CRUMB],
        refused: None,
    },
    Change {
        name: "resume and reset",
        before: waiting,
        make: |disk| resume(disk, RESET),
        order: &[QUEUE, META_A, META_B, GOAL, CRUMB],
        refused: None,
    },
    Change {
        name: "resume and go back",
        before: rewound,
        make: |disk| resume(disk, BACK),
        order: &[META_A, GOAL, CRUMB],
        refused: None,
    },
    Change {
        name: "resume and say what changed",
        before: |disk| {
            goal_with(disk, &["a"]);
            end(disk).unwrap();
        },
        make: |disk| answer(disk.store().resume(WAIT, PLAIN, Some("a file changed"))),
        order: &[GOAL, CRUMB],
        refused: None,
    },
];

/// W1 to W7, C4, C5
#[test]
fn a_crash_at_any_step_of_the_end_of_a_session_or_a_resume_loses_nothing_and_asking_again_ends_it()
{
    let tried: u64 = CHANGES.iter().map(crashes).sum();
    assert!(tried > 1_000, "{tried}");
}

/// W8
#[test]
fn a_disk_that_fails_at_any_step_of_the_end_of_a_session_or_a_resume_loses_nothing() {
    let tried: u64 = CHANGES.iter().map(faults).sum();
    assert!(tried > 1_200, "{tried}");
}

/// C6: the process is killed after the goal was resumed and before the breadcrumb is gone, or after the breadcrumb
/// was written and before the goal is paused.
#[test]
fn a_breadcrumb_that_a_crash_left_behind_says_nothing_about_a_later_pause() {
    let kill = |disk: &Disk, change: &dyn Fn(&Disk) -> Answer, until: &dyn Fn(&Disk) -> bool| {
        for step in 0.. {
            disk.mem.set_plan(FaultPlan::crash_at(step));
            change(disk).unwrap_err();
            disk.mem.process_kill();
            if until(disk) {
                return;
            }
        }
    };
    let goal = |disk: &Disk| disk.store().load().unwrap();
    let gate = |disk: &Disk| {
        disk.store().say(WAIT, "G", Word::Add { description: "" }, None).unwrap();
        disk.store().say(WAIT, "G", Word::Reject, Some("not yet")).unwrap();
    };

    let resumed = Disk::default();
    awaiting(&resumed);
    kill(&resumed, &|it| resume(it, PLAIN), &|it| goal(it).status() == Status::AwaitingGate);
    let ended = Disk::default();
    begin(&ended.store()).unwrap();
    gate(&ended);
    kill(&ended, &end, &|it| it.files().contains_key(&at(CRUMB)));
    assert_eq!(goal(&ended).status(), Status::AwaitingGate);

    for disk in [resumed, ended] {
        assert!(disk.store().breadcrumb().is_some(), "left behind");
        disk.later();
        let pause = EvalRequest { decision: Decision::Pause, ..EvalRequest::default() };
        disk.store().eval(WAIT, pause).unwrap();
        assert_eq!(disk.store().session_banner(), None, "no session ended");
        resume(&disk, PLAIN).unwrap();
        assert_eq!(goal(&disk).status(), Status::Active, "as without the crash");
        assert!(disk.store().breadcrumb().is_none());
    }
}
