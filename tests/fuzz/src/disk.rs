//! A log directory in memory, and what an outsider sees of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use vfs::{FaultPlan, MemVfs, Vfs as _, read_whole};
use wal_format::{HEADER_LEN, MAX_PAYLOAD_LEN, names};
use wal_recovery::{Durability, Opening, Overrides, ReadError, Reader};

pub const DIR: &str = "/wal";

/// Makes a directory with these files.
pub fn make(files: &BTreeMap<&str, Vec<u8>>) -> MemVfs {
    let disk = MemVfs::default();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    for (name, bytes) in files {
        vfs::replace(&disk, &Path::new(DIR).join(name), bytes).unwrap();
    }
    // Forgets what was done so far, so that the trace shows what is done to it from here on.
    disk.set_plan(FaultPlan::none());
    disk
}

/// Every file but the lock.
pub fn files(disk: &MemVfs) -> BTreeMap<String, Vec<u8>> {
    let names = disk.list(Path::new(DIR)).unwrap().into_iter().filter(|it| it != names::LOCK);
    names.map(|it| (it.clone(), read(disk, &it).unwrap())).collect()
}

pub fn read(disk: &MemVfs, name: &str) -> Option<Vec<u8>> {
    read_whole(disk, &Path::new(DIR).join(name), u64::MAX).unwrap()
}

pub fn now() -> Timestamp {
    "2026-01-02T03:04:05.000006Z".parse().unwrap()
}

pub fn opening(overrides: Overrides, durability: Durability) -> Opening {
    Opening {
        dir: PathBuf::from(DIR),
        node: "edge-1".to_owned(),
        random: [7; 16],
        now: now(),
        overrides,
        durability,
        holder: "pid 1".to_owned(),
    }
}

/// The whole frames at the start of a log, headers included, by a walk of our own.
pub fn frames(log: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    let mut rest = log;
    while let Some(len) = rest.first_chunk::<HEADER_LEN>().map(|it| u32::from_be_bytes(*it))
        && (1..=MAX_PAYLOAD_LEN).contains(&len)
        && let Some((frame, behind)) = rest.split_at_checked(HEADER_LEN + len as usize)
    {
        frames.push(frame);
        rest = behind;
    }
    frames
}

/// What a reader gives out, frames without headers, and how it ends.
pub fn readable(disk: &MemVfs) -> (Vec<Vec<u8>>, Option<ReadError>) {
    let mut entries = Vec::new();
    let mut reader = match Reader::open(disk, Path::new(DIR)) {
        Ok(reader) => reader,
        Err(error) => return (entries, Some(error)),
    };
    loop {
        match reader.next_entry() {
            Ok(None) => return (entries, None),
            Err(error) => return (entries, Some(error)),
            Ok(Some(item)) => {
                assert_eq!(item.seq.get(), entries.len() as u64 + 1);
                let (offset, payload) = (item.offset, item.payload.to_vec());
                assert_eq!(reader.payload_at(offset).unwrap(), payload);
                entries.push(payload);
            }
        }
    }
}
