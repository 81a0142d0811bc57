//! Old archives go.
//!
//! The packed log goes first and its description last, so that what a crash leaves is still known
//! for what it is, and the next call removes it.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use vfs::{Vfs, read_whole};
use wal_format::{Manifest, WalId, names};

use super::{
    PackError,
    pack::{Files, MANIFEST_LEN_MAX, at, ids, lock_archive, remove},
};
use crate::mutants::{Mutant, removed};

/// How much of the archive stays. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Logs that were packed longer ago go.
    pub age: Option<Duration>,
    /// The oldest go until the packed logs have no more bytes than this.
    pub bytes: Option<u64>,
}

/// What was deleted, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The logs.
    pub deleted: Vec<WalId>,
    /// Bytes of the packed logs that stay.
    pub bytes_kept: u64,
}

/// Deletes the oldest archived logs beyond a limit (A3): those that are packed and described, and so
/// were delivered.
///
/// # Errors
///
/// [`PackError`] when the archive is in use or the file system fails.
pub fn prune(
    vfs: &dyn Vfs,
    dir: &Path,
    keep: Keep,
    now: Timestamp,
    holder: &str,
) -> Result<Pruned, PackError> {
    let mut pruned = Pruned::default();
    if ids(vfs, dir, ".json")?.is_empty() {
        return Ok(pruned);
    }
    let _lock = lock_archive(vfs, dir, holder)?;
    let mut finished = Vec::new();
    for wal_id in ids(vfs, dir, ".json")? {
        finished.extend(find(vfs, dir, wal_id)?);
    }
    finished.sort_by_key(|it| (it.archived_at, it.wal_id));
    let mut bytes: u64 = finished.iter().map(|it| it.packed.bytes).sum();
    for manifest in &finished {
        let age = Duration::try_from(now.duration_since(manifest.archived_at)).unwrap_or_default();
        let beyond = keep.age.is_some_and(|it| age > it) || keep.bytes.is_some_and(|it| bytes > it);
        if beyond {
            delete(vfs, dir, manifest.wal_id)?;
            bytes -= manifest.packed.bytes;
            pruned.deleted.push(manifest.wal_id);
        }
    }
    pruned.bytes_kept = bytes;
    Ok(pruned)
}

/// A log that is packed and described, and not there as it was any more. What is left of a deletion
/// that was stopped is removed.
fn find(vfs: &dyn Vfs, dir: &Path, wal_id: WalId) -> Result<Option<Manifest>, PackError> {
    let files = Files::of(dir, wal_id);
    let there = |path: &Path| vfs.stat(path).map(|it| it.is_some()).map_err(at("read", path));
    let bytes = read_whole(vfs, &files.manifest, MANIFEST_LEN_MAX)
        .map_err(at("read", &files.manifest))?
        .unwrap_or_default();
    let manifest = Manifest::from_bytes(&bytes).ok().filter(|it| it.wal_id == wal_id);
    let (plain, packed) = (there(&files.plain)?, there(&files.packed)?);
    if manifest.is_some() && !plain && !packed {
        delete(vfs, dir, wal_id)?;
        return Ok(None);
    }
    Ok(manifest.filter(|_| (packed && !plain) || removed(Mutant::PackedOnly)))
}

fn delete(vfs: &dyn Vfs, dir: &Path, wal_id: WalId) -> Result<(), PackError> {
    let files = Files::of(dir, wal_id);
    let folder = dir.join(names::ARCHIVE_DIR);
    let mut gone = [&files.packed, &files.manifest];
    if removed(Mutant::DescriptionGoesLast) {
        gone.reverse();
    }
    for path in gone {
        remove(vfs, &folder, path)?;
    }
    Ok(())
}
