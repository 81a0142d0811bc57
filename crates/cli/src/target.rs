//! Where `--out` writes to.
//!
//! | what stands there            | what is done                                                   |
//! |------------------------------|----------------------------------------------------------------|
//! | nothing, or a regular file   | written beside it, synced, renamed: whole or not at all          |
//! | a link                       | the same, at what it points to                                   |
//! | a device, a pipe, a socket   | written directly; nothing is replaced                            |
//! | a place in a log directory   | refused: a log has one writer, and this is not it                |
//! | a private key                | refused: nothing brings it back                                  |

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use api::exit::Exit;
use vfs::{OsVfs, Vfs as _};
use wal_format::names;

use crate::{
    beside::{own_name, remove_left},
    failure::Failure,
};

/// Behind the name of a file that is being written, and before the number of the process that writes it.
const PARTIAL: &str = ".autonomy-partial-";
/// Words of every private key in PEM.
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY-----";
/// Longest file that may be a key, in bytes.
const KEY_LEN_MAX: u64 = 64 << 10;

/// A file being written.
#[derive(Debug)]
pub(crate) struct Target {
    file: File,
    /// The name to take at the end and the one until then; `None` for what is written directly.
    rename: Option<(PathBuf, PathBuf)>,
}

impl Target {
    /// Opens what `--out` names.
    pub(crate) fn open(out: &Path) -> Result<Self, Failure> {
        // A link is followed, so that it stays one.
        let path = fs::canonicalize(out).unwrap_or_else(|_| out.to_owned());
        refuse_log_dir(&path)?;
        if path.is_dir() {
            let error = io::ErrorKind::IsADirectory.into();
            return Err(Failure::file("write", out, &error).hint("--out is a file"));
        }
        let direct = fs::metadata(&path).is_ok_and(|it| !it.is_file());
        if direct {
            let file = OpenOptions::new().write(true).open(&path);
            let file = file.map_err(|error| Failure::file("open", out, &error))?;
            return Ok(Self { file, rename: None });
        }
        refuse_key(&path)?;
        let partial = partial(&path);
        let file = OpenOptions::new().write(true).create_new(true).open(&partial);
        let file = file.map_err(|error| Failure::file("create", &partial, &error))?;
        Ok(Self { file, rename: Some((partial, path)) })
    }

    /// Makes what was written durable and visible.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Some((partial, path)) = self.rename else { return Ok(()) };
        self.file.sync_all().map_err(|error| Failure::file("sync", &partial, &error))?;
        fs::rename(&partial, &path).map_err(|error| Failure::file("rename", &path, &error))?;
        let dir = dir_of(&path);
        OsVfs.sync_dir(dir).map_err(|error| Failure::file("sync", dir, &error))
    }

    /// Removes what was written so far.
    pub(crate) fn abandon(self) {
        if let Some((partial, _)) = self.rename {
            // The error that led here is the one to report.
            fs::remove_file(partial).ok();
        }
    }
}

/// Refuses to replace a private key: no name of an option is worth one.
fn refuse_key(path: &Path) -> Result<(), Failure> {
    // What cannot be read is found out by whoever writes.
    let found = vfs::read_whole(&OsVfs, path, KEY_LEN_MAX).ok().flatten().unwrap_or_default();
    if !found.windows(PRIVATE_KEY.len()).any(|it| it == PRIVATE_KEY) {
        return Ok(());
    }
    let message = format!("{} holds a private key, and is not replaced", path.display());
    Err(Failure::new(Exit::Conflict, "OUT_IS_A_KEY", message).hint("choose another file"))
}

impl Write for &Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&self.file).flush()
    }
}

fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// The name until the end: of this process alone, so that two commands with one `--out` do not write into one file. What dead
/// ones left is removed.
fn partial(path: &Path) -> PathBuf {
    let named = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (dir, stem) = (dir_of(path), format!(".{named}{PARTIAL}"));
    // Who cannot remove what is left can write all the same, or is told so when it cannot.
    remove_left(dir, &stem).ok();
    dir.join(own_name(&stem))
}

/// A log is in its directory, and so is what was archived or put aside below it.
fn refuse_log_dir(path: &Path) -> Result<(), Failure> {
    let dir = fs::canonicalize(dir_of(path)).unwrap_or_else(|_| dir_of(path).to_owned());
    let is_log = |dir: &Path| [names::WAL, names::SAFE_SEQ].iter().any(|it| dir.join(it).exists());
    let below = |name: &str| dir.ancestors().find(|it| it.ends_with(name)).and_then(Path::parent);
    let above = [names::ARCHIVE_DIR, names::DAMAGED_DIR].map(below);
    if !is_log(&dir) && !above.into_iter().flatten().any(is_log) {
        return Ok(());
    }
    let message = format!("{} is in the directory of a log", path.display());
    Err(Failure::new(Exit::Usage, "OUTPUT_IN_LOG_DIR", message)
        .hint("pass an --out outside of it: only the runtime writes there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        fs::write(&out, "old").unwrap();
        let target = Target::open(&out).unwrap();
        (&target).write_all(b"new").unwrap();
        assert_eq!(fs::read(&out).unwrap(), b"old");
        target.finish().unwrap();
        assert_eq!(fs::read(&out).unwrap(), b"new");
        Target::open(&out).unwrap().abandon();
        assert_eq!(fs::read(&out).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_an_earlier_command_left_is_removed_and_a_file_of_the_user_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["out.partial", ".out.autonomy-partial-4194999"] {
            fs::write(dir.path().join(name), "half").unwrap();
        }
        Target::open(&dir.path().join("out")).unwrap().abandon();
        let left = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["out.partial"]);
    }

    #[test]
    fn a_link_stays_a_link_and_a_device_a_device() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let target = Target::open(&link).unwrap();
        (&target).write_all(b"new").unwrap();
        target.finish().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");

        let target = Target::open(Path::new("/dev/null")).unwrap();
        (&target).write_all(b"new").unwrap();
        target.finish().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn nothing_is_written_into_the_directory_of_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let wal = dir.path().join(names::WAL);
        fs::write(&wal, "log").unwrap();
        for name in [names::WAL, names::SAFE_SEQ, "anything.jsonl"] {
            let failure = Target::open(&dir.path().join(name)).unwrap_err();
            assert_eq!(failure.code, "OUTPUT_IN_LOG_DIR");
        }
        assert_eq!(fs::read(&wal).unwrap(), b"log");
        for below in [names::ARCHIVE_DIR, "damaged/20260102-1"] {
            fs::create_dir_all(dir.path().join(below)).unwrap();
            let failure = Target::open(&dir.path().join(below).join("x")).unwrap_err();
            assert_eq!(failure.code, "OUTPUT_IN_LOG_DIR", "{below}");
        }
    }
}
