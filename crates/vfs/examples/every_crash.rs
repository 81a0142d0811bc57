//! A counter in a file, and what is left of it when power is lost at each single step: the file system in memory
//! crashes, the code that is tried out is the one that runs on a disk.
//!
//! `cargo run -p vfs --features testing --example every_crash`
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::{error::Error, io, path::Path};

use vfs::{
    CrashPolicy, FaultPlan, MemVfs, OpenMode, OsVfs, Vfs, read_whole, replace, write_all_at,
};

/// Length of a counter in its file.
const LEN: u64 = 8;
/// Dice for what a disk keeps of writes that nobody synced.
const SEEDS: u64 = 50;

/// A way to write a counter.
type Save = fn(&dyn Vfs, &Path, u64) -> io::Result<()>;

/// What came of all crashes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    crashes: u32,
    old: u32,
    new: u32,
    /// An acknowledged counter that is gone, or bytes that are none.
    lost: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let careful = tally(replace_it)?;
    println!("beside it, synced, renamed: {careful:?}");
    let careless = tally(write_over_it)?;
    println!("emptied and written anew:   {careless:?}");
    if careful.lost > 0 || careless.lost == 0 {
        return Err("the crash model does not tell the two apart".into());
    }

    // The same function on the disk of this machine.
    let dir = std::env::temp_dir().join(format!("every-crash-{}", std::process::id()));
    OsVfs.create_dir_all(&dir)?;
    let file = dir.join("counter");
    for value in 1..=3 {
        replace_it(&OsVfs, &file, value)?;
    }
    println!("on the disk: {:?}", load(&OsVfs, &file)?);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn replace_it(vfs: &dyn Vfs, file: &Path, value: u64) -> io::Result<()> {
    replace(vfs, file, &value.to_le_bytes())
}

/// What looks as if it would do.
fn write_over_it(vfs: &dyn Vfs, file: &Path, value: u64) -> io::Result<()> {
    write_all_at(&*vfs.open(file, OpenMode::Create)?, &value.to_le_bytes(), 0)
}

fn load(vfs: &dyn Vfs, file: &Path) -> io::Result<Option<u64>> {
    let bytes = read_whole(vfs, file, LEN)?;
    Ok(bytes.and_then(|it| it.try_into().ok()).map(u64::from_le_bytes))
}

/// Loses power at each step of going from 41 to 42, and after the last one.
fn tally(save: Save) -> io::Result<Tally> {
    let (file, mut tally) = (Path::new("/counter"), Tally::default());
    for seed in 0..SEEDS {
        for step in 0.. {
            let disk = MemVfs::new(FaultPlan::none());
            replace_it(&disk, file, 41)?;
            disk.set_plan(FaultPlan::crash_at(step));
            let answered = save(&disk, file, 42).is_ok();
            disk.power_loss(CrashPolicy::Random(seed));
            disk.set_plan(FaultPlan::none());
            tally.crashes += 1;
            match load(&disk, file) {
                Ok(Some(42)) => tally.new += 1,
                Ok(Some(41)) if !answered => tally.old += 1,
                _ => tally.lost += 1,
            }
            if answered {
                break;
            }
        }
    }
    Ok(tally)
}
