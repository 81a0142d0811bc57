//! `init`, `create`, `validate`.

use std::fmt::Write as _;

use api::exit::Exit;
use goal::{Budget, Criterion, Goal, NewGoal, TEXT_HARD_LIMIT, TEXT_SOFT_LIMIT, add_criterion};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Desk, failure, locked, say, wait};
use crate::{
    args::{GoalCreate, GoalInit, GoalLimits, GoalText, GoalValidate},
    commands::note,
    context::Context,
    failure::Failure,
};

/// Limits as they stand in a goal.
pub(super) fn limits(args: GoalLimits, old: &Budget) -> Budget {
    Budget {
        max_iterations: args.max_iterations.map(u64::from).or(old.max_iterations),
        max_tentacles: args.max_tentacles.map(u64::from).or(old.max_tentacles),
        timeout_minutes: args.timeout.map(u64::from).or(old.timeout_minutes),
        ..Budget::default()
    }
}

/// Length of what is said about a goal, in characters.
fn length(text: &GoalText) -> usize {
    text.title.chars().count() + text.desc.chars().count()
}

fn too_long(len: usize) -> Failure {
    let message =
        format!("title and description have {len} characters, more than {TEXT_HARD_LIMIT}");
    Failure::new(Exit::Failed, "GOAL_TEXT_TOO_LONG", message)
        .hint("say less here, and the rest in a file that the description names")
}

pub(super) fn init(
    args: &GoalInit,
    criteria: &[Criterion],
    context: Context<'_>,
) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let len = length(&args.text);
    if len > TEXT_HARD_LIMIT {
        return Err(too_long(len));
    }
    if len > TEXT_SOFT_LIMIT {
        note(&format!("title and description have {len} characters; {TEXT_SOFT_LIMIT} are enough"));
    }
    let new = NewGoal {
        goal_id: Uuid::new_v4().to_string(),
        title: args.text.title.clone(),
        description: args.text.desc.clone(),
        budget: limits(args.limits, &Budget::default()),
        criteria: criteria.to_vec(),
        require_reverify: args.require_reverify,
    };
    let goal = Goal::new(new, desk.store.now());
    let held = desk.store.lock(wait(args.wait)).map_err(|it| locked(&it, args.wait))?;
    let begun = desk.store.begin(&held, &goal, args.force);
    let aside = begun.map_err(|it| failure(&it.into(), args.wait))?;
    drop(held);
    let path = desk.store.place().goal();
    desk.audit(
        "goal.begun",
        goal.goal_id(),
        &[("title", goal.title().chars().take(200).collect())],
    );
    let mut text = format!("goal `{}` begins: {}", goal.title(), path.display());
    if let Some(aside) = &aside {
        write!(text, "\nthe file that could not be read is kept: {}", aside.display()).ok();
    }
    let value = json!({
        "goal_id": goal.goal_id(),
        "path": path,
        "anchor": goal.anchor(),
        "moved_aside": aside,
        "criteria": goal.criteria(),
    });
    say(args.place.format, &text, &value)?;
    Ok(Exit::Done)
}

pub(super) fn create(args: &GoalCreate, context: Context<'_>) -> Result<Exit, Failure> {
    let mut criteria = Vec::new();
    for (place, text) in (1..).zip(&args.criterion) {
        let new: Criterion = serde_json::from_str(text).map_err(|error| {
            Failure::new(Exit::Failed, "GOAL_BAD_CRITERION", format!("criterion {place}: {error}"))
                .hint("it is a JSON object with id, description, verification_command")
        })?;
        refuse_unknown(text).map_err(|key| {
            let message = format!("criterion {place}: there is no key `{key}`");
            Failure::new(Exit::Failed, "GOAL_BAD_CRITERION", message)
                .hint("it is a JSON object with id, description, verification_command")
        })?;
        // What a new criterion says about its verification is not known here.
        let (id, description) = (new.id, new.description);
        let new = Criterion {
            id,
            description,
            verification_command: new.verification_command,
            ..Criterion::default()
        };
        add_criterion(&mut criteria, new).map_err(|error| {
            let message = format!("criterion {place}: {error}");
            Failure::new(Exit::Failed, error.code(), message).hint("nothing was written")
        })?;
    }
    init(&args.init, &criteria, context)
}

/// A misspelt key would make a criterion that nothing verifies.
fn refuse_unknown(text: &str) -> Result<(), String> {
    const KEYS: [&str; 7] = [
        "id",
        "description",
        "verification_command",
        "status",
        "verified_at",
        "failed_at",
        "evidence",
    ];
    let keys: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    keys.into_iter().map(|it| it.0).find(|it| !KEYS.contains(&it.as_str())).map_or(Ok(()), Err)
}

pub(super) fn validate(args: &GoalValidate) -> Result<Exit, Failure> {
    let len = length(&args.text);
    if len > TEXT_HARD_LIMIT {
        return Err(too_long(len));
    }
    let verdict = if len > TEXT_SOFT_LIMIT { "long" } else { "good" };
    let text = format!("{verdict}: {len} of {TEXT_HARD_LIMIT} characters");
    let value = json!({
        "verdict": verdict,
        "length": len,
        "soft_limit": TEXT_SOFT_LIMIT,
        "hard_limit": TEXT_HARD_LIMIT,
    });
    say(args.place.format, &text, &value)?;
    Ok(Exit::Done)
}
