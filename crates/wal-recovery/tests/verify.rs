//! What was done to a log, and what `verify` says about it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod harness;

use std::path::Path;

use harness::{DIR, entry, foreign_frames, open, opening, read, write};
use vfs::{MemVfs, Vfs as _};
use wal_format::{Chain, Seq, WalId, names};
use wal_recovery::{
    Damage, DamageCause, DamageKind, Opening, Overrides, SealPoint, Tail, Verified, VerifyError,
    codes, recover, verify,
};

/// A log as a list of its frames.
#[derive(Clone)]
struct Frames(Vec<Vec<u8>>);

impl Frames {
    /// A log of `count` entries, its birth included.
    fn of(count: u64) -> Self {
        let vfs = MemVfs::default();
        let mut writer = open(&vfs).unwrap();
        for id in 2..=count {
            writer.commit(&[entry(id, 10)]).unwrap();
        }
        writer.close().unwrap();
        Self::split(&read(&vfs, names::WAL).unwrap())
    }

    fn split(mut log: &[u8]) -> Self {
        let mut frames = Vec::new();
        while !log.is_empty() {
            let len = u32::from_be_bytes(log[..4].try_into().unwrap()) as usize + 4;
            frames.push(log[..len].to_vec());
            log = &log[len..];
        }
        Self(frames)
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// Where the entry begins that now has this place, counted from 1.
    fn offset(&self, place: u64) -> u64 {
        self.0.iter().take(usize::try_from(place).unwrap() - 1).map(|it| it.len() as u64).sum()
    }

    /// The chain value of an entry.
    fn chain(&self, seq: usize) -> Chain {
        wal_format::split_chain(&self.0[seq - 1][4..]).unwrap().1
    }

    /// Writes other numbers into the entries from a place on, as text and nothing else.
    fn renumber(&mut self, from: usize, by: i64) {
        for frame in &mut self.0[from - 1..] {
            let text = String::from_utf8(frame[4..].to_vec()).unwrap();
            let (number, rest) = text.strip_prefix("{\"seq\":").unwrap().split_once(',').unwrap();
            let number = number.parse::<i64>().unwrap() + by;
            frame.clear();
            let payload = format!("{{\"seq\":{number},{rest}");
            wal_format::Frame::encode(payload.as_bytes(), frame).unwrap();
        }
    }
}

fn wal_id() -> WalId {
    WalId::from_random(opening().random)
}

fn check(log: &[u8], safe: u64, seal: Option<SealPoint>) -> Result<Verified, VerifyError> {
    let vfs = MemVfs::default();
    write(&vfs, names::WAL, log);
    write(&vfs, names::SAFE_SEQ, &safe.to_le_bytes());
    let found = verify(&vfs, Path::new(DIR), seal.as_ref());
    assert_eq!(read(&vfs, names::WAL).unwrap(), log, "nothing is changed");
    assert_eq!(vfs.list(Path::new(DIR)).unwrap().len(), 2, "nothing is made");
    found
}

fn damaged(log: &[u8], safe: u64, seal: Option<SealPoint>) -> Damage {
    match check(log, safe, seal) {
        Err(VerifyError::Damaged(damage)) => damage,
        other => panic!("{other:?}"),
    }
}

/// The log has damage of this kind at this place; the same number says both.
#[track_caller]
fn is(frames: &Frames, safe: u64, kind: DamageKind, place: u64) {
    let found = damaged(&frames.bytes(), safe, None);
    let want = (kind, place, frames.offset(place));
    assert_eq!((found.kind, found.seq, found.offset), want, "{found:?}");
}

#[test]
fn a_whole_log_is_described() {
    let frames = Frames::of(20);
    let found = check(&frames.bytes(), 17, None).unwrap();
    assert_eq!((found.entries(), found.beyond_safe_point()), (20, 3));
    assert_eq!(found.bytes, frames.bytes().len() as u64);
    assert_eq!(found.scanned.chain, frames.chain(20));
    assert_eq!(found.scanned.chained_from, Some((Seq::FIRST, frames.chain(1))));
    assert_eq!(found.scanned.tail, Tail::Clean);
    let identity = found.scanned.identity.unwrap();
    assert_eq!((identity.wal_id, &*identity.birth.unwrap().node), (wal_id(), "edge-1"));
    assert!(!found.sealed);
}

#[test]
fn what_was_promised_to_nobody_is_a_tail() {
    let frames = Frames::of(5);
    let mut log = frames.bytes();
    log.resize(log.len() + 100_000, 0);
    assert_eq!(check(&log, 5, None).unwrap().scanned.tail, Tail::Clean);
    let mut log = frames.bytes();
    log.extend_from_slice(&foreign_frames([6])[..30]);
    assert_eq!(check(&log, 5, None).unwrap().scanned.tail, Tail::Torn);
    let mut log = frames.bytes();
    log.extend_from_slice(&foreign_frames([6, 7]));
    let found = check(&log, 5, None).unwrap();
    assert_eq!(found.scanned.tail, Tail::Phantoms { frames: 2 });
    assert_eq!(found.entries(), 5);
}

#[test]
fn every_single_flipped_bit_is_an_edit_of_its_entry() {
    harness::flip_every_bit(|vfs, (seq, offset), bit| match verify(vfs, Path::new(DIR), None) {
        Err(VerifyError::Damaged(it)) => {
            let found = (it.kind, it.seq, it.offset);
            assert_eq!(found, (DamageKind::Edit, seq, offset), "{bit}: {it:?}");
        }
        other => panic!("{bit}: {other:?}"),
    });
}

#[test]
fn a_changed_entry_is_an_edit_whatever_was_changed() {
    let good = Frames::of(12);
    for place in 1..=12_u64 {
        let at = usize::try_from(place).unwrap() - 1;
        // Its text.
        let mut frames = good.clone();
        let target = frames.0[at].len() - 100;
        frames.0[at][target] ^= 1;
        is(&frames, 12, DamageKind::Edit, place);
        // Its number, up and down, without a new length.
        for number in [7, 5, 2] {
            let mut frames = good.clone();
            let text = format!("{{\"seq\":{number},");
            let seen = format!("{{\"seq\":{place},");
            if text.len() == seen.len() && text != seen {
                frames.0[at][4..4 + text.len()].copy_from_slice(text.as_bytes());
                is(&frames, 12, DamageKind::Edit, place);
            }
        }
        // All of it: another entry stands in its place.
        if place > 2 {
            let mut frames = good.clone();
            frames.0[at] = good.0[at - 1].clone();
            let kind = if place == 12 { DamageKind::Insert } else { DamageKind::Edit };
            is(&frames, 12, kind, place);
        }
        // Its bytes are zeros.
        let mut frames = good.clone();
        frames.0[at].fill(0);
        let kind = if place == 12 { DamageKind::Truncate } else { DamageKind::Edit };
        is(&frames, 12, kind, place);
    }
    // Its chain is gone.
    let mut frames = good.clone();
    let cut = frames.0[5].len() - 76;
    let payload = [&good.0[5][4..cut], b"}"].concat();
    frames.0[5].clear();
    wal_format::Frame::encode(&payload, &mut frames.0[5]).unwrap();
    is(&frames, 12, DamageKind::Edit, 6);
}

#[test]
fn entries_that_were_taken_out_are_missed_at_the_first_of_them() {
    let good = Frames::of(12);
    for place in 1..=11 {
        for count in 1..=12 - place {
            let mut frames = good.clone();
            frames.0.drain(place - 1..place - 1 + count);
            if place + count <= 12 {
                is(&frames, 12, DamageKind::Delete, place as u64);
            } else {
                is(&frames, 12, DamageKind::Truncate, place as u64);
            }
        }
    }
}

#[test]
fn taking_out_and_renumbering_is_still_taking_out() {
    let good = Frames::of(12);
    for (place, count) in [(2, 1), (5, 1), (5, 3), (9, 2)] {
        let mut frames = good.clone();
        frames.0.drain(place - 1..place - 1 + count);
        frames.renumber(place, -i64::try_from(count).unwrap());
        let safe = frames.0.len() as u64;
        is(&frames, safe, DamageKind::Delete, place as u64);
    }
    // With one entry left nobody can tell: its predecessor may have been another.
    let mut frames = good.clone();
    frames.0.remove(10);
    frames.renumber(11, -1);
    is(&frames, 11, DamageKind::Edit, 11);
}

#[test]
fn entries_that_were_put_in_are_found_at_the_first_of_them() {
    let good = Frames::of(12);
    for place in 2..=12 {
        // A copy of an earlier one, of the one before, and of a later one.
        for source in [1, place - 1, 12] {
            let mut frames = good.clone();
            frames.0.insert(place - 1, good.0[source - 1].clone());
            // A copy in front of its original is the one that belongs there.
            let found = place + usize::from(source == place);
            is(&frames, 13, DamageKind::Insert, found as u64);
        }
        // A forged one with the right number, one with a wild number, one without any.
        for number in [place as u64, 99, 0] {
            let mut frames = good.clone();
            frames.0.insert(place - 1, foreign_frames([number]));
            is(&frames, 13, DamageKind::Insert, place as u64);
        }
        // Garbage in a frame.
        let mut frames = good.clone();
        frames.0.insert(place - 1, b"\0\0\0\x03abc".to_vec());
        is(&frames, 13, DamageKind::Insert, place as u64);
    }
}

#[test]
fn putting_in_and_renumbering_is_still_putting_in() {
    let good = Frames::of(12);
    for place in [2, 5, 10] {
        let mut frames = good.clone();
        frames.renumber(place, 1);
        frames.0.insert(place - 1, foreign_frames([place as u64]));
        is(&frames, 13, DamageKind::Insert, place as u64);
        // Forged with a chain that follows: the entry after it is the first that does not hold.
        let mut frames = good.clone();
        frames.renumber(place, 1);
        let mut forged = Vec::new();
        let at = harness::now();
        let seq = Seq::new(place as u64).unwrap();
        let previous = good.chain(place - 1);
        wal_format::encode_entry(seq, at, b"{}", previous, &mut forged).unwrap();
        frames.0.insert(place - 1, forged);
        is(&frames, 13, DamageKind::Insert, place as u64 + 1);
    }
}

#[test]
fn entries_in_another_order_are_found_at_the_first_that_moved() {
    let good = Frames::of(9);
    for a in 1..=9 {
        for b in a + 1..=9 {
            let mut frames = good.clone();
            frames.0.swap(a - 1, b - 1);
            is(&frames, 9, DamageKind::Reorder, a as u64);
            // One entry moved back, one moved forth.
            let mut frames = good.clone();
            let moved = frames.0.remove(a - 1);
            frames.0.insert(b - 1, moved);
            is(&frames, 9, DamageKind::Reorder, a as u64);
            let mut frames = good.clone();
            let moved = frames.0.remove(b - 1);
            frames.0.insert(a - 1, moved);
            is(&frames, 9, DamageKind::Reorder, a as u64);
        }
    }
    let mut frames = good;
    frames.0[3..8].reverse();
    is(&frames, 9, DamageKind::Reorder, 4);
}

#[test]
fn a_log_that_was_cut_anywhere_is_truncated() {
    let frames = Frames::of(12);
    let log = frames.bytes();
    let mut place = 1;
    for len in 0..log.len() {
        while frames.offset(place + 1) <= len as u64 {
            place += 1;
        }
        let found = damaged(&log[..len], 12, None);
        let want = (DamageKind::Truncate, place, frames.offset(place));
        assert_eq!((found.kind, found.seq, found.offset), want, "cut at {len}");
        assert_eq!(found.cause.code(), codes::SAFESEQ_GT_MAXSEQ);
    }
}

#[test]
fn logs_of_others_are_classified_by_their_numbers() {
    let good = Frames::split(&foreign_frames(1..=9));
    let mut frames = good.clone();
    frames.0.remove(3);
    is(&frames, 9, DamageKind::Delete, 4);
    let mut frames = good.clone();
    frames.0.swap(3, 6);
    is(&frames, 9, DamageKind::Reorder, 4);
    let mut frames = good.clone();
    frames.0.insert(3, good.0[1].clone());
    is(&frames, 9, DamageKind::Insert, 4);
    let mut frames = good.clone();
    frames.0[3][20] = 0;
    is(&frames, 9, DamageKind::Edit, 4);
    is(&good, 10, DamageKind::Truncate, 10);
}

#[test]
fn a_change_in_front_of_the_first_chained_entry_is_found_at_that_entry() {
    let vfs = MemVfs::default();
    write(&vfs, names::WAL, &foreign_frames(1..=5));
    let overrides = Overrides { legacy_upgrade: true, operator_reset: false };
    drop(recover(&vfs, &Opening { overrides, ..opening() }).unwrap());
    let mut frames = Frames::split(&read(&vfs, names::WAL).unwrap());
    let found = check(&frames.bytes(), 6, None).unwrap();
    assert_eq!(found.scanned.chained_from.unwrap().0.get(), 6);
    let at = frames.0[2].windows(5).position(|it| it == b"allow").unwrap();
    frames.0[2][at] = b'b';
    is(&frames, 6, DamageKind::Edit, 6);
}

#[test]
fn a_seal_finds_what_the_chain_alone_cannot() {
    let good = Frames::of(12);
    let seal = SealPoint { wal_id: wal_id(), seq: Seq::new(8).unwrap(), chain: good.chain(8) };
    assert!(check(&good.bytes(), 12, Some(seal)).unwrap().sealed);
    // The same number of other entries, with a chain of their own.
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    for id in 2..=12 {
        writer.commit(&[entry(id + u64::from(id == 5), 10)]).unwrap();
    }
    writer.close().unwrap();
    let forged = Frames::split(&read(&vfs, names::WAL).unwrap());
    assert!(check(&forged.bytes(), 12, None).is_ok(), "without a seal nobody can tell");
    let found = damaged(&forged.bytes(), 12, Some(seal));
    assert_eq!((found.kind, found.seq, found.offset), (DamageKind::Fork, 8, forged.offset(8)));
    assert_eq!(found.cause.code(), codes::WAL_FORKED);
    // A change behind the seal is none of its business.
    let later = SealPoint { seq: Seq::new(4).unwrap(), chain: good.chain(4), ..seal };
    assert!(check(&forged.bytes(), 12, Some(later)).is_ok());
}

#[test]
fn a_seal_of_another_log_is_a_fork_and_nothing_else() {
    let good = Frames::of(5);
    let other = WalId::from_random([9; 16]);
    for seq in [3, 5, 50] {
        let seq = Seq::new(seq).unwrap();
        let seal = SealPoint { wal_id: other, seq, chain: good.chain(3) };
        let found = damaged(&good.bytes(), 5, Some(seal));
        assert_eq!((found.kind, found.seq, found.offset), (DamageKind::Fork, 1, 0), "{seq}");
        assert!(matches!(found.cause, DamageCause::OtherLog { .. }));
    }
}

#[test]
fn a_seal_vouches_for_entries_behind_the_safe_point() {
    let mut frames = Frames::of(12);
    let seal = SealPoint { wal_id: wal_id(), seq: Seq::new(12).unwrap(), chain: frames.chain(12) };
    assert_eq!(check(&frames.bytes(), 4, Some(seal)).unwrap().beyond_safe_point(), 8);
    let cut = frames.bytes();
    let cut = &cut[..usize::try_from(frames.offset(9)).unwrap()];
    assert_eq!(check(cut, 4, None).unwrap().entries(), 8, "nobody misses them without a seal");
    let found = damaged(cut, 4, Some(seal));
    assert_eq!((found.kind, found.seq), (DamageKind::Truncate, 9));
    assert_eq!(found.cause.code(), codes::WAL_TRUNCATED);
    frames.0[6][60] ^= 1;
    let found = damaged(&frames.bytes(), 4, Some(seal));
    assert_eq!((found.kind, found.seq, found.offset), (DamageKind::Edit, 7, frames.offset(7)));
    assert_eq!(found.cause.code(), codes::WAL_SEALED_DAMAGED);
}

#[test]
fn a_log_that_is_not_there_and_one_without_a_safe_point_are_told_apart() {
    let vfs = MemVfs::default();
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    let code = |vfs: &MemVfs| verify(vfs, Path::new(DIR), None).unwrap_err().code();
    assert_eq!(code(&vfs), codes::WAL_NOT_FOUND);
    write(&vfs, names::WAL, &Frames::of(3).bytes());
    assert_eq!(code(&vfs), codes::SAFESEQ_NOT_FOUND);
    write(&vfs, names::SAFE_SEQ, b"123");
    assert_eq!(code(&vfs), codes::SAFESEQ_CORRUPT);
    let vfs = MemVfs::default();
    write(&vfs, names::SAFE_SEQ, &[0; 8]);
    assert_eq!(code(&vfs), codes::WAL_NOT_FOUND);
    write(&vfs, names::SAFE_SEQ, &3_u64.to_le_bytes());
    assert_eq!(code(&vfs), codes::SAFESEQ_GT_MAXSEQ);
}
