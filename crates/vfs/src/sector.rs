//! A small file that is written again and again: overwritten in place where that cannot tear.
//!
//! | the file at its path                            | the new content                   | how it is written      |
//! |-------------------------------------------------|-----------------------------------|------------------------|
//! | the one that this writer wrote last             | as long, at most [`SECTOR_LEN`]   | in place, one sync     |
//! | the one that this writer wrote last             | of another length, or longer      | by [`replace`]         |
//! | any other, none, or nothing was written before  | any                               | by [`replace`]         |
//! | a write or a sync of it failed                  | any                               | by [`replace`]         |
//!
//! * **S1** After [`SectorFile::write`] returned `Ok` the content is durable under its name.
//! * **S2** After a crash the name holds the content before or the new one, whole: a change inside one
//!   sector is not torn, which is what the crash model promises and nothing more. A change of length is
//!   another change, so it is never made in place. A file system that writes half of a sector in place and
//!   says so breaks this until the replacement that follows is durable.
//! * **S3** A handle on which a write or a sync failed is not used again.
//!
//! Whoever reads while it is written may see a mixture, which no crash leaves: the content needs a check,
//! or at most eight bytes.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{File, OpenMode, Vfs, replace};

/// Bytes that a disk writes as one.
pub const SECTOR_LEN: usize = 512;

/// A writer of one small file.
#[derive(Debug)]
pub struct SectorFile {
    path: PathBuf,
    /// The file as this writer left it, and its length.
    left: Option<(Arc<dyn File>, usize)>,
}

impl SectorFile {
    /// Makes a writer. Nothing is opened yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, left: None }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes `bytes` the content of the file, durably (S1).
    ///
    /// # Errors
    ///
    /// The first error that stands in the way. The content is then the old one or the new one, and not
    /// known to be durable.
    pub fn write(&mut self, vfs: &dyn Vfs, bytes: &[u8]) -> io::Result<()> {
        // S3: it comes back only when everything went well.
        if let Some((file, len)) = self.left.take()
            && len == bytes.len()
            && len <= SECTOR_LEN
            && file.is_named(&self.path)?
            && is_written(&*file, bytes)
        {
            file.sync_data()?;
            self.left = Some((file, len));
            return Ok(());
        }
        replace(vfs, &self.path, bytes)?;
        // Without a handle the next write is another replacement.
        self.left = vfs.open(&self.path, OpenMode::ReadWrite).ok().map(|it| (it, bytes.len()));
        Ok(())
    }
}

/// Whether the bytes were written by one call: the rest of a short write would be another change (S2).
fn is_written(file: &dyn File, bytes: &[u8]) -> bool {
    file.write_at(bytes, 0).is_ok_and(|it| it == bytes.len())
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use crate::{CrashPolicy, Fault, FaultPlan, MemVfs, Op, read_whole};

    const PATH: &str = "/x";

    /// What it takes to write `bytes`, by name.
    fn steps(vfs: &MemVfs, file: &mut SectorFile, bytes: &[u8]) -> Vec<&'static str> {
        vfs.set_plan(FaultPlan::none());
        file.write(vfs, bytes).unwrap();
        assert_eq!(content(vfs), bytes);
        vfs.trace().iter().map(name).collect()
    }

    fn name(op: &Op) -> &'static str {
        match op {
            Op::Create(_) => "create",
            Op::Write { .. } => "write",
            Op::Sync(_) => "sync",
            Op::Rename(..) => "rename",
            Op::SyncDir(_) => "sync dir",
            _ => "other",
        }
    }

    fn content(vfs: &MemVfs) -> Vec<u8> {
        read_whole(vfs, Path::new(PATH), 1 << 20).unwrap().unwrap()
    }

    const REPLACED: [&str; 5] = ["create", "write", "sync", "rename", "sync dir"];
    const IN_PLACE: [&str; 2] = ["write", "sync"];

    #[test]
    fn the_table_of_the_module_holds() {
        let (vfs, mut file) = (MemVfs::default(), SectorFile::new(PATH.into()));
        assert_eq!(steps(&vfs, &mut file, b"1"), REPLACED, "the first");
        assert_eq!(steps(&vfs, &mut file, b"2"), IN_PLACE, "as long");
        assert_eq!(steps(&vfs, &mut file, b"22"), REPLACED, "longer");
        assert_eq!(steps(&vfs, &mut file, b"3"), REPLACED, "shorter");
        assert_eq!(steps(&vfs, &mut file, b"4"), IN_PLACE);
        assert_eq!(steps(&vfs, &mut file, &[1; SECTOR_LEN]), REPLACED);
        assert_eq!(steps(&vfs, &mut file, &[2; SECTOR_LEN]), IN_PLACE, "a whole sector");
        assert_eq!(steps(&vfs, &mut file, &[1; SECTOR_LEN + 1]), REPLACED);
        assert_eq!(steps(&vfs, &mut file, &[2; SECTOR_LEN + 1]), REPLACED, "more than a sector");

        assert_eq!(steps(&vfs, &mut file, b"5"), REPLACED);
        replace(&vfs, Path::new(PATH), b"6").unwrap();
        assert_eq!(steps(&vfs, &mut file, b"7"), REPLACED, "somebody else replaced it");
        vfs.remove(Path::new(PATH)).unwrap();
        assert_eq!(steps(&vfs, &mut file, b"8"), REPLACED, "somebody removed it");
    }

    /// S3, for each way to fail.
    #[test]
    fn a_handle_that_failed_is_not_used_again() {
        for fault in [Fault::Eio, Fault::Enospc, Fault::Interrupted, Fault::Short(1)] {
            let (vfs, mut file) = (MemVfs::default(), SectorFile::new(PATH.into()));
            file.write(&vfs, b"11").unwrap();
            vfs.set_plan(FaultPlan::new(move |step, _| (step == 0).then_some(fault)));
            file.write(&vfs, b"22").unwrap();
            let ops: Vec<_> = vfs.trace().iter().map(name).collect();
            assert_eq!(
                ops,
                ["write", "create", "write", "sync", "rename", "sync dir"],
                "{fault:?}"
            );
            assert_eq!(content(&vfs), b"22");
        }
        let (vfs, mut file) = (MemVfs::default(), SectorFile::new(PATH.into()));
        file.write(&vfs, b"1").unwrap();
        vfs.set_plan(FaultPlan::new(|step, _| (step == 1).then_some(Fault::Eio)));
        file.write(&vfs, b"2").unwrap_err();
        assert_eq!(steps(&vfs, &mut file, b"3"), REPLACED, "a failed sync");
    }

    /// S1 and S2: power is lost at each step of a series of writes, and anything not synced may vanish.
    #[test]
    fn whatever_power_loss_leaves_is_the_last_content_or_the_one_before() {
        let contents: Vec<Vec<u8>> = [9_u32, 10, 11, 99, 100, 101, 8]
            .iter()
            .map(|it| it.to_string().repeat(100).into_bytes())
            .collect();
        let mut crashes = 0;
        for step in 0..40 {
            for seed in 0..30 {
                let (vfs, mut file) = (MemVfs::default(), SectorFile::new(PATH.into()));
                file.write(&vfs, b"first").unwrap();
                vfs.set_plan(FaultPlan::crash_at(step));
                let written = contents.iter().take_while(|it| file.write(&vfs, it).is_ok()).count();
                vfs.power_loss(CrashPolicy::Random(seed));
                let last = written.checked_sub(1).map_or(&b"first"[..], |it| &contents[it]);
                let next = contents.get(written).map_or(last, Vec::as_slice);
                let found = content(&vfs);
                assert!(found == last || found == next, "step {step}, seed {seed}: {found:?}");
                crashes += u32::from(written < contents.len());
            }
        }
        assert!(crashes > 500, "{crashes} crashes");
    }
}
