//! Whether a line continues the chain.
//!
//! * **C2** A record follows when its number is the next one, `prev` is the hash of its predecessor, it
//!   stands where the append that it belongs to puts it, and no seal stands before it in its segment.

use crate::{
    error::Kind,
    head::Link,
    own::{self, Seal, Span},
    record::Record,
};

/// Where a reader is in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The last record.
    pub(crate) at: Link,
    /// How many records of its append follow.
    pub(crate) more: u32,
    /// The number with which the segment begins.
    pub(crate) first: u64,
    /// The times in the segment.
    pub(crate) span: Option<Span>,
    /// Whether the last record is the seal of the segment.
    pub(crate) sealed: bool,
}

/// Why a line does not follow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) detail: String,
    /// What stands there, when it is a record.
    pub(crate) found: Option<Box<Record>>,
}

impl Cursor {
    /// At the beginning of a segment behind `at`.
    pub(crate) fn beginning(at: Link) -> Self {
        Self { at, more: 0, first: at.seq.saturating_add(1), span: None, sealed: false }
    }

    /// Moves over a line (C2). After a fault the cursor is where it was.
    pub(crate) fn step(&mut self, line: &[u8]) -> Result<Record, Fault> {
        let record = Record::decode(line).map_err(|it| {
            let (kind, detail) = it.to_damage();
            Fault { kind, detail, found: None }
        })?;
        if let Some((kind, detail)) = self.breach(&record) {
            return Err(Fault { kind, detail, found: Some(Box::new(record)) });
        }
        self.at = Link { seq: record.seq, hash: record.hash };
        self.more = record.more;
        self.span = Some(Span::with(self.span, record.event.timestamp));
        self.sealed = record.event.event_name == own::SEALED;
        Ok(record)
    }

    fn breach(&self, record: &Record) -> Option<(Kind, String)> {
        let expected = self.at.seq.saturating_add(1);
        if record.seq > expected {
            return Some((Kind::Deleted, format!("record {} stands here", record.seq)));
        }
        if record.seq < expected || self.sealed {
            return Some((Kind::Inserted, format!("record {} stands here", record.seq)));
        }
        if record.prev != self.at.hash {
            return Some((Kind::Edited, format!("the predecessor was {}", record.prev)));
        }
        if self.more > 0 && record.more != self.more - 1 {
            return Some((Kind::Edited, "not the next record of its append".to_owned()));
        }
        if record.event.event_name == own::SEALED {
            let span = Span::with(self.span, record.event.timestamp);
            let records = (record.seq - self.first).saturating_add(1);
            if Seal::of(record) != Some(Seal { first: self.first, records, span }) {
                return Some((Kind::Edited, "the seal is not that of its segment".to_owned()));
            }
        }
        None
    }
}
