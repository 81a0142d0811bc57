//! `context` and `coverage`: what to know before going on.

use std::fmt::Write as _;

use api::exit::Exit;
use goal::{CONTEXT_HANDOFFS, ContextParts, Coverage, CriterionStatus, Goal, OpError, Parsed};
use serde_json::json;

use super::{Desk, failure, say};
use crate::{
    args::{GoalContext, GoalLook, GoalWait, Output},
    commands::note,
    context::Context,
    failure::Failure,
};

fn load(desk: &Desk) -> Result<Goal, Failure> {
    desk.store.load().map_err(|it| failure(&it.into(), GoalWait::NONE))
}

pub(super) fn context(args: &GoalContext, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let goal = load(&desk)?;
    let text = written(&desk, &goal, args.max_handoffs);
    let text = text.map_err(|it| failure(&it, GoalWait::NONE))?;
    let path = desk.store.place().context();
    if args.write {
        let failed = |error| Failure::file("write", &path, &error);
        vfs::replace(&vfs::OsVfs, &path, text.as_bytes()).map_err(failed)?;
    }
    let value = json!({
        "context": text,
        "anchor": goal.anchor(),
        "written_to": args.write.then(|| path.display().to_string()),
    });
    say(args.place.format, text.trim_end(), &value)?;
    Ok(Exit::Done)
}

/// The summary, with so many handoffs.
fn written(desk: &Desk, goal: &Goal, handoffs: usize) -> Result<String, OpError> {
    let store = &desk.store;
    let (now, seen) = (store.now(), store.seen(goal)?);
    let next = goal.next_move(&goal.spent(now), &seen);
    let waiting = store.retry_queue(Some(goal))?.entries;
    let mut said: Vec<(String, Parsed)> = Vec::new();
    for name in goal.tentacles().iter().rev() {
        if let Some(last) = store.last_handoff(name)? {
            said.push((name.clone(), last));
        }
    }
    // Those of the same minute stand as they were linked, the last first.
    said.sort_by_key(|(_, it)| std::cmp::Reverse(it.at));
    said.truncate(handoffs);
    let parts = ContextParts { seen: &seen, handoffs: &said, waiting: &waiting, next: &next, now };
    Ok(goal.context(&parts))
}

/// Writes the summary anew after the goal moved. It is a help: what goes wrong is said and undoes nothing.
pub(super) fn refresh(desk: &Desk) {
    let done = || -> Result<(), String> {
        let goal = desk.store.load().map_err(|it| it.to_string())?;
        let text = written(desk, &goal, CONTEXT_HANDOFFS).map_err(|it| it.to_string())?;
        let path = desk.store.place().context();
        let replaced = vfs::replace(&vfs::OsVfs, &path, text.as_bytes());
        replaced.map_err(|it| format!("{}: {it}", path.display()))
    };
    if let Err(why) = done() {
        note(&format!("goal-context.md was not written: {why}"));
    }
}

pub(super) fn coverage(args: &GoalLook, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let goal = load(&desk)?;
    let all = desk.store.every_tentacle().map_err(|it| failure(&it, GoalWait::NONE))?;
    let found = goal.coverage(&all);
    let text = if args.place.format == Output::Text { told(&found) } else { String::new() };
    let value = json!({
        "total": found.criteria.len(),
        "covered": found.criteria.len() - found.uncovered.len(),
        "verified": found.criteria.iter().filter(|it| it.status == CriterionStatus::Verified).count(),
        "criteria": found.criteria,
        "uncovered": found.uncovered,
        "unknown": found.unknown,
    });
    say(args.place.format, &text, &value)?;
    Ok(Exit::Done)
}

fn told(found: &Coverage) -> String {
    let mut text = String::new();
    for it in &found.criteria {
        let by =
            if it.tentacles.is_empty() { "nobody".to_owned() } else { it.tentacles.join(", ") };
        // Writing to a string does not fail.
        writeln!(text, "{}  {}  {by}", it.id, it.status.as_str()).ok();
    }
    for (name, ids) in &found.unknown {
        writeln!(text, "no criterion: {} (named by {name})", ids.join(", ")).ok();
    }
    let covered = found.criteria.len() - found.uncovered.len();
    write!(text, "somebody worked for {covered} of {}", found.criteria.len()).ok();
    text
}
