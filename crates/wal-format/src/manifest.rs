//! The file `archive/telemetry-<wal_id>.json`: what is known about an archived log.
//!
//! | key           | value                                                                  |
//! |---------------|------------------------------------------------------------------------|
//! | `format`      | `autonomy.wal.archive/1`                                                 |
//! | `wal_id`      | the log                                                                  |
//! | `node`        | who wrote it                                                             |
//! | `previous`    | `wal_id` and `chain` of the log it follows; `null` for none              |
//! | `entries`     | how many it has                                                          |
//! | `kinds`       | how many of each kind                                                    |
//! | `first_chain` | chain value of the first entry that has one                              |
//! | `last_chain`  | chain value of the last entry                                            |
//! | `raw`         | `bytes` and `blake3` of the log                                          |
//! | `packed`      | `bytes` and `blake3` of `telemetry-<wal_id>.wal.zst`                     |
//! | `seal`        | `telemetry.seal` of the log as an object; `null` when it had none        |
//! | `archived_at` | RFC 3339, UTC, microseconds                                              |
//!
//! The file is a description; what is true is what the log says when it is read again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Chain, SealFile, WalId, seal};

/// The format that this version writes.
const FORMAT: &str = "autonomy.wal.archive/1";

/// Content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The log.
    pub wal_id: WalId,
    /// Who wrote it.
    pub node: String,
    /// The log it follows, and the last chain value of that log.
    pub previous: Option<(WalId, Chain)>,
    /// How many entries it has.
    pub entries: u64,
    /// How many of each kind.
    pub kinds: BTreeMap<String, u64>,
    /// Chain value of the first entry that has one.
    pub first_chain: Chain,
    /// Chain value of the last entry.
    pub last_chain: Chain,
    /// The log as it was.
    pub raw: Content,
    /// The log as it is kept.
    pub packed: Content,
    /// The seal that the log had.
    pub seal: Option<SealFile>,
    /// When it was packed.
    pub archived_at: Timestamp,
}

/// Length and hash of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Length in bytes.
    pub bytes: u64,
    /// BLAKE3 in 64 hex digits.
    pub blake3: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    wal_id: String,
    node: String,
    previous: Option<Previous>,
    entries: u64,
    kinds: BTreeMap<String, u64>,
    first_chain: String,
    last_chain: String,
    raw: Content,
    packed: Content,
    seal: Option<seal::Wire>,
    archived_at: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Previous {
    wal_id: String,
    chain: String,
}

impl Manifest {
    /// Returns the content of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let wire = Wire {
            format: FORMAT.to_owned(),
            wal_id: self.wal_id.to_string(),
            node: self.node.clone(),
            previous: self
                .previous
                .map(|(id, it)| Previous { wal_id: id.to_string(), chain: it.to_string() }),
            entries: self.entries,
            kinds: self.kinds.clone(),
            first_chain: self.first_chain.to_string(),
            last_chain: self.last_chain.to_string(),
            raw: self.raw.clone(),
            packed: self.packed.clone(),
            seal: self.seal.as_ref().map(SealFile::to_wire),
            archived_at: time_text(self.archived_at),
        };
        // Numbers, strings and maps with string keys always serialize.
        let mut out = serde_json::to_vec_pretty(&wire).unwrap_or_default();
        out.push(b'\n');
        out
    }

    /// Reads the content of the file.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] when it is not such a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        let bad = |text: String| ManifestError { text };
        let id = |text: &str| text.parse::<WalId>().map_err(|it| bad(it.to_string()));
        let chain = |text: &str| text.parse::<Chain>().map_err(|it| bad(it.to_string()));
        let wire: Wire = serde_json::from_slice(bytes).map_err(|it| bad(it.to_string()))?;
        if wire.format != FORMAT {
            return Err(bad(format!("format `{}`", wire.format)));
        }
        let previous = match &wire.previous {
            Some(it) => Some((id(&it.wal_id)?, chain(&it.chain)?)),
            None => None,
        };
        Ok(Self {
            wal_id: id(&wire.wal_id)?,
            node: wire.node,
            previous,
            entries: wire.entries,
            kinds: wire.kinds,
            first_chain: chain(&wire.first_chain)?,
            last_chain: chain(&wire.last_chain)?,
            raw: wire.raw,
            packed: wire.packed,
            seal: wire
                .seal
                .map(SealFile::from_wire)
                .transpose()
                .map_err(|it| bad(it.to_string()))?,
            archived_at: parse_time(&wire.archived_at)?,
        })
    }
}

fn time_text(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// Reads a time in the one spelling that we write: a finer one would be another when it is written.
fn parse_time(text: &str) -> Result<Timestamp, ManifestError> {
    let bad = |text: String| ManifestError { text };
    let time = text.parse().map_err(|it: jiff::Error| bad(it.to_string()))?;
    if time_text(time) == text {
        Ok(time)
    } else {
        Err(bad(format!("archived_at `{text}` is not UTC in microseconds")))
    }
}

/// A file that is no manifest of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a manifest: {text}")]
pub struct ManifestError {
    /// What does not fit.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_pinned() {
        let content = |bytes, digit: &str| Content { bytes, blake3: digit.repeat(64) };
        let manifest = Manifest {
            wal_id: WalId::from_random([7; 16]),
            node: "edge-1".to_owned(),
            previous: Some((WalId::from_random([6; 16]), Chain::before(b"6"))),
            entries: 3,
            kinds: [("autonomy.action", 2), ("autonomy.lifecycle", 1)]
                .map(|(kind, count)| (kind.to_owned(), count))
                .into(),
            first_chain: Chain::before(b"1"),
            last_chain: Chain::before(b"3"),
            raw: content(1000, "a"),
            packed: content(200, "b"),
            seal: Some(SealFile {
                statement: "autonomy wal seal v1\n".to_owned(),
                public_key: [0xab; 32],
                signature: [0xcd; 64],
            }),
            archived_at: "2026-01-02T03:04:05.000006Z".parse().unwrap(),
        };
        let golden = include_bytes!("../tests/golden/archive-manifest.json");
        assert_eq!(String::from_utf8(manifest.to_bytes()).unwrap().as_bytes(), golden);
        assert_eq!(Manifest::from_bytes(golden), Ok(manifest.clone()));
        let first = Manifest { previous: None, seal: None, ..manifest };
        assert_eq!(Manifest::from_bytes(&first.to_bytes()), Ok(first.clone()));
        let other = String::from_utf8(first.to_bytes()).unwrap().replace("archive/1", "archive/2");
        assert!(Manifest::from_bytes(other.as_bytes()).is_err());
        assert!(Manifest::from_bytes(b"{}").is_err());
    }

    #[test]
    fn a_time_that_could_not_be_written_again_is_refused() {
        let golden = include_str!("../tests/golden/archive-manifest.json");
        for other in [".0000061Z", ".00000Z", "Z", ".000006+00:00"] {
            let bytes = golden.replace(".000006Z", other);
            assert_ne!(bytes, golden);
            let error = Manifest::from_bytes(bytes.as_bytes()).unwrap_err().to_string();
            assert!(error.ends_with("is not UTC in microseconds"), "{error}");
        }
    }
}
