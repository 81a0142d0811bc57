//! Drives a drain: reads the log, sends requests, writes files, waits. Decides nothing.
//!
//! | effect of the machine   | what is done here                                        |
//! |-------------------------|----------------------------------------------------------|
//! | `Read`                  | payloads by their offsets, from the log                    |
//! | `Send`                  | one HTTP request (`collector`)                             |
//! | `WriteCursors`, `WritePosition` | atomic replacement (`files`)                       |
//! | `AppendDeadLetters`     | append and sync (`files`)                                  |
//! | `Wait`                  | a timer                                                    |
//!
//! One consumer at a time: `telemetry.drain.lock` is held for the whole pass.

use std::path::{Path, PathBuf};

use drain::{Config as DrainConfig, Drain, Effect, EntryRef, Input, Notice, Report};
use jiff::Timestamp;
use thiserror::Error;
use vfs::{LockError, Vfs};
use wal_format::{WalId, names};
use wal_recovery::{ReadError, Reader};

mod collector;
mod files;

pub use collector::{Collector, CollectorError, Compression};
pub use files::{ProgressReadError, load_progress};

/// Name of a node whose log does not say what it is called.
const UNKNOWN_NODE: &str = "unknown";

/// What a drain is about.
#[derive(Clone, Debug)]
pub struct DrainOptions {
    /// Directory of the log.
    pub dir: PathBuf,
    /// Most entries in one request.
    pub batch: std::num::NonZeroUsize,
    /// Attempts after the first.
    pub retries: u32,
    /// Seed of the jitter.
    pub seed: u64,
    /// Who we are, for whoever finds the lock taken.
    pub holder: String,
}

/// Sends everything that waits in a log to a collector.
///
/// # Errors
///
/// [`DrainError`]. What was accepted before stays accepted; nothing else has moved.
pub async fn drain_once(
    vfs: &dyn Vfs,
    options: &DrainOptions,
    collector: &Collector,
    mut tell: impl FnMut(&Notice),
) -> Result<Report, DrainError> {
    let dir = &*options.dir;
    let lock_path = dir.join(names::DRAIN_LOCK);
    let _lock = vfs.lock(&lock_path, &options.holder).map_err(|error| match error {
        LockError::Held { holder } => DrainError::Locked { dir: dir.to_owned(), holder },
        LockError::Io(source) => DrainError::Lock { path: lock_path.clone(), source },
    })?;
    let (node, wal_id) = identity(vfs, dir)?;
    let mut config = DrainConfig::standard(node, wal_id, options.seed);
    config.batch_entries_max = options.batch;
    config.retries_max = options.retries;
    let progress = load_progress(vfs, dir, wal_id)?;
    let mut machine = Drain::new(config, progress);
    let reader = index(vfs, dir, &mut machine)?;

    let mut input = Input::Indexed;
    loop {
        let step = machine.step(input, Timestamp::now());
        step.notices.iter().for_each(&mut tell);
        input = match step.effect {
            Effect::Read(entries) => read(&reader, &entries),
            Effect::Send(request) => collector.send(&request).await,
            Effect::AppendDeadLetters(lines) => {
                written(vfs::append_lines(vfs, &dir.join(names::DEADLETTER), &lines))
            }
            Effect::WriteCursors(bytes) => {
                written(vfs::replace(vfs, &dir.join(names::CURSORS), &bytes))
            }
            Effect::WritePosition(bytes) => {
                written(vfs::replace(vfs, &dir.join(names::POS), &bytes))
            }
            Effect::Wait(duration) => {
                tokio::time::sleep(duration).await;
                Input::Waited
            }
            Effect::Finished(report) => return Ok(report),
            Effect::Failed(failure, report) => {
                return Err(DrainError::Stopped { failure, report: Box::new(report) });
            }
        };
    }
}

/// Finds out who a log is. A log that others began says it only where we carried it on.
fn identity(vfs: &dyn Vfs, dir: &Path) -> Result<(String, WalId), ReadError> {
    let mut reader = Reader::open(vfs, dir)?;
    while reader.next_entry()?.is_some() {
        if let Some(birth) = reader.identity().and_then(|it| it.birth.as_ref()) {
            return Ok((birth.node.clone(), birth.wal_id));
        }
    }
    // An empty log has nothing to send, so its id never leaves this machine.
    let wal_id = reader.identity().map_or_else(|| WalId::of_foreign_log(&[]), |it| it.wal_id);
    Ok((UNKNOWN_NODE.to_owned(), wal_id))
}

fn index(vfs: &dyn Vfs, dir: &Path, machine: &mut Drain) -> Result<Reader, DrainError> {
    let mut reader = Reader::open(vfs, dir)?;
    while let Some(item) = reader.next_entry()? {
        machine.index(item.seq, item.offset, item.payload)?;
    }
    Ok(reader)
}

fn read(reader: &Reader, entries: &[EntryRef]) -> Input {
    let places: Vec<_> = entries.iter().map(|it| (it.offset, it.len)).collect();
    reader.payloads_at(&places).map_or_else(|error| Input::Failed(error.to_string()), Input::Read)
}

fn written(result: std::io::Result<()>) -> Input {
    result.map_or_else(|error| Input::Failed(error.to_string()), |()| Input::Written)
}

/// Why a drain did not deliver everything.
#[derive(Debug, Error)]
pub enum DrainError {
    /// Somebody else drains this log.
    #[error("drain failed: {} is drained by {holder}", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// What the other consumer says about itself.
        holder: String,
    },
    /// The lock could not be taken for another reason.
    #[error("drain failed: cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The files about the progress could not be read.
    #[error(transparent)]
    Progress(#[from] ProgressReadError),
    /// An entry was read out of order, which a scan never does.
    #[error("drain failed: {0}")]
    Index(#[from] drain::IndexError),
    /// The drain stopped.
    #[error("{failure}")]
    Stopped {
        /// Why.
        failure: drain::Failure,
        /// What was delivered until then.
        report: Box<Report>,
    },
}
