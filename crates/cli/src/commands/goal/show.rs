//! What is shown of a goal. Nothing here changes it, except the limits that `budget` is given.

use api::exit::Exit;
use goal::{CriterionStatus, Goal, LockError, RetryEntry, Seen, Spent, Tentacle, dispatch_states};
use serde_json::{Value, json, value::RawValue};
use std::{collections::BTreeMap, fmt::Write as _};

use super::{Desk, begin::limits, failure, locked, say, wait};
use crate::{
    args::{GoalBudget, GoalLook, GoalWait},
    commands::note,
    context::Context,
    failure::Failure,
};

/// Entries of the retry queue that `next-iter` shows.
const QUEUE_SHOWN: usize = 3;
/// What is said where there is no goal.
const NO_GOAL: &str = "no goal here; begin one: autonomy goal init --title TEXT";

/// Reads the goal; `None`, and the hint, when there is none.
fn look(desk: &Desk, args: &GoalLook) -> Result<Option<Goal>, Failure> {
    let goal = desk.store.look().map_err(|it| failure(&it.into(), GoalWait::NONE))?;
    if goal.is_none() {
        say(args.place.format, NO_GOAL, &json!({ "goal": null }))?;
    }
    Ok(goal)
}

fn read<T>(result: Result<T, goal::OpError>) -> Result<T, Failure> {
    result.map_err(|it| failure(&it, GoalWait::NONE))
}

/// What waits for a quota, the next due first.
pub(super) fn waiting_for_quota(desk: &Desk) -> Result<Vec<RetryEntry>, Failure> {
    let goal = desk.store.look().map_err(|it| failure(&it.into(), GoalWait::NONE))?;
    let queue = read(desk.store.retry_queue(goal.as_ref()))?;
    let mut entries = queue.entries;
    entries.sort_by_key(|it| it.not_before);
    Ok(entries)
}

/// Clears a lock that a dead process left.
fn clear_lock(desk: &Desk) -> Result<(), Failure> {
    match desk.store.clear_dead_lock() {
        Ok(true) => note("a lock that a dead process left was cleared"),
        Ok(false) => {}
        // Whoever may only read sees the goal all the same.
        Err(LockError::Io { source, .. })
            if matches!(
                source.kind(),
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
            ) => {}
        Err(error) => return Err(locked(&error, GoalWait::NONE)),
    }
    Ok(())
}

pub(super) fn status(args: &GoalLook, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    clear_lock(&desk)?;
    let Some(goal) = look(&desk, args)? else { return Ok(Exit::Done) };
    let all = read(desk.store.every_tentacle())?;
    let seen = read(desk.store.seen(&goal))?;
    let now = desk.store.now();
    let spent = goal.spent(now);
    let next = goal.next_move(&spent, &seen);
    let changed = desk.changed_since();
    if args.place.format == crate::args::Output::Json {
        let text =
            goal.to_text().map_err(|error| Failure::of(Exit::Failed, "GOAL_CORRUPT", &error))?;
        let mut value: serde_json::Map<String, Value> = serde_json::from_str(&text)
            .map_err(|error| Failure::of(Exit::Failed, "GOAL_CORRUPT", &error))?;
        value.insert("anchor".to_owned(), json!(goal.anchor()));
        value.insert("next_move".to_owned(), json!(next));
        value.insert("workspace_changed".to_owned(), json!(changed));
        crate::commands::print_json(&value)?;
        return Ok(Exit::Done);
    }
    let mut text = head(&goal, &spent);
    text.push_str(&iterations(&goal, &all));
    text.push_str(&details(&goal));
    if let Some(changed) = changed {
        writeln!(text, "workspace: changed since the session ended: {changed}").ok();
    }
    let command = next.command.as_deref().unwrap_or("nothing");
    write!(text, "next:      {command} ({})", next.why).ok();
    say(args.place.format, &text, &Value::Null)?;
    Ok(Exit::Done)
}

/// Title, status, iteration, limits.
fn head(goal: &Goal, spent: &Spent) -> String {
    let mut text = format!(
        "goal:      {}\nid:        {}\nstatus:    {}\niteration: {}\n",
        goal.title(),
        goal.goal_id(),
        goal.status(),
        goal.iteration()
    );
    let budget = goal.budget();
    let elapsed = spent.elapsed_minutes.map_or("?".to_owned(), |it| it.to_string());
    let limits = [
        (budget.max_iterations, "iterations", spent.current_iteration.to_string()),
        (budget.max_tentacles, "tentacles", spent.tentacle_count.to_string()),
        (budget.timeout_minutes, "minutes", elapsed),
    ];
    for (limit, what, used) in limits {
        let Some(limit) = limit else { continue };
        // Writing to a string does not fail.
        writeln!(text, "budget:    {used} of {limit} {what}").ok();
    }
    if spent.over_budget {
        writeln!(text, "WARNING: over budget ({})", spent.over().join(", ")).ok();
    }
    text
}

fn iterations(goal: &Goal, all: &BTreeMap<String, Tentacle>) -> String {
    let states = dispatch_states(all);
    let mut text = String::new();
    for (number, iteration) in goal.iterations() {
        let names: Vec<String> = iteration
            .tentacles
            .iter()
            .map(|it| format!("{it} ({})", states.get(it).map_or("missing", |it| it.as_str())))
            .collect();
        let names = if names.is_empty() { "-".to_owned() } else { names.join(", ") };
        let ended = iteration.eval_decision.as_deref().map(|it| format!(" [{it}]"));
        writeln!(text, "  {number}{}: {names}", ended.unwrap_or_default()).ok();
    }
    text
}

/// What stands in its way, gates, criteria, the last eval.
fn details(goal: &Goal) -> String {
    let mut text = String::new();
    if let Some((id, reason)) = goal.awaiting_gate() {
        writeln!(text, "awaiting:  gate {id}: {}", reason.unwrap_or_default()).ok();
    }
    if let Some(reason) = goal.needs_human_reason() {
        let failing = goal.needs_human_failing().join(", ");
        writeln!(text, "needs-human: {reason} {failing}").ok();
    }
    if let Some(reason) = goal.pause_reason() {
        writeln!(text, "paused:    {reason}").ok();
    }
    if let Some(reason) = goal.reverify_needed() {
        writeln!(text, "verify:    a verification is needed first: {reason}").ok();
    }
    for gate in goal.gates() {
        writeln!(text, "gate:      {} {}", gate.id, gate.status.as_str()).ok();
    }
    for it in goal.criteria() {
        writeln!(text, "criterion: {} {}  {}", it.id, it.status.as_str(), it.description).ok();
    }
    if let Some(last) = goal.eval_history().ok().and_then(|it| it.last().map(|it| line(it))) {
        writeln!(text, "last eval: {last}").ok();
    }
    text
}

/// An entry of the history in a line.
fn line(entry: &RawValue) -> String {
    let read: Value = serde_json::from_str(entry.get()).unwrap_or_default();
    let text = |key: &str| read.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
    format!("{} at {} {}", text("decision"), text("evaluated_at"), text("notes"))
}

pub(super) fn budget(args: &GoalBudget, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let given = args.limits.max_iterations.or(args.limits.max_tentacles).or(args.limits.timeout);
    if given.is_some() {
        let changed = desk.store.change_within(wait(args.wait), |_, goal| {
            let budget = limits(args.limits, goal.budget());
            goal.set_budget(budget, desk.store.now());
            Ok(())
        });
        changed.map_err(|it| failure(&it, args.wait))?;
        desk.audit("goal.budget", &desk.goal_id(), &[]);
    }
    let look_args = GoalLook { place: args.place.clone() };
    let Some(goal) = look(&desk, &look_args)? else { return Ok(Exit::Done) };
    let spent = goal.spent(desk.store.now());
    let shown = |it: Option<u64>| it.map_or("no limit".to_owned(), |it| it.to_string());
    let elapsed = spent.elapsed_minutes.map_or("?".to_owned(), |it| it.to_string());
    let mut text = format!(
        "iterations: {} of {}\ntentacles:  {} of {}\nminutes:    {elapsed} of {}",
        spent.current_iteration,
        shown(spent.max_iterations),
        spent.tentacle_count,
        shown(spent.max_tentacles),
        shown(spent.timeout_minutes)
    );
    if spent.over_budget {
        write!(text, "\nWARNING: over budget ({})", spent.over().join(", ")).ok();
    }
    let mut value = json!(spent);
    if let Some(object) = value.as_object_mut() {
        object.insert("budget_status".to_owned(), json!(goal.budget().status));
    }
    say(args.place.format, &text, &value)?;
    Ok(Exit::Done)
}

pub(super) fn next_iter(args: &GoalLook, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let goal = desk.store.load().map_err(|it| failure(&it.into(), GoalWait::NONE))?;
    let seen = read(desk.store.seen(&goal))?;
    let queue = waiting_for_quota(&desk)?;
    let next = goal.next_move(&goal.spent(desk.store.now()), &seen);
    let met = goal.criteria().iter().filter(|it| it.status == CriterionStatus::Verified).count();
    let blocking: Vec<&str> = goal.blocking().map(|it| it.id.as_str()).collect();
    let mut text =
        format!("iteration {} of goal `{}` ({})\n", goal.iteration(), goal.title(), goal.status());
    for (lane, resolved) in [("done", true), ("in progress", false)] {
        for it in seen.iter().filter(|it| it.resolved == resolved) {
            writeln!(text, "{lane}: {} ({})", it.name, it.state).ok();
        }
    }
    for it in queue.iter().rev().take(QUEUE_SHOWN) {
        let hint = it.retry_hint.as_deref().unwrap_or("no hint");
        writeln!(
            text,
            "quota-blocked: {} ({}, {hint}) not before {}",
            it.tentacle, it.quota_reason, it.not_before
        )
        .ok();
    }
    for id in &blocking {
        writeln!(text, "gate blocks: {id}").ok();
    }
    writeln!(text, "criteria: {met} of {} verified", goal.criteria().len()).ok();
    let command = next.command.as_deref().unwrap_or("nothing");
    write!(text, "next: {command} ({})", next.why).ok();
    let value = json!({
        "iteration": goal.iteration(),
        "tentacles": seen,
        "retry_queue": queue,
        "blocking_gates": blocking,
        "criteria": { "total": goal.criteria().len(), "verified": met },
        "next_move": next,
    });
    say(args.place.format, &text, &value)?;
    Ok(Exit::Done)
}

pub(super) fn resilience(args: &GoalLook, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let Some(goal) = look(&desk, args)? else { return Ok(Exit::Done) };
    let spent = goal.spent(desk.store.now());
    let all = read(desk.store.every_tentacle())?;
    let queue = waiting_for_quota(&desk)?;
    let health = goal.health(&spent, queue.len());
    let seen = read(desk.store.seen(&goal))?;
    let text = format!(
        "goal:      {}\nstatus:    {}\nhealth:    {}\niteration: {}\n{}next:      {}",
        goal.title(),
        goal.status(),
        health.as_str(),
        goal.iteration(),
        lanes(&seen),
        goal.next_move(&spent, &seen).command.as_deref().unwrap_or("nothing")
    );
    say(args.place.format, &text, &resilience_json(&goal, &spent, &all, &queue, health.as_str()))?;
    Ok(Exit::Done)
}

fn lanes(seen: &[Seen]) -> String {
    let mut text = String::new();
    for it in seen {
        writeln!(text, "  {}: {}", it.name, it.state).ok();
    }
    text
}

fn resilience_json(
    goal: &Goal,
    spent: &Spent,
    all: &BTreeMap<String, Tentacle>,
    queue: &[RetryEntry],
    health: &str,
) -> Value {
    let count = |status| goal.criteria().iter().filter(|it| it.status == status).count();
    let blocking: Vec<&str> = goal.blocking().map(|it| it.id.as_str()).collect();
    let states = dispatch_states(all);
    let tentacles: Vec<Value> = goal
        .tentacles()
        .iter()
        .map(|name| {
            let meta = all.get(name).map(|it| &it.meta);
            json!({
                "name": name,
                "dispatch_state": states.get(name).map_or("missing", |it| it.as_str()),
                "terminal_status": meta.and_then(|it| it.terminal_status),
                "quota_reason": meta.and_then(|it| it.quota_reason.as_deref()),
            })
        })
        .collect();
    let (gate, gate_reason) = goal.awaiting_gate().unzip();
    json!({
        "goal_id": goal.goal_id(),
        "title": goal.title(),
        "status": goal.status(),
        "health": health,
        "iteration": goal.iteration(),
        "budget": spent,
        "gates": { "total": goal.gates().len(), "blocking": blocking.len(), "blocking_ids": blocking },
        "criteria": {
            "total": goal.criteria().len(),
            "verified": count(CriterionStatus::Verified),
            "failed": count(CriterionStatus::Failed),
            "pending": count(CriterionStatus::Unverified),
        },
        "needs_human_reason": goal.needs_human_reason(),
        "awaiting_gate_id": gate,
        "awaiting_gate_reason": gate_reason.flatten(),
        "snapshot_state": goal.foreign("snapshot_state"),
        "pause_metadata": goal.foreign("pause_metadata"),
        "retry_queue": queue,
        "tentacles": tentacles,
    })
}
