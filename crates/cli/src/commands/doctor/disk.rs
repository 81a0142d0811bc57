//! The disk under the log: room, rights, and what a sync costs.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        statfs::{FsType, NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, statfs},
        statvfs::statvfs,
    },
    unistd::{AccessFlags, access},
};

use super::Finding;
use crate::{
    beside::{own_name, remove_left, removed},
    failure::with_dir,
    rights::{FULL_DISK, denied, mended, read_only},
};

/// Room below which a log stops being written soon, in bytes.
const ROOM_LEAST: u64 = 16 << 20;
/// Room below which somebody should look, in bytes.
const ROOM_LOW: u64 = 512 << 20;
/// Syncs that are timed.
const SYNCS: usize = 16;
/// A sync that is quicker than any disk of these days, caches with a battery included.
const SYNC_TOO_QUICK: Duration = Duration::from_micros(5);
/// A sync that makes every call of a tool slow.
const SYNC_SLOW: Duration = Duration::from_millis(50);
/// What the name of the file begins with that is synced; the number of the process follows.
const WRITTEN: &str = ".autonomy-doctor-";
/// Its mode: for nobody else.
const MODE: u32 = 0o600;
/// Bits of a mode with which others may write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

pub(super) fn all(dir: &Path) -> Vec<Finding> {
    let there = nearest(dir);
    let mut findings = vec![rights(dir, &there), room(dir, &there), kind(&there)];
    findings.push(sync(&there));
    findings
}

/// The directory, or the nearest one above it that is there.
fn nearest(dir: &Path) -> PathBuf {
    let found = dir.ancestors().find(|it| it.is_dir());
    found.filter(|it| !it.as_os_str().is_empty()).unwrap_or_else(|| Path::new(".")).to_owned()
}

fn rights(dir: &Path, there: &Path) -> Finding {
    let check = "directory";
    let shown = there.display();
    if let Err(errno) = access(there, AccessFlags::W_OK | AccessFlags::X_OK) {
        return unwritable(errno, dir, there);
    }
    let mode = std::fs::metadata(there).map_or(0, |it| it.mode());
    // Whoever may write the directory of a log may rewrite the log. A directory above it says nothing.
    if there == dir && mode & WRITABLE_BY_OTHERS != 0 {
        let text = format!("{shown} can be written by others (mode {:o})", mode & 0o7777);
        return Finding::warning(
            check,
            text,
            "chmod go-w on it: who can write it can rewrite the log",
        );
    }
    Finding::ok(check, format!("{shown} can be written"))
}

/// A mount that is read-only is no matter of rights.
fn unwritable(errno: Errno, dir: &Path, there: &Path) -> Finding {
    let (check, shown) = ("directory", there.display());
    if errno == Errno::EROFS {
        let text = format!("{shown} cannot be written: {}", errno.desc());
        return Finding::failed(check, text, &read_only(there));
    }
    let text = format!("{shown} cannot be written by this user");
    Finding::failed(check, text, &denied(dir))
}

fn room(dir: &Path, there: &Path) -> Finding {
    let check = "room";
    match statvfs(there) {
        Err(error) => {
            let text = format!("{}: {error}", there.display());
            Finding::failed(check, text, "look at the mount")
        }
        Ok(it) => {
            let free = it.blocks_available().saturating_mul(it.fragment_size());
            let text = format!("{} MiB are free", free >> 20);
            let fix = "make room outside the log directory (df -h); what was delivered can be archived: autonomy wal archive --dir DIR";
            let fix = &with_dir(fix, dir);
            match free {
                // Archiving writes: it is no way out of a full disk.
                0..ROOM_LEAST => Finding::failed(check, text, FULL_DISK),
                ROOM_LEAST..ROOM_LOW => Finding::warning(check, text, fix),
                _ => Finding::ok(check, text),
            }
        }
    }
}

fn kind(there: &Path) -> Finding {
    let check = "file system";
    let Ok(found) = statfs(there).map(|it| it.filesystem_type()) else {
        return Finding::skipped(check, "its kind is not known");
    };
    kind_of(found)
}

fn kind_of(found: FsType) -> Finding {
    let check = "file system";
    match found {
        TMPFS_MAGIC => Finding::failed(
            check,
            "it is memory: a power loss takes everything that was acknowledged",
            "put the log on a disk: --wal-dir DIR",
        ),
        NFS_SUPER_MAGIC => Finding::failed(
            check,
            "it is a network file system, which may neither lock nor sync as promised",
            "put the log on a local disk: --wal-dir DIR",
        ),
        OVERLAYFS_SUPER_MAGIC => Finding::warning(
            check,
            "it is the layer of a container: it goes with the container",
            "mount a volume for the log",
        ),
        other => Finding::ok(check, format!("kind {:#x}, local", other.0)),
    }
}

/// D3
fn sync(there: &Path) -> Finding {
    let check = "sync";
    match timed(there) {
        Ok(took) => judged(took),
        Err(error) => {
            let text = format!("a file in {} was not written and synced: {error}", there.display());
            let fix = mended(there, &error);
            Finding::failed(
                check,
                text,
                fix.as_deref().unwrap_or("look at the disk and its mount (dmesg)"),
            )
        }
    }
}

fn judged(mut took: Vec<Duration>) -> Finding {
    let check = "sync";
    took.sort_unstable();
    let middle = took.get(took.len() / 2).copied().unwrap_or_default();
    let longest = took.last().copied().unwrap_or_default();
    let ms = |it: Duration| it.as_secs_f64() * 1e3;
    let text = format!("{:.2} ms, the longest {:.2} ms", ms(middle), ms(longest));
    if middle < SYNC_TOO_QUICK {
        let text = format!("{text}: no disk is that quick, so it may not be on the disk");
        let fix = "look whether the disk or the mount ignores syncs (nobarrier, eatmydata, a volatile cache)";
        return Finding::warning(check, text, fix);
    }
    if middle > SYNC_SLOW {
        let fix = "every decision waits for one: use a quicker disk for the log";
        return Finding::warning(check, text, fix);
    }
    Finding::ok(check, text)
}

fn timed(there: &Path) -> io::Result<Vec<Duration>> {
    // What doctors that were killed left here (D3).
    remove_left(there, WRITTEN)?;
    let path = there.join(own_name(WRITTEN));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&path)?;
    let took = syncs(&mut file);
    removed(&path)?;
    took
}

fn syncs(file: &mut File) -> io::Result<Vec<Duration>> {
    let mut took = Vec::new();
    for _ in 0..SYNCS {
        file.write_all(&[0; 4096])?;
        let start = Instant::now();
        file.sync_data()?;
        took.push(start.elapsed());
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    #[test]
    fn a_sync_is_too_quick_slow_or_good_by_its_median() {
        let level = |us: u64| {
            let mut all = vec![Duration::from_micros(us); SYNCS];
            all.push(Duration::from_secs(9));
            judged(all).level
        };
        assert_eq!(level(1), Level::Warning);
        assert_eq!(level(300), Level::Ok);
        assert_eq!(level(200_000), Level::Warning);
    }

    #[test]
    fn memory_and_networks_are_no_place_for_a_log() {
        for (kind, level) in [
            (TMPFS_MAGIC, Level::Failed),
            (NFS_SUPER_MAGIC, Level::Failed),
            (OVERLAYFS_SUPER_MAGIC, Level::Warning),
            (FsType(0xEF53), Level::Ok),
        ] {
            let found = kind_of(kind);
            assert_eq!(found.level, level);
            assert_eq!(found.fix.is_some(), level != Level::Ok, "D2");
        }
    }

    #[test]
    fn a_read_only_mount_is_no_matter_of_rights() {
        let at = Path::new("/");
        let found = unwritable(Errno::EROFS, at, at);
        assert!(found.fix.as_deref().unwrap().contains("mounted read-only"), "{found:?}");
        assert!(!found.fix.unwrap().contains("chmod"));
        assert!(unwritable(Errno::EACCES, at, at).fix.unwrap().contains("permission denied"));
    }

    /// D3
    #[test]
    fn what_is_written_to_time_a_sync_is_removed_and_an_absent_directory_stays_absent() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        let found = all(&below);
        assert_eq!(found.len(), 4);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// D3
    #[test]
    fn what_a_doctor_that_was_killed_left_is_removed_and_what_a_living_one_writes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let living = std::os::unix::process::parent_id();
        for pid in [dead, living, std::process::id()] {
            std::fs::write(dir.path().join(format!("{WRITTEN}{pid}")), "x").unwrap();
        }
        for name in [format!("{WRITTEN}x"), format!("{WRITTEN}1.bak")] {
            std::fs::write(dir.path().join(name), "of somebody else").unwrap();
        }
        timed(dir.path()).unwrap();
        let names = std::fs::read_dir(dir.path()).unwrap();
        let mut left: Vec<_> =
            names.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        let mut want =
            [format!("{WRITTEN}{living}"), format!("{WRITTEN}x"), format!("{WRITTEN}1.bak")];
        want.sort();
        assert_eq!(left, want);
    }
}
