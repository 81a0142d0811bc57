//! What a runtime does when the disk of its log fails it.
//!
//! | drill                      | fault                                              | oracle                        |
//! |----------------------------|----------------------------------------------------|-------------------------------|
//! | `disk-full`                | no room, under callers; then room                  | answers against the export    |
//! | `disk-read-only`           | the file system goes read-only under the process   | answers against the export    |
//! | `log-unreachable`          | modes of directory and files taken away            | answers against the export    |
//! | `disk-full-at-first-start` | no room before the first entry                     | the directory, the next start |
//! | `disk-read-only-at-first-start` | a read-only disk                              | the directory, the next start |
//! | `disk-full-at-recovery`    | no room for a repair                               | the bytes, the next start     |

mod node;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use node::{CALLERS, DISK_KIB, Node};

use crate::{
    harness::{Disk, Finished, Mount, RuntimeOptions},
    stories::{
        Narrator,
        drill::{Drill, Fault, Needs},
    },
};

/// Room that is left when it is taken under callers: enough for some of their calls.
const LEFT_KIB: u64 = 64;

/// No room, under callers.
pub(super) const FULL: Drill = Drill {
    name: "disk-full",
    hypothesis: "a full disk denies calls, loses nothing, and needs no restart when there is room",
    fault: "the room is taken away while 8 callers call, then given back",
    expected: "503 WAL_DISK_FULL; wal.health WAL_DISK_FULL, ok after the next call that fits",
    needs: Needs::Mount(Disk::Tmpfs),
    lines: &[],
    play: full,
};

/// The file system goes read-only under the process.
pub(super) const READ_ONLY: Drill = Drill {
    name: "disk-read-only",
    hypothesis: "a disk that goes read-only poisons the log: every call is denied until a restart",
    fault: "ext4 aborts and goes read-only, as after an error of the device",
    expected: "503 WAL_UNAVAILABLE with WAL_POISONED in the reason; wal.health WAL_POISONED",
    needs: Needs::Mount(Disk::Ext4),
    lines: &[],
    play: read_only,
};

/// Modes taken away under the process.
pub(super) const UNREACHABLE: Drill = Drill {
    name: "log-unreachable",
    hypothesis: "modes taken away change nothing for a runtime that runs as root",
    fault: "chmod 0 on the log directory and the files in it",
    expected: "nothing",
    needs: Needs::Root,
    lines: &[],
    play: unreachable,
};

/// No room before the first entry.
pub(super) const FULL_AT_FIRST_START: Drill = Drill {
    name: "disk-full-at-first-start",
    hypothesis: "a first start on a full disk says so and leaves nothing that a later one trips over",
    fault: "no room before the first start",
    expected: "exit code 1, the disk named full, a hint to make room",
    needs: Needs::Mount(Disk::Tmpfs),
    lines: &[],
    play: full_at_first_start,
};

/// A read-only disk before the first entry.
pub(super) const READ_ONLY_AT_FIRST_START: Drill = Drill {
    name: "disk-read-only-at-first-start",
    hypothesis: "a first start on a read-only disk says so and leaves nothing",
    fault: "the disk is mounted read-only before the first start",
    expected: "exit code 1, WAL_IO, Read-only file system",
    needs: Needs::Mount(Disk::Tmpfs),
    lines: &[],
    play: read_only_at_first_start,
};

/// No room for a repair.
pub(super) const FULL_AT_RECOVERY: Drill = Drill {
    name: "disk-full-at-recovery",
    hypothesis: "a repair that finds no room says so, changes nothing, and succeeds when there is",
    fault: "the safe point is gone and the disk is full when the log is to be adopted",
    expected: "exit code 1, the disk named full, a hint to make room",
    needs: Needs::Mount(Disk::Tmpfs),
    lines: &[],
    play: full_at_recovery,
};

fn full(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut node = Node::new(dir, Some(Disk::Tmpfs))?;
    narrator.check("the runtime serves", || node.start().and_then(|()| node.serves()));
    narrator.check("the room is taken away while callers call", || {
        if fault == Fault::Injected {
            node.disk()?.fill(LEFT_KIB)?;
        }
        node.many_calls()
    });
    narrator.check("proof: the disk refuses another writer too", || node.disk()?.refuses());
    narrator.check("proof: callers were refused in the middle of it", || {
        let (good, refused) = (node.answers.recorded.len(), node.answers.unrecorded.len());
        ensure!(good > 1 && refused == CALLERS, "{good} answered, {refused} refused");
        let other = node.answers.unrecorded.iter().find(|(status, answer)| {
            *status != 503 || answer.code.as_deref() != Some("WAL_DISK_FULL")
        });
        ensure!(other.is_none(), "{other:?}");
        Ok(())
    });
    narrator.check("a call is denied with WAL_DISK_FULL, and status says it", || {
        node.disk()?.fill(0)?;
        node.denied("WAL_DISK_FULL")?;
        node.health_is("WAL_DISK_FULL")
    });
    narrator.check("the log can be read while the disk is full, and nothing is lost", || {
        node.nothing_lost()
    });
    narrator.check("with room again it goes on without a restart", || {
        node.disk()?.make_room()?;
        node.serves()?;
        node.many_calls()?;
        ensure!(node.answers.unrecorded.len() == CALLERS + 1, "a call was refused");
        Ok(())
    });
    narrator.check("after SIGKILL a restart recovers", || {
        node.runtime()?.kill()?;
        node.start()?;
        node.serves()
    });
    narrator.check("every answered call is in the export exactly once", || node.account());
    Ok(())
}

fn read_only(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut node = Node::new(dir, Some(Disk::Ext4))?;
    narrator.check("the runtime serves", || node.start().and_then(|()| node.serves()));
    narrator.check("callers are answered", || node.many_calls());
    narrator.check("the disk goes read-only", || match fault {
        Fault::Injected => node.disk()?.remount("abort"),
        Fault::LeftOut => Ok(()),
    });
    narrator.check("proof: the disk refuses another writer too", || node.disk()?.refuses());
    narrator.check("calls are denied with WAL_UNAVAILABLE, and the reason says why", || {
        for _ in 0..3 {
            let reason = node.denied("WAL_UNAVAILABLE")?;
            ensure!(reason.contains("WAL_POISONED"), "{reason}");
            ensure!(reason.contains("Read-only file system"), "{reason}");
        }
        node.health_is("WAL_POISONED")
    });
    narrator.check("the log can be read, and nothing is lost", || node.nothing_lost());
    narrator.check("the process ends on SIGTERM, and says that its log was not closed", || {
        let mut runtime = node.runtime()?;
        runtime.signal(rustix::process::Signal::TERM)?;
        let status = runtime.wait()?;
        ensure!(status.code() == Some(1), "{status}:\n{}", runtime.output());
        runtime.wait_for("WAL_POISONED").map(drop)
    });
    narrator.check("on a disk that takes writes again a restart recovers", || {
        node.disk.take().context("no disk")?.unmount()?;
        node.disk = Some(Mount::new(Disk::Ext4, &node.stack.wal_dir(), DISK_KIB)?);
        node.start()?;
        node.serves()
    });
    narrator.check("every answered call is in the export exactly once", || node.account());
    Ok(())
}

fn unreachable(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut node = Node::new(dir, None)?;
    narrator.check("the runtime serves", || node.start().and_then(|()| node.serves()));
    let wal_dir = node.stack.wal_dir();
    let names = ["telemetry.wal", "telemetry.safe_seq", "telemetry.lock"];
    let modes = |dir_mode: u32, file_mode: u32| -> Result<()> {
        let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
        // Upwards when giving back, downwards when taking away.
        set(&wal_dir, dir_mode | 0o700)?;
        for name in names {
            set(&wal_dir.join(name), file_mode)?;
        }
        Ok(set(&wal_dir, dir_mode)?)
    };
    narrator.check("the modes are taken away", || match fault {
        Fault::Injected => modes(0, 0),
        Fault::LeftOut => Ok(()),
    });
    narrator.check("proof: the directory has no mode", || {
        let mode = fs::metadata(&wal_dir)?.permissions().mode() & 0o777;
        ensure!(mode == 0, "{mode:o}");
        Ok(())
    });
    narrator.check("calls are answered as before", || {
        node.serves()?;
        node.many_calls()?;
        ensure!(node.answers.unrecorded.is_empty(), "{:?}", node.answers.unrecorded.first());
        Ok(())
    });
    narrator.check("with the modes back a restart recovers", || {
        modes(0o755, 0o644)?;
        node.runtime()?.kill()?;
        node.start()?;
        node.serves()
    });
    narrator.check("every answered call is in the export exactly once", || node.account());
    Ok(())
}

fn full_at_first_start(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut node = Node::new(dir, Some(Disk::Tmpfs))?;
    narrator.check("the disk is filled before the first start", || match fault {
        Fault::Injected => node.disk()?.fill(0),
        Fault::LeftOut => Ok(()),
    });
    narrator.check("proof: the disk refuses another writer too", || node.disk()?.refuses());
    narrator.check("the start ends with code 1 and says that the disk is full", || {
        says_full(&node.start_in_vain(&[])?)
    });
    starts_clean(&mut node, narrator, Mount::make_room);
    Ok(())
}

fn read_only_at_first_start(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut node = Node::new(dir, Some(Disk::Tmpfs))?;
    narrator.check("the disk is mounted read-only before the first start", || match fault {
        Fault::Injected => node.disk()?.remount("ro"),
        Fault::LeftOut => Ok(()),
    });
    narrator.check("proof: the disk refuses another writer too", || node.disk()?.refuses());
    narrator.check("the start ends with code 1 and says that the disk is read-only", || {
        let ended = node.start_in_vain(&[])?;
        ensure!(ended.stderr.contains("WAL_IO"), "{ended:?}");
        ensure!(ended.stderr.contains("Read-only file system"), "{ended:?}");
        Ok(())
    });
    starts_clean(&mut node, narrator, |disk| disk.remount("rw"));
    Ok(())
}

/// Nothing half-made is left: at most the lock, and the next start is a first start.
fn starts_clean(node: &mut Node, narrator: &mut Narrator, heal: fn(&Mount) -> Result<()>) {
    narrator.check("no log and no safe point is left half-made", || {
        let mut files = node.disk()?.files()?;
        files.retain(|it| it != "telemetry.lock");
        ensure!(files.is_empty(), "{files:?}");
        Ok(())
    });
    narrator.check("on a healthy disk the next start is a first start", || {
        heal(node.disk()?)?;
        node.start()?;
        node.serves()?;
        let runtime = node.runtime()?;
        ensure!(!runtime.output().contains("WAL_"), "{}", runtime.output());
        node.runtime = Some(runtime);
        let lines = node.stack.export()?;
        let first = lines.first().context("the log is empty")?;
        ensure!(first.contains("wal.created") && first.contains("first_run"), "{first}");
        Ok(())
    });
    narrator.check("every answered call is in the export exactly once", || node.account());
}

fn full_at_recovery(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    const LEGACY: &[(&str, &str)] = &[("AUTONOMYOPS_WAL_LEGACY_UPGRADE", "1")];
    let mut node = Node::new(dir, Some(Disk::Tmpfs))?;
    narrator.check("the runtime serves, and stops", || {
        node.start()?;
        node.serves()?;
        node.many_calls()?;
        node.runtime()?.stop()
    });
    let log = node.stack.wal_dir().join("telemetry.wal");
    let before = fs::read(&log).unwrap_or_default();
    narrator.check("the safe point is removed, the disk is filled", || {
        fs::remove_file(node.stack.wal_dir().join("telemetry.safe_seq"))?;
        match fault {
            Fault::Injected => node.disk()?.fill(0),
            Fault::LeftOut => Ok(()),
        }
    });
    narrator.check("proof: the disk refuses another writer too", || node.disk()?.refuses());
    narrator.check(
        "the start ends with code 1, says that the disk is full, changes nothing",
        || {
            for _ in 0..2 {
                says_full(&node.start_in_vain(LEGACY)?)?;
                ensure!(fs::read(&log)? == before, "the log was changed");
            }
            Ok(())
        },
    );
    narrator.check("with room the same start succeeds", || {
        node.disk()?.make_room()?;
        let options = RuntimeOptions { env: LEGACY, args: &[] };
        node.runtime = Some(node.stack.runtime(&options)?);
        node.serves()
    });
    narrator.check("every answered call is in the export exactly once", || node.account());
    Ok(())
}

/// The error names the full disk, and the hint says what to do about it.
fn says_full(ended: &Finished) -> Result<()> {
    let full = ["No space left on device", "no room"].iter().any(|it| ended.stderr.contains(it));
    ensure!(full, "the error does not name the full disk: {ended:?}");
    let hint = ended.stderr.lines().find(|it| it.starts_with("hint: ")).context("no hint")?;
    ensure!(hint.contains("room") || hint.contains("free some space"), "{hint}");
    Ok(())
}
