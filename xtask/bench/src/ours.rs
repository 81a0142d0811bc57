//! The log, and the count that proves that no answer was a lie.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use vfs::OsVfs;
use wal_format::{Event, Kind};
use wal_recovery::{Durability, Log, Opening, Overrides, Reader, Submission, recover};

use crate::{
    callers,
    sample::{Sample, Window},
};

/// How callers talk to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Threads that wait in [`Log::append`].
    Threads,
    /// Tasks that are woken by the answer to [`Log::submit`].
    Tasks,
}

/// Appends from `callers`, then reads the log back and counts.
pub(crate) fn append(
    dir: &Path,
    window: Window,
    (callers, event_len): (usize, usize),
    (shape, durability): (Shape, Durability),
) -> Result<Sample> {
    let log = Arc::new(open(dir, durability)?);
    let submission = submission(event_len)?;
    let sample = match shape {
        Shape::Threads => callers::threads(callers, window, |_| {
            let (log, submission) = (&log, &submission);
            Ok(move || {
                log.append(submission.clone())?;
                Ok(())
            })
        })?,
        Shape::Tasks => {
            let log = Arc::clone(&log);
            callers::tasks(callers, window, move |sender| {
                log.submit(submission.clone(), move |answer| {
                    // A task that is gone needs no answer.
                    drop(sender.send(answer.map(|_| ()).map_err(|it| it.to_string())));
                })?;
                Ok(())
            })?
        }
    };
    log.close()?;
    validate(dir, sample.calls, event_len)?;
    Ok(sample)
}

fn open(dir: &Path, durability: Durability) -> Result<Log> {
    let opening = Opening {
        dir: dir.to_owned(),
        node: "bench".to_owned(),
        random: [7; 16],
        now: Timestamp::now(),
        overrides: Overrides::default(),
        durability,
        holder: "benchmark".to_owned(),
    };
    Ok(Log::start(recover(&OsVfs, &opening)?.writer)?)
}

/// An event of exactly this many bytes as stored: what a caller brings. The frame around it (number,
/// time, chain) comes on top, for us alone.
fn submission(event_len: usize) -> Result<Submission> {
    let event = |padding: usize| {
        Event::new(Kind::Decision)
            .with("decision", "deny")
            .with("reason", "no_rule_matched")
            .with("tool", "http.get")
            .with("padding", "x".repeat(padding))
    };
    let padding = event_len.checked_sub(event(0).to_json().len()).context("a short event")?;
    let submission = Submission::new(&event(padding), Timestamp::now())?;
    ensure!(submission.len() == event_len, "an event of {} bytes", submission.len());
    Ok(submission)
}

/// What was acknowledged must be there: no more, no less, and the first entry of the log.
fn validate(dir: &Path, acknowledged: u64, event_len: usize) -> Result<()> {
    let mut reader = Reader::open(&OsVfs, dir)?;
    let mut entries = 0;
    while let Some(item) = reader.next_entry()? {
        ensure!(entries == 0 || item.payload.len() > event_len, "entry {} is short", item.seq);
        entries += 1;
    }
    ensure!(
        entries == acknowledged + 1,
        "{acknowledged} entries were acknowledged, {entries} are in the log (the first is its own)"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_count_that_is_off_by_one_is_found() {
        let dir = std::env::temp_dir().join(format!("autonomy-bench-ours-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let window = Window::of(Duration::from_millis(50));
        let done = append(&dir, window, (4, 256), (Shape::Tasks, Durability::Strict));
        let calls = done.as_ref().map_or(0, |it| it.calls);
        let more = validate(&dir, calls + 1, 256);
        let less = validate(&dir, calls.saturating_sub(1), 256);
        std::fs::remove_dir_all(&dir).unwrap();
        done.unwrap();
        assert!(more.is_err() && less.is_err());
    }
}
