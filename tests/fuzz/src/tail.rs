//! A log of ours, one damage, one recovery: what was acknowledged is there, or the log is refused.
//!
//! | offset | size | field                                                                        |
//! |-------:|-----:|------------------------------------------------------------------------------|
//! |      0 |    1 | entries behind the birth, modulo [`ENTRIES_MAX`]                              |
//! |      1 |    1 | how far the safe point lags behind the last entry                             |
//! |      2 |    1 | the damage, below                                                             |
//! |      3 |    2 | where, little-endian, modulo the length of the log                            |
//! |      5 |    2 | how many bytes, little-endian, where the damage has a length                  |
//! |      7 |      | bytes for the damage; at most [`WINDOW`] of them count inside the log          |
//!
//! The window is shorter than the shortest way from the name of a birth to its chain, so that no
//! damage turns a log of ours into a log of others, which has no chain to break.

use std::collections::BTreeMap;

use wal_format::{Event, Kind, names};
use wal_recovery::{Durability, Overrides, RecoverError, Submission, recover};

use crate::{disk, oracle};

const ENTRIES_MAX: u8 = 6;
const WINDOW: usize = 8;

/// Checks one damage.
pub fn check(bytes: &[u8]) {
    let Some(([count, lag, damage, at_low, at_high, len_low, len_high], rest)) =
        bytes.split_first_chunk::<7>()
    else {
        return;
    };
    let log = build(count % ENTRIES_MAX, rest);
    let ends = ends(&log);
    let safe = ends.len().saturating_sub(usize::from(*lag));
    let at = usize::from(u16::from_le_bytes([*at_low, *at_high])) % log.len();
    let len = usize::from(u16::from_le_bytes([*len_low, *len_high]));
    let damaged = do_damage(&log, (*damage, at, len), rest, &ends);

    let files = BTreeMap::from([
        (names::WAL, damaged.clone()),
        (names::SAFE_SEQ, (safe as u64).to_le_bytes().to_vec()),
    ]);
    let disk = disk::make(&files);
    let before = disk::files(&disk);
    // The entries in front of the first wrong byte.
    let agree = log.iter().zip(&damaged).take_while(|(a, b)| a == b).count();
    let whole = ends.iter().filter(|end| **end <= agree).count();
    let opening = disk::opening(Overrides::default(), Durability::Chained);
    match recover(&disk, &opening) {
        Err(RecoverError::Violation { violation, .. }) => {
            assert!(whole < safe, "{violation}, with all {safe} acknowledged entries there");
            let found = violation.place().map(|(seq, _)| seq);
            assert_eq!(found, Some(whole as u64 + 1), "{violation} is the first that is bad");
            assert_eq!(disk::files(&disk), before);
        }
        Err(other) => panic!("{other}"),
        Ok(recovered) => {
            assert!(whole >= safe, "entry {} of {safe} vanished silently", whole + 1);
            assert_eq!(recovered.report.last.map_or(0, wal_format::Seq::get), whole as u64);
            drop(recovered);
            let kept = whole.checked_sub(1).map_or(0, |it| ends[it]);
            let after = disk::read(&disk, names::WAL).unwrap();
            assert_eq!(after[..kept], log[..kept]);
            let entries = oracle::parse(&after).unwrap();
            assert_eq!(entries.len(), whole.max(1), "and nothing that was never written");
        }
    }
}

/// Writes a log with the writer itself.
fn build(count: u8, texts: &[u8]) -> Vec<u8> {
    let disk = disk::make(&BTreeMap::new());
    let opening = disk::opening(Overrides::default(), Durability::Chained);
    let mut writer = recover(&disk, &opening).unwrap().writer;
    for n in 0..count {
        let text: String =
            texts.iter().skip(usize::from(n)).take(5).map(|it| char::from(*it)).collect();
        let kind = [Kind::Decision, Kind::Action, Kind::Error][usize::from(n) % 3].clone();
        let event = Event::new(kind).with("id", n).with("text", text);
        writer.commit(&[Submission::new(&event, disk::now()).unwrap()]).unwrap();
    }
    drop(writer);
    disk::read(&disk, names::WAL).unwrap()
}

/// Where each frame ends.
fn ends(log: &[u8]) -> Vec<usize> {
    disk::frames(log)
        .iter()
        .scan(0, |end, frame| {
            *end += frame.len();
            Some(*end)
        })
        .collect()
}

fn do_damage(
    log: &[u8],
    (damage, at, len): (u8, usize, usize),
    bytes: &[u8],
    ends: &[usize],
) -> Vec<u8> {
    let few = &bytes[..bytes.len().min(WINDOW)];
    let until = (at + len).min(log.len());
    // The frame that `at` is in, and its end.
    let index = ends.iter().filter(|it| **it <= at).count();
    let (start, end) = (index.checked_sub(1).map_or(0, |it| ends[it]), ends[index]);
    match damage % 10 {
        // Cut.
        0 => log[..at].to_vec(),
        // Overwrite.
        1 => [&log[..at], few, log.get(at + few.len()..).unwrap_or_default()].concat(),
        // Flip.
        2 => {
            let mut out = log.to_vec();
            out.iter_mut().skip(at).zip(few).for_each(|(to, with)| *to ^= with);
            out
        }
        // Insert.
        3 => [&log[..at], few, &log[at..]].concat(),
        // Delete.
        4 => [&log[..at], &log[until..]].concat(),
        // Zero out.
        5 => [&log[..at], &vec![0; until - at], &log[until..]].concat(),
        // Append anything.
        6 => [log, bytes].concat(),
        // A frame twice.
        7 => [&log[..end], &log[start..]].concat(),
        // A frame that is not there.
        8 => [&log[..start], &log[end..]].concat(),
        // A frame of others in place of one of ours. Not in place of the birth: that would be
        // another log, which only its owner can tell from this one.
        9 if index > 0 => {
            let body = format!(r#"{{"seq":{},"event":{{"kind":"x"}}}}"#, index + 1).into_bytes();
            let header = u32::try_from(body.len()).unwrap().to_be_bytes();
            [&log[..start], &header, &body, &log[end..]].concat()
        }
        _ => log.to_vec(),
    }
}
