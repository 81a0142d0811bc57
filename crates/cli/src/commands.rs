//! The commands, one module a noun.

pub(crate) mod audit;
pub(crate) mod bundle;
pub(crate) mod capabilities;
pub(crate) mod config;
pub(crate) mod daemon;
pub(crate) mod db;
pub(crate) mod demo;
pub(crate) mod doctor;
mod drained;
pub(crate) mod explain;
pub(crate) mod fleet;
pub(crate) mod goal;
pub(crate) mod ha;
pub(crate) mod keys;
pub(crate) mod lock;
pub(crate) mod logs;
pub(crate) mod oci;
mod own_runtime;
pub(crate) mod policy;
pub(crate) mod rbac;
mod registry;
pub(crate) mod rollback;
pub(crate) mod rollout;
pub(crate) mod ros2;
pub(crate) mod run;
pub(crate) mod runtime;
pub(crate) mod session;
pub(crate) mod shell;
pub(crate) mod sign;
pub(crate) mod status;
mod steps;
pub(crate) mod support;
pub(crate) mod telemetry;
pub(crate) mod tentacle;
pub(crate) mod tool;
pub(crate) mod verify;
pub(crate) mod wal;

use std::io::{self, BufWriter, Write};

use api::env;
use serde::Serialize;

use crate::{
    args::{FilterArgs, Output},
    context::Context,
    filter::{Filter, Since},
    printable::printable,
};

/// Prints a value as one line of JSON on stdout.
fn print_json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string(value)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Prints `name  value` lines on stdout, aligned.
fn print_pairs(pairs: &[(&str, String)]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    write_pairs(&mut stdout, pairs)?;
    stdout.flush()
}

/// Writes `name  value` lines, aligned.
fn write_pairs(out: &mut dyn Write, pairs: &[(&str, String)]) -> io::Result<()> {
    let width = pairs.iter().map(|it| it.0.len()).max().unwrap_or_default();
    for (name, value) in pairs {
        writeln!(out, "{name:width$}  {}", printable(value))?;
    }
    Ok(())
}

/// Prints a result: as JSON, or as the text that `text` writes.
fn tell<T: Serialize>(
    value: &T,
    output: Output,
    text: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    if output == Output::Json {
        return print_json(value);
    }
    let mut stdout = BufWriter::new(io::stdout().lock());
    text(value, &mut stdout)?;
    stdout.flush()
}

/// Who runs this command: `AUTONOMY_OPERATOR`, or the user of the process as `unix:<name>`.
fn actor(context: Context<'_>) -> String {
    context.var(env::OPERATOR).unwrap_or_else(|| {
        let uid = nix::unistd::getuid();
        let user = nix::unistd::User::from_uid(uid).ok().flatten();
        format!("unix:{}", user.map_or_else(|| uid.to_string(), |it| it.name))
    })
}

/// Says on stderr what a person should know beside the result.
pub(crate) fn note(text: &str) {
    // Whoever closed stderr does not want it.
    writeln!(io::stderr().lock(), "note: {}", printable(text)).ok();
}

/// Fixes the time of a filter.
fn filter(args: &FilterArgs) -> Filter {
    Filter {
        since: args.since.map(|it: Since| it.resolve(jiff::Timestamp::now())),
        kind: args.kind.clone(),
        seq: args.seq,
    }
}
