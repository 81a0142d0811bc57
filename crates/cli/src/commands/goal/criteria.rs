//! `criteria`, `verify`, `verify-loop`.

use std::{fmt::Write as _, thread, time::Duration};

use api::exit::Exit;
use goal::{Criterion, OpError, Run, Step, StoreError, VerifyLoop};
use serde_json::json;

use super::{
    Desk, STRICT_ESCALATED,
    failed::left_by,
    failure,
    governed::Governor,
    process::{self, Order},
    say, wait,
};
use crate::{
    args::{
        CriteriaAdd, CriteriaCheck, GoalCriteria, GoalLook, GoalReverify, GoalVerifyLoop, GoalWait,
    },
    context::Context,
    failure::Failure,
};

pub(super) fn run(command: GoalCriteria, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        GoalCriteria::Add(args) => add(&args, context),
        GoalCriteria::List(args) => list(&args, context),
        GoalCriteria::Check(args) => check(&args, context),
    }
}

fn add(args: &CriteriaAdd, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let new = Criterion {
        id: args.id.clone(),
        description: args.desc.clone(),
        verification_command: args.verify_cmd.clone(),
        ..Criterion::default()
    };
    let added = desk
        .store
        .change_within(wait(args.wait), |_, goal| Ok(goal.add_criterion(new, desk.store.now())?));
    let added = added.map_err(|it| failure(&it, args.wait))?;
    desk.audit("goal.criterion", &desk.goal_id(), &[("criterion", added.id.clone())]);
    say(args.place.format, &format!("criterion {} is added", added.id), &json!(added))?;
    Ok(Exit::Done)
}

fn list(args: &GoalLook, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let goal = desk.store.load().map_err(|it| failure(&it.into(), GoalWait::NONE))?;
    let mut text = String::new();
    for it in goal.criteria() {
        // Writing to a string does not fail.
        writeln!(text, "{}  {}  {}", it.id, it.status.as_str(), it.description).ok();
        if let Some(evidence) = it.evidence.as_deref().filter(|it| !it.is_empty()) {
            writeln!(text, "    {}", evidence.lines().next().unwrap_or_default()).ok();
        }
    }
    let text = if text.is_empty() { "no criteria" } else { text.trim_end() };
    say(args.place.format, text, &json!({ "criteria": goal.criteria() }))?;
    Ok(Exit::Done)
}

/// The goal, and the criteria that a run is about: those with a command, or the one that was named.
fn chosen(desk: &Desk, id: Option<&str>) -> Result<(String, Vec<Criterion>), Failure> {
    let goal = desk.store.load().map_err(|it| failure(&it.into(), GoalWait::NONE))?;
    let named = goal.criteria().iter().filter(|it| id.is_none_or(|id| it.id == id));
    let chosen: Vec<Criterion> =
        named.filter(|it| !it.verification_command.trim().is_empty()).cloned().collect();
    if chosen.is_empty() {
        let message = id.map_or_else(
            || "no criterion has a command".to_owned(),
            |id| format!("there is no criterion `{id}` with a command"),
        );
        return Err(Failure::new(Exit::Failed, "GOAL_NOTHING_TO_VERIFY", message)
            .hint("autonomy goal criteria list; autonomy goal criteria add --desc TEXT --verify-cmd COMMAND"));
    }
    Ok((goal.goal_id().to_owned(), chosen))
}

pub(super) fn run_all(
    desk: &Desk,
    chosen: &[Criterion],
    timeout: u32,
    governor: Option<&Governor>,
) -> Result<Vec<Run>, Failure> {
    let limit = Duration::from_secs(timeout.into());
    let run = |it: &Criterion| {
        let command = &it.verification_command;
        let order = Order { command, dir: &desk.root, vars: &[], limit };
        let ended = match governor {
            Some(governor) => governor.run(&it.id, &order)?,
            None => process::run_order(&order, |_| Ok(())),
        };
        Ok(ended.into_run(&it.id, command))
    };
    chosen.iter().map(run).collect()
}

pub(super) fn told(runs: &[Run]) -> String {
    let line = |it: &Run| {
        let verdict = if it.passed() { "verified" } else { "failed" };
        format!("{}  {verdict}  exit {}", it.id, it.exit_code)
    };
    runs.iter().map(line).collect::<Vec<_>>().join("\n")
}

pub(super) fn results(runs: &[Run]) -> serde_json::Value {
    runs.iter()
        .map(|it| json!({ "id": it.id, "exit_code": it.exit_code, "passed": it.passed() }))
        .collect()
}

pub(super) fn check(args: &CriteriaCheck, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let (of, chosen) = chosen(&desk, args.id.as_deref())?;
    process::heed_signals()?;
    let governor = desk.governor(&args.governed, context);
    let runs = run_all(&desk, &chosen, args.timeout, governor.as_ref())?;
    let stored = desk.store.change_goal(wait(args.wait), &of, |_, goal| {
        goal.record_runs(&runs, desk.store.now());
        Ok(())
    });
    stored.map_err(|it| failure(&it, args.wait))?;
    let passed = runs.iter().all(Run::passed);
    say(
        args.place.format,
        &told(&runs),
        &json!({ "all_passed": passed, "results": results(&runs) }),
    )?;
    Ok(if passed { Exit::Done } else { Exit::Failed })
}

/// Verifies again after the workspace changed, so that evals go on.
pub(super) fn reverify(args: &GoalReverify, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    refuse_closed(&desk)?;
    let of = desk.goal_id();
    let runs = if args.accept.is_some() {
        Vec::new()
    } else {
        let (_, chosen) = chosen(&desk, None)?;
        process::heed_signals()?;
        let governor = desk.governor(&args.governed, context);
        run_all(&desk, &chosen, args.timeout, governor.as_ref())?
    };
    let passed = runs.iter().all(Run::passed);
    let stored = desk.store.change_goal(wait(args.wait), &of, |_, goal| {
        goal.record_runs(&runs, desk.store.now());
        if passed {
            goal.reverified(desk.store.now());
        }
        Ok(())
    });
    stored.map_err(|it| failure(&it, args.wait))?;
    let reason = args.accept.clone().unwrap_or_default().chars().take(2000).collect();
    if passed {
        desk.audit("goal.reverified", &desk.goal_id(), &[("accepted", reason)]);
    }
    let verdict = if passed { "verified: evals go on" } else { "not verified: evals wait still" };
    let text =
        format!("{}{verdict}", if runs.is_empty() { String::new() } else { told(&runs) + "\n" });
    say(args.place.format, &text, &json!({ "verified": passed, "results": results(&runs) }))?;
    Ok(if passed { Exit::Done } else { Exit::Failed })
}

/// Refuses where a loop makes no sense.
fn refuse_closed(desk: &Desk) -> Result<(), Failure> {
    let goal = desk.store.load().map_err(|it| failure(&it.into(), GoalWait::NONE))?;
    if goal.status().is_open() {
        return Ok(());
    }
    let message = format!("the goal is {}; nothing is verified", goal.status());
    Err(Failure::new(Exit::Failed, "GOAL_STATUS", message).hint(left_by(goal.status())))
}

pub(super) fn verify_loop(args: &GoalVerifyLoop, context: Context<'_>) -> Result<u8, Failure> {
    let desk = Desk::open(&args.place, context)?;
    refuse_closed(&desk)?;
    let (of, chosen) = chosen(&desk, args.id.as_deref())?;
    process::heed_signals()?;
    let governor = desk.governor(&args.governed, context);
    let mut verify = VerifyLoop::new(args.max_retries);
    loop {
        let attempt = verify.attempt();
        let runs = run_all(&desk, &chosen, args.timeout, governor.as_ref())?;
        let stored = desk.store.change_goal(wait(args.wait), &of, |_, goal| {
            let recorded = goal.record_attempt(attempt, &runs, desk.store.now());
            let path = desk.store.place().goal();
            recorded.map_err(|source| OpError::Store(StoreError::Corrupt { path, source }))?;
            Ok(goal.status())
        });
        let status = stored.map_err(|it| failure(&it, args.wait))?;
        let step = verify.ran(&runs);
        if args.place.format == crate::args::Output::Text {
            let text = format!("attempt {attempt}:\n{}", told(&runs));
            say(args.place.format, &text, &serde_json::Value::Null)?;
        }
        if step != Step::Again {
            return finish(args, &desk, &step, attempt);
        }
        if !status.is_open() {
            let message = format!("the goal is {status} now; no attempt follows");
            return Err(Failure::new(Exit::Failed, "GOAL_STATUS", message).hint(left_by(status)));
        }
        thread::sleep(Duration::from_secs(args.retry_delay.into()));
    }
}

fn finish(args: &GoalVerifyLoop, desk: &Desk, step: &Step, attempts: u32) -> Result<u8, Failure> {
    let reason = step.reason();
    let mut escalated = false;
    if let Some(reason) = reason.filter(|_| args.escalate) {
        let asked = desk.store.change_within(wait(args.wait), |_, goal| {
            Ok(goal.escalate(reason, step.failing(), desk.store.now()))
        });
        escalated = asked.map_err(|it| failure(&it, args.wait))?;
        if escalated {
            let fields = [("reason", reason.to_owned()), ("failing", step.failing().join(","))];
            desk.audit("goal.escalated", &desk.goal_id(), &fields);
        }
    }
    let mut text = match reason {
        None => format!("verified after {attempts} attempt(s)"),
        Some("stall") => format!("stalled after {attempts} attempts: nothing changes any more"),
        Some(_) => format!("not verified after {attempts} attempt(s)"),
    };
    if escalated {
        text.push_str("\nthe goal is needs-human");
    }
    let value = json!({
        "verified": reason.is_none(),
        "attempts": attempts,
        "reason": reason,
        "failing": step.failing(),
        "escalated": escalated,
    });
    say(args.place.format, &text, &value)?;
    Ok(match reason {
        None => Exit::Done.code(),
        Some(_) if escalated && args.wait.strict_exit => STRICT_ESCALATED,
        Some(_) => Exit::Failed.code(),
    })
}
