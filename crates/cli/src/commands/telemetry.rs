//! `autonomy telemetry`: entries out of a log.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

use api::exit::Exit;
use serde_json::json;
use vfs::OsVfs;
use wal_recovery::{Reader, remains};

use crate::{
    args::{Export, Output, Telemetry},
    commands::{filter, note, print_json, wal::directory},
    context::Context,
    failure::Failure,
    filter::Filter,
    target::Target,
};

mod bridge;
mod collector;
mod deadletter;
mod drain;
mod tell;

pub(crate) use collector::{
    progress as progress_failure, settings as collector_settings, unusable as unusable_collector,
};

pub(crate) fn run(command: Telemetry, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Telemetry::Export(args) => export(&args, context),
        Telemetry::Drain(args) => drain::run(&args, context),
        Telemetry::Bridge(args) => bridge::run(&args, context),
        Telemetry::DeadLetter(command) => deadletter::run(command, context),
    }
}

fn export(args: &Export, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.dir.as_deref(), context)?;
    let filter = filter(&args.filter);
    let mut reader =
        if args.salvage { Reader::salvage(&OsVfs, &dir) } else { Reader::open(&OsVfs, &dir) }?;
    if args.salvage {
        tell_salvaged(&reader, &dir);
    }
    if args.out.as_os_str() == "-" {
        return write_entries(&mut reader, &filter, io::stdout().lock()).map(|_| Exit::Done);
    }
    let target = Target::open(&args.out)?;
    match write_entries(&mut reader, &filter, &target) {
        Ok(entries) => {
            target.finish()?;
            if args.output.output == Output::Json {
                let holds = args.salvage.then(|| reader.safe_point().get());
                let out = args.out.display().to_string();
                print_json(&json!({ "entries": entries, "out": out, "holds_up_to": holds }))?;
            }
            Ok(Exit::Done)
        }
        Err(failure) => {
            target.abandon();
            Err(failure)
        }
    }
}

/// Says where what holds ends, and what was promised: an export that is short must not look whole.
fn tell_salvaged(reader: &Reader, dir: &Path) {
    let holds = reader.safe_point().get();
    let promised = remains(&OsVfs, dir).ok().and_then(|it| it.safe_point);
    note(&match promised {
        Some(promised) if promised.get() > holds => {
            let promised = promised.get();
            format!(
                "entries 1 to {holds} hold; the safe point names {promised}: the rest is lost or damaged"
            )
        }
        Some(_) => format!("entries 1 to {holds} hold, which is all that the safe point names"),
        None => format!(
            "entries 1 to {holds} hold; there is no safe point that says how many there were"
        ),
    });
}

/// Writes the entries that are meant, and returns how many they were.
fn write_entries(reader: &mut Reader, filter: &Filter, out: impl Write) -> Result<u64, Failure> {
    let mut out = BufWriter::new(out);
    let result = copy_entries(reader, filter, &mut out);
    // What came before a damaged entry is good and is delivered.
    out.flush()?;
    result
}

fn copy_entries(
    reader: &mut Reader,
    filter: &Filter,
    out: &mut impl Write,
) -> Result<u64, Failure> {
    let mut entries = 0;
    while let Some(item) = reader.next_entry()? {
        if filter.takes_payload(item.payload) {
            out.write_all(item.payload)?;
            out.write_all(b"\n")?;
            entries += 1;
        }
    }
    Ok(entries)
}
