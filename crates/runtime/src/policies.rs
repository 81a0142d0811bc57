//! The evaluator in force, and its replacement.
//!
//! | at            | the slots give            | in force afterwards                             |
//! |---------------|---------------------------|-------------------------------------------------|
//! | start         | a good slot               | that policy; a fault of the other is recorded     |
//! | start         | no good slot              | deny all: `no_policy`                             |
//! | reload        | a good `current`          | that policy                                       |
//! | reload        | anything else             | what was in force; `policy.bundle.rejected`       |
//! | strict mode   | anything                  | deny all: `strict_mode`                           |
//!
//! * **J1** There is no moment without an evaluator, and a call sees one evaluator from beginning to
//!   end: a swap replaces one shared pointer.
//! * **J2** One reload at a time: what was loaded later is in force later, and on record later. At most
//!   [`RELOADS_MAX`] are at work or wait; one more is refused.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use api::health::Mode;
use jiff::Timestamp;
use policy::{DenyAll, Evaluator, Loaded, Slots, Source};
use semver::Version;
use serde::Serialize;
use supply_chain::Digest;
use thiserror::Error;
use tokio::sync::Semaphore;
use vfs::OsVfs;

use crate::{
    Config, PolicyFrom,
    interceptor::Interceptor,
    records::lifecycle,
    releases::{ActiveLock, accepted},
};

/// What decides, and the lock that it came with.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    pub(crate) evaluator: Arc<dyn Evaluator>,
    /// Fingerprint of the active lock; nothing while another policy decides than the one that came with it.
    pub(crate) lock_fingerprint: Option<Arc<str>>,
}

/// The policy that decides.
#[derive(Debug)]
pub(crate) struct PolicyInForce {
    in_force: RwLock<InForce>,
    /// Where `active-lock.json` is; nowhere when the caller gave the evaluator.
    wal_dir: Option<PathBuf>,
    /// Where a reload looks; nowhere when the caller gave the evaluator.
    slots: Option<Slots>,
    mode: Mode,
    /// What was wrong with the slots at the start, to be recorded once the log is open.
    faults_at_start: Vec<String>,
    /// The release that is on record: its lock, and when it was activated.
    known: Mutex<Option<(Digest, Timestamp)>>,
    /// Held from the look at the slots to the swap (J2).
    swap: Mutex<()>,
    /// Held from there to the record (J2).
    turns: Turns,
}

/// Most reloads at work or waiting.
const RELOADS_MAX: usize = 8;

/// The turns of reloads (J2).
#[derive(Debug)]
struct Turns {
    places: Semaphore,
    turn: tokio::sync::Mutex<()>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { places: Semaphore::new(RELOADS_MAX), turn: tokio::sync::Mutex::default() }
    }
}

/// What a reload put in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reloaded {
    policy_ref: String,
    policy_digest: String,
}

impl PolicyInForce {
    /// Loads what the slots of a configuration give.
    pub(crate) fn load(config: &Config) -> Self {
        let slots = match &config.policy {
            PolicyFrom::Slots(dir) => Some(slots(dir)),
            PolicyFrom::Fixed(_) => None,
        };
        if config.strict {
            tracing::warn!("strict mode: every call is denied, whatever is loaded");
            return Self::of(Arc::new(DenyAll::strict_mode()), slots, Mode::Strict, Vec::new());
        }
        match &config.policy {
            PolicyFrom::Slots(dir) => Self::from_slots(dir, &config.wal_dir),
            PolicyFrom::Fixed(evaluator) => Self::fixed(Arc::clone(evaluator)),
        }
    }

    fn from_slots(dir: &Path, wal_dir: &Path) -> Self {
        let slots = slots(dir);
        let Loaded { evaluator, source, warnings, .. } = slots.load();
        for warning in &warnings {
            tracing::warn!(slot = %warning.slot, fault = %warning.fault, "policy slot is not good");
        }
        if source == Source::None {
            let dir = dir.display();
            tracing::warn!(%dir, "no policy is loaded: every call is denied");
        }
        let faults = warnings.iter().map(ToString::to_string).collect();
        let this = Self {
            wal_dir: Some(wal_dir.to_owned()),
            ..Self::of(Arc::clone(&evaluator), Some(slots), Mode::Normal, faults)
        };
        let in_force = this.with_its_lock(evaluator);
        Self { in_force: RwLock::new(in_force), ..this }
    }

    /// A policy of the caller's own.
    pub(crate) fn fixed(evaluator: Arc<dyn Evaluator>) -> Self {
        Self::of(evaluator, None, Mode::Normal, Vec::new())
    }

    fn of(
        evaluator: Arc<dyn Evaluator>,
        slots: Option<Slots>,
        mode: Mode,
        faults: Vec<String>,
    ) -> Self {
        Self {
            in_force: RwLock::new(InForce { evaluator, lock_fingerprint: None }),
            wal_dir: None,
            slots,
            mode,
            faults_at_start: faults,
            known: Mutex::default(),
            swap: Mutex::default(),
            turns: Turns::default(),
        }
    }

    /// The evaluator in force now (J1).
    pub(crate) fn current(&self) -> Arc<dyn Evaluator> {
        self.in_force().evaluator
    }

    /// The same, and the lock that it came with.
    pub(crate) fn in_force(&self) -> InForce {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where a reload looks.
    pub(crate) const fn slots(&self) -> Option<&Slots> {
        self.slots.as_ref()
    }

    /// Takes note of a release, and says whether that is news.
    pub(crate) fn knows(&self, active: &ActiveLock) -> bool {
        let this = (active.lock_fingerprint, active.activated_at);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.replace(this) != Some(this)
    }

    /// Names the lock of an evaluator, if the active one came with it.
    fn with_its_lock(&self, evaluator: Arc<dyn Evaluator>) -> InForce {
        let read = |dir: &PathBuf| match ActiveLock::read(&OsVfs, dir) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "decisions name no lock");
                None
            }
        };
        let active = self.wal_dir.as_ref().and_then(read);
        let is_own = |it: &ActiveLock| it.policy_digest.to_string() == evaluator.policy_digest();
        if let Some(other) = active.as_ref().filter(|it| !is_own(it)) {
            let (release, policy_digest) = (other.release_counter, evaluator.policy_digest());
            tracing::warn!(
                release,
                policy_digest,
                "the policy in force is not that of the active release: decisions name no lock"
            );
        }
        let own = active.filter(is_own);
        let lock_fingerprint = own.map(|it| it.lock_fingerprint.to_string().into());
        InForce { evaluator, lock_fingerprint }
    }

    /// How the runtime decides.
    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    /// The mode as policies see it.
    pub(crate) const fn mode_name(&self) -> &'static str {
        match self.mode {
            Mode::Normal => "normal",
            Mode::Strict => "strict",
            // Never so: a runtime in quarantine has no policy in force.
            Mode::Quarantine => "quarantine",
        }
    }

    pub(crate) fn faults_at_start(&self) -> &[String] {
        &self.faults_at_start
    }

    /// Takes the current slot, or keeps what is in force.
    fn reload(&self) -> Result<Reloaded, ReloadError> {
        if self.mode == Mode::Strict {
            return Err(ReloadError::Strict);
        }
        let slots = self.slots.as_ref().ok_or(ReloadError::Fixed)?;
        self.swap(|| slots.load())
    }

    /// Puts in force what `load` gives. Nobody loads or swaps meanwhile (J2).
    fn swap(&self, load: impl FnOnce() -> Loaded) -> Result<Reloaded, ReloadError> {
        let _alone = self.swap.lock().unwrap_or_else(PoisonError::into_inner);
        let Loaded { evaluator, source, warnings, .. } = load();
        if source != Source::Current {
            let fault =
                warnings.first().map_or("nothing is loaded".to_owned(), ToString::to_string);
            return Err(ReloadError::Rejected { fault });
        }
        let reloaded = Reloaded {
            policy_ref: evaluator.policy_ref().to_owned(),
            policy_digest: evaluator.policy_digest().to_owned(),
        };
        let in_force = self.with_its_lock(evaluator);
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = in_force;
        Ok(reloaded)
    }
}

/// Why what was in force stays in force.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReloadError {
    /// The current slot is not good.
    #[error("the current policy stays: {fault}")]
    Rejected {
        /// What is wrong with the slot.
        fault: String,
    },
    /// The runtime denies everything, whatever is loaded.
    #[error("strict mode denies everything, whatever is loaded")]
    Strict,
    /// Whoever started the runtime gave it its policy.
    #[error("the policy was given at the start and cannot be replaced")]
    Fixed,
    /// The slots could not be looked at.
    #[error("the slots could not be read")]
    Unread,
    /// Too many reloads wait already.
    #[error("{RELOADS_MAX} reloads are at work or wait already")]
    Busy,
}

impl ReloadError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Rejected { .. } => "POLICY_REJECTED",
            Self::Strict => "STRICT_MODE",
            Self::Fixed => "POLICY_FIXED",
            Self::Unread => "POLICY_UNREAD",
            Self::Busy => "RELOAD_BUSY",
        }
    }
}

/// Reloads and records what came of it.
pub(crate) async fn record_reload(this: &Arc<Interceptor>) -> Result<Reloaded, ReloadError> {
    let turns = &this.policy.turns;
    let Ok(_place) = turns.places.try_acquire() else { return Err(ReloadError::Busy) };
    let _turn = turns.turn.lock().await;
    let interceptor = Arc::clone(this);
    // Compiling a policy takes longer than a worker should be away.
    let reload = tokio::task::spawn_blocking(move || interceptor.policy.reload());
    let outcome = reload.await.unwrap_or(Err(ReloadError::Unread));
    this.measures.reloaded(if outcome.is_ok() { "loaded" } else { "rejected" });
    let event = match &outcome {
        Ok(Reloaded { policy_ref, policy_digest }) => {
            tracing::info!(policy_ref, policy_digest, "policy loaded");
            lifecycle("policy.bundle.loaded")
                .with("policy_ref", policy_ref.as_str())
                .with("policy_digest", policy_digest.as_str())
        }
        Err(error) => {
            tracing::warn!(error = %error, "policy not replaced");
            rejected(&error.to_string())
        }
    };
    if let Err(error) = this.journal.append(&event).await {
        // The swap itself is safe without the entry: every decision names its policy.
        tracing::error!(error = %error, "reload not recorded");
    }
    if let Some(wal_dir) = &this.policy.wal_dir {
        record_by_hand(this, wal_dir).await;
    }
    outcome
}

/// A release that `policy load --lock` has loaded while this runtime had the log goes on record.
async fn record_by_hand(this: &Interceptor, wal_dir: &Path) {
    // One that cannot be read was warned of with the policy.
    let Ok(Some(active)) = ActiveLock::read(&OsVfs, wal_dir) else { return };
    if !this.policy.knows(&active) {
        return;
    }
    this.raise_floor(active.floor.clone());
    let event = accepted(&active).with("by", "hand");
    if let Err(error) = this.journal.append(&event).await {
        tracing::error!(error = %error, "release not recorded");
    }
}

/// The entry about a bundle that does not decide although it should.
pub(crate) fn rejected(fault: &str) -> wal_format::Event {
    lifecycle("policy.bundle.rejected").with("error", fault)
}

fn slots(dir: &Path) -> Slots {
    Slots::new(Arc::new(OsVfs), dir, version())
}

/// The version of this runtime, which bundles name in their requirements.
pub fn version() -> Version {
    // Cargo has checked the text; the fallback only keeps this free of panics.
    env!("CARGO_PKG_VERSION").parse().unwrap_or_else(|_| Version::new(0, 0, 0))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[derive(Debug)]
    struct Named(&'static str);

    impl Evaluator for Named {
        fn evaluate(&self, _: &policy::Request) -> policy::Decision {
            policy::Decision::allow(None, Vec::new())
        }

        fn policy_ref(&self) -> &str {
            self.0
        }

        fn policy_digest(&self) -> &'static str {
            "sha256:00"
        }
    }

    fn loaded(name: &'static str) -> Loaded {
        let none = Slots::new(Arc::new(vfs::MemVfs::default()), Path::new("/none"), version());
        Loaded { evaluator: Arc::new(Named(name)), source: Source::Current, ..none.load() }
    }

    /// The first reload has seen the old slot and is slow; the second sees the new one. Whoever looked
    /// later must have the last word.
    #[test]
    fn what_was_loaded_later_is_in_force_later() {
        let policy = PolicyInForce::fixed(Arc::new(Named("start")));
        let (looks, has_looked) = mpsc::channel();
        let (done, is_done) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let slow = move || {
                looks.send(()).unwrap();
                // Without a lock the other one is done soon, and this one undoes it.
                is_done.recv_timeout(std::time::Duration::from_millis(200)).ok();
                loaded("old")
            };
            let policy = &policy;
            scope.spawn(move || policy.swap(slow));
            has_looked.recv().unwrap();
            policy.swap(|| loaded("new")).unwrap();
            done.send(()).ok();
        });
        assert_eq!(policy.current().policy_ref(), "new");
    }
}
