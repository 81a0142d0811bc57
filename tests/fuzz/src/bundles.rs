//! Any file that is said to be a bundle: what is opened is whole, safe and one and the same.
//!
//! | offset | size | field                                                                          |
//! |-------:|-----:|--------------------------------------------------------------------------------|
//! |      0 |    1 | bit 0: the rest is the file; bit 1: the rest is the archive, to be compressed    |
//!
//! Otherwise the rest is a list of entries: one byte of kind (index into [`KINDS`]), one byte of length and a name, one
//! byte of repetitions, two bytes of length and a content.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use policy::{Bundle, Evaluator};
use serde_json::json;
use tar::{EntryType, Header};

use crate::modules::{quietly, request};

const KINDS: [EntryType; 8] = [
    EntryType::Regular,
    EntryType::Regular,
    EntryType::Regular,
    EntryType::Directory,
    EntryType::Symlink,
    EntryType::Link,
    EntryType::Fifo,
    EntryType::XHeader,
];
/// Most entries that are made of some bytes.
const ENTRIES_MAX: usize = 4096;

struct Entry<'a> {
    kind: EntryType,
    name: &'a [u8],
    content: &'a [u8],
    times: u8,
}

/// Checks one file.
pub fn check(bytes: &[u8]) {
    let Some((flags, rest)) = bytes.split_first() else { return };
    match flags & 3 {
        0 => structured(rest),
        1 => drop(opened(rest)),
        _ => drop(opened(&gzip(rest))),
    }
}

fn structured(mut rest: &[u8]) {
    let mut entries = Vec::new();
    while let Some(entry) = read(&mut rest) {
        entries.push(entry);
    }
    let file = gzip(&archive(&entries));
    let opened = opened(&file);
    let bad = |it: &Entry| {
        let components = it.name.split(|it| *it == b'/');
        let climbs = components.clone().any(|it| it == b"..") || it.name.starts_with(b"/");
        climbs || !matches!(it.kind, EntryType::Regular | EntryType::Directory)
    };
    if entries.iter().filter(|it| it.times > 0).any(bad) {
        assert!(!opened, "an unsafe entry was accepted");
    }
    let twice = entries.iter().any(|it| it.times > 1 && it.kind == EntryType::Regular);
    assert!(!(twice && opened), "two entries of one name were accepted");
    // A file that was cut off anywhere is no bundle.
    if opened {
        for cut in [file.len() / 2, file.len() - 1] {
            assert!(Bundle::open(&file[..cut]).is_err(), "cut at {cut}");
        }
    }
}

fn read<'a>(rest: &mut &'a [u8]) -> Option<Entry<'a>> {
    let ([kind, name_len], after) = rest.split_first_chunk::<2>()?;
    let (name, after) = after.split_at_checked(usize::from(*name_len).min(100))?;
    let ([times, low, high], after) = after.split_first_chunk::<3>()?;
    let len = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
    let (content, after) = after.split_at(len);
    *rest = after;
    Some(Entry { kind: KINDS[usize::from(kind % 8)], name, content, times: *times })
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut res = Vec::new();
    let all = entries.iter().flat_map(|it| std::iter::repeat_n(it, usize::from(it.times)));
    for entry in all.take(ENTRIES_MAX) {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..entry.name.len()].copy_from_slice(entry.name);
        header.set_entry_type(entry.kind);
        header.set_size(entry.content.len() as u64);
        header.set_mode(0o644);
        if matches!(entry.kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name_literal("/etc/passwd").unwrap();
        }
        header.set_cksum();
        res.extend(header.as_bytes());
        res.extend(entry.content);
        res.resize(res.len().next_multiple_of(512), 0);
    }
    res.resize(res.len() + 1024, 0);
    res
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Opens a file, and looks whether what was opened is what it must be.
fn opened(file: &[u8]) -> bool {
    let bundle = match Bundle::open(file) {
        Ok(bundle) => bundle,
        Err(error) => {
            assert!(!error.code().is_empty() && !error.to_string().is_empty());
            return false;
        }
    };
    assert!(!bundle.version().is_empty());
    for digest in [bundle.hash(), bundle.digest()] {
        let hex = digest.strip_prefix("sha256:").unwrap();
        assert!(hex.len() == 64 && hex.bytes().all(|it| it.is_ascii_hexdigit()));
    }
    let again = Bundle::open(file).unwrap();
    assert_eq!((again.hash(), again.version()), (bundle.hash(), bundle.version()));
    if let Ok(evaluator) = bundle.evaluator() {
        assert_eq!(evaluator.policy_digest(), bundle.digest());
        let (request, _) = request("tool.echo", &json!({}));
        let _ = quietly(|| evaluator.evaluate(&request));
    }
    true
}
