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

use drain::{Class, Progress};
use rig::{Collector, Disk, Log};
use serde_json::Value;
use wal_format::Seq;

const CURSORS: &[u8] = include_bytes!("golden/telemetry.cursors");
const CURSORS_DRAINED: &[u8] = include_bytes!("golden/drained.cursors");
const DEAD_LETTERS: &[u8] = include_bytes!("golden/telemetry.deadletter.jsonl");

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
    let lines: Vec<Value> = std::str::from_utf8(DEAD_LETTERS)
        .unwrap()
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let id = "edge-1:07070707-0707-4707-8707-070707070707";
    for (line, (seq, class)) in lines.iter().zip([(2, "decision"), (5, "lifecycle")]) {
        assert_eq!(line.as_object().unwrap().len(), 5);
        assert_eq!(line["event_id"], format!("{id}:{seq}"));
        assert_eq!(line["seq"], seq);
        assert_eq!(line["class"], class);
        assert_eq!(line["text"], "poison");
        assert_eq!(line["refused_at"], "2026-01-02T03:04:06Z");
    }
    assert_eq!(lines.len(), 2);
}
