//! What every handler can reach.

use std::{ops::Deref, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use rollout_store::Moment;
use tokio::sync::{Semaphore, watch};
use vfs::Vfs;

use crate::{
    config::Limits,
    keeper::Keeper,
    presence::Presence,
    rollouts::{Clock, Rollouts},
    routes::metrics::Measures,
    store::Store,
    wanted::Wanted,
};

/// Queries of the audit trail at once: each reads files, from their end and maybe to their beginning.
const TRAIL_READS: usize = 2;

/// What every handler can reach. Each layer of the router has a copy, which costs one count.
#[derive(Clone)]
pub(crate) struct App(Arc<Reach>);

impl Deref for App {
    type Target = Reach;

    fn deref(&self) -> &Reach {
        &self.0
    }
}

/// What is behind it.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Reach {
    pub(crate) store: Arc<Store>,
    pub(crate) rollouts: Arc<Rollouts>,
    pub(crate) access: Arc<Keeper>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) wanted: Arc<Wanted>,
    pub(crate) measures: Arc<Measures>,
    pub(crate) limits: Arc<Limits>,
    /// Places among the requests in work.
    pub(crate) slots: Arc<Semaphore>,
    /// Places among the event streams.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) trail_reads: Arc<Semaphore>,
    /// Whether the service was told to stop.
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) clock: Clock,
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) audit_dir: Arc<PathBuf>,
    /// Which process this is.
    pub(crate) holder: Arc<str>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// What an [`App`] is made of.
pub(crate) struct Parts {
    pub(crate) store: Arc<Store>,
    pub(crate) rollouts: Arc<Rollouts>,
    pub(crate) access: Arc<Keeper>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) audit_dir: PathBuf,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { store, rollouts, access, limits, clock, vfs, audit_dir, stopping } = parts;
        Self(Arc::new(Reach {
            store,
            rollouts,
            access,
            presence: Arc::default(),
            wanted: Arc::default(),
            measures: Arc::default(),
            slots: Arc::new(Semaphore::new(limits.requests_max)),
            streams: Arc::new(Semaphore::new(limits.streams_max)),
            trail_reads: Arc::new(Semaphore::new(TRAIL_READS)),
            limits: Arc::new(limits),
            stopping,
            clock,
            vfs,
            audit_dir: Arc::new(audit_dir),
            holder: format!("pid {}", std::process::id()).into(),
        }))
    }

    /// The same under other bounds; places among the requests in work are shared.
    #[cfg(test)]
    pub(crate) fn with_limits(&self, limits: Limits) -> Self {
        Self(Arc::new(Reach { limits: Arc::new(limits), ..Reach::clone(self) }))
    }

    /// The time.
    pub(crate) fn now(&self) -> Moment {
        (self.clock)()
    }
}

/// The clock of the machine.
pub(crate) fn wall_clock() -> Clock {
    Arc::new(|| Moment::from(Timestamp::now()))
}
