//! What is put on record, and the line that it becomes.
//!
//! A line is the canonical JSON (RFC 8785, see `wal-format`) of the members below without `hash`, and
//! then `hash` as the last member, so that the hashed bytes stand in the line as they are.
//!
//! | member                                | what                                                         |
//! |---------------------------------------|--------------------------------------------------------------|
//! | `event_name`                          | 1–[`NAME_LEN_MAX`] of `[a-z0-9._-]`                          |
//! | `category`, `outcome`, `source`       | words of their sets                                          |
//! | `action`, `resource_type`             | 1–[`NAME_LEN_MAX`] bytes, no control characters              |
//! | `actor`                               | 1–[`ACTOR_LEN_MAX`] bytes, no control characters             |
//! | `resource`                            | 1–[`RESOURCE_LEN_MAX`] bytes, no control characters          |
//! | `timestamp`                           | RFC 3339, UTC, years 1 to 9999                               |
//! | `fields`                              | an object of at most [`FIELDS_LEN_MAX`] bytes                |
//! | `seq`, `prev`, `hash`                 | the number, the chain                                        |
//! | `more`                                | how many records of the same append follow; absent for none  |
//!
//! `actor`, `resource_type`, `resource` are absent when they were not given.
//!
//! # Invariants
//!
//! * **R1** A line that decodes is the only spelling of its record, byte for byte.
//! * **R2** No line is longer than [`LINE_LEN_MAX`].

mod line;

use jiff::Timestamp;
use serde_json::{Map, Value};
use thiserror::Error;
use wal_format::canonical_object;

use crate::{
    hash::Hash,
    own,
    words::{Category, Outcome, Source},
};

/// Longest `event_name`, `action` and `resource_type`, in bytes.
pub const NAME_LEN_MAX: usize = 128;
/// Longest `actor`, in bytes.
pub const ACTOR_LEN_MAX: usize = 256;
/// Longest `resource`, in bytes.
pub const RESOURCE_LEN_MAX: usize = 1024;
/// Longest `fields`, in bytes of its canonical JSON.
pub const FIELDS_LEN_MAX: usize = 32 << 10;
/// Deepest nesting of `fields`: what is written must be read by every JSON parser.
pub const FIELDS_DEPTH_MAX: usize = 32;
/// Longest line, with its line feed (R2): every text at its longest and escaped, and some room.
pub const LINE_LEN_MAX: usize = 48 << 10;

/// What a caller puts on record.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRecord {
    /// What happened, such as `rollout.plan.created`.
    pub event_name: String,
    /// What it is about.
    pub category: Category,
    /// The verb, such as `create`.
    pub action: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Which kind of program says so.
    pub source: Source,
    /// When.
    pub timestamp: Timestamp,
    /// Who did it.
    pub actor: Option<String>,
    /// What kind of thing it was done to.
    pub resource_type: Option<String>,
    /// The thing.
    pub resource: Option<String>,
    /// Everything else.
    pub fields: Map<String, Value>,
}

/// A record of the trail.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// What was put on record.
    pub event: NewRecord,
    /// The hash of the record before.
    pub prev: Hash,
    /// The hash of this record.
    pub hash: Hash,
    /// How many records of the same append follow.
    pub more: u32,
}

/// A record that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// A text is empty.
    #[error("{what} is empty")]
    Empty {
        /// Which text.
        what: &'static str,
    },
    /// Something is too long.
    #[error("{what} has {len} bytes, more than {max}")]
    TooLong {
        /// What.
        what: &'static str,
        /// What it has.
        len: usize,
        /// What it may have.
        max: usize,
    },
    /// A character that is not allowed.
    #[error("{what} contains {found:?}")]
    Character {
        /// Which text.
        what: &'static str,
        /// The first such character.
        found: char,
    },
    /// The name is one of the trail's own.
    #[error("{name} is written by the trail alone")]
    Reserved {
        /// The name.
        name: String,
    },
    /// `fields` nests too deep.
    #[error("fields nests deeper than {FIELDS_DEPTH_MAX}")]
    TooDeep,
    /// RFC 3339 has no text for this time.
    #[error("{timestamp} is outside of the years 1 to 9999")]
    Time {
        /// The time.
        timestamp: Timestamp,
    },
}

impl NewRecord {
    /// Begins a record without actor, resource and fields.
    pub fn new(
        event_name: &str,
        (category, action): (Category, &str),
        outcome: Outcome,
        source: Source,
        timestamp: Timestamp,
    ) -> Self {
        Self {
            event_name: event_name.to_owned(),
            category,
            action: action.to_owned(),
            outcome,
            source,
            timestamp,
            actor: None,
            resource_type: None,
            resource: None,
            fields: Map::new(),
        }
    }

    /// Says who.
    #[must_use]
    pub fn by(mut self, actor: &str) -> Self {
        self.actor = Some(actor.to_owned());
        self
    }

    /// Says to what it was done.
    #[must_use]
    pub fn on(mut self, resource_type: &str, resource: &str) -> Self {
        self.resource_type = Some(resource_type.to_owned());
        self.resource = Some(resource.to_owned());
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(key.to_owned(), value.into());
        self
    }

    /// Checks the bounds of the module, and that the name is not one of the trail's own.
    ///
    /// # Errors
    ///
    /// [`RecordError`] with the first breach.
    pub fn check(&self) -> Result<(), RecordError> {
        if own::RESERVED.contains(&self.event_name.as_str()) {
            return Err(RecordError::Reserved { name: self.event_name.clone() });
        }
        self.check_bounds()
    }

    /// Checks the bounds of the module.
    pub(crate) fn check_bounds(&self) -> Result<(), RecordError> {
        let of_a_name = |it: char| {
            it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, '.' | '_' | '-')
        };
        check("event_name", &self.event_name, NAME_LEN_MAX, of_a_name)?;
        let printable = |it: char| !it.is_control();
        check("action", &self.action, NAME_LEN_MAX, printable)?;
        for (what, text, max) in [
            ("actor", &self.actor, ACTOR_LEN_MAX),
            ("resource_type", &self.resource_type, NAME_LEN_MAX),
            ("resource", &self.resource, RESOURCE_LEN_MAX),
        ] {
            text.as_ref().map_or(Ok(()), |text| check(what, text, max, printable))?;
        }
        check_time(self.timestamp)?;
        if !self.fields.values().all(|it| fits(it, FIELDS_DEPTH_MAX - 1)) {
            return Err(RecordError::TooDeep);
        }
        let len = canonical_object(&self.fields).len();
        if len > FIELDS_LEN_MAX {
            return Err(RecordError::TooLong { what: "fields", len, max: FIELDS_LEN_MAX });
        }
        Ok(())
    }
}

fn check(
    what: &'static str,
    text: &str,
    max: usize,
    allowed: impl Fn(char) -> bool,
) -> Result<(), RecordError> {
    if text.is_empty() {
        return Err(RecordError::Empty { what });
    }
    if text.len() > max {
        return Err(RecordError::TooLong { what, len: text.len(), max });
    }
    match text.chars().find(|it| !allowed(*it)) {
        Some(found) => Err(RecordError::Character { what, found }),
        None => Ok(()),
    }
}

/// Checks that RFC 3339 has a text for it.
pub(crate) fn check_time(timestamp: Timestamp) -> Result<(), RecordError> {
    // 0001-01-01 to 9999-12-31T23:59:59, in seconds since 1970.
    if (-62_135_596_800..=253_402_300_799).contains(&timestamp.as_second()) {
        Ok(())
    } else {
        Err(RecordError::Time { timestamp })
    }
}

/// Whether a value nests at most `depth` deep.
fn fits(value: &Value, depth: usize) -> bool {
    let Some(below) = depth.checked_sub(1) else {
        return !value.is_array() && !value.is_object();
    };
    match value {
        Value::Array(items) => items.iter().all(|it| fits(it, below)),
        Value::Object(members) => members.values().all(|it| fits(it, below)),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
