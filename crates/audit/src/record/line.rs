//! The line of a record.
//!
//! See the table of [`crate::record`]. The hashed bytes stand in the line as they are: `hash` is its last
//! member.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Map, Value};
use wal_format::{Plain, canonical_object};

use super::{NewRecord, Record};
use crate::{error::Kind, hash::Hash};

/// What stands between the hashed bytes and the digits of the hash.
pub(super) const HASH_START: &[u8] = b",\"hash\":\"blake3:";
/// What stands behind the digits.
pub(super) const HASH_END: &[u8] = b"\"}";
/// Digits of a hash.
pub(super) const HASH_DIGITS: usize = 64;

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
