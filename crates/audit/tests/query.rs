//! What is asked of a trail, and what it costs.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod harness;

use audit::{
    Category, Damage, Filter, NewRecord, Outcome, QueryError, Source, newest, query, records, since,
};
use harness::{all, at, dir, event, files, ids, open, path, shared};
use proptest::prelude::*;
use vfs::{MemVfs, Vfs as _};

/// Records 1 to `count` in segments of a few records each.
fn trail(count: u64) -> MemVfs {
    let vfs = MemVfs::default();
    let mut trail = open(&vfs, 2500).unwrap();
    for id in 1..=count {
        let record = NewRecord {
            outcome: Outcome::ALL[usize::try_from(id % 4).unwrap()],
            category: Category::ALL[usize::try_from(id % 9).unwrap()],
            source: Source::ALL[usize::try_from(id % 3).unwrap()],
            event_name: format!("event.{}", id % 5),
            ..event(id, 0).by(["ann", "bob"][usize::try_from(id % 2).unwrap()])
        };
        trail.append(&[record], at(i64::try_from(id).unwrap())).unwrap();
    }
    assert!(count < 20 || files(&vfs).len() > 5);
    vfs
}

fn ask(vfs: &MemVfs, filter: &Filter, limit: usize) -> Vec<u64> {
    ids(&query(&shared(vfs), dir(), filter, limit).unwrap())
}

fn newest_of(vfs: &MemVfs, limit: usize) -> usize {
    query(&shared(vfs), dir(), &Filter::default(), limit).unwrap().len()
}

/// Changes a byte in a line of a segment.
fn damage(vfs: &MemVfs, name: &str, line: usize) {
    let mut bytes = vfs::read_whole(vfs, &path(name), u64::MAX).unwrap().unwrap();
    let starts = bytes.iter().enumerate().filter(|it| *it.1 == b'\n').map(|it| it.0 + 1);
    let start = std::iter::once(0).chain(starts).nth(line - 1).unwrap();
    bytes[start + 20] ^= 1;
    vfs::replace(vfs, &path(name), &bytes).unwrap();
}

fn damaged(result: Result<Vec<audit::Record>, QueryError>) -> Damage {
    match result {
        Err(QueryError::Damaged(damage)) => damage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_newest_are_returned_oldest_first() {
    let vfs = trail(30);
    let only = Filter { actor: Some("ann".to_owned()), ..Filter::default() };
    assert_eq!(ask(&vfs, &only, 3), [26, 28, 30]);
    assert_eq!(ask(&vfs, &only, 0).len(), 15);
    assert_eq!(ask(&vfs, &only, 1000).len(), 15);
    let records = query(&shared(&vfs), dir(), &Filter::default(), 1).unwrap();
    assert_eq!(ids(&records), [30]);
    assert_eq!(since(&shared(&vfs), dir(), records[0].seq).unwrap(), records);
    assert_eq!(since(&shared(&vfs), dir(), records[0].seq + 1).unwrap(), []);
    assert_eq!(since(&shared(&vfs), dir(), 0).unwrap(), all(&vfs));
}

#[test]
fn times_are_inclusive_and_whatever_the_order_of_the_clock() {
    let vfs = MemVfs::default();
    let mut trail = open(&vfs, 1500).unwrap();
    // A clock that jumps: the order of the trail is not that of the times.
    for id in [5, 1, 9, 3, 7, 2, 8, 4, 6] {
        trail.append(&[event(id, 0)], at(100)).unwrap();
    }
    let filter = Filter { start_time: Some(at(3)), end_time: Some(at(6)), ..Filter::default() };
    assert_eq!(ask(&vfs, &filter, 0), [5, 3, 4, 6]);
    assert_eq!(ask(&vfs, &filter, 10), [5, 3, 4, 6]);
    assert_eq!(ask(&vfs, &filter, 2), [4, 6]);
}

/// Q3 and Q2: what is not asked for is not read; what is read and damaged is an error with its place.
#[test]
fn only_what_is_asked_for_is_read_and_damage_in_it_is_named() {
    let vfs = trail(60);
    let names: Vec<_> = files(&vfs).into_iter().map(|it| it.0).collect();
    let oldest = names.iter().find(|it| it.starts_with("audit-")).unwrap();
    damage(&vfs, oldest, 2);
    assert_eq!(newest_of(&vfs, 10), 10);
    let late = Filter { start_time: Some(at(50)), ..Filter::default() };
    assert_eq!(ask(&vfs, &late, 0).first(), Some(&50), "the seal says that it is older");
    let late = newest(&shared(&vfs), dir(), &late).unwrap().count();
    assert!(late > 10, "read from the end, the same");

    for limit in [0, 1000] {
        let found = damaged(query(&shared(&vfs), dir(), &Filter::default(), limit));
        assert_eq!((found.file.as_str(), found.line), (oldest.as_str(), 2));
    }
    // It is not left out either when it would not match.
    let none = Filter { actor: Some("nobody".to_owned()), ..Filter::default() };
    damaged(query(&shared(&vfs), dir(), &none, 1));
    let mut read = records(&shared(&vfs), dir(), &Filter::default()).unwrap();
    assert!(read.next().unwrap().is_ok());
    assert!(read.next().unwrap().is_err());
    assert!(read.next().is_none(), "after an error there is nothing more");
}

#[test]
fn a_segment_that_is_gone_is_missed_by_whoever_passes_the_gap() {
    let vfs = trail(60);
    let sealed: Vec<_> =
        files(&vfs).into_iter().map(|it| it.0).filter(|it| it.starts_with("audit-")).collect();
    vfs.remove(&path(&sealed[2])).unwrap();
    for limit in [0, 1000] {
        damaged(query(&shared(&vfs), dir(), &Filter::default(), limit));
    }
    let late = Filter { start_time: Some(at(58)), ..Filter::default() };
    damaged(query(&shared(&vfs), dir(), &late, 0));
    damaged(query(&shared(&vfs), dir(), &late, 1000));
    assert_eq!(newest_of(&vfs, 5), 5);
}

#[test]
fn a_trail_that_was_pruned_while_it_was_read_has_an_older_end() {
    let vfs = trail(60);
    let shared = shared(&vfs);
    let mut back = newest(&shared, dir(), &Filter::default()).unwrap();
    let mut forward = records(&shared, dir(), &Filter::default()).unwrap();
    let last = back.next().unwrap().unwrap();
    for actor in ["", "a\nb"] {
        let error = open(&vfs, 2500).unwrap().prune(at(40), at(100), actor).unwrap_err();
        assert_eq!(error.code(), "AUDIT_RECORD_INVALID", "{actor:?}");
    }
    let pruned = open(&vfs, 2500).unwrap().prune(at(40), at(100), "ann").unwrap();
    let (first, through) = pruned.seqs.unwrap();
    assert_eq!((first, pruned.records), (1, through));
    let rest: Vec<_> = back.map(Result::unwrap).collect();
    assert_eq!((rest[0].seq, rest.last().unwrap().seq), (last.seq - 1, through + 1));
    let seen = forward.next().unwrap().unwrap();
    assert_eq!(seen.seq, through + 1);
    assert!(forward.all(|it| it.is_ok()));
    assert_eq!(ids(&all(&vfs)).first(), Some(&ids(&rest).pop().unwrap()));
    // Nothing is old enough any more.
    let again = open(&vfs, 2500).unwrap().prune(at(40), at(100), "ann").unwrap();
    assert_eq!((again.segments, again.tombstone), (0, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Every filter, forwards and backwards, against all records and a plain `if`.
    #[test]
    fn a_query_is_all_records_that_match(
        name in prop::option::of(0..6_u64),
        actor in prop::option::of(prop_oneof![Just("ann"), Just("bob"), Just("eve")]),
        category in prop::option::of(prop::sample::select(Category::ALL)),
        outcome in prop::option::of(prop::sample::select(Outcome::ALL)),
        source in prop::option::of(prop::sample::select(Source::ALL)),
        start in prop::option::of(0..70_i64),
        end in prop::option::of(0..70_i64),
        limit in 0..70_usize,
    ) {
        static TRAIL: std::sync::OnceLock<MemVfs> = std::sync::OnceLock::new();
        let vfs = TRAIL.get_or_init(|| trail(60));
        let filter = Filter {
            event_name: name.map(|it| format!("event.{it}")),
            actor: actor.map(str::to_owned),
            category,
            outcome,
            source,
            start_time: start.map(at),
            end_time: end.map(at),
        };
        let want: Vec<_> = all(vfs).into_iter().filter(|it| {
            let it = &it.event;
            name.is_none_or(|name| it.event_name == format!("event.{name}"))
                && actor.is_none_or(|actor| it.actor.as_deref() == Some(actor))
                && category.is_none_or(|category| it.category == category)
                && outcome.is_none_or(|outcome| it.outcome == outcome)
                && source.is_none_or(|source| it.source == source)
                && start.is_none_or(|start| it.timestamp >= at(start))
                && end.is_none_or(|end| it.timestamp <= at(end))
        }).collect();
        let kept = if limit == 0 { 0 } else { want.len().saturating_sub(limit) };
        prop_assert_eq!(query(&shared(vfs), dir(), &filter, limit).unwrap(), &want[kept..]);
    }
}
