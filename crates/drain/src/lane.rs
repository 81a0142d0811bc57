//! A first-in-first-out list of entries that takes a few bytes for each.
//!
//! The first entry stands as it is; each later one as four LEB128 varints relative to the one
//! before it:
//!
//! | field     | encoding                     | usual size |
//! |-----------|------------------------------|-----------:|
//! | `seq`     | difference                   |     1 byte |
//! | `offset`  | difference, wrapping         |    2 bytes |
//! | `len`     | itself                       |    2 bytes |
//! | `written` | difference, wrapping, zigzag |     1 byte |
//!
//! The bytes stand in chunks that are freed as they are read, so a long backlog shrinks while it is
//! delivered and never has to move.
//!
//! * **L1** Entries come out as they went in, in the same order.
//! * **L2** An entry never takes more than [`ENTRY_LEN_MAX`] bytes.

use std::collections::VecDeque;

use wal_format::Seq;

/// Capacity of one chunk.
const CHUNK_LEN: usize = 64 << 10;
/// Four varints of 64 bits.
const ENTRY_LEN_MAX: usize = 4 * 10;

/// What a lane remembers of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) seq: Seq,
    pub(crate) offset: u64,
    pub(crate) len: u32,
    /// Seconds since the Unix epoch.
    pub(crate) written: i64,
}

/// The list.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    head: Option<Slot>,
    tail: Option<Slot>,
    chunks: VecDeque<Vec<u8>>,
    read: usize,
    len: u64,
}

impl Lane {
    /// Returns how many entries there are.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Returns the first entry.
    pub(crate) const fn head(&self) -> Option<Slot> {
        self.head
    }

    /// Returns the bytes that the entries take.
    #[cfg(test)]
    fn memory(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum()
    }

    /// Adds an entry behind the others. Its number must be larger than theirs.
    pub(crate) fn push(&mut self, slot: Slot) {
        match self.tail.filter(|_| self.head.is_some()) {
            None => self.head = Some(slot),
            Some(tail) => self.write(tail, slot),
        }
        self.tail = Some(slot);
        self.len += 1;
    }

    /// Returns the entries from the first, without taking them.
    pub(crate) fn walk(&self) -> Walk<'_> {
        Walk { lane: self, head: self.head, left: self.len, chunk: 0, read: self.read }
    }

    /// Takes the first entry.
    pub(crate) fn pop(&mut self) -> Option<Slot> {
        let head = self.head?;
        self.len -= 1;
        self.head = if self.len == 0 { None } else { self.read(head) };
        debug_assert!(self.head.is_some() == (self.len > 0), "L1");
        Some(head)
    }

    fn write(&mut self, before: Slot, slot: Slot) {
        let fits = |it: &Vec<u8>| it.len() + ENTRY_LEN_MAX <= CHUNK_LEN;
        if !self.chunks.back().is_some_and(fits) {
            self.chunks.push_back(Vec::with_capacity(CHUNK_LEN));
        }
        if let Some(chunk) = self.chunks.back_mut() {
            write_varint(slot.seq.get().wrapping_sub(before.seq.get()), chunk);
            write_varint(slot.offset.wrapping_sub(before.offset), chunk);
            write_varint(u64::from(slot.len), chunk);
            write_varint(zigzag(slot.written.wrapping_sub(before.written)), chunk);
        }
    }

    fn read(&mut self, before: Slot) -> Option<Slot> {
        if self.chunks.front().is_some_and(|it| self.read >= it.len()) {
            self.chunks.pop_front();
            self.read = 0;
        }
        read_slot(before, self.chunks.front()?, &mut self.read)
    }
}

/// Entries of a lane that are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Walk<'a> {
    lane: &'a Lane,
    head: Option<Slot>,
    left: u64,
    chunk: usize,
    read: usize,
}

impl Walk<'_> {
    /// Returns the entry that comes next.
    pub(crate) const fn head(&self) -> Option<Slot> {
        self.head
    }

    /// Goes on to the entry behind it.
    pub(crate) fn advance(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.head = self.head.filter(|_| self.left > 0).and_then(|it| self.read(it));
    }

    fn read(&mut self, before: Slot) -> Option<Slot> {
        if self.lane.chunks.get(self.chunk).is_some_and(|it| self.read >= it.len()) {
            self.chunk += 1;
            self.read = 0;
        }
        read_slot(before, self.lane.chunks.get(self.chunk)?, &mut self.read)
    }
}

/// Reads the entry behind another at a place in a chunk, and moves the place.
fn read_slot(before: Slot, chunk: &[u8], at: &mut usize) -> Option<Slot> {
    let mut rest = chunk.get(*at..)?;
    let slot = Slot {
        seq: Seq::new(before.seq.get().wrapping_add(read_varint(&mut rest)?))?,
        offset: before.offset.wrapping_add(read_varint(&mut rest)?),
        len: u32::try_from(read_varint(&mut rest)?).ok()?,
        written: before.written.wrapping_add(unzigzag(read_varint(&mut rest)?)),
    };
    *at = chunk.len() - rest.len();
    Some(slot)
}

fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Small numbers of either sign become small numbers.
const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slot() -> impl Strategy<Value = Slot> {
        (1..u64::MAX, any::<u64>(), any::<u32>(), any::<i64>()).prop_map(
            |(seq, offset, len, written)| Slot {
                seq: Seq::new(seq).unwrap(),
                offset,
                len,
                written,
            },
        )
    }

    proptest! {
        /// L1, against a queue of the standard library.
        #[test]
        fn entries_come_out_as_they_went_in(
            steps in prop::collection::vec((any::<bool>(), slot()), 0..200)
        ) {
            let (mut lane, mut model) = (Lane::default(), VecDeque::new());
            for (push, slot) in steps {
                if push {
                    lane.push(slot);
                    model.push_back(slot);
                } else {
                    prop_assert_eq!(lane.pop(), model.pop_front());
                }
                prop_assert_eq!(lane.head(), model.front().copied());
                prop_assert_eq!(lane.len(), model.len() as u64);
                let mut seen = lane.walk();
                for slot in &model {
                    prop_assert_eq!(seen.head(), Some(*slot));
                    seen.advance();
                }
                prop_assert_eq!(seen.head(), None);
            }
        }
    }

    /// The backlog of a week offline: 5 million entries within 64 MiB.
    #[test]
    fn five_million_entries_take_less_than_64_mib() {
        let mut lane = Lane::default();
        let at = |n: u64| Slot {
            seq: Seq::new(3 * n + 1).unwrap(),
            offset: 1_000 * n,
            len: 300 + u32::try_from(n % 500).unwrap(),
            written: 1_767_323_045 + i64::try_from(n / 8).unwrap(),
        };
        (0..5_000_000).for_each(|n| lane.push(at(n)));
        let mut seen = lane.walk();
        for n in 0..50_000 {
            assert_eq!(seen.head(), Some(at(n)), "across chunks");
            seen.advance();
        }
        assert!(lane.memory() <= 40 << 20, "{} bytes", lane.memory());
        for n in 0..5_000_000 {
            assert_eq!(lane.pop(), Some(at(n)));
        }
        assert_eq!(lane.pop(), None);
        assert!(lane.memory() <= 2 * CHUNK_LEN, "{} bytes", lane.memory());
    }
}
