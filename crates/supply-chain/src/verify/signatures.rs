//! Step 1: who has signed, and when.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{CLOCK_LEAD_MAX, Trust, VerifyError, nothing};
use crate::{
    Digest, KeyId, Material,
    gather::{Artifact, Role, Signatures},
    signature::{Envelope, open},
};

/// Proof of step 1.
#[derive(Debug)]
pub(super) struct Signed {
    artifacts: Vec<Role>,
    threshold: usize,
}

impl Signed {
    pub(super) fn detail(&self) -> String {
        let names: Vec<_> = self.artifacts.iter().map(|it| it.name()).collect();
        let keys = if self.threshold == 1 { "a given key" } else { "enough given keys" };
        format!("{} signed by {keys}", names.join(", "))
    }
}

/// Which keys vouch for an artifact, and the newest time that each of them has signed.
pub(super) type Vouchers = BTreeMap<KeyId, Option<Timestamp>>;

/// Checks that enough keys have signed each artifact (Y2, Y3).
pub(super) fn check(material: &Material, trust: &Trust) -> Result<Signed, VerifyError> {
    let wanted = [
        (Role::Image, true, &material.image),
        (Role::Lock, material.wanted.lock, &material.lock),
        (Role::Policy, material.wanted.policy, &material.policy),
    ];
    let mut artifacts = Vec::new();
    for (role, wanted, artifact) in wanted {
        if wanted {
            check_one(artifact.as_ref().ok_or_else(|| nothing(role))?, trust)?;
            artifacts.push(role);
        }
    }
    Ok(Signed { artifacts, threshold: trust.threshold.get() })
}

fn check_one(artifact: &Artifact, trust: &Trust) -> Result<(), VerifyError> {
    let role = artifact.role;
    let digest = match &artifact.manifest {
        Ok(manifest) => manifest.digest(),
        Err(fault) => return Err(fault.into()),
    };
    let Signatures::Found(found) = &artifact.signatures else {
        return Err(VerifyError::Unsigned { role, digest });
    };
    if found.is_empty() {
        return Err(VerifyError::Unsigned { role, digest });
    }
    let threshold = trust.threshold.get();
    let vouchers = vouchers(artifact, trust);
    if vouchers.len() < threshold {
        let text = why_not(found, digest, trust);
        let valid = vouchers.len();
        return Err(VerifyError::BadSignature { role, digest, valid, threshold, text });
    }
    let Some(max_age) = trust.max_age else { return Ok(()) };
    let (fresh, stale): (Vec<_>, Vec<_>) = vouchers
        .into_values()
        .partition(|it| it.is_some_and(|it| is_fresh(it, max_age, trust.now)));
    if fresh.len() < threshold {
        let signed_at = stale.into_iter().flatten().max();
        return Err(VerifyError::SignatureExpired { role, signed_at, max_age, now: trust.now });
    }
    Ok(())
}

/// The keys whose signatures of an artifact hold. Of several signatures of one key the newest counts, and one that
/// is not from the future before one that is.
pub(super) fn vouchers(artifact: &Artifact, trust: &Trust) -> Vouchers {
    let mut res = Vouchers::new();
    let (Some(digest), Signatures::Found(found)) = (artifact.digest(), &artifact.signatures) else {
        return res;
    };
    for envelope in found.iter().flatten() {
        for key in &trust.keys {
            let Some(claims) = open(envelope, key).ok().filter(|it| it.digest == digest) else {
                continue;
            };
            let newest = res.entry(key.id()).or_insert(claims.signed_at);
            *newest = better(*newest, claims.signed_at, trust.now);
        }
    }
    res
}

fn better(a: Option<Timestamp>, b: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let past = |it: &Timestamp| !is_of_the_future(*it, now);
    a.filter(past).max(b.filter(past)).or(a.max(b))
}

fn is_of_the_future(at: Timestamp, now: Timestamp) -> bool {
    at.duration_since(now).as_secs() > i64::try_from(CLOCK_LEAD_MAX.as_secs()).unwrap_or(0)
}

fn is_fresh(at: Timestamp, max_age: std::time::Duration, now: Timestamp) -> bool {
    let age = now.duration_since(at);
    !is_of_the_future(at, now) && (age.is_negative() || age.unsigned_abs() <= max_age)
}

/// What is wrong with the signatures that do not count, in a few words.
fn why_not(found: &[Result<Envelope, String>], digest: Digest, trust: &Trust) -> String {
    let (mut of_others, mut unknown, mut broken) = (0, 0, Vec::new());
    for envelope in found {
        match envelope {
            Err(text) => broken.push(text.as_str()),
            Ok(envelope) => {
                let opened = trust.keys.iter().find_map(|key| open(envelope, key).ok());
                match opened {
                    Some(claims) if claims.digest != digest => of_others += 1,
                    Some(_) => {}
                    None => unknown += 1,
                }
            }
        }
    }
    let mut words = Vec::new();
    if unknown > 0 {
        words.push(format!("{unknown} by no given key, or changed"));
    }
    if of_others > 0 {
        words.push(format!("{of_others} about something else"));
    }
    words.extend(broken.first().map(|it| format!("{} unreadable ({it})", broken.len())));
    if words.is_empty() {
        words.push("no others are there".to_owned());
    }
    words.join(", ")
}
