//! The backlog: what waits to be delivered, by class.
//!
//! # Which entry goes next
//!
//! The heads of the four classes are compared; the lowest rank goes first, and within a rank:
//!
//! | rank | the head …                                                | within the rank |
//! |-----:|-----------------------------------------------------------|-----------------|
//! |    0 | has waited in this queue for longer than `max_age`        | oldest first    |
//! |    1 | was written longer ago than `max_age`                     | by class        |
//! |    2 | is younger, or there is no `max_age`                      | by class        |
//!
//! Rank 1 puts an old lifecycle entry before fresh errors, and still sends the backlog of a long
//! outage, where everything is old, in the order of the classes. Rank 0 is what keeps a class that
//! never runs dry from starving the others: after `max_age` of running, whatever still waits goes
//! in the order of its age.
//!
//! # Invariants
//!
//! * **Q1** Within a class, entries leave in the order of the log.
//! * **Q2** What was pushed and not taken is counted and waits; nothing is left out.
//! * **Q3** The memory is a few bytes an entry (see `lane`).

use std::time::Duration;

use jiff::Timestamp;
use wal_format::Seq;

use crate::{
    Class, PerClass,
    lane::{Lane, Slot, Walk},
};

/// Seconds between two batches that count as running; what is beyond them is an outage. More than all
/// attempts of a batch take by default, with the waits that a busy collector asks for.
const GAP_MAX: i64 = 10 * 60;

/// An entry of the log, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef {
    /// Number in the log.
    pub seq: Seq,
    /// Place in the file, as it was given to the index.
    pub offset: u64,
    /// Length of the payload in bytes.
    pub len: u32,
    /// How urgent it is.
    pub class: Class,
}

/// Bounds of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) entries: usize,
    /// Bytes of payload; one entry is taken even when it is larger.
    pub(crate) bytes: u64,
    pub(crate) max_age: Option<Duration>,
}

/// When batches left, in seconds since the epoch.
#[derive(Clone, Copy, Debug)]
struct Served {
    /// The first, later by as much as there were outages since.
    since: i64,
    /// The last.
    last: i64,
}

/// The backlog.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    lanes: PerClass<Lane>,
    served: Option<Served>,
}

impl Queue {
    pub(crate) fn push(&mut self, class: Class, slot: Slot) {
        self.lanes.get_mut(class).push(slot);
    }

    /// Returns how many entries wait, by class.
    pub(crate) fn counts(&self) -> PerClass<u64> {
        let mut counts = PerClass::default();
        for class in Class::ALL {
            *counts.get_mut(class) = self.lanes.get(class).len();
        }
        counts
    }

    /// Returns the lowest number that waits.
    pub(crate) fn first_pending(&self) -> Option<Seq> {
        Class::ALL.iter().filter_map(|it| self.lanes.get(*it).head()).map(|it| it.seq).min()
    }

    /// Takes the next batch; empty only when nothing waits.
    pub(crate) fn take(&mut self, bounds: Bounds, now: Timestamp) -> Vec<EntryRef> {
        let taken = self.look(bounds, 1, now).pop().unwrap_or_default();
        for entry in &taken {
            self.lanes.get_mut(entry.class).pop();
        }
        let now = now.as_second();
        self.served = Some(Served { since: self.served_since(now), last: now });
        taken
    }

    /// Returns the batches that [`Self::take`] would take one after the other, `count` of them at most, and
    /// leaves them where they are. None is empty.
    pub(crate) fn look(&self, bounds: Bounds, count: usize, now: Timestamp) -> Vec<Vec<EntryRef>> {
        let now = now.as_second();
        let since = self.served_since(now);
        let mut heads = Class::ALL.map(|it| (it, self.lanes.get(it).walk()));
        let batches = (0..count).map(|_| batch(&mut heads, bounds, now, since));
        batches.take_while(|it| !it.is_empty()).collect()
    }

    /// Returns since when the queue is served, outages left out, if a batch leaves now.
    fn served_since(&self, now: i64) -> i64 {
        let before = self.served.unwrap_or(Served { since: now, last: now });
        let outage = now.saturating_sub(before.last).saturating_sub(GAP_MAX).max(0);
        before.since.saturating_add(outage)
    }
}

/// Walks over the entries of the next batch.
fn batch(heads: &mut [(Class, Walk<'_>)], bounds: Bounds, now: i64, since: i64) -> Vec<EntryRef> {
    let mut found = Vec::new();
    let mut bytes = 0_u64;
    while found.len() < bounds.entries.max(1)
        && let Some((class, head, lane)) = next(heads, bounds.max_age, now, since)
    {
        bytes = bytes.saturating_add(u64::from(head.len));
        if bytes > bounds.bytes && !found.is_empty() {
            break;
        }
        lane.advance();
        found.push(EntryRef { seq: head.seq, offset: head.offset, len: head.len, class });
    }
    found
}

/// Picks the class whose head goes next.
fn next<'a, 'b>(
    heads: &'a mut [(Class, Walk<'b>)],
    max_age: Option<Duration>,
    now: i64,
    since: i64,
) -> Option<(Class, Slot, &'a mut Walk<'b>)> {
    let heads = heads.iter_mut().filter_map(|(class, lane)| Some((*class, lane.head()?, lane)));
    heads.min_by_key(|(class, head, _)| {
        let rank = rank(head.written, max_age, now, since);
        let age = if rank == 0 { head.written } else { 0 };
        (rank, age, *class)
    })
}

/// The table of the module.
fn rank(written: i64, max_age: Option<Duration>, now: i64, since: i64) -> u8 {
    let Some(max_age) = max_age else { return 2 };
    let max_age = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
    let waited = now.saturating_sub(written.max(since));
    let age = now.saturating_sub(written);
    match (waited > max_age, age > max_age) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const ALL: Bounds = Bounds { entries: usize::MAX, bytes: u64::MAX, max_age: None };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Pushes entries `(class, written)` with numbers from 1.
    fn queue(entries: &[(Class, i64)]) -> Queue {
        let mut queue = Queue::default();
        for (n, (class, written)) in (1..).zip(entries) {
            let slot = Slot { seq: Seq::new(n).unwrap(), offset: n, len: 10, written: *written };
            queue.push(*class, slot);
        }
        queue
    }

    fn seqs(taken: &[EntryRef]) -> Vec<u64> {
        taken.iter().map(|it| it.seq.get()).collect()
    }

    use Class::{Action, Decision, Error, Lifecycle};

    #[test]
    fn the_whole_backlog_leaves_by_class_and_then_by_number() {
        let mut queue =
            queue(&[(Lifecycle, 0), (Action, 0), (Error, 0), (Decision, 0), (Error, 0)]);
        assert_eq!(queue.first_pending(), Seq::new(1));
        assert_eq!(seqs(&queue.take(Bounds { entries: 3, ..ALL }, at(9))), [3, 5, 4]);
        assert_eq!(queue.first_pending(), Seq::new(1));
        assert_eq!(seqs(&queue.take(ALL, at(9))), [2, 1]);
        assert_eq!(queue.take(ALL, at(9)), []);
        assert_eq!(queue.first_pending(), None);
    }

    #[test]
    fn a_batch_ends_before_it_is_too_large_and_is_never_empty() {
        let mut queue = queue(&[(Error, 0); 6]);
        assert_eq!(seqs(&queue.take(Bounds { bytes: 29, ..ALL }, at(9))), [1, 2]);
        assert_eq!(seqs(&queue.take(Bounds { bytes: 30, ..ALL }, at(9))), [3, 4, 5]);
        assert_eq!(seqs(&queue.take(Bounds { bytes: 1, entries: 0, ..ALL }, at(9))), [6]);
    }

    #[test]
    fn an_old_entry_goes_before_fresh_ones_of_higher_classes() {
        let bounds = Bounds { max_age: Some(HOUR), ..ALL };
        let mut backlog = queue(&[(Lifecycle, 0), (Lifecycle, 3000), (Error, 3500), (Action, 10)]);
        assert_eq!(seqs(&backlog.take(bounds, at(3700))), [4, 1, 3, 2]);
        // Without a limit on the age the class alone counts.
        let mut backlog = queue(&[(Lifecycle, 0), (Error, 3500)]);
        assert_eq!(seqs(&backlog.take(ALL, at(3700))), [2, 1]);
    }

    #[test]
    fn the_backlog_of_a_long_outage_still_leaves_by_class() {
        let bounds = Bounds { max_age: Some(HOUR), ..ALL };
        let mut backlog = queue(&[(Lifecycle, 0), (Decision, 1), (Error, 2), (Decision, 3)]);
        assert_eq!(seqs(&backlog.take(bounds, at(1_000_000))), [3, 2, 4, 1]);
    }

    /// A collector too slow for the errors alone: two more come for each one that is sent.
    #[track_caller]
    fn check_served(errors_at_the_start: u64, start: i64, served_after: i64) {
        let bounds = Bounds { entries: 1, max_age: Some(HOUR), ..ALL };
        let mut backlog = queue(&[(Lifecycle, -1)]);
        let push = |backlog: &mut Queue, written| {
            let seq = backlog.counts().total() + 2;
            let seq = Seq::new(seq).unwrap();
            backlog.push(Error, Slot { seq, offset: 0, len: 1, written });
        };
        (0..errors_at_the_start).for_each(|_| push(&mut backlog, 0));
        for now in (start..start + 20_000).step_by(10) {
            (0..2).for_each(|_| push(&mut backlog, now));
            if backlog.take(bounds, at(now))[0].class == Lifecycle {
                assert_eq!(now - start, served_after);
                return;
            }
        }
        panic!("the lifecycle entry is never served");
    }

    #[test]
    fn a_class_that_never_runs_dry_does_not_starve_the_others() {
        check_served(0, 0, 3_600);
        // Where everything is old already, the hour counts from the first batch.
        check_served(10_000, 1_000_000, 3_610);
    }

    #[test]
    fn what_piled_up_while_nothing_could_be_sent_leaves_by_class() {
        let bounds = Bounds { entries: 1, max_age: Some(HOUR), ..ALL };
        let back = 3 * 86_400;
        let mut backlog = queue(&[&[(Lifecycle, 0)][..], &[(Error, 100); 20]].concat());
        assert_eq!(seqs(&backlog.take(bounds, at(200))), [2]);
        // Ten minutes of the outage count, and the time since: an hour only behind the last of these.
        for (seq, passed) in (3..).zip((0..=3_000).step_by(500)) {
            assert_eq!(seqs(&backlog.take(bounds, at(back + passed))), [seq], "{passed}");
        }
        assert_eq!(seqs(&backlog.take(bounds, at(back + 3_001))), [1]);
    }

    proptest! {
        /// Q1 and Q2: whatever the ages, each class keeps its order and nothing is left out.
        #[test]
        fn each_class_keeps_the_order_of_the_log(
            entries in prop::collection::vec((0..4_usize, 0..10_000_i64), 0..60),
            batch in 1..7_usize,
            max_age in prop::option::of(0..5_000_u64),
            now in 0..20_000_i64,
        ) {
            let entries: Vec<_> = entries.iter().map(|it| (Class::ALL[it.0], it.1)).collect();
            let mut queue = queue(&entries);
            let bounds = Bounds { entries: batch, max_age: max_age.map(Duration::from_secs), ..ALL };
            let mut taken = Vec::new();
            loop {
                let mut seen = queue.look(bounds, 2, at(now)).into_iter();
                let more = queue.take(bounds, at(now));
                prop_assert_eq!(seen.next().unwrap_or_default(), more.clone(), "what is seen is what is taken");
                let behind = queue.look(bounds, 1, at(now)).pop();
                prop_assert_eq!(seen.next(), behind, "and then what is seen behind it");
                if more.is_empty() {
                    break;
                }
                taken.extend(more);
                let waiting = entries.len() - taken.len();
                prop_assert_eq!(queue.counts().total(), waiting as u64);
            }
            for class in Class::ALL {
                let of = |it: &&EntryRef| it.class == class;
                prop_assert!(taken.iter().filter(of).map(|it| it.seq).is_sorted());
            }
            taken.sort_by_key(|it| it.seq);
            let want: Vec<_> = (1..=entries.len() as u64).collect();
            prop_assert_eq!(seqs(&taken), want);
        }
    }
}
