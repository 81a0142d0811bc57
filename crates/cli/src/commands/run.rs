//! `autonomy run`: a command under governance.
//!
//! | when                                  | the command                        | exit code               |
//! |---------------------------------------|------------------------------------|-------------------------|
//! | the runtime does not start            | is never started                   | of `api::exit`          |
//! | a signal comes before the start       | is never started                   | 128 + its number        |
//! | it cannot be started                  | –                                  | 127 not found, else 126 |
//! | it ends                               |                                    | its own                 |
//! | it is killed by a signal              |                                    | 128 + its number        |
//! | the runtime ends while it runs        | is ended: SIGTERM, later SIGKILL   | 1                       |
//! | the log is not closed in order        | has ended                          | its own; 1 instead of 0 |

mod child;
mod panel;
mod signals;

use std::{
    ffi::OsString,
    io::{self, Write as _},
};

use api::{env, exit::Exit};
use runtime::{Echo, HttpGet, Shell, Tools};

use self::child::Child;
pub(super) use self::{panel::Panel, signals::Signals};
use super::own_runtime::{Asked, Choice, DEMO, OwnRuntime, Place, Tally, config, quiet_log};
use crate::{
    args::{Governing, Output, Run},
    context::Context,
    failure::Failure,
    inherited,
};

pub(crate) fn run(args: &Run, context: Context<'_>) -> Result<u8, Failure> {
    quiet_log(context)?;
    let choice = Choice::of(args.governing.policy.as_deref(), &DEMO)?;
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let executor = executor.map_err(|it| Failure::process(&it))?;
    executor.block_on(governed(args, choice, context))
}

async fn governed(args: &Run, choice: Choice, context: Context<'_>) -> Result<u8, Failure> {
    let governing = &args.governing;
    let mut signals = Signals::catch().map_err(|it| Failure::process(&it))?;
    let place =
        Place::choose(Asked { dir: governing.dir.as_deref(), keep: governing.keep }, context)?;
    let config = config(governing, &place, choice.evaluator, context)?;
    let strict = config.strict;
    let mut runtime = OwnRuntime::start(config, tools(governing)).await?;
    Panel {
        url: runtime.url(),
        policy: &choice.shown,
        strict,
        place: &place,
        governing,
        command: &args.command,
    }
    .show();
    let ended = command(&args.command, &mut runtime, &mut signals).await;
    finish(runtime, place, ended).await
}

/// The tools of a governed command.
pub(super) fn tools(governing: &Governing) -> Tools {
    let tools = Tools::default().with(Echo).with(HttpGet::new(governing.allowed_domains.clone()));
    if governing.enable_shell { tools.with(Shell::default()) } else { tools }
}

/// Starts the command and stays with it to its end.
async fn command(
    command: &[OsString],
    runtime: &mut OwnRuntime,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    match start(command, runtime, signals) {
        Ok(child) => child.accompany(signals, runtime.lost()).await,
        Err(code) => Ok(code),
    }
}

/// Starts a command that finds the runtime. When that fails it is said, and the exit code is the error.
pub(super) fn start(
    command: &[OsString],
    runtime: &OwnRuntime,
    signals: &mut Signals,
) -> Result<Child, u8> {
    if let Some(signal) = signals.pending() {
        return Err(child::code_of_signal(signal));
    }
    let vars = [(env::RUNTIME_URL, runtime.url().to_owned())];
    let child = Child::start(command, &vars).map_err(|error| {
        let (code, failure) = child::not_started(command, &error);
        say(&failure);
        code
    })?;
    // They were meant for the command, and not for what it asks the runtime to run.
    inherited::keep_descriptors();
    Ok(child)
}

/// Ends the runtime, says what is on record, and clears up. Whatever fails here is said; it replaces
/// a success and no other code of the command.
pub(super) async fn finish(
    runtime: OwnRuntime,
    place: Place,
    ended: Result<u8, Failure>,
) -> Result<u8, Failure> {
    let recorded = runtime.stop().await.and_then(|()| Tally::of(place.dir()));
    let (dir, fate) = (place.dir().display().to_string(), matches!(place, Place::Stays(_)));
    let cleared = place.clear();
    let code = ended?;
    let closed = recorded.and_then(|tally| {
        let Tally { allowed, denied, entries } = tally;
        let log = if fate { format!("in {dir}") } else { "deleted".to_owned() };
        let noun = if entries == 1 { "entry" } else { "entries" };
        let line = format!("autonomy run: {allowed} allowed, {denied} denied; {entries} {noun} since the start, log {log}");
        // Who closed stderr does not want to know.
        writeln!(io::stderr().lock(), "{line}").ok();
        cleared
    });
    match closed {
        Ok(()) => Ok(code),
        Err(failure) if code == Exit::Done.code() => Err(failure),
        Err(failure) => {
            say(&failure);
            Ok(code)
        }
    }
}

fn say(failure: &Failure) {
    // The exit code says it too.
    failure.report(Output::Text).ok();
}
