//! `autonomy audit`: who did what, in the trail of this machine.

mod failed;

use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{env, exit::Exit};
use audit::{
    ExportError, Filter, NewRecord, Record, Settings, Source, Trail, Verdict, Verified,
    export::{export_csv, export_json},
    query, records,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use vfs::{OsVfs, Vfs};

use crate::{
    args::{
        Audit, AuditExport, AuditFilterArgs, AuditPrune, AuditQuery, AuditVerify, ExportFormat,
        Output,
    },
    commands::{actor, note, print_json, print_pairs},
    context::Context,
    counted::counted,
    failure::Failure,
    filter::Since,
    printable::printable,
    table::{Table, optional},
    target::Target,
};

/// Fields that tell what happened, the shortest first: the end is cut.
const TELLING: [&str; 8] =
    ["code", "result", "strategy", "phase", "gate", "role", "subject", "reason"];
/// Longest detail of a line, in characters.
const DETAIL_LEN_MAX: usize = 60;

pub(crate) fn run(command: &Audit, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Audit::Query(args) => list(args, context),
        Audit::Export(args) => export(args, context),
        Audit::Verify(args) => verify(args, context),
        Audit::Prune(args) => prune(args, context),
    }
}

fn disk() -> Arc<dyn Vfs> {
    Arc::new(OsVfs)
}

/// Opens the trail to append to it.
pub(super) fn open_trail(dir: &Path) -> Result<Trail, Failure> {
    Ok(Trail::open(disk(), dir, settings())?)
}

/// Puts on record what is done already and true by itself: a trail that takes no record is said aloud, and undoes
/// nothing.
pub(super) fn append_or_note(dir: Result<&Path, &Failure>, record: NewRecord, now: Timestamp) {
    let appended = |dir| append(&mut open_trail(dir)?, record, now);
    let failed = match dir {
        Ok(dir) => appended(dir).err().map(|it| format!("{} ({})", it.message, it.code)),
        Err(failure) => Some(failure.message.clone()),
    };
    if let Some(why) = failed {
        super::note(&format!("not in the audit trail: {why}"));
    }
}

/// Appends one record, durably.
pub(super) fn append(trail: &mut Trail, record: NewRecord, now: Timestamp) -> Result<(), Failure> {
    trail.append(&[record], now)?;
    Ok(())
}

fn settings() -> Settings {
    let now = Timestamp::now();
    Settings::new(Source::Cli, &format!("pid {} since {now:.0}", std::process::id()))
}

/// Which records are meant, with its times fixed.
fn filter(args: &AuditFilterArgs) -> Filter {
    let now = Timestamp::now();
    let time = |it: Option<Since>| it.map(|it| it.resolve(now));
    Filter {
        event_name: args.event_type.clone(),
        actor: args.actor.clone(),
        category: args.category,
        outcome: args.outcome,
        source: args.source,
        start_time: time(args.start_time),
        end_time: time(args.end_time),
    }
}

fn list(args: &AuditQuery, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.filter.dir.audit_dir.as_deref(), context)?;
    let filter = filter(&args.filter);
    let mut out = BufWriter::new(io::stdout().lock());
    match args.output.output {
        Output::Json if args.limit == 0 => {
            export_json(records(&disk(), &dir, &filter)?, &mut out).map_err(printed)?;
        }
        Output::Json => {
            let found = query(&disk(), &dir, &filter, args.limit)?;
            export_json(found.into_iter().map(Ok), &mut out).map_err(printed)?;
        }
        Output::Text => text(&query(&disk(), &dir, &filter, args.limit)?, &mut out)?,
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// A result that could not be printed is no export that could not be written.
fn printed(error: ExportError) -> Failure {
    match error {
        ExportError::Write(error) => error.into(),
        ExportError::Read(error) => error.into(),
    }
}

fn text(records: &[Record], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new("TIMESTAMP EVENT ACTOR RESOURCE OUTCOME SOURCE DETAIL");
    for Record { event, .. } in records {
        table.row([
            &event.timestamp.to_string(),
            &event.event_name,
            optional(event.actor.as_ref()),
            &resource(event),
            event.outcome.as_str(),
            event.source.as_str(),
            &detail(event),
        ]);
    }
    table.write(out)
}

/// The telling fields in one cell; JSON has all of them.
fn detail(event: &NewRecord) -> String {
    let told = TELLING.iter().filter_map(|name| {
        let value = match event.fields.get(*name)? {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        Some(format!("{name}={value}"))
    });
    let told = told.collect::<Vec<_>>().join(" ");
    if told.chars().count() <= DETAIL_LEN_MAX {
        return told;
    }
    let mut cut: String = told.chars().take(DETAIL_LEN_MAX - 1).collect();
    cut.push('…');
    cut
}

fn resource(event: &NewRecord) -> String {
    match (&event.resource_type, &event.resource) {
        (Some(kind), Some(which)) => format!("{kind}/{which}"),
        (kind, which) => which.clone().or_else(|| kind.clone()).unwrap_or_default(),
    }
}

fn export(args: &AuditExport, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.filter.dir.audit_dir.as_deref(), context)?;
    check_output(args)?;
    let (filter, disk) = (filter(&args.filter), disk());
    let target = Target::open(&args.output)?;
    let written = if args.limit == 0 {
        records(&disk, &dir, &filter)
            .map_err(ExportError::Read)
            .and_then(|it| write(it, args, &target))
    } else {
        query(&disk, &dir, &filter, args.limit)
            .map_err(ExportError::Read)
            .and_then(|it| write(it.into_iter().map(Ok), args, &target))
    };
    match written {
        Ok(count) => {
            target.finish()?;
            note(&format!("{} in {}", counted(count, "record"), args.output.display()));
            Ok(Exit::Done)
        }
        Err(error) => {
            target.abandon();
            Err(error.into())
        }
    }
}

fn write(
    records: impl IntoIterator<Item = Result<Record, audit::QueryError>>,
    args: &AuditExport,
    target: &Target,
) -> Result<u64, ExportError> {
    let mut out = BufWriter::new(target);
    let count = match args.format {
        ExportFormat::Json => export_json(records, &mut out)?,
        ExportFormat::Csv => export_csv(records, &mut out)?,
    };
    out.flush().map_err(ExportError::Write)?;
    Ok(count)
}

/// Refuses a file that is there, and every place beside a trail: an export must not become a part of one.
fn check_output(args: &AuditExport) -> Result<(), Failure> {
    let shown = args.output.display();
    // A link is written through, so it counts where it leads to.
    let real = std::fs::canonicalize(&args.output).unwrap_or_else(|_| args.output.clone());
    let parent = real.parent().filter(|it| !it.as_os_str().is_empty());
    if parent.unwrap_or(Path::new(".")).join(audit::HEAD).exists() {
        let message = format!("{shown} is in the directory of an audit trail");
        return Err(Failure::new(Exit::Usage, "OUTPUT_IN_AUDIT_DIR", message)
            .hint("pass an --output outside of it"));
    }
    let is_there = std::fs::metadata(&real).is_ok_and(|it| it.is_file());
    if is_there && !args.force {
        let message = format!("{shown} is there already");
        return Err(Failure::new(Exit::Conflict, "OUTPUT_EXISTS", message)
            .hint("pass another --output, or --force to replace it"));
    }
    Ok(())
}

fn verify(args: &AuditVerify, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.dir.audit_dir.as_deref(), context)?;
    let verified = match audit::verify(&disk(), &dir)? {
        Verdict::Whole(verified) => verified,
        Verdict::Damaged(damage) => return Err(failed::damaged(&damage)),
    };
    let Verified { records, segments, first_seq, head, pruned_through, torn_tail } = verified;
    let last = head.map(|it| (it.seq, it.hash.to_string()));
    if args.output.output == Output::Json {
        let torn = torn_tail
            .map(|(file, offset, bytes)| json!({ "file": file, "offset": offset, "bytes": bytes }));
        print_json(&json!({
            "verified": true, "records": records, "segments": segments, "first_seq": first_seq,
            "last_seq": last.as_ref().map(|it| it.0), "last_hash": last.map(|it| it.1),
            "pruned_through": pruned_through, "torn_tail": torn,
        }))?;
        return Ok(Exit::Done);
    }
    let count = format!("{} in {}", counted(records, "record"), counted(segments, "file"));
    let last = last.map_or_else(|| "none".to_owned(), |(seq, hash)| format!("{seq} {hash}"));
    let mut pairs = vec![("verified", count), ("last record", last)];
    pairs.extend(pruned_through.map(|it| ("pruned through", it.to_string())));
    pairs.extend(torn_tail.map(|(file, offset, bytes)| {
        let bytes = counted(bytes, "byte");
        ("torn end", format!("{bytes} at {offset} of {file}: of a crash, never acknowledged"))
    }));
    print_pairs(&pairs)?;
    Ok(Exit::Done)
}

fn prune(args: &AuditPrune, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.dir.audit_dir.as_deref(), context)?;
    // A trail that is not there is not made by removing something from it.
    if !dir.join(audit::HEAD).exists() {
        return Err(audit::QueryError::NotFound { dir }.into());
    }
    let now = Timestamp::now();
    let age = SignedDuration::from_secs(i64::try_from(args.older_than).unwrap_or(i64::MAX));
    let older_than = now.checked_sub(age).unwrap_or(Timestamp::MIN);
    let pruned =
        audit::prune::prune(&disk(), (&dir, settings()), older_than, now, &actor(context))?;
    let (first, last) = pruned.seqs.map_or((None, None), |(first, last)| (Some(first), Some(last)));
    if args.output.output == Output::Json {
        print_json(&json!({
            "segments": pruned.segments, "records": pruned.records,
            "first_seq": first, "last_seq": last,
            "tombstone_seq": pruned.tombstone.map(|it| it.seq),
        }))?;
        return Ok(Exit::Done);
    }
    let (records, files) = (counted(pruned.records, "record"), counted(pruned.segments, "file"));
    let which = match (first, last) {
        (Some(first), Some(last)) => format!(" ({first} to {last})"),
        _ => String::new(),
    };
    writeln!(io::stdout().lock(), "removed {records} in {files}{which}")?;
    Ok(Exit::Done)
}

/// The newest records that ended so, for a screen; `None` without a trail.
pub(super) fn last_failures(dir: &Path, limit: usize) -> Result<Option<Vec<String>>, Failure> {
    let failure = Filter { outcome: Some(audit::Outcome::Failure), ..Filter::default() };
    match query(&disk(), dir, &failure, limit) {
        Err(audit::QueryError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
        Ok(found) => Ok(Some(found.iter().map(|it| in_a_line(&it.event)).collect())),
    }
}

fn in_a_line(event: &NewRecord) -> String {
    let actor = event.actor.as_deref().unwrap_or("-");
    let line = format!("{} {} {} {actor}", event.timestamp, event.event_name, resource(event));
    printable(&line).into_owned()
}

/// Directory of the trail: the option wins over the variable, and that over the default.
pub(super) fn directory(given: Option<&Path>, context: Context<'_>) -> Result<PathBuf, Failure> {
    match given {
        Some(dir) => Ok(dir.to_owned()),
        None => context.var(env::AUDIT_DIR).map_or_else(|| context.audit_dir(), |it| Ok(it.into())),
    }
}

#[cfg(test)]
mod tests;
