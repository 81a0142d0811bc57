//! An open file of the memory file system.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{MemVfs, answer};
use crate::{Fault, File, Op, Stat};

#[derive(Debug)]
pub(super) struct MemFile {
    pub(super) vfs: MemVfs,
    pub(super) path: PathBuf,
    pub(super) inode: u64,
    pub(super) writable: bool,
    /// Tells handles of one file apart.
    pub(super) token: u64,
}

impl Drop for MemFile {
    fn drop(&mut self) {
        let mut state = self.vfs.state();
        if state.locked.get(&self.inode) == Some(&self.token) {
            state.locked.remove(&self.inode);
        }
    }
}

impl File for MemFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.vfs.state();
        state.alive()?;
        Ok(state.inode(self.inode)?.read(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut state = self.vfs.state();
        let path = self.path.clone();
        let fault = state.step(Op::Write { path, offset, len: buf.len() })?;
        let done = match fault {
            Some(Fault::Lie) => return Ok(buf.len()),
            Some(Fault::Eio) => 0,
            Some(Fault::Enospc) => buf.len() / 2,
            Some(Fault::Short(len)) => len.min(buf.len()),
            _ => buf.len(),
        };
        state.inode(self.inode)?.write(buf.get(..done).unwrap_or_default(), offset);
        answer(fault, done)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.vfs.state();
        let fault = state.step(Op::SetLen(self.path.clone(), len))?;
        if !matches!(fault, Some(Fault::Eio | Fault::Enospc | Fault::Lie)) {
            state.inode(self.inode)?.set_len(len);
        }
        answer(fault, ())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.vfs.state();
        let fault = state.step(Op::Sync(self.path.clone()))?;
        match fault {
            None => state.inode(self.inode)?.sync(),
            // The pages are clean now; whether they reached the disk is anybody's guess (M3).
            Some(Fault::Eio | Fault::Enospc) => {
                let mut random = state.random;
                state.inode(self.inode)?.failed_sync(|| random.below(2) == 0);
                state.random = random;
            }
            Some(_) => {}
        }
        answer(fault, ())
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.vfs.state();
        let fault = state.step(Op::LockFile(self.path.clone()))?;
        if fault == Some(Fault::Lie) {
            return Ok(true);
        }
        answer(fault, ())?;
        Ok(*state.locked.entry(self.inode).or_insert(self.token) == self.token)
    }

    fn stat(&self) -> io::Result<Stat> {
        let mut state = self.vfs.state();
        state.alive()?;
        state.stat(self.inode)
    }

    fn is_named(&self, path: &Path) -> io::Result<bool> {
        let mut state = self.vfs.state();
        state.alive()?;
        Ok(state.find(path)? == Some(self.inode))
    }
}
