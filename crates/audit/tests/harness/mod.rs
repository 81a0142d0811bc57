//! What the tests of this crate share: records, a trail in memory, an oracle.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "each test file uses its part of the harness; a failed unwrap is a failed test"
)]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use audit::{
    Category, Damage, Filter, NewRecord, Outcome, Record, Settings, Source, Trail, Verdict,
    Verified, query, verify,
};
use jiff::Timestamp;
use vfs::{MemVfs, OpenMode, Vfs, read_whole, write_all_at};

pub const DIR: &str = "/audit";

pub fn dir() -> &'static Path {
    Path::new(DIR)
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_323_045 + second).unwrap()
}

/// A record that the oracle finds again by its id, and whose time is that id.
pub fn event(id: u64, padding: usize) -> NewRecord {
    let time = at(i64::try_from(id).unwrap());
    let kind = (Category::Rollout, "create");
    NewRecord::new("test.happened", kind, Outcome::Success, Source::Cli, time)
        .by("ann")
        .with("id", id)
        .with("padding", "x".repeat(padding))
}

pub fn settings(segment_len_max: u64) -> Settings {
    Settings { segment_len_max, lock_attempts: 1, ..Settings::new(Source::Cli, "pid 1") }
}

pub fn open(vfs: &MemVfs, segment_len_max: u64) -> Result<Trail, audit::OpenError> {
    Trail::open(shared(vfs), dir(), settings(segment_len_max))
}

pub fn shared(vfs: &MemVfs) -> Arc<dyn Vfs> {
    Arc::new(vfs.clone())
}

/// The ids in the trail, in its order; the trail's own records have none.
pub fn ids(records: &[Record]) -> Vec<u64> {
    records.iter().filter_map(|it| it.event.fields.get("id")?.as_u64()).collect()
}

pub fn all(vfs: &MemVfs) -> Vec<Record> {
    query(&shared(vfs), dir(), &Filter::default(), 0).unwrap()
}

pub fn whole(vfs: &MemVfs) -> Verified {
    match verify(&shared(vfs), dir()).unwrap() {
        Verdict::Whole(verified) => verified,
        Verdict::Damaged(damage) => panic!("{damage}"),
    }
}

pub fn damaged(vfs: &MemVfs) -> Option<Damage> {
    match verify(&shared(vfs), dir()).unwrap() {
        Verdict::Whole(_) => None,
        Verdict::Damaged(damage) => Some(damage),
    }
}

/// The files of a directory with their content.
pub type Files = Vec<(String, Vec<u8>)>;

pub fn files(vfs: &dyn Vfs) -> Files {
    let names = vfs.list(dir()).unwrap().into_iter().filter(|it| it != audit::LOCK);
    names
        .map(|name| {
            let bytes = read_whole(vfs, &path(&name), u64::MAX).unwrap().unwrap();
            (name, bytes)
        })
        .collect()
}

pub fn path(name: &str) -> PathBuf {
    dir().join(name)
}

/// A disk with these files.
pub fn disk(files: &[(String, Vec<u8>)]) -> MemVfs {
    let vfs = MemVfs::default();
    vfs.create_dir_all(dir()).unwrap();
    for (name, bytes) in files {
        let file = vfs.open(&path(name), OpenMode::Create).unwrap();
        write_all_at(&*file, bytes, 0).unwrap();
        file.sync_data().unwrap();
    }
    vfs.sync_dir(dir()).unwrap();
    vfs
}

/// The names of the trail's own records, in its order.
pub fn own(records: &[Record]) -> Vec<String> {
    let names = records.iter().map(|it| it.event.event_name.clone());
    names.filter(|it| it.starts_with("audit.")).collect()
}
