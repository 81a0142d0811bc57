//! Small disks that can be filled and broken, as real mounts.
//!
//! Mounting needs privileges. Whoever has none is told so ([`Mount::possible`]) and skips by name.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::run_to_end;

/// Name of the file that takes the room away.
const BALLAST: &str = "ballast";
/// How much the ballast grows at once, while it may and when it gets tight.
const BALLAST_STEPS: [usize; 2] = [64 << 10, 4 << 10];
/// Length of the probe: more than the group of entries that found no room and left what there was of it.
const PROBE_LEN: usize = 256 << 10;

/// What a disk is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Memory: small, quick, and full when it is full.
    Tmpfs,
    /// A file system of its own on an image, which goes read-only at its first error as `/etc/fstab`
    /// usually asks for.
    Ext4,
}

/// A mounted disk; unmounted with its owner.
#[derive(Debug)]
pub struct Mount {
    dir: PathBuf,
    mounted: bool,
}

impl Mount {
    /// Mounts a disk of `kib` KiB on `dir`, which is created; an image lies beside it.
    ///
    /// # Errors
    ///
    /// When the machine does not let us.
    pub fn new(disk: Disk, dir: &Path, kib: u32) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let mut mount = Command::new("mount");
        match disk {
            Disk::Tmpfs => {
                mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]);
            }
            Disk::Ext4 => {
                let image = image_of(dir);
                if !image.exists() {
                    File::create(&image)?.set_len(u64::from(kib) << 10)?;
                    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
                }
                mount.args(["-t", "ext4", "-o", "loop,errors=remount-ro"]).arg(image);
            }
        }
        run(mount.arg(dir))?;
        Ok(Self { dir: dir.to_owned(), mounted: true })
    }

    /// Says why such a disk cannot be mounted here; `None` when it can.
    pub fn impossible(disk: Disk) -> Option<String> {
        let attempt = || -> Result<()> {
            let dir = tempfile::tempdir()?;
            Self::new(disk, &dir.path().join("disk"), 2048)?.unmount()
        };
        attempt().err().map(|error| format!("{error:#}"))
    }

    /// Mounts it again with other options, for example `ro` or `abort`.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn remount(&self, options: &str) -> Result<()> {
        let options = format!("remount,{options}");
        run(Command::new("mount").args(["-o", &options]).arg(&self.dir)).map(drop)
    }

    /// Takes the room away until `leave` KiB or less are free.
    ///
    /// # Errors
    ///
    /// When the disk fails with anything but being full.
    pub fn fill(&self, leave: u64) -> Result<()> {
        let mut ballast =
            OpenOptions::new().append(true).create(true).open(self.dir.join(BALLAST))?;
        for step in BALLAST_STEPS {
            while self.free_kib()? >= leave + (step as u64 >> 10) {
                match ballast.write_all(&vec![b'.'; step]).and_then(|()| ballast.sync_all()) {
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    other => other?,
                }
            }
        }
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    ///
    /// When it was not taken.
    pub fn make_room(&self) -> Result<()> {
        fs::remove_file(self.dir.join(BALLAST)).context("there is no ballast")
    }

    /// Room on the disk in KiB.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub fn free_kib(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.dir)?;
        Ok((stat.f_bavail * stat.f_frsize) >> 10)
    }

    /// What the disk says to somebody else who writes: the proof that a fault is there.
    ///
    /// # Errors
    ///
    /// When the probe was written.
    pub fn refuses(&self) -> Result<io::Error> {
        let probe = self.dir.join("probe");
        let written = File::create(&probe).and_then(|mut it| {
            it.write_all(&vec![b'.'; PROBE_LEN])?;
            it.sync_all()
        });
        // The probe itself must not fill the disk.
        fs::remove_file(&probe).ok();
        match written {
            Ok(()) => bail!("the disk takes {PROBE_LEN} bytes without an error"),
            Err(error) => Ok(error),
        }
    }

    /// Files on the disk besides the ballast.
    ///
    /// # Errors
    ///
    /// When it cannot be listed.
    pub fn files(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.dir)?.collect::<io::Result<Vec<_>>>()?;
        let names = entries.into_iter().map(|it| it.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> =
            names.filter(|it| ![BALLAST, "lost+found"].contains(&&**it)).collect();
        names.sort();
        Ok(names)
    }

    /// Unmounts it. What was written to an image stays there.
    ///
    /// # Errors
    ///
    /// When somebody still uses it.
    pub fn unmount(mut self) -> Result<()> {
        run(Command::new("umount").arg(&self.dir))?;
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: a process that still ends must not keep the disk.
            run(Command::new("umount").arg("-l").arg(&self.dir)).ok();
        }
    }
}

/// Mounts below `dir`, by the kernel's own list.
///
/// # Errors
///
/// When there is no such list.
pub fn mounts_below(dir: &Path) -> Result<Vec<String>> {
    let prefix = dir.to_str().context("the directory has a UTF-8 name")?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let below = mounts.lines().filter(|it| it.contains(prefix));
    Ok(below.map(str::to_owned).collect())
}

fn image_of(dir: &Path) -> PathBuf {
    dir.with_extension("img")
}

fn run(command: &mut Command) -> Result<String> {
    let ended = run_to_end(command)?;
    ensure!(ended.code() == Some(0), "{command:?}: {}", ended.stderr.trim());
    Ok(ended.stdout)
}
