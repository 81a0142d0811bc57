//! The frames of a file, one after the other.
//!
//! * **G1** Memory is bounded by one frame and one read, whatever the length of the file.
//! * **G2** A frame is reported only when all its bytes are there.

use std::{io, sync::Arc};

use vfs::File;
use wal_format::{FrameError, HEADER_LEN, Header};

/// Bytes asked for at once.
const READ_LEN: usize = 256 << 10;
/// Bytes asked for first: many logs are small, and many readers want one frame.
const FIRST_READ_LEN: usize = 16 << 10;
/// Bytes compared at once when only zeros are expected.
const ZEROS_LEN: usize = 4 << 10;

/// Reads frames from an offset on.
#[derive(Debug)]
pub(crate) struct FrameReader {
    file: Arc<dyn File>,
    /// File offset of the first byte in `buffer`.
    base: u64,
    /// Room for what is read; its length only grows.
    buffer: Vec<u8>,
    /// Bytes of `buffer` that belong to frames already given out.
    taken: usize,
    /// Bytes of `buffer` that were read.
    read: usize,
}

/// What stands at the reader's place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peek {
    /// A whole frame.
    Frame(Header),
    /// The file ends inside a frame, or exactly here.
    Torn,
    /// A zero length prefix.
    End,
    /// A length that no writer produces.
    TooLong(u32),
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// A whole frame.
    Frame {
        /// Where it starts.
        offset: u64,
        /// Its JSON bytes.
        payload: &'a [u8],
    },
    /// The file ends inside a frame, or exactly here.
    Torn,
    /// A zero length prefix.
    End,
    /// A length that no writer produces.
    TooLong(u32),
}

impl FrameReader {
    pub(crate) fn new(file: Arc<dyn File>, offset: u64) -> Self {
        Self { file, base: offset, buffer: Vec::new(), taken: 0, read: 0 }
    }

    /// Where the next frame starts.
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.taken as u64
    }

    /// Returns what was read already from here on. Frames that stand there whole come next, with these bytes.
    pub(crate) fn buffered(&self) -> &[u8] {
        self.buffer.get(self.taken..self.read).unwrap_or_default()
    }

    /// Says what stands at the reader's place and does not move.
    pub(crate) fn peek(&mut self) -> io::Result<Peek> {
        let Some(bytes) = self.filled(HEADER_LEN)?.first_chunk::<HEADER_LEN>().copied() else {
            return Ok(Peek::Torn);
        };
        let header = match Header::from_bytes(bytes) {
            Ok(header) => header,
            Err(FrameError::Empty) => return Ok(Peek::End),
            Err(FrameError::TooLong { len }) => return Ok(Peek::TooLong(len)),
        };
        let end = HEADER_LEN + header.payload_len();
        if self.filled(end)?.len() < end {
            return Ok(Peek::Torn);
        }
        Ok(Peek::Frame(header))
    }

    /// Reads the next frame. Anything but a frame leaves the reader where it is, so that a file
    /// that grows can be asked again.
    pub(crate) fn next(&mut self) -> io::Result<Next<'_>> {
        let offset = self.offset();
        let header = match self.peek()? {
            Peek::Frame(header) => header,
            Peek::Torn => return Ok(Next::Torn),
            Peek::End => return Ok(Next::End),
            Peek::TooLong(len) => return Ok(Next::TooLong(len)),
        };
        let start = self.taken + HEADER_LEN;
        self.taken = start + header.payload_len();
        let payload = self.buffer.get(start..self.taken).unwrap_or_default();
        Ok(Next::Frame { offset, payload })
    }

    /// Whether every byte from here to the end of the file is zero, as far as about `most` bytes tell.
    pub(crate) fn only_zeros_follow(&mut self, most: u64) -> io::Result<bool> {
        let until = self.offset().saturating_add(most);
        loop {
            let beyond = self.offset() >= until;
            let rest = self.filled(1)?;
            if rest.is_empty() || beyond {
                return Ok(true);
            }
            // Without an early exit inside a piece the compiler compares many bytes at once.
            let zeros = |piece: &[u8]| piece.iter().fold(0, |all, it| all | it) == 0;
            if !rest.chunks(ZEROS_LEN).all(zeros) {
                return Ok(false);
            }
            let len = rest.len();
            self.taken += len;
        }
    }

    /// Returns what stands from here on, up to `want` bytes, and does not move.
    pub(crate) fn ahead(&mut self, want: usize) -> io::Result<&[u8]> {
        let rest = self.filled(want)?;
        Ok(rest.get(..want).unwrap_or(rest))
    }

    /// Returns what is buffered from here on: at least `want` bytes unless the file ends before.
    fn filled(&mut self, want: usize) -> io::Result<&[u8]> {
        while self.read - self.taken < want {
            if self.taken > 0 {
                self.buffer.copy_within(self.taken..self.read, 0);
            }
            self.base += self.taken as u64;
            self.read -= self.taken;
            self.taken = 0;
            let ask = (self.buffer.len() * 2).clamp(FIRST_READ_LEN, READ_LEN);
            // A length that was damaged asks for more than there is: room follows what is read.
            let room = want.min(self.read * 2).max(self.read + ask);
            if self.buffer.len() < room {
                // Exactly: what a vector takes in advance would double the memory (G1).
                self.buffer.reserve_exact(room - self.buffer.len());
                self.buffer.resize(room, 0);
            }
            let room = self.buffer.get_mut(self.read..).unwrap_or_default();
            let read = self.file.read_at(room, self.base + self.read as u64)?;
            self.read += read;
            if read == 0 {
                break;
            }
        }
        Ok(self.buffer.get(self.taken..self.read).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use vfs::{MemVfs, OpenMode, Vfs as _, write_all_at};
    use wal_format::{Frame, MAX_PAYLOAD_LEN};

    use super::*;

    fn reader(content: &[u8]) -> FrameReader {
        let vfs = MemVfs::default();
        let file = vfs.open(Path::new("/x"), OpenMode::Create).unwrap();
        write_all_at(&*file, content, 0).unwrap();
        FrameReader::new(file, 0)
    }

    proptest! {
        #[test]
        fn frames_of_any_size_come_back_with_their_offsets(lens in prop::collection::vec(1..400_000_usize, 0..6), cut in 0..8_usize) {
            let mut disk = Vec::new();
            let mut want = Vec::new();
            for (n, len) in lens.iter().enumerate() {
                let payload = vec![u8::try_from(n).unwrap() + 1; *len];
                want.push((disk.len() as u64, payload.clone()));
                Frame::encode(&payload, &mut disk).unwrap();
            }
            if cut > 0 && cut <= disk.len() {
                want.pop();
                disk.truncate(disk.len() - cut);
            }
            let mut reader = reader(&disk);
            for (at, bytes) in want {
                prop_assert_eq!(reader.next().unwrap(), Next::Frame { offset: at, payload: &bytes });
            }
            prop_assert_eq!(reader.next().unwrap(), Next::Torn);
            prop_assert_eq!(reader.next().unwrap(), Next::Torn);
        }
    }

    #[test]
    fn a_length_beyond_the_end_of_the_file_takes_no_memory_for_what_is_not_there() {
        let mut content = MAX_PAYLOAD_LEN.to_be_bytes().to_vec();
        content.resize(1000, b'x');
        let mut reader = reader(&content);
        assert_eq!(reader.next().unwrap(), Next::Torn);
        assert!(reader.buffer.len() <= 4 * FIRST_READ_LEN, "{} bytes", reader.buffer.len());
    }

    #[test]
    fn zeros_end_the_log_and_anything_behind_them_is_noticed() {
        let mut zeros = reader(&vec![0; 1_000_000]);
        assert_eq!(zeros.next().unwrap(), Next::End);
        assert!(zeros.only_zeros_follow(u64::MAX).unwrap());
        let mut content = vec![0; 1_000_000];
        content.push(1);
        assert!(!reader(&content).only_zeros_follow(u64::MAX).unwrap());
        assert_eq!(
            reader(&(MAX_PAYLOAD_LEN + 1).to_be_bytes()).next().unwrap(),
            Next::TooLong(MAX_PAYLOAD_LEN + 1)
        );
    }
}
