//! The file `telemetry.seal`: a signed statement about how far a log goes.
//!
//! # Layout
//!
//! ```text
//! {"format":"autonomy.wal.seal/1","statement":"<text>","public_key":"<64 hex>","signature":"<128 hex>"}
//! ```
//!
//! `statement` is exactly the text that was signed with Ed25519, six lines with a line feed each:
//!
//! ```text
//! autonomy wal seal v1
//! wal_id=<uuid>
//! seq=<decimal>
//! chain=<64 hex digits>
//! time=<RFC 3339, UTC, microseconds>
//! ```
//!
//! # Invariants
//!
//! * **S1** The first line is no other text that a key of ours signs, so no signature of another kind
//!   passes for a seal.
//! * **S2** A statement has one spelling: one that does not encode to itself again is refused.
//!
//! This module checks no signature: it has bytes, not keys.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Chain, Seq, WalId};

/// The format that this version writes.
const FORMAT: &str = "autonomy.wal.seal/1";
/// First line of every statement (S1).
const DOMAIN: &str = "autonomy wal seal v1";

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealStatement {
    /// The log.
    pub wal_id: WalId,
    /// An entry of it.
    pub seq: Seq,
    /// Its chain value, which covers every byte up to it.
    pub chain: Chain,
    /// When it was signed.
    pub at: Timestamp,
}

impl SealStatement {
    /// Returns the text that is signed.
    pub fn to_text(self) -> String {
        let Self { wal_id, seq, chain, at } = self;
        let mut text = format!("{DOMAIN}\n");
        // Writing to a string cannot fail.
        let written = write!(text, "wal_id={wal_id}\nseq={seq}\nchain={chain}\ntime={at:.6}\n");
        debug_assert!(written.is_ok(), "a string takes every write");
        text
    }

    /// Reads a text that was signed (S2).
    ///
    /// # Errors
    ///
    /// [`SealParseError`] for every text but those of [`Self::to_text`].
    pub fn parse(text: &str) -> Result<Self, SealParseError> {
        let bad = |what| SealParseError { what };
        let mut lines = text.split('\n');
        if lines.next() != Some(DOMAIN) {
            return Err(bad("first line"));
        }
        let mut value = |key: &'static str| {
            lines.next().and_then(|it| it.strip_prefix(key)?.strip_prefix('=')).ok_or(bad(key))
        };
        let statement = Self {
            wal_id: value("wal_id")?.parse().map_err(|_| bad("wal_id"))?,
            seq: value("seq")?.parse().ok().and_then(Seq::new).ok_or(bad("seq"))?,
            chain: value("chain")?.parse().map_err(|_| bad("chain"))?,
            at: value("time")?.parse().map_err(|_| bad("time"))?,
        };
        if statement.to_text() == text { Ok(statement) } else { Err(bad("spelling")) }
    }
}

/// Content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealFile {
    /// The text that was signed.
    pub statement: String,
    /// The Ed25519 key that is said to have signed it.
    pub public_key: [u8; 32],
    /// The signature.
    pub signature: [u8; 64],
}

/// The file as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wire {
    format: String,
    statement: String,
    public_key: String,
    signature: String,
}

impl SealFile {
    /// Most bytes of a file of ours.
    pub const LEN_MAX: u64 = 4096;

    /// Returns the content of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings always serialize.
        let mut out = serde_json::to_vec(&self.to_wire()).unwrap_or_default();
        out.push(b'\n');
        out
    }

    pub(crate) fn to_wire(&self) -> Wire {
        Wire {
            format: FORMAT.to_owned(),
            statement: self.statement.clone(),
            public_key: hex::encode(self.public_key),
            signature: hex::encode(self.signature),
        }
    }

    /// Reads the content of the file. The signature is not checked here.
    ///
    /// # Errors
    ///
    /// [`SealParseError`] when it is not such a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealParseError> {
        let wire = serde_json::from_slice(bytes).map_err(|_| SealParseError { what: "json" })?;
        Self::from_wire(wire)
    }

    pub(crate) fn from_wire(wire: Wire) -> Result<Self, SealParseError> {
        let bad = |what| SealParseError { what };
        if wire.format != FORMAT {
            return Err(bad("format"));
        }
        let (mut public_key, mut signature) = ([0; 32], [0; 64]);
        hex::decode_to_slice(&wire.public_key, &mut public_key).map_err(|_| bad("public_key"))?;
        hex::decode_to_slice(&wire.signature, &mut signature).map_err(|_| bad("signature"))?;
        Ok(Self { statement: wire.statement, public_key, signature })
    }
}

/// A text or a file that is no seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a seal: {what}")]
pub struct SealParseError {
    /// Which part does not fit.
    pub what: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> SealStatement {
        SealStatement {
            wal_id: WalId::from_random([7; 16]),
            seq: Seq::new(42).unwrap(),
            chain: Chain::before(b""),
            at: "2026-01-02T03:04:05.000006Z".parse().unwrap(),
        }
    }

    #[test]
    fn the_bytes_are_pinned() {
        let text = include_str!("../tests/golden/seal-statement.txt");
        assert_eq!(statement().to_text(), text);
        assert_eq!(SealStatement::parse(text), Ok(statement()));
        let file =
            SealFile { statement: text.to_owned(), public_key: [0xab; 32], signature: [0xcd; 64] };
        let golden = include_bytes!("../tests/golden/telemetry.seal");
        assert_eq!(String::from_utf8(file.to_bytes()).unwrap().as_bytes(), golden);
        assert_eq!(SealFile::from_bytes(golden), Ok(file));
    }

    #[test]
    fn a_statement_has_one_spelling() {
        let text = statement().to_text();
        for bad in [
            text.replace("v1", "v2"),
            text.replace("seq=42", "seq=042"),
            text.replace("seq=42", "seq=0"),
            text.replace("seq=42", "seq=+42"),
            text.replace(".000006Z", ".0000060Z"),
            text.replace("05.000006Z", "05.000006+00:00"),
            text.replace('\n', "\r\n"),
            text.to_uppercase(),
            format!("{text}\n"),
            text.trim_end().to_owned(),
            String::new(),
        ] {
            assert!(SealStatement::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_seal_file_is_refused() {
        let good = SealFile { statement: String::new(), public_key: [1; 32], signature: [2; 64] };
        let good = String::from_utf8(good.to_bytes()).unwrap();
        for bad in [
            String::new(),
            "{}".to_owned(),
            good.replace("seal/1", "seal/2"),
            good.replace("0101", "01"),
            good.replacen("02", "zz", 1),
            good.replace("\"statement\"", "\"x\":1,\"statement\""),
        ] {
            assert!(SealFile::from_bytes(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
