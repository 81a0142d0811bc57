//! Long agent work as a goal whose state survives kills, quota stops and lost context.
//!
//! | module       | what it holds                                                               |
//! |--------------|-----------------------------------------------------------------------------|
//! | `status`     | [`Status`], [`Event`] and the one table of transitions                        |
//! | `state`      | [`Goal`]: what `goal.json` says                                               |
//! | `document`   | its text: ordered keys, raw values                                            |
//! | `history`    | [`History`]: what grows, and where its older entries are                       |
//! | `eval`       | [`Goal::eval`]: the order of checks, and what came of it                       |
//! | `resume`     | [`Goal::resume`]: going on, and going back                                    |
//! | `gate`       | what somebody has to say first                                                |
//! | `criteria`   | what tells that a goal is met                                                 |
//! | `budget`     | limits, and what is spent of them                                             |
//! | `rounds`     | what a round of the loop does, and what ends the loop                          |
//! | `coverage`   | which criteria somebody worked for                                             |
//! | `context`    | the summary for whoever goes on                                                |
//! | `verify`     | [`VerifyLoop`]: attempts, until all is met or nothing changes                   |
//! | `advise`     | how it is doing, and the one next thing to do                                  |
//! | `stall`      | whether a criterion fails in the same way again                               |
//! | `quota`      | which texts say that a quota is used up, and how long to wait                 |
//! | `handoff`    | what a tentacle says when it stops                                            |
//! | `retry`      | work that waits for a quota                                                   |
//! | `tentacle`   | pieces of work, and what they are waited for                                  |
//! | `marker`     | which tentacles are out, and so who may not commit now                         |
//! | `process`    | whether a process lives                                                       |
//! | `breadcrumb` | how to go on after the end of a session                                         |
//! | `ops`        | what a program does: lock, read, change, write                                |
//! | `files`      | the files beside the goal                                                     |
//! | `place`      | where the files are                                                           |
//! | `lock`       | one writer                                                                    |
//! | `store`      | `goal.json` on the disk                                                       |

mod advise;
mod breadcrumb;
mod budget;
mod context;
mod coverage;
mod criteria;
mod document;
mod eval;
mod files;
mod gate;
mod handoff;
mod history;
mod lock;
mod marker;
mod ops;
mod place;
mod process;
mod quota;
mod resume;
mod retry;
mod rounds;
mod stall;
mod state;
mod status;
mod store;
mod tentacle;
mod verify;

pub use advise::{Health, NextMove};
pub use breadcrumb::{BREADCRUMB_LEN_MAX, Breadcrumb, BudgetSnapshot, RESUME_COMMAND, banner};
pub use budget::{Budget, BudgetStatus, Spent};
pub use context::{CONTEXT_HANDOFFS, CONTEXT_LEN_MAX, ContextParts};
pub use coverage::{Coverage, Covered};
pub use criteria::{
    Attempt, AttemptResult, CRITERIA_MAX, Criterion, CriterionError, CriterionStatus,
    EVIDENCE_LEN_MAX, EXIT_NONE, Run, add as add_criterion,
};
pub use eval::{Decision, EvalError, EvalRequest, Evaluated, Outcome, RecordedOutcome, Seen};
pub use files::{HANDOFF_LEN_MAX, META_LEN_MAX, TODO_LEN_MAX};
pub use gate::{GATES_MAX, Gate, GateError, GateStatus, ID_LEN_MAX, Said, Word};
pub use handoff::{
    Handoff, HandoffStatus, Parsed, parse as parse_handoffs, section as handoff_section,
};
pub use history::{
    HISTORY_FILES_MAX, HISTORY_KEPT_LEAST, HISTORY_KEPT_LEN, HISTORY_KEPT_LEN_MAX, HISTORY_LEN_MAX,
    History, HistoryError,
};
pub use lock::{Held, LockError, Owner, POLL_EVERY, STALE_AFTER, WAIT_MAX as LOCK_WAIT_MAX};
pub use marker::{
    Identity, Judgement, MARKER_LEN_MAX, MARKER_TTL, MARKER_TTL_SECONDS, MarkerEntry, MarkerError,
    MarkerFile, MarkerFileError, add as add_marker, blocks, change_file as change_markers,
    cleanup as clean_markers, judge as judge_marker, read_file as read_markers,
    remove as remove_marker,
};
pub use ops::{OpError, SessionEnded};
pub use place::{Place, STATE_DIR};
pub use process::{LinuxLiveness, Liveness};
pub use quota::{
    CLASSIFIED_LEN_MAX, Classifier, EXTRA_PATTERNS_MAX, HINT_LEN_MAX, PATTERN_LEN_MAX,
    PatternError, QuotaReason, WAIT_MAX, classify, classify_output, not_before,
};
pub use resume::{Linked, ResumeError, ResumeRequest, Resumed};
pub use retry::{
    Block, MirrorEntry, RETRY_QUEUE_LEN_MAX, RETRY_QUEUE_VERSION, RetryEntry, RetryQueue,
    RetryQueueError,
};
pub use rounds::{LOOP_SOURCE, LoopLimits, LoopMove, LoopUsed, loop_verified};
pub use stall::{KEY_LEN, STALL_AT, StallKey, StallTracker, normalise, output_hash, raw_key};
pub use state::{
    Goal, Iteration, NewGoal, OUTCOMES_MAX, TEXT_HARD_LIMIT, TEXT_SOFT_LIMIT, UNTITLED,
};
pub use status::{Event, Next, Status, transition};
pub use store::{Clock, GOAL_LEN_MAX, Store, StoreError};
pub use tentacle::{
    CompletionGate, DispatchState, Meta, NAME_LEN_MAX, NameError, Tentacle, TentacleStatus, Todos,
    Verification, check_name, completion_gate, dispatch_states, todos,
};
pub use verify::{Step, VerifyLoop};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
