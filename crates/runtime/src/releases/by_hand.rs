//! A release that an operator loads: its entry, when no runtime has the log.
//!
//! * **B1** The entry is durable before anything is loaded, as in a runtime. While a runtime has the log, it writes the
//!   entry itself as soon as it is told to reload; until then `active-lock.json` is the memory.
//! * **B2** A node that has never started gets its log here. A file beside no log would look like a log that was lost.

use supply_chain::Reference;
use vfs::OsVfs;
use wal_recovery::{Log, Opening, RecoverError, Submission, recover};

use super::Candidate;
use crate::StartError;

/// Who has the entry about a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the log.
    InLog,
    /// A runtime has the log, and writes it when it reloads.
    LeftToRuntime,
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
    let log = Log::start(recovered.writer).map_err(StartError::Thread)?;
    log.append(Submission::new(&event, opening.now)?)?;
    log.close()?;
    Ok(Recorded::InLog)
}
