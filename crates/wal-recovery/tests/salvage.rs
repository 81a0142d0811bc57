//! What holds of a log that is refused can be saved, whatever is wrong with its safe point, its switch or its end.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use std::path::Path;

use harness::{DIR, entry, foreign_frames, open, read, write};
use vfs::{MemVfs, Vfs as _};
use wal_format::names;
use wal_recovery::{ReadError, Reader, remains};

/// What is done to a directory, and its name.
type Made = (&'static str, fn(&MemVfs));

/// A log of ten entries, its birth included.
fn log() -> MemVfs {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    for id in 2..=10 {
        writer.commit(&[entry(id, 10)]).unwrap();
    }
    writer.close().unwrap();
    vfs
}

/// Payloads that a reader gives out, and how it ends.
fn payloads(mut reader: Reader) -> (Vec<Vec<u8>>, Result<(), ReadError>) {
    let mut found = Vec::new();
    loop {
        match reader.next_entry() {
            Ok(Some(item)) => found.push(item.payload.to_vec()),
            Ok(None) => return (found, Ok(())),
            Err(error) => return (found, Err(error)),
        }
    }
}

/// B4
#[test]
fn what_holds_is_given_out_whatever_the_safe_point_says_and_nothing_else() {
    let (whole, ended) = payloads(Reader::open(&log(), Path::new(DIR)).unwrap());
    assert_eq!((whole.len(), ended.is_ok()), (10, true));
    let bytes = read(&log(), names::WAL).unwrap();
    let faults: [Made; 5] = [
        ("nothing", |_| {}),
        ("no safe point", |it| it.remove(&Path::new(DIR).join(names::SAFE_SEQ)).unwrap()),
        ("a safe point of five bytes", |it| write(it, names::SAFE_SEQ, b"12345")),
        ("a safe point far behind the end", |it| write(it, names::SAFE_SEQ, &99_u64.to_le_bytes())),
        ("a switch that is none", |it| write(it, names::SWITCH, b"nonsense")),
    ];
    for (fault, make) in faults {
        let vfs = log();
        make(&vfs);
        let (found, ended) = payloads(Reader::salvage(&vfs, Path::new(DIR)).unwrap());
        assert!(ended.is_ok(), "{fault}: {ended:?}");
        assert_eq!(found, whole, "{fault}");
    }
    // A flipped bit anywhere, and a cut anywhere: what comes before it, and no word about the rest.
    for at in 0..bytes.len() {
        for cut in [false, true] {
            let vfs = log();
            let mut damaged = bytes.clone();
            *damaged.get_mut(at).unwrap() ^= 1;
            if cut {
                damaged.truncate(at);
            }
            write(&vfs, names::WAL, &damaged);
            let last = remains(&vfs, Path::new(DIR)).unwrap().last.map_or(0, wal_format::Seq::get);
            let (found, ended) = payloads(Reader::salvage(&vfs, Path::new(DIR)).unwrap());
            assert!(ended.is_ok(), "{at}: {ended:?}");
            assert_eq!(found.len() as u64, last, "{at}");
            assert!(whole.starts_with(&found), "{at}");
        }
    }
}

/// A safe point that can be read is believed where nothing else speaks for an entry: what stands behind it in a log without a
/// chain was never acknowledged.
#[test]
fn what_was_never_acknowledged_is_not_saved_as_if_it_were() {
    let vfs = MemVfs::default();
    write(&vfs, names::WAL, &foreign_frames(1..=5));
    let salvaged = || payloads(Reader::salvage(&vfs, Path::new(DIR)).unwrap()).0.len();
    assert_eq!(salvaged(), 5, "nothing says which of them were");
    write(&vfs, names::SAFE_SEQ, &3_u64.to_le_bytes());
    assert_eq!(salvaged(), 3);
}

#[test]
fn without_a_log_there_is_nothing_to_save() {
    let vfs = MemVfs::default();
    let nothing = Reader::salvage(&vfs, Path::new(DIR));
    assert!(matches!(nothing, Err(ReadError::NotFound { .. })), "{nothing:?}");
}
