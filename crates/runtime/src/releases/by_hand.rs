//! A release that an operator loads: its entry, when no runtime has the log.
//!
//! * **B1** The entry is durable before anything is loaded, as in a runtime. While a runtime has the log, it writes the
//!   entry itself as soon as it is told to reload; until then `active-lock.json` is the memory.
//! * **B2** A node that has never started gets its log here. A file beside no log would look like a log that was lost.

use supply_chain::Reference;
use thiserror::Error;
use vfs::OsVfs;
use wal_format::Event;
use wal_recovery::{Log, Opening, RecoverError, Submission, Writer, recover};

use super::{Candidate, FloorError, floor_event, remembered};
use crate::{StartError, intents::look_over};

/// Who has the entry about a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the log.
    InLog,
    /// A runtime has the log, and writes it when it reloads.
    LeftToRuntime,
}

/// Writes what is remembered elsewhere into a log at rest (M1 of `remembered`): after it was replaced by hand. Says
/// whether that was needed. Blocks.
///
/// # Errors
///
/// [`StartError`], or [`FloorError`] when nobody knows what was active.
pub fn carry_floor(opening: &Opening) -> Result<bool, CarryError> {
    let known = remembered(&OsVfs, &opening.dir)?;
    let in_log = look_over(&OsVfs, &opening.dir).map_err(StartError::Read)?.floor;
    let Some(floor) = known.floor.filter(|it| in_log.as_ref() != Some(it)) else {
        return Ok(false);
    };
    let recovered = recover(&OsVfs, opening).map_err(StartError::Recover)?;
    append(recovered.writer, &floor_event("floor_carried", &floor), opening)?;
    Ok(true)
}

fn append(writer: Writer, event: &Event, opening: &Opening) -> Result<(), StartError> {
    let log = Log::start(writer).map_err(StartError::Thread)?;
    log.append(Submission::new(event, opening.now)?)?;
    Ok(log.close()?)
}

/// Why a log does not remember what the one before did.
#[derive(Debug, Error)]
pub enum CarryError {
    /// It could not be written.
    #[error(transparent)]
    Log(#[from] StartError),
    /// Nobody knows.
    #[error(transparent)]
    Floor(#[from] FloorError),
}

/// Records that a release is loaded by hand (B1, B2). Blocks.
///
/// # Errors
///
/// [`StartError`] when the log is refused or the entry is not durable; nothing may be loaded then.
pub fn record_by_hand(
    opening: &Opening,
    candidate: &Candidate,
    image: &Reference,
) -> Result<Recorded, StartError> {
    let recovered = match recover(&OsVfs, opening) {
        Err(RecoverError::Locked { .. }) => return Ok(Recorded::LeftToRuntime),
        other => other?,
    };
    let event = candidate.accepted(&image.to_string(), opening.now).with("by", "hand");
    append(recovered.writer, &event, opening)?;
    Ok(Recorded::InLog)
}
