//! The file `telemetry.cursors`: the last accepted entry of each class.
//!
//! # Layout
//!
//! One line of JSON, exactly as written here:
//!
//! ```text
//! {"schema":1,"wal_id":"<uuid>","accepted":{"error":3,"decision":7},"check":"<64 hex digits>"}
//! ```
//!
//! | key        | value                                                                     |
//! |------------|---------------------------------------------------------------------------|
//! | `schema`   | 1; a larger number is written by a newer version                          |
//! | `wal_id`   | the log that the numbers belong to                                        |
//! | `accepted` | class → `n`: every entry of the class up to `n` is accepted; absent: none |
//! | `check`    | BLAKE3 of the bytes before `,"check":`                                    |
//!
//! **K1** A file with any other byte in it is refused, not guessed at: a flipped bit in a number
//! would skip entries for ever.

use serde::{Deserialize, Serialize};
use wal_format::{Seq, WalId};

use crate::PerClass;

/// The schema that this version writes.
pub(crate) const SCHEMA: u64 = 1;

/// Content of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursors {
    pub(crate) wal_id: WalId,
    pub(crate) accepted: PerClass<Option<Seq>>,
}

/// Why the content is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Newer { schema: u64 },
    Corrupt { text: String },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    schema: u64,
    wal_id: String,
    accepted: Accepted,
    /// Compared by encoding again (K1).
    #[serde(rename = "check", skip_serializing)]
    _check: serde::de::IgnoredAny,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decision: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lifecycle: Option<Seq>,
}

impl Cursors {
    /// Returns the content of the file.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let PerClass { error, decision, action, lifecycle } = self.accepted;
        let wire = Wire {
            schema: SCHEMA,
            wal_id: self.wal_id.to_string(),
            accepted: Accepted { error, decision, action, lifecycle },
            _check: serde::de::IgnoredAny,
        };
        // Numbers and strings always serialize, and the object ends with a brace.
        let mut out = serde_json::to_vec(&wire).unwrap_or_default();
        out.pop();
        let check = blake3::hash(&out).to_hex();
        out.extend_from_slice(br#","check":""#);
        out.extend_from_slice(check.as_bytes());
        out.extend_from_slice(b"\"}\n");
        out
    }

    /// Reads the content of the file (K1).
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Head {
            schema: u64,
        }
        let corrupt = |text: String| Unreadable::Corrupt { text };
        let head: Head = serde_json::from_slice(bytes).map_err(|it| corrupt(it.to_string()))?;
        if head.schema > SCHEMA {
            return Err(Unreadable::Newer { schema: head.schema });
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(|it| corrupt(it.to_string()))?;
        let wal_id = wire.wal_id.parse().map_err(|it| corrupt(format!("wal_id: {it}")))?;
        let Accepted { error, decision, action, lifecycle } = wire.accepted;
        let cursors = Self { wal_id, accepted: PerClass { error, decision, action, lifecycle } };
        if cursors.to_bytes() != bytes {
            return Err(corrupt("the check does not match the content".to_owned()));
        }
        Ok(cursors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Cursors {
        let accepted = PerClass {
            error: Seq::new(3),
            decision: Seq::new(u64::MAX),
            action: None,
            lifecycle: Seq::new(12),
        };
        Cursors { wal_id: WalId::from_random([7; 16]), accepted }
    }

    #[test]
    fn the_bytes_of_the_file_are_pinned() {
        let golden = include_bytes!("../tests/golden/telemetry.cursors");
        assert_eq!(String::from_utf8(sample().to_bytes()).unwrap().as_bytes(), golden);
        assert_eq!(Cursors::from_bytes(golden), Ok(sample()));
    }

    #[test]
    fn no_cursors_at_all_come_back_too() {
        let cursors = Cursors { accepted: PerClass::default(), ..sample() };
        assert_eq!(Cursors::from_bytes(&cursors.to_bytes()), Ok(cursors));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = sample().to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Cursors::from_bytes(&damaged).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            let got = Cursors::from_bytes(&bytes[..cut]);
            assert!(matches!(got, Err(Unreadable::Corrupt { .. })), "{cut}: {got:?}");
        }
    }

    #[test]
    fn what_is_no_cursors_file_is_corrupt_and_a_newer_one_is_newer() {
        for bytes in [&b""[..], b"garbage", b"{}", b"[1]", b"\0\0\0\0\0\0\0\0", b"{\"schema\":0}"] {
            let got = Cursors::from_bytes(bytes);
            assert!(matches!(got, Err(Unreadable::Corrupt { .. })), "{got:?}");
        }
        let newer = br#"{"schema":2,"anything":[]}"#;
        assert_eq!(Cursors::from_bytes(newer), Err(Unreadable::Newer { schema: 2 }));
    }
}
