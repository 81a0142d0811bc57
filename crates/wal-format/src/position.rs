//! The position: every entry up to it was accepted by a consumer.
//!
//! | offset | size | field | encoding                                       |
//! |-------:|-----:|-------|------------------------------------------------|
//! |      0 |    8 | `seq` | `u64`, little-endian; 0 means nothing accepted |
//!
//! The layout equals that of the safe point; the meaning does not, so the types differ. A missing
//! file means that nothing was accepted.

use thiserror::Error;

use crate::Seq;

/// The last sequence number of the contiguous accepted part of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(Option<Seq>);

impl Position {
    /// Length of the file in bytes.
    pub const LEN: usize = 8;

    /// The position after everything through `last` was accepted.
    pub const fn at(last: Option<Seq>) -> Self {
        Self(last)
    }

    /// Returns the last accepted number, or `None` when nothing was accepted.
    pub const fn last(self) -> Option<Seq> {
        self.0
    }

    /// Returns the number as stored: 0 when nothing was accepted.
    pub fn get(self) -> u64 {
        self.0.map_or(0, Seq::get)
    }

    /// Decodes the content of the position file.
    ///
    /// # Errors
    ///
    /// [`PositionError`] unless the file is exactly eight bytes long.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PositionError> {
        let bytes = bytes.try_into().map_err(|_| PositionError { len: bytes.len() })?;
        Ok(Self(Seq::new(u64::from_le_bytes(bytes))))
    }

    /// Returns the content of the position file.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        self.get().to_le_bytes()
    }
}

/// The position file has the wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("position is {len} bytes long (expected 8)")]
pub struct PositionError {
    /// Length found on disk, in bytes.
    pub len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_little_endian_and_exactly_eight() {
        let position = Position::at(Seq::new(0x0102));
        assert_eq!(position.to_bytes(), [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Position::from_bytes(&position.to_bytes()), Ok(position));
        assert_eq!(Position::from_bytes(&[0; 8]), Ok(Position::default()));
        assert_eq!(Position::from_bytes(b"garbage!!"), Err(PositionError { len: 9 }));
    }
}
