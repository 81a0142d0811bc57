//! The batch in flight: entries that left the queue and are not settled yet.
//!
//! A batch is sent whole, or in parts when the collector refuses some of it: the parts are a stack
//! of lengths, and the part on top is sent next.
//!
//! ```text
//!  settled   part on top        below it
//! ├───────┼─────────────────┼──────────┼───────┤
//! 0     done         done + top                 entries
//! ```
//!
//! * **B1** Parts are settled from left to right, so that within a class entries are settled in the
//!   order of the log and a cursor never steps over one that waits.
//! * **B2** The parts together are what is not settled.

use std::{mem, ops::Range};

use bytes::Bytes;
use otlp::Encoder;
use wal_format::Seq;

use crate::{EntryRef, PerClass, Prepared};

/// The batch.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Counts the batches, from 1.
    pub(crate) number: u64,
    entries: Vec<EntryRef>,
    /// All entries, encoded; `None` until they are read.
    records: Option<Encoder>,
    payloads: Vec<Vec<u8>>,
    /// The request with everything, until it is sent.
    whole: Bytes,
    done: usize,
    parts: Vec<usize>,
    /// Entries of this batch that the collector refused for good.
    pub(crate) refused: u64,
}

impl Batch {
    /// Makes a batch of one part whose records are not there yet.
    pub(crate) fn new(number: u64, entries: Vec<EntryRef>) -> Self {
        let parts = vec![entries.len()];
        Self { number, entries, parts, ..Self::default() }
    }

    /// Returns whether everything is settled.
    pub(crate) fn is_settled(&self) -> bool {
        self.done == self.entries.len()
    }

    /// Returns whether the entries have been read.
    pub(crate) fn is_loaded(&self) -> bool {
        self.records.is_some()
    }

    /// Returns how many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns all entries.
    pub(crate) fn entries(&self) -> &[EntryRef] {
        &self.entries
    }

    /// Takes the records and the payloads of all entries, in their order. A payload is kept for the
    /// letter about it, should it be refused.
    pub(crate) fn load(&mut self, prepared: Prepared) {
        self.records = Some(prepared.records);
        self.payloads = prepared.payloads;
        self.whole = prepared.whole;
    }

    /// Returns the entries of the part that is sent next.
    pub(crate) fn part(&self) -> &[EntryRef] {
        self.entries.get(self.range()).unwrap_or_default()
    }

    /// Returns the request with the part that is sent next.
    pub(crate) fn part_body(&mut self) -> Bytes {
        // Whatever it is, it is not needed a second time but after a stop.
        let whole = mem::take(&mut self.whole);
        if self.range() == (0..self.entries.len()) && !whole.is_empty() {
            return whole;
        }
        self.records.as_ref().map_or_else(Bytes::new, |it| it.request(self.range()).into())
    }

    /// Returns the payloads of the part that is sent next.
    pub(crate) fn part_payloads(&self) -> &[Vec<u8>] {
        self.payloads.get(self.range()).unwrap_or_default()
    }

    /// Splits the part that is sent next; `false` when it is a single entry.
    pub(crate) fn split(&mut self) -> bool {
        match self.parts.pop() {
            Some(len) if len > 1 => {
                self.parts.push(len / 2);
                self.parts.push(len - len / 2);
                true
            }
            part => {
                self.parts.extend(part);
                false
            }
        }
    }

    /// Counts the part on top as settled (B1) and returns what it held, by class.
    pub(crate) fn settle(&mut self, refused: bool) -> PerClass<u64> {
        let counts = count(self.part());
        self.done += self.parts.pop().unwrap_or(0);
        if refused {
            self.refused += counts.total();
        }
        counts
    }

    /// Returns how many entries are not settled, by class.
    pub(crate) fn pending(&self) -> PerClass<u64> {
        count(self.entries.get(self.done..).unwrap_or_default())
    }

    /// Returns the lowest number that stays unsettled once the part on top is settled.
    pub(crate) fn first_pending_after_part(&self) -> Option<Seq> {
        self.entries.get(self.range().end..)?.iter().map(|it| it.seq).min()
    }

    /// Returns the lowest number that is not settled.
    pub(crate) fn first_pending(&self) -> Option<Seq> {
        self.entries.get(self.done..)?.iter().map(|it| it.seq).min()
    }

    /// Returns the places of the part that is sent next among all entries.
    pub(crate) fn range(&self) -> Range<usize> {
        self.done..self.done + self.parts.last().copied().unwrap_or(0)
    }
}

fn count(entries: &[EntryRef]) -> PerClass<u64> {
    let mut counts = PerClass::default();
    for entry in entries {
        *counts.get_mut(entry.class) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Class;

    fn batch(len: u64) -> Batch {
        let entry =
            |n| EntryRef { seq: Seq::new(n).unwrap(), offset: n, len: 1, class: Class::Error };
        Batch::new(1, (1..=len).map(entry).collect())
    }

    #[test]
    fn a_split_sends_the_left_half_first_and_stops_at_one() {
        let mut batch = batch(5);
        let parts = |it: &Batch| it.part().iter().map(|it| it.seq.get()).collect::<Vec<_>>();
        assert_eq!(parts(&batch), [1, 2, 3, 4, 5]);
        assert!(batch.split());
        assert_eq!(parts(&batch), [1, 2, 3]);
        assert_eq!(batch.first_pending_after_part(), Seq::new(4));
        assert!(batch.split());
        assert!(batch.split());
        assert_eq!(parts(&batch), [1]);
        assert!(!batch.split());
        assert_eq!(parts(&batch), [1]);
    }

    proptest! {
        /// B1 and B2: however it is split, the entries are settled once each, in their order.
        #[test]
        fn parts_are_settled_from_left_to_right(len in 1..40_u64, splits in prop::collection::vec(any::<bool>(), 0..200)) {
            let mut batch = batch(len);
            let mut settled = Vec::new();
            let mut splits = splits.into_iter();
            while !batch.is_settled() {
                if splits.next().unwrap_or(false) && batch.split() {
                    continue;
                }
                settled.extend(batch.part().iter().map(|it| it.seq.get()));
                batch.settle(false);
                prop_assert_eq!(batch.pending().total() + settled.len() as u64, len);
            }
            prop_assert_eq!(settled, (1..=len).collect::<Vec<_>>());
            prop_assert_eq!(batch.part(), &[]);
        }
    }
}
