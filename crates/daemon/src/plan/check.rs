//! What has to hold of a plan before its steps are put in order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use wal_format::step::{Effect, ID_LEN_MAX, STEPS_MAX};

use super::{Confirm, NAME_LEN_MAX, Plan, PlanFileError, STEP_ID_LEN_MAX, Step};
use crate::world::ABSENT;

/// What a hash begins with, and how many digits follow.
const HASH: (&str, usize) = ("sha256-", 64);

pub(super) fn plan(plan: &Plan) -> Result<(), PlanFileError> {
    let bounds = |text: String| Err(PlanFileError::Bounds { text });
    let name = &plan.name;
    if !(1..=NAME_LEN_MAX).contains(&name.len()) || name.chars().any(char::is_control) {
        return bounds(format!("`name` has 1 to {NAME_LEN_MAX} bytes and no control characters"));
    }
    if plan.cycle == 0 {
        return bounds("`cycle` counts from 1".to_owned());
    }
    plan.fired_at.as_deref().map_or(Ok(()), time)?;
    if !(1..=STEPS_MAX).contains(&plan.steps.len()) {
        return Err(PlanFileError::Steps { found: plan.steps.len() });
    }
    let mut places = BTreeMap::new();
    for (at, it) in plan.steps.iter().enumerate() {
        let wrong = |what| PlanFileError::Step { at, step: it.id.clone(), what };
        step(it).map_err(wrong)?;
        if let Some(first) = places.insert(it.id.as_str(), at) {
            return Err(wrong(format!("steps[{first}] has the same id")));
        }
    }
    for (at, it) in plan.steps.iter().enumerate() {
        let unknown = it.depends_on.iter().find(|it| !places.contains_key(it.as_str()));
        if let Some(unknown) = unknown {
            let what = format!("depends on `{unknown}`, and there is no such step");
            return Err(PlanFileError::Step { at, step: it.id.clone(), what });
        }
    }
    Ok(())
}

/// A time names a mandate as it is spelled, and it has to be one.
pub(super) fn time(text: &str) -> Result<(), PlanFileError> {
    match text.parse::<Timestamp>() {
        Ok(_) => Ok(()),
        Err(_) => Err(PlanFileError::Bounds {
            text: format!("`fired_at` is `{text}`, and not a time as 2026-01-02T03:04:05Z"),
        }),
    }
}

fn step(step: &Step) -> Result<(), String> {
    let letter = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'-');
    if !(1..=STEP_ID_LEN_MAX).contains(&step.id.len()) || !step.id.bytes().all(letter) {
        return Err(format!("an id has 1 to {STEP_ID_LEN_MAX} of A-Z a-z 0-9 . _ -"));
    }
    if !(1..=ID_LEN_MAX).contains(&step.tool.len()) {
        return Err(format!("`tool` has 1 to {ID_LEN_MAX} bytes"));
    }
    match (step.effect, &step.confirm) {
        (Effect::Confirmable, None) => {
            Err("`confirmable` needs `confirm`: what shows that it has happened".to_owned())
        }
        (Effect::Confirmable, Some(it)) => confirm(it),
        (Effect::None | Effect::Opaque, Some(_)) => {
            Err("`confirm` is for the effect `confirmable`".to_owned())
        }
        (Effect::None | Effect::Opaque, None) => Ok(()),
    }
}

fn confirm(confirm: &Confirm) -> Result<(), String> {
    if !confirm.file.is_absolute() {
        return Err("`confirm.file` is an absolute path".to_owned());
    }
    let Confirm { before, after, .. } = confirm;
    for (key, hash) in [("before", before), ("after", after)] {
        if hash.as_deref().is_some_and(|it| !is_hash(it)) {
            return Err(format!("`confirm.{key}` is {}<64 digits> or {ABSENT}", HASH.0));
        }
    }
    match (before, after) {
        (None, None) => Err("`confirm` needs `before`, `after`, or both".to_owned()),
        // It would be taken for done before it began.
        (Some(before), Some(after)) if before == after => {
            Err("`confirm.before` and `confirm.after` are the same".to_owned())
        }
        _ => Ok(()),
    }
}

fn is_hash(text: &str) -> bool {
    let digit = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
    let digits = text.strip_prefix(HASH.0);
    text == ABSENT || digits.is_some_and(|it| it.len() == HASH.1 && it.bytes().all(digit))
}
