//! One frame: a length prefix and a JSON payload.
//!
//! # Layout
//!
//! | offset | size  | field     | encoding                                                 |
//! |-------:|------:|-----------|----------------------------------------------------------|
//! |      0 |     4 | `len`     | `u32`, big-endian, `1..=`[`MAX_PAYLOAD_LEN`]              |
//! |      4 | `len` | `payload` | UTF-8 JSON object, see [`Entry`](crate::Entry)           |
//!
//! A length of zero is not a frame: it marks the end of the log, so that space may be allocated
//! ahead of the writer as zeros.
//!
//! # Invariants
//!
//! * **F1** A frame is either whole or absent. A buffer that ends inside a frame decodes to
//!   [`Decoded::Torn`]: torn tails are normal after a crash and are not corruption. Only the
//!   reader of the safe point can tell a torn tail from a damaged length.
//! * **F2** Decoding never allocates.
//! * **F3** `decode(encode(payload))` gives `payload` back, byte for byte.

use thiserror::Error;

/// Bytes before the payload.
pub const HEADER_LEN: usize = size_of::<u32>();
/// Largest payload a frame may carry, in bytes. Bounds what a corrupt length can make a reader do.
pub const MAX_PAYLOAD_LEN: u32 = 16 << 20;

const _: () = assert!(HEADER_LEN == 4, "the header is part of the on-disk format");

/// The fixed-size start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    len: u32,
}

impl Header {
    /// Checks that a payload of `len` bytes fits a frame.
    ///
    /// # Errors
    ///
    /// [`FrameError::Empty`] or [`FrameError::TooLong`] when it does not.
    pub const fn new(len: u32) -> Result<Self, FrameError> {
        match len {
            0 => Err(FrameError::Empty),
            1..=MAX_PAYLOAD_LEN => Ok(Self { len }),
            _ => Err(FrameError::TooLong { len }),
        }
    }

    /// Reads the four bytes at the start of a frame.
    ///
    /// # Errors
    ///
    /// [`FrameError::Empty`] or [`FrameError::TooLong`]; the first means "end of the log".
    pub const fn from_bytes(bytes: [u8; HEADER_LEN]) -> Result<Self, FrameError> {
        Self::new(u32::from_be_bytes(bytes))
    }

    /// Returns the bytes the header occupies on disk.
    pub const fn to_bytes(self) -> [u8; HEADER_LEN] {
        self.len.to_be_bytes()
    }

    /// Length of the payload in bytes.
    pub const fn payload_len(self) -> usize {
        self.len as usize
    }

    /// Length of the whole frame in bytes.
    pub const fn frame_len(self) -> u64 {
        HEADER_LEN as u64 + self.len as u64
    }
}

/// What stands at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole frame and the bytes that follow it.
    Whole(Frame<'a>, &'a [u8]),
    /// The buffer ends before the frame does (F1); an empty buffer is torn too.
    Torn,
    /// A length of zero: the end of the log.
    End,
}

/// A whole frame, borrowed from the buffer it was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Decodes the frame at the start of `input`.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLong`] when the length prefix is one no writer produces.
    ///
    /// # Examples
    ///
    /// ```
    /// use wal_format::{Decoded, Frame};
    ///
    /// let bytes = [0, 0, 0, 2, b'{', b'}', 0, 0];
    /// let Decoded::Whole(frame, rest) = Frame::decode(&bytes)? else { unreachable!() };
    /// assert_eq!(frame.payload(), b"{}");
    /// assert_eq!(Frame::decode(rest)?, Decoded::Torn, "two bytes of a header: a torn tail");
    /// assert_eq!(Frame::decode(&[0; 4])?, Decoded::End);
    /// # Ok::<(), wal_format::FrameError>(())
    /// ```
    pub const fn decode(input: &'a [u8]) -> Result<Decoded<'a>, FrameError> {
        let Some((len, body)) = input.split_first_chunk::<HEADER_LEN>() else {
            return Ok(Decoded::Torn);
        };
        let header = match Header::from_bytes(*len) {
            Ok(header) => header,
            Err(FrameError::Empty) => return Ok(Decoded::End),
            Err(error) => return Err(error),
        };
        match body.split_at_checked(header.payload_len()) {
            Some((payload, rest)) => Ok(Decoded::Whole(Self { payload }, rest)),
            None => Ok(Decoded::Torn),
        }
    }

    /// Appends the frame for `payload` to `out`.
    ///
    /// # Errors
    ///
    /// [`FrameError`] when `payload` does not fit; `out` is then unchanged.
    pub fn encode(payload: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        let header = Header::new(u32::try_from(payload.len()).unwrap_or(u32::MAX))?;
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(payload);
        Ok(())
    }

    /// Returns the JSON bytes.
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A length prefix that no writer produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The payload has zero bytes.
    #[error("frame length is zero")]
    Empty,
    /// The prefix is beyond [`MAX_PAYLOAD_LEN`].
    #[error("frame length {len} exceeds the limit of {MAX_PAYLOAD_LEN}")]
    TooLong {
        /// The length found, in bytes.
        len: u32,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn encode_then_decode_gives_the_payload_back(payload in prop::collection::vec(any::<u8>(), 1..512)) {
            let mut disk = Vec::new();
            Frame::encode(&payload, &mut disk).unwrap();
            prop_assert_eq!(Frame::decode(&disk), Ok(Decoded::Whole(Frame { payload: &payload }, &[])));
        }

        #[test]
        fn every_strict_prefix_is_a_torn_tail(payload in prop::collection::vec(any::<u8>(), 1..64)) {
            let mut disk = Vec::new();
            Frame::encode(&payload, &mut disk).unwrap();
            for cut in 0..disk.len() {
                prop_assert_eq!(Frame::decode(&disk[..cut]), Ok(Decoded::Torn));
            }
        }
    }

    #[test]
    fn zero_is_the_end_and_oversized_lengths_are_refused() {
        assert_eq!(Frame::decode(&[0; 8]), Ok(Decoded::End));
        assert_eq!(Frame::decode(&[0xff; 8]), Err(FrameError::TooLong { len: u32::MAX }));
        let most = MAX_PAYLOAD_LEN.to_be_bytes();
        assert_eq!(Frame::decode(&most), Ok(Decoded::Torn));
        let over = (MAX_PAYLOAD_LEN + 1).to_be_bytes();
        assert_eq!(Frame::decode(&over), Err(FrameError::TooLong { len: MAX_PAYLOAD_LEN + 1 }));
        assert_eq!(Frame::encode(&[], &mut Vec::new()), Err(FrameError::Empty));
    }
}
