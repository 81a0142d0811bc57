//! `autonomy rollback execute`: asks the control plane, and puts the outcome on record here (B1, B2, B3).

use api::{
    exit::Exit,
    rollout::{Recover, Rollout},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    record::{Log, Said, UNKNOWN},
    target::{CURRENT, Target},
};
use crate::{
    args::{RollbackExecute, StrategyArg},
    commands::{
        actor,
        audit::directory,
        rollout::{known_plans, route},
        tell,
    },
    context::Context,
    control::{ControlPlane, Route},
    failure::Failure,
    printable::printable,
};

/// What the command prints when it was done.
#[derive(Debug, Serialize)]
struct Executed<'a> {
    outcome: &'static str,
    target: &'static str,
    resource: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<&'static str>,
    reason: &'a str,
    actor: &'a str,
    /// The answer of the control plane.
    answer: Answer,
}

/// What the control plane answered.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Rollout(Box<Rollout>),
    /// Whatever a leader says when it resigns.
    Resigned(Map<String, Value>),
}

impl Answer {
    /// In one line, for people and for the record.
    fn told(&self) -> String {
        match self {
            Self::Rollout(it) => format!("phase={} generation={}", it.phase, it.generation),
            Self::Resigned(_) => "resigned".to_owned(),
        }
    }
}

pub(super) fn run(args: &RollbackExecute, context: Context<'_>) -> Result<Exit, Failure> {
    let target = Target::from(args.target);
    check(target, args)?;
    let plane = ControlPlane::new(&args.control, context)?;
    let actor = actor(context);
    let said = Said {
        target: target.facts().name,
        resource: &args.resource,
        strategy: args.strategy.map(StrategyArg::as_str),
        reason: &args.reason,
        actor: &actor,
    };
    let dir = directory(args.audit_dir.as_deref(), context)?;
    let mut log = Log::open(&dir, &said)?;
    let answer = ask(&plane, args);
    let recorded = match &answer {
        Ok(answer) => log.succeeded(&said, &answer.told()),
        Err(failure) => log.failed(&said, failure),
    };
    let outcome = match &answer {
        Ok(_) => "success",
        Err(failure) if failure.may_be_done => "pending",
        Err(_) => "failure",
    };
    if let Err(error) = recorded {
        return Err(unrecorded(&error, &answer));
    }
    let Said { target, resource, strategy, reason, actor } = said;
    match answer {
        Ok(answer) => {
            let executed = Executed { outcome, target, resource, strategy, reason, actor, answer };
            tell(&executed, args.control.format(), |it, out| {
                let how = it.strategy.map_or_else(String::new, |it| format!(" strategy={it}"));
                let (resource, told) = (printable(it.resource), it.answer.told());
                let told = printable(&told);
                writeln!(out, "outcome=success target={target} resource={resource}{how} {told}")
            })?;
            Ok(Exit::Done)
        }
        Err(mut failure) => {
            let mut report = json!({
                "outcome": outcome, "target": target, "resource": resource,
                "strategy": strategy, "reason": reason, "actor": actor,
            });
            if failure.may_be_done {
                if let Some(report) = report.as_object_mut() {
                    report.insert("result".to_owned(), UNKNOWN.into());
                }
                let hint = failure.hint.unwrap_or_default();
                failure.hint = Some(format!("{hint}; the record of it says `pending`"));
            }
            failure.report = Some(Box::new(report));
            Err(failure)
        }
    }
}

/// Refuses what does not fit the table of targets, before anybody is asked.
fn check(target: Target, args: &RollbackExecute) -> Result<(), Failure> {
    let facts = target.facts();
    let name = facts.name;
    let bad = |code: &str, message: String, hint: String| {
        Err(Failure::new(Exit::Usage, code, message).hint(hint))
    };
    if !facts.orchestrated {
        let message = format!("{name} is not done by this command");
        let hint = format!("by hand: {}", facts.manual_path);
        return bad("NOT_ORCHESTRATED", message, hint);
    }
    let strategies = facts.strategies.join(", ");
    match args.strategy {
        None if facts.strategies.is_empty() => {}
        None => {
            let message = format!("{name} needs a strategy");
            return bad(
                "BAD_STRATEGY",
                message,
                format!("pass --strategy with one of: {strategies}"),
            );
        }
        Some(it) if facts.strategies.contains(&it.as_str()) => {}
        Some(it) => {
            let message = format!("{name} has no strategy {}", it.as_str());
            let hint = match &*strategies {
                "" => "leave --strategy out".to_owned(),
                strategies => format!("it has: {strategies}"),
            };
            return bad("BAD_STRATEGY", message, hint);
        }
    }
    if target == Target::HaLeaderResign && args.resource != CURRENT {
        let message = format!("`{}` is no leader that can be told to resign", args.resource);
        return bad("BAD_NAME", message, format!("pass --resource {CURRENT}"));
    }
    if args.reason.trim().is_empty() {
        let message = "the reason is empty".to_owned();
        return bad(
            "REASON_MISSING",
            message,
            "say why with --reason: it stays on record".to_owned(),
        );
    }
    Ok(())
}

fn ask(plane: &ControlPlane, args: &RollbackExecute) -> Result<Answer, Failure> {
    let Some(strategy) = args.strategy else {
        let route = Route::new("ha").at("resign");
        let body = api::rollout::Because { reason: Some(args.reason.clone()) };
        return Ok(Answer::Resigned(plane.change(&route, &body, None)?.value));
    };
    let body = Recover { strategy: strategy.into(), reason: args.reason.clone(), stage_id: None };
    let route = route(&args.resource).at("recover");
    let changed = plane.change::<Rollout>(&route, &body, None).map_err(known_plans)?;
    Ok(Answer::Rollout(Box::new(changed.value)))
}

/// The outcome is known and could not be put on record (B2).
fn unrecorded(error: &Failure, answer: &Result<Answer, Failure>) -> Failure {
    let (done, said) = match answer {
        Ok(answer) => ("it was done", answer.told()),
        Err(failure) => {
            let done =
                if failure.may_be_done { "it may have been done" } else { "it was not done" };
            (done, format!("{} ({})", failure.message, failure.code))
        }
    };
    let message = format!(
        "{done}, and that is not on record: {}; the control plane said: {said}",
        error.message
    );
    let mut failure = Failure::new(Exit::Failed, "AUDIT_NOT_RECORDED", message);
    failure.cause.clone_from(&error.cause);
    failure.report = Some(Box::new(json!({ "audit_code": error.code, "answer": said })));
    failure.hint("do not repeat it; note it down by hand, and look at: autonomy audit verify")
}

#[cfg(test)]
mod tests;
