//! What a human says about steps that wait for one.
//!
//! | command    | from                     | to          | on record                              |
//! |------------|--------------------------|-------------|----------------------------------------|
//! | `approve`  | `needs_review`, `paused` | `pending`   | who, and why                           |
//! | `complete` | `needs_review`           | `completed` | who, why, and the evidence             |
//! | `fail`     | `needs_review`, `paused` | `failed`    | who, and why                           |
//! | `abandon`  | a plan that has not ended | `abandoned` | who, and why                           |

use ::audit::{Category, NewRecord, Outcome, Source};
use api::exit::Exit;
use jiff::Timestamp;
use serde_json::{Value, json};
use vfs::{OsVfs, Vfs as _};
use wal_format::step::StepStatus;
use wal_recovery::steps::{Completion, Plans, StepKey, StepLog, StepOpenError};

use super::{opening, place};
use crate::{
    args::{Output, StepOfMandate, StepsAbandon, StepsApprove, StepsComplete, StepsDirArg},
    commands::{actor, audit, steps, tell, write_pairs},
    context::Context,
    failure::Failure,
};

/// Longest reason in a record, in characters.
const REASON_LEN_MAX: usize = 2000;
/// Class of the error of a step that a human has failed.
const FAILED_BY_HUMAN: &str = "review";

pub(super) fn approve(args: &StepsApprove, context: Context<'_>) -> Result<Exit, Failure> {
    let reason = signed(&args.of.reason, context);
    change(&args.of, args.output.output, "pending", context, |log, key, now| {
        log.approve(key, &reason, now).map(drop)
    })
}

pub(super) fn complete(args: &StepsComplete, context: Context<'_>) -> Result<Exit, Failure> {
    let shown = args.evidence.as_deref().map(serde_json::from_str::<Value>).transpose();
    let shown = shown.map_err(|error| {
        Failure::new(Exit::Usage, "BAD_EVIDENCE", format!("--evidence is no JSON: {error}"))
            .hint("quote a text: --evidence '\"ticket 4711\"'")
    })?;
    let evidence = json!({
        "attested_by": actor(context),
        "reason": args.of.reason,
        "evidence": shown,
    });
    change(&args.of, args.output.output, "completed", context, |log, key, now| {
        let done = Completion { evidence: Some(evidence), ..Completion::default() };
        log.mark_completed(key, done, now).map(drop)
    })
}

pub(super) fn fail(args: &StepsApprove, context: Context<'_>) -> Result<Exit, Failure> {
    let reason = signed(&args.of.reason, context);
    change(&args.of, args.output.output, "failed", context, |log, key, now| {
        log.mark_failed(key, FAILED_BY_HUMAN, &reason, now).map(drop)
    })
}

pub(super) fn abandon(args: &StepsAbandon, context: Context<'_>) -> Result<Exit, Failure> {
    let reason = signed(&args.reason, context);
    let (log, _place) = opened(&args.dir, &args.mandate, context)?;
    log.abandon_plan(&args.plan, &reason, Timestamp::now())
        .map_err(|it| steps::not_appended(&it))?;
    record(("abandoned", &reason), &args.mandate, (&args.plan, "-"), context);
    let told = json!({ "mandate_id": args.mandate, "plan_id": args.plan, "state": "abandoned" });
    tell(&told, args.output.output, |_, out| {
        write_pairs(out, &[("plan", args.plan.clone()), ("state", "abandoned".to_owned())])
    })?;
    Ok(Exit::Done)
}

/// A reason, with whoever gives it.
fn signed(reason: &str, context: Context<'_>) -> String {
    format!("{}: {reason}", actor(context))
}

type Place = daemon::PidLock<'static>;

/// Opens a log that is there, in the place of the daemon.
fn opened(
    dir: &StepsDirArg,
    mandate: &str,
    context: Context<'_>,
) -> Result<(StepLog, Place), Failure> {
    let dir = steps::directory(dir, context)?;
    let path = steps::path_of(&dir, mandate)?;
    if OsVfs.stat(&path).map_err(|it| Failure::file("read", &path, &it))?.is_none() {
        return Err(steps::not_opened(&StepOpenError::NotFound { path }));
    }
    let place = place(&dir)?;
    let opened = StepLog::open(&OsVfs, &path, &opening(Timestamp::now()));
    Ok((opened.map_err(|it| steps::not_opened(&it))?.log, place))
}

fn change(
    of: &StepOfMandate,
    output: Output,
    status: &'static str,
    context: Context<'_>,
    write: impl FnOnce(
        &StepLog,
        StepKey<'_>,
        Timestamp,
    ) -> Result<(), wal_recovery::steps::StepAppendError>,
) -> Result<Exit, Failure> {
    let (log, _place) = opened(&of.dir, &of.mandate, context)?;
    let plans = log.plans();
    let key = StepKey { plan_id: plan_of(of, &plans)?, step_id: &of.step };
    waits(key, &plans)?;
    write(&log, key, Timestamp::now()).map_err(|it| steps::not_appended(&it))?;
    record((status, &of.reason), &of.mandate, (key.plan_id, &of.step), context);
    let told = json!({
        "mandate_id": of.mandate,
        "plan_id": key.plan_id,
        "step_id": of.step,
        "status": status,
    });
    tell(&told, output, |_, out| {
        write_pairs(out, &[("step", of.step.clone()), ("status", status.to_owned())])
    })?;
    Ok(Exit::Done)
}

/// Puts in the audit trail what a human said. The log of the steps has it already, durably.
fn record(
    (word, reason): (&str, &str),
    mandate: &str,
    (plan, step): (&str, &str),
    context: Context<'_>,
) {
    let (now, dir) = (Timestamp::now(), audit::directory(None, context));
    let event = format!("steps.{word}");
    let record = NewRecord::new(&event, (Category::Wal, word), Outcome::Success, Source::Cli, now);
    let record = record.by(&actor(context)).on("mandate", mandate);
    let reason: String = reason.chars().take(REASON_LEN_MAX).collect();
    let record = record.with("plan", plan).with("step", step).with("reason", reason.as_str());
    audit::append_or_note(dir.as_deref(), record, now);
}

/// A human speaks about steps that wait for one, and about no others: what runs has an end of its own.
fn waits(key: StepKey<'_>, plans: &Plans) -> Result<(), Failure> {
    let Some((_, step)) = plans.step(key) else { return Ok(()) };
    if matches!(step.status, Some(StepStatus::NeedsReview | StepStatus::Paused)) {
        return Ok(());
    }
    let status = step.status.map_or("pending", StepStatus::as_str);
    let message = format!("the step {key} is {status}, and waits for nobody");
    Err(Failure::new(Exit::Conflict, "STEP_NOT_WAITING", message)
        .hint("autonomy wal steps inspect shows what waits"))
}

/// The plan that was named, or the only open one with such a step.
fn plan_of<'a>(of: &'a StepOfMandate, plans: &'a Plans) -> Result<&'a str, Failure> {
    if let Some(plan) = &of.plan {
        return Ok(plan);
    }
    let named: Vec<_> = plans.not_finalized().filter(|it| it.step(&of.step).is_some()).collect();
    match named.as_slice() {
        [plan] => Ok(&plan.plan_id),
        [] => {
            let message = format!("no plan that has not ended has a step {}", of.step);
            Err(Failure::new(Exit::NotFound, "STEP_NOT_FOUND", message)
                .hint("autonomy wal steps inspect lists plans and steps"))
        }
        [..] => {
            let message = format!("{} plans have a step {}", named.len(), of.step);
            Err(Failure::new(Exit::Usage, "STEP_AMBIGUOUS", message).hint("pass --plan"))
        }
    }
}
