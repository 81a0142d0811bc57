//! The records that the trail writes about itself.
//!
//! | `event_name`            | when                                     | `fields`                                           |
//! |-------------------------|------------------------------------------|----------------------------------------------------|
//! | `audit.segment.sealed`  | last record of a sealed segment          | `first_seq`, `records`, `oldest`, `newest`         |
//! | `audit.pruned`          | before sealed segments are removed       | `first_seq`, `last_seq`, `last_hash`, `older_than` |
//! | `audit.tail.repaired`   | after bytes of a crash were cut          | `file`, `offset`, `bytes`                          |
//! | `audit.head.repaired`   | half of the head was not readable        | `bytes`                                            |
//!
//! All have the category `system`. Callers cannot write these names, so that what is in them is true.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    hash::Hash,
    record::{NewRecord, Record},
    words::{Category, Outcome, Source},
};

/// A segment was sealed.
pub const SEALED: &str = "audit.segment.sealed";
/// Old segments were removed.
pub const PRUNED: &str = "audit.pruned";
/// A torn end was cut.
pub const TAIL_REPAIRED: &str = "audit.tail.repaired";
/// The head was written again.
pub const HEAD_REPAIRED: &str = "audit.head.repaired";
/// Names that only the trail writes.
pub const RESERVED: [&str; 4] = [SEALED, PRUNED, TAIL_REPAIRED, HEAD_REPAIRED];

/// The times of the oldest and the newest of some records. Clocks jump, so these are not those of the
/// first and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) oldest: Timestamp,
    pub(crate) newest: Timestamp,
}

impl Span {
    pub(crate) fn with(it: Option<Self>, time: Timestamp) -> Self {
        let old = it.unwrap_or(Self { oldest: time, newest: time });
        Self { oldest: old.oldest.min(time), newest: old.newest.max(time) }
    }
}

/// What a seal says about its segment, itself included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) first: u64,
    pub(crate) records: u64,
    pub(crate) span: Span,
}

impl Seal {
    pub(crate) fn to_record(self, source: Source, now: Timestamp) -> NewRecord {
        NewRecord::new(SEALED, (Category::System, "seal"), Outcome::Success, source, now)
            .with("first_seq", self.first)
            .with("records", self.records)
            .with("oldest", self.span.oldest.to_string())
            .with("newest", self.span.newest.to_string())
    }

    /// The seal in a record, if it is one.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let event = &record.event;
        if event.event_name != SEALED {
            return None;
        }
        let time = |key| event.fields.get(key)?.as_str()?.parse().ok();
        let number = |key| event.fields.get(key).and_then(Value::as_u64);
        Some(Self {
            first: number("first_seq")?,
            records: number("records")?,
            span: Span { oldest: time("oldest")?, newest: time("newest")? },
        })
    }
}

/// Which records were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) last_hash: Hash,
}

impl Tombstone {
    pub(crate) fn to_record(
        self,
        (source, actor): (Source, &str),
        older_than: Timestamp,
        now: Timestamp,
    ) -> NewRecord {
        NewRecord::new(PRUNED, (Category::System, "prune"), Outcome::Success, source, now)
            .by(actor)
            .with("first_seq", self.first)
            .with("last_seq", self.last)
            .with("last_hash", self.last_hash.to_string())
            .with("records", self.last.saturating_sub(self.first).saturating_add(1))
            .with("older_than", older_than.to_string())
    }

    /// The tombstone in a record, if it is one.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let event = &record.event;
        if event.event_name != PRUNED {
            return None;
        }
        let number = |key| event.fields.get(key).and_then(Value::as_u64);
        Some(Self {
            first: number("first_seq")?,
            last: number("last_seq")?,
            last_hash: event.fields.get("last_hash")?.as_str()?.parse().ok()?,
        })
    }
}

/// The note about a torn end.
pub(crate) fn tail_repaired(
    source: Source,
    now: Timestamp,
    (file, offset, bytes): (&str, u64, u64),
) -> NewRecord {
    let event =
        NewRecord::new(TAIL_REPAIRED, (Category::System, "repair"), Outcome::Success, source, now);
    event.with("file", file).with("offset", offset).with("bytes", bytes)
}

/// The note about a head that was half unreadable.
pub(crate) fn head_repaired(source: Source, now: Timestamp, bytes: u64) -> NewRecord {
    let event =
        NewRecord::new(HEAD_REPAIRED, (Category::System, "repair"), Outcome::Success, source, now);
    event.with("bytes", bytes)
}
