//! Histories that grow in a goal that does not: `goal.json` has the newest entries, a file beside it the older ones.
//!
//! | history      | key of `goal.json`    | file beside it                |
//! |--------------|-----------------------|-------------------------------|
//! | evals        | `eval_history`        | `goal-history-N.jsonl`        |
//! | verify-loops | `verify_loop_history` | `goal-verify-history-N.jsonl` |
//!
//! Such a file has an entry a line, oldest first, without white space between its tokens. `goal.json` says which file
//! it is, and how much of it counts:
//!
//! ```json
//! "history_moved": {"eval_history": {"file": "goal-history-1.jsonl", "entries": 170, "bytes": 32810}}
//! ```
//!
//! A change that makes a history too long moves its older entries, under the lock of the goal:
//!
//! | # | step                                                                       | a crash behind it leaves           |
//! |---|----------------------------------------------------------------------------|------------------------------------|
//! | 1 | they are written behind the bytes that count; what lay there is cut off     | the old goal, which counts no more |
//! | 2 | the file is synced, and the directory when nothing of it counted before     | the same                           |
//! | 3 | `goal.json` is replaced: without them, and with what counts now             | the new goal                       |
//!
//! * **H1** Each entry counts once, whatever crash came between: in `goal.json` or in the file.
//! * **H2** Bytes that count are not written again. What lies behind them is left of a move that did not end.
//! * **H3** `goal.json` has of a history at most [`HISTORY_KEPT_LEN_MAX`] bytes or [`HISTORY_KEPT_LEAST`] entries,
//!   whichever is more.
//! * **H4** A file that has less than what counts is an error where it is needed, and is not written.
//! * **H5** No file has the histories of two goals: a goal begins with the first number under which there is nothing, or
//!   nothing but what an interrupted move of its own can have left.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::state::{ATTEMPTS, EVALS, Goal};

mod file;

/// Longest history inside `goal.json`, in bytes; a longer one is moved (H3).
pub const HISTORY_KEPT_LEN_MAX: usize = 64 << 10;
/// What stays of it, in bytes: the newest entries.
pub const HISTORY_KEPT_LEN: usize = 32 << 10;
/// Entries that stay however long they are.
pub const HISTORY_KEPT_LEAST: usize = 8;
/// Longest file of moved entries that is read, in bytes.
pub const HISTORY_LEN_MAX: u64 = 1 << 30;
/// Highest number of such a file.
pub const HISTORY_FILES_MAX: u32 = 10_000;

/// Shortest line: a digit and its end.
const LINE_LEN_MIN: u64 = 2;

/// A list in a goal that only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// Evals, and the ends of loops.
    Evals,
    /// Attempts of the loops that verified.
    Attempts,
}

impl History {
    /// Every history.
    pub const ALL: [Self; 2] = [Self::Evals, Self::Attempts];

    /// Its key in `goal.json`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Evals => EVALS,
            Self::Attempts => ATTEMPTS,
        }
    }

    const fn stem(self) -> &'static str {
        match self {
            Self::Evals => "goal-history-",
            Self::Attempts => "goal-verify-history-",
        }
    }

    /// Name of its file with this number.
    fn file(self, number: u32) -> String {
        format!("{}{number}.jsonl", self.stem())
    }

    /// Whether it gives files this name.
    fn names(self, file: &str) -> bool {
        let number = file.strip_prefix(self.stem()).and_then(|it| it.strip_suffix(".jsonl"));
        let number = number.and_then(|it| it.parse().ok()).filter(|it| *it > 0);
        number.is_some_and(|it| self.file(it) == file)
    }
}

/// What is wrong with a file of moved entries.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// It has less than the goal counts (H4).
    #[error("it has {len} of the {counted} bytes that goal.json counts")]
    Short {
        /// Its length in bytes; 0 when it is not there.
        len: u64,
        /// What counts, in bytes.
        counted: u64,
    },
    /// Its entries are not as many as the goal counts.
    #[error("it has {found} entries where goal.json counts {counted}")]
    Count {
        /// Lines in the bytes that count.
        found: u64,
        /// Entries that count.
        counted: u64,
    },
    /// A line is no entry.
    #[error("line {line}: {source}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// What counts of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    file: String,
    entries: u64,
    bytes: u64,
}

impl Part {
    const fn begin(file: String) -> Self {
        Self { file, entries: 0, bytes: 0 }
    }
}

/// What was moved, by the key of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Moved(BTreeMap<String, Part>);

impl Moved {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn part(&self, which: History) -> Option<&Part> {
        self.0.get(which.key())
    }
}

impl<'de> Deserialize<'de> for Moved {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = BTreeMap::<String, Part>::deserialize(deserializer)?;
        for (key, part) in &parts {
            let named = History::ALL.iter().any(|it| it.key() == key && it.names(&part.file));
            if !named {
                return Err(D::Error::custom(format!(
                    "no history has `{}` for `{key}`",
                    part.file
                )));
            }
            let least = part.entries.checked_mul(LINE_LEN_MIN);
            if part.entries == 0 || least.is_none_or(|it| part.bytes < it) {
                let (entries, bytes) = (part.entries, part.bytes);
                return Err(D::Error::custom(format!("{entries} entries have no {bytes} bytes")));
            }
        }
        Ok(Self(parts))
    }
}

/// Entries that leave `goal.json`, and those that stay.
#[derive(Debug)]
struct Leaving {
    /// A line each.
    lines: Vec<u8>,
    entries: u64,
    stays: Box<RawValue>,
}

/// How many of the newest entries stay, of lengths from the newest to the oldest (H3).
fn staying(newest_first: impl Iterator<Item = usize>) -> usize {
    let mut total = 0;
    let stay = newest_first.enumerate().take_while(|(position, len)| {
        total += len;
        *position < HISTORY_KEPT_LEAST || total <= HISTORY_KEPT_LEN
    });
    stay.count()
}

/// Splits a history that is too long; `None` when all of it stays.
fn split(entries: &[&RawValue]) -> Result<Option<Leaving>, serde_json::Error> {
    let stay = staying(entries.iter().rev().map(|it| it.get().len()));
    let (old, new) = entries.split_at(entries.len() - stay);
    if old.is_empty() {
        return Ok(None);
    }
    let mut lines = Vec::with_capacity(old.iter().map(|it| it.get().len() + 1).sum());
    for entry in old {
        push_compact(entry.get(), &mut lines);
        lines.push(b'\n');
    }
    let stays: Vec<String> = new.iter().map(|it| format!("\n    {}", it.get())).collect();
    let stays = RawValue::from_string(format!("[{}\n  ]", stays.join(",")))?;
    Ok(Some(Leaving { lines, entries: old.len() as u64, stays }))
}

/// Leaves out the white space between tokens, and nothing else: the text is JSON.
fn push_compact(json: &str, line: &mut Vec<u8>) {
    let (mut quoted, mut escaped) = (false, false);
    for byte in json.bytes() {
        let is_blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        if quoted || !is_blank {
            line.push(byte);
        }
        if byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && byte == b'\\' && !escaped;
    }
}

/// Whether `found` can be left of an interrupted move that wrote `lines`, or more of the same: at each place it has
/// what is written there, or what a disk has where nothing arrived (H5).
fn is_left_of(found: &[u8], lines: &[u8]) -> bool {
    found.len() <= lines.len() && found.iter().zip(lines).all(|(is, want)| *is == 0 || is == want)
}

impl Goal {
    /// How many entries a history has, those that were moved to the file beside the goal included.
    ///
    /// # Errors
    ///
    /// When `goal.json` holds something else than a list there.
    pub fn history_len(&self, which: History) -> Result<u64, serde_json::Error> {
        let moved = self.known.history_moved.part(which).map_or(0, |it| it.entries);
        Ok(moved.saturating_add(self.entries(which.key())?.len() as u64))
    }

    /// What has to leave `goal.json`. What is no list stays as it is.
    fn leaving(&self, which: History) -> Result<Option<Leaving>, serde_json::Error> {
        if self.list_len(which.key()) <= HISTORY_KEPT_LEN_MAX {
            return Ok(None);
        }
        self.entries(which.key()).map_or(Ok(None), |it| split(&it))
    }

    /// Step 3 of a move, in memory.
    fn leave(&mut self, which: History, stays: Box<RawValue>, part: Part) {
        self.set_raw(which.key(), stays);
        self.known.history_moved.0.insert(which.key().to_owned(), part);
    }
}

#[cfg(test)]
mod tests;
