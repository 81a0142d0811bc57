//! `autonomy lock`: what a release is made of.

use std::{io::Write as _, path::Path};

use api::exit::Exit;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use supply_chain::{
    AgentArtifact, Digest, Inputs, LOCK_LEN_MAX, Lock, LockContent, NONCE_LEN, Nonce,
    PermitContent, PolicyBundle, Reference, Sidecar, VerifyError, resolve,
};

use crate::{
    args::{self, LockCreate, LockPermit, LockShow, LockVerify, Output},
    commands::{
        keys::{random, signing_key},
        policy::{bundle_bytes, refused as bundle_refused},
        print_json, print_pairs,
        registry::{Purpose, not_attached, open, read, refused},
    },
    context::Context,
    failure::Failure,
    target::Target,
};

pub(crate) fn run(command: &args::Lock, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        args::Lock::Create(args) => create(args, context),
        args::Lock::Show(args) => show(args),
        args::Lock::Verify(args) => verify(args, context),
        args::Lock::Permit(args) => permit(args, context),
    }
}

#[derive(Serialize)]
struct Created {
    output: String,
    agent_digest: Digest,
    policy_digest: Digest,
    policy_version: String,
    behavioral_fingerprint: Digest,
}

fn create(args: &LockCreate, context: Context<'_>) -> Result<Exit, Failure> {
    refuse_existing(&args.out)?;
    let bytes = bundle_bytes(&args.policy_bundle)?;
    let bundle =
        policy::Bundle::open(&bytes).map_err(|it| bundle_refused(&it, &args.policy_bundle))?;
    let version = bundle.version().parse().map_err(|_| {
        let message = format!(
            "the bundle says its version is `{}`, which is none of the form 1.2.3",
            bundle.version()
        );
        Failure::new(Exit::Usage, "LOCK_INVALID", message)
            .hint("build it with autonomy policy build --version 1.2.3")
    })?;
    let created_at = context.source_date_epoch()?.unwrap_or_else(now);
    let registry = open(&args.image, Purpose::Read, &args.registry, context)?;
    let digest = resolve(&*registry, &args.image).map_err(|it| not_attached(&it))?.digest();
    let release = LockContent {
        name: args.name.clone(),
        version: args.version.clone(),
        created_at,
        release_counter: args.release_counter,
        agent_artifact: AgentArtifact { reference: args.image.clone(), digest },
        policy_bundle: PolicyBundle {
            reference: policy_reference(args, &digest)?,
            digest: Digest::sha256(&bytes),
            version,
        },
        inputs: Inputs { prompt_hash: args.prompt_hash, tool_inputs_hash: args.tool_inputs_hash },
        tools: sorted(args),
    };
    let lock = Lock::create(&release).map_err(|error| {
        Failure::of(Exit::Usage, "LOCK_INVALID", &error).hint("the text names the member")
    })?;
    write(&args.out, &lock.to_bytes())?;
    let result = Created {
        output: args.out.display().to_string(),
        agent_digest: digest,
        policy_digest: release.policy_bundle.digest,
        policy_version: release.policy_bundle.version.to_string(),
        behavioral_fingerprint: lock.stored_fingerprint(),
    };
    match args.output.output {
        Output::Json => print_json(&result)?,
        Output::Text => print_pairs(&[
            ("lock", result.output),
            ("agent", result.agent_digest.to_string()),
            ("policy", format!("{} version {}", result.policy_digest, result.policy_version)),
            ("fingerprint", result.behavioral_fingerprint.to_string()),
        ])?,
    }
    Ok(Exit::Done)
}

/// Refuses a file that is there: a permit to go back may need the lock of an older release.
fn refuse_existing(out: &Path) -> Result<(), Failure> {
    if !out.is_file() {
        return Ok(());
    }
    let message = format!("{} is there already", out.display());
    Err(Failure::new(Exit::Conflict, "LOCK_EXISTS", message)
        .hint("pass another file with --out, or move this one away: each release has its own lock"))
}

/// The time, in whole seconds.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Where the bundle will be, unless the command line says it: beside the image.
fn policy_reference(args: &LockCreate, digest: &Digest) -> Result<Reference, Failure> {
    if let Some(reference) = &args.policy_ref {
        return Ok(reference.clone());
    }
    let tag = Sidecar::Policy.tag(&args.image, digest).map_err(|it| not_attached(&it.into()))?;
    Ok(Reference { place: args.image.place.clone(), tag: Some(tag), digest: None })
}

fn sorted(args: &LockCreate) -> Vec<supply_chain::Tool> {
    let mut tools = args.tool.clone();
    tools.sort_by(|a, b| a.kind.cmp(&b.kind));
    tools
}

/// Writes a small file, whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let target = Target::open(path)?;
    if let Err(error) = (&target).write_all(bytes) {
        target.abandon();
        return Err(Failure::file("write", path, &error));
    }
    target.finish()
}

/// Reads a lock file; what it says is not believed yet.
pub(super) fn lock_of(path: &Path) -> Result<(Lock, Vec<u8>), Failure> {
    // One byte more, so that a longer file is told by its own message.
    let bytes = read(path, LOCK_LEN_MAX as u64 + 1)?;
    let lock = Lock::parse(&bytes).map_err(|error| {
        let text = format!("{}: {error}", path.display());
        refused(&VerifyError::Unsupported { text }, "")
    })?;
    Ok((lock, bytes))
}

fn show(args: &LockShow) -> Result<Exit, Failure> {
    let (lock, bytes) = lock_of(&args.file)?;
    let release = lock.content();
    match args.output.output {
        Output::Json => {
            let value: serde_json::Value =
                serde_json::from_slice(&bytes).map_err(std::io::Error::other)?;
            print_json(&value)?;
        }
        Output::Text => {
            let (agent, policy) = (&release.agent_artifact, &release.policy_bundle);
            let mut pairs = vec![
                ("name", release.name.clone()),
                ("version", release.version.clone()),
                ("created at", release.created_at.to_string()),
                ("release counter", release.release_counter.to_string()),
                ("agent", format!("{} {}", agent.reference, agent.digest)),
                (
                    "policy",
                    format!("{} {} version {}", policy.reference, policy.digest, policy.version),
                ),
                ("prompt", release.inputs.prompt_hash.to_string()),
                ("tool inputs", release.inputs.tool_inputs_hash.to_string()),
            ];
            let tools = release.tools.iter();
            pairs.extend(tools.map(|it| ("tool", format!("{} {}", it.kind, it.digest))));
            pairs.push(("fingerprint", lock.stored_fingerprint().to_string()));
            pairs.push(("checked", "the form alone: autonomy lock verify".to_owned()));
            print_pairs(&pairs)?;
        }
    }
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Checked {
    name: String,
    version: String,
    release_counter: u64,
    behavioral_fingerprint: Digest,
    /// The digest that the image has, when one was named.
    image_digest: Option<Digest>,
}

fn verify(args: &LockVerify, context: Context<'_>) -> Result<Exit, Failure> {
    let (lock, _) = lock_of(&args.file)?;
    check_fingerprint(&lock)?;
    let image_digest = match &args.image {
        None => None,
        Some(image) => {
            let registry = open(image, Purpose::Read, &args.registry, context)?;
            let found = resolve(&*registry, image).map_err(|it| not_attached(&it))?.digest();
            check_agent(&lock, &found, image)?;
            Some(found)
        }
    };
    let release = lock.content();
    let result = Checked {
        name: release.name.clone(),
        version: release.version.clone(),
        release_counter: release.release_counter,
        behavioral_fingerprint: lock.stored_fingerprint(),
        image_digest,
    };
    match args.output.output {
        Output::Json => print_json(&result)?,
        Output::Text => {
            let image = match result.image_digest {
                Some(digest) => format!("ok  {digest}"),
                None => "not looked at: pass --image".to_owned(),
            };
            print_pairs(&[
                ("fingerprint", format!("ok  {}", result.behavioral_fingerprint)),
                ("image", image),
                ("signature", "not looked at: autonomy verify --require-lock".to_owned()),
            ])?;
        }
    }
    Ok(Exit::Done)
}

/// Refuses a lock that was changed after it was made.
pub(super) fn check_fingerprint(lock: &Lock) -> Result<(), Failure> {
    let (stored, computed) = (lock.stored_fingerprint(), lock.fingerprint_of());
    if stored == computed {
        return Ok(());
    }
    Err(refused(&VerifyError::FingerprintMismatch { stored, computed }, ""))
}

/// Refuses a lock of another image.
pub(super) fn check_agent(lock: &Lock, found: &Digest, image: &Reference) -> Result<(), Failure> {
    let named = lock.content().agent_artifact.digest;
    check_digest("agent_artifact.digest of the lock", &named, found, image)
}

/// Refuses a lock of another policy bundle.
pub(super) fn check_policy(lock: &Lock, bundle: &[u8], image: &Reference) -> Result<(), Failure> {
    let (named, found) = (lock.content().policy_bundle.digest, Digest::sha256(bundle));
    check_digest("policy_bundle.digest of the lock", &named, &found, image)
}

fn check_digest(
    what: &str,
    named: &Digest,
    found: &Digest,
    image: &Reference,
) -> Result<(), Failure> {
    if named == found {
        return Ok(());
    }
    let text = format!("it is {named}, but what is there is {found}");
    let error = VerifyError::DigestMismatch { what: what.to_owned(), text };
    Err(refused(&error, &image.to_string()))
}

#[derive(Serialize)]
struct Permitted {
    output: String,
    node: String,
    lock_fingerprint: Digest,
    release_counter: u64,
    expires_at: Timestamp,
    key_id: String,
}

fn permit(args: &LockPermit, context: Context<'_>) -> Result<Exit, Failure> {
    let (lock, _) = lock_of(&args.lock)?;
    check_fingerprint(&lock)?;
    let key = signing_key(&args.key, context)?;
    let now = now();
    let bad = |error: &dyn std::error::Error| {
        Failure::of(Exit::Usage, "PERMIT_INVALID", error)
            .hint("--expires is at most 720h, --node at most 128 bytes, --reason at most 1024")
    };
    let expires = SignedDuration::try_from(args.expires).map_err(|it| bad(&it))?;
    let terms = PermitContent {
        node: args.node.clone(),
        lock_fingerprint: lock.stored_fingerprint(),
        release_counter: lock.content().release_counter,
        reason: args.reason.clone(),
        nonce: Nonce::new(random::<NONCE_LEN>()?),
        created_at: now,
        expires_at: now.checked_add(expires).map_err(|it| bad(&it))?,
    };
    write(&args.out, &terms.sign(&key).map_err(|it| bad(&it))?)?;
    let result = Permitted {
        output: args.out.display().to_string(),
        node: terms.node,
        lock_fingerprint: terms.lock_fingerprint,
        release_counter: terms.release_counter,
        expires_at: terms.expires_at,
        key_id: key.public().id().to_string(),
    };
    match args.output.output {
        Output::Json => print_json(&result)?,
        Output::Text => print_pairs(&[
            ("permit", result.output),
            ("node", result.node),
            ("lock", result.lock_fingerprint.to_string()),
            ("release counter", result.release_counter.to_string()),
            ("expires at", result.expires_at.to_string()),
            ("key id", result.key_id),
        ])?,
    }
    Ok(Exit::Done)
}
