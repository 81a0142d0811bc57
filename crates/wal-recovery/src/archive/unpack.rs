//! An archived log is read: what is packed holds, and is what its description says.

use std::{io, path::Path, sync::Arc};

use vfs::{File, OpenMode, Vfs, read_whole};
use wal_format::{Manifest, Seq, WalId};

use super::{
    pack::{Files, MANIFEST_LEN_MAX, PackError, at, damaged, describe, ids, statement},
    stream::Unpacked,
};

/// Checks an archived log: it unpacks, holds by the rules of the scan, and is what its description
/// and its seal say. The signature of the seal is not checked here.
///
/// # Errors
///
/// [`PackError::NotFound`], [`PackError::Damaged`] with the first difference, or
/// [`PackError::Io`].
pub fn check(vfs: &dyn Vfs, dir: &Path, wal_id: WalId) -> Result<Manifest, PackError> {
    read(vfs, dir, wal_id, &mut |_, _| ())
}

/// The logs in the archive that are packed and described.
///
/// # Errors
///
/// [`PackError::Io`] when the archive cannot be looked at.
pub fn packed(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<WalId>, PackError> {
    ids(vfs, dir, ".json")
}

/// Reads an archived log as [`check`] does, and shows its entries as they come. Only when this returns well
/// was what it showed the archived log.
///
/// # Errors
///
/// As [`check`].
pub fn read(
    vfs: &dyn Vfs,
    dir: &Path,
    wal_id: WalId,
    see: &mut dyn FnMut(Seq, &[u8]),
) -> Result<Manifest, PackError> {
    let files = Files::of(dir, wal_id);
    let missing = || PackError::NotFound { wal_id };
    let bytes = read_whole(vfs, &files.manifest, MANIFEST_LEN_MAX)
        .map_err(at("read", &files.manifest))?
        .ok_or_else(missing)?;
    let manifest = Manifest::from_bytes(&bytes)
        .map_err(|error| damaged(&files.manifest, error.to_string()))?;
    let file = match vfs.open(&files.packed, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
        other => other.map_err(at("open", &files.packed))?,
    };
    let unpacked = Arc::new(Unpacked::new(file).map_err(at("unpack", &files.packed))?);
    let as_file: Arc<dyn File> = unpacked.clone();
    let sealed = statement(manifest.seal.as_ref());
    let described = describe(&as_file, &files.packed, sealed, see)?;
    let (raw, packed) = unpacked.contents();
    let found = Manifest {
        seal: manifest.seal.clone(),
        archived_at: manifest.archived_at,
        ..described.manifest(raw, packed)
    };
    if found != manifest || found.wal_id != wal_id {
        return Err(damaged(&files.packed, "it is not what its description says".to_owned()));
    }
    Ok(manifest)
}
