//! Replacing a file as a whole, and reading a small one back.
//!
//! * **P1** After [`replace`] or [`replace_with`] returned `Ok` the new content is durable under its name.
//! * **P2** After a crash inside it the name holds the old content or the new, whole; at most a
//!   file with [`TEMP_SUFFIX`] is left beside it, which the next call overwrites.
//! * **P3** After an error before the rename that file is removed, as far as the file system lets us:
//!   a full disk is not left fuller.
//! * **P4** Nobody but the owner can open what [`replace_private`] writes, at no time and under no name.

use std::{io, path::Path};

use crate::{File, OpenMode, Vfs, write_all_at};

/// Suffix of the file that is written before it takes the name.
pub const TEMP_SUFFIX: &str = ".tmp";

/// Writes `bytes` beside `path`, syncs them, renames, syncs the directory (P1, P2).
///
/// # Errors
///
/// The first error of any step. Before the rename the old content is untouched.
pub fn replace(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(vfs, path, |file| write_all_at(file, bytes, 0))
}

/// Does what [`replace`] does with whatever `write` puts into the new, empty file: for content that is
/// too long to be held in memory.
///
/// # Errors
///
/// The first error of `write` or of any other step. Before the rename the old content is untouched.
pub fn replace_with(
    vfs: &dyn Vfs,
    path: &Path,
    write: impl FnOnce(&dyn File) -> io::Result<()>,
) -> io::Result<()> {
    replace_as(vfs, path, OpenMode::Truncate, write)
}

/// Does what [`replace`] does for a file that is its owner's alone (P4).
///
/// # Errors
///
/// The first error of any step. Before the rename the old content is untouched.
pub fn replace_private(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_as(vfs, path, OpenMode::TruncatePrivate, |file| write_all_at(file, bytes, 0))
}

fn replace_as(
    vfs: &dyn Vfs,
    path: &Path,
    mode: OpenMode,
    write: impl FnOnce(&dyn File) -> io::Result<()>,
) -> io::Result<()> {
    let mut temp = path.as_os_str().to_owned();
    temp.push(TEMP_SUFFIX);
    let temp = Path::new(&temp);
    let file = vfs.open(temp, mode)?;
    let written = write(&*file).and_then(|()| file.sync_data());
    drop(file);
    if let Err(error) = written.and_then(|()| vfs.rename(temp, path)) {
        // P3. When it cannot be removed either, the first error is the one to know.
        vfs.remove(temp).ok();
        return Err(error);
    }
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => vfs.sync_dir(dir),
        _ => vfs.sync_dir(Path::new(".")),
    }
}

/// Reads a whole file of at most `limit` bytes; `Ok(None)` when it does not exist.
///
/// # Errors
///
/// What the file system reports, and [`io::ErrorKind::FileTooLarge`] beyond the limit.
pub fn read_whole(vfs: &dyn Vfs, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    read_as(vfs, path, OpenMode::Read, limit)
}

/// Does what [`read_whole`] does for a file that is there itself: a symbolic link is refused.
///
/// # Errors
///
/// As [`read_whole`], and [`NotOwn`](crate::NotOwn) for a link.
pub fn read_whole_own(vfs: &dyn Vfs, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    read_as(vfs, path, OpenMode::ReadOwn, limit)
}

fn read_as(vfs: &dyn Vfs, path: &Path, mode: OpenMode, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match vfs.open(path, mode) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.stat()?.len;
    if len > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OsVfs;

    #[test]
    fn what_a_link_beside_it_points_to_is_never_written() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("it"), dir.path().join("victim"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("it.tmp")).unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("it.lock")).unwrap();
        assert!(replace(&OsVfs, &path, b"new").is_err());
        assert!(OsVfs.lock(&dir.path().join("it.lock"), "somebody").is_err());
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_private_file_is_its_owners_alone_whatever_lay_there_before() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for left in ["x", "x.tmp"] {
            let left = dir.path().join(left);
            std::fs::write(&left, "left by somebody").unwrap();
            std::fs::set_permissions(&left, std::fs::Permissions::from_mode(0o666)).unwrap();
        }
        replace_private(&OsVfs, &path, b"secret").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read(&path).unwrap(), b"secret");
    }

    #[test]
    fn the_new_content_takes_the_name_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert_eq!(read_whole(&OsVfs, &path, 10).unwrap(), None);
        for content in [&b"one"[..], b"", b"three"] {
            replace(&OsVfs, &path, content).unwrap();
            assert_eq!(read_whole(&OsVfs, &path, 10).unwrap().unwrap(), content);
        }
        assert_eq!(OsVfs.list(dir.path()).unwrap(), ["x"]);
        let error = read_whole(&OsVfs, &path, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
