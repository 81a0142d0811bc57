//! Names of files: what may have them, and what lies beside a database.
//!
//! * **F1** A database is named itself, never through a link: `SQLite` would look for its log elsewhere.
//! * **F2** No way from a source to a destination writes over the source or what belongs to it.
//! * **F3** A name is that of a file: none of `SQLite`'s own names and URIs means anything here.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use vfs::{OpenMode, OsVfs, Vfs as _};

use super::DatabaseError;

/// What `SQLite` puts beside a database: the log, its index, the rollback journal.
pub const SIDECARS: [&str; 3] = ["-wal", "-shm", "-journal"];
/// The first bytes of every database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The first bytes of a log, with checksums in either byte order (`SQLite` file format, section 4.1).
const LOG_MAGICS: [u32; 2] = [0x377f_0682, 0x377f_0683];
/// Where a header says how the file is written and read.
const VERSIONS_AT: u64 = 18;
/// What stands there when it is with a rollback journal.
const JOURNALED: u8 = 1;
/// Length of the header of a database.
const HEADER_LEN: usize = 100;

/// A name with something behind it.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The path as `SQLite` takes it for nothing but a path (F3): `:memory:`, an empty name and what begins with `file:`
/// mean something else to it.
pub(super) fn plain(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_owned() } else { Path::new(".").join(path) }
}

/// The directory of a file.
pub(super) fn dir_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(it) if !it.as_os_str().is_empty() => it.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// What has a name: a file with this metadata, or nothing. Anything else is refused (F1).
pub(super) fn look(path: &Path) -> Result<Option<fs::Metadata>, DatabaseError> {
    if path.as_os_str().is_empty() {
        return Err(DatabaseError::NotAFile { path: path.to_owned(), found: "an empty name" });
    }
    let metadata = match fs::symlink_metadata(path) {
        Ok(it) => it,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DatabaseError::io("look at", path, error)),
    };
    let kind = metadata.file_type();
    let found = if kind.is_symlink() {
        "a link"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_file() {
        return Ok(Some(metadata));
    } else {
        "a device or a pipe"
    };
    Err(DatabaseError::NotAFile { path: path.to_owned(), found })
}

/// As [`look`], and the file must be there.
pub(super) fn existing(path: &Path) -> Result<fs::Metadata, DatabaseError> {
    look(path)?.ok_or_else(|| DatabaseError::NotFound { path: path.to_owned() })
}

/// The files beside a database that are there, with their lengths in bytes.
pub(super) fn sidecars(path: &Path) -> Result<Vec<(&'static str, u64)>, DatabaseError> {
    let mut found = Vec::new();
    for suffix in SIDECARS {
        if let Some(metadata) = look(&beside(path, suffix))? {
            found.push((suffix, metadata.len()));
        }
    }
    Ok(found)
}

/// Whether a log or a journal with something in it lies beside a database.
pub(super) fn has_log(path: &Path) -> Result<bool, DatabaseError> {
    Ok(sidecars(path)?.iter().any(|(suffix, len)| *suffix != "-shm" && *len > 0))
}

/// Whether nothing but a journal can lie beside a database, so that who only reads has nothing to clear away.
pub(super) fn is_journaled(path: &Path) -> Result<bool, DatabaseError> {
    let beside_it = sidecars(path)?;
    let there = |name| beside_it.iter().any(|(suffix, len)| *suffix == name && *len > 0);
    if there("-journal") {
        return Ok(true);
    }
    let failed = |error| DatabaseError::io("read", path, error);
    let mut versions = [0; 2];
    let read = OsVfs
        .open(path, OpenMode::Read)
        .and_then(|it| it.read_at(&mut versions, VERSIONS_AT))
        .map_err(failed)?;
    Ok(!there("-wal") && read == versions.len() && versions == [JOURNALED; 2])
}

/// Whether what lies beside a database starts as a log of `SQLite` does, so that the header in the file may be an old one.
pub(super) fn has_newer_header(path: &Path) -> Result<bool, DatabaseError> {
    let log = beside(path, "-wal");
    if look(&log)?.is_none() {
        return Ok(false);
    }
    let failed = |error| DatabaseError::io("read", &log, error);
    let mut first = [0; 4];
    let read = OsVfs
        .open(&log, OpenMode::Read)
        .and_then(|it| it.read_at(&mut first, 0))
        .map_err(failed)?;
    Ok(read == first.len() && LOG_MAGICS.contains(&u32::from_be_bytes(first)))
}

/// Refuses names that would be written while they, or what belongs to them, are read (F2).
pub(super) fn apart(source: &Path, written: &[&Path]) -> Result<(), DatabaseError> {
    let mut read = vec![resolved(source)?];
    for suffix in SIDECARS {
        read.push(resolved(&beside(source, suffix))?);
    }
    for path in written {
        let same_name = read.contains(&resolved(path)?);
        let stat =
            |it: &Path| OsVfs.stat(it).map_err(|error| DatabaseError::io("look at", it, error));
        let same_file = stat(path)?
            .is_some_and(|it| stat(source).is_ok_and(|of| of.map(|it| it.id) == Some(it.id)));
        if same_name || same_file {
            return Err(DatabaseError::SameFile { path: source.to_owned() });
        }
    }
    Ok(())
}

fn resolved(path: &Path) -> Result<PathBuf, DatabaseError> {
    let dir = dir_of(path);
    let found = fs::canonicalize(&dir).map_err(|error| DatabaseError::io("open", &dir, error))?;
    Ok(found.join(path.file_name().unwrap_or_default()))
}

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// There are none.
    Empty,
    /// A database with this application id.
    Database(i32),
    /// Something else.
    Other,
}

/// Reads the first bytes. Must come before the first connection: closing any handle of a file ends
/// the locks that the process has on it.
pub(super) fn start(path: &Path) -> Result<Start, DatabaseError> {
    let failed = |error| DatabaseError::io("read", path, error);
    let file = OsVfs.open(path, OpenMode::Read).map_err(failed)?;
    let mut header = [0; HEADER_LEN];
    let read = file.read_at(&mut header, 0).map_err(failed)?;
    Ok(start_of(header.get(..read).unwrap_or_default()))
}

fn start_of(header: &[u8]) -> Start {
    if header.is_empty() {
        return Start::Empty;
    }
    let id = header.get(68..72).and_then(|it| <[u8; 4]>::try_from(it).ok());
    match (header.starts_with(MAGIC), id) {
        (true, Some(id)) => Start::Database(i32::from_be_bytes(id)),
        _ => Start::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_file_says_what_it_is() {
        let mut header = [0; HEADER_LEN];
        assert_eq!(start_of(&header), Start::Other);
        header[..16].copy_from_slice(MAGIC);
        header[68..72].copy_from_slice(b"ARol");
        assert_eq!(start_of(&header), Start::Database(i32::from_be_bytes(*b"ARol")));
        assert_eq!(start_of(&header[..60]), Start::Other, "cut short");
        assert_eq!(start_of(&[]), Start::Empty);
    }

    #[test]
    fn links_and_directories_are_no_databases() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(look(&file).unwrap().is_some());
        assert!(look(&dir.path().join("c")).unwrap().is_none());
        assert_eq!(look(&link).unwrap_err().code(), "DB_NOT_A_FILE");
        assert_eq!(look(dir.path()).unwrap_err().code(), "DB_NOT_A_FILE");
        assert_eq!(existing(&dir.path().join("c")).unwrap_err().code(), "DB_NOT_FOUND");
    }

    #[test]
    fn no_destination_is_the_source_by_another_name_or_what_belongs_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a"), "x").unwrap();
        fs::hard_link(at("a"), at("second")).unwrap();
        for name in ["a", "a-wal", "a-shm", "a-journal", "second"] {
            let error = apart(&at("a"), &[&at("free"), &at(name)]).unwrap_err();
            assert_eq!(error.code(), "DB_SAME_FILE", "{name}");
        }
        let roundabout = dir.path().join("../").join(dir.path().file_name().unwrap()).join("a");
        assert!(apart(&at("a"), &[&roundabout]).is_err());
        apart(&at("a"), &[&at("b"), &at("a.tmp")]).unwrap();
    }
}
