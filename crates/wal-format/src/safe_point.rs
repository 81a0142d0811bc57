//! The safe point: how much of the log has been acknowledged to callers.
//!
//! | offset | size | field | encoding                                        |
//! |-------:|-----:|-------|-------------------------------------------------|
//! |      0 |    8 | `seq` | `u64`, little-endian; 0 means nothing committed |

use thiserror::Error;

use crate::Seq;

/// The last committed sequence number. A log without commits has one too: that is not a missing
/// file, and the two must never be confused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SafePoint(Option<Seq>);

impl SafePoint {
    /// Length of the file in bytes.
    pub const LEN: usize = 8;

    /// The safe point of a log that has committed everything through `last`.
    pub const fn at(last: Option<Seq>) -> Self {
        Self(last)
    }

    /// Returns the last committed number, or `None` when nothing has been committed.
    pub const fn last(self) -> Option<Seq> {
        self.0
    }

    /// Returns the number as stored: 0 when nothing has been committed.
    pub fn get(self) -> u64 {
        self.0.map_or(0, Seq::get)
    }

    /// Decodes the content of the safe-point file.
    ///
    /// # Errors
    ///
    /// [`SafePointError`] unless the file is exactly eight bytes long.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SafePointError> {
        let bytes = bytes.try_into().map_err(|_| SafePointError { len: bytes.len() })?;
        Ok(Self(Seq::new(u64::from_le_bytes(bytes))))
    }

    /// Returns the content of the safe-point file.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        self.get().to_le_bytes()
    }
}

/// The safe-point file has the wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("safe point is {len} bytes long (expected 8)")]
pub struct SafePointError {
    /// Length found on disk, in bytes.
    pub len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_little_endian_and_exactly_eight() {
        let point = SafePoint::at(Seq::new(0x0102));
        assert_eq!(point.to_bytes(), [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(SafePoint::from_bytes(&point.to_bytes()), Ok(point));
        assert_eq!(SafePoint::from_bytes(&[0; 8]), Ok(SafePoint::default()));
        assert_eq!(SafePoint::from_bytes(&[0; 7]), Err(SafePointError { len: 7 }));
        assert_eq!(SafePoint::from_bytes(&[0; 9]), Err(SafePointError { len: 9 }));
    }
}
