//! One durable write, in every pattern worth comparing: what the device and the file system allow
//! one caller. No format, no checksum, no thread.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    time::Instant,
};

use anyhow::{Context as _, Result};

use crate::{
    callers,
    sample::{Recorder, Sample, Window},
    space::{Kind, Space, sync_dir_of},
};

/// What happens to the eight bytes that say how much is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SafePoint {
    /// There are none.
    None,
    /// Written over after the sync of the log; synced some other time.
    InPlace,
    /// Written over and synced.
    InPlaceSynced,
    /// Another file, synced, renamed, and the directory synced.
    Renamed,
}

/// Write, sync, safe point; again.
pub(crate) fn write_and_sync(
    dir: &Path,
    window: Window,
    record: &[u8],
    (kind, safe_point): (Kind, SafePoint),
) -> Result<Sample> {
    let mut log = Space::create(&dir.join("log"), kind)?;
    let safe_path = dir.join("safe");
    let safe = create_safe(&safe_path)?;
    let mut number = 0_u64;
    callers::one(window, || {
        log.write_durably(record)?;
        number += 1;
        let bytes = number.to_le_bytes();
        match safe_point {
            SafePoint::None => {}
            SafePoint::InPlace => safe.write_all_at(&bytes, 0)?,
            SafePoint::InPlaceSynced => {
                safe.write_all_at(&bytes, 0)?;
                safe.sync_data()?;
            }
            SafePoint::Renamed => {
                let temporary = dir.join("safe.new");
                let file = File::create(&temporary)?;
                file.write_all_at(&bytes, 0)?;
                file.sync_all()?;
                fs::rename(&temporary, &safe_path)?;
                sync_dir_of(&safe_path)?;
            }
        }
        Ok(())
    })
}

/// A durable file of eight bytes.
pub(crate) fn create_safe(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create_new(true).open(path)?;
    file.write_all_at(&[0; 8], 0)?;
    file.sync_all()?;
    sync_dir_of(path)?;
    Ok(file)
}

/// Write and `fdatasync` through `io_uring`, the sync submitted when the write is done.
pub(crate) fn io_uring(dir: &Path, window: Window, record: &[u8]) -> Result<Sample> {
    let mut space = Space::create(&dir.join("log"), Kind::ZeroFilled)?;
    let file = tokio_uring::fs::File::from_std(space.file.try_clone()?);
    let mut buffer = record.to_vec();
    let recorder = tokio_uring::start(async {
        let mut recorder = Recorder::new(Instant::now(), window);
        loop {
            let start = Instant::now();
            let at = space.next(buffer.len())?;
            let (written, same) = file.write_at(buffer, at).submit().await;
            anyhow::ensure!(written? == same.len(), "a short write");
            buffer = same;
            file.sync_data().await.context("fdatasync through io_uring")?;
            if !recorder.ended(start) {
                return Ok(recorder);
            }
        }
    })?;
    Recorder::sum(vec![recorder])
}
