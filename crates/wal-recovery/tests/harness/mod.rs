//! What the tests of this crate share: a way to open a log, and an oracle.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "each test file uses its part of the harness; a failed unwrap is a failed test"
)]

pub mod mandate;
pub mod oracle;
pub mod world;

use std::{
    path::{Path, PathBuf},
    thread,
};

use jiff::Timestamp;
use vfs::{FaultPlan, MemVfs, OpenMode, Vfs, read_whole, write_all_at};
use wal_format::{Event, Kind};
use wal_recovery::{Durability, Opening, Overrides, RecoverError, Submission, Writer, recover};

pub const DIR: &str = "/wal";

pub fn now() -> Timestamp {
    "2026-01-02T03:04:05.000006Z".parse().unwrap()
}

pub fn opening() -> Opening {
    Opening {
        dir: PathBuf::from(DIR),
        node: "edge-1".to_owned(),
        random: [7; 16],
        now: now(),
        overrides: Overrides::default(),
        durability: Durability::Chained,
        holder: "pid 1".to_owned(),
    }
}

pub fn open(vfs: &dyn Vfs) -> Result<Writer, RecoverError> {
    recover(vfs, &opening()).map(|it| it.writer)
}

/// An entry that the oracle finds again by its id.
pub fn entry(id: u64, padding: usize) -> Submission {
    let event = Event::new(Kind::Action).with("id", id).with("padding", "x".repeat(padding));
    Submission::new(&event, now()).unwrap()
}

pub fn read(vfs: &dyn Vfs, name: &str) -> Option<Vec<u8>> {
    read_whole(vfs, &Path::new(DIR).join(name), u64::MAX).unwrap()
}

/// The log without the zeros that a living writer has put behind it.
pub fn frames(vfs: &dyn Vfs) -> Vec<u8> {
    let mut log = read(vfs, wal_format::names::WAL).unwrap();
    let zeros = log.iter().rev().take_while(|it| **it == 0).count();
    log.truncate(log.len() - zeros);
    log
}

pub fn write(vfs: &dyn Vfs, name: &str, bytes: &[u8]) {
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    vfs::replace(vfs, &Path::new(DIR).join(name), bytes).unwrap();
}

/// Writes a log of 100 entries, flips each of its bits, one at a time and on all cores, and lets
/// `check` look at the directory. It is told the number and the place of the entry that was hit, and
/// the bit.
pub fn flip_every_bit(check: impl Fn(&MemVfs, (u64, u64), &str) + Sync) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for core in 0..cores {
            let check = &check;
            scope.spawn(move || flip_bits(check, core, cores));
        }
    });
}

/// Every `cores`th entry, beginning with entry `core`.
fn flip_bits(check: &(impl Fn(&MemVfs, (u64, u64), &str) + Sync), core: usize, cores: usize) {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    let event = Event::new(Kind::Action).with("a", 1);
    for _ in 1..100 {
        writer.commit(&[Submission::new(&event, now()).unwrap()]).unwrap();
    }
    writer.close().unwrap();
    let log = read(&vfs, wal_format::names::WAL).unwrap();
    let entries = oracle::places(&log);
    assert_eq!((entries.len(), oracle::parse(&log).unwrap().len()), (100, 100));
    let wal = Path::new(DIR).join(wal_format::names::WAL);
    let file = vfs.open(&wal, OpenMode::ReadWrite).unwrap();
    for (at, place) in entries.iter().enumerate().skip(core).step_by(cores) {
        // What the disk was asked to do is of no interest here, and it adds up.
        vfs.set_plan(FaultPlan::none());
        for byte in place.clone() {
            for bit in 0..8 {
                write_all_at(&*file, &[log[byte] ^ (1 << bit)], byte as u64).unwrap();
                let hit = (at as u64 + 1, place.start as u64);
                check(&vfs, hit, &format!("byte {byte} bit {bit}"));
            }
            write_all_at(&*file, &[log[byte]], byte as u64).unwrap();
        }
        file.sync_data().unwrap();
    }
}

/// A log as others wrote it: no chain.
pub fn foreign_frames(seqs: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut out = Vec::new();
    for seq in seqs {
        let payload = format!(
            r#"{{"seq":{seq},"written_at":"2026-01-02T03:04:05Z","event":{{"kind":"autonomy.decision","attrs":{{"decision":"allow"}}}}}}"#
        );
        out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
        out.extend_from_slice(payload.as_bytes());
    }
    out
}
