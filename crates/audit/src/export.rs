//! Records for other programs: JSON and CSV.
//!
//! JSON is exact. CSV is for spreadsheets, which take a cell that begins with `=`, `+`, `-` or `@` for a
//! formula: such a cell gets a `'` in front, as spreadsheets themselves do to make a text of it. Actors
//! and resources come from outside, so this is not optional; whoever wants the exact bytes takes JSON.
//!
//! Lines of the CSV end with a line feed alone; cells are quoted as in RFC 4180.

use std::io::{self, Write};

use serde_json::Value;
use wal_format::canonical_json;

use crate::{
    error::{ExportError, QueryError},
    record::Record,
};

/// The first line of a CSV export.
pub const CSV_HEADER: &str =
    "timestamp,event_name,category,action,outcome,actor,resource_type,resource,source,fields_json";

/// Writes a pretty-printed array, and returns how many records it has.
///
/// # Errors
///
/// The first error of `records` or of `out`.
pub fn export_json(
    records: impl IntoIterator<Item = Result<Record, QueryError>>,
    out: &mut impl Write,
) -> Result<u64, ExportError> {
    let mut count = 0;
    let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(ExportError::Write);
    for record in records {
        let record = record?;
        write(if count == 0 { b"[\n" } else { b",\n" })?;
        let text = serde_json::to_string_pretty(&record).map_err(io::Error::from);
        let text = text.map_err(ExportError::Write)?;
        for (line, text) in text.lines().enumerate() {
            write(if line == 0 { b"  " } else { b"\n  " })?;
            write(text.as_bytes())?;
        }
        count += 1;
    }
    write(if count == 0 { b"[]\n" } else { b"\n]\n" })?;
    Ok(count)
}

/// Writes [`CSV_HEADER`] and a line for each record, and returns how many there are.
///
/// # Errors
///
/// The first error of `records` or of `out`.
pub fn export_csv(
    records: impl IntoIterator<Item = Result<Record, QueryError>>,
    out: &mut impl Write,
) -> Result<u64, ExportError> {
    writeln!(out, "{CSV_HEADER}").map_err(ExportError::Write)?;
    let mut count = 0;
    for record in records {
        let record = record?;
        writeln!(out, "{}", csv_line(&record)).map_err(ExportError::Write)?;
        count += 1;
    }
    Ok(count)
}

fn csv_line(record: &Record) -> String {
    let event = &record.event;
    let fields = canonical_json(&Value::Object(event.fields.clone()));
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let cells = [
        event.timestamp.to_string(),
        event.event_name.clone(),
        event.category.to_string(),
        event.action.clone(),
        event.outcome.to_string(),
        text(&event.actor),
        text(&event.resource_type),
        text(&event.resource),
        event.source.to_string(),
        String::from_utf8_lossy(&fields).into_owned(),
    ];
    cells.map(|it| cell(&it)).join(",")
}

fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{guard}{text}")
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{Category, Hash, NewRecord, Outcome, Source};

    fn record(actor: &str) -> Record {
        let time = Timestamp::from_second(1_767_323_045).unwrap();
        let event = NewRecord::new(
            "rollout.plan.created",
            (Category::Rollout, "create"),
            Outcome::Success,
            Source::Cli,
            time,
        );
        let event = event.by(actor).with("note", "a,\"b\"");
        Record { seq: 1, event, prev: Hash::genesis(), hash: Hash::genesis(), more: 0 }
    }

    fn csv(actor: &str) -> String {
        let mut out = Vec::new();
        assert_eq!(export_csv([Ok(record(actor))], &mut out).unwrap(), 1);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_csv_line_has_the_columns_of_the_header() {
        assert_eq!(
            csv("ann"),
            "timestamp,event_name,category,action,outcome,actor,resource_type,resource,source,fields_json\n\
             2026-01-02T03:04:05Z,rollout.plan.created,rollout,create,success,ann,,,cli,\
             \"{\"\"note\"\":\"\"a,\\\"\"b\\\"\"\"\"}\"\n"
        );
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (actor, want) in [
            ("=1+1", ",'=1+1,"),
            ("@x", ",'@x,"),
            ("-1", ",'-1,"),
            ("+1", ",'+1,"),
            ("=a,\"b\"", ",\"'=a,\"\"b\"\"\","),
            ("a=1", ",a=1,"),
            ("two\nlines", ",\"two\nlines\","),
        ] {
            assert!(csv(actor).contains(want), "{actor}");
        }
    }

    #[test]
    fn json_is_an_array_that_parses_to_the_records() {
        let mut out = Vec::new();
        assert_eq!(export_json([], &mut out).unwrap(), 0);
        assert_eq!(out, b"[]\n");
        out.clear();
        assert_eq!(export_json([Ok(record("a")), Ok(record("b"))], &mut out).unwrap(), 2);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("[\n  {\n    \"seq\": 1,\n    \"timestamp\""), "{text}");
        let all: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!((&all[1]["actor"], all[0].get("resource")), (&"b".into(), None));
    }
}
