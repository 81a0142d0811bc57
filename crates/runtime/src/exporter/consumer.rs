//! One consumer of one log, pass after pass.
//!
//! A pass takes the lock, sends everything that waits, and releases the lock. What is known of the
//! backlog stays in memory between two passes, as long as it is still true:
//!
//! | seen at the beginning of a pass                          | then                                   |
//! |----------------------------------------------------------|----------------------------------------|
//! | the log is the same, the progress files are as we left them | only what is new is indexed         |
//! | another log stands there                                 | the backlog is read anew               |
//! | the progress files were changed by another consumer      | the backlog is read anew               |
//! | the pass before was given up half-way, or found the log or the files changed | the backlog is read anew |
//!
//! Entries that arrive during a pass are sent too, as long as they do, for [`CATCH_UP_MAX`] at most: only
//! so does a log under constant traffic ever get delivered to its end, which is when it can be archived.
//!
//! # Invariants
//!
//! * **C1** One consumer at a time: `telemetry.drain.lock` is held from before the progress is read
//!   until after it is written for the last time in a pass. A log is replaced under the same lock, so
//!   no log goes away while entries of it are sent.
//! * **C2** A pass can be dropped at any await point: nothing but the request in flight is lost, and
//!   the entries in it are sent again, under the same ids.

use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use drain::{
    Class, Config as DrainConfig, Drain, Effect, Failure, Input, Notice, Progress, Report, Request,
};
use jiff::Timestamp;
use otlp::Encoding;
use thiserror::Error;
use tokio::time::Instant;
use vfs::Vfs;
use wal_format::{WalId, names};
use wal_recovery::{ReadError, Reader, Refreshed};

use super::{
    ahead::Ahead,
    collector::Collector,
    files::{Files, ProgressReadError},
    lock::{self, DrainLockError, LOCK_WAIT},
};

/// How long entries are awaited and sent that arrive behind those that waited at the beginning.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);
/// Pause before the end of a log that grows is taken for its end.
const LINGER: Duration = Duration::from_millis(100);

/// Name of a node whose log does not say what it is called.
const UNKNOWN_NODE: &str = "unknown";

/// What a consumer is about.
#[derive(Clone, Debug)]
pub struct DrainOptions {
    /// Directory of the log.
    pub dir: PathBuf,
    /// Node to name instead of the one that the log names; part of every event id.
    pub node: Option<String>,
    /// Most entries in one request.
    pub batch: NonZeroUsize,
    /// Most bytes of payload in one request; a single entry may be larger.
    pub batch_bytes: u64,
    /// Age beyond which an entry goes first; `None` sends by class alone.
    pub max_age: Option<Duration>,
    /// Attempts after the first.
    pub retries: u32,
    /// Seed of the jitter.
    pub seed: u64,
    /// Who we are, for whoever finds the lock taken.
    pub holder: String,
    /// How long to wait for a consumer that is at work.
    pub wait: Duration,
}

impl DrainOptions {
    /// The options that the command uses when nothing else is asked for.
    pub const fn standard(dir: PathBuf, seed: u64, holder: String) -> Self {
        Self {
            dir,
            node: None,
            batch: drain::BATCH_ENTRIES_DEFAULT,
            batch_bytes: drain::BATCH_BYTES_DEFAULT,
            max_age: Some(drain::MAX_AGE_DEFAULT),
            retries: drain::RETRIES_DEFAULT,
            seed,
            holder,
            wait: LOCK_WAIT,
        }
    }
}

/// Sends everything that waits in a log to a collector, once.
///
/// Reads and writes files on the thread that polls it.
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
    Consumer::new(options.clone()).pass(vfs, collector, &mut tell).await
}

/// A consumer of the log in one directory.
#[derive(Debug)]
pub struct Consumer {
    options: DrainOptions,
    backlog: Option<Backlog>,
    /// A pass began and did not end: whoever drove it dropped it (C2).
    under_way: bool,
    /// Accounts of what was known before and is not any more.
    earlier: Report,
}

/// What is known of the log between two passes.
#[derive(Debug)]
struct Backlog {
    reader: Reader,
    machine: Drain,
    /// The progress files as this consumer left them.
    files: Files,
}

impl Consumer {
    /// Makes a consumer that knows nothing yet. Nothing is read or locked.
    pub fn new(options: DrainOptions) -> Self {
        Self { options, backlog: None, under_way: false, earlier: Report::default() }
    }

    /// The accounts of all passes so far.
    pub fn report(&self) -> Report {
        let mut report = self.backlog.as_ref().map(|it| it.machine.report()).unwrap_or_default();
        add(&mut report, &self.earlier);
        report
    }

    /// Sends everything that waits now. The accounts are those of all passes.
    ///
    /// # Errors
    ///
    /// [`DrainError`]. The next pass goes on with what waits.
    pub async fn pass(
        &mut self,
        vfs: &dyn Vfs,
        collector: &Collector,
        tell: &mut dyn FnMut(&Notice),
    ) -> Result<Report, DrainError> {
        let send = async |request: Request| collector.send(&request).await;
        self.pass_with(vfs, collector.encoding(), send, tell).await
    }

    /// [`Self::pass`] with any way of sending.
    async fn pass_with(
        &mut self,
        vfs: &dyn Vfs,
        encoding: Encoding,
        send: impl AsyncFnMut(Request) -> Input,
        tell: &mut dyn FnMut(&Notice),
    ) -> Result<Report, DrainError> {
        let options = self.options.clone();
        // C1.
        let _lock = lock::take(vfs, &options.dir, &options.holder, options.wait).await?;
        self.check(vfs, &options.dir);
        let backlog = match &mut self.backlog {
            Some(known) => known,
            none => none.insert(Backlog::read(vfs, &options, encoding)?),
        };
        self.under_way = true;
        match backlog.run(vfs, &options.dir, send, tell).await {
            Ok(()) => {
                self.under_way = false;
                Ok(self.report())
            }
            // What was wrong with the log or the files may be mended when the next pass reads them.
            Err(Trouble::Log(error)) => Err(error),
            Err(Trouble::Stopped(failure)) => {
                self.under_way =
                    matches!(failure, Failure::LogChanged { .. } | Failure::Progress(_));
                Err(DrainError::Stopped { failure, report: Box::new(self.report()) })
            }
        }
    }

    /// Forgets what is known and not true any more (the table of the module).
    fn check(&mut self, vfs: &dyn Vfs, dir: &Path) {
        let Some(known) = &mut self.backlog else { return };
        // What cannot be looked at is read anew, and says then what is wrong.
        if !self.under_way && known.catch_up(vfs, dir).unwrap_or(false) {
            return;
        }
        let report = known.machine.report();
        self.backlog = None;
        self.under_way = false;
        add(&mut self.earlier, &report);
    }
}

impl Backlog {
    /// Reads the log from its first entry.
    fn read(vfs: &dyn Vfs, options: &DrainOptions, encoding: Encoding) -> Result<Self, DrainError> {
        let dir = &*options.dir;
        let (node, wal_id) = identity(vfs, dir)?;
        let mut config = DrainConfig::standard(node, wal_id, options.seed);
        if let Some(node) = &options.node {
            config.node.clone_from(node);
        }
        config.encoding = encoding;
        config.batch_entries_max = options.batch;
        config.batch_bytes_max = options.batch_bytes;
        config.max_age = options.max_age;
        config.retries_max = options.retries;
        let files = Files::read(vfs, dir)?;
        let progress: Progress = files.progress(wal_id)?;
        let machine = Drain::new(config, progress);
        let mut backlog = Self { reader: Reader::open(vfs, dir)?, machine, files };
        backlog.index()?;
        Ok(backlog)
    }

    /// Takes note of what is new; `false` when what is known is about something else.
    fn catch_up(&mut self, vfs: &dyn Vfs, dir: &Path) -> Result<bool, DrainError> {
        if !self.files.are_unchanged(vfs, dir)? {
            return Ok(false);
        }
        match self.reader.refresh(vfs)? {
            Refreshed::Replaced => return Ok(false),
            Refreshed::Grown => self.index()?,
            Refreshed::Unchanged => {}
        }
        Ok(true)
    }

    fn index(&mut self) -> Result<(), DrainError> {
        while let Some(item) = self.reader.next_entry()? {
            self.machine.index(item.seq, item.offset, item.payload)?;
        }
        Ok(())
    }

    /// Does what the machine says until the pass is over.
    async fn run(
        &mut self,
        vfs: &dyn Vfs,
        dir: &Path,
        mut send: impl AsyncFnMut(Request) -> Input,
        tell: &mut dyn FnMut(&Notice),
    ) -> Result<(), Trouble> {
        let (mut catch_up, mut ahead) = (CatchUp::default(), Ahead::default());
        let mut input = Input::Indexed;
        loop {
            let step = self.machine.step(input, Timestamp::now());
            step.notices.iter().for_each(&mut *tell);
            input = match step.effect {
                Effect::Read(entries) => ahead.read(&self.reader, &entries).await,
                Effect::Send(request) => {
                    ahead.begin(&self.machine, &self.reader);
                    send(request).await
                }
                Effect::AppendDeadLetters(lines) => {
                    written(vfs::append_lines(vfs, &dir.join(names::DEADLETTER), &lines))
                }
                Effect::WriteCursors(bytes) => written(self.files.write_cursors(vfs, bytes)),
                Effect::WritePosition(bytes) => {
                    written(self.files.write_position(vfs, bytes.to_vec()))
                }
                Effect::Wait(duration) => {
                    tokio::time::sleep(duration).await;
                    Input::Waited
                }
                Effect::Finished(_) => match catch_up.more(vfs, self).await {
                    Ok(true) => Input::Indexed,
                    Ok(false) => return Ok(()),
                    Err(error) => return Err(Trouble::Log(error)),
                },
                Effect::Failed(failure, _) => return Err(Trouble::Stopped(failure)),
            };
        }
    }
}

/// Why a pass ended early.
enum Trouble {
    Stopped(Failure),
    Log(DrainError),
}

/// What arrives while a pass is at work.
#[derive(Debug, Default)]
struct CatchUp {
    /// When the entries that waited at the beginning were sent.
    since: Option<Instant>,
    grew: bool,
}

impl CatchUp {
    /// Indexes what has arrived, and says whether there is any. A log that has not grown is at its end; one
    /// that has may only seem so.
    async fn more(&mut self, vfs: &dyn Vfs, log: &mut Backlog) -> Result<bool, DrainError> {
        if self.since.get_or_insert_with(Instant::now).elapsed() >= CATCH_UP_MAX {
            return Ok(false);
        }
        let mut seen = log.reader.refresh(vfs)?;
        if seen == Refreshed::Unchanged && self.grew {
            tokio::time::sleep(LINGER).await;
            seen = log.reader.refresh(vfs)?;
        }
        if seen != Refreshed::Grown {
            return Ok(false);
        }
        self.grew = true;
        log.index()?;
        Ok(true)
    }
}

/// Finds out who a log is. A log that others began says it only where we carried it on.
pub(super) fn identity(vfs: &dyn Vfs, dir: &Path) -> Result<(String, WalId), ReadError> {
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

pub(super) fn written(result: io::Result<()>) -> Input {
    result.map_or_else(|error| Input::Failed(error.to_string()), |()| Input::Written)
}

/// Adds what was counted of something that is not known any more. What waited there is counted
/// where it waits now.
fn add(report: &mut Report, earlier: &Report) {
    for class in Class::ALL {
        *report.accepted.get_mut(class) += earlier.accepted.get(class);
    }
    report.queued += earlier.accepted.total() + earlier.dead_lettered;
    report.dead_lettered += earlier.dead_lettered;
    report.batches += earlier.batches;
    report.requests += earlier.requests;
    report.retries += earlier.retries;
    report.bytes += earlier.bytes;
    report.warnings += earlier.warnings;
}

/// Why a drain did not deliver everything.
#[derive(Debug, Error)]
pub enum DrainError {
    /// Somebody else drains this log, or the lock cannot be had.
    #[error("drain failed: {0}")]
    Lock(#[from] DrainLockError),
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
    #[error("drain failed: {failure}")]
    Stopped {
        /// Why.
        failure: Failure,
        /// What was delivered until then.
        report: Box<Report>,
    },
}

impl DrainError {
    /// Returns whether another attempt later may succeed without anybody doing anything.
    pub const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Lock(DrainLockError::Held { .. })
                | Self::Stopped {
                    failure: Failure::Unreachable { .. }
                        | Failure::Busy { .. }
                        | Failure::Unreadable { .. }
                        | Failure::LogChanged { .. },
                    ..
                }
        )
    }

    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Lock(DrainLockError::Held { .. }) => wal_recovery::codes::DRAIN_LOCKED,
            Self::Lock(DrainLockError::Io { .. }) => "DRAIN_LOCK",
            Self::Read(error) => error.code(),
            Self::Progress(error) => error.code(),
            Self::Index(_) => "DRAIN_INDEX",
            Self::Stopped { failure, .. } => failure.code(),
        }
    }
}

#[cfg(test)]
mod tests;
