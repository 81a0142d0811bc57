//! `autonomy tool`: calls of tools, as the log knows them.

use api::exit::Exit;
use jiff::Timestamp;
use runtime::{OpenIntent, open_intents};
use serde::Serialize;
use vfs::OsVfs;

use crate::{
    args::{OpenIntents, Tool},
    commands::tell,
    context::Context,
    failure::Failure,
    printable::printable,
};

pub(crate) fn run(command: Tool, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Tool::OpenIntents(args) => list(&args, context),
    }
}

/// What the command says.
#[derive(Debug, Serialize)]
struct Told<'a> {
    count: usize,
    open_intents: Vec<Open<'a>>,
}

/// One of the list.
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
    // A clock that went back makes nobody younger than nothing.
    let age = |at: Timestamp| now.duration_since(at).as_secs().max(0);
    let open_intents: Vec<_> = open
        .iter()
        .map(|OpenIntent { audit_id, kind, seq, at }| Open {
            audit_id,
            kind,
            seq: *seq,
            age_seconds: at.map(age),
        })
        .collect();
    let told = Told { count: open.len(), open_intents };
    tell(&told, args.output.output, |told, out| {
        for Open { audit_id, kind, seq, age_seconds } in &told.open_intents {
            let age = age_seconds.map_or("?".to_owned(), |it| it.to_string());
            let (audit_id, kind) = (printable(audit_id), printable(kind));
            writeln!(out, "{audit_id}  seq {seq}  {kind}  {age} s")?;
        }
        writeln!(out, "open intents: {}", told.count)
    })?;
    Ok(Exit::Done)
}
