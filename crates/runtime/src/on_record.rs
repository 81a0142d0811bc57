//! What the log says about one call.
//!
//! The log is read from its beginning, without a lock, as every reader does it: an entry that was
//! acknowledged is found, one that was not is not shown. The live log only; logs in the archive are for
//! tools that read files.
//!
//! * **S1** A scan never runs on a worker, at most [`SCANS_MAX`] run at once, and one more is refused: a
//!   log may have hundreds of megabytes.
//! * **S2** A scan ends with the last entry that a call can have: a denial has no outcome, an allow has one.

use std::path::Path;

use api::tool::Verdict;
use serde_json::Value;
use thiserror::Error;
use tokio::{sync::Semaphore, task::spawn_blocking};
use uuid::Uuid;
use vfs::{OsVfs, Vfs};
use wal_format::{Entry, Kind};
use wal_recovery::{ReadError, Reader};

use crate::records::verdict_in;

/// Most scans at once (S1).
const SCANS_MAX: usize = 2;
/// Most entries of one call that are returned.
const ENTRIES_MAX: usize = 16;

/// Room for scans.
#[derive(Debug)]
pub(crate) struct Scans(Semaphore);

impl Default for Scans {
    fn default() -> Self {
        Self(Semaphore::new(SCANS_MAX))
    }
}

/// Why there are no records.
#[derive(Debug, Error)]
pub(crate) enum LookupError {
    #[error("`{id}` is no audit id: 32 hexadecimal digits with hyphens, as an answer gives it")]
    Malformed { id: String },
    #[error("the log has no call `{id}`; an older log may be in the archive")]
    Unknown { id: String },
    #[error("{SCANS_MAX} scans of the log run already")]
    Busy,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the process ends")]
    Ends,
}

impl LookupError {
    /// HTTP status and stable code.
    pub(crate) fn code(&self) -> (u16, &'static str) {
        match self {
            Self::Malformed { .. } => (400, "BAD_AUDIT_ID"),
            Self::Unknown { .. } => (404, "CALL_NOT_FOUND"),
            Self::Busy => (503, "OVERLOADED"),
            Self::Read(error) => (500, error.code()),
            Self::Ends => (503, "WAL_UNAVAILABLE"),
        }
    }
}

impl Scans {
    /// Reads the entries of a call, oldest first.
    pub(crate) async fn lookup(&self, dir: &Path, id: &str) -> Result<Vec<Value>, LookupError> {
        // Only the form that answers have: anything else is in no entry.
        let written = Uuid::try_parse(id).map(|it| it.to_string()).ok();
        if written.as_deref() != Some(id) {
            return Err(LookupError::Malformed { id: id.chars().take(64).collect() });
        }
        let Ok(_room) = self.0.try_acquire() else { return Err(LookupError::Busy) };
        let (dir, wanted) = (dir.to_owned(), id.to_owned());
        let found = spawn_blocking(move || scan(&OsVfs, &dir, &wanted)).await;
        let found = found.map_err(|_| LookupError::Ends)??;
        if found.is_empty() { Err(LookupError::Unknown { id: id.to_owned() }) } else { Ok(found) }
    }
}

fn scan(vfs: &dyn Vfs, dir: &Path, id: &str) -> Result<Vec<Value>, ReadError> {
    let mut reader = Reader::open(vfs, dir)?;
    let mut found = Vec::new();
    while found.len() < ENTRIES_MAX
        && let Some(item) = reader.next_entry()?
    {
        // Parsing is dear, and nearly no entry is of this call.
        let text = str::from_utf8(item.payload).unwrap_or_default();
        if !text.contains(id) {
            continue;
        }
        let Ok(entry) = Entry::parse(item.payload) else { continue };
        let Ok(attrs) = entry.event.attrs() else { continue };
        if attrs.get("audit_id").and_then(Value::as_str) != Some(id) {
            continue;
        }
        let last = match entry.event.kind() {
            Kind::Decision => verdict_in(&attrs) == Some(Verdict::Deny),
            _ => true,
        };
        found.extend(serde_json::from_str::<Value>(text).ok());
        if last {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_form_that_answers_have_is_looked_for() {
        let scans = Scans::default();
        let whole = "5e0c6fd8-8a94-4f3c-9d0d-0a9ad2d0a6a1";
        for id in ["", "x", "../../etc/passwd", &whole.replace('-', ""), &whole.to_uppercase()] {
            let error = scans.lookup(Path::new("/nowhere"), id).await.unwrap_err();
            assert_eq!(error.code(), (400, "BAD_AUDIT_ID"), "{id}");
        }
        let error = scans.lookup(Path::new("/nowhere"), whole).await.unwrap_err();
        assert_eq!(error.code(), (500, "WAL_NOT_FOUND"));
        let held = scans.0.acquire_many(SCANS_MAX.try_into().unwrap()).await.unwrap();
        let error = scans.lookup(Path::new("/nowhere"), whole).await.unwrap_err();
        assert_eq!(error.code(), (503, "OVERLOADED"));
        drop(held);
    }
}
