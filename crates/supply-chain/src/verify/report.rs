//! What a verification says: what was established, what was not, how fresh it is, and of which bytes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Trust, VerifyError, signatures::vouchers};
use crate::{
    Digest, Lock, Material,
    gather::{Artifact, Role},
};

/// Version of the form of a report.
pub const REPORT_SCHEMA: u32 = 1;
/// What a [`Statement`](crate::Statement) whose predicate is a report says its predicate is.
pub const REPORT_PREDICATE_TYPE: &str = "urn:autonomyops:verify:v1";

/// What a verification says. Its JSON is what `autonomy verify --output json` prints and `--statement` signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this form.
    pub schema: u32,
    /// The reference that was asked for.
    pub image: String,
    /// The digest of the image, if there is one.
    pub digest: Option<Digest>,
    /// What it came to.
    pub result: Outcome,
    /// Code of the first failure.
    pub code: Option<String>,
    /// Time of the check.
    pub verified_at: Timestamp,
    /// The four steps.
    pub steps: Vec<Step>,
    /// Who has signed what.
    pub signatures: Vec<Signer>,
    /// The keys whose signatures count, each once, in the order in which they were given.
    #[serde(default)]
    pub given_keys: Vec<String>,
    /// How many distinct keys have to have signed.
    pub threshold: usize,
    /// How fresh the signatures are.
    pub freshness: Freshness,
    /// The bytes that all this is about.
    pub inputs: Vec<Input>,
    /// What the lock says, believed or not.
    pub lock: Option<LockSummary>,
    /// What holds.
    pub established: Vec<String>,
    /// What was not looked at, or does not hold.
    pub not_established: Vec<String>,
}

/// What a verification came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every step that was required has passed.
    Verified,
    /// One has not.
    Failed,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// 1 to 4.
    pub number: u8,
    /// What it checks.
    pub name: String,
    /// What it came to.
    pub state: StepState,
    /// Code of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// In words.
    pub detail: String,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It holds.
    Passed,
    /// It does not hold, or could not be looked at.
    Failed,
    /// Nobody asked for it.
    NotRequired,
}

impl Step {
    /// Says what a step came to; a proof without words is one that nobody asked for.
    pub(super) fn of<T>(
        number: u8,
        name: &str,
        result: &Result<T, VerifyError>,
        detail: impl FnOnce(&T) -> Option<String>,
    ) -> Self {
        let (state, code, detail) = match result {
            Err(error) => (StepState::Failed, Some(error.code().to_owned()), error.to_string()),
            Ok(proof) => match detail(proof) {
                Some(words) => (StepState::Passed, None, words),
                None => (StepState::NotRequired, None, "no lock is required".to_owned()),
            },
        };
        Self { number, name: name.to_owned(), state, code, detail }
    }
}

/// A key that has signed an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// What it has signed: image, lock or policy.
    pub artifact: String,
    /// The key.
    pub key_id: String,
    /// When, in its own words.
    pub signed_at: Option<Timestamp>,
}

/// How fresh the signatures are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// Whether a time was looked at at all.
    pub checked: bool,
    /// Longest age in seconds.
    pub max_age_seconds: Option<u64>,
    /// The oldest time that counts; unknown when a signer says none.
    pub oldest_signed_at: Option<Timestamp>,
}

/// Bytes that were looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// What they are.
    pub name: String,
    /// What they are called.
    pub digest: Digest,
    /// How many they are.
    pub bytes: u64,
}

/// What the lock says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockSummary {
    /// Name of the agent.
    pub name: String,
    /// Version of the release.
    pub version: String,
    /// Number of the release.
    pub release_counter: u64,
    /// The fingerprint that stands in it; step 3 says whether it is true.
    pub behavioral_fingerprint: Digest,
}

/// Puts together what was found.
pub(super) fn of(
    material: &Material,
    trust: &Trust,
    lock: Option<&Result<Lock, VerifyError>>,
    steps: [Step; 4],
) -> Report {
    let first = steps.iter().find(|it| it.state == StepState::Failed);
    let code = first.and_then(|it| it.code.clone());
    let result = if first.is_none() { Outcome::Verified } else { Outcome::Failed };
    let signatures = signers(material, trust);
    let times = signatures.iter().map(|it| it.signed_at);
    let oldest_signed_at = times.collect::<Option<Vec<_>>>().and_then(|it| it.into_iter().min());
    let words = |it: &Step| format!("{}: {}", it.name, it.detail);
    let (held, not): (Vec<_>, Vec<_>) = steps.iter().partition(|it| it.state == StepState::Passed);
    let mut not_established: Vec<_> = not.into_iter().map(words).collect();
    not_established.extend(not_looked_at(material, trust));
    Report {
        schema: REPORT_SCHEMA,
        image: material.reference.to_string(),
        digest: material.image.as_ref().and_then(Artifact::digest),
        result,
        code,
        verified_at: trust.now,
        established: held.into_iter().map(words).collect(),
        not_established,
        steps: steps.into(),
        signatures,
        given_keys: given(trust),
        threshold: trust.threshold.get(),
        freshness: Freshness {
            checked: trust.max_age.is_some(),
            max_age_seconds: trust.max_age.map(|it| it.as_secs()),
            oldest_signed_at,
        },
        inputs: inputs(material),
        lock: lock.and_then(|it| it.as_ref().ok()).map(summary),
    }
}

fn given(trust: &Trust) -> Vec<String> {
    let mut res: Vec<String> = Vec::new();
    for id in trust.keys.iter().map(|it| it.id().to_string()) {
        if !res.contains(&id) {
            res.push(id);
        }
    }
    res
}

fn summary(lock: &Lock) -> LockSummary {
    let content = lock.content();
    LockSummary {
        name: content.name.clone(),
        version: content.version.clone(),
        release_counter: content.release_counter,
        behavioral_fingerprint: lock.stored_fingerprint(),
    }
}

fn artifacts(material: &Material) -> impl Iterator<Item = &Artifact> {
    [&material.image, &material.lock, &material.policy].into_iter().flatten()
}

fn signers(material: &Material, trust: &Trust) -> Vec<Signer> {
    let of = |artifact| {
        vouchers(artifact, trust).into_iter().map(|(key, signed_at)| Signer {
            artifact: artifact.role.name().to_owned(),
            key_id: key.to_string(),
            signed_at,
        })
    };
    artifacts(material).flat_map(of).collect()
}

fn inputs(material: &Material) -> Vec<Input> {
    let mut res = Vec::new();
    for artifact in artifacts(material) {
        let role = artifact.role.name();
        if let Ok(manifest) = &artifact.manifest {
            let (digest, bytes) = (manifest.digest(), manifest.bytes.len() as u64);
            res.push(Input { name: format!("{role} manifest"), digest, bytes });
        }
        match &artifact.bytes {
            Ok(bytes) if artifact.role != Role::Image => {
                let (digest, bytes) = (Digest::sha256(bytes), bytes.len() as u64);
                res.push(Input { name: role.to_owned(), digest, bytes });
            }
            _ => {}
        }
        let read =
            artifact.contents.iter().filter(|it| it.found.is_ok() && material.wanted.contents);
        res.extend(read.map(|it| Input {
            name: format!("{role} content"),
            digest: it.descriptor.digest,
            bytes: it.descriptor.size,
        }));
    }
    res
}

/// Y4.
fn not_looked_at(material: &Material, trust: &Trust) -> Vec<String> {
    let wanted = material.wanted;
    let said = |when: bool, text: &str| when.then(|| text.to_owned());
    [
        said(!wanted.contents, "contents of the image: not read, only its manifest"),
        said(!wanted.lock, "lock: not required, not looked at; nothing says which release this image is"),
        said(!wanted.policy, "policy bundle: not required, not looked at"),
        said(
            wanted.policy && !wanted.lock,
            "policy bundle: signed and about this image, but without the lock nothing says which version belongs to it",
        ),
        said(trust.max_age.is_none(), "freshness: no time was looked at"),
        said(
            wanted.lock,
            "inputs and tools of the lock: recorded in it, compared with nothing here",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}
