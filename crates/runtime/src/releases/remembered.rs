//! What a node remembers about its releases, so that an old one does not come back.
//!
//! The floor is on record: every activation writes the floor behind it into the log before anything is loaded, and
//! every log begins with the floor of the log before it. `active-lock.json` is a second memory.
//!
//! | live log has a floor | `active-lock.json` | newest archived log | what is remembered          |
//! |----------------------|--------------------|---------------------|-----------------------------|
//! | yes                  | absent             | not looked at       | that of the log             |
//! | yes                  | there              | not looked at       | both, merged                |
//! | no                   | absent             | with or without     | that of the archive, if any |
//! | no                   | there              | with or without     | both, merged                |
//! | any                  | damaged            | not looked at       | unknown: nothing is activated |
//! | no                   | any                | damaged             | unknown: nothing is activated |
//!
//! # Invariants
//!
//! * **M1** What may not be forgotten is in the live log: whatever was found elsewhere is written into it at the start
//!   and after each rollover.
//! * **M2** In memory it is raised before it is recorded, so that no rollover between the two carries the old one.
//! * **M3** Unknown is not "no floor": a release is then refused, and everything else goes on.

use std::path::Path;

use serde_json::Value;
use supply_chain::Floor;
use thiserror::Error;
use vfs::Vfs;
use wal_format::{Entry, Event, Kind, WalId};
use wal_recovery::{
    ReadError, Reader,
    archive::{PackError, packed, read},
};

use super::{ActiveLock, ActiveLockError, course::EVENT};
use crate::records::lifecycle;

/// Attribute with the floor.
const FLOOR: &str = "floor";

/// The floor of a log, as its entries come.
#[derive(Clone, Debug, Default)]
pub(crate) struct FloorSeen(Option<Floor>);

impl FloorSeen {
    /// Looks at an entry that holds.
    pub(crate) fn see(&mut self, entry: &Entry<'_>) {
        if entry.event.kind() != Kind::Lifecycle {
            return;
        }
        let Ok(attrs) = entry.event.attrs() else { return };
        if attrs.get("event").and_then(Value::as_str) != Some(EVENT) {
            return;
        }
        let floor = attrs.get(FLOOR).cloned().map(serde_json::from_value::<Floor>);
        if let Some(Ok(floor)) = floor {
            self.0 = merged(self.0.take(), Some(floor));
        }
    }

    /// What was seen.
    pub(crate) fn floor(self) -> Option<Floor> {
        self.0
    }
}

/// Everything that either remembers.
pub(crate) fn merged(a: Option<Floor>, b: Option<Floor>) -> Option<Floor> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.merged(b)),
        (a, b) => a.or(b),
    }
}

/// The entry that carries a floor on: `step` says on which occasion.
pub(crate) fn floor_event(step: &str, floor: &Floor) -> Event {
    // Numbers, digests and times always serialize.
    let value = serde_json::to_value(floor).unwrap_or_default();
    lifecycle(EVENT).with("step", step).with(FLOOR, value)
}

/// What a node remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The floor; none before the first activation.
    pub floor: Option<Floor>,
    /// The release that was activated last.
    pub active: Option<ActiveLock>,
}

/// Finds what a node remembers (the table of the module). Reads; takes no lock.
///
/// # Errors
///
/// [`FloorError`]: what it remembers is unknown (M3).
pub fn remembered(vfs: &dyn Vfs, wal_dir: &Path) -> Result<Remembered, FloorError> {
    let mut seen = FloorSeen::default();
    match Reader::open(vfs, wal_dir) {
        // A node that has never started has a memory all the same, in the file.
        Err(ReadError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
        Ok(mut reader) => {
            while let Some(item) = reader.next_entry()? {
                if let Ok(entry) = Entry::parse(item.payload) {
                    seen.see(&entry);
                }
            }
        }
    }
    beside(vfs, wal_dir, seen.floor())
}

/// The same when the live log was read already.
pub(crate) fn beside(
    vfs: &dyn Vfs,
    wal_dir: &Path,
    in_log: Option<Floor>,
) -> Result<Remembered, FloorError> {
    let floor = match in_log {
        None => of_newest_archive(vfs, wal_dir)?,
        some => some,
    };
    with_file(vfs, wal_dir, floor)
}

/// The same when the log and the archive are known: `floor` is what is in memory.
///
/// # Errors
///
/// [`FloorError::File`].
pub(crate) fn with_file(
    vfs: &dyn Vfs,
    wal_dir: &Path,
    floor: Option<Floor>,
) -> Result<Remembered, FloorError> {
    let active = ActiveLock::read(vfs, wal_dir)?;
    let floor = merged(floor, active.as_ref().map(|it| it.floor.clone()));
    Ok(Remembered { floor, active })
}

/// The floor of the log that was archived last. Those before it had none that it has not (M1).
fn of_newest_archive(vfs: &dyn Vfs, wal_dir: &Path) -> Result<Option<Floor>, FloorError> {
    let mut newest: Option<(jiff::Timestamp, WalId, FloorSeen)> = None;
    for wal_id in packed(vfs, wal_dir)? {
        let mut seen = FloorSeen::default();
        let manifest = read(vfs, wal_dir, wal_id, &mut |_, payload| {
            if let Ok(entry) = Entry::parse(payload) {
                seen.see(&entry);
            }
        })?;
        if newest.as_ref().is_none_or(|it| manifest.archived_at > it.0) {
            newest = Some((manifest.archived_at, wal_id, seen));
        }
    }
    Ok(newest.and_then(|it| it.2.floor()))
}

/// Why it is unknown what a node remembers.
#[derive(Debug, Error)]
pub enum FloorError {
    /// The log cannot be read.
    #[error("the releases that were active here are unknown: {0}")]
    Log(#[from] ReadError),
    /// `active-lock.json` cannot be read.
    #[error("the releases that were active here are unknown: {0}")]
    File(#[from] ActiveLockError),
    /// An archived log cannot be read.
    #[error("the releases that were active here are unknown: {0}")]
    Archive(#[from] PackError),
}

impl FloorError {
    /// Returns the stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Log(error) => error.code(),
            Self::File(error) => error.code(),
            Self::Archive(error) => error.code(),
        }
    }
}
