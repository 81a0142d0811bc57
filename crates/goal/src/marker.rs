//! The dispatch marker: a file that says which workers are out, and so who may not commit now.
//!
//! | an entry                                                   | is        | removed by cleanup | blocks commits |
//! |------------------------------------------------------------|-----------|--------------------|----------------|
//! | whose process, noted on this host, is gone                  | `Dead`    | yes                | no             |
//! | whose process, noted on this host with its beginning, lives | `Live`    | no                 | its repository |
//! | older than [`MARKER_TTL`]                                   | `Expired` | yes                | no             |
//! | without a time                                              | `Undated` | no                 | see M4         |
//! | anything else                                               | `Live`    | no                 | its repository |
//!
//! # Invariants
//!
//! * **M0** What is known to live is live, however old it is.
//! * **M1** An entry of exactly [`MARKER_TTL`] is live; one second more and it is expired.
//! * **M2** Only a process of this host can be found dead; entries of other hosts expire.
//! * **M3** An entry with an id is removed by that id only. One without is removed by its name and
//!   repository, whoever asks.
//! * **M4** An entry without a time is never removed for its age. It blocks as long as the time of the
//!   file, if there is one, is not expired: old files have one time for all.
//! * **M5** An entry that does not say its repository blocks every one: better one commit too late.
//! * **M6** Unknown keys and the signature are kept as they are.
//! * **M7** The process of an entry leads a group; it is gone when the whole group is.

mod file;
mod read;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Liveness;

pub use file::{MarkerFileError, change as change_file, read as read_file};
pub use read::{MARKER_LEN_MAX, MarkerError};

/// How long an entry counts that nobody removes, in seconds.
pub const MARKER_TTL_SECONDS: i64 = 14_400;
/// How long an entry counts that nobody removes.
pub const MARKER_TTL: SignedDuration = SignedDuration::from_secs(MARKER_TTL_SECONDS);

/// The marker file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MarkerFile {
    /// Name of the marker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was signed, in Unix seconds, as text.
    #[serde(deserialize_with = "read::seconds", skip_serializing_if = "Option::is_none")]
    pub ts: Option<String>,
    /// The signature over name and time; kept, never made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
    /// Root of the repository, where an entry names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_root: Option<String>,
    /// Who is out.
    #[serde(deserialize_with = "read::entries")]
    pub active_tentacles: Vec<MarkerEntry>,
    /// What the workers may touch.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub scope: Value,
    /// How the workers were sent out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispatch_mode: Option<String>,
    /// [`MARKER_TTL_SECONDS`], for readers of the file; this code goes by the constant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<i64>,
    /// When the file was written last.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub written_at: Value,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One worker that is out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MarkerEntry {
    /// Name of the tentacle.
    pub name: String,
    /// When it was sent out, in Unix seconds, as text.
    #[serde(default, deserialize_with = "read::seconds", skip_serializing_if = "Option::is_none")]
    pub ts: Option<String>,
    /// Root of its repository, as a canonical path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_root: Option<String>,
    /// Id of the tentacle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tentacle_id: Option<String>,
    /// Number of its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Host of its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// When its process began, in clock ticks since the boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proc_start: Option<u64>,
    /// The boot that `proc_start` counts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Which entry is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Name of the tentacle.
    pub name: &'a str,
    /// Canonical root of its repository.
    pub git_root: Option<&'a str>,
    /// Id of the tentacle, if the caller has one.
    pub tentacle_id: Option<&'a str>,
}

/// What an entry is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Its worker may be out.
    Live,
    /// It is older than [`MARKER_TTL`].
    Expired,
    /// Its process is gone.
    Dead,
    /// It does not say when it was written.
    Undated,
}

impl MarkerEntry {
    /// Returns when the worker was sent out.
    pub fn sent_at(&self) -> Option<Timestamp> {
        time_of(self.ts.as_deref())
    }

    fn is(&self, wanted: &Identity<'_>) -> bool {
        let same_place = || self.name == wanted.name && self.git_root.as_deref() == wanted.git_root;
        match (self.tentacle_id.as_deref(), wanted.tentacle_id) {
            (Some(own), Some(wanted)) => own == wanted,
            (Some(_), None) => false,
            (None, _) => same_place(),
        }
    }

    fn identity(&self) -> Identity<'_> {
        Identity {
            name: &self.name,
            git_root: self.git_root.as_deref(),
            tentacle_id: self.tentacle_id.as_deref(),
        }
    }
}

/// Reads Unix seconds, with or without a fraction.
fn time_of(seconds: Option<&str>) -> Option<Timestamp> {
    let whole = seconds?.trim().split('.').next()?;
    Timestamp::from_second(whole.parse().ok()?).ok()
}

/// Returns whether something of this time is older than [`MARKER_TTL`] (M1).
fn is_expired(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at) > MARKER_TTL
}

/// Judges an entry, as the table says.
pub fn judge(entry: &MarkerEntry, now: Timestamp, liveness: &dyn Liveness) -> Judgement {
    if is_dead(entry, liveness) {
        return Judgement::Dead;
    }
    if is_known_alive(entry, liveness) {
        return Judgement::Live;
    }
    match entry.sent_at() {
        None => Judgement::Undated,
        Some(at) if is_expired(at, now) => Judgement::Expired,
        Some(_) => Judgement::Live,
    }
}

/// Returns whether the process of an entry is known to be gone (M2).
fn is_dead(entry: &MarkerEntry, liveness: &dyn Liveness) -> bool {
    let (Some(pid), Some(host)) = (entry.pid, entry.host.as_deref()) else { return false };
    let other_boot = entry.boot_id.as_deref().is_some_and(|it| it != liveness.boot_id());
    let gone = || !liveness.is_alive(pid, entry.proc_start) && !group_outlives(pid, liveness);
    host == liveness.host() && (other_boot || gone())
}

/// Returns whether a group goes on without its leader (M7). Where another process has the number of the leader, the group
/// is over.
fn group_outlives(leader: u32, liveness: &dyn Liveness) -> bool {
    !liveness.is_alive(leader, None) && liveness.group_lives(leader)
}

/// Returns whether the process of an entry is known to live: the same, on this host, since this boot (M0).
fn is_known_alive(entry: &MarkerEntry, liveness: &dyn Liveness) -> bool {
    let (Some(pid), Some(started)) = (entry.pid, entry.proc_start) else { return false };
    entry.host.as_deref() == Some(liveness.host())
        && entry.boot_id.as_deref() == Some(liveness.boot_id())
        && liveness.is_alive(pid, Some(started))
}

/// Adds an entry, in the place of one with the same identity, and notes when.
pub fn add(file: &mut MarkerFile, entry: MarkerEntry, now: Timestamp) {
    file.active_tentacles.retain(|it| !it.is(&entry.identity()));
    file.active_tentacles.push(entry);
    file.ttl_seconds = Some(MARKER_TTL_SECONDS);
    file.written_at = Value::from(now.to_string());
}

/// Removes the entries that are meant (M3), and returns them. The file itself is to be removed when
/// no entry is left.
pub fn remove(file: &mut MarkerFile, identity: &Identity<'_>, now: Timestamp) -> Vec<MarkerEntry> {
    let entries = std::mem::take(&mut file.active_tentacles);
    let (removed, kept) = entries.into_iter().partition(|it| it.is(identity));
    file.active_tentacles = kept;
    file.written_at = Value::from(now.to_string());
    removed
}

/// Returns the file without what is dead or expired, and what that is. The caller's file stays as it
/// is, so that a dry run is the same call.
pub fn cleanup(
    file: &MarkerFile,
    now: Timestamp,
    liveness: &dyn Liveness,
) -> (MarkerFile, Vec<(MarkerEntry, Judgement)>) {
    let mut kept = file.clone();
    let mut removed = Vec::new();
    kept.active_tentacles.clear();
    for entry in &file.active_tentacles {
        match judge(entry, now, liveness) {
            Judgement::Live | Judgement::Undated => kept.active_tentacles.push(entry.clone()),
            stale @ (Judgement::Dead | Judgement::Expired) => removed.push((entry.clone(), stale)),
        }
    }
    if !removed.is_empty() {
        kept.written_at = Value::from(now.to_string());
    }
    (kept, removed)
}

/// Returns the entry that keeps this repository from being committed to, if one does.
pub fn blocks<'a>(
    file: &'a MarkerFile,
    git_root: &str,
    now: Timestamp,
    liveness: &dyn Liveness,
) -> Option<&'a MarkerEntry> {
    let of_file = time_of(file.ts.as_deref());
    let counts = |entry: &MarkerEntry| match judge(entry, now, liveness) {
        Judgement::Live => true,
        Judgement::Undated => of_file.is_some_and(|it| !is_expired(it, now)),
        Judgement::Expired | Judgement::Dead => false,
    };
    let is_here = |entry: &MarkerEntry| {
        let root = entry.git_root.as_deref().or(file.git_root.as_deref());
        root.is_none_or(|it| it == git_root)
    };
    file.active_tentacles.iter().find(|it| is_here(it) && counts(it))
}

#[cfg(test)]
mod tests;
