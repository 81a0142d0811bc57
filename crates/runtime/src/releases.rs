//! Releases: asks the control plane what this node should run, and says what came of it.
//!
//! | module    | what it does                                              |
//! |-----------|-----------------------------------------------------------|
//! | `course`  | what follows from an answer; no I/O                       |
//! | `reports` | what the control plane is told, and how often; no I/O     |
//! | `control` | one request to the control plane, and its answer          |
//! | `poller`  | round after round, for as long as the runtime serves      |
//!
//! | `verified`  | puts a release in force that was verified                 |
//! | `by_hand`   | a release that an operator loads                          |
//! | `remembered` | what a node remembers, so that no old release comes back  |
//! | `active_lock` | `active-lock.json`                                      |
//!
//! A release is activated by an [`Activator`]: [`VerifiedReleases`], or [`Unverified`] where no key was given, which
//! refuses every release. What is desired is recorded, shown and reported as failed then, and the policy in force stays
//! in force.

use std::{fmt, future::Future, path::Path, pin::Pin, time::Duration};

use api::{release::Release, token::Token};
use thiserror::Error;
use vfs::{LockError, Vfs};

mod active_lock;
mod by_hand;
mod control;
mod course;
mod poller;
mod remembered;
mod reports;
mod verified;

pub use active_lock::{
    ACTIVE_LOCK_LEN_MAX, ACTIVE_LOCK_SCHEMA, ActiveLock, ActiveLockError, UsedPermit,
};

pub use by_hand::{CarryError, Recorded, carry_floor, record_by_hand};
pub(crate) use control::ControlPlane;
pub use control::ControlPlaneError;
pub(crate) use poller::{Poller, Shown};
pub use remembered::{FloorError, Remembered, remembered};
pub(crate) use remembered::{FloorSeen, beside, floor_event, merged};
pub use verified::{Candidate, ReleaseTrust, check_release, load};
pub(crate) use verified::{VerifiedReleases, accepted};

/// Where releases come from.
#[derive(Clone, Debug)]
pub struct ReleaseSource {
    /// Base URL of the control plane.
    pub url: String,
    /// Time between two polls; a tenth more or less is left to chance, so that a fleet does not ask at once.
    pub interval: Duration,
    /// Whom the node trusts with them; without that every release is refused.
    pub trust: Option<ReleaseTrust>,
    /// What proves to the control plane which node asks.
    pub token: Option<Token>,
    /// Whom the node trusts for the connection, and what it shows there; as the machine has it when nothing is named.
    pub tls: Option<tls::Material>,
}

impl ReleaseSource {
    /// Time between two polls unless the operator says otherwise.
    pub const INTERVAL: Duration = Duration::from_secs(30);
}

/// File that is locked from the look at what was active to the end of an activation.
const RELEASE_LOCK: &str = "release.lock";

/// Takes the turn to activate a release on a node: one at a time, whoever does it, so that nobody decides by a floor
/// that somebody else is raising.
///
/// # Errors
///
/// [`ActivationError`] with `RELEASE_BUSY` when somebody else has it.
pub fn release_turn(
    vfs: &dyn Vfs,
    wal_dir: &Path,
    holder: &str,
) -> Result<vfs::Lock, ActivationError> {
    let failed = |code, text| ActivationError { step: "load_refused", code, text };
    vfs.create_dir_all(wal_dir)
        .map_err(|it| failed("RELEASE_LOCK", format!("{}: {it}", wal_dir.display())))?;
    vfs.lock(&wal_dir.join(RELEASE_LOCK), holder).map_err(|error| match error {
        LockError::Held { holder } => {
            failed("RELEASE_BUSY", format!("another release is being activated by {holder}"))
        }
        LockError::Io(error) => failed("RELEASE_LOCK", format!("{RELEASE_LOCK}: {error}")),
    })
}

/// What an activation will have come to.
pub(crate) type Activation<'a> =
    Pin<Box<dyn Future<Output = Result<(), ActivationError>> + Send + 'a>>;

/// Puts a release in force: all of it, or nothing.
pub(crate) trait Activator: fmt::Debug + Send + Sync {
    fn activate<'a>(&'a self, release: &'a Release) -> Activation<'a>;
}

/// Why a release is not in force; what was before still is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct ActivationError {
    /// The step that failed, as it stands in the log: `verify_refused`, for example.
    pub step: &'static str,
    /// Stable code.
    pub code: &'static str,
    /// What happened.
    pub text: String,
}

/// Refuses every release: nobody has checked it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unverified;

/// Code of a release that nobody can verify.
pub(crate) const RELEASE_UNVERIFIED: &str = "RELEASE_UNVERIFIED";

impl Activator for Unverified {
    fn activate<'a>(&'a self, release: &'a Release) -> Activation<'a> {
        let text = format!("this runtime cannot verify `{}`", release.artifact_ref);
        let error = ActivationError { step: "verify_refused", code: RELEASE_UNVERIFIED, text };
        Box::pin(async move { Err(error) })
    }
}

/// Refuses every release: nobody knows which ones were active here (M3 of `remembered`).
#[derive(Clone, Debug)]
pub(crate) struct Forgetful {
    pub(crate) code: &'static str,
    pub(crate) text: String,
}

impl Activator for Forgetful {
    fn activate<'a>(&'a self, _: &'a Release) -> Activation<'a> {
        let (code, text) = (self.code, self.text.clone());
        let error = ActivationError { step: "verify_refused", code, text };
        Box::pin(async move { Err(error) })
    }
}
