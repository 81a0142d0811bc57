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
    AppendError, Durability, Log, Marker, Opening, Overrides, RecoverError, Submission, examine,
    recover,
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
        for Marker { code, frames, bytes_cut } in recovered.report.markers() {
            tracing::warn!(dir = %dir.display(), frames, bytes_cut, "{code}");
        }
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
