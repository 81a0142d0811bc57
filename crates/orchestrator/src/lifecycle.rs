//! The write-ahead log of the control plane's own life: when it started, when it stopped.
//!
//! It lives in `<data dir>/telemetry`, has the format of the log of a runtime, and is opened by the
//! same code: a log that cannot be trusted stops the start, with the same codes, texts and
//! overrides. Its entries are read and drained with `autonomy wal` and `autonomy telemetry`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use vfs::OsVfs;
use wal_format::{Event, Kind};
use wal_recovery::{
    AppendError, Durability, Log, Opening, Overrides, RecoverError, Report, Submission, codes,
    examine, recover,
};

/// Directory of the log below the data directory.
pub(crate) const TELEMETRY_DIR: &str = "telemetry";
/// Node that the control plane's own events carry.
const NODE: &str = "orchestrator";

/// The open log.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    log: Log,
}

impl Lifecycle {
    /// Says whether the log would be opened, and changes nothing: a start that it refuses must leave
    /// the store alone too.
    pub(crate) fn examine(data_dir: &Path, overrides: Overrides) -> Result<(), RecoverError> {
        examine(&OsVfs, &data_dir.join(TELEMETRY_DIR), overrides).map(drop)
    }

    /// Recovers the log.
    pub(crate) fn open(data_dir: &Path, overrides: Overrides) -> Result<Self, RecoverError> {
        let dir = data_dir.join(TELEMETRY_DIR);
        let now = Timestamp::now();
        let recovered = recover(&OsVfs, &opening(dir.clone(), overrides, now))?;
        say(&dir, &recovered.report);
        let log = Log::start(recovered.writer).map_err(|source| RecoverError::Io {
            action: "start the commit thread of",
            path: dir,
            source,
        })?;
        Ok(Self { log })
    }

    /// Records the start, once everything that can refuse one has been passed.
    pub(crate) fn started(&self) -> Result<(), AppendError> {
        self.record("orchestrator.started")
    }

    /// Records the end and closes the log.
    pub(crate) fn close(&self) -> Result<(), AppendError> {
        self.record("orchestrator.stopped")?;
        self.log.close()
    }

    fn record(&self, name: &str) -> Result<(), AppendError> {
        let version = env!("CARGO_PKG_VERSION");
        let event = Event::new(Kind::Lifecycle).with("event", name).with("version", version);
        self.log.append(Submission::new(&event, Timestamp::now())?).map(drop)
    }
}

fn opening(dir: PathBuf, overrides: Overrides, now: Timestamp) -> Opening {
    Opening {
        dir,
        node: NODE.to_owned(),
        random: *uuid::Uuid::new_v4().as_bytes(),
        now,
        overrides,
        durability: Durability::Chained,
        holder: format!("pid {} since {now:.0}", std::process::id()),
    }
}

/// Says what recovery did. The operator reset is a mandatory audit marker.
fn say(dir: &Path, report: &Report) {
    let dir = dir.display();
    if report.is_reset() {
        tracing::warn!(%dir, "{}", codes::WAL_RESET_BY_OPERATOR);
    }
    if report.is_legacy_upgrade() {
        let (frames, bytes_cut) = (report.last.map_or(0, wal_format::Seq::get), report.bytes_cut);
        tracing::warn!(%dir, frames, bytes_cut, "{}", codes::WAL_LEGACY_ADOPTED);
    }
    if report.phantoms > 0 {
        let (frames, bytes) = (report.phantoms, report.bytes_cut);
        tracing::warn!(%dir, frames, bytes, "{}", codes::WAL_PHANTOM_DISCARDED);
    }
}
