//! Who sees the entries of a log that is repaired.
//!
//! * **P4** (see the module above) what a witness leaves fits beside what a repair writes itself.

use std::{io, path::Path};

use vfs::{OpenMode, Vfs};
use wal_format::{Event, WalId, names};

use super::RepairError;
use crate::{
    frames::{FrameReader, Next},
    recover::at,
    scan::{Scanner, Trust, Verdict},
    switch::NEXT_LEN_MAX,
};

/// Most bytes of the entries that a witness leaves: some ten thousand open calls.
const CARRIED_LEN_MAX: usize = 4 << 20;
/// Most bytes of an entry around its event: number, time, chain value, header.
const ENTRY_LEN_EXTRA: usize = 256;
const _: () = assert!(
    CARRIED_LEN_MAX as u64 * 2 < NEXT_LEN_MAX,
    "what a repair writes itself must fit beside what is carried"
);

/// An entry of a damaged log, as a [`Witness`] sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its payload. Behind the damage it is the content of a frame and may be anything.
    pub payload: &'a [u8],
    /// Whether it stands before the damage and holds.
    pub holds: bool,
}

/// Looks at a log that is repaired, and says what must not be forgotten with it.
pub trait Witness {
    /// Sees the entries from the first on; those behind the damage as far as frames can be found.
    fn see(&mut self, entry: Seen<'_>);

    /// Says what stands in the new log, after everything was seen.
    fn leave(&mut self, of: Option<WalId>) -> Vec<Event>;
}

/// Somebody to whom the entries of a log mean nothing.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Witness for Nobody {
    fn see(&mut self, _: Seen<'_>) {}

    fn leave(&mut self, _: Option<WalId>) -> Vec<Event> {
        Vec::new()
    }
}

/// Shows a damaged log to a witness. Behind the damage the entries prove nothing, but what they say is
/// better known than not.
pub(super) fn show(
    vfs: &dyn Vfs,
    dir: &Path,
    witness: &mut dyn Witness,
) -> Result<(), RepairError> {
    let path = dir.join(names::WAL);
    let file = match vfs.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at("open", path)(error).into()),
    };
    let mut frames = FrameReader::new(file, 0);
    let mut scanner = Scanner::new(Trust::AllWhole);
    let mut holds = true;
    while let Next::Frame { offset, payload } = frames.next().map_err(at("read", path.clone()))? {
        holds = holds && matches!(scanner.frame(offset, payload), Ok(Verdict::Holds(_)));
        witness.see(Seen { payload, holds });
    }
    Ok(())
}

/// As many events as fit beside what a repair writes itself (P4).
pub(super) fn fitting(events: &[Event]) -> &[Event] {
    let lens = events.iter().map(|it| it.to_json().len() + ENTRY_LEN_EXTRA);
    let sums = lens.scan(0, |sum, len| {
        *sum += len;
        Some(*sum)
    });
    let count = sums.take_while(|it| *it <= CARRIED_LEN_MAX).count();
    events.get(..count).unwrap_or_default()
}
