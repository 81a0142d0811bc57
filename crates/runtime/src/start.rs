//! From a configuration to a serving process, and its clean end.
//!
//! The order of a start: the listener is bound by the caller (a port in use costs nothing), the log
//! is recovered, open intents are closed as `unknown`, the policy is loaded, `runtime.started` is
//! recorded, and only then is the first request taken.

use std::{
    future::Future,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use connections::Bounds;
use jiff::Timestamp;
use supply_chain::Floor;
use thiserror::Error;
use tokio::{net::TcpListener, time::Instant};
use uuid::Uuid;
use vfs::{OsVfs, Vfs};
use wal_format::{Birth, WalId};
use wal_recovery::{AppendError, Log, Marker, Opening, ReadError, RecoverError, Report, recover};

use crate::{
    Config, Limits, ReloadError,
    exporter::{Collector, CollectorError, DrainOptions, Exporter, load_progress},
    intents::{LookedOver, look_over},
    interceptor::Interceptor,
    journal::Journal,
    policies::{PolicyInForce, record_reload, rejected},
    records::{lifecycle, unknown_outcome},
    refusals::{tell_now, tell_refusals},
    releases::{
        Activator, ControlPlane, ControlPlaneError, FloorError, Forgetful, Poller, ReleaseSource,
        Remembered, Unverified, VerifiedReleases, beside, floor_event,
    },
    rollover::{Rollover, look_after},
    server::{App, Front},
    tools::Tools,
    visitors::Hosts,
};

/// A runtime that is ready to serve.
#[derive(Debug)]
pub struct Runtime {
    interceptor: Arc<Interceptor>,
    wal: Arc<Wal>,
    max_body: usize,
    grace: Duration,
    limits: Limits,
    hosts: Hosts,
    rollover: Rollover,
    export: Option<(DrainOptions, Collector)>,
    releases: Option<Poller>,
}

/// The log behind a runtime, as far as status needs it.
#[derive(Debug)]
pub(crate) struct Wal {
    pub(crate) dir: PathBuf,
    identity: Mutex<Birth>,
    shown: Shown,
}

/// The position, as it was read last, and when.
type Shown = tokio::sync::Mutex<Option<(Instant, Option<u64>)>>;

/// Age up to which a position is shown again instead of read again.
const SHOWN_FOR: Duration = Duration::from_millis(250);

impl Wal {
    #[cfg(test)]
    pub(crate) fn of_tests() -> Self {
        let birth = Birth {
            wal_id: WalId::from_random([1; 16]),
            node: "n".to_owned(),
            origin: wal_format::Origin::FirstRun,
            previous: None,
        };
        Self { dir: "/nowhere".into(), identity: Mutex::new(birth), shown: Shown::default() }
    }

    /// Last sequence number that a consumer has accepted; `None` when it cannot be read.
    pub(crate) fn position(&self) -> Option<u64> {
        let progress = load_progress(&OsVfs, &self.dir, self.wal_id()).ok()?;
        Some(progress.position().get())
    }

    /// The position, for whoever asks from outside: read off the workers, by one reader at a time, and not
    /// more often than each [`SHOWN_FOR`].
    pub(crate) async fn shown_position(self: &Arc<Self>) -> Option<u64> {
        let mut shown = self.shown.lock().await;
        if let Some((_, position)) = shown.filter(|it| it.0.elapsed() < SHOWN_FOR) {
            return position;
        }
        let this = Arc::clone(self);
        let position = tokio::task::spawn_blocking(move || this.position()).await.ok().flatten();
        *shown = Some((Instant::now(), position));
        position
    }

    /// Id of the live log.
    pub(crate) fn wal_id(&self) -> WalId {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).wal_id
    }

    /// Another log is the live one now.
    pub(crate) fn replace_identity(&self, birth: Birth) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = birth;
    }
}

impl Runtime {
    /// Recovers the log, closes open intents, loads the policy.
    ///
    /// # Errors
    ///
    /// [`StartError`]. A log that is refused is unchanged.
    pub async fn open(config: &Config, tools: Tools) -> Result<Self, StartError> {
        let now = Timestamp::now();
        // What cannot be used is said before the log is touched.
        let collector = config.collector.as_ref().map(Collector::new).transpose()?;
        let control_plane = |it: &ReleaseSource| ControlPlane::new(it, &config.node);
        let control_plane = config.releases.as_ref().map(control_plane).transpose()?;
        let OpenedLog { journal, report, floor } = open_log(&OsVfs, &opening(config, now)).await?;
        tell(config, &report);
        let remembered = beside(&OsVfs, &config.wal_dir, floor.clone());
        let policy = PolicyInForce::load(config);
        let identity = Mutex::new(report.identity);
        let wal = Wal { dir: config.wal_dir.clone(), identity, shown: Shown::default() };
        for fault in policy.faults_at_start() {
            journal.append(&rejected(fault)).await?;
        }
        let interceptor = Arc::new(Interceptor::new(journal, policy, tools, config));
        let forgetful = carry_on(&interceptor, floor, remembered).await?;
        let releases = config.releases.as_ref().zip(control_plane).map(|(source, plane)| {
            let activator = activator(config, source, &interceptor, forgetful);
            Poller::new(plane, source.interval, activator, Arc::clone(&interceptor))
        });
        Ok(Self {
            interceptor,
            releases,
            wal: Arc::new(wal),
            max_body: config.max_body,
            grace: config.tool_timeout,
            limits: config.limits,
            hosts: Hosts::new(&config.hosts),
            rollover: Rollover {
                max_bytes: config.wal_max_bytes,
                keep: config.archive_keep,
                node: config.node.clone(),
                holder: holder(now),
            },
            export: collector.map(|it| (drain_options(config, now), it)),
        })
    }

    /// A handle that swaps the policy while the runtime serves.
    pub fn reloader(&self) -> Reloader {
        Reloader(Arc::clone(&self.interceptor))
    }

    /// A handle that writes into the log of the runtime while it serves.
    pub fn recorder(&self) -> Recorder {
        Recorder(Arc::clone(&self.interceptor))
    }

    /// Serves until `shutdown` completes, then finishes what runs and closes the log.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the first entry cannot be recorded, the listener fails, or the log does
    /// not close cleanly.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), StartError> {
        let addr = listener.local_addr().map_err(StartError::Listener)?;
        let policy_ref = self.interceptor.policy.current().policy_ref().to_owned();
        let event = lifecycle("runtime.started")
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("listen", addr.to_string())
            .with("mode", self.interceptor.policy.mode_name())
            .with("policy_ref", policy_ref.as_str());
        self.interceptor.journal.append(&event).await?;
        tracing::info!(%addr, policy_ref, "runtime listening");
        let exporter = self
            .export
            .map(|(options, collector)| Exporter::start(Arc::new(OsVfs), options, collector))
            .transpose()
            .map_err(StartError::Thread)?;
        let exporting = exporter.as_ref().map(Exporter::shown);
        let care = tokio::spawn(look_after(
            self.rollover,
            Arc::clone(&self.interceptor),
            Arc::clone(&self.wal),
            exporting.clone(),
        ));
        let releasing = self.releases.as_ref().map(Poller::shown);
        let poller = self.releases.map(|it| tokio::spawn(it.run()));
        let telling = tokio::spawn(tell_refusals(Arc::clone(&self.interceptor)));
        let app = App {
            interceptor: Arc::clone(&self.interceptor),
            wal: self.wal,
            scans: Arc::default(),
            exporting,
            releasing,
            hosts: self.hosts,
            max_body: self.max_body,
            started: Instant::now(),
        };
        let bounds =
            Bounds { grace: self.grace, connections: self.limits.connections, ..Bounds::STANDARD };
        let shutdown = async {
            shutdown.await;
            tracing::info!("runtime stopping");
        };
        connections::serve(listener, Front::new(app), &bounds, shutdown).await;
        self.interceptor.drained().await;
        if let Some(poller) = poller {
            // Nothing may be recorded behind the end.
            poller.abort();
            poller.await.ok();
        }
        telling.abort();
        // It ends at once, and what it has not told is told here.
        telling.await.ok();
        tell_now(&self.interceptor).await;
        // What it is in the middle of it finishes on its own thread; the log waits for that.
        care.abort();
        self.interceptor.journal.append(&lifecycle("runtime.stopped")).await?;
        self.interceptor.journal.close()?;
        if let Some(exporter) = exporter {
            // A thread that was lost is said by the exporter itself.
            tokio::task::spawn_blocking(|| exporter.finish()).await.ok();
        }
        tracing::info!("runtime stopped");
        Ok(())
    }
}

/// Swaps the policy of a serving runtime, for example on SIGHUP.
#[derive(Clone, Debug)]
pub struct Reloader(Arc<Interceptor>);

impl Reloader {
    /// Takes what the slots hold now.
    ///
    /// # Errors
    ///
    /// [`ReloadError`]; what was in force stays in force. Either outcome is logged and recorded.
    pub async fn reload(&self) -> Result<(), ReloadError> {
        record_reload(&self.0).await.map(drop)
    }
}

/// Records what the program around a runtime has seen.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Interceptor>);

impl Recorder {
    /// Records a lifecycle entry and returns its number; it is durable then.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; the entry is not in the log.
    pub async fn happened(&self, name: &str, attrs: &[(&str, &str)]) -> Result<u64, AppendError> {
        let event =
            attrs.iter().fold(lifecycle(name), |event, (key, value)| event.with(key, *value));
        self.0.journal.append(&event).await.map(|it| it.seq.get())
    }
}

fn drain_options(config: &Config, now: Timestamp) -> DrainOptions {
    let seed = u64::from(std::process::id()) ^ u64::from(now.subsec_nanosecond().unsigned_abs());
    let holder = format!("the runtime, {}", holder(now));
    let standard = DrainOptions::standard(config.wal_dir.clone(), seed, holder);
    // There is a next pass soon.
    DrainOptions { wait: Duration::ZERO, ..standard }
}

/// Writes what is remembered elsewhere into the log (M1 of `releases::remembered`), and returns why nobody knows what
/// was active here, if nobody does.
async fn carry_on(
    interceptor: &Interceptor,
    in_log: Option<Floor>,
    remembered: Result<Remembered, FloorError>,
) -> Result<Option<FloorError>, StartError> {
    let floor = match remembered {
        Err(error) => {
            tracing::warn!(code = error.code(), %error, "no release will be activated");
            return Ok(Some(error));
        }
        Ok(remembered) => {
            if let Some(active) = &remembered.active {
                interceptor.policy.knows(active);
            }
            remembered.floor
        }
    };
    let Some(floor) = floor else { return Ok(None) };
    interceptor.raise_floor(floor.clone());
    if in_log.as_ref() != Some(&floor) {
        interceptor.journal.append(&floor_event("floor_carried", &floor)).await?;
    }
    Ok(None)
}

/// Who puts releases in force. Nobody does, where there is no key or no memory.
fn activator(
    config: &Config,
    source: &ReleaseSource,
    interceptor: &Arc<Interceptor>,
    forgetful: Option<FloorError>,
) -> Box<dyn Activator> {
    match (&source.trust, forgetful) {
        (_, Some(error)) => Box::new(Forgetful { code: error.code(), text: error.to_string() }),
        (None, None) => Box::new(Unverified),
        (Some(trust), None) => Box::new(VerifiedReleases {
            trust: Arc::new(trust.clone()),
            node: config.node.clone(),
            wal_dir: config.wal_dir.clone(),
            interceptor: Arc::clone(interceptor),
        }),
    }
}

/// A log that is open.
#[derive(Debug)]
pub(crate) struct OpenedLog {
    pub(crate) journal: Journal,
    pub(crate) report: Report,
    /// The rollback floor that is on record in it.
    pub(crate) floor: Option<Floor>,
}

/// Recovers the log and closes each open intent as `unknown`, before anything else is recorded.
pub(crate) async fn open_log(vfs: &dyn Vfs, opening: &Opening) -> Result<OpenedLog, StartError> {
    let recovered = recover(vfs, opening)?;
    let LookedOver { open, floor } = look_over(vfs, &opening.dir)?;
    let log = Log::start(recovered.writer).map_err(StartError::Thread)?;
    let journal = Journal::new(log);
    for intent in open {
        tracing::warn!(audit_id = intent.audit_id, seq = intent.seq, "outcome unknown");
        let event = unknown_outcome(&intent.audit_id, &intent.kind, intent.seq);
        journal.append(&event).await?;
    }
    Ok(OpenedLog { journal, report: recovered.report, floor })
}

fn opening(config: &Config, now: Timestamp) -> Opening {
    Opening {
        dir: config.wal_dir.clone(),
        node: config.node.clone(),
        random: *Uuid::new_v4().as_bytes(),
        now,
        overrides: config.overrides,
        durability: config.durability,
        holder: holder(now),
    }
}

/// Who we are, for whoever finds a lock taken.
fn holder(now: Timestamp) -> String {
    format!("pid {} since {now:.0}", std::process::id())
}

/// Says what recovery did.
fn tell(config: &Config, report: &Report) {
    let dir = config.wal_dir.display();
    for Marker { code, frames, bytes_cut } in report.markers() {
        tracing::warn!(%dir, frames, bytes_cut, "{code}");
    }
    if report.identity.node != config.node {
        let (node, log_node) = (&config.node, &report.identity.node);
        tracing::warn!(%dir, node, log_node, "the log began on another node; its event ids stay");
    }
    let last_seq = report.last.map_or(0, wal_format::Seq::get);
    let wal_id = report.identity.wal_id;
    tracing::info!(%dir, %wal_id, last_seq, bytes_cut = report.bytes_cut, "log recovered");
}

/// Why a runtime did not start or did not end well.
#[derive(Debug, Error)]
pub enum StartError {
    /// The log was not opened.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The log could not be read back.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An entry about the process itself could not be recorded.
    #[error("telemetry/wal: {0}")]
    Append(#[from] AppendError),
    /// The collector cannot be used.
    #[error(transparent)]
    Collector(#[from] CollectorError),
    /// The control plane cannot be asked.
    #[error(transparent)]
    ControlPlane(#[from] ControlPlaneError),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The listener failed.
    #[error("cannot serve")]
    Listener(#[source] io::Error),
}
