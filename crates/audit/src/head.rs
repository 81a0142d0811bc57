//! The small file that says how far the trail goes.
//!
//! # Layout
//!
//! Two slots of [`SLOT_LEN`] bytes, written in turn and in place. A slot is one line, filled up with
//! spaces: `autonomy-audit-head 1 <seq> <hash> <first> <end> <oldest> <newest> <check>`. `seq` and `hash`
//! are those of the last record, `first` is the number with which its segment begins, `end` the length
//! of that segment, `oldest` and `newest` the times in it in nanoseconds since 1970 (`-` for none). The
//! slot with the larger `seq`, then `first`, counts.
//!
//! # Invariants
//!
//! * **H1** The head is never ahead of the disk: it is written after the records that it names were
//!   synced, and it names a segment after the name of that segment was synced.
//! * **H2** The head is written before an append is answered. A killed process thus leaves a head that
//!   names every answered record. It is not synced each time: after a power loss it may be behind, by
//!   what was appended since the kernel wrote it back. Opening, sealing and pruning sync it.
//! * **H3** A write changes one slot inside one sector, so that the other slot stays readable whatever
//!   becomes of it.

use std::{io, sync::Arc};

use jiff::Timestamp;
use vfs::{File, write_all_at};

use crate::{hash::Hash, own::Span};

/// Bytes of a slot.
pub(crate) const SLOT_LEN: usize = 256;
/// Bytes of the file.
pub(crate) const HEAD_LEN: usize = 2 * SLOT_LEN;

/// What a slot begins with: what it is, and the version of the format.
const MAGIC: &str = "autonomy-audit-head";
/// The version that this crate reads and writes.
const VERSION: &str = "1";
/// What is hashed in front of a slot.
const CHECK_DOMAIN: &[u8] = b"autonomy audit head v1\0";
/// Digits of the check.
const CHECK_DIGITS: usize = 16;

const _: () = assert!(HEAD_LEN <= vfs::SECTOR_LEN, "a slot lies in one sector");

/// A record, as far as its successor depends on it. Number 0 stands before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
}

impl Link {
    pub(crate) fn genesis() -> Self {
        Self { seq: 0, hash: Hash::genesis() }
    }
}

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The last record.
    pub(crate) at: Link,
    /// The number with which the open segment begins.
    pub(crate) first: u64,
    /// The length of the open segment, in bytes.
    pub(crate) end: u64,
    /// The times in the open segment.
    pub(crate) span: Option<Span>,
}

impl Head {
    /// The head of a trail without records.
    pub(crate) fn genesis() -> Self {
        Self::beginning(Link::genesis())
    }

    /// The head of an empty segment behind `at`.
    pub(crate) fn beginning(at: Link) -> Self {
        Self { at, first: at.seq.saturating_add(1), end: 0, span: None }
    }

    fn order(&self) -> (u64, u64, u64) {
        (self.at.seq, self.first, self.end)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let time = |pick: fn(Span) -> Timestamp| {
            self.span.map_or("-".to_owned(), |it| pick(it).as_nanosecond().to_string())
        };
        let (oldest, newest) = (time(|it| it.oldest), time(|it| it.newest));
        let Link { seq, hash } = self.at;
        let (hash, first, end) = (hash.to_hex(), self.first, self.end);
        let text = format!("{MAGIC} {VERSION} {seq} {hash} {first} {end} {oldest} {newest}");
        let line = format!("{text} {}", check(&text));
        format!("{line:<width$}\n", width = SLOT_LEN - 1).into_bytes()
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(slot).ok()?;
        let mut words = text.split_whitespace().skip(2);
        let seq = words.next()?.parse().ok()?;
        let hash = Hash::from_hex(words.next()?)?;
        let first = words.next()?.parse().ok()?;
        let end = words.next()?.parse().ok()?;
        let mut time = || match words.next()? {
            "-" => Some(None),
            it => Timestamp::from_nanosecond(it.parse().ok()?).ok().map(Some),
        };
        let span = match (time()?, time()?) {
            (Some(oldest), Some(newest)) => Some(Span { oldest, newest }),
            (None, None) => None,
            _ => return None,
        };
        let head = Self { at: Link { seq, hash }, first, end, span };
        // Every byte counts, the check among them.
        (head.encode() == slot).then_some(head)
    }
}

fn check(text: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(CHECK_DOMAIN).update(text.as_bytes());
    hasher.finalize().to_hex().chars().take(CHECK_DIGITS).collect()
}

/// What the file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slots {
    /// The slot that counts, and which one it is.
    pub(crate) newest: Option<(Head, usize)>,
    /// The other one.
    pub(crate) other: Option<Head>,
    /// The first byte that is not what a writer leaves, and how many there may be.
    pub(crate) damaged: Option<(u64, u64)>,
    /// A slot is of a version that this crate does not know.
    pub(crate) newer: bool,
}

impl Slots {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let len = bytes.len();
        if len != HEAD_LEN {
            found.damaged = Some((len.min(HEAD_LEN) as u64, len.abs_diff(HEAD_LEN) as u64));
        }
        for (index, slot) in bytes.chunks(SLOT_LEN).take(2).enumerate() {
            let Some(head) = Head::decode(slot) else {
                found.newer |= is_newer(slot);
                found.damaged = Some(((index * SLOT_LEN) as u64, slot.len() as u64));
                continue;
            };
            match found.newest {
                Some((best, _)) if head.order() <= best.order() => found.other = Some(head),
                best => {
                    found.other = best.map(|it| it.0);
                    found.newest = Some((head, index));
                }
            }
        }
        found
    }
}

/// Whether a slot has a version, and it is another one.
fn is_newer(slot: &[u8]) -> bool {
    let text = String::from_utf8_lossy(slot);
    let mut words = text.split_whitespace();
    words.next() == Some(MAGIC)
        && words.next().is_some_and(|it| it != VERSION && it.bytes().all(|it| it.is_ascii_digit()))
}

/// Reads the file; a little more than it may have, to see that it has not.
pub(crate) fn load(file: &dyn File) -> io::Result<Slots> {
    let mut bytes = [0; HEAD_LEN + 1];
    let read = file.read_at(&mut bytes, 0)?;
    Ok(Slots::parse(bytes.get(..read).unwrap_or_default()))
}

/// Writes both slots of a new trail, durably.
pub(crate) fn begin(file: &Arc<dyn File>) -> io::Result<()> {
    let slot = Head::genesis().encode();
    file.set_len(0)?;
    write_all_at(&**file, &[slot.clone(), slot].concat(), 0)?;
    file.sync_data()
}

/// Writes the slot that does not count (H3), and mends the length. Not synced (H2).
pub(crate) fn store(file: &dyn File, found: &Slots, head: &Head) -> io::Result<Slots> {
    let index = found.newest.map_or(0, |it| 1 - it.1);
    write_all_at(file, &head.encode(), (index * SLOT_LEN) as u64)?;
    if found.damaged.is_some() {
        file.set_len(HEAD_LEN as u64)?;
    }
    let other = found.newest.map(|it| it.0);
    // Whoever found damage has still to put it on record.
    Ok(Slots { newest: Some((*head, index)), other, ..*found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(seq: u64) -> Head {
        let time = Timestamp::from_second(1_767_323_045).unwrap();
        let span = Some(Span { oldest: Timestamp::MIN, newest: time });
        let at = Link { seq, hash: Hash::genesis().link(b"x") };
        Head { at, first: 7, end: 1234, span }
    }

    #[test]
    fn the_largest_head_fits_its_slot_and_comes_back() {
        let span = Some(Span { oldest: Timestamp::MIN, newest: Timestamp::MAX });
        let at = Link { seq: u64::MAX, hash: Hash::genesis() };
        let largest = Head { at, first: u64::MAX, end: u64::MAX, span };
        for head in [Head::genesis(), head(9), largest] {
            let slot = head.encode();
            assert_eq!(slot.len(), SLOT_LEN);
            assert_eq!(Head::decode(&slot), Some(head));
        }
    }

    #[test]
    fn a_change_of_any_bit_leaves_one_slot_and_is_noticed() {
        let (older, newer) = (head(8), head(9));
        let whole = [newer.encode(), older.encode()].concat();
        let found = Slots::parse(&whole);
        assert_eq!(found.newest, Some((newer, 0)));
        assert_eq!((found.other, found.damaged, found.newer), (Some(older), None, false));
        for bit in 0..8 * whole.len() {
            let mut hit = whole.clone();
            hit[bit / 8] ^= 1 << (bit % 8);
            let found = Slots::parse(&hit);
            let is_first = bit < 8 * SLOT_LEN;
            let left = if is_first { (older, 1) } else { (newer, 0) };
            assert_eq!(found.newest, Some(left), "{bit}");
            let at = if is_first { 0 } else { SLOT_LEN as u64 };
            assert_eq!(found.damaged, Some((at, SLOT_LEN as u64)), "{bit}");
        }
        for len in 0..whole.len() {
            assert!(Slots::parse(&whole[..len]).damaged.is_some(), "{len}");
        }
        assert!(Slots::parse(&[whole, vec![b' ']].concat()).damaged.is_some());
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let text = String::from_utf8(head(1).encode()).unwrap();
        let newer = text.replace("head 1 ", "head 2 ");
        assert!(Slots::parse(newer.as_bytes()).newer);
        assert!(!Slots::parse(text.replace("head 1 ", "head x ").as_bytes()).newer);
    }
}
