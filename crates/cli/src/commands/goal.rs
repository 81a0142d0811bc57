//! `autonomy goal`: long agent work, on files alone.
//!
//! | module     | what it does                                      |
//! |------------|---------------------------------------------------|
//! | `place`    | where the goal is, and who asks                   |
//! | `begin`    | `init`, `create`, `validate`                      |
//! | `show`     | `status`, `next-iter`, `resilience-status`, `budget` |
//! | `criteria` | `criteria`, `verify`, `verify-loop`               |
//! | `gate`     | `gate`                                            |
//! | `dispatch` | `dispatch`                                        |
//! | `markers`  | the file of dispatch markers                      |
//! | `process`  | runs one command                                  |
//! | `governed` | runs one through a runtime                        |
//! | `workspace` | what changed while no session was there          |
//! | `failed`   | errors as failures                                |

mod begin;
mod criteria;
mod dispatch;
mod failed;
mod gate;
mod governed;
pub(super) mod markers;
mod place;
mod process;
mod show;
mod workspace;

use std::{fmt::Write as _, io::Write as _};

use api::exit::Exit;
use goal::{Decision, EvalRequest, Evaluated, Outcome, ResumeRequest, RetryEntry};
use serde_json::{Value, json};

use crate::{
    args::{DecisionArg, Goal, GoalEval, GoalLink, GoalResume, GoalWait, Output},
    commands::print_json,
    context::Context,
    failure::Failure,
    printable::printable_lines,
};
pub(super) use failed::{failure, locked};
pub(super) use place::{Desk, wait};

/// Exit code of `--strict-exit` when a human is asked for.
const STRICT_ESCALATED: u8 = 10;
/// Exit code of `--strict-exit` when a gate blocks.
const STRICT_BLOCKED: u8 = 11;

pub(crate) fn run(command: Goal, context: Context<'_>) -> Result<u8, Failure> {
    let exit = match command {
        Goal::Init(args) => begin::init(&args, &[], context),
        Goal::Create(args) => begin::create(&args, context),
        Goal::Validate(args) => begin::validate(&args),
        Goal::Status(args) => show::status(&args, context),
        Goal::NextIter(args) => show::next_iter(&args, context),
        Goal::ResilienceStatus(args) => show::resilience(&args, context),
        Goal::Budget(args) => show::budget(&args, context),
        Goal::Link(args) => link(&args, context),
        Goal::Eval(args) => return eval(&args, context),
        Goal::Resume(args) => resume(&args, context),
        Goal::Criteria(command) => criteria::run(command, context),
        Goal::Verify(args) => criteria::check(&args, context),
        Goal::Reverify(args) => criteria::reverify(&args, context),
        Goal::VerifyLoop(args) => criteria::verify_loop(&args, context),
        Goal::Dispatch(args) => dispatch::run(&args, context),
        Goal::Gate(command) => gate::run(command, context),
    };
    exit.map(Exit::code)
}

/// Prints a result: the text, or the JSON.
pub(super) fn say(format: Output, text: &str, value: &Value) -> Result<(), Failure> {
    if format == Output::Json {
        return Ok(print_json(value)?);
    }
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", printable_lines(text))?;
    Ok(stdout.flush()?)
}

fn link(args: &GoalLink, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let done = desk.store.link(wait(args.wait), &args.name);
    let iteration = done.map_err(|it| failure(&it, args.wait))?;
    desk.audit("goal.linked", &args.name, &[("iteration", iteration.to_string())]);
    let text = format!("{} is linked to iteration {iteration}", args.name);
    let value = json!({ "tentacle": args.name, "iteration": iteration });
    say(args.place.format, &text, &value)?;
    Ok(Exit::Done)
}

fn eval(args: &GoalEval, context: Context<'_>) -> Result<u8, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let decision = match args.decision {
        DecisionArg::Continue => Decision::Continue,
        DecisionArg::Pause => Decision::Pause,
        DecisionArg::Complete => Decision::Complete,
        DecisionArg::Abandon => Decision::Abandon,
    };
    let request = EvalRequest {
        decision,
        notes: &args.notes,
        force_over_budget: args.force_over_budget,
        if_anchor: args.if_anchor.as_deref(),
        source: None,
    };
    let done = desk.store.eval(wait(args.wait), request).map_err(|it| failure(&it, args.wait))?;
    let it = &done.recorded;
    let fields = [
        ("decision", decision.as_str().to_owned()),
        ("outcome", it.outcome.as_str().to_owned()),
        ("iteration", it.iteration.to_string()),
    ];
    if !done.replayed {
        desk.audit("goal.evaluated", &desk.goal_id(), &fields);
    }
    let waiting = show::waiting_for_quota(&desk)?;
    let text = told(&done, &waiting);
    let value = json!({
        "outcome": it.outcome,
        "decision": it.decision,
        "status": it.status,
        "iteration": it.iteration,
        "anchor": done.anchor,
        "replayed": done.replayed,
        "warnings": done.warnings,
        "blocked_by_gates": done.blocked_by,
        "retry_blocked": waiting,
    });
    say(args.place.format, &text, &value)?;
    Ok(exit_of(it.outcome, args.wait))
}

/// What is said about an eval.
fn told(done: &Evaluated, waiting: &[RetryEntry]) -> String {
    let it = &done.recorded;
    let mut lines = done.warnings.clone();
    lines.push(match it.outcome {
        Outcome::Advanced => format!("iteration {} begins", it.iteration),
        Outcome::Escalated => {
            "over budget: the goal is needs-human (autonomy goal resume, then raise a limit with \
            autonomy goal budget, or eval with --force-over-budget or --decision abandon)"
                .to_owned()
        }
        Outcome::Blocked => format!("the goal is awaiting-gate: {}", done.blocked_by.join(", ")),
        Outcome::Paused | Outcome::Completed | Outcome::Abandoned => {
            format!("the goal is {}", it.status)
        }
    });
    if done.replayed {
        lines.push("(this eval was made before; nothing happened now)".to_owned());
    }
    lines.extend(waiting.iter().map(|it| {
        let (name, reason) = (&it.tentacle, &it.quota_reason);
        format!("waits for a quota: {name} ({reason}) not before {}", it.not_before)
    }));
    lines.join("\n")
}

/// How an outcome ends the process.
fn exit_of(outcome: Outcome, wait: GoalWait) -> u8 {
    match outcome {
        Outcome::Escalated if wait.strict_exit => STRICT_ESCALATED,
        Outcome::Blocked if wait.strict_exit => STRICT_BLOCKED,
        _ => Exit::Done.code(),
    }
}

fn resume(args: &GoalResume, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let request = ResumeRequest {
        reset_failed: args.reset_failed,
        from_iteration: args.from_iteration,
        was_awaiting_gate: false,
    };
    let changed = desk.changed_since();
    let done = desk.store.resume(wait(args.wait), request, changed.as_deref());
    let done = done.map_err(|it| failure(&it, args.wait))?;
    let fields = [
        ("before", done.before.as_str().to_owned()),
        ("iteration", done.iteration.to_string()),
        ("reset", done.reset.len().to_string()),
    ];
    desk.audit("goal.resumed", &desk.goal_id(), &fields);
    desk.forget_workspace();
    let mut text =
        format!("the goal is {} (was {}), iteration {}", done.status, done.before, done.iteration);
    if let Some(changed) = &changed {
        write!(text, "\nthe workspace changed since the session ended: {changed}").ok();
    }
    if args.reset_failed || args.from_iteration.is_some() {
        write!(text, "\ntentacles made idle: {}", done.reset.len()).ok();
        for name in &done.reset {
            write!(text, "\n  {name}").ok();
        }
    }
    let value = json!({
        "status": done.status,
        "before": done.before,
        "iteration": done.iteration,
        "reset": done.reset,
        "workspace_changed": changed,
    });
    say(args.place.format, &text, &value)?;
    Ok(Exit::Done)
}
