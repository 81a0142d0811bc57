//! One slot: its files, how they are read and how they are replaced.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use vfs::{OpenMode, Vfs, read_whole, write_all_at};

use crate::{
    BUNDLE_LEN_MAX, Bundle, BundleError, Incompatible, ModuleError, RegoEvaluator,
    bundle::digest_of,
};

/// File of the bundle in a slot.
const BUNDLE_FILE: &str = "bundle.tar.gz";
/// File of what is known about the bundle in a slot.
const META_FILE: &str = "meta.json";
/// Longest `meta.json` in bytes.
const META_LEN_MAX: u64 = 64 << 10;
/// How often a slot is read that does not fit together, since somebody may be changing it.
const READS_MAX: usize = 3;

/// A slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// What decides.
    Current,
    /// What decided before.
    LastKnownGood,
}

impl Slot {
    /// Returns the name of its directory.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::LastKnownGood => "lkg",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known about the bundle in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SlotMeta {
    /// Version of the bundle.
    pub version: String,
    /// `sha256:…` of the bytes of the bundle.
    pub digest: String,
    /// `sha256:…` of the names and contents of its files.
    pub bundle_hash: String,
    /// When it was activated.
    pub loaded_at: Timestamp,
}

/// A slot that does not decide although it should.
#[derive(Debug, Error)]
#[error("slot {slot}: {fault}")]
pub struct SlotWarning {
    /// Which one.
    pub slot: Slot,
    /// Why.
    pub fault: SlotFault,
}

/// Why a slot is not good.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SlotFault {
    /// Neither file is there.
    #[error("nothing is loaded")]
    Absent,
    /// Only one of the files is there.
    #[error("{missing} is missing")]
    Incomplete {
        /// The other one.
        missing: &'static str,
    },
    /// A file cannot be read.
    #[error("{file} cannot be read: {error}")]
    Unreadable {
        /// Which one.
        file: &'static str,
        /// What the file system reports.
        error: io::Error,
    },
    /// `meta.json` is not what was written.
    #[error("meta.json cannot be read: {message}")]
    BadMeta {
        /// What is wrong.
        message: String,
    },
    /// The files are of two bundles, or the bundle was altered.
    #[error("bundle has digest {found}, meta.json says {expected}")]
    DigestMismatch {
        /// What `meta.json` says.
        expected: String,
        /// The digest of the bundle.
        found: String,
    },
    /// `meta.json` says something else than the bundle about its version or hash.
    #[error("meta.json says {expected}, the bundle says {found}")]
    MetaMismatch {
        /// What `meta.json` says.
        expected: String,
        /// What the bundle says.
        found: String,
    },
    /// The bundle is refused.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle is not made for this runtime.
    #[error(transparent)]
    Incompatible(#[from] Incompatible),
}

impl SlotFault {
    /// Returns the stable text of the kind of fault.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Absent => "slot_absent",
            Self::Incomplete { .. } => "slot_incomplete",
            Self::Unreadable { .. } => "slot_unreadable",
            Self::BadMeta { .. } => "slot_bad_meta",
            Self::DigestMismatch { .. } => "slot_digest_mismatch",
            Self::MetaMismatch { .. } => "slot_meta_mismatch",
            Self::Bundle(error) => error.code(),
            Self::Incompatible(_) => "bundle_incompatible",
        }
    }
}

impl From<ModuleError> for SlotFault {
    fn from(error: ModuleError) -> Self {
        Self::Bundle(error.into())
    }
}

/// A good slot.
#[derive(Debug)]
pub(super) struct Good {
    pub(super) bytes: Vec<u8>,
    pub(super) meta: SlotMeta,
    pub(super) evaluator: RegoEvaluator,
}

/// Reads the slot in a directory; one that does not fit together is read again, since somebody may
/// be changing it.
pub(super) fn read(vfs: &dyn Vfs, dir: &Path, runtime: &Version) -> Result<Good, SlotFault> {
    let mut res = read_once(vfs, dir, runtime);
    for _ in 1..READS_MAX {
        match res {
            Err(SlotFault::DigestMismatch { .. } | SlotFault::Incomplete { .. }) => {
                res = read_once(vfs, dir, runtime);
            }
            res => return res,
        }
    }
    res
}

fn read_once(vfs: &dyn Vfs, dir: &Path, runtime: &Version) -> Result<Good, SlotFault> {
    let (bytes, meta) = read_files(vfs, dir)?;
    let found = digest_of(&bytes);
    if meta.digest != found {
        return Err(SlotFault::DigestMismatch { expected: meta.digest, found });
    }
    let bundle = Bundle::open(&bytes)?;
    for (expected, found) in
        [(&*meta.version, bundle.version()), (&*meta.bundle_hash, bundle.hash())]
    {
        if expected != found {
            let (expected, found) = (expected.to_owned(), found.to_owned());
            return Err(SlotFault::MetaMismatch { expected, found });
        }
    }
    bundle.check_runtime(runtime)?;
    let evaluator = bundle.evaluator()?;
    Ok(Good { bytes, meta, evaluator })
}

fn read_files(vfs: &dyn Vfs, dir: &Path) -> Result<(Vec<u8>, SlotMeta), SlotFault> {
    let read = |file: &'static str, limit| {
        read_whole(vfs, &dir.join(file), limit)
            .map_err(|error| SlotFault::Unreadable { file, error })
    };
    match (read(BUNDLE_FILE, BUNDLE_LEN_MAX as u64)?, read(META_FILE, META_LEN_MAX)?) {
        (Some(bytes), Some(meta)) => {
            let meta = serde_json::from_slice(&meta)
                .map_err(|error| SlotFault::BadMeta { message: error.to_string() })?;
            Ok((bytes, meta))
        }
        (None, None) => Err(SlotFault::Absent),
        (None, Some(_)) => Err(SlotFault::Incomplete { missing: BUNDLE_FILE }),
        (Some(_), None) => Err(SlotFault::Incomplete { missing: META_FILE }),
    }
}

/// Replaces both files of the slot in a directory.
///
/// Everything that can run out of space happens beside the files; then the bundle takes its name,
/// then the meta. In between the slot is torn, and the digest tells (S3).
pub(super) fn write(vfs: &dyn Vfs, dir: &Path, bytes: &[u8], meta: &SlotMeta) -> io::Result<()> {
    let mut meta = serde_json::to_vec_pretty(meta)?;
    meta.push(b'\n');
    for (name, content) in [(BUNDLE_FILE, bytes), (META_FILE, &meta)] {
        let file = vfs.open(&beside(dir, name), OpenMode::Truncate)?;
        write_all_at(&*file, content, 0)?;
        file.sync_data()?;
    }
    for name in [BUNDLE_FILE, META_FILE] {
        vfs.rename(&beside(dir, name), &dir.join(name))?;
    }
    vfs.sync_dir(dir)
}

/// Where a file is written before it takes its name.
fn beside(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}{}", vfs::TEMP_SUFFIX))
}
