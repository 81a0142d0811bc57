//! The lines of a file, one after the other, in bounded memory.
//!
//! * **I1** Every byte of the file that was there at the start belongs to exactly one line or is the
//!   line feed behind one.
//! * **I2** No line takes more memory than [`LINE_BYTES_MAX`] and two chunks; a longer one is passed over
//!   and said to be too long.

use std::{io, sync::Arc};

use vfs::File;

/// Bytes read at once.
const CHUNK_LEN: usize = 64 << 10;
/// Longest line that is read. An entry has at most 16 MiB, each byte of it becomes at most six, and
/// the other keys take a few KiB.
pub(super) const LINE_BYTES_MAX: usize = 97 << 20;

/// A line of the file, without its line feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FoundLine<'a> {
    /// Counted from 1.
    pub(super) number: u64,
    /// Of its first byte.
    pub(super) offset: u64,
    /// In bytes.
    pub(super) len: u64,
    /// Its bytes; `None` when they are too many.
    pub(super) bytes: Option<&'a [u8]>,
}

/// Reads the lines.
#[derive(Debug)]
pub(super) struct Lines {
    file: Arc<dyn File>,
    end: u64,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    base: u64,
    /// Where the line begins in the buffer.
    start: usize,
    /// Bytes of the line that were passed over.
    skipped: u64,
    line_bytes_max: usize,
    number: u64,
}

impl Lines {
    /// Begins with the first line. What is appended meanwhile does not count.
    pub(super) fn new(file: Arc<dyn File>) -> io::Result<Self> {
        Self::with_limit(file, LINE_BYTES_MAX)
    }

    fn with_limit(file: Arc<dyn File>, line_bytes_max: usize) -> io::Result<Self> {
        let end = file.stat()?.len;
        let buffer = Vec::new();
        let (base, start, skipped, number) = (0, 0, 0, 0);
        Ok(Self { file, end, buffer, base, start, skipped, line_bytes_max, number })
    }

    /// Returns the next line; `None` behind the last. The last one may lack its line feed.
    pub(super) fn next(&mut self) -> io::Result<Option<FoundLine<'_>>> {
        let mut searched = 0;
        loop {
            let line = self.buffer.get(self.start..).unwrap_or_default();
            let rest = line.get(searched..).unwrap_or_default();
            if let Some(found) = rest.iter().position(|it| *it == b'\n') {
                return Ok(Some(self.line(searched + found, 1)));
            }
            searched = line.len();
            if searched > self.line_bytes_max {
                self.skipped += searched as u64;
                self.start += searched;
                searched = 0;
            }
            if !self.read_on()? {
                let some = searched > 0 || self.skipped > 0;
                return Ok(some.then(|| self.line(searched, 0)));
            }
        }
    }

    /// Steps over the `len` bytes of the line that are in the buffer, and over its line feed.
    fn line(&mut self, len: usize, feed: usize) -> FoundLine<'_> {
        let (start, skipped) = (self.start, std::mem::take(&mut self.skipped));
        self.start += len + feed;
        self.number += 1;
        let bytes = self.buffer.get(start..start + len).unwrap_or_default();
        FoundLine {
            number: self.number,
            offset: self.base + start as u64 - skipped,
            len: skipped + len as u64,
            bytes: (skipped == 0 && len <= self.line_bytes_max).then_some(bytes),
        }
    }

    /// Forgets what was given out and reads one chunk more; `false` at the end.
    fn read_on(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.start);
        self.base += self.start as u64;
        self.start = 0;
        let offset = self.base + self.buffer.len() as u64;
        let want = usize::try_from(self.end - offset).unwrap_or(CHUNK_LEN).min(CHUNK_LEN);
        let filled = self.buffer.len();
        self.buffer.resize(filled + want, 0);
        let spare = self.buffer.get_mut(filled..).unwrap_or_default();
        let read = self.file.read_at(spare, offset)?;
        self.buffer.truncate(filled + read);
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vfs::{MemVfs, OpenMode, Vfs as _, write_all_at};

    use super::*;

    /// Number, offset, length, bytes.
    type Found = (u64, u64, u64, Option<Vec<u8>>);

    fn lines_of(content: &[u8], limit: usize) -> Vec<Found> {
        let vfs = MemVfs::default();
        let file = vfs.open(Path::new("/x"), OpenMode::Create).unwrap();
        write_all_at(&*file, content, 0).unwrap();
        let mut lines = Lines::with_limit(file, limit).unwrap();
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push((line.number, line.offset, line.len, line.bytes.map(<[u8]>::to_vec)));
        }
        found
    }

    /// The same by the standard library.
    fn split(content: &[u8]) -> Vec<Found> {
        let (mut offset, mut found) = (0, Vec::new());
        for (number, piece) in (1..).zip(content.split_inclusive(|it| *it == b'\n')) {
            let line = piece.strip_suffix(b"\n").unwrap_or(piece).to_vec();
            found.push((number, offset, line.len() as u64, Some(line)));
            offset += piece.len() as u64;
        }
        found
    }

    /// I1: lines around the ends of chunks, with and without a line feed behind the last.
    #[test]
    fn every_byte_belongs_to_one_line() {
        for lens in [
            &[0_usize, 1, 0][..],
            &[CHUNK_LEN, 1],
            &[CHUNK_LEN - 1, CHUNK_LEN - 1, 3],
            &[5, 3 * CHUNK_LEN, 0, 7],
            &[],
        ] {
            let lines: Vec<_> = lens.iter().map(|len| vec![b'x'; *len]).collect();
            let content = lines.join(&b'\n');
            assert_eq!(lines_of(&content, LINE_BYTES_MAX), split(&content), "{lens:?}");
            let ended = [&*content, b"\n"].concat();
            assert_eq!(lines_of(&ended, LINE_BYTES_MAX), split(&ended), "{lens:?}");
        }
    }

    /// I2.
    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_its_place_is_known() {
        let long = 2 * CHUNK_LEN + 5;
        let content = [b"ab\n", &*vec![b'x'; long], b"\ncd\n", &vec![b'y'; long]].concat();
        let (long, after) = (long as u64, long as u64 + 4);
        let want = [
            (1, 0, 2, Some(b"ab".to_vec())),
            (2, 3, long, None),
            (3, after, 2, Some(b"cd".to_vec())),
            (4, after + 3, long, None),
        ];
        assert_eq!(lines_of(&content, 100), want);
    }
}
