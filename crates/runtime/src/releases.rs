//! Releases: asks the control plane what this node should run, and says what came of it.
//!
//! | module    | what it does                                              |
//! |-----------|-----------------------------------------------------------|
//! | `course`  | what follows from an answer; no I/O                       |
//! | `control` | one request to the control plane, and its answer          |
//! | `poller`  | round after round, for as long as the runtime serves      |
//!
//! A release is activated by an [`Activator`]. The one of this version refuses every release: a policy is taken
//! only when its signatures were checked, and nothing here checks them yet. What is desired is recorded, shown and
//! reported as failed, and the policy in force stays in force.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use api::release::Release;

mod control;
mod course;
mod poller;

pub(crate) use control::ControlPlane;
pub use control::ControlPlaneError;
pub(crate) use poller::{Poller, Shown};

/// Where releases come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseSource {
    /// Base URL of the control plane.
    pub url: String,
    /// Time between two polls; a tenth more or less is left to chance, so that a fleet does not ask at once.
    pub interval: Duration,
}

impl ReleaseSource {
    /// Time between two polls unless the operator says otherwise.
    pub const INTERVAL: Duration = Duration::from_secs(30);
}

/// What an activation will have come to.
pub(crate) type Activation<'a> =
    Pin<Box<dyn Future<Output = Result<(), ActivationError>> + Send + 'a>>;

/// Puts a release in force: all of it, or nothing.
pub(crate) trait Activator: fmt::Debug + Send + Sync {
    fn activate<'a>(&'a self, release: &'a Release) -> Activation<'a>;
}

/// Why a release is not in force; what was before still is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActivationError {
    /// The step that failed, as it stands in the log: `verify_refused`, for example.
    pub(crate) step: &'static str,
    pub(crate) code: &'static str,
    pub(crate) text: String,
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
