//! `autonomy session`: entry points of the hooks of a session.
//!
//! * **H1** Neither beginning nor end of a session is ever stopped: whatever fails is said, and the exit code is 0.

use api::exit::Exit;
use serde_json::json;

use super::goal::{Desk, say};
use crate::{
    args::{GoalLook, Output, Session, SessionEnd},
    commands::note,
    context::Context,
    failure::Failure,
};

/// How long the end of a session waits for the lock.
const LOCK_WAIT: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);

pub(crate) fn run(command: &Session, context: Context<'_>) -> Exit {
    let (done, format) = match command {
        Session::Start(args) => (start(args, context), args.place.format),
        Session::End(args) => (end(args, context), args.place.format),
    };
    // H1
    if let Err(failure) = done {
        note(&format!("{} ({})", failure.message, failure.code));
        if format == Output::Json {
            // Whoever closed stdout does not want it.
            failure.report(format).ok();
        }
    }
    Exit::Done
}

fn start(args: &GoalLook, context: Context<'_>) -> Result<(), Failure> {
    let desk = Desk::open(&args.place, context)?;
    if let Err(error) = desk.store.look() {
        note(&format!("{error} ({})", error.code()));
    }
    let banner = desk.store.session_banner();
    match (&banner, args.place.format) {
        (None, Output::Text) => Ok(()),
        (text, format) => {
            let text_ = text.as_deref().unwrap_or_default().trim_end();
            say(format, text_, &json!({ "banner": text }))
        }
    }
}

fn end(args: &SessionEnd, context: Context<'_>) -> Result<(), Failure> {
    let desk = Desk::open(&args.place, context)?;
    let ended = desk.store.end_session(LOCK_WAIT, &args.reason);
    let ended = ended.map_err(|error| Failure::of(Exit::Failed, error.code(), &error))?;
    let (text, value) = match &ended {
        None => ("nothing to pause".to_owned(), json!({ "paused": false })),
        Some(it) => {
            desk.remember_workspace();
            let reason: String = args.reason.chars().take(2000).collect();
            desk.audit("goal.session_ended", &it.goal_id, &[("reason", reason)]);
            let text =
                format!("the goal is paused (was {}); resume: autonomy goal resume", it.before);
            (text, json!({ "paused": true, "previous_status": it.before }))
        }
    };
    say(args.place.format, &text, &value)
}
