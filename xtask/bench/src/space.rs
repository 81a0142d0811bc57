//! A file that grows, or space that is there already.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

/// How much is zero-filled. A writer that comes to the end begins again: writing over zeros and
/// writing over old bytes is the same work for the file system.
pub(crate) const ZEROS_LEN: u64 = 64 << 20;
/// How much is allocated at once; never written twice, since then it is no longer unwritten.
const ALLOCATION_LEN: u64 = 128 << 20;

/// Where the bytes of a floor go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To the end of a file that grows with each write.
    Growing,
    /// Into space that was filled with zeros, and synced, before.
    ZeroFilled,
    /// Into space that `fallocate` promised.
    Allocated,
}

/// An open file and the place of the next write.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) file: File,
    kind: Kind,
    at: u64,
    end: u64,
}

impl Space {
    pub(crate) fn create(path: &Path, kind: Kind) -> io::Result<Self> {
        let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
        let end = match kind {
            Kind::Growing => u64::MAX,
            Kind::ZeroFilled => {
                let zeros = vec![0; 1 << 20];
                for _ in 0..ZEROS_LEN >> 20 {
                    file.write_all(&zeros)?;
                }
                ZEROS_LEN
            }
            Kind::Allocated => 0,
        };
        file.sync_all()?;
        sync_dir_of(path)?;
        Ok(Self { file, kind, at: 0, end })
    }

    /// Where `len` bytes go next.
    pub(crate) fn next(&mut self, len: usize) -> io::Result<u64> {
        if self.at + len as u64 > self.end {
            if self.kind == Kind::ZeroFilled {
                self.at = 0;
            } else {
                let flags = rustix::fs::FallocateFlags::empty();
                rustix::fs::fallocate(&self.file, flags, self.end, ALLOCATION_LEN)?;
                self.end += ALLOCATION_LEN;
            }
        }
        let at = self.at;
        self.at += len as u64;
        Ok(at)
    }

    /// Writes behind the last write and syncs.
    pub(crate) fn write_durably(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = self.next(bytes.len())?;
        self.file.write_all_at(bytes, at)?;
        self.file.sync_data()
    }
}

/// Makes the name of a file durable.
pub(crate) fn sync_dir_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
