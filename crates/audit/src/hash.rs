//! The chain: each record names a hash over itself and everything before it.
//!
//! `hash(n) = BLAKE3("autonomy audit record v1\0" ‖ hash(n-1) ‖ canonical JSON of record n without
//! `hash`)`. Before the first record stands `BLAKE3("autonomy audit trail v1\0")`. The texts in front
//! keep a hash of this trail from being one of anything else.
//!
//! * **C1** Two trails with the same hash at a number hold the same records up to it.

use std::{fmt, str::FromStr};

/// What stands in front of each record that is hashed.
const RECORD_DOMAIN: &[u8] = b"autonomy audit record v1\0";
/// What is hashed before the first record.
const TRAIL_DOMAIN: &[u8] = b"autonomy audit trail v1\0";
/// What stands in front of the digits in a record.
const PREFIX: &str = "blake3:";

/// A value of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; blake3::OUT_LEN]);

impl Hash {
    /// The value before the first record.
    pub fn genesis() -> Self {
        Self(*blake3::hash(TRAIL_DOMAIN).as_bytes())
    }

    /// The value of a record whose canonical bytes without `hash` are `body`.
    #[must_use]
    pub fn link(self, body: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(RECORD_DOMAIN).update(&self.0).update(body);
        Self(*hasher.finalize().as_bytes())
    }

    /// The 64 digits alone.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// Reads the 64 digits alone; upper case is none, it would give one value two spellings.
    pub(crate) fn from_hex(digits: &str) -> Option<Self> {
        let mut bytes = [0; blake3::OUT_LEN];
        let lower = !digits.bytes().any(|it| it.is_ascii_uppercase());
        (lower && hex::decode_to_slice(digits, &mut bytes).is_ok()).then_some(Self(bytes))
    }
}

/// The text is not `blake3:` and 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is `blake3:` and 64 lower-case hex digits")]
pub struct HashParseError;

impl FromStr for Hash {
    type Err = HashParseError;

    fn from_str(text: &str) -> Result<Self, HashParseError> {
        text.strip_prefix(PREFIX).and_then(Self::from_hex).ok_or(HashParseError)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.to_hex())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_parses_back_and_has_one_spelling() {
        let hash = Hash::genesis().link(b"{}");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(hash.to_string().to_uppercase().parse::<Hash>(), Err(HashParseError));
        assert_eq!(hash.to_hex().parse::<Hash>(), Err(HashParseError));
    }

    /// Anybody can compute a link with `b3sum` and nothing of ours.
    #[test]
    fn a_link_is_plain_blake3_over_domain_predecessor_and_body() {
        let genesis = blake3::hash(b"autonomy audit trail v1\0");
        assert_eq!(Hash::genesis().to_hex(), genesis.to_hex().as_str());
        let whole = [b"autonomy audit record v1\0", &genesis.as_bytes()[..], b"{\"a\":1}"].concat();
        let want = blake3::hash(&whole).to_hex();
        assert_eq!(Hash::genesis().link(b"{\"a\":1}").to_hex(), want.as_str());
    }
}
