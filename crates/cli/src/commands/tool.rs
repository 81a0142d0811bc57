//! `autonomy tool`: calls of tools, as the log knows them.

use std::io::{self, Write as _};

use api::exit::Exit;
use jiff::Timestamp;
use runtime::{OpenIntent, open_intents};
use serde::Serialize;
use vfs::OsVfs;

use crate::{
    args::{OpenIntents, Output, Tool},
    commands::print_json,
    context::Context,
    failure::Failure,
    printable::printable,
};

pub(crate) fn run(command: Tool, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Tool::OpenIntents(args) => list(&args, context),
    }
}

/// One line of the JSON list.
#[derive(Debug, Serialize)]
struct Open<'a> {
    audit_id: &'a str,
    kind: &'a str,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<i64>,
}

fn list(args: &OpenIntents, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = args.wal_dir.clone().map_or_else(|| context.wal_dir(), Ok)?;
    let open = open_intents(&OsVfs, &dir)?;
    let now = Timestamp::now();
    for OpenIntent { audit_id, kind, seq, at } in &open {
        // A clock that went back makes nobody younger than nothing.
        let age_seconds = at.map(|at| now.duration_since(at).as_secs().max(0));
        match args.output.output {
            Output::Json => print_json(&Open { audit_id, kind, seq: *seq, age_seconds })?,
            Output::Text => {
                let age = age_seconds.map_or("?".to_owned(), |it| it.to_string());
                let (audit_id, kind) = (printable(audit_id), printable(kind));
                writeln!(io::stdout(), "{audit_id}  seq {seq}  {kind}  {age} s")?;
            }
        }
    }
    if args.output.output == Output::Text {
        let count = open.len();
        writeln!(io::stdout(), "open intents: {count}")?;
    }
    Ok(Exit::Done)
}
