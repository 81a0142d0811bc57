//! A disk in memory as a program on a real machine sees it.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use goal::{Clock, LinuxLiveness, Place, Store};
use jiff::{SignedDuration, Timestamp};
use vfs::{File, Lock, LockError, MemVfs, OpenMode, Stat, Vfs, read_whole, replace};

use super::{Files, STATE};

/// A clock that stands, but for whoever waits.
#[derive(Debug, Default)]
struct Turned(AtomicI64);

impl Clock for Turned {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }
    fn pause(&self, duration: SignedDuration) {
        let ms = i64::try_from(duration.as_millis()).unwrap();
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

/// Directories are names in their parents, too, and every file is an hour old: a machine takes its time to start.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub mem: MemVfs,
    dirs: Arc<Mutex<BTreeSet<PathBuf>>>,
    clock: Arc<Turned>,
    hidden: Arc<Mutex<Option<PathBuf>>>,
}

impl Disk {
    /// Opens it in a new process.
    pub fn store(&self) -> Store {
        let alive = Arc::new(LinuxLiveness::new().unwrap());
        let place = Place::in_state_dir(Path::new(STATE));
        let disk: Arc<dyn Vfs> = Arc::new(self.clone());
        let clock: Arc<dyn Clock> = self.clock.clone();
        Store::new(disk, place, std::process::id(), alive, clock)
    }

    /// A minute goes by.
    pub fn later(&self) {
        self.clock.pause(SignedDuration::from_mins(1));
    }

    /// Writes a file of somebody.
    pub fn write(&self, path: &Path, bytes: &[u8]) {
        self.create_dir_all(path.parent().unwrap()).unwrap();
        replace(self, path, bytes).unwrap();
    }

    /// Makes the disk fail whoever looks at a file.
    pub fn hide(&self, path: &Path) {
        *self.hidden.lock().unwrap() = Some(path.to_owned());
    }

    /// Every file, locks and half-written ones aside.
    pub fn files(&self) -> Files {
        let whole = self.every_name().into_iter().filter(|it| !is_half(it) && !is_lock(it));
        whole
            .map(|it| (it.clone(), read_whole(&self.mem, &it, u64::MAX).unwrap().unwrap()))
            .collect()
    }

    /// Locks that somebody has, and half-written files.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let lock = self.store().place().lock();
        self.every_name().into_iter().filter(|it| is_half(it) || *it == lock).collect()
    }

    fn every_name(&self) -> Vec<PathBuf> {
        let dirs = self.dirs.lock().unwrap().clone();
        let names = |dir: PathBuf| {
            let names = self.mem.list(&dir).unwrap();
            names.into_iter().map(move |it| dir.join(it))
        };
        dirs.into_iter().flat_map(names).collect()
    }
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn is_half(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "tmp")
}

fn is_lock(path: &Path) -> bool {
    name(path).starts_with("goal.json.lock") || path.extension().is_some_and(|it| it == "lock")
}

impl Vfs for Disk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        self.mem.open(path, mode)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.mem.create_dir_all(path)?;
        let all = path.ancestors().filter(|it| !it.as_os_str().is_empty());
        self.dirs.lock().unwrap().extend(all.map(Path::to_owned));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.mem.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.mem.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.mem.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.mem.sync_dir(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        if self.hidden.lock().unwrap().as_deref() == Some(path) {
            return Err(io::Error::other("the disk fails"));
        }
        let above = path.parent().map(|it| self.mem.stat(it)).transpose()?.flatten();
        if above.is_some_and(|it| !it.is_dir) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        self.mem.stat(path)
    }

    fn modified_ms(&self, path: &Path) -> io::Result<Option<i64>> {
        Ok(self.mem.stat(path)?.map(|_| -3_600_000))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = self.mem.list(dir)?;
        let dirs = self.dirs.lock().unwrap();
        names.extend(
            dirs.iter().filter(|it| it.parent() == Some(dir)).map(|it| name(it).to_owned()),
        );
        names.sort();
        Ok(names)
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Lock, LockError> {
        self.mem.lock(path, holder)
    }
}
