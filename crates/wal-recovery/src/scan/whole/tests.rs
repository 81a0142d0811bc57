//! The parallel scan against the sequential one: the same answer to everything.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use proptest::prelude::*;
use vfs::{MemVfs, OpenMode, Vfs as _, write_all_at};
use wal_format::{Birth, Chain, Event, Kind, Origin, SafePoint, Seq, WalId, encode_entry};

use super::*;

/// What a scan comes to.
#[derive(Debug, PartialEq)]
struct Outcome {
    answer: Result<Tail, Violation>,
    scanned: Scanned,
    noted: Option<crate::scan::Noted>,
}

fn outcome(log: &[u8], trust: Trust, wanted: Option<Seq>, pace: Pace) -> Outcome {
    let vfs = MemVfs::default();
    let file = vfs.open(Path::new("/x"), OpenMode::Create).unwrap();
    write_all_at(&*file, log, 0).unwrap();
    let mut scanner = Scanner::new(trust).noting(wanted);
    let answer = run_at(&file, &mut scanner, pace).unwrap();
    let noted = scanner.noted();
    Outcome { answer, scanned: scanner.result(Tail::Clean), noted }
}

const ALONE: Pace = Pace { block_len: usize::MAX, workers: 1 };

/// Frames of a log: some of others, a birth, some of ours.
fn frames(foreign: u64, ours: u64, padding: &[usize]) -> Vec<Vec<u8>> {
    let mut log = Vec::new();
    for seq in 1..=foreign {
        let padding = "y".repeat(padding[usize::try_from(seq).unwrap() % padding.len()]);
        let payload =
            format!(r#"{{"seq":{seq},"event":{{"kind":"x","attrs":{{"p":"{padding}"}}}}}}"#);
        let mut frame = Vec::new();
        wal_format::Frame::encode(payload.as_bytes(), &mut frame).unwrap();
        log.push(frame);
    }
    let mut chain = Chain::before(&log.concat());
    let wal_id = WalId::from_random([3; 16]);
    let birth = Birth { wal_id, node: "n".to_owned(), origin: Origin::FirstRun, previous: None };
    for seq in foreign + 1..=foreign + ours {
        let padding = "x".repeat(padding[usize::try_from(seq).unwrap() % padding.len()]);
        let event = if seq == foreign + 1 {
            birth.to_event()
        } else {
            Event::new(Kind::Action).with("p", padding)
        };
        let mut frame = Vec::new();
        let at = jiff::Timestamp::UNIX_EPOCH;
        let seq = Seq::new(seq).unwrap();
        chain = encode_entry(seq, at, &event.to_json(), chain, &mut frame).unwrap();
        log.push(frame);
    }
    log
}

/// Something that happens to a log.
#[derive(Clone, Debug)]
enum Damage {
    Nothing,
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Duplicate(prop::sample::Index),
    Remove(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Zeros(usize),
    ZeroOut(prop::sample::Index, usize),
    Append(Vec<u8>),
    AppendFrame(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        Just(Damage::Nothing),
        (index(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        index().prop_map(Damage::Cut),
        index().prop_map(Damage::Duplicate),
        index().prop_map(Damage::Remove),
        (index(), index()).prop_map(|(a, b)| Damage::Swap(a, b)),
        (0..3000_usize).prop_map(Damage::Zeros),
        (index(), 1..300_usize).prop_map(|(at, len)| Damage::ZeroOut(at, len)),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Damage::Append),
        prop::collection::vec(any::<u8>(), 1..40).prop_map(Damage::AppendFrame),
    ]
}

fn apply(damage: Damage, mut frames: Vec<Vec<u8>>) -> Vec<u8> {
    let count = frames.len();
    match damage {
        Damage::Duplicate(at) => frames.insert(at.index(count), frames[at.index(count)].clone()),
        Damage::Remove(at) => drop(frames.remove(at.index(count))),
        Damage::Swap(a, b) => frames.swap(a.index(count), b.index(count)),
        _ => {}
    }
    let mut log = frames.concat();
    let len = log.len().max(1);
    match damage {
        Damage::Flip(at, bit) => log[at.index(len)] ^= 1 << bit,
        Damage::Cut(at) => log.truncate(at.index(len)),
        Damage::Zeros(more) => log.resize(log.len() + more, 0),
        Damage::ZeroOut(at, more) => {
            log.iter_mut().skip(at.index(len)).take(more).for_each(|it| *it = 0);
        }
        Damage::Append(bytes) => log.extend_from_slice(&bytes),
        Damage::AppendFrame(bytes) => wal_format::Frame::encode(&bytes, &mut log).unwrap(),
        _ => {}
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn many_workers_come_to_what_one_comes_to(
        foreign in 0..30_u64,
        ours in 0..40_u64,
        padding in prop::collection::vec(0..200_usize, 1..5),
        damage in damage(),
        safe in 0..80_u64,
        all in prop::bool::weighted(0.1),
        wanted in 0..80_u64,
        block_len in 1..1500_usize,
        workers in 2..5_usize,
    ) {
        let frames = frames(foreign, ours + u64::from(foreign == 0), &padding);
        // Most safe points are right, since a wrong one hides everything else.
        let count = frames.len() as u64;
        let safe = if safe < 60 { count * safe / 59 } else { count + safe - 60 };
        let log = apply(damage, frames);
        let trust = if all { Trust::AllWhole } else { Trust::UpTo(SafePoint::at(Seq::new(safe))) };
        let wanted = Seq::new(wanted);
        let alone = outcome(&log, trust, wanted, ALONE);
        let together = outcome(&log, trust, wanted, Pace { block_len, workers });
        prop_assert_eq!(alone, together);
    }
}

#[test]
fn a_flipped_bit_in_any_byte_has_the_same_answer_from_many_workers() {
    let mut log = frames(2, 5, &[3, 40]).concat();
    let trust = Trust::UpTo(SafePoint::at(Seq::new(6)));
    let pace = Pace { block_len: 300, workers: 2 };
    for byte in 0..log.len() {
        let mask = 1 << (byte % 8);
        log[byte] ^= mask;
        let alone = outcome(&log, trust, Seq::new(4), ALONE);
        assert_eq!(alone, outcome(&log, trust, Seq::new(4), pace), "byte {byte}");
        log[byte] ^= mask;
    }
}

#[test]
fn blocks_pass_without_the_scanner_seeing_their_frames() {
    let log = frames(40, 60, &[20]).concat();
    let vfs = MemVfs::default();
    let file = vfs.open(Path::new("/x"), OpenMode::Create).unwrap();
    write_all_at(&*file, &log, 0).unwrap();
    let pace = Pace { block_len: 1000, workers: 2 };
    let mut scanner = Scanner::new(Trust::UpTo(SafePoint::at(Seq::new(100))));
    let mut frames = FrameReader::new(Arc::clone(&file), 0);
    step(&mut frames, &mut scanner).unwrap();
    pass_blocks(&*file, &mut scanner, pace);
    let last = scanner.at.last.map_or(0, Seq::get);
    assert!((20..=40).contains(&last), "up to the first chained frame, not {last}");
    while scanner.chained_from.is_none() {
        let mut frames = FrameReader::new(Arc::clone(&file), scanner.at.end);
        step(&mut frames, &mut scanner).unwrap();
    }
    pass_blocks(&*file, &mut scanner, pace);
    let last = scanner.at.last.map_or(0, Seq::get);
    assert!((90..100).contains(&last), "up to the block with the safe point, not {last}");
}

#[test]
fn a_frame_that_is_longer_than_a_block_is_checked_alone() {
    let log = frames(3, 6, &[10, 5000]).concat();
    let trust = Trust::UpTo(SafePoint::at(Seq::new(9)));
    let pace = Pace { block_len: 600, workers: 2 };
    let found = outcome(&log, trust, None, pace);
    assert_eq!(found.answer, Ok(Tail::Clean));
    assert_eq!(found, outcome(&log, trust, None, ALONE));
}

/// A disk that lost everything: zeros of some length, and how many of them were read.
#[derive(Debug)]
struct Zeros {
    len: u64,
    read: AtomicU64,
}

impl File for Zeros {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.len.saturating_sub(offset);
        let read = usize::try_from(left).map_or(buf.len(), |it| it.min(buf.len()));
        buf[..read].fill(0);
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn stat(&self) -> io::Result<vfs::Stat> {
        Ok(vfs::Stat {
            len: self.len,
            is_dir: false,
            id: vfs::FileId { device: 1, inode: 1 },
            names: 1,
        })
    }

    fn is_named(&self, _: &Path) -> io::Result<bool> {
        Ok(true)
    }
}

#[test]
fn a_log_of_zeros_is_refused_without_reading_all_of_them() {
    for (safe, refused) in [(1, true), (0, false)] {
        let len = 200 << 20;
        let zeros = Arc::new(Zeros { len, read: AtomicU64::new(0) });
        let file: Arc<dyn File> = Arc::clone(&zeros) as _;
        let mut scanner = Scanner::new(Trust::UpTo(SafePoint::at(Seq::new(safe))));
        let answer = run_at(&file, &mut scanner, ALONE).unwrap();
        let read = zeros.read.load(Ordering::Relaxed);
        if refused {
            let error = answer.unwrap_err();
            assert_eq!(error.to_string(), "SAFESEQ_GT_MAXSEQ — safe_seq=1 but maxSeq=0");
            assert!(read < len / 2, "{read} of {len} bytes were read");
        } else {
            assert_eq!(answer, Ok(Tail::Clean));
            assert!(read >= len, "what is accepted is read to its end, not {read} bytes of it");
        }
    }
}

#[test]
fn what_stands_behind_the_zeros_that_a_writer_lays_out_is_noticed() {
    let mut log = frames(0, 3, &[20]).concat();
    let end = log.len() as u64;
    log.resize(log.len() + (5 << 20), 0);
    log.push(1);
    let trust = Trust::UpTo(SafePoint::at(Seq::new(9)));
    let seq = Seq::new(4).unwrap();
    let found = outcome(&log, trust, None, ALONE).answer;
    assert_eq!(found, Err(Violation::CorruptFrame { seq, offset: end, len: 0 }));
}
