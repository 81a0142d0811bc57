//! A reader that looks again, while the log grows, is recovered, and is replaced.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use std::path::Path;

use harness::{DIR, entry, foreign_frames, open, opening, read, write};
use vfs::{MemVfs, Vfs as _};
use wal_format::names;
use wal_recovery::{Opening, Reader, Refreshed, codes, recover};

fn seqs(reader: &mut Reader) -> Vec<u64> {
    let mut seen = Vec::new();
    while let Some(item) = reader.next_entry().unwrap() {
        seen.push(item.seq.get());
    }
    seen
}

#[test]
fn a_reader_reads_on_where_it_stopped() {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    let mut reader = Reader::open(&vfs, Path::new(DIR)).unwrap();
    assert_eq!(seqs(&mut reader), [1]);
    assert_eq!(reader.refresh(&vfs).unwrap(), Refreshed::Unchanged);
    writer.commit(&[entry(1, 10), entry(2, 10)]).unwrap();
    assert_eq!(seqs(&mut reader), [0; 0], "not before it looks again");
    assert_eq!(reader.refresh(&vfs).unwrap(), Refreshed::Grown);
    assert_eq!(seqs(&mut reader), [2, 3]);
    // The writer is killed, a tail is cut, and another writer uses its numbers.
    drop(writer);
    let mut log = read(&vfs, names::WAL).unwrap();
    log.extend_from_slice(&foreign_frames([4]));
    let file = vfs.open(&Path::new(DIR).join(names::WAL), vfs::OpenMode::ReadWrite).unwrap();
    vfs::write_all_at(&*file, &log, 0).unwrap();
    drop(file);
    assert_eq!(reader.refresh(&vfs).unwrap(), Refreshed::Unchanged);
    assert_eq!(seqs(&mut reader), [0; 0], "a phantom is not acknowledged");
    let mut writer = open(&vfs).unwrap();
    writer.commit(&[entry(3, 10)]).unwrap();
    assert_eq!(reader.refresh(&vfs).unwrap(), Refreshed::Grown);
    assert_eq!(seqs(&mut reader), [4]);
}

/// Another log takes the place of the one in the directory, as an archive does it.
fn roll_over(vfs: &MemVfs) {
    let old = Path::new(DIR).join(names::WAL);
    vfs.rename(&old, &Path::new(DIR).join("old")).unwrap();
    write(vfs, names::SAFE_SEQ, &0_u64.to_le_bytes());
    drop(recover(vfs, &Opening { random: [8; 16], ..opening() }).unwrap());
}

#[test]
fn a_reader_finishes_the_old_log_when_a_new_one_takes_its_place() {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    writer.commit(&[entry(1, 10)]).unwrap();
    let mut reader = Reader::open(&vfs, Path::new(DIR)).unwrap();
    assert_eq!(seqs(&mut reader), [1, 2]);
    writer.commit(&[entry(2, 10), entry(3, 10)]).unwrap();
    drop(writer);
    roll_over(&vfs);
    assert_eq!(reader.refresh(&vfs).unwrap(), Refreshed::Replaced);
    assert_eq!(seqs(&mut reader), [3, 4], "nothing of the old log is skipped");
    assert_eq!(reader.refresh(&vfs).unwrap(), Refreshed::Replaced);
    assert_eq!(seqs(&mut reader), [0; 0], "and nothing repeated");
    let mut next = Reader::open(&vfs, Path::new(DIR)).unwrap();
    assert_eq!(seqs(&mut next), [1]);
    assert_ne!(next.identity().unwrap().wal_id, reader.identity().unwrap().wal_id);
}

#[test]
fn a_safe_point_that_goes_down_before_the_log_is_replaced_is_no_news() {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    writer.commit(&[entry(1, 10)]).unwrap();
    let mut reader = Reader::open(&vfs, Path::new(DIR)).unwrap();
    drop(writer);
    write(&vfs, names::SAFE_SEQ, &0_u64.to_le_bytes());
    assert_eq!(reader.refresh(&vfs).unwrap(), Refreshed::Unchanged);
    vfs.remove(&Path::new(DIR).join(names::SAFE_SEQ)).unwrap();
    assert_eq!(reader.refresh(&vfs).unwrap(), Refreshed::Unchanged);
    assert_eq!(seqs(&mut reader), [1, 2]);
    write(&vfs, names::SAFE_SEQ, b"123");
    assert_eq!(reader.refresh(&vfs).unwrap_err().code(), codes::SAFESEQ_CORRUPT);
    vfs.remove(&Path::new(DIR).join(names::WAL)).unwrap();
    assert_eq!(reader.refresh(&vfs).unwrap(), Refreshed::Replaced, "gone is replaced by nothing");
}

#[test]
fn a_log_that_appears_behind_its_safe_point_is_a_replacement_of_nothing() {
    let vfs = MemVfs::default();
    write(&vfs, names::SAFE_SEQ, &0_u64.to_le_bytes());
    let mut reader = Reader::open(&vfs, Path::new(DIR)).unwrap();
    assert_eq!(seqs(&mut reader), [0; 0]);
    assert_eq!(reader.refresh(&vfs).unwrap(), Refreshed::Unchanged);
    drop(open(&vfs).unwrap());
    assert_eq!(reader.refresh(&vfs).unwrap(), Refreshed::Replaced);
    assert_eq!(seqs(&mut reader), [0; 0]);
}

#[test]
fn damage_behind_the_place_of_a_reader_is_found_when_it_gets_there() {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    let mut reader = Reader::open(&vfs, Path::new(DIR)).unwrap();
    assert_eq!(seqs(&mut reader), [1]);
    let start = read(&vfs, names::WAL).unwrap().len() as u64;
    writer.commit(&[entry(1, 10)]).unwrap();
    let file = vfs.open(&Path::new(DIR).join(names::WAL), vfs::OpenMode::ReadWrite).unwrap();
    vfs::write_all_at(&*file, b"#", start + 50).unwrap();
    assert_eq!(reader.refresh(&vfs).unwrap(), Refreshed::Grown);
    let error = reader.next_entry().unwrap_err();
    assert_eq!(error.code(), codes::WAL_CORRUPT_CHAIN);
}
