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

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Map, Value};
use thiserror::Error;
use wal_format::{Plain, canonical_object};

use crate::{
    error::Kind,
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

/// What stands between the hashed bytes and the digits of the hash.
const HASH_START: &[u8] = b",\"hash\":\"blake3:";
/// What stands behind the digits.
const HASH_END: &[u8] = b"\"}";
/// Digits of a hash.
const HASH_DIGITS: usize = 64;

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

/// Why a line is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LineFault {
    /// The hash in it is not that of its content.
    Edited,
    /// It is not what this crate writes.
    Json(String),
}

impl LineFault {
    /// The kind of damage, and what was found.
    pub(crate) fn to_damage(&self) -> (Kind, String) {
        match self {
            Self::Edited => (Kind::Edited, "the hash is not that of the content".to_owned()),
            Self::Json(detail) => (Kind::BadJson, detail.clone()),
        }
    }
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

    fn check_bounds(&self) -> Result<(), RecordError> {
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

    /// The members of the line without `hash`.
    fn members(&self, seq: u64, prev: Hash, more: u32) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |key: &str, value: Value| _ = members.insert(key.to_owned(), value);
        put("seq", seq.into());
        put("prev", prev.to_string().into());
        if more > 0 {
            put("more", more.into());
        }
        put("timestamp", self.timestamp.to_string().into());
        put("event_name", self.event_name.as_str().into());
        put("category", self.category.as_str().into());
        put("action", self.action.as_str().into());
        put("outcome", self.outcome.as_str().into());
        put("source", self.source.as_str().into());
        for (key, value) in [
            ("actor", &self.actor),
            ("resource_type", &self.resource_type),
            ("resource", &self.resource),
        ] {
            if let Some(value) = value {
                put(key, value.as_str().into());
            }
        }
        put("fields", Value::Object(self.fields.clone()));
        members
    }

    /// Appends the line of this record to `out` and returns its hash.
    pub(crate) fn encode(&self, (seq, prev, more): (u64, Hash, u32), out: &mut Vec<u8>) -> Hash {
        let body = canonical_object(&self.members(seq, prev, more));
        let hash = prev.link(&body);
        out.extend_from_slice(body.strip_suffix(b"}").unwrap_or(&body));
        out.extend_from_slice(HASH_START);
        out.extend_from_slice(hash.to_hex().as_bytes());
        out.extend_from_slice(HASH_END);
        out.push(b'\n');
        hash
    }
}

impl Record {
    /// Reads a line without its line feed (R1).
    pub(crate) fn decode(line: &[u8]) -> Result<Self, LineFault> {
        let json = |it: &str| LineFault::Json(it.to_owned());
        let Plain(value) =
            serde_json::from_slice(line).map_err(|it| LineFault::Json(it.to_string()))?;
        let Value::Object(mut members) = value else { return Err(json("no object")) };
        let mut record = Self::from_members(&mut members)?;
        if let Some(key) = members.keys().next() {
            return Err(LineFault::Json(format!("there is no member {key:?}")));
        }
        let hash_len = HASH_START.len() + HASH_DIGITS + HASH_END.len();
        let split = line.len().checked_sub(hash_len).and_then(|it| line.split_at_checked(it));
        let (body, end) = split.ok_or_else(|| json("the hash does not stand last"))?;
        if !end.starts_with(HASH_START) || !end.ends_with(HASH_END) {
            return Err(json("the hash does not stand last"));
        }
        let named = record.hash;
        record.hash = record.prev.link(&[body, b"}"].concat());
        if record.hash != named {
            return Err(LineFault::Edited);
        }
        // Whoever forges a hash may still not give a record two spellings, or break its bounds.
        let mut again = Vec::with_capacity(line.len() + 1);
        record.event.encode((record.seq, record.prev, record.more), &mut again);
        if again.strip_suffix(b"\n") != Some(line) || record.event.check_bounds().is_err() {
            return Err(json("not as the trail writes it"));
        }
        Ok(record)
    }

    fn from_members(members: &mut Map<String, Value>) -> Result<Self, LineFault> {
        let fault = |key: &str| LineFault::Json(format!("{key} is missing or of the wrong kind"));
        let text = |members: &mut Map<String, Value>, key: &str| match members.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(fault(key)),
        };
        let must = |members: &mut Map<String, Value>, key: &str| {
            text(members, key)?.ok_or_else(|| fault(key))
        };
        let number = |it: Option<Value>| it.as_ref().and_then(Value::as_u64);
        let more = match members.remove("more") {
            None => 0,
            more => number(more)
                .and_then(|it| u32::try_from(it).ok())
                .filter(|it| *it > 0)
                .ok_or_else(|| fault("more"))?,
        };
        let Some(Value::Object(fields)) = members.remove("fields") else {
            return Err(fault("fields"));
        };
        Ok(Self {
            seq: number(members.remove("seq")).ok_or_else(|| fault("seq"))?,
            prev: must(members, "prev")?.parse().map_err(|_| fault("prev"))?,
            hash: must(members, "hash")?.parse().map_err(|_| fault("hash"))?,
            more,
            event: NewRecord {
                event_name: must(members, "event_name")?,
                category: must(members, "category")?.parse().map_err(|_| fault("category"))?,
                action: must(members, "action")?,
                outcome: must(members, "outcome")?.parse().map_err(|_| fault("outcome"))?,
                source: must(members, "source")?.parse().map_err(|_| fault("source"))?,
                timestamp: must(members, "timestamp")?.parse().map_err(|_| fault("timestamp"))?,
                actor: text(members, "actor")?,
                resource_type: text(members, "resource_type")?,
                resource: text(members, "resource")?,
                fields,
            },
        })
    }
}

/// As it stands in the trail, in an order for people.
impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = &self.event;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("seq", &self.seq)?;
        map.serialize_entry("timestamp", &event.timestamp.to_string())?;
        map.serialize_entry("event_name", &event.event_name)?;
        map.serialize_entry("category", event.category.as_str())?;
        map.serialize_entry("action", &event.action)?;
        map.serialize_entry("outcome", event.outcome.as_str())?;
        for (key, value) in [
            ("actor", &event.actor),
            ("resource_type", &event.resource_type),
            ("resource", &event.resource),
        ] {
            if let Some(value) = value {
                map.serialize_entry(key, value)?;
            }
        }
        map.serialize_entry("source", event.source.as_str())?;
        map.serialize_entry("fields", &event.fields)?;
        if self.more > 0 {
            map.serialize_entry("more", &self.more)?;
        }
        map.serialize_entry("prev", &self.prev.to_string())?;
        map.serialize_entry("hash", &self.hash.to_string())?;
        map.end()
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
