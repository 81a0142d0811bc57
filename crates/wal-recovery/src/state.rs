//! The small files beside the log.

use std::{io, path::Path};

use vfs::{Vfs, read_whole};
use wal_format::{SafePoint, names};

use crate::plan::FoundSafePoint;

/// Most bytes read from a file that should have eight. A longer one is refused by its length.
const SMALL: u64 = 64;

/// Reads the safe point.
pub(crate) fn read_safe_point(vfs: &dyn Vfs, dir: &Path) -> io::Result<FoundSafePoint> {
    let path = dir.join(names::SAFE_SEQ);
    match read_small(vfs, &path)? {
        Small::Absent => Ok(FoundSafePoint::Absent),
        Small::TooLong(len) => Ok(FoundSafePoint::WrongSize(len)),
        Small::Bytes(bytes) => Ok(match SafePoint::from_bytes(&bytes) {
            Ok(safe_point) => FoundSafePoint::Present(safe_point),
            Err(error) => FoundSafePoint::WrongSize(error.len as u64),
        }),
    }
}

enum Small {
    Absent,
    TooLong(u64),
    Bytes(Vec<u8>),
}

fn read_small(vfs: &dyn Vfs, path: &Path) -> io::Result<Small> {
    match read_whole(vfs, path, SMALL) {
        Ok(None) => Ok(Small::Absent),
        Ok(Some(bytes)) => Ok(Small::Bytes(bytes)),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Ok(Small::TooLong(vfs.stat(path)?.map_or(0, |it| it.len)))
        }
        Err(error) => Err(error),
    }
}

/// Whether something shows that the directory held a log before.
pub(crate) fn used_before(vfs: &dyn Vfs, dir: &Path) -> io::Result<bool> {
    let evidence = [
        names::POS,
        names::CURSORS,
        names::ARCHIVE_DIR,
        names::DAMAGED_DIR,
        names::SEAL,
        names::ACTIVE_LOCK,
    ];
    for name in evidence {
        if vfs.stat(&dir.join(name))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
