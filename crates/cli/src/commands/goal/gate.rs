//! `autonomy goal gate`.

use api::exit::Exit;
use goal::Word;
use serde_json::json;

use super::{Desk, failure, say, wait};
use crate::{
    args::{GoalGate, GoalLook, GoalPlace, GoalWait},
    context::Context,
    failure::Failure,
};

pub(super) fn run(command: GoalGate, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        GoalGate::List(args) => list(&args, context),
        GoalGate::Add(it) => {
            let word = Word::Add { description: &it.desc };
            tell(&it.id, word, None, (it.wait, &it.place), context)
        }
        GoalGate::Approve(it) => {
            tell(&it.id, Word::Approve, it.reason.as_deref(), (it.wait, &it.place), context)
        }
        GoalGate::Pass(it) => {
            tell(&it.id, Word::Pass, it.reason.as_deref(), (it.wait, &it.place), context)
        }
        GoalGate::Fail(it) => {
            tell(&it.id, Word::Fail, it.reason.as_deref(), (it.wait, &it.place), context)
        }
        GoalGate::Reject(it) => {
            tell(&it.id, Word::Reject, Some(&it.reason), (it.wait, &it.place), context)
        }
    }
}

fn tell(
    id: &str,
    word: Word<'_>,
    reason: Option<&str>,
    (waits, place): (GoalWait, &GoalPlace),
    context: Context<'_>,
) -> Result<Exit, Failure> {
    let desk = Desk::open(place, context)?;
    let done = desk.store.say(wait(waits), id, word, reason);
    let done = done.map_err(|it| failure(&it, waits))?;
    if !done.existed {
        let fields = [
            ("gate", id.to_owned()),
            ("gate_status", done.gate.as_str().to_owned()),
            ("reason", reason.unwrap_or_default().chars().take(2000).collect()),
        ];
        desk.audit("goal.gate", &desk.goal_id(), &fields);
    }
    let known = if done.existed { " already" } else { "" };
    let text = format!("gate {id} is {}{known}; the goal is {}", done.gate.as_str(), done.status);
    let value = json!({
        "gate": id,
        "gate_status": done.gate,
        "existed": done.existed,
        "status": done.status,
    });
    say(place.format, &text, &value)?;
    Ok(Exit::Done)
}

fn list(args: &GoalLook, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let goal = desk.store.load().map_err(|it| failure(&it.into(), GoalWait::NONE))?;
    let lines: Vec<String> = goal
        .gates()
        .iter()
        .map(|it| {
            let reason = it.reason.as_deref().map(|it| format!(" ({it})")).unwrap_or_default();
            format!("{}  {}{reason}  {}", it.id, it.status.as_str(), it.description)
        })
        .collect();
    let text = if lines.is_empty() { "no gates".to_owned() } else { lines.join("\n") };
    say(args.place.format, &text, &json!({ "gates": goal.gates() }))?;
    Ok(Exit::Done)
}
