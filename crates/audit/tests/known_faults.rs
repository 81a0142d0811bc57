//! Everything that can be done to the files of a trail, one thing at a time: each is found, at its place.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod harness;

use audit::{Damage, HEAD, Kind, OPEN};
use harness::{Files, at, damaged, disk, event, files, ids, open, path, whole};
use vfs::{MemVfs, Vfs as _};

/// A trail of several segments, with appends of one and of several records; pruned when asked for.
fn trail(pruned: bool) -> Files {
    let vfs = MemVfs::default();
    let mut trail = open(&vfs, 2400).unwrap();
    for id in (1..29).step_by(3) {
        trail.append(&[event(id, 5), event(id + 1, 0)], at(0)).unwrap();
        trail.append(&[event(id + 2, 1)], at(0)).unwrap();
    }
    if pruned {
        let pruned = trail.prune(at(8), at(30), "ann").unwrap();
        assert!(pruned.segments > 0, "{pruned:?}");
        trail.append(&[event(35, 0), event(36, 0)], at(31)).unwrap();
    }
    let mut found = files(&vfs);
    for id in 40.. {
        if lines(&found[last_segment(&found)].1).len() > 2 {
            break;
        }
        trail.append(&[event(id, 0)], at(0)).unwrap();
        found = files(&vfs);
    }
    assert!(found.len() >= 5, "{}", found.len());
    whole(&vfs);
    found
}

fn trails() -> [Files; 2] {
    [trail(false), trail(true)]
}

/// Each segment of both.
fn all_segments() -> Vec<(Files, usize)> {
    let each = |files: Files| segments(&files).into_iter().map(move |it| (files.clone(), it));
    trails().into_iter().flat_map(each).collect()
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|it| *it == b'\n').map(<[u8]>::to_vec).collect()
}

fn segments(files: &Files) -> Vec<usize> {
    (0..files.len()).filter(|it| files[*it].0 != HEAD).collect()
}

/// The open one: `audit.jsonl` sorts behind all others.
fn last_segment(files: &Files) -> usize {
    files.iter().position(|it| it.0 == OPEN).unwrap()
}

/// The damage of these files.
fn found(files: &Files, what: &str) -> Damage {
    damaged(&disk(files)).unwrap_or_else(|| panic!("not found: {what}"))
}

/// The damage when the lines of one file are changed.
fn with_lines(
    files: &Files,
    segment: usize,
    what: &str,
    change: impl FnOnce(&mut Vec<Vec<u8>>),
) -> Damage {
    let mut files = files.clone();
    let mut all = lines(&files[segment].1);
    change(&mut all);
    files[segment].1 = all.concat();
    found(&files, what)
}

#[track_caller]
fn check(damage: &Damage, (file, line): (&str, usize), kinds: &[Kind], what: &str) {
    assert_eq!((damage.file.as_str(), damage.line), (file, line as u64), "{what}: {damage}");
    assert!(kinds.contains(&damage.kind), "{what}: {damage}");
}

#[test]
fn a_change_of_any_byte_of_any_record_is_found_in_its_line() {
    for (files, segment) in all_segments() {
        let (name, bytes) = files[segment].clone();
        let mut line = 1;
        for byte in 0..bytes.len() {
            // Each bit of the byte in turn, as bytes go by.
            let mut changed = files.clone();
            changed[segment].1[byte] ^= 1 << (byte % 8);
            let what = format!("{name} byte {byte}");
            let damage = found(&changed, &what);
            // Without its line feed the last line has no end.
            let kinds = [Kind::Edited, Kind::BadJson, Kind::Truncated];
            let allowed = 2 + usize::from(byte + 1 == bytes.len());
            check(&damage, (&name, line), &kinds[..allowed], &what);
            line += usize::from(bytes[byte] == b'\n');
        }
    }
}

#[test]
fn a_line_that_is_deleted_is_missed_where_it_stood() {
    for (files, segment) in all_segments() {
        let name = files[segment].0.clone();
        let count = lines(&files[segment].1).len();
        for line in 0..count {
            let what = format!("{name} line {}", line + 1);
            let damage = with_lines(&files, segment, &what, |it| _ = it.remove(line));
            let kind = if line + 1 == count { Kind::Truncated } else { Kind::Deleted };
            check(&damage, (&name, line + 1), &[kind], &what);
        }
        for (from, to) in [(0, count), (0, count - 1), (1, 3.min(count))] {
            let what = format!("{name} lines {from}..{to}");
            let damage = with_lines(&files, segment, &what, |it| _ = it.drain(from..to));
            check(&damage, (&name, from + 1), &[Kind::Deleted, Kind::Truncated], &what);
        }
    }
}

#[test]
fn a_line_that_is_there_twice_is_found_where_it_is_too_many() {
    for (files, segment) in all_segments() {
        let name = files[segment].0.clone();
        let count = lines(&files[segment].1).len();
        for (from, to) in (0..count).flat_map(|from| (0..=count).map(move |to| (from, to))) {
            let what = format!("{name} line {} again before {}", from + 1, to + 1);
            let again = |it: &mut Vec<Vec<u8>>| it.insert(to, it[from].clone());
            let damage = with_lines(&files, segment, &what, again);
            let kinds = [Kind::Inserted, Kind::Reordered];
            // Before itself it is the second of two as well.
            let place = to + 1 + usize::from(to == from);
            check(&damage, (&name, place), &kinds, &what);
        }
    }
}

#[test]
fn lines_that_changed_places_are_found_at_the_first_of_them() {
    for (files, segment) in all_segments() {
        let name = files[segment].0.clone();
        let count = lines(&files[segment].1).len();
        for (a, b) in (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))) {
            let what = format!("{name} lines {} and {}", a + 1, b + 1);
            let damage = with_lines(&files, segment, &what, |it| it.swap(a, b));
            check(&damage, (&name, a + 1), &[Kind::Reordered], &what);
        }
    }
}

#[test]
fn a_file_that_was_cut_anywhere_is_found_at_the_cut() {
    for (files, segment) in all_segments() {
        let (name, bytes) = files[segment].clone();
        for len in 0..bytes.len() {
            let mut cut = files.clone();
            cut[segment].1.truncate(len);
            let what = format!("{name} cut to {len}");
            let damage = found(&cut, &what);
            let line = bytes[..len].split(|it| *it == b'\n').count();
            check(&damage, (&name, line), &[Kind::Truncated], &what);
        }
    }
}

#[test]
fn a_file_that_is_gone_is_named() {
    for (pruned, files) in [false, true].into_iter().zip(trails()) {
        for segment in segments(&files) {
            let mut changed = files.clone();
            let (name, _) = changed.remove(segment);
            let damage = found(&changed, &name);
            // The oldest of a pruned trail: the tombstone says how far pruning went.
            check(&damage, (&name, 1), &[Kind::SegmentMissing], &format!("{name} {pruned}"));
        }
        let mut changed = files.clone();
        changed.retain(|it| it.0 == HEAD);
        assert_eq!(found(&changed, "all segments").kind, Kind::SegmentMissing);
        changed.clone_from(&files);
        changed.retain(|it| it.0 != HEAD);
        check(&found(&changed, "the head"), (HEAD, 1), &[Kind::HeadMismatch], "the head");
    }
}

#[test]
fn files_that_changed_names_or_were_copied_are_found() {
    for files in trails() {
        let all = segments(&files);
        for (a, b) in all.iter().flat_map(|a| all.iter().map(move |b| (*a, *b))) {
            if a == b {
                continue;
            }
            let mut changed = files.clone();
            changed[a].1.clone_from(&files[b].1);
            let what = format!("{} is a copy of {}", files[a].0, files[b].0);
            let damage = found(&changed, &what);
            assert_eq!((damage.file.as_str(), damage.line), (files[a].0.as_str(), 1), "{what}");
            changed[b].1.clone_from(&files[a].1);
            let what = format!("{} and {}", files[a].0, files[b].0);
            let damage = found(&changed, &what);
            let first = files[a.min(b)].0.as_str();
            check(&damage, (first, 1), &[Kind::Reordered], &what);
        }
        // A copy under a name that no segment has.
        let mut changed = files.clone();
        let digits = files[all[1]].0.trim_start_matches("audit-").trim_end_matches(".jsonl");
        let number: u64 = digits.parse().unwrap();
        changed.push((format!("audit-{:020}.jsonl", number + 1), files[all[1]].1.clone()));
        assert_eq!(found(&changed, "a copy").kind, Kind::Inserted);
    }
}

#[test]
fn a_change_of_any_byte_of_the_head_is_found() {
    for files in trails() {
        let head = files.iter().position(|it| it.0 == HEAD).unwrap();
        let len = files[head].1.len();
        assert_eq!(len, 512);
        for byte in 0..len {
            let mut changed = files.clone();
            changed[head].1[byte] ^= 1 << (byte % 8);
            let what = format!("byte {byte}");
            check(&found(&changed, &what), (HEAD, 1), &[Kind::HeadMismatch], &what);
            changed[head].1.truncate(byte);
            check(&found(&changed, &what), (HEAD, 1), &[Kind::HeadMismatch], &what);
        }
    }
}

/// The same appends, with other records from one of them on: what somebody writes who knows the format.
fn forged(upto: u64, other: bool) -> Vec<Vec<u8>> {
    let vfs = MemVfs::default();
    let mut trail = open(&vfs, 1 << 20).unwrap();
    for id in 1..=upto {
        let actor = if other && id == upto { "eve" } else { "ann" };
        trail.append(&[event(id, 0).by(actor)], at(0)).unwrap();
    }
    lines(&files(&vfs).iter().find(|it| it.0 == OPEN).unwrap().1)
}

#[test]
fn a_forged_record_with_a_hash_of_its_own_is_found_where_it_stands() {
    let vfs = MemVfs::default();
    let mut trail = open(&vfs, 1 << 20).unwrap();
    for id in 1..=8 {
        trail.append(&[event(id, 0)], at(0)).unwrap();
    }
    let files = files(&vfs);
    let segment = last_segment(&files);
    for line in 1..=8_usize {
        let forgery = forged(line as u64, true).pop().unwrap();
        let what = format!("line {line}");
        let put = forgery.clone();
        let damage = with_lines(&files, segment, &what, |it| it[line - 1] = put);
        if line < 8 {
            check(&damage, (OPEN, line), &[Kind::Edited], &what);
            let damage = with_lines(&files, segment, &what, |it| it.insert(line - 1, forgery));
            check(&damage, (OPEN, line), &[Kind::Inserted], &what);
        } else {
            check(&damage, (HEAD, 1), &[Kind::HeadMismatch], &what);
        }
    }
    // The whole rest written anew, but for the head.
    let mut changed = files.clone();
    changed[segment].1 = forged(8, true).concat();
    assert_eq!(found(&changed, "a rest").kind, Kind::HeadMismatch);
}

/// H2 says what is not found: an old copy of everything is a trail. An anchor elsewhere finds it.
#[test]
fn an_old_copy_of_all_files_is_whole_and_contradicts_an_anchor() {
    let vfs = MemVfs::default();
    let mut trail = open(&vfs, 1 << 20).unwrap();
    trail.append(&[event(1, 0)], at(0)).unwrap();
    let old = files(&vfs);
    trail.append(&[event(2, 0)], at(0)).unwrap();
    let anchor = trail.head().unwrap();
    let verified = whole(&disk(&old));
    assert!(verified.head.unwrap().seq < anchor.seq);
}

#[test]
fn a_pruned_trail_is_whole_and_says_so() {
    let files = trail(true);
    let vfs = disk(&files);
    let verified = whole(&vfs);
    let through = verified.pruned_through.unwrap();
    assert_eq!(verified.first_seq, Some(through + 1));
    let records = harness::all(&vfs);
    let tombstone = records.iter().find(|it| it.event.event_name == "audit.pruned").unwrap();
    assert_eq!(tombstone.event.fields["first_seq"], 1);
    assert_eq!(tombstone.event.fields["last_seq"], through);
    assert_eq!(tombstone.event.fields["records"], through);
    assert_eq!(tombstone.event.actor.as_deref(), Some("ann"));
    assert!(ids(&records).iter().all(|it| *it > 5));
    // Evidence of damage is not removed.
    let segment = path(&files[0].0);
    let mut bytes = files[0].1.clone();
    assert_ne!(files[0].0, HEAD, "sealed names sort before it");
    bytes[50] ^= 1;
    vfs::replace(&vfs, &segment, &bytes).unwrap();
    let mut trail = open(&vfs, 2400).unwrap();
    let error = trail.prune(at(1000), at(1000), "ann").unwrap_err();
    assert_eq!(error.code(), "AUDIT_CORRUPT");
    assert!(vfs.stat(&segment).unwrap().is_some());
}
