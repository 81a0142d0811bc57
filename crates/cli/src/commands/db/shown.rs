//! What is printed about databases.

use std::path::Path;

use jiff::Timestamp;
use rollout_store::database::{
    self, BackedUp, Found, Kind, Maintained, Pages, Restored, Status, Updated,
};
use serde_json::{Value, json};

use crate::counted::counted;

type Lines = Vec<(&'static str, String)>;

/// What a database that nothing has to be applied to says.
const UP_TO_DATE: &str = "Schema up to date";

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

fn version(found: &Found) -> String {
    found.version.map_or_else(|| "unknown".to_owned(), |it| it.to_string())
}

/// Versions that were skipped, for people.
fn gaps(found: &Found) -> Option<(&'static str, String)> {
    let listed: Vec<_> = found.gaps.iter().map(ToString::to_string).collect();
    (!listed.is_empty()).then(|| ("versions missing", listed.join(", ")))
}

pub(super) fn backup_json(done: &BackedUp) -> Value {
    json!({
        "source": text(&done.source),
        "destination": text(&done.destination),
        "size": done.len,
        "application": done.found.application(),
        "schema_version": done.found.version,
    })
}

pub(super) fn backup(done: &BackedUp) -> Lines {
    vec![
        ("source", text(&done.source)),
        ("destination", text(&done.destination)),
        ("size", format!("{} bytes", done.len)),
        ("schema version", version(&done.found)),
    ]
}

fn outcome(done: &Updated) -> String {
    let at = version(&done.found);
    match done.applied.len() {
        0 => format!("{UP_TO_DATE} (version {at})"),
        count => format!("{} applied: version {} to {at}", counted(count, "migration"), done.from),
    }
}

pub(super) fn migration_json(done: &Updated) -> Value {
    let applied =
        done.applied.iter().map(|(version, name)| json!({ "version": version, "name": name }));
    json!({
        "database": text(&done.database),
        "status": if done.applied.is_empty() { "up_to_date" } else { "migrated" },
        "message": outcome(done),
        "application": done.found.application(),
        "from_version": done.from,
        "schema_version": done.found.version,
        "missing_versions": done.found.gaps,
        "applied": applied.collect::<Vec<_>>(),
    })
}

pub(super) fn migration(done: &Updated) -> Lines {
    let mut lines = vec![("database", text(&done.database))];
    lines.extend(
        done.applied.iter().map(|(version, name)| ("applied", format!("{version} {name}"))),
    );
    lines.extend(gaps(&done.found));
    lines.push(("result", outcome(done)));
    lines
}

/// The command that comes after a restore.
fn next(done: &Restored) -> Option<String> {
    let database = text(&done.database);
    match done.found.kind {
        Kind::Ours(_) => Some(format!("autonomy db migrate {database}")),
        Kind::Versioned => Some(format!("autonomy db migrate {database} --migrations DIR")),
        Kind::New | Kind::Other | Kind::Foreign(_) => None,
    }
}

pub(super) fn restored_json(done: &Restored) -> Value {
    json!({
        "database": text(&done.database),
        "from": text(&done.from),
        "size": done.len,
        "application": done.found.application(),
        "schema_version": done.found.version,
        "kept": done.kept.iter().map(|it| text(it)).collect::<Vec<_>>(),
        "next": next(done),
    })
}

pub(super) fn restored(done: &Restored) -> Lines {
    let mut lines = vec![
        ("database", text(&done.database)),
        ("from", text(&done.from)),
        ("size", format!("{} bytes", done.len)),
        ("schema version", version(&done.found)),
    ];
    lines.extend(done.kept.iter().map(|it| ("kept", text(it))));
    lines.extend(
        next(done).map(|it| ("next", format!("{it} (twice: the second says {UP_TO_DATE})"))),
    );
    lines
}

pub(super) fn status_json(found: &Status) -> Value {
    let (integrity, finding) = match &found.pages {
        Pages::NotChecked => ("not_checked", None),
        Pages::Sound => ("ok", None),
        Pages::Damaged(finding) => ("damaged", Some(finding)),
        Pages::Unfinished(finding) => ("unfinished", Some(finding)),
    };
    let beside =
        found.sidecars.iter().map(|(path, len)| json!({ "path": text(path), "size": len }));
    json!({
        "database": text(&found.database),
        "size": found.len,
        "application": found.found.application(),
        "schema_version": found.found.version,
        "latest_version": found.found.latest(),
        "missing_versions": found.found.gaps,
        "journal_mode": found.journal_mode,
        "sidecars": beside.collect::<Vec<_>>(),
        "integrity": integrity,
        "finding": finding,
        "last_run_at": found.last_run_at.map(time),
    })
}

pub(super) fn status(found: &Status) -> Lines {
    let known = match found.found.latest() {
        Some(latest) => format!("{} (latest {latest})", version(&found.found)),
        None => version(&found.found),
    };
    let mut lines = vec![
        ("database", text(&found.database)),
        ("size", format!("{} bytes", found.len)),
        ("application", found.found.application().to_owned()),
        ("schema version", known),
    ];
    lines.extend(gaps(&found.found));
    lines.push(("journal mode", found.journal_mode.clone()));
    let beside = found.sidecars.iter();
    lines.extend(beside.map(|(path, len)| ("beside it", format!("{} ({len} bytes)", text(path)))));
    lines.push((
        "integrity",
        match &found.pages {
            Pages::NotChecked => "not checked (--check quick or full)".to_owned(),
            Pages::Sound => "ok".to_owned(),
            Pages::Damaged(finding) => format!("damaged: {finding}"),
            Pages::Unfinished(finding) => format!("unfinished: {finding}"),
        },
    ));
    lines.push(("last maintenance", found.last_run_at.map_or_else(|| "never".to_owned(), time)));
    lines
}

pub(super) fn maintained_json(path: &Path, done: &Maintained) -> Value {
    let (status, before, after, holder, due_at) = match done {
        Maintained::Done { before, after } => ("done", Some(before), Some(after), None, None),
        Maintained::Busy { holder } => ("busy", None, None, Some(holder), None),
        Maintained::NotDue { due_at } => ("not_due", None, None, None, Some(time(*due_at))),
    };
    json!({
        "database": text(path),
        "status": status,
        "size_before": before,
        "size_after": after,
        "used_by": holder,
        "due_at": due_at,
        "last_run_at": database::last_run_at(path).map(time),
    })
}

pub(super) fn maintained(path: &Path, done: &Maintained) -> Lines {
    let mut lines = vec![("database", text(path))];
    match done {
        Maintained::Done { before, after } => {
            lines.push(("status", "done".to_owned()));
            lines.push(("size", format!("{before} bytes before, {after} bytes after")));
        }
        Maintained::Busy { holder } => {
            lines.push(("status", "busy".to_owned()));
            lines.push(("used by", holder.clone()));
        }
        Maintained::NotDue { due_at } => {
            lines.push(("status", "not due".to_owned()));
            lines.push(("due at", time(*due_at)));
        }
    }
    let last = database::last_run_at(path);
    lines.push(("last maintenance", last.map_or_else(|| "never".to_owned(), time)));
    lines
}
