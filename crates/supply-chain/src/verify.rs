//! The four checks, in their order, and what comes out of them.
//!
//! | step | what                                                                        | proof           |
//! |-----:|-----------------------------------------------------------------------------|-----------------|
//! |    1 | signatures: image; lock and policy when they are required                     | `Signed`        |
//! |    2 | digests: every content, and what the lock says of image and policy             | `Pinned`        |
//! |    3 | fingerprint: what the lock comes to is what it says                            | `Fingerprinted` |
//! |    4 | version: the policy bundle, its reference and the lock agree in major.minor      | `Compatible`    |
//!
//! [`gather`](crate::gather()) has read everything before; nothing here does I/O. Each step is a function of its own
//! that looks at the material and returns its proof or the reason why there is none. All of them run, so that a report
//! says everything; the first that failed, in the order of the table, is the answer.
//!
//! # Invariants
//!
//! * **Y1** A [`Verified`] is made in one place, from all four proofs, and proofs are made by their steps alone.
//! * **Y2** Empty never means pass: no image, no key, no signature, no content is a failure with a name.
//! * **Y3** A threshold counts keys, not signatures, and a key once, however often it was named.
//! * **Y4** What was not looked at is said: a step that was not required is not one that passed.
//! * **Y5** A time is believed only where it was signed.

use std::{num::NonZeroUsize, time::Duration};

use jiff::Timestamp;

use crate::{Lock, Material, PublicKey, gather::Role};

mod digests;
mod error;
mod report;
mod signatures;
mod version;

pub use error::VerifyError;
pub use report::{
    Freshness, Input, LockSummary, Outcome, REPORT_PREDICATE_TYPE, REPORT_SCHEMA, Report, Signer,
    Step, StepState,
};

/// Longest lead of a signer's clock over ours.
pub const CLOCK_LEAD_MAX: Duration = Duration::from_mins(5);
/// Age of a signature that is accepted unless the operator says otherwise: 8760 hours, a year.
pub const MAX_AGE: Duration = Duration::from_hours(8760);

/// Whom and what to trust.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The keys.
    pub keys: Vec<PublicKey>,
    /// How many of them have to have signed (Y3).
    pub threshold: NonZeroUsize,
    /// Longest age of a signature; `None` looks at no time at all.
    pub max_age: Option<Duration>,
    /// Time of the check.
    pub now: Timestamp,
}

/// Reads the version that a policy bundle says of itself.
pub type BundleVersion<'a> = &'a dyn Fn(&[u8]) -> Result<String, String>;

/// A value that has passed all four checks. There is no other way to one (Y1).
#[derive(Debug)]
#[must_use]
pub struct Verified<T> {
    value: T,
    bundle: Option<Vec<u8>>,
}

impl<T> Verified<T> {
    /// What was verified.
    pub const fn get(&self) -> &T {
        &self.value
    }
}

impl Verified<Lock> {
    /// The policy bundle that the lock names, when it was required: its bytes have the digest of the lock.
    pub fn bundle(&self) -> Option<&[u8]> {
        self.bundle.as_deref()
    }
}

/// What a verification came to.
#[derive(Debug)]
pub struct Verification {
    /// What was established, and what was not.
    pub report: Report,
    /// The lock, when one was required and everything passed; or the first failure.
    pub result: Result<Option<Verified<Lock>>, VerifyError>,
}

/// Verifies an image, its lock and its policy, as far as they were [wanted](crate::Wanted).
pub fn verify(
    material: Material,
    trust: &Trust,
    bundle_version: BundleVersion<'_>,
) -> Verification {
    let lock = lock_of(&material);
    let signed = signatures::check(&material, trust);
    let pinned = digests::check(&material, lock.as_ref());
    let fingerprinted = version::check_fingerprint(lock.as_ref());
    let compatible = version::check_version(&material, lock.as_ref(), bundle_version);
    let steps = [
        Step::of(1, "signatures", &signed, |it| Some(it.detail())),
        Step::of(2, "digests", &pinned, |it| Some(it.detail())),
        Step::of(3, "fingerprint", &fingerprinted, version::Fingerprinted::detail),
        Step::of(4, "version", &compatible, version::Compatible::detail),
    ];
    let report = report::of(&material, trust, lock.as_ref(), steps);
    let result = conclude((signed, pinned, fingerprinted, compatible), material, lock);
    Verification { report, result }
}

/// The proofs of the four steps.
type Proofs = (
    Result<signatures::Signed, VerifyError>,
    Result<digests::Pinned, VerifyError>,
    Result<version::Fingerprinted, VerifyError>,
    Result<version::Compatible, VerifyError>,
);

/// The one place where something becomes verified (Y1).
fn conclude(
    (signed, pinned, fingerprinted, compatible): Proofs,
    material: Material,
    lock: Option<Result<Lock, VerifyError>>,
) -> Result<Option<Verified<Lock>>, VerifyError> {
    let (_, _, _, _) = (signed?, pinned?, fingerprinted?, compatible?);
    let Some(lock) = lock.transpose()? else { return Ok(None) };
    let bundle = material.policy.and_then(|it| it.bytes.ok());
    Ok(Some(Verified { value: lock, bundle }))
}

/// The lock as it can be read; what it says is not believed yet. `None` when it was not wanted.
fn lock_of(material: &Material) -> Option<Result<Lock, VerifyError>> {
    if !material.wanted.lock {
        return None;
    }
    let Some(artifact) = &material.lock else {
        return Some(Err(nothing(Role::Lock)));
    };
    Some(match (&artifact.manifest, &artifact.bytes) {
        (Err(fault), _) | (_, Err(fault)) => Err(fault.into()),
        (Ok(_), Ok(bytes)) => Lock::parse(bytes)
            .map_err(|it| VerifyError::Unsupported { text: format!("the lock: {it}") }),
    })
}

/// Y2.
fn nothing(role: Role) -> VerifyError {
    let what = match role {
        Role::Image => "such image",
        Role::Lock => "lock beside the image, and one is required",
        Role::Policy => "policy bundle beside the image, and one is required",
    };
    VerifyError::NothingToVerify { what: what.to_owned() }
}

#[cfg(test)]
mod tests;
