//! Lines of a file, forwards and backwards, in bounded memory.
//!
//! A line ends with a line feed. What stands behind the last line feed is no line, and a line is not
//! longer than a record can be: whoever reads a damaged file holds no more of it.

use std::{io, sync::Arc};

use vfs::File;

use crate::record::LINE_LEN_MAX;

/// Bytes that are read at once.
const BLOCK_LEN: usize = 64 << 10;

/// What stands at a place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A line, without its line feed.
    Line(Vec<u8>),
    /// Bytes without a line feed, up to the end.
    Rest,
    /// More bytes without a line feed than a line may have.
    TooLong,
}

/// Lines from a place to the end.
#[derive(Debug)]
pub(crate) struct Lines {
    file: Arc<dyn File>,
    /// Bytes that were read and not yet returned begin at `used`.
    block: Vec<u8>,
    used: usize,
    /// Where `block` begins.
    start: u64,
    /// Where reading ends.
    end: u64,
}

impl Lines {
    pub(crate) fn new(file: Arc<dyn File>, from: u64, end: u64) -> Self {
        Self { file, block: Vec::new(), used: 0, start: from, end }
    }

    /// The next piece and where it begins. After [`Piece::Rest`] and [`Piece::TooLong`] there is
    /// nothing to be had.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Piece)>> {
        loop {
            let at = self.start + self.used as u64;
            let unread = self.block.get(self.used..).unwrap_or_default();
            let found = unread.iter().position(|it| *it == b'\n');
            let len = found.unwrap_or(unread.len());
            if len >= LINE_LEN_MAX {
                return Ok(Some((at, Piece::TooLong)));
            }
            if found.is_some() {
                let line = unread.get(..len).unwrap_or_default().to_vec();
                self.used += len + 1;
                return Ok(Some((at, Piece::Line(line))));
            }
            if !self.read()? {
                return Ok((len > 0).then_some((at, Piece::Rest)));
            }
        }
    }

    /// Reads another block; `false` at the end.
    fn read(&mut self) -> io::Result<bool> {
        self.block.drain(..self.used);
        self.start += self.used as u64;
        self.used = 0;
        let old = self.block.len();
        let from = self.start + old as u64;
        let room = self.end.saturating_sub(from);
        let want = usize::try_from(room).unwrap_or(usize::MAX).min(BLOCK_LEN);
        self.block.resize(old + want, 0);
        let read = self.file.read_at(self.block.get_mut(old..).unwrap_or_default(), from)?;
        self.block.truncate(old + read);
        Ok(read > 0)
    }
}

/// Lines from a place to the beginning.
#[derive(Debug)]
pub(crate) struct Backwards {
    file: Arc<dyn File>,
    /// Bytes that were read and not yet returned.
    block: Vec<u8>,
    /// Where `block` begins.
    start: u64,
}

impl Backwards {
    pub(crate) fn new(file: Arc<dyn File>, from: u64) -> Self {
        Self { file, block: Vec::new(), start: from }
    }

    /// The piece in front of the last one, and where it begins. After [`Piece::Rest`] and
    /// [`Piece::TooLong`] there is nothing to be had.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Piece)>> {
        loop {
            let (body, ended) = match self.block.split_last() {
                None if self.start == 0 => return Ok(None),
                None => (&[][..], false),
                Some((b'\n', body)) => (body, true),
                Some(_) => return Ok(Some((self.start, Piece::Rest))),
            };
            let begin = body.iter().rposition(|it| *it == b'\n').map(|it| it + 1);
            let begin = begin.or((ended && self.start == 0).then_some(0));
            let at = self.start + begin.unwrap_or(0) as u64;
            let line = body.get(begin.unwrap_or(0)..).unwrap_or_default();
            if line.len() >= LINE_LEN_MAX {
                return Ok(Some((at, Piece::TooLong)));
            }
            if let Some(begin) = begin {
                let line = line.to_vec();
                self.block.truncate(begin);
                return Ok(Some((at, Piece::Line(line))));
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let len = usize::try_from(self.start).unwrap_or(usize::MAX).min(BLOCK_LEN);
        let from = self.start - len as u64;
        let mut block = vec![0; len];
        if self.file.read_at(&mut block, from)? < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        block.append(&mut self.block);
        self.block = block;
        self.start = from;
        Ok(())
    }
}

/// The number of the line at `offset`, from 1.
pub(crate) fn number_of(file: &dyn File, offset: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK_LEN];
    let (mut at, mut count) = (0, 1);
    while at < offset {
        let want = usize::try_from(offset - at).unwrap_or(usize::MAX).min(BLOCK_LEN);
        let read = file.read_at(block.get_mut(..want).unwrap_or_default(), at)?;
        if read == 0 {
            break;
        }
        let seen = block.get(..read).unwrap_or_default();
        count += seen.split(|it| *it == b'\n').skip(1).count() as u64;
        at += read as u64;
    }
    Ok(count)
}

/// Whether `[from, end)` has a line feed, and whether it has a zero byte.
pub(crate) fn feed_and_zero(file: &dyn File, from: u64, end: u64) -> io::Result<(bool, bool)> {
    let mut block = vec![0; BLOCK_LEN];
    let (mut at, mut feed, mut zero) = (from, false, false);
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(BLOCK_LEN);
        let read = file.read_at(block.get_mut(..want).unwrap_or_default(), at)?;
        if read == 0 {
            break;
        }
        let seen = block.get(..read).unwrap_or_default();
        feed |= seen.contains(&b'\n');
        zero |= seen.contains(&0);
        at += read as u64;
    }
    Ok((feed, zero))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use vfs::{MemVfs, OpenMode, Vfs as _, write_all_at};

    use super::*;

    fn file(bytes: &[u8]) -> Arc<dyn File> {
        let file = MemVfs::default().open(Path::new("/x"), OpenMode::Create).unwrap();
        write_all_at(&*file, bytes, 0).unwrap();
        file
    }

    fn forwards(bytes: &[u8]) -> Vec<(u64, Piece)> {
        let mut lines = Lines::new(file(bytes), 0, bytes.len() as u64);
        std::iter::from_fn(|| lines.next().unwrap()).take(bytes.len() + 1).collect()
    }

    fn backwards(bytes: &[u8]) -> Vec<(u64, Piece)> {
        let mut lines = Backwards::new(file(bytes), bytes.len() as u64);
        let mut found: Vec<_> =
            std::iter::from_fn(|| lines.next().unwrap()).take(bytes.len() + 1).collect();
        found.reverse();
        found
    }

    proptest! {
        #[test]
        fn both_ways_give_the_lines_of_the_text(
            lens in prop::collection::vec(prop_oneof![0_usize..40, 0_usize..LINE_LEN_MAX], 0..12)
        ) {
            let text: Vec<u8> =
                lens.iter().flat_map(|len| [vec![b'x'; *len], vec![b'\n']].concat()).collect();
            let mut at = 0;
            let want: Vec<_> = lens
                .iter()
                .map(|len| {
                    let begin = at;
                    at += *len as u64 + 1;
                    (begin, Piece::Line(vec![b'x'; *len]))
                })
                .collect();
            prop_assert_eq!(&forwards(&text), &want);
            prop_assert_eq!(&backwards(&text), &want);
        }
    }

    #[test]
    fn what_is_no_line_is_named_and_not_held_in_memory() {
        let mut lines = Lines::new(file(b"a\nbc"), 0, 4);
        assert_eq!(lines.next().unwrap(), Some((0, Piece::Line(b"a".to_vec()))));
        assert_eq!(lines.next().unwrap(), Some((2, Piece::Rest)));
        let mut lines = Backwards::new(file(b"a\nbc"), 4);
        assert_eq!(lines.next().unwrap().unwrap().1, Piece::Rest);

        let long = vec![b'x'; 1 << 20];
        let mut lines = Lines::new(file(&long), 0, 1 << 20);
        assert_eq!(lines.next().unwrap(), Some((0, Piece::TooLong)));
        assert!(lines.block.len() < 4 * BLOCK_LEN);
        let ended = [&long[..], b"\n"].concat();
        let mut lines = Backwards::new(file(&ended), ended.len() as u64);
        assert_eq!(lines.next().unwrap().unwrap().1, Piece::TooLong);
        assert!(lines.block.len() < 4 * BLOCK_LEN);
    }

    #[test]
    fn a_place_has_the_number_of_its_line() {
        let file = file(b"a\nbc\nd");
        for (offset, want) in [(0, 1), (2, 2), (5, 3), (99, 3)] {
            assert_eq!(number_of(&*file, offset).unwrap(), want);
        }
    }
}
