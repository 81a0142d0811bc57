//! A file system in memory that keeps what was written apart from what was synced.
//!
//! # The crash model
//!
//! At [`MemVfs::power_loss`] each file falls back to what was synced, and then each change made
//! since may have reached the disk or not, one by one:
//!
//! * a write is cut at 512-byte boundaries; each piece survives or vanishes on its own, in any
//!   order, and a piece behind a vanished one leaves zeros in front of it;
//! * a change of length survives or vanishes;
//! * in each directory, each creation, rename and removal since the last directory sync survives or
//!   vanishes; a rename inside one directory is never half done. One between two directories can be:
//!   whoever must not lose the file links it, syncs, and removes the old name.
//!
//! A write inside one 512-byte sector is never torn: that is the promise of every disk we know,
//! and the only one made here. Directories themselves are durable when created.
//!
//! [`MemVfs::process_kill`] loses no written byte, as on a real machine; it only ends the locks.
//!
//! # Invariants
//!
//! * **M1** What a sync confirmed is there after any crash.
//! * **M2** The same operations, plan and seed give the same result.
//! * **M3** A failed sync confirms nothing, and no later sync makes up for it (see
//!   [`Fault::Eio`](crate::Fault::Eio)).

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Fault, FaultPlan, File, FileId, Lock, LockError, NotOwn, Op, OpenMode, Stat, Vfs,
    mem::{file::MemFile, inode::Inode, names::Names, random::Random},
};

mod file;
mod inode;
mod names;
mod random;

/// What a crash does to changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPolicy {
    /// Everything that was not synced is lost.
    LoseAll,
    /// Everything survives.
    KeepAll,
    /// Each change is decided by this seed.
    Random(u64),
}

/// The file system. Clones share their state, as processes share a disk.
#[derive(Clone, Debug)]
pub struct MemVfs(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    dirs: BTreeMap<PathBuf, Names>,
    locks: BTreeMap<PathBuf, (u64, String)>,
    /// Locked inodes, and the handle that has each.
    locked: BTreeMap<u64, u64>,
    plan: FaultPlan,
    random: Random,
    steps: u64,
    trace: Vec<Op>,
    crashed: bool,
    next: u64,
}

struct Held {
    vfs: MemVfs,
    path: PathBuf,
    token: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.vfs.state();
        if state.locks.get(&self.path).is_some_and(|(token, _)| *token == self.token) {
            state.locks.remove(&self.path);
        }
    }
}

impl Default for MemVfs {
    fn default() -> Self {
        Self::new(FaultPlan::none())
    }
}

impl MemVfs {
    /// Makes an empty file system that holds the directory `/`.
    pub fn new(plan: FaultPlan) -> Self {
        Self(Arc::new(Mutex::new(State {
            inodes: BTreeMap::new(),
            dirs: BTreeMap::from([(PathBuf::from("/"), Names::default())]),
            locks: BTreeMap::new(),
            locked: BTreeMap::new(),
            plan,
            random: Random::new(0),
            steps: 0,
            trace: Vec::new(),
            crashed: false,
            next: 1,
        })))
    }

    /// Replaces the fault plan and counts operations from 0 again.
    pub fn set_plan(&self, plan: FaultPlan) {
        let mut state = self.state();
        state.plan = plan;
        state.steps = 0;
        state.trace.clear();
    }

    /// Operations since the plan was set.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// The operations since the plan was set, in order.
    pub fn trace(&self) -> Vec<Op> {
        self.state().trace.clone()
    }

    /// Ends the process: locks are free, everything written is still there.
    pub fn process_kill(&self) {
        let mut state = self.state();
        state.locks.clear();
        state.locked.clear();
        state.crashed = false;
        state.plan = FaultPlan::none();
    }

    /// Loses power: what was not synced is decided by `policy`. Handles opened before it must not
    /// be used any more.
    pub fn power_loss(&self, policy: CrashPolicy) {
        let mut state = self.state();
        let mut random = Random::new(match policy {
            CrashPolicy::Random(seed) => seed,
            CrashPolicy::LoseAll | CrashPolicy::KeepAll => 0,
        });
        let mut survives = |odds: u64| match policy {
            CrashPolicy::LoseAll => false,
            CrashPolicy::KeepAll => true,
            CrashPolicy::Random(_) => random.below(4) < odds,
        };
        for inode in state.inodes.values_mut() {
            // Some files are written back wholly or not at all; the mixed ones are the rest.
            let (mixed, whole) = (survives(2), survives(2));
            inode.crash(|| if mixed { survives(2) } else { whole });
        }
        for names in state.dirs.values_mut() {
            names.crash(|| survives(2));
        }
        state.locks.clear();
        state.locked.clear();
        state.crashed = false;
        state.plan = FaultPlan::none();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, path: &Path, inode: u64, mode: OpenMode) -> Arc<dyn File> {
        let writable = mode.writes();
        let mut state = self.state();
        let token = state.next;
        state.next += 1;
        drop(state);
        Arc::new(MemFile { vfs: self.clone(), path: path.to_owned(), inode, writable, token })
    }
}

impl State {
    /// Counts an operation and asks the plan. `Ok(Some)` is a fault that does part of the work.
    fn step(&mut self, op: Op) -> io::Result<Option<Fault>> {
        self.alive()?;
        let fault = self.plan.decide(self.steps, &op);
        #[cfg(feature = "mutants")]
        let fault = fault.or_else(|| crate::mutants::left_out(&op).then_some(Fault::Lie));
        self.steps += 1;
        self.trace.push(op);
        match fault {
            Some(Fault::ReadOnly) => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Some(Fault::Interrupted) => Err(io::ErrorKind::Interrupted.into()),
            Some(Fault::Crash) => {
                self.crashed = true;
                Ok(fault)
            }
            _ => Ok(fault),
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(io::Error::other("the machine has crashed")) } else { Ok(()) }
    }

    fn names(&mut self, path: &Path) -> io::Result<(&mut Names, String)> {
        let name =
            path.file_name().and_then(|it| it.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        let dir = path.parent().unwrap_or_else(|| Path::new("/"));
        let names = self.dirs.get_mut(dir).ok_or(io::ErrorKind::NotFound)?;
        Ok((names, name.to_owned()))
    }

    fn find(&mut self, path: &Path) -> io::Result<Option<u64>> {
        let (names, name) = self.names(path)?;
        Ok(names.get(&name))
    }

    fn stat(&mut self, number: u64) -> io::Result<Stat> {
        let names = self.dirs.values().map(|it| it.count(number)).sum();
        let len = self.inode(number)?.len();
        Ok(Stat { len, is_dir: false, id: FileId { device: 0, inode: number }, names })
    }

    fn inode(&mut self, number: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&number).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Turns what is left of a fault into the answer of an operation that has been carried out.
fn answer<T>(fault: Option<Fault>, value: T) -> io::Result<T> {
    match fault {
        None | Some(Fault::Short(_) | Fault::Lie) => Ok(value),
        Some(Fault::Enospc) => Err(io::ErrorKind::StorageFull.into()),
        Some(_) => Err(io::Error::other("injected device error")),
    }
}

impl Vfs for MemVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        state.alive()?;
        if state.dirs.contains_key(path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let found = state.find(path)?;
        let creates = mode.creates();
        if let Some(number) = found.filter(|_| mode.empties()) {
            NotOwn::names(&state.stat(number)?)?;
        }
        let number = match found {
            Some(number) if !mode.empties() => number,
            None if !creates => return Err(io::ErrorKind::NotFound.into()),
            _ => {
                let fault = state.step(Op::Create(path.to_owned()))?;
                if matches!(fault, Some(Fault::Eio | Fault::Enospc)) {
                    answer(fault, ())?;
                }
                let number = found.unwrap_or(state.next);
                if found.is_none() {
                    state.next += 1;
                    state.inodes.insert(number, Inode::default());
                    let (names, name) = state.names(path)?;
                    names.link(name, number);
                } else {
                    state.inode(number)?.set_len(0);
                }
                answer(fault, number)?
            }
        };
        drop(state);
        Ok(self.file(path, number, mode))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.alive()?;
        for dir in path.ancestors().filter(|it| !it.as_os_str().is_empty()) {
            if dir != Path::new("/") && state.find(dir).ok().flatten().is_some() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            state.dirs.entry(dir.to_owned()).or_default();
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.step(Op::Rename(from.to_owned(), to.to_owned()))?;
        if matches!(fault, Some(Fault::Eio | Fault::Enospc | Fault::Lie)) {
            return answer(fault, ());
        }
        let number = state.find(from)?.ok_or(io::ErrorKind::NotFound)?;
        if from.parent() == to.parent() {
            let (_, target) = state.names(to)?;
            let (names, source) = state.names(from)?;
            names.rename(&source, target, number);
        } else {
            let (names, target) = state.names(to)?;
            names.link(target, number);
            let (names, source) = state.names(from)?;
            names.unlink(source);
        }
        answer(fault, ())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.step(Op::Link(from.to_owned(), to.to_owned()))?;
        if matches!(fault, Some(Fault::Eio | Fault::Enospc)) {
            return answer(fault, ());
        }
        let number = state.find(from)?.ok_or(io::ErrorKind::NotFound)?;
        if state.find(to)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (names, target) = state.names(to)?;
        names.link(target, number);
        answer(fault, ())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.step(Op::Remove(path.to_owned()))?;
        if matches!(fault, Some(Fault::Eio | Fault::Enospc | Fault::Lie)) {
            return answer(fault, ());
        }
        state.find(path)?.ok_or(io::ErrorKind::NotFound)?;
        let (names, name) = state.names(path)?;
        names.unlink(name);
        // A lock is on the file, not on its name: whoever makes the name again makes another file.
        state.locks.remove(path);
        answer(fault, ())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.step(Op::SyncDir(path.to_owned()))?;
        let names = state.dirs.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        if fault.is_none() {
            names.sync();
        }
        answer(fault, ())
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        let mut state = self.state();
        state.alive()?;
        if state.dirs.contains_key(path) {
            let id = FileId { device: 0, inode: 0 };
            return Ok(Some(Stat { len: 0, is_dir: true, id, names: 1 }));
        }
        if path.parent().is_some_and(|dir| !state.dirs.contains_key(dir)) {
            return Ok(None);
        }
        match state.find(path)? {
            None => Ok(None),
            Some(number) => state.stat(number).map(Some),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.alive()?;
        let names = state.dirs.get_mut(dir).ok_or(io::ErrorKind::NotFound)?;
        Ok(names.list())
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Lock, LockError> {
        let file = self.open(path, OpenMode::CreateOwn).map_err(LockError::Io)?;
        let names = file.stat().and_then(|it| Ok(NotOwn::names(&it)?));
        let mut state = self.state();
        let fault = state.step(Op::Lock(path.to_owned())).map_err(LockError::Io)?;
        if fault == Some(Fault::Lie) {
            return Ok(Lock::new(()));
        }
        answer(fault, ()).map_err(LockError::Io)?;
        if let Some((_, holder)) = state.locks.get(path) {
            return Err(LockError::Held { holder: holder.clone() });
        }
        names.map_err(LockError::Io)?;
        let token = state.next;
        state.next += 1;
        state.locks.insert(path.to_owned(), (token, holder.to_owned()));
        Ok(Lock::new(Held { vfs: self.clone(), path: path.to_owned(), token }))
    }
}

#[cfg(test)]
mod tests;
