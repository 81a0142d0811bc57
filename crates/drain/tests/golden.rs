//! The files of a drain, written once: `telemetry.cursors` and `telemetry.deadletter.jsonl`. A
//! change here is a change of the format; nothing rewrites them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod rig;

use std::collections::BTreeSet;

use drain::{Class, DeadLetter, Line, Progress};
use rig::{Collector, Disk, Log};
use wal_format::Seq;

const CURSORS: &[u8] = include_bytes!("golden/telemetry.cursors");
const CURSORS_DRAINED: &[u8] = include_bytes!("golden/drained.cursors");
const DEAD_LETTERS: &[u8] = include_bytes!("golden/telemetry.deadletter.jsonl");
/// As the lines were before letters had payloads.
const DEAD_LETTERS_OLD: &[u8] = include_bytes!("golden/old.deadletter.jsonl");
const FACTS: &[u8] = include_bytes!("golden/facts.deadletter.jsonl");

#[test]
fn the_cursors_decode_to_the_last_entry_of_each_class() {
    let progress = Progress::load(rig::wal_id(), Some(CURSORS), None).unwrap();
    assert_eq!(progress.cursors_of_other_log(), None);
    let found = Class::ALL.map(|it| progress.cursors().get(it).map(Seq::get));
    assert_eq!(found, [Some(3), Some(u64::MAX), None, Some(12)]);
}

#[test]
fn a_drain_of_the_same_log_writes_the_same_files() {
    let log = Log::of(&[3, 1, 2, 0, 4]);
    let mut disk = Disk::default();
    let mut collector = Collector { poison: BTreeSet::from([2, 5]), ..Collector::default() };
    let (report, _) = rig::run(&log, &mut disk, &mut collector, rig::config(1));
    assert_eq!(report.dead_lettered, 2);
    assert_eq!(String::from_utf8(disk.dead_letters).unwrap().as_bytes(), DEAD_LETTERS);
    assert_eq!(disk.cursors.unwrap(), CURSORS_DRAINED);
    assert_eq!(disk.position.unwrap(), 5_u64.to_le_bytes());
}

#[test]
fn a_dead_letter_decodes_to_its_entry_and_its_reason() {
    let (log, source) = (Log::of(&[3, 1, 2, 0, 4]), rig::source());
    let old = lines(DEAD_LETTERS_OLD);
    for (index, (line, (seq, class))) in lines(DEAD_LETTERS)
        .into_iter()
        .zip([(2, Class::Decision), (5, Class::Lifecycle)])
        .enumerate()
    {
        let mut want = DeadLetter {
            source: source.clone(),
            seq: rig::seq(seq),
            class,
            payload: Some(log.payloads[usize::try_from(seq).unwrap() - 1].clone()),
            text: "poison".to_owned(),
            refused_at: rig::now(),
        };
        assert_eq!(line, Line::Letter(want.clone()));
        // What was written before letters had payloads reads as the same letter without one.
        want.payload = None;
        assert_eq!(old[index], Line::Letter(want));
    }
    assert_eq!((lines(DEAD_LETTERS).len(), old.len()), (2, 2));
}

#[test]
fn the_facts_about_a_letter_decode_to_what_became_of_it() {
    let (id, at) = (rig::event_id, rig::now());
    let want = [
        Line::RefusedAgain {
            event_id: id(2),
            attempts: 2,
            text: "poison \"again\"".to_owned(),
            refused_at: at,
        },
        Line::Delivered { event_id: id(5), delivered_at: at },
        Line::Purged { event_id: id(7), purged_at: at, reason: "ticket 4711".to_owned() },
    ];
    assert_eq!(lines(FACTS), want);
    let mut written = Vec::new();
    for line in &want {
        line.write(&mut written);
    }
    assert_eq!(written, FACTS);
}

fn lines(file: &[u8]) -> Vec<Line> {
    let lines = file.split(|it| *it == b'\n').filter(|it| !it.is_empty());
    lines.map(|it| Line::parse(it).unwrap()).collect()
}
