//! What the log says about one call.
//!
//! The live log is read from its beginning, without a lock, as every reader does it: an entry that was
//! acknowledged is found, one that was not is not shown. What is not there is looked for in the archive, from
//! the newest log to the oldest.
//!
//! * **S1** A scan never runs on a worker, at most [`SCANS_MAX`] run at once, and one more is refused: a
//!   log may have hundreds of megabytes. It holds its place until it has ended, also when nobody waits any more.
//! * **S2** A scan ends with the last entry that a call can have: a denial has no outcome, an allow has one.
//! * **S3** A scan unpacks archived logs of [`ARCHIVED_BYTES_MAX`] at most, and the newest however long it is.
//! * **S4** What was not looked at is not absent: an answer without records says how far the search went.

use std::{path::Path, sync::Arc};

use api::tool::Verdict;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;
use tokio::{sync::Semaphore, task::spawn_blocking};
use uuid::Uuid;
use vfs::{OsVfs, Vfs};
use wal_format::{Entry, Kind, WalId};
use wal_recovery::{
    ReadError, Reader,
    archive::{self, PackError},
};

use crate::records::verdict_in;

/// Most scans at once (S1).
const SCANS_MAX: usize = 2;
/// Most entries of one call that are returned.
const ENTRIES_MAX: usize = 16;
/// Most bytes of archived logs, as they were before they were packed, that one scan reads (S3).
const ARCHIVED_BYTES_MAX: u64 = 1 << 30;

/// Room for scans.
#[derive(Debug)]
pub(crate) struct Scans(Arc<Semaphore>);

impl Default for Scans {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SCANS_MAX)))
    }
}

/// The entries of a call, oldest first.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct OnRecord {
    audit_id: String,
    entries: Vec<Value>,
    /// The archived log that has them; absent for the live one.
    #[serde(skip_serializing_if = "Option::is_none")]
    archived: Option<String>,
}

/// How far a search went that found nothing (S4). The live log was read whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Searched {
    /// Whether every log was read: then the call is in none.
    pub(crate) complete: bool,
    /// Archived logs that were read whole.
    pub(crate) archived_logs: usize,
    /// Older ones beyond the bound (S3), and logs that are not packed yet.
    #[serde(rename = "not_searched")]
    pub(crate) left_out: usize,
    /// Archived logs that could not be read.
    pub(crate) unreadable: usize,
}

/// Why there are no records.
#[derive(Debug, Error)]
pub(crate) enum LookupError {
    #[error("`{id}` is no audit id: 32 hexadecimal digits with hyphens, as an answer gives it")]
    Malformed { id: String },
    #[error("{}", unknown(id, searched))]
    Unknown { id: String, searched: Searched },
    #[error("{SCANS_MAX} scans of the log run already")]
    Busy,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Archive(#[from] PackError),
    #[error("the process ends")]
    Ends,
}

fn unknown(id: &str, searched: &Searched) -> String {
    let Searched { complete, archived_logs, left_out, unreadable } = searched;
    let text = format!("no call `{id}` in the live log and in {archived_logs} archived");
    if *complete {
        return text;
    }
    format!("{text}; {left_out} more not looked at, {unreadable} not readable")
}

impl LookupError {
    /// HTTP status and stable code.
    pub(crate) fn code(&self) -> (u16, &'static str) {
        match self {
            Self::Malformed { .. } => (400, "BAD_AUDIT_ID"),
            Self::Unknown { .. } => (404, "CALL_NOT_FOUND"),
            Self::Busy => (503, "OVERLOADED"),
            Self::Read(error) => (500, error.code()),
            Self::Archive(error) => (500, error.code()),
            Self::Ends => (503, "WAL_UNAVAILABLE"),
        }
    }

    /// How far was looked, when it was.
    pub(crate) const fn searched(&self) -> Option<&Searched> {
        match self {
            Self::Unknown { searched, .. } => Some(searched),
            _ => None,
        }
    }
}

impl Scans {
    /// Reads the entries of a call.
    pub(crate) async fn lookup(&self, dir: &Path, id: &str) -> Result<OnRecord, LookupError> {
        // Only the form that answers have: anything else is in no entry.
        let written = Uuid::try_parse(id).map(|it| it.to_string()).ok();
        if written.as_deref() != Some(id) {
            return Err(LookupError::Malformed { id: id.chars().take(64).collect() });
        }
        let (dir, id) = (dir.to_owned(), id.to_owned());
        self.off_worker(move || search(&OsVfs, &dir, id)).await?
    }

    /// Runs a scan where it keeps no worker (S1).
    async fn off_worker<T: Send + 'static>(
        &self,
        scan: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LookupError> {
        let room = Arc::clone(&self.0).try_acquire_owned().map_err(|_| LookupError::Busy)?;
        let scan = move || {
            let _until_it_ends = room;
            scan()
        };
        spawn_blocking(scan).await.map_err(|_| LookupError::Ends)
    }
}

fn search(vfs: &dyn Vfs, dir: &Path, id: String) -> Result<OnRecord, LookupError> {
    let mut found = Found::new(&id);
    let mut reader = Reader::open(vfs, dir)?;
    while !found.whole
        && let Some(item) = reader.next_entry()?
    {
        found.see(item.payload);
    }
    if let Some(entries) = found.some() {
        return Ok(OnRecord { audit_id: id, entries, archived: None });
    }
    let archive::Catalogue { packed, others } = archive::catalogue(vfs, dir)?;
    let lengths: Vec<_> = packed.iter().map(|it| it.raw.bytes).collect();
    let within = within(&lengths, ARCHIVED_BYTES_MAX);
    let left_out = others.len() + packed.len() - within;
    let mut searched = Searched { left_out, ..Searched::default() };
    for manifest in packed.iter().take(within) {
        match read_archived(vfs, dir, manifest.wal_id, &id) {
            Ok(Some(entries)) => {
                let archived = Some(manifest.wal_id.to_string());
                return Ok(OnRecord { audit_id: id, entries, archived });
            }
            Ok(None) => searched.archived_logs += 1,
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "archived log not searched");
                searched.unreadable += 1;
            }
        }
    }
    searched.complete = searched.left_out + searched.unreadable == 0;
    Err(LookupError::Unknown { id, searched })
}

/// How many logs, newest first, are read (S3).
fn within(lengths: &[u64], max: u64) -> usize {
    let mut sum = 0_u64;
    let fits = |len: &&u64| {
        sum = sum.saturating_add(**len);
        sum <= max
    };
    let fitting = lengths.iter().take_while(fits).count();
    fitting.max(lengths.len().min(1))
}

/// Entries of an archived log. What it shows counts only when all of it holds.
fn read_archived(
    vfs: &dyn Vfs,
    dir: &Path,
    wal_id: WalId,
    id: &str,
) -> Result<Option<Vec<Value>>, PackError> {
    let mut found = Found::new(id);
    archive::read(vfs, dir, wal_id, &mut |_, payload| found.see(payload))?;
    Ok(found.some())
}

/// What was found of a call so far.
struct Found<'a> {
    id: &'a str,
    entries: Vec<Value>,
    /// Whether there can be no more (S2).
    whole: bool,
}

impl<'a> Found<'a> {
    const fn new(id: &'a str) -> Self {
        Self { id, entries: Vec::new(), whole: false }
    }

    fn see(&mut self, payload: &[u8]) {
        // Parsing is dear, and nearly no entry is of this call.
        let text = str::from_utf8(payload).unwrap_or_default();
        if self.whole || !text.contains(self.id) {
            return;
        }
        let Ok(entry) = Entry::parse(payload) else { return };
        let Ok(attrs) = entry.event.attrs() else { return };
        if attrs.get("audit_id").and_then(Value::as_str) != Some(self.id) {
            return;
        }
        self.entries.extend(serde_json::from_str::<Value>(text).ok());
        self.whole = self.entries.len() >= ENTRIES_MAX
            || match entry.event.kind() {
                Kind::Decision => verdict_in(&attrs) == Some(Verdict::Deny),
                _ => true,
            };
    }

    fn some(self) -> Option<Vec<Value>> {
        Some(self.entries).filter(|it| !it.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const ID: &str = "5e0c6fd8-8a94-4f3c-9d0d-0a9ad2d0a6a1";

    #[tokio::test]
    async fn only_the_form_that_answers_have_is_looked_for() {
        let scans = Scans::default();
        for id in ["", "x", "../../etc/passwd", &ID.replace('-', ""), &ID.to_uppercase()] {
            let error = scans.lookup(Path::new("/nowhere"), id).await.unwrap_err();
            assert_eq!(error.code(), (400, "BAD_AUDIT_ID"), "{id}");
        }
        let error = scans.lookup(Path::new("/nowhere"), ID).await.unwrap_err();
        assert_eq!(error.code(), (500, "WAL_NOT_FOUND"));
        let held = scans.0.acquire_many(SCANS_MAX.try_into().unwrap()).await.unwrap();
        let error = scans.lookup(Path::new("/nowhere"), ID).await.unwrap_err();
        assert_eq!(error.code(), (503, "OVERLOADED"));
        drop(held);
    }

    #[tokio::test]
    async fn a_scan_that_nobody_waits_for_any_more_keeps_its_place_until_it_ends() {
        let scans = Scans::default();
        let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
        let (end, may_end) = mpsc::channel::<()>();
        let scan = scans.off_worker(move || {
            begun.send(()).unwrap();
            may_end.recv().ok();
        });
        tokio::select! {
            _ = scan => panic!("it cannot have ended"),
            _ = has_begun.recv() => {}
        }
        assert_eq!(scans.0.available_permits(), SCANS_MAX - 1);
        drop(end);
        let all = u32::try_from(SCANS_MAX).unwrap();
        drop(scans.0.acquire_many(all).await.unwrap());
    }

    #[test]
    fn the_archive_is_read_up_to_its_bound_and_the_newest_log_always() {
        for (lengths, want) in [
            (&[][..], 0),
            (&[11], 1),
            (&[11, 1], 1),
            (&[4, 4, 2], 3),
            (&[4, 4, 3, 1], 2),
            (&[u64::MAX, u64::MAX], 1),
        ] {
            assert_eq!(within(lengths, 10), want, "{lengths:?}");
        }
    }

    #[test]
    fn what_was_not_looked_at_is_said() {
        let text =
            |searched: Searched| LookupError::Unknown { id: "x".to_owned(), searched }.to_string();
        let complete = Searched { complete: true, archived_logs: 2, ..Searched::default() };
        assert_eq!(text(complete), "no call `x` in the live log and in 2 archived");
        let partly = Searched { left_out: 3, unreadable: 1, ..Searched::default() };
        assert!(text(partly).ends_with("; 3 more not looked at, 1 not readable"));
    }
}
