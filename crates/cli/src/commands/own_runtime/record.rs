//! What the log says about a run.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};
use vfs::OsVfs;
use wal_recovery::Reader;

use crate::failure::Failure;

/// An entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::commands) struct Recorded {
    pub(in crate::commands) seq: u64,
    pub(in crate::commands) kind: String,
    pub(in crate::commands) attrs: Map<String, Value>,
}

#[derive(Deserialize)]
struct Entry {
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    kind: String,
    #[serde(default)]
    attrs: Map<String, Value>,
}

impl Recorded {
    /// An attribute that is a text.
    pub(in crate::commands) fn text(&self, key: &str) -> Option<&str> {
        self.attrs.get(key).and_then(Value::as_str)
    }
}

/// Gives out every committed entry of the log in `dir`, also while it is written.
pub(in crate::commands) fn read(
    dir: &Path,
    mut visit: impl FnMut(Recorded),
) -> Result<(), Failure> {
    let mut reader = Reader::open(&OsVfs, dir)?;
    while let Some(item) = reader.next_entry()? {
        // What is no event of ours is not about this run.
        if let Ok(Entry { event: Event { kind, attrs } }) = serde_json::from_slice(item.payload) {
            visit(Recorded { seq: item.seq.get(), kind, attrs });
        }
    }
    Ok(())
}

/// The calls of the last start of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::commands) struct Tally {
    pub(in crate::commands) allowed: u64,
    pub(in crate::commands) denied: u64,
    pub(in crate::commands) entries: u64,
}

impl Tally {
    /// Counts what was recorded since the last start.
    pub(in crate::commands) fn of(dir: &Path) -> Result<Self, Failure> {
        let mut tally = Self::default();
        read(dir, |entry| tally.add(&entry))?;
        Ok(tally)
    }

    fn add(&mut self, entry: &Recorded) {
        if entry.text("event") == Some("runtime.started") {
            *self = Self::default();
        }
        self.entries += 1;
        match (entry.kind.as_str(), entry.text("decision")) {
            ("autonomy.decision", Some("allow")) => self.allowed += 1,
            ("autonomy.decision", _) => self.denied += 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(kind: &str, attrs: Value) -> Recorded {
        let Value::Object(attrs) = attrs else { panic!("attributes are an object") };
        Recorded { seq: 1, kind: kind.to_owned(), attrs }
    }

    #[test]
    fn only_what_the_last_start_recorded_is_counted() {
        let started = entry("autonomy.lifecycle", json!({"event": "runtime.started"}));
        let allow = entry("autonomy.decision", json!({"decision": "allow"}));
        let deny = entry("autonomy.decision", json!({"decision": "deny"}));
        let done = entry("autonomy.action", json!({"outcome": "ok"}));
        let mut tally = Tally::default();
        for entry in [&started, &allow, &done, &started, &allow, &done, &deny, &deny] {
            tally.add(entry);
        }
        assert_eq!(tally, Tally { allowed: 1, denied: 2, entries: 5 });
    }
}
