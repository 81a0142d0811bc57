//! The identity of a log: its id, its node, and the log it follows.
//!
//! A log that we create begins with a lifecycle entry `wal.created`. A log that others wrote has
//! none; its first chained entry is `wal.adopted`, and its id is derived from its first frame, so
//! that every reader finds the same id before and after the adoption.

use std::{fmt, str::FromStr};

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Chain, Event, Kind};

/// Identity of one log file; a UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WalId(Uuid);

impl WalId {
    /// Makes an id from 16 random bytes (a version 4 UUID).
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// The id of a log that does not name itself: a version 8 UUID over its first payload.
    pub fn of_foreign_log(first_payload: &[u8]) -> Self {
        let hash = blake3::hash(first_payload);
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(hash.as_bytes()) {
            *to = *from;
        }
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl FromStr for WalId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for WalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for WalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WalId({self})")
    }
}

/// How a log began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The first start in a new directory.
    FirstRun,
    /// An operator accepted the loss of an earlier log.
    OperatorReset,
    /// The log was written by a system without chains and is carried on.
    Adopted,
    /// The log before was delivered and went to the archive.
    Rollover,
    /// The log before was damaged and was put aside.
    Repair,
}

impl Origin {
    /// Every origin.
    const ALL: [Self; 5] =
        [Self::FirstRun, Self::OperatorReset, Self::Adopted, Self::Rollover, Self::Repair];

    const fn as_str(self) -> &'static str {
        match self {
            Self::FirstRun => "first_run",
            Self::OperatorReset => "operator_reset",
            Self::Adopted => "adopted",
            Self::Rollover => "rollover",
            Self::Repair => "repair",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

/// What the first entry of a log says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Birth {
    /// Identity of the log.
    pub wal_id: WalId,
    /// Node that writes it.
    pub node: String,
    /// How it began.
    pub origin: Origin,
    /// The log it follows, and the last chain value of that log.
    pub previous: Option<(WalId, Chain)>,
}

impl Birth {
    /// Text that every birth contains; an entry without it is none.
    pub const MARK: &'static str = r#""event":"wal."#;

    const CREATED: &'static str = "wal.created";
    const ADOPTED: &'static str = "wal.adopted";

    /// Returns the event to write.
    pub fn to_event(&self) -> Event {
        let name = match self.origin {
            Origin::Adopted => Self::ADOPTED,
            Origin::FirstRun | Origin::OperatorReset | Origin::Rollover | Origin::Repair => {
                Self::CREATED
            }
        };
        Event::new(Kind::Lifecycle)
            .with("event", name)
            .with("wal_id", self.wal_id.to_string())
            .with("node", self.node.as_str())
            .with("origin", self.origin.as_str())
            .with_some("previous_wal_id", self.previous.map(|(id, _)| id.to_string()))
            .with_some("previous_chain", self.previous.map(|(_, chain)| chain.to_string()))
    }

    /// Reads the attributes of a lifecycle entry; `None` when it is not the birth of a log.
    pub fn from_attrs(attrs: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| attrs.get(key).and_then(Value::as_str);
        if ![Self::CREATED, Self::ADOPTED].contains(&text("event")?) {
            return None;
        }
        let previous = match (text("previous_wal_id"), text("previous_chain")) {
            (Some(id), Some(chain)) => Some((id.parse().ok()?, chain.parse().ok()?)),
            _ => None,
        };
        Some(Self {
            wal_id: text("wal_id")?.parse().ok()?,
            node: text("node")?.to_owned(),
            origin: Origin::parse(text("origin")?)?,
            previous,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_birth_is_read_back_from_its_event() {
        for origin in Origin::ALL {
            for previous in [None, Some((WalId::from_random([1; 16]), Chain::before(b"x")))] {
                let wal_id = WalId::from_random([7; 16]);
                let birth = Birth { wal_id, node: "edge-1".to_owned(), origin, previous };
                let event = birth.to_event();
                assert!(String::from_utf8(event.to_json()).unwrap().contains(Birth::MARK));
                assert_eq!(Birth::from_attrs(&event.attrs), Some(birth));
            }
        }
        assert_eq!(Birth::from_attrs(&Event::new(Kind::Lifecycle).with("event", "x").attrs), None);
    }

    #[test]
    fn a_foreign_log_has_the_same_id_for_every_reader() {
        let id = WalId::of_foreign_log(br#"{"seq":1}"#);
        assert_eq!(id, WalId::of_foreign_log(br#"{"seq":1}"#));
        assert_ne!(id, WalId::of_foreign_log(br#"{"seq":2}"#));
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}
