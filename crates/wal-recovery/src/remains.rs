//! What can be read of a log that is refused.

use std::{io, path::Path, sync::Arc};

use vfs::{File, OpenMode, Vfs};
use wal_format::{SafePoint, Seq, names};

use crate::{
    Identity,
    plan::FoundSafePoint,
    scan::{Scanner, Trust, run},
    state::read_safe_point,
};

/// What a directory still tells, whatever is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// Length of the log file in bytes; 0 when there is none.
    pub log_len: u64,
    /// The last entry before the first one that does not hold.
    pub last: Option<Seq>,
    /// Where the entries that hold end, in bytes.
    pub end: u64,
    /// Who the log is, as far as its first entry tells.
    pub identity: Option<Identity>,
    /// The safe point; `None` when it is missing or unreadable.
    pub safe_point: Option<SafePoint>,
}

fn scanner(safe_point: Option<SafePoint>) -> Scanner {
    Scanner::new(safe_point.map_or(Trust::AllWhole, Trust::UpTo))
}

/// The last entry that holds in a log that is open already, as far as the disk gives it out and whatever is in the place of the
/// safe point.
pub(crate) fn last_that_holds(vfs: &dyn Vfs, dir: &Path, file: &Arc<dyn File>) -> Option<Seq> {
    let safe_point = match read_safe_point(vfs, dir) {
        Ok(FoundSafePoint::Present(safe)) => Some(safe),
        _ => None,
    };
    let mut scanner = scanner(safe_point);
    // Neither a violation nor a bad sector takes away what came before it.
    drop(run(file, &mut scanner));
    scanner.last()
}

/// Reads what holds in `dir`, up to the first violation. Changes nothing and takes no lock.
///
/// # Errors
///
/// What the file system reports.
pub fn remains(vfs: &dyn Vfs, dir: &Path) -> io::Result<Remains> {
    let safe_point = match read_safe_point(vfs, dir)? {
        FoundSafePoint::Present(safe) => Some(safe),
        FoundSafePoint::Absent | FoundSafePoint::WrongSize(_) => None,
    };
    let file = match vfs.open(&dir.join(names::WAL), OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Remains { log_len: 0, last: None, end: 0, identity: None, safe_point });
        }
        Err(error) => return Err(error),
    };
    let mut scanner = scanner(safe_point);
    // The violation is known already: it is why somebody asks for what remains.
    drop(run(&file, &mut scanner)?);
    let (last, end) = (scanner.last(), scanner.end());
    let identity = scanner.identity().cloned();
    Ok(Remains { log_len: file.stat()?.len, last, end, identity, safe_point })
}
