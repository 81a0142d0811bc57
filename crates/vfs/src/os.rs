//! The file system of the operating system.

use std::{
    fs, io,
    os::unix::fs::{
        DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _,
        PermissionsExt as _,
    },
    path::Path,
    sync::Arc,
};

use crate::{File, FileId, Lock, LockError, NotOwn, OpenMode, Stat, Vfs};

/// Mode of a file that is its owner's alone.
const PRIVATE_FILE: u32 = 0o600;
/// Mode of a directory that is its owner's alone.
const PRIVATE_DIR: u32 = 0o700;

/// The real file system (Unix).
#[derive(Clone, Copy, Debug, Default)]
pub struct OsVfs;

#[derive(Debug)]
struct OsFile {
    file: fs::File,
    /// Never changes while the file is open.
    id: FileId,
}

impl Vfs for OsVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        // Emptied below, when it is known whose it is.
        options.read(true).write(mode.writes()).create(mode.creates()).truncate(false);
        if matches!(mode, OpenMode::TruncatePrivate | OpenMode::CreatePrivate) {
            options.mode(PRIVATE_FILE);
        }
        let links = if mode.refuses_links() { NO_LINK } else { 0 };
        let file = options.custom_flags(NEVER_WAIT | links).open(path).map_err(link_said)?;
        let metadata = file.metadata()?;
        check_kind(&metadata)?;
        let found = stat(&metadata);
        if mode.empties() {
            NotOwn::names(&found)?;
        }
        if mode == OpenMode::TruncatePrivate {
            // What a crash left here may have been made by another mode.
            file.set_permissions(fs::Permissions::from_mode(PRIVATE_FILE))?;
        }
        if mode.empties() && found.len > 0 {
            file.set_len(0)?;
        }
        Ok(Arc::new(OsFile { file, id: found.id }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let missing: Vec<_> = path.ancestors().take_while(|it| !it.exists()).collect();
        fs::create_dir_all(path)?;
        for made in missing {
            match made.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => self.sync_dir(parent)?,
                _ => self.sync_dir(Path::new("."))?,
            }
        }
        Ok(())
    }

    fn create_private_dir(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.create_dir_all(parent)?,
            _ => {}
        }
        match fs::DirBuilder::new().mode(PRIVATE_DIR).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => self.sync_dir(parent),
                _ => self.sync_dir(Path::new(".")),
            },
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        use rustix::fs::{AtFlags, CWD, linkat};

        // A second name for a symbolic link would keep a way to the file, not the file.
        Ok(linkat(CWD, from, CWD, to, AtFlags::SYMLINK_FOLLOW)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(stat(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn modified_ms(&self, path: &Path) -> io::Result<Option<i64>> {
        let modified = match fs::metadata(path) {
            Ok(found) => found.modified()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_millis()).ok())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Lock, LockError> {
        crate::lock::lock_file(path, holder)
    }
}

impl File for OsFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|it| !it.is_empty()) {
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(buf, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn stat(&self) -> io::Result<Stat> {
        Ok(stat(&self.file.metadata()?))
    }

    fn is_named(&self, path: &Path) -> io::Result<bool> {
        Ok(self.named_len(path)?.is_some())
    }

    fn named_len(&self, path: &Path) -> io::Result<Option<u64>> {
        Ok(look_up(path)?.filter(|it| it.0 == self.id).map(|it| it.1))
    }
}

/// Opening a pipe that nobody writes would wait for ever, and no signal ends the wait.
#[expect(clippy::cast_possible_wrap, reason = "the flags of open are bits, not a number")]
pub(crate) const NEVER_WAIT: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// What a link points to may be anybody's file.
#[expect(clippy::cast_possible_wrap, reason = "the flags of open are bits, not a number")]
pub(crate) const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

/// What the system says about a link where none is followed.
pub(crate) fn link_said(error: io::Error) -> io::Error {
    // It says the same of a directory on the way that leads round in a circle: that is no file of ours either.
    if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        return NotOwn::Link.into();
    }
    error
}

/// A log consists of files. Reading a directory fails, a pipe is read once and a device without end: said
/// here, before anybody depends on it.
pub(crate) fn check_kind(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(())
}

/// Which file a path names and how long it is, and nothing else about it.
///
/// Asking for the times of a file, as every `stat` does, makes newer kernels give the next write a
/// time of its own, which dirties the inode: a question after each sync would cost the next sync a
/// journal commit.
#[cfg(target_os = "linux")]
fn look_up(path: &Path) -> io::Result<Option<(FileId, u64)>> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

    match statx(CWD, path, AtFlags::empty(), StatxFlags::INO | StatxFlags::SIZE) {
        Ok(found) => {
            let device = makedev(found.stx_dev_major, found.stx_dev_minor);
            Ok(Some((FileId { device, inode: found.stx_ino }, found.stx_size)))
        }
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Which file a path names, and how long it is.
#[cfg(not(target_os = "linux"))]
fn look_up(path: &Path) -> io::Result<Option<(FileId, u64)>> {
    Ok(OsVfs.stat(path)?.map(|it| (it.id, it.len)))
}

pub(crate) fn stat(metadata: &fs::Metadata) -> Stat {
    Stat {
        len: metadata.len(),
        is_dir: metadata.is_dir(),
        id: FileId { device: metadata.dev(), inode: metadata.ino() },
        names: metadata.nlink(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_all_at;

    #[test]
    fn bytes_and_names_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("a/b");
        OsVfs.create_dir_all(&sub).unwrap();
        let path = sub.join("x");
        assert_eq!(OsVfs.stat(&path).unwrap(), None);
        let file = OsVfs.open(&path, OpenMode::Create).unwrap();
        write_all_at(&*file, b"hello", 3).unwrap();
        file.sync_data().unwrap();
        let mut buf = [9; 10];
        assert_eq!(file.read_at(&mut buf, 0).unwrap(), 8);
        assert_eq!(&buf[..8], b"\0\0\0hello");
        assert_eq!(OsVfs.list(&sub).unwrap(), ["x"]);
        OsVfs.link(&path, &sub.join("z")).unwrap();
        let taken = OsVfs.link(&path, &sub.join("z")).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        OsVfs.remove(&sub.join("z")).unwrap();
        OsVfs.rename(&path, &sub.join("y")).unwrap();
        OsVfs.sync_dir(&sub).unwrap();
        let stat = OsVfs.stat(&sub.join("y")).unwrap().unwrap();
        assert_eq!(stat, file.stat().unwrap());
        OsVfs.remove(&sub.join("y")).unwrap();
        assert_eq!(OsVfs.stat(&sub.join("y")).unwrap(), None);
    }

    #[test]
    fn what_is_created_for_its_owner_alone_is_not_open_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let private = dir.path().join("a/b");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        for _ in 0..2 {
            OsVfs.create_private_dir(&private).unwrap();
            OsVfs.open(&private.join("x"), OpenMode::CreatePrivate).unwrap();
            assert_eq!((mode(&private), mode(&private.join("x"))), (0o700, 0o600));
        }
        let taken = OsVfs.create_private_dir(&private.join("x")).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_file_is_locked_by_one_handle_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let first = OsVfs.open(&path, OpenMode::Create).unwrap();
        assert!(first.try_lock().unwrap());
        let second = OsVfs.open(&path, OpenMode::ReadWrite).unwrap();
        assert!(!second.try_lock().unwrap());
        drop(first);
        assert!(second.try_lock().unwrap());
    }

    #[test]
    fn a_file_that_was_removed_or_replaced_has_lost_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let file = OsVfs.open(&path, OpenMode::Create).unwrap();
        assert!(file.is_named(&path).unwrap());
        let len = file.stat().unwrap().len;
        assert_eq!(file.named_len(&path).unwrap(), Some(len));
        file.set_len(len + 7).unwrap();
        assert_eq!(file.named_len(&path).unwrap(), Some(len + 7));
        OsVfs.remove(&path).unwrap();
        assert!(!file.is_named(&path).unwrap());
        assert_eq!(file.named_len(&path).unwrap(), None);
        let other = OsVfs.open(&path, OpenMode::Create).unwrap();
        assert!(!file.is_named(&path).unwrap());
        assert!(other.is_named(&path).unwrap());
    }

    #[test]
    fn a_pipe_and_a_device_are_refused_and_not_waited_for() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [&path, Path::new("/dev/null")] {
            for mode in [OpenMode::Read, OpenMode::ReadWrite, OpenMode::Create, OpenMode::Truncate]
            {
                let error = OsVfs.open(path, mode).unwrap_err();
                assert_eq!(error.to_string(), "not a regular file", "{}", path.display());
            }
            let error = OsVfs.lock(path, "pid 1").unwrap_err();
            assert_eq!(error.to_string(), "not a regular file", "{}", path.display());
        }
    }

    #[test]
    fn a_second_name_is_one_of_the_file_also_through_a_symbolic_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link, second) =
            (dir.path().join("x"), dir.path().join("y"), dir.path().join("sub/z"));
        fs::write(&file, "content").unwrap();
        std::os::unix::fs::symlink("x", &link).unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        OsVfs.link(&link, &second).unwrap();
        assert_eq!(OsVfs.stat(&second).unwrap(), OsVfs.stat(&file).unwrap());
        assert!(!fs::symlink_metadata(&second).unwrap().is_symlink());
    }

    /// V4
    #[test]
    fn what_is_ours_is_never_behind_a_symbolic_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("precious"), dir.path().join("link"));
        fs::write(&file, "content").unwrap();
        std::os::unix::fs::symlink("precious", &link).unwrap();
        for mode in [
            OpenMode::ReadOwn,
            OpenMode::ReadWriteOwn,
            OpenMode::CreateOwn,
            OpenMode::CreatePrivate,
            OpenMode::Truncate,
            OpenMode::TruncatePrivate,
        ] {
            let error = OsVfs.open(&link, mode).unwrap_err();
            assert_eq!(NotOwn::of(&error), Some(NotOwn::Link), "{mode:?}");
        }
        let error = OsVfs.lock(&link, "pid 1").unwrap_err();
        assert!(matches!(error, LockError::Io(it) if NotOwn::of(&it) == Some(NotOwn::Link)));
        let followed = OsVfs.open(&link, OpenMode::Read).unwrap();
        assert_eq!(followed.stat().unwrap().len, 7);
        assert_eq!(fs::read_to_string(&file).unwrap(), "content");
    }

    /// V4
    #[test]
    fn a_file_with_a_second_name_is_neither_emptied_nor_taken_as_a_lock() {
        let dir = tempfile::tempdir().unwrap();
        let (file, second) = (dir.path().join("precious"), dir.path().join("second"));
        fs::write(&file, "content").unwrap();
        fs::hard_link(&file, &second).unwrap();
        let two = Some(NotOwn::Names { names: 2 });
        for mode in [OpenMode::Truncate, OpenMode::TruncatePrivate] {
            assert_eq!(NotOwn::of(&OsVfs.open(&second, mode).unwrap_err()), two, "{mode:?}");
        }
        let error = OsVfs.lock(&second, "pid 1").unwrap_err();
        assert!(matches!(error, LockError::Io(it) if NotOwn::of(&it) == two));
        let opened = OsVfs.open(&second, OpenMode::ReadWriteOwn).unwrap();
        assert_eq!(NotOwn::of(&crate::check_own(&*opened, 7).unwrap_err()), two);
        assert_eq!(fs::read_to_string(&file).unwrap(), "content");
        fs::remove_file(&file).unwrap();
        crate::check_own(&*opened, 7).unwrap();
        let long = crate::check_own(&*opened, 6).unwrap_err();
        assert_eq!(NotOwn::of(&long), Some(NotOwn::Long { len: 7, max: 6 }));
        assert_eq!(OsVfs.open(&second, OpenMode::Truncate).unwrap().stat().unwrap().len, 0);
    }

    #[test]
    fn a_directory_is_not_opened_as_a_file() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [OpenMode::Read, OpenMode::ReadWrite, OpenMode::Create] {
            let error = OsVfs.open(dir.path(), mode).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        }
    }
}
