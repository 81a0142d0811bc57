//! `autonomy telemetry deadletter`: events that a collector refused for good.

use std::io::{self, BufWriter, Write as _};

use api::exit::Exit;
use drain::RetryNotice;
use jiff::Timestamp;
use runtime::{
    DeadLetters, Flaw, LOCK_WAIT, LetterFileError, Listed, PurgeError, PurgeOptions, PurgeReport,
    RetryError, RetryOptions, Said, Selection, purge_dead_letters, retry_dead_letters,
};
use serde_json::{Value, json};
use vfs::OsVfs;

use crate::{
    args::{DeadLetter, DeadLetterList, DeadLetterPurge, DeadLetterRetry, Output},
    commands::{
        print_json,
        telemetry::collector::{batch, connect, explained, holder, locked, seed},
        wal::directory,
    },
    context::Context,
    counted::counted,
    failure::Failure,
};

pub(super) fn run(command: DeadLetter, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        DeadLetter::List(args) => list(&args, context),
        DeadLetter::Retry(args) => retry(&args, context),
        DeadLetter::Purge(args) => purge(args, context),
    }
}

fn list(args: &DeadLetterList, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.dir.as_deref(), context)?;
    let letters = DeadLetters::open(&OsVfs, &dir, |flaw| tell_flaw(&flaw))?;
    let mut out = BufWriter::new(io::stdout().lock());
    // One document, also when a letter in the middle cannot be read.
    let mut told = Vec::new();
    for listed in letters.open_letters() {
        let listed = listed?;
        match args.output.output {
            Output::Json => told.push(to_json(&listed)),
            Output::Text => {
                let Listed { letter, attempts } = &listed;
                let (event_id, class) = (letter.event_id(), letter.class);
                let (at, text) = (letter.refused_at, &letter.text);
                let times = if *attempts == 1 { "once" } else { &format!("{attempts} times") };
                writeln!(out, "{event_id}  {class}  refused {times}, last {at}: {text}")?;
            }
        }
    }
    let (open, damaged) = (letters.counts().open, letters.flaws());
    match args.output.output {
        Output::Json => writeln!(out, "{}", listing(open, damaged, &told))?,
        Output::Text => writeln!(out, "{}", summary(open, damaged))?,
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// Everything, also how many lines may have been letters: stderr need not be read.
fn listing(open: u64, damaged: u64, letters: &[Value]) -> Value {
    json!({ "count": open, "damaged": damaged, "dead_letters": letters })
}

fn summary(open: u64, damaged: u64) -> String {
    let open = counted(open, "dead letter");
    match damaged {
        0 => open,
        _ => format!("{open}, {} cannot be read", counted(damaged, "line")),
    }
}

fn to_json(listed: &Listed) -> Value {
    let Listed { letter, attempts } = listed;
    let payload = letter.payload.as_deref().map(String::from_utf8_lossy);
    json!({
        "event_id": letter.event_id(), "wal_id": letter.source.wal_id.to_string(),
        "node": letter.source.node, "seq": letter.seq, "class": letter.class,
        "payload": payload, "attempts": attempts, "text": letter.text,
        "refused_at": letter.refused_at,
    })
}

fn retry(args: &DeadLetterRetry, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.dir.as_deref(), context)?;
    let collector = connect(&args.collector, context)?;
    let now = Timestamp::now();
    let options = RetryOptions {
        dir,
        encoding: collector.encoding(),
        batch: batch(&args.collector),
        batch_bytes: args.collector.batch_bytes as u64,
        retries: args.collector.retries,
        seed: seed(now),
        holder: holder(now),
        wait: LOCK_WAIT,
    };
    let output = args.output.output;
    let retried = executor()?.block_on(retry_dead_letters(&OsVfs, &options, &collector, |said| {
        match said {
            Said::Flaw(flaw) => tell_flaw(flaw),
            // A reader that went away does not stop a delivery.
            Said::Notice(notice) => match output {
                Output::Text => writeln!(io::stdout().lock(), "{}", RetryNotice(notice)).ok(),
                Output::Json => writeln!(io::stderr().lock(), "{}", RetryNotice(notice)).ok(),
            }
            .unwrap_or_default(),
        }
    }));
    let report = retried.map_err(|error| retry_failed(&error, &collector.shown()))?;
    match output {
        Output::Json => print_json(&report)?,
        Output::Text => writeln!(io::stdout().lock(), "{}", report.letters)?,
    }
    let left = report.letters.refused + report.letters.without_payload;
    Ok(if left > 0 { Exit::Partial } else { Exit::Done })
}

fn purge(args: DeadLetterPurge, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.dir.as_deref(), context)?;
    let (now, output) = (Timestamp::now(), args.output.output);
    let selection = selection(args, now);
    let options = PurgeOptions { dir, selection, now, holder: holder(now), wait: LOCK_WAIT };
    let purged =
        executor()?.block_on(purge_dead_letters(&OsVfs, &options, |flaw| tell_flaw(&flaw)));
    let report = purged.map_err(|error| purge_failed(&error))?;
    match output {
        Output::Json => print_json(&report)?,
        Output::Text => {
            let PurgeReport { purged, delivered, open, damaged_purged, .. } = report;
            let damage = if damaged_purged > 0 {
                &format!(", {damaged_purged} damaged lines given up")
            } else {
                ""
            };
            writeln!(
                io::stdout().lock(),
                "purge complete: {purged} given up, {delivered} delivered removed, {open} still open{damage}"
            )?;
        }
    }
    Ok(Exit::Done)
}

/// The command line has made sure of one choice, and of a reason where it needs one.
fn selection(args: DeadLetterPurge, now: Timestamp) -> Selection {
    let Some(reason) = args.reason else { return Selection::Delivered };
    match args.before {
        Some(since) => Selection::Before { time: since.resolve(now), reason },
        None if args.all => Selection::All { reason },
        None if args.damaged => Selection::Damaged { reason },
        None => Selection::Events { event_ids: args.event_id, reason },
    }
}

fn executor() -> Result<tokio::runtime::Runtime, Failure> {
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
    executor.map_err(|it| Failure::process(&it))
}

/// A line that means nothing stays in the file; whoever runs the command should know.
fn tell_flaw(flaw: &Flaw) {
    let Flaw { line, error } = flaw;
    writeln!(io::stderr().lock(), "warning: line {line} of telemetry.deadletter.jsonl: {error}")
        .ok();
}

fn retry_failed(error: &RetryError, url: &str) -> Failure {
    match error {
        RetryError::Lock(lock) => locked(error, lock),
        RetryError::File(file) => unusable(error, file),
        RetryError::Stopped { failure, report } => {
            let mut said = explained(error, failure, url);
            let (sent, pending) = (report.accepted, report.pending);
            let sent = counted(sent, "event");
            said.cause.push(format!("sent before: {sent}; still waiting: {pending}"));
            said
        }
    }
}

fn purge_failed(error: &PurgeError) -> Failure {
    match error {
        PurgeError::Lock(lock) => locked(error, lock),
        PurgeError::File(file) => unusable(error, file),
        PurgeError::NotOpen { .. } => Failure::of(Exit::NotFound, "LETTER_NOT_FOUND", error)
            .hint("list the letters: autonomy telemetry deadletter list"),
    }
}

fn unusable(error: &dyn std::error::Error, file: &LetterFileError) -> Failure {
    let (LetterFileError::Read { source, .. } | LetterFileError::Write { source, .. }) = file;
    let mut failure = Failure::of(Exit::Failed, "IO", error);
    failure.cause = vec![source.to_string()];
    failure.hint("check the disk, then run the same command again: nothing is lost")
}

impl From<LetterFileError> for Failure {
    fn from(error: LetterFileError) -> Self {
        unusable(&error, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_damaged_lines_is_not_told_as_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(wal_format::names::DEADLETTER);
        std::fs::write(file, "{\"torn\nno letter\n").unwrap();
        let letters = DeadLetters::open(&OsVfs, dir.path(), |_| ()).unwrap();
        let (open, damaged) = (letters.counts().open, letters.flaws());
        let want = json!({ "count": 0, "damaged": 2, "dead_letters": [] });
        assert_eq!(listing(open, damaged, &[]), want);
        assert_eq!(summary(open, damaged), "0 dead letters, 2 lines cannot be read");
        assert_eq!(summary(1, 0), "1 dead letter");
    }
}
