//! What happens to goals when sessions end, processes are killed, and quotas and budgets are used up.

mod lab;
mod limits;
mod stops;

use crate::stories::drill::{Drill, Needs};

pub use lab::Lab;

/// Every drill about goals.
pub(super) const DRILLS: &[Drill] = &[
    Drill {
        name: "FM-1",
        hypothesis: "the end of a session pauses a goal, and the next one is told how to go on",
        fault: "the session ends",
        expected: "a banner with title and resume command",
        needs: Needs::Nothing,
        lines: &[],
        play: stops::session_ends,
    },
    Drill {
        name: "FM-2",
        hypothesis: "what a killed process left is cleared, and what a living one has is not taken",
        fault: "a lock and a marker of a dead process, a lock of a living one",
        expected: "a note that a lock was cleared; the name of the lock that is held",
        needs: Needs::Nothing,
        lines: &[],
        play: stops::killed,
    },
    Drill {
        name: "FM-3",
        hypothesis: "what each attempt said outlives an interruption of the loop",
        fault: "SIGINT in the third attempt",
        expected: "exit code 130, two attempts in the history",
        needs: Needs::Nothing,
        lines: &[],
        play: stops::interrupted,
    },
    Drill {
        name: "FM-4",
        hypothesis: "a tentacle that never began is named, and the goal waits for it",
        fault: "a tentacle is linked and nobody works on it",
        expected: "GOAL_UNRESOLVED with its name",
        needs: Needs::Nothing,
        lines: &[],
        play: stops::never_began,
    },
    Drill {
        name: "FM-5",
        hypothesis: "a quota makes a tentacle wait in the retry queue, once, until it is reset or done",
        fault: "a handoff that is blocked by HTTP 429",
        expected: "the queue in eval and next-iter, with a time",
        needs: Needs::Nothing,
        lines: &[],
        play: limits::quota,
    },
    Drill {
        name: "FM-6",
        hypothesis: "the same failure three times ends the loop, and asks for a human when told to",
        fault: "a criterion fails with the same words and another time in them",
        expected: "stalled after 3 attempts, exit 1",
        needs: Needs::Nothing,
        lines: &[],
        play: limits::stalls,
    },
    Drill {
        name: "FM-7",
        hypothesis: "a spent budget asks for a human, and only a larger one or force goes on",
        fault: "more iterations than the budget has",
        expected: "needs-human, over_budget:iterations, exit 0",
        needs: Needs::Nothing,
        lines: &[],
        play: limits::over_budget,
    },
    Drill {
        name: "FM-8",
        hypothesis: "a loop goes on while one of its failures still changes",
        fault: "one criterion fails alike, another one differently each time",
        expected: "all attempts are made",
        needs: Needs::Nothing,
        lines: &[],
        play: limits::one_changes,
    },
    Drill {
        name: "FM-9",
        hypothesis: "a stalled loop does not reopen a goal that was completed meanwhile",
        fault: "the goal is completed while the loop runs",
        expected: "exit 1, the goal stays completed",
        needs: Needs::Nothing,
        lines: &[],
        play: limits::completed_meanwhile,
    },
    Drill {
        name: "G-gate",
        hypothesis: "a pending gate stops an eval, and its approval lets the goal go on",
        fault: "a gate is pending",
        expected: "awaiting-gate, exit 0",
        needs: Needs::Nothing,
        lines: &[],
        play: limits::gated,
    },
    Drill {
        name: "G-rewind",
        hypothesis: "going back makes the work from there on idle and leaves what was before",
        fault: "three iterations of work are done",
        expected: "the tentacles that became idle",
        needs: Needs::Nothing,
        lines: &[],
        play: limits::rewound,
    },
];
