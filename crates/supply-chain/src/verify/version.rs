//! Steps 3 and 4: what the lock says of itself and of the policy bundle.

use super::{BundleVersion, VerifyError, nothing};
use crate::{Digest, Lock, Material, gather::Role};

/// Proof of step 3.
#[derive(Debug)]
pub(super) struct Fingerprinted(Option<Digest>);

impl Fingerprinted {
    pub(super) fn detail(&self) -> Option<String> {
        self.0.map(|it| format!("{it}"))
    }
}

/// Checks that the lock comes to the fingerprint that it says.
pub(super) fn check_fingerprint(
    lock: Option<&Result<Lock, VerifyError>>,
) -> Result<Fingerprinted, VerifyError> {
    let Some(lock) = lock else { return Ok(Fingerprinted(None)) };
    let lock = lock.as_ref().map_err(Clone::clone)?;
    let (stored, computed) = (lock.stored_fingerprint(), lock.fingerprint_of());
    if stored != computed {
        return Err(VerifyError::FingerprintMismatch { stored, computed });
    }
    Ok(Fingerprinted(Some(computed)))
}

/// Proof of step 4.
#[derive(Debug)]
pub(super) struct Compatible(Option<String>);

impl Compatible {
    pub(super) fn detail(&self) -> Option<String> {
        self.0.clone()
    }
}

/// Checks that the lock, the reference in it and the bundle itself name versions of one major and minor number. A
/// reference whose tag is no version says nothing about it.
pub(super) fn check_version(
    material: &Material,
    lock: Option<&Result<Lock, VerifyError>>,
    bundle_version: BundleVersion<'_>,
) -> Result<Compatible, VerifyError> {
    let Some(lock) = lock else { return Ok(Compatible(None)) };
    let lock = lock.as_ref().map_err(Clone::clone)?;
    let policy = &lock.content().policy_bundle;
    let named = &policy.version;
    let expected = (named.major, named.minor);
    let left = || format!("the policy version of the lock, {named},");
    // `1.2.3-policy` is a tag that was made of a version, not one.
    if let Some(tag) = &policy.reference.tag
        && let Ok(found) = semver::Version::parse(tag.as_str())
        && found.pre.is_empty()
        && (found.major, found.minor) != expected
    {
        let right = format!("the tag of its reference, {tag},");
        return Err(VerifyError::VersionMismatch { left: left(), right });
    }
    if !material.wanted.policy {
        return Ok(Compatible(Some(format!("{named}; the bundle itself was not looked at"))));
    }
    let artifact = material.policy.as_ref().ok_or_else(|| nothing(Role::Policy))?;
    let bytes = match (&artifact.manifest, &artifact.bytes) {
        (Err(fault), _) | (_, Err(fault)) => return Err(fault.into()),
        (Ok(_), Ok(bytes)) => bytes,
    };
    let own = bundle_version(bytes)
        .map_err(|it| VerifyError::Unsupported { text: format!("the policy bundle: {it}") })?;
    let found = semver::Version::parse(&own).map_err(|_| VerifyError::Unsupported {
        text: format!(
            "the policy bundle says its version is `{own}`, which is none of the form 1.2.3"
        ),
    })?;
    if (found.major, found.minor) != expected {
        let right = format!("that of the bundle, {own},");
        return Err(VerifyError::VersionMismatch { left: left(), right });
    }
    Ok(Compatible(Some(format!("lock {named}, bundle {own}"))))
}
