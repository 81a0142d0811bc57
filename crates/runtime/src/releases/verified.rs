//! Puts a release in force that was verified: all of it, or nothing.
//!
//! | step | what                                                               | when it fails, step and code               |
//! |-----:|--------------------------------------------------------------------|--------------------------------------------|
//! |    1 | the policy in force may be replaced at all                           | `load_refused`: `STRICT_MODE`, `POLICY_FIXED` |
//! |      | the turn is taken: one release at a time on a node                    | `load_refused`: `RELEASE_BUSY`, `RELEASE_LOCK` |
//! |    2 | the image, its lock and its policy are verified (`supply_chain`)     | `verify_failed`: one of `VerifyError::CODES` |
//! |    3 | the lock is the one that the release names                           | `verify_failed`: `ErrFingerprintMismatch`     |
//! |    4 | the lock is not older than what was active (`floor`), or permitted   | `verify_failed`: `ErrRollback`                |
//! |    5 | the policy opens, compiles and fits this runtime                     | `load_refused`: a code of `policy`           |
//! |    6 | `accepted` with the new floor is durable                             | `load_refused`: a code of the log            |
//! |    7 | the policy takes the current slot                                    | `load_refused`: a code of `policy`           |
//! |    8 | `active-lock.json` is replaced                                       | `load_refused`: `ACTIVE_LOCK_NOT_WRITTEN`    |
//! |    9 | the policy is in force                                               | `load_refused`: a code of a reload           |
//!
//! # Invariants
//!
//! * **V1** Nothing of a release is loaded that is not behind a [`Verified`] lock.
//! * **V2** What is checked costs nothing: up to step 5 nothing of log, slots and `active-lock.json` has changed.
//! * **V3** The floor is durable before anything is loaded, and a permit is used up with it. After a crash at any step
//!   the release can be tried again, and nothing older can; one that took a permit needs another.
//! * **V4** An attempt that fails leaves the policy in force as it was.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use api::{health::Mode, release::Release};
use jiff::Timestamp;
use policy::{Bundle, Slot, Slots};
use supply_chain::{
    Digest, Floor, Grounds, Lock, Permit, PublicKey, Reference, Rollback, Trust, Verified,
    VerifyError, Wanted, decide, gather, oci, open_place, verify,
};
use tokio::task::spawn_blocking;
use vfs::{OsVfs, Vfs, read_whole};
use wal_format::Event;

use super::{
    Activation, ActivationError, Activator, ActiveLock,
    active_lock::{ACTIVE_LOCK_SCHEMA, UsedPermit},
    course::about,
    release_turn,
    remembered::{FloorError, Remembered, floor_event, with_file},
};
use crate::{
    interceptor::Interceptor,
    policies::{ReloadError, record_reload},
};

/// Whom a node trusts with its releases.
#[derive(Clone, Debug)]
pub struct ReleaseTrust {
    /// The keys.
    pub keys: Vec<PublicKey>,
    /// How many of them have to have signed.
    pub threshold: NonZeroUsize,
    /// Longest age of a signature; `None` looks at no time.
    pub max_age: Option<Duration>,
    /// How registries are spoken to.
    pub registries: oci::Options,
    /// A downgrade permit, if one is there when it is needed.
    pub permit: Option<PathBuf>,
}

impl ReleaseTrust {
    /// What is verified with at this moment.
    pub fn at(&self, now: Timestamp) -> Trust {
        let Self { keys, threshold, max_age, .. } = self;
        Trust { keys: keys.clone(), threshold: *threshold, max_age: *max_age, now }
    }
}

/// Puts verified releases in force.
#[derive(Debug)]
pub(crate) struct VerifiedReleases {
    pub(crate) trust: Arc<ReleaseTrust>,
    pub(crate) node: String,
    pub(crate) wal_dir: PathBuf,
    pub(crate) interceptor: Arc<Interceptor>,
}

/// A release that may be loaded.
#[derive(Debug)]
pub struct Candidate {
    lock: Verified<Lock>,
    image: Digest,
    floor: Floor,
    grounds: Grounds,
    permit: Option<UsedPermit>,
}

impl Candidate {
    /// The floor once it is loaded.
    pub const fn floor(&self) -> &Floor {
        &self.floor
    }

    /// Fingerprint of its lock.
    pub fn lock_fingerprint(&self) -> String {
        self.lock.get().stored_fingerprint().to_string()
    }

    /// The version of the policy, as the lock says it.
    pub fn policy_version(&self) -> String {
        self.lock.get().content().policy_bundle.version.to_string()
    }

    /// The bytes of the policy; there always are some, because they were required.
    pub fn bundle(&self) -> &[u8] {
        self.lock.bundle().unwrap_or_default()
    }

    /// The entry that has to be durable before it is loaded (V3).
    pub(super) fn accepted(&self, artifact_ref: &str, now: Timestamp) -> Event {
        accepted(&self.active_lock(artifact_ref, now))
    }

    /// What the node will say about itself.
    pub fn active_lock(&self, artifact_ref: &str, now: Timestamp) -> ActiveLock {
        let content = self.lock.get().content();
        ActiveLock {
            schema: ACTIVE_LOCK_SCHEMA,
            lock_fingerprint: self.lock.get().stored_fingerprint(),
            release_counter: content.release_counter,
            name: content.name.clone(),
            version: content.version.clone(),
            artifact_ref: artifact_ref.to_owned(),
            image_digest: self.image,
            policy_digest: content.policy_bundle.digest,
            activated_at: now,
            grounds: grounds_name(self.grounds).to_owned(),
            permit: self.permit.clone(),
            floor: self.floor.clone(),
        }
    }
}

/// The entry about a release that was accepted.
pub(crate) fn accepted(active: &ActiveLock) -> Event {
    let permit = active.permit.as_ref();
    floor_event("accepted", &active.floor)
        .with("artifact_ref", active.artifact_ref.as_str())
        .with("lock_fingerprint", active.lock_fingerprint.to_string())
        .with("image_digest", active.image_digest.to_string())
        .with("release_counter", active.release_counter)
        .with("grounds", active.grounds.as_str())
        .with_some("permit_nonce", permit.map(|it| it.nonce.to_string()))
        .with_some("permit_reason", permit.map(|it| it.reason.clone()))
}

/// Checks whether what a reference names may be loaded on a node (steps 2 to 5). Blocks, and changes nothing (V2).
///
/// # Errors
///
/// [`ActivationError`].
pub fn check_release(
    trust: &ReleaseTrust,
    node: &str,
    reference: &Reference,
    fingerprint: Option<&str>,
    (remembered, slots, now): (&Remembered, &Slots, Timestamp),
) -> Result<Candidate, ActivationError> {
    let registry = open_place(Arc::new(OsVfs), reference, &trust.registries)
        .map_err(|it| refused(&VerifyError::from(&it)))?;
    let wanted = Wanted { lock: true, policy: true, contents: false };
    let material =
        gather(&*registry, reference, wanted).map_err(|it| refused(&VerifyError::from(&it)))?;
    let version = |bytes: &[u8]| match Bundle::open(bytes) {
        Ok(bundle) => Ok(bundle.version().to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let verification = verify(material, &trust.at(now), &version);
    let lock = verification.result.map_err(|it| refused(&it))?;
    let (Some(lock), Some(image)) = (lock, verification.report.digest) else {
        // A lock was required, so this is never so.
        let what = "lock".to_owned();
        return Err(refused(&VerifyError::NothingToVerify { what }));
    };
    let found = lock.get().stored_fingerprint();
    if let Some(named) = fingerprint
        && named != found.to_string()
    {
        let text = format!("the release names the lock {named}, but beside the image is {found}");
        return Err(failed("verify_failed", "ErrFingerprintMismatch", text));
    }
    let active = in_slot(remembered, slots);
    let (floor, grounds, permit) =
        judge(trust, node, lock.get(), (remembered.floor.as_ref(), active, now))?;
    slots
        .accepts(lock.bundle().unwrap_or_default())
        .map_err(|it| failed("load_refused", it.code(), it.to_string()))?;
    Ok(Candidate { lock, image, floor, grounds, permit })
}

/// The lock whose policy is in the slot. The file alone does not say what is active: it may be a copy from before, or a
/// crash may have left it behind the slot.
fn in_slot(remembered: &Remembered, slots: &Slots) -> Option<Digest> {
    let active = remembered.active.as_ref()?;
    let current = slots.inspect(Slot::Current).ok()?;
    (current.meta.digest == active.policy_digest.to_string()).then_some(active.lock_fingerprint)
}

/// Step 4. A permit is looked at only when nothing else will do.
fn judge(
    trust: &ReleaseTrust,
    node: &str,
    lock: &Lock,
    (floor, active, now): (Option<&Floor>, Option<Digest>, Timestamp),
) -> Result<(Floor, Grounds, Option<UsedPermit>), ActivationError> {
    let release = supply_chain::Release::of(lock);
    let rollback = |text: String| refused(&VerifyError::Rollback { text });
    let (grounds, permit) = match (decide(release, floor, active, None), &trust.permit) {
        (Ok(grounds), _) => (grounds, None),
        (Err(error @ Rollback::Lower { .. }), Some(path)) => {
            let bytes = read_whole(&OsVfs, path, supply_chain::PERMIT_LEN_MAX as u64)
                .map_err(|it| rollback(format!("{error}: {}: {it}", path.display())))?
                .ok_or_else(|| rollback(error.to_string()))?;
            let permit = Permit::check(&bytes, &trust.keys, node, now)
                .map_err(|it| rollback(format!("{error}: {}: {it}", path.display())))?;
            let grounds = decide(release, floor, active, Some(&permit))
                .map_err(|it| rollback(it.to_string()))?;
            let content = permit.content();
            (grounds, Some(UsedPermit { nonce: content.nonce, reason: content.reason.clone() }))
        }
        (Err(error), _) => return Err(rollback(error.to_string())),
    };
    Ok((Floor::after(floor, release, grounds, now), grounds, permit))
}

impl Activator for VerifiedReleases {
    fn activate<'a>(&'a self, release: &'a Release) -> Activation<'a> {
        Box::pin(self.put_in_force(release))
    }
}

impl VerifiedReleases {
    async fn put_in_force(&self, release: &Release) -> Result<(), ActivationError> {
        if self.interceptor.policy.mode() == Mode::Strict {
            return Err(of_reload(&ReloadError::Strict));
        }
        let slots = self.interceptor.policy.slots().cloned();
        let slots = slots.ok_or_else(|| of_reload(&ReloadError::Fixed))?;
        let holder = format!("the runtime, pid {}", std::process::id());
        let wal_dir = self.wal_dir.clone();
        let turn = spawn_blocking(move || release_turn(&OsVfs, &wal_dir, &holder));
        // Held to the end.
        let _turn = turn.await.unwrap_or_else(|it| Err(ended(&it)))?;
        let candidate = self.checked(release, slots.clone()).await?;
        self.accept(release, &candidate).await?;
        let (wal_dir, artifact_ref) = (self.wal_dir.clone(), release.artifact_ref.clone());
        let load = spawn_blocking(move || load(&candidate, &slots, &wal_dir, &artifact_ref));
        let active = load.await.unwrap_or_else(|it| Err(ended(&it)))?;
        self.interceptor.policy.knows(&active);
        record_reload(&self.interceptor).await.map(drop).map_err(|it| of_reload(&it))
    }

    /// Steps 2 to 5.
    async fn checked(&self, release: &Release, slots: Slots) -> Result<Candidate, ActivationError> {
        let reference: Reference =
            release.artifact_ref.parse().map_err(|it: supply_chain::ReferenceError| {
                refused(&VerifyError::Unsupported { text: it.to_string() })
            })?;
        let (trust, node) = (Arc::clone(&self.trust), self.node.clone());
        let (wal_dir, fingerprint) = (self.wal_dir.clone(), release.lock_fingerprint.clone());
        let in_memory = self.interceptor.floor();
        let work = spawn_blocking(move || {
            // Somebody else may have raised it: `policy load --lock`.
            let remembered = with_file(&OsVfs, &wal_dir, in_memory).map_err(|it| unknown(&it))?;
            let now = Timestamp::now();
            let seen = (&remembered, &slots, now);
            check_release(&trust, &node, &reference, Some(&fingerprint), seen)
        });
        work.await.unwrap_or_else(|it| Err(ended(&it)))
    }

    /// Step 6 (V3).
    async fn accept(
        &self,
        release: &Release,
        candidate: &Candidate,
    ) -> Result<(), ActivationError> {
        let now = Timestamp::now();
        let event = about(candidate.accepted(&release.artifact_ref, now), release);
        // Before the entry: see M2 of `remembered`.
        self.interceptor.raise_floor(candidate.floor.clone());
        let appended = self.interceptor.journal.append(&event).await;
        appended.map(drop).map_err(|it| failed("load_refused", it.code(), it.to_string()))
    }
}

/// Steps 7 and 8.
///
/// # Errors
///
/// [`ActivationError`]; after one of the slots the bundle before still decides.
pub fn load(
    candidate: &Candidate,
    slots: &Slots,
    wal_dir: &std::path::Path,
    artifact_ref: &str,
) -> Result<ActiveLock, ActivationError> {
    let now = Timestamp::now();
    let holder = format!("pid {} since {now:.0}", std::process::id());
    slots
        .activate(candidate.bundle(), now, &holder)
        .map_err(|it| failed("load_refused", it.code(), it.to_string()))?;
    let active = candidate.active_lock(artifact_ref, now);
    OsVfs
        .create_dir_all(wal_dir)
        .map_err(super::ActiveLockError::Write)
        .and_then(|()| active.write(&OsVfs, wal_dir))
        .map_err(|it| failed("load_refused", it.code(), it.to_string()))?;
    Ok(active)
}

const fn grounds_name(grounds: Grounds) -> &'static str {
    match grounds {
        Grounds::First => "first",
        Grounds::Newer => "newer",
        Grounds::Highest => "highest",
        Grounds::Restart => "restart",
        Grounds::Permitted { .. } => "permitted",
    }
}

fn failed(step: &'static str, code: &'static str, text: String) -> ActivationError {
    ActivationError { step, code, text }
}

fn refused(error: &VerifyError) -> ActivationError {
    failed("verify_failed", error.code(), error.to_string())
}

fn unknown(error: &FloorError) -> ActivationError {
    failed("verify_failed", error.code(), error.to_string())
}

fn of_reload(error: &ReloadError) -> ActivationError {
    failed("load_refused", error.code(), error.to_string())
}

fn ended(error: &tokio::task::JoinError) -> ActivationError {
    failed("load_refused", "PROCESS", format!("the work did not come to an end: {error}"))
}
