//! What is in the archive, without reading any log of it.

use std::{collections::BTreeSet, path::Path};

use vfs::{Vfs, read_whole};
use wal_format::{Manifest, WalId};

use super::pack::{Files, MANIFEST_LEN_MAX, PackError, at, ids};

/// The logs of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Those that are packed and described, newest first.
    pub packed: Vec<Manifest>,
    /// Those that wait to be packed, or whose description cannot be read.
    pub others: Vec<WalId>,
}

/// Lists the archive of a log directory. Nothing of it is locked or checked: a log may be packed or deleted
/// behind the look.
///
/// # Errors
///
/// [`PackError::Io`] when the archive cannot be looked at.
pub fn catalogue(vfs: &dyn Vfs, dir: &Path) -> Result<Catalogue, PackError> {
    let mut all = BTreeSet::new();
    for suffix in [".json", ".wal", ".wal.zst"] {
        all.extend(ids(vfs, dir, suffix)?);
    }
    let mut catalogue = Catalogue::default();
    for wal_id in all {
        match description(vfs, dir, wal_id)? {
            Some(manifest) => catalogue.packed.push(manifest),
            None => catalogue.others.push(wal_id),
        }
    }
    catalogue.packed.sort_by_key(|it| std::cmp::Reverse((it.archived_at, it.wal_id)));
    Ok(catalogue)
}

fn description(vfs: &dyn Vfs, dir: &Path, wal_id: WalId) -> Result<Option<Manifest>, PackError> {
    let path = Files::of(dir, wal_id).manifest;
    let bytes = read_whole(vfs, &path, MANIFEST_LEN_MAX).map_err(at("read", &path))?;
    let manifest = bytes.and_then(|it| Manifest::from_bytes(&it).ok());
    Ok(manifest.filter(|it| it.wal_id == wal_id))
}
