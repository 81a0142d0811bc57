//! The hash chain: each entry names a hash over itself and everything before it.
//!
//! `value(n) = BLAKE3(value(n-1) ‖ payload bytes of n before `,"chain":`)`, written as 64
//! lower-case hex digits. The value before the first chained entry is BLAKE3 of every byte of the
//! file in front of it, so a log that others wrote without a chain is covered by the first entry
//! that has one.
//!
//! # Invariants
//!
//! * **C1** Two logs with the same chain value at a sequence number hold the same bytes up to it.
//! * **C2** A value depends only on its predecessor and its own payload, so entries can be checked
//!   in parallel: each names the value the next one starts from.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// Longest input of a link that is copied into one piece, in bytes.
const LINK_PIECE_LEN: usize = 1024;

/// A value of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chain([u8; Self::LEN]);

impl Chain {
    /// Bytes of a value.
    pub const LEN: usize = 32;
    /// Hex digits of a value.
    pub const HEX_LEN: usize = 64;

    /// The value before the first chained entry of a file that starts with `prefix`.
    ///
    /// For a new log `prefix` is empty.
    pub fn before(prefix: &[u8]) -> Self {
        Self(*blake3::hash(prefix).as_bytes())
    }

    /// Wraps a hash that was computed while streaming over the bytes in front of the chain.
    pub const fn from_hash(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the value of an entry whose payload before `,"chain":` is `body`.
    #[must_use]
    pub fn link(self, body: &[u8]) -> Self {
        // One piece is hashed faster than two, and most bodies fit a small buffer.
        let mut piece = [0; LINK_PIECE_LEN];
        if let Some((value, rest)) = piece.split_first_chunk_mut::<{ Self::LEN }>()
            && let Some(room) = rest.get_mut(..body.len())
        {
            *value = self.0;
            room.copy_from_slice(body);
            let len = Self::LEN + body.len();
            return Self(*blake3::hash(piece.get(..len).unwrap_or_default()).as_bytes());
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0).update(body);
        Self(*hasher.finalize().as_bytes())
    }

    /// Returns the bytes of the value.
    pub(crate) const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }

    /// Reads the 64 hex digits as they stand in an entry; `None` when one of them is no lower-case digit.
    pub(crate) fn from_hex(digits: &[u8; Self::HEX_LEN]) -> Option<Self> {
        let nibbles = digits.map(nibble);
        if nibbles.iter().fold(0, |all, it| all | it) > 15 {
            return None;
        }
        let mut value = [0; Self::LEN];
        for (byte, [high, low]) in value.iter_mut().zip(nibbles.as_chunks().0) {
            *byte = high << 4 | low;
        }
        Some(Self(value))
    }

    /// Returns the 64 hex digits as they stand in an entry.
    pub fn to_hex(self) -> [u8; Self::HEX_LEN] {
        let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        let mut digits = [0; Self::HEX_LEN];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        digits
    }
}

impl FromStr for Chain {
    type Err = ChainParseError;

    fn from_str(digits: &str) -> Result<Self, Self::Err> {
        let digits = digits.as_bytes().try_into().map_err(|_| ChainParseError)?;
        Self::from_hex(digits).ok_or(ChainParseError)
    }
}

/// The value of a digit; more than 15 for what is none. Upper case is none: it would give one value two
/// spellings, and a flipped bit could pass.
const fn nibble(digit: u8) -> u8 {
    let (number, letter) = (digit.wrapping_sub(b'0'), digit.wrapping_sub(b'a'));
    if number < 10 {
        number
    } else if letter < 6 {
        letter + 10
    } else {
        u8::MAX
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({self})")
    }
}

/// The text is not 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a chain value has 64 lower-case hex digits")]
pub struct ChainParseError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_is_64_lower_case_digits_and_parses_back() {
        let value = Chain::before(b"");
        assert_eq!(
            value.to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            "BLAKE3 of the empty input, from the BLAKE3 test vectors"
        );
        assert_eq!(value.to_hex(), value.to_string().as_bytes());
        assert_eq!(value.to_string().parse(), Ok(value));
        assert_eq!(value.to_string().to_uppercase().parse::<Chain>(), Err(ChainParseError));
        assert_eq!("00".parse::<Chain>(), Err(ChainParseError));
        for byte in 0..=u8::MAX {
            let mut digits = value.to_hex();
            digits[17] = byte;
            let found = Chain::from_hex(&digits).map(Chain::to_hex);
            let is_digit = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            assert_eq!(found, is_digit.then_some(digits), "one value has one spelling: {byte}");
        }
    }

    #[test]
    fn a_link_depends_on_the_predecessor_and_on_the_body() {
        let start = Chain::before(b"");
        assert_ne!(start.link(b"a"), start.link(b"b"));
        assert_ne!(start.link(b"a"), start.link(b"a").link(b"a"));
    }

    #[test]
    fn a_link_is_the_hash_of_the_value_and_the_body_whatever_its_length() {
        let start = Chain::before(b"x");
        for len in [0, 1, 31, 180, 991, 992, 993, 1024, 5000] {
            let body = vec![7; len];
            let whole = [&start.0[..], &body].concat();
            assert_eq!(start.link(&body), Chain::before(&whole), "{len}");
        }
    }
}
