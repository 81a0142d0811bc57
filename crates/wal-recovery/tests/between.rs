//! What a reader sees when something happens between two of its looks at the directory.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod harness;

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use harness::{DIR, entry, now, open, write};
use vfs::{FaultPlan, File, Lock, LockError, MemVfs, OpenMode, Stat, Vfs};
use wal_format::{Seq, names};
use wal_recovery::{Overrides, Reader, RollOver, Writer, survey, verify};

/// Entries of the old log, all of them delivered; the new one has its birth.
const OLD: u64 = 4;
const NEW: u64 = 1;

/// A directory whose log is replaced before look `at`, up to step `stop` of the roll-over.
#[derive(Debug)]
struct Between {
    vfs: MemVfs,
    writer: Mutex<Option<Writer>>,
    looks: AtomicU64,
    at: u64,
    stop: u64,
}

impl Between {
    fn new(at: u64, stop: u64) -> Self {
        let vfs = MemVfs::default();
        let mut writer = open(&vfs).unwrap();
        for id in 1..OLD {
            writer.commit(&[entry(id, 10)]).unwrap();
        }
        write(&vfs, names::POS, &OLD.to_le_bytes());
        Self { vfs, writer: Mutex::new(Some(writer)), looks: AtomicU64::new(0), at, stop }
    }

    fn look(&self) {
        if self.looks.fetch_add(1, Ordering::Relaxed) != self.at {
            return;
        }
        let mut writer = self.writer.lock().unwrap().take().unwrap();
        self.vfs.set_plan(FaultPlan::crash_at(self.stop));
        let (node, holder) = ("edge-1".into(), "pid 9".into());
        let rolled =
            writer.roll_over(&self.vfs, &RollOver { random: [1; 16], now: now(), node, holder });
        assert!(rolled.is_ok() || self.vfs.steps() > self.stop);
        self.vfs.process_kill();
    }
}

impl Vfs for Between {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        assert_eq!(mode, OpenMode::Read, "a reader changes nothing");
        self.look();
        self.vfs.open(path, mode)
    }
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        unreachable!("a reader changes nothing")
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        unreachable!("a reader changes nothing")
    }
    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
        unreachable!("a reader changes nothing")
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        unreachable!("a reader changes nothing")
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        unreachable!("a reader changes nothing")
    }
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        self.look();
        self.vfs.stat(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.look();
        self.vfs.list(dir)
    }
    fn lock(&self, _: &Path, _: &str) -> Result<Lock, LockError> {
        unreachable!("a reader takes no lock")
    }
}

/// Replaces the log before each look of `read`, stopped at each of its steps, and compares what was
/// read: the id of the log and the number of its entries.
#[track_caller]
fn sees_one_log(read: impl Fn(&Between) -> (String, u64)) {
    let old = (id(7), OLD);
    let new = (id(1), NEW);
    let mut seen = [0, 0];
    for stop in 0.. {
        for at in 0.. {
            let between = Between::new(at, stop);
            let found = read(&between);
            let place = [&old, &new].iter().position(|it| **it == found);
            let place = place.unwrap_or_else(|| panic!("{found:?}, look {at}, step {stop}"));
            seen[place] += 1;
            if between.writer.lock().unwrap().is_some() {
                assert!(at > 1, "it looked only {at} times");
                break;
            }
        }
        let whole = Between::new(0, stop);
        whole.look();
        if whole.vfs.steps() <= stop {
            assert!(seen.iter().all(|it| *it > 20), "{seen:?}");
            return;
        }
    }
}

fn id(byte: u8) -> String {
    wal_format::WalId::from_random([byte; 16]).to_string()
}

#[test]
fn a_reader_gives_out_the_old_log_or_the_new_one() {
    sees_one_log(|vfs| {
        let mut reader = Reader::open(vfs, Path::new(DIR)).unwrap();
        let mut count = 0;
        while reader.next_entry().unwrap().is_some() {
            count += 1;
        }
        (reader.identity().unwrap().wal_id.to_string(), count)
    });
}

#[test]
fn a_survey_describes_the_old_log_or_the_new_one() {
    sees_one_log(|vfs| {
        let scanned = survey(vfs, Path::new(DIR), Overrides::default()).unwrap().scanned.unwrap();
        (scanned.identity.unwrap().wal_id.to_string(), scanned.last.map_or(0, Seq::get))
    });
}

#[test]
fn a_verification_finds_the_old_log_or_the_new_one_whole() {
    sees_one_log(|vfs| {
        let found = verify(vfs, Path::new(DIR), None).unwrap();
        let entries = found.entries();
        (found.scanned.identity.unwrap().wal_id.to_string(), entries)
    });
}
