//! `active-lock.json`: which release a node runs, beside its log.
//!
//! # Layout
//!
//! | member             | value                                                          |
//! |--------------------|----------------------------------------------------------------|
//! | `schema`           | 1                                                              |
//! | `lock_fingerprint` | fingerprint of the lock, `blake3:` and 64 hex digits           |
//! | `release_counter`  | its number                                                     |
//! | `name`, `version`  | of the agent, as the lock says                                 |
//! | `artifact_ref`     | where it came from                                             |
//! | `image_digest`     | what it was                                                    |
//! | `policy_digest`    | digest of the policy that came with it                          |
//! | `activated_at`     | when, RFC 3339                                                 |
//! | `grounds`          | why it was accepted                                            |
//! | `permit`           | `nonce` and `reason` of the permit that it took, if it took one |
//! | `floor`            | what may be activated after it, see [`Floor`]                  |
//!
//! # Invariants
//!
//! * **A1** The file is replaced as a whole; a reader sees one release or the other.
//! * **A2** It is a memory beside the log, not the proof: a decision names a lock only while the policy that
//!   decides is the one that came with it.
//! * **A3** One that is there and cannot be read is not "none": what it remembers is unknown.

use std::{io, path::Path};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use supply_chain::{Digest, Floor, Nonce};
use thiserror::Error;
use vfs::{Vfs, read_whole, replace};
use wal_format::names::ACTIVE_LOCK;

/// Version of the form.
pub const ACTIVE_LOCK_SCHEMA: u32 = 1;
/// Longest file, in bytes.
pub const ACTIVE_LOCK_LEN_MAX: u64 = 1 << 20;

/// The release that a node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActiveLock {
    /// Version of the form.
    pub schema: u32,
    /// Fingerprint of the lock.
    pub lock_fingerprint: Digest,
    /// Its number.
    pub release_counter: u64,
    /// Name of the agent.
    pub name: String,
    /// Version of the agent.
    pub version: String,
    /// Where it came from.
    pub artifact_ref: String,
    /// Digest of the manifest of the image.
    pub image_digest: Digest,
    /// Digest of the policy bundle, as decisions carry it.
    pub policy_digest: Digest,
    /// When it was activated.
    pub activated_at: Timestamp,
    /// Why it was accepted: `first`, `newer`, `highest`, `restart`, `permitted`.
    pub grounds: String,
    /// The permit that it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<UsedPermit>,
    /// What may be activated after it.
    pub floor: Floor,
}

/// A permit that was used up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsedPermit {
    /// The permit.
    pub nonce: Nonce,
    /// Why it was given.
    pub reason: String,
}

impl ActiveLock {
    /// Reads the file of a log directory; `Ok(None)` when there is none.
    ///
    /// # Errors
    ///
    /// [`ActiveLockError`] (A3).
    pub fn read(vfs: &dyn Vfs, wal_dir: &Path) -> Result<Option<Self>, ActiveLockError> {
        let path = wal_dir.join(ACTIVE_LOCK);
        let bytes = read_whole(vfs, &path, ACTIVE_LOCK_LEN_MAX).map_err(ActiveLockError::Read)?;
        let Some(bytes) = bytes else { return Ok(None) };
        let damaged = |text: String| ActiveLockError::Damaged { text };
        let found: Self = serde_json::from_slice(&bytes).map_err(|it| damaged(it.to_string()))?;
        match found.schema {
            ACTIVE_LOCK_SCHEMA => Ok(Some(found)),
            other => Err(damaged(format!("schema {other} is not {ACTIVE_LOCK_SCHEMA}"))),
        }
    }

    /// Replaces the file (A1).
    ///
    /// # Errors
    ///
    /// [`ActiveLockError::Write`]; the file before stands, or this one does.
    pub fn write(&self, vfs: &dyn Vfs, wal_dir: &Path) -> Result<(), ActiveLockError> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| ActiveLockError::Write(io::Error::other(error)))?;
        bytes.push(b'\n');
        replace(vfs, &wal_dir.join(ACTIVE_LOCK), &bytes).map_err(ActiveLockError::Write)
    }
}

/// Why `active-lock.json` says nothing, or was not written.
#[derive(Debug, Error)]
pub enum ActiveLockError {
    /// It could not be read.
    #[error("{ACTIVE_LOCK} cannot be read")]
    Read(#[source] io::Error),
    /// It is not of the form.
    #[error("{ACTIVE_LOCK} is damaged: {text}")]
    Damaged {
        /// What is wrong with it.
        text: String,
    },
    /// It could not be written.
    #[error("{ACTIVE_LOCK} cannot be written")]
    Write(#[source] io::Error),
}

impl ActiveLockError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Read(_) | Self::Damaged { .. } => "ACTIVE_LOCK_DAMAGED",
            Self::Write(_) => "ACTIVE_LOCK_NOT_WRITTEN",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use vfs::{MemVfs, OpenMode, write_all_at};

    use super::*;

    pub(crate) fn lock() -> ActiveLock {
        let fingerprint = Digest::blake3(b"lock");
        ActiveLock {
            schema: ACTIVE_LOCK_SCHEMA,
            lock_fingerprint: fingerprint,
            release_counter: 7,
            name: "arm".to_owned(),
            version: "1.0.0".to_owned(),
            artifact_ref: "oci:images:1.0.0".to_owned(),
            image_digest: Digest::sha256(b"image"),
            policy_digest: Digest::sha256(b"policy"),
            activated_at: Timestamp::UNIX_EPOCH,
            grounds: "first".to_owned(),
            permit: None,
            floor: Floor {
                highest: 7,
                fingerprint_at_highest: fingerprint,
                used: BTreeMap::new(),
                forgotten: None,
            },
        }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_not_nothing() {
        let (vfs, dir) = (Arc::new(MemVfs::default()), Path::new("/wal"));
        vfs.create_dir_all(dir).unwrap();
        assert_eq!(ActiveLock::read(&*vfs, dir).unwrap(), None);
        lock().write(&*vfs, dir).unwrap();
        assert_eq!(ActiveLock::read(&*vfs, dir).unwrap(), Some(lock()));
        for text in ["", "{}", "null", r#"{"schema":2}"#] {
            let file = vfs.open(&dir.join(ACTIVE_LOCK), OpenMode::Truncate).unwrap();
            write_all_at(&*file, text.as_bytes(), 0).unwrap();
            let error = ActiveLock::read(&*vfs, dir).unwrap_err();
            assert_eq!(error.code(), "ACTIVE_LOCK_DAMAGED", "{text}");
        }
    }
}
