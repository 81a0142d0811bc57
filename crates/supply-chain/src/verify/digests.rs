//! Step 2: every content is the one that was named.

use super::{VerifyError, nothing};
use crate::{
    Digest, Lock, Manifest, Material,
    gather::{Artifact, Role},
};

/// Proof of step 2.
#[derive(Debug)]
pub(super) struct Pinned {
    contents: usize,
    lock: bool,
    policy: bool,
}

impl Pinned {
    pub(super) fn detail(&self) -> String {
        let mut words = Vec::new();
        if self.lock {
            words.push("image as the lock names it".to_owned());
        }
        if self.policy {
            words.push("policy bundle as the lock names it".to_owned());
        }
        words.push(match self.contents {
            0 => "contents of the image not read".to_owned(),
            some => format!("{some} contents of the image read"),
        });
        words.join(", ")
    }
}

/// Checks every content that was read, and what the lock says of image and policy (Y2).
pub(super) fn check(
    material: &Material,
    lock: Option<&Result<Lock, VerifyError>>,
) -> Result<Pinned, VerifyError> {
    let image = material.image.as_ref().ok_or_else(|| nothing(Role::Image))?;
    let digest = own(image)?;
    if image.contents.is_empty() {
        let what = "content in the image".to_owned();
        return Err(VerifyError::NothingToVerify { what });
    }
    for content in &image.contents {
        if let Err(fault) = &content.found {
            return Err(fault.into());
        }
    }
    let bundle = match (&material.policy, material.wanted.policy) {
        (_, false) => None,
        (None, true) => return Err(nothing(Role::Policy)),
        (Some(policy), true) => {
            own(policy)?;
            about(policy, digest, lock.is_none())?;
            Some(policy.bytes.as_deref().map_err(VerifyError::from)?)
        }
    };
    if let Some(lock) = lock {
        let lock = lock.as_ref().map_err(Clone::clone)?.content();
        if let Some(artifact) = &material.lock {
            about(artifact, digest, false)?;
        }
        same("agent_artifact.digest of the lock", lock.agent_artifact.digest, digest)?;
        if let Some(bundle) = bundle {
            let found = Digest::sha256(bundle);
            same("policy_bundle.digest of the lock", lock.policy_bundle.digest, found)?;
        }
    }
    Ok(Pinned {
        contents: if material.wanted.contents { image.contents.len() } else { 0 },
        lock: lock.is_some(),
        policy: lock.is_some() && bundle.is_some(),
    })
}

fn own(artifact: &Artifact) -> Result<Digest, VerifyError> {
    match &artifact.manifest {
        Ok(manifest) => Ok(manifest.digest()),
        Err(fault) => Err(fault.into()),
    }
}

/// A sidecar that says which image it is about is about this one: well signed, but beside another image, it says
/// nothing. `must` is for one that nothing else ties to the image.
fn about(sidecar: &Artifact, image: Digest, must: bool) -> Result<(), VerifyError> {
    let parsed = sidecar.manifest.as_ref().ok().and_then(|it| it.parse().ok());
    let subject = match parsed {
        Some(Manifest::Image(it)) => it.subject.map(|it| it.digest),
        _ => None,
    };
    let name = sidecar.role.name();
    match subject {
        Some(subject) => same(&format!("subject of the {name} manifest"), subject, image),
        None if must => Err(VerifyError::Unsupported {
            text: format!("the {name} names no image as its subject, and no lock ties it to one"),
        }),
        None => Ok(()),
    }
}

fn same(what: &str, named: Digest, found: Digest) -> Result<(), VerifyError> {
    if named == found {
        return Ok(());
    }
    let text = format!("it is {named}, but what is there is {found}");
    Err(VerifyError::DigestMismatch { what: what.to_owned(), text })
}
