//! Random logs, collectors and crashes, against what must be true whatever happens.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod rig;

use std::collections::VecDeque;

use drain::{Drain, Effect, EntryRef, Input, Prepared, Step};
use jiff::SignedDuration;
use proptest::prelude::*;
use rig::{Collector, Disk, Log, Mood};

/// Where a process ends: after so many effects, with the last one done or not.
#[derive(Clone, Copy, Debug)]
struct Crash {
    effects: usize,
    last_done: bool,
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        4 => Just(Mood::Good),
        1 => Just(Mood::AnswerLost),
        1 => Just(Mood::Refused),
        1 => Just(Mood::Reset),
        1 => Just(Mood::Page),
        1 => prop::sample::select(&[400, 401, 429, 500, 503, 504]).prop_map(Mood::Status),
    ]
}

/// What the files may say, given what the collector took.
fn check_disk(log: &Log, disk: &Disk, collector: &Collector) {
    let dead = disk.dead();
    assert!(dead.is_subset(&collector.poison), "only what is refused for good is given up");
    let settled = |n: &u64| collector.accepted.contains_key(n) || dead.contains(n);
    let through = disk.position();
    assert!((1..=through).all(|n| settled(&n)), "position {through} skips an entry");
    let progress = disk.progress();
    for n in 1..=log.len() {
        if progress.is_settled(rig::seq(n), log.class(n)) {
            assert!(settled(&n), "the cursors skip entry {n}");
        }
    }
}

/// Drives one process until it finishes or crashes; returns whether it finished.
fn process(
    log: &Log,
    disk: &mut Disk,
    collector: &mut Collector,
    moods: &mut impl Iterator<Item = Mood>,
    (batch, crash): (usize, Option<Crash>),
) -> bool {
    let mut drain = Drain::new(rig::config(batch), disk.progress());
    log.feed(&mut drain, 0);
    let mut input = Input::Indexed;
    let mut begun: VecDeque<(Vec<EntryRef>, Prepared)> = VecDeque::new();
    for count in 1..rig::STEPS_MAX {
        // Some positions are written inside a pass, and some are not.
        let now = rig::now() + SignedDuration::from_millis(300 * i64::try_from(count).unwrap());
        let Step { effect, .. } = drain.step(input, now);
        rig::check_accounts(&drain.report());
        let crashes = crash.filter(|it| it.effects == count);
        if crashes.is_some_and(|it| !it.last_done) {
            return false;
        }
        input = match effect {
            Effect::Finished(report) => {
                assert_eq!(report.pending.total(), 0);
                assert_eq!(report.position, log.len());
                return true;
            }
            Effect::Failed(..) => Input::Indexed,
            Effect::Read(entries) => {
                let front = begun.pop_front().filter(|it| it.0 == entries);
                if front.is_none() {
                    begun.clear();
                }
                front.map_or_else(
                    || Input::Read(log.read(&entries)),
                    |(_, prepared)| Input::Prepared(Box::new(prepared)),
                )
            }
            Effect::Send(request) => {
                let ahead = drain.ahead(2, now);
                let known = ahead.iter().zip(&begun).take_while(|(it, begun)| begun.0 == **it);
                begun.truncate(known.count());
                for batch in ahead.into_iter().skip(begun.len()) {
                    let prepared = drain.preparer().prepare(batch.clone(), log.read(&batch));
                    begun.push_back((batch, prepared));
                }
                let settled = disk.progress();
                for n in rig::numbers(&request) {
                    let again = settled.is_settled(rig::seq(n), log.class(n));
                    assert!(!again, "entry {n} is settled on disk and sent again");
                }
                collector.answer(&request, moods.next().unwrap_or(Mood::Good))
            }
            Effect::Wait(_) => Input::Waited,
            other => rig::write(other, disk),
        };
        check_disk(log, disk, collector);
        if crashes.is_some() {
            return false;
        }
    }
    panic!("the machine goes round in circles")
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000, max_shrink_iters: 2_000, ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_skipped_whatever_the_collector_does_and_wherever_the_process_ends(
        kinds in prop::collection::vec(0..5_usize, 0..30),
        appended in prop::collection::vec(0..5_usize, 0..12),
        poison in prop::collection::btree_set(1..40_u64, 0..5),
        records_max in prop_oneof![Just(0), 1..6_usize],
        batch in 1..12_usize,
        moods in prop::collection::vec(mood(), 0..30),
        crashes in prop::collection::vec((1..40_usize, any::<bool>()), 0..8),
    ) {
        let mut log = Log::of(&kinds);
        let mut disk = Disk::default();
        let mut collector = Collector { poison: poison.clone(), records_max, ..Collector::default() };
        let mut moods = moods.into_iter();
        let mut appended = appended.into_iter();
        for (effects, last_done) in crashes {
            let crash = Some(Crash { effects, last_done });
            process(&log, &mut disk, &mut collector, &mut moods, (batch, crash));
            // The runtime goes on writing while nobody drains.
            appended.by_ref().take(3).for_each(|it| log.append(it));
        }
        appended.for_each(|it| log.append(it));
        let finished = process(&log, &mut disk, &mut collector, &mut moods, (batch, None));
        prop_assert!(finished);

        let refused = poison.into_iter().filter(|it| *it <= log.len()).collect();
        prop_assert_eq!(disk.dead(), refused);
        for n in 1..=log.len() {
            let accepted = collector.accepted.contains_key(&n);
            prop_assert_eq!(accepted, !collector.poison.contains(&n), "entry {}", n);
        }
        prop_assert_eq!(disk.position(), log.len());
        let again = process(&log, &mut disk, &mut collector, &mut moods, (batch, None));
        prop_assert!(again);
    }

    /// The reference: sort by class and number, cut into batches, send each once.
    #[test]
    fn without_faults_each_entry_is_sent_once_in_the_order_of_its_class(
        kinds in prop::collection::vec(0..5_usize, 0..40), batch in 1..12_usize
    ) {
        let log = Log::of(&kinds);
        let mut disk = Disk::default();
        let mut collector = Collector::default();
        let (report, _) = rig::run(&log, &mut disk, &mut collector, rig::config(batch));
        let want: Vec<_> = log.in_order().chunks(batch).map(<[u64]>::to_vec).collect();
        prop_assert_eq!(&collector.requests, &want);
        prop_assert_eq!(report.accepted.total(), log.len());
        prop_assert_eq!(report.batches, want.len() as u64);
        let (again, _) = rig::run(&log, &mut disk, &mut collector, rig::config(batch));
        prop_assert_eq!(again.queued, 0);
        prop_assert_eq!(collector.requests.len(), want.len());
    }

    /// One process for many passes: entries that come while it runs are sent by the next pass.
    #[test]
    fn a_machine_that_goes_on_sends_what_came_meanwhile(
        rounds in prop::collection::vec(prop::collection::vec(0..5_usize, 0..8), 1..6),
        batch in 1..5_usize,
        feed_at in 1..6_usize,
    ) {
        let mut log = Log::default();
        let (mut disk, mut collector) = (Disk::default(), Collector::default());
        let mut drain = Drain::new(rig::config(batch), disk.progress());
        for round in rounds {
            let mut round = Some(round);
            let mut input = Input::Indexed;
            for count in 1..rig::STEPS_MAX {
                // Some passes take entries in while they run, the others before they begin.
                if count == feed_at % 4 + 1 && let Some(kinds) = round.take() {
                    let fed = log.len();
                    for kind in kinds {
                        log.append(kind);
                    }
                    log.feed(&mut drain, fed);
                }
                let Step { effect, .. } = drain.step(input, rig::now());
                rig::check_accounts(&drain.report());
                input = match effect {
                    Effect::Finished(_) if round.is_none() => break,
                    Effect::Finished(_) => Input::Indexed,
                    Effect::Failed(failure, _) => panic!("{failure}"),
                    Effect::Read(entries) => Input::Read(log.read(&entries)),
                    Effect::Send(request) => collector.answer(&request, Mood::Good),
                    Effect::Wait(_) => Input::Waited,
                    other => rig::write(other, &mut disk),
                };
                check_disk(&log, &disk, &collector);
            }
        }
        let (report, _) = rig::run(&log, &mut disk, &mut collector, rig::config(batch));
        prop_assert_eq!(report.position, log.len());
        let once = (1..=log.len()).all(|n| collector.accepted.get(&n) == Some(&1));
        prop_assert!(once, "{:?}", collector.accepted);
    }
}
