//! The retry queue: work that waits for a quota.
//!
//! ```json
//! {"version": 1, "entries": [{"tentacle": "api", "goal_id": "…", "iteration": 2,
//!   "quota_reason": "rate_limit", "retry_hint": "2h", "not_before": "2026-03-01T12:00:00Z",
//!   "blocked_at": "2026-03-01T10:00:00Z", "attempts": 1}]}
//! ```
//!
//! # Invariants
//!
//! * **Y1** At most one entry per tentacle is added; a second block counts an attempt.
//! * **Y2** Keys that this version does not know are kept.
//! * **Y3** A file that cannot be read is an error, never an empty queue: an empty queue would be
//!   written over it.
//! * **Y4** The list inside the goal is a mirror. When there is a file the file is right, also about
//!   what is not in it; the mirror is read only when there is none.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{QuotaReason, not_before};

/// The version that this code writes, and the newest that it reads.
pub const RETRY_QUEUE_VERSION: u64 = 1;
/// Longest file, in bytes.
pub const RETRY_QUEUE_LEN_MAX: usize = 16 << 20;

/// Why a retry queue cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RetryQueueError {
    /// It is not the JSON of a queue.
    #[error("the retry queue is damaged: {source}; move it away to start with an empty one")]
    Corrupt {
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// A newer version of this program wrote it.
    #[error(
        "the retry queue has version {version}; this program reads up to {RETRY_QUEUE_VERSION}"
    )]
    Newer {
        /// Its version.
        version: u64,
    },
    /// It is longer than [`RETRY_QUEUE_LEN_MAX`].
    #[error("the retry queue has {len} bytes; at most {RETRY_QUEUE_LEN_MAX} are read")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
}

impl RetryQueueError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Corrupt { .. } => "RETRY_QUEUE_CORRUPT",
            Self::Newer { .. } => "RETRY_QUEUE_NEWER",
            Self::TooLong { .. } => "RETRY_QUEUE_TOO_LONG",
        }
    }
}

/// Work that waits for a quota.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryQueue {
    version: u64,
    /// What waits, in the order in which it was blocked first.
    #[serde(default)]
    pub entries: Vec<RetryEntry>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// One piece of work that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryEntry {
    /// Name of the tentacle.
    pub tentacle: String,
    /// Id of its goal.
    #[serde(default)]
    pub goal_id: String,
    /// Iteration of the goal in which it was blocked.
    #[serde(default)]
    pub iteration: u64,
    /// The quota, as written: other writers may have more names than [`QuotaReason`].
    pub quota_reason: String,
    /// When to try again, in the words of the provider.
    #[serde(default)]
    pub retry_hint: Option<String>,
    /// Before this time nothing is gained by trying.
    pub not_before: Timestamp,
    /// When it was blocked last.
    pub blocked_at: Timestamp,
    /// How often it was blocked.
    #[serde(default)]
    pub attempts: u32,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One entry of the list inside a goal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MirrorEntry {
    /// Name of the tentacle.
    pub tentacle: String,
    /// The quota, as written.
    #[serde(default)]
    pub quota_reason: Option<String>,
    /// When to try again, in the words of the provider.
    #[serde(default)]
    pub retry_hint: Option<String>,
    /// When it was blocked.
    #[serde(default)]
    pub blocked_at: Option<Timestamp>,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A block to note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Name of the tentacle.
    pub tentacle: String,
    /// Id of its goal.
    pub goal_id: String,
    /// Iteration of the goal.
    pub iteration: u64,
    /// The quota that is used up.
    pub reason: QuotaReason,
    /// When to try again, in the words of the provider.
    pub retry_hint: Option<String>,
}

impl Default for RetryQueue {
    /// Returns an empty queue.
    fn default() -> Self {
        Self { version: RETRY_QUEUE_VERSION, entries: Vec::new(), extra: Map::new() }
    }
}

/// The next whole second: nobody waits for less, and people read it.
fn whole_second(at: Timestamp) -> Timestamp {
    let second = jiff::TimestampRound::new().smallest(jiff::Unit::Second);
    at.round(second.mode(jiff::RoundMode::Ceil)).unwrap_or(at)
}

impl RetryQueue {
    /// Reads the bytes of the file, if there is one; `None` is the answer to no file (Y3).
    ///
    /// # Errors
    ///
    /// [`RetryQueueError`] when there is a file and it cannot be read.
    pub fn parse(file: Option<&[u8]>) -> Result<Option<Self>, RetryQueueError> {
        let Some(bytes) = file else { return Ok(None) };
        if bytes.len() > RETRY_QUEUE_LEN_MAX {
            return Err(RetryQueueError::TooLong { len: bytes.len() });
        }
        // The version comes first: a newer file may have another shape.
        let corrupt = |source| RetryQueueError::Corrupt { source };
        let version: Version = serde_json::from_slice(bytes).map_err(corrupt)?;
        if version.version > RETRY_QUEUE_VERSION {
            return Err(RetryQueueError::Newer { version: version.version });
        }
        serde_json::from_slice(bytes).map(Some).map_err(corrupt)
    }

    /// Returns the queue of a goal: the file when there is one, else what the goal itself lists
    /// (Y4). Entries of the list without a time count as blocked `now`.
    pub fn merged(
        file: Option<Self>,
        mirror: &[MirrorEntry],
        goal_id: &str,
        iteration: u64,
        now: Timestamp,
    ) -> Self {
        if let Some(file) = file {
            return file;
        }
        let mut queue = Self::default();
        for entry in mirror {
            let block = Block {
                tentacle: entry.tentacle.clone(),
                goal_id: goal_id.to_owned(),
                iteration,
                reason: QuotaReason::read(entry.quota_reason.as_deref().unwrap_or_default()),
                retry_hint: entry.retry_hint.clone(),
            };
            queue.upsert(block, entry.blocked_at.unwrap_or(now));
        }
        queue
    }

    /// Notes that a tentacle is blocked (Y1), and returns how often it was by now.
    pub fn upsert(&mut self, block: Block, at: Timestamp) -> u32 {
        let due = not_before(block.reason, block.retry_hint.as_deref(), at);
        let entry = RetryEntry {
            not_before: whole_second(due),
            tentacle: block.tentacle,
            goal_id: block.goal_id,
            iteration: block.iteration,
            quota_reason: block.reason.as_str().to_owned(),
            retry_hint: block.retry_hint,
            blocked_at: at,
            attempts: 1,
            extra: Map::new(),
        };
        let Some(old) = self.entries.iter_mut().find(|it| it.tentacle == entry.tentacle) else {
            self.entries.push(entry);
            return 1;
        };
        let attempts = old.attempts.saturating_add(1);
        let extra = std::mem::take(&mut old.extra);
        *old = RetryEntry { attempts, extra, ..entry };
        attempts
    }

    /// Removes what waits under this name, and returns whether something did.
    pub fn remove(&mut self, tentacle: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|it| it.tentacle != tentacle);
        self.entries.len() < before
    }

    /// Returns what may be tried at `now`, the longest due first.
    pub fn due(&self, now: Timestamp) -> Vec<&RetryEntry> {
        self.sorted(|it| it.not_before <= now)
    }

    /// Returns what still has to wait at `now`, the next due first.
    pub fn waiting(&self, now: Timestamp) -> Vec<&RetryEntry> {
        self.sorted(|it| it.not_before > now)
    }

    fn sorted(&self, which: impl Fn(&RetryEntry) -> bool) -> Vec<&RetryEntry> {
        let mut found: Vec<&RetryEntry> = self.entries.iter().filter(|it| which(it)).collect();
        found.sort_by_key(|it| it.not_before);
        found
    }

    /// Returns the list to keep inside the goal.
    pub fn mirror(&self) -> Vec<MirrorEntry> {
        let mirror = |it: &RetryEntry| MirrorEntry {
            tentacle: it.tentacle.clone(),
            quota_reason: Some(it.quota_reason.clone()),
            retry_hint: it.retry_hint.clone(),
            blocked_at: Some(it.blocked_at),
            extra: Map::new(),
        };
        self.entries.iter().map(mirror).collect()
    }
}

/// The one key that every version has.
#[derive(Deserialize)]
struct Version {
    version: u64,
}

#[cfg(test)]
mod tests;
