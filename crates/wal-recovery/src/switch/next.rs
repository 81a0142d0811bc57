//! S1: the next log, before anybody sees it.

use std::{iter, path::Path, sync::Arc};

use vfs::{File, OpenMode, Vfs, write_all_at};
use wal_format::{Birth, Chain, Event, Seq, names};

use super::{NEXT_LEN_MAX, remove_if_there};
use crate::{
    AppendError, RecoverError, Submission,
    mutants::{Mutant, removed},
    recover::at,
};

/// The next log, written, synced and locked.
#[derive(Debug)]
pub(crate) struct NextLog {
    pub(crate) file: Arc<dyn File>,
    pub(crate) birth: Birth,
    pub(crate) last: Seq,
    pub(crate) chain: Chain,
    pub(crate) end: u64,
}

/// Writes `telemetry.wal.next`: the birth and what belongs to it.
pub(crate) fn write_next(
    vfs: &dyn Vfs,
    dir: &Path,
    birth: Birth,
    also: &[&Event],
    now: jiff::Timestamp,
) -> Result<NextLog, RecoverError> {
    let mut bytes = Vec::new();
    let (mut last, mut chain) = (None, Chain::before(b""));
    for event in iter::once(&birth.to_event()).chain(also.iter().copied()) {
        let seq = last.map_or(Some(Seq::FIRST), Seq::next).ok_or(AppendError::SeqExhausted)?;
        chain = Submission::new(event, now)?.encode(seq, chain, &mut bytes)?;
        last = Some(seq);
    }
    let last = last.unwrap_or(Seq::FIRST);
    // Once the switch has begun, a log that no start takes for the next one would be a dead end.
    if bytes.len() as u64 > NEXT_LEN_MAX {
        return Err(AppendError::TooLarge { len: bytes.len() }.into());
    }
    // A new file, not an emptied one: what is left under this name may have another name, too.
    let path = dir.join(names::NEXT);
    remove_if_there(vfs, &path)?;
    let file = vfs.open(&path, OpenMode::Create).map_err(at("create", path.clone()))?;
    let written = file
        .try_lock()
        .and_then(|_| write_all_at(&*file, &bytes, 0))
        .and_then(|()| if removed(Mutant::NextSynced) { Ok(()) } else { file.sync_data() })
        .and_then(|()| vfs.sync_dir(dir));
    match written {
        Ok(()) => Ok(NextLog { file, birth, last, chain, end: bytes.len() as u64 }),
        Err(error) => {
            // The error is what counts; the file is overwritten by the next attempt.
            drop(remove_if_there(vfs, &path));
            Err(at("write", path)(error))
        }
    }
}
