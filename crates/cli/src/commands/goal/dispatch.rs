//! `dispatch`: sends out the tentacles of an iteration, each as a command of its own.
//!
//! | tentacle                                              | sent out |
//! |-------------------------------------------------------|----------|
//! | ready                                                 | yes      |
//! | running, and a marker says that its process lives     | no       |
//! | running, and it has said how it ended                 | no; it is completed with that |
//! | running, and nobody saw its end                       | with `--resend` alone |
//! | waits for a quota, and its time has not come          | no       |
//! | anything else                                         | no       |
//!
//! * **D0** A tentacle is taken once: marker and meta are looked at again, each under its lock, when a command begins, and
//!   the meta must be what it was when the work was decided on. The process of a marker may be gone before its end is
//!   written down; the meta says even then that somebody began.
//! * **D1** Marker and meta are on the disk before the command begins; it is killed with its group, or stands in the
//!   marker as long as it lives.
//! * **D2** What the tentacle says itself, since it began, counts. Only where it says nothing, its end is its word: 0 is
//!   DONE, a quota in what it said is BLOCKED, any other end is AMBIGUOUS.
//! * **D3** The end of a command is written down only while its work is the one that was begun last.
//!
//! | module   | what it does                     |
//! |----------|----------------------------------|
//! | `select` | which are sent out, and which not |
//! | `send`   | sends them out                   |

mod select;
mod send;

use std::{fmt::Write as _, time::Duration};

use api::{env, exit::Exit};
use goal::{HandoffStatus, Status};
use serde_json::json;

pub(super) use self::{
    select::{Look, Wave},
    send::{Out, Sent},
};
use super::{Desk, failed::left_by, failure, markers, process, say};
use crate::{
    args::{GoalDispatch, GoalWait, GoalWork},
    context::Context,
    failure::Failure,
};

fn read<T>(result: Result<T, goal::OpError>) -> Result<T, Failure> {
    result.map_err(|it| failure(&it, GoalWait::NONE))
}

/// The command that works on a tentacle, if one is named.
pub(super) fn command(work: &GoalWork, context: Context<'_>) -> Option<String> {
    work.cmd.clone().or_else(|| context.var(env::DISPATCH_CMD))
}

pub(super) fn run(args: &GoalDispatch, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let goal = read(desk.store.load().map_err(Into::into))?;
    let command = command(&args.work, context).filter(|_| !args.dry_run);
    if command.is_some() && !matches!(goal.status(), Status::Active | Status::AwaitingGate) {
        let message = format!("the goal is {}; nothing is sent out", goal.status());
        return Err(Failure::new(Exit::Failed, "GOAL_STATUS", message).hint(left_by(goal.status())));
    }
    let marker = markers::path(args.work.marker.as_deref(), context)?;
    let governor = desk.governor(&args.governed, context);
    let (governor, resend) = (governor.as_ref(), args.work.resend);
    let look = Look { desk: &desk, goal: &goal, marker: &marker, governor, resend };
    if command.is_some() {
        look.adopt(args.wait)?;
    }
    let wave = look.plan()?;
    let Some(command) = command else {
        say(args.place.format, &planned(&wave), &json!(wave))?;
        return Ok(Exit::Done);
    };
    process::heed_signals()?;
    let out = Out {
        desk: &desk,
        goal: &goal,
        marker: &marker,
        command: &command,
        lanes: args.work.concurrency.get().into(),
        limit: Duration::from_secs(args.timeout.into()),
        wait: args.wait,
        governor,
    };
    let ended = out.send(&wave)?;
    told(args, &wave, ended)
}

/// Says what came of it; what went wrong goes with what went well.
fn told(args: &GoalDispatch, wave: &Wave, ended: send::Ended) -> Result<Exit, Failure> {
    let mut text = planned(wave);
    for it in &ended.sent {
        // Writing to a string does not fail.
        write!(text, "\n{}  {}  exit {}", it.name, it.status, it.exit_code).ok();
    }
    let done = |it: &Sent| it.status == HandoffStatus::Done.as_str();
    let good = ended.sent.len() == wave.selected.len() && ended.sent.iter().all(done);
    let value = json!({
        "selected": wave.selected,
        "deferred": wave.deferred,
        "resolved": wave.resolved,
        "eval_blocking_count": wave.eval_blocking_count,
        "sent": ended.sent,
    });
    if let Some(mut failure) = ended.failure {
        if args.place.format == crate::args::Output::Text {
            say(args.place.format, &text, &value)?;
        }
        failure.report = Some(Box::new(value));
        return Err(failure);
    }
    say(args.place.format, &text, &value)?;
    Ok(if good { Exit::Done } else { Exit::Partial })
}

fn planned(wave: &Wave) -> String {
    let mut lines = vec![format!("selected: {}", names(&wave.selected))];
    lines.extend(wave.deferred.iter().map(|it| format!("deferred: {} ({})", it.name, it.reason)));
    lines.push(format!("resolved: {}", names(&wave.resolved)));
    lines.join("\n")
}

fn names(list: &[String]) -> String {
    if list.is_empty() { "-".to_owned() } else { list.join(", ") }
}
