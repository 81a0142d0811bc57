//! The commands, one module a noun.

pub(crate) mod bundle;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod keys;
pub(crate) mod lock;
pub(crate) mod oci;
mod own_runtime;
pub(crate) mod policy;
mod registry;
pub(crate) mod ros2;
pub(crate) mod run;
pub(crate) mod runtime;
pub(crate) mod sign;
pub(crate) mod telemetry;
pub(crate) mod tool;
pub(crate) mod verify;
pub(crate) mod wal;

use std::io::{self, Write as _};

use serde::Serialize;

use crate::{
    args::FilterArgs,
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
    let width = pairs.iter().map(|it| it.0.len()).max().unwrap_or_default();
    let mut stdout = io::stdout().lock();
    for (name, value) in pairs {
        writeln!(stdout, "{name:width$}  {}", printable(value))?;
    }
    stdout.flush()
}

/// Fixes the time of a filter.
fn filter(args: &FilterArgs) -> Filter {
    Filter {
        since: args.since.map(|it: Since| it.resolve(jiff::Timestamp::now())),
        kind: args.kind.clone(),
        seq: args.seq,
    }
}
