//! `autonomy sign`, and signing as `bundle push` uses it.
//!
//! # Invariants
//!
//! * **G1** Nothing is signed before everything that is to be signed was found and checked: a lock of another image, or
//!   one that was changed after it was made, is never signed.
//! * **G2** The image is signed last. Whatever fails before leaves an image that does not verify, unless it did before.

use std::io::{self, Write as _};

use api::exit::Exit;
use jiff::Timestamp;
use serde::Serialize;
use supply_chain::{
    Digest, Lock, RawManifest, Reference, Registry, Sidecar, SigningKey, VerifyError,
    publish_signature, resolve,
};

use crate::{
    args::{Output, Sign},
    commands::{
        keys::signing_key,
        lock::{check_agent, check_fingerprint, check_policy, now},
        print_json,
        registry::{Purpose, failed, not_attached, not_signed, open, refused},
    },
    context::Context,
    failure::Failure,
    printable::printable,
};

/// What is to be signed, in the order in which it is.
pub(super) type Targets = Vec<(&'static str, Digest)>;

/// What was signed.
#[derive(Serialize)]
pub(super) struct Endorsement {
    artifact: &'static str,
    digest: Digest,
    tag: String,
    /// Signatures that are there now.
    signatures: usize,
    key_id: String,
    signed_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct SignResult {
    image: String,
    signed: Vec<Endorsement>,
}

pub(crate) fn run(args: &Sign, context: Context<'_>) -> Result<Exit, Failure> {
    let key = signing_key(&args.key, context)?;
    let signed_at = signed_at(context)?;
    let registry = open(&args.image, Purpose::Write, &args.registry, context)?;
    let targets = targets(&*registry, &args.image, args.lock, args.policy)?;
    let signed = sign(&*registry, &args.image, &targets, &key, signed_at)?;
    match args.output.output {
        Output::Json => print_json(&SignResult { image: args.image.to_string(), signed })?,
        Output::Text => {
            tell(&signed)?;
            tell_what_is_left(&*registry, args, &targets)?;
        }
    }
    Ok(Exit::Done)
}

/// A node that requires the sidecars does not take an image whose key has signed the image alone.
fn tell_what_is_left(registry: &dyn Registry, args: &Sign, targets: &Targets) -> io::Result<()> {
    let Some((_, image)) = targets.last() else { return Ok(()) };
    let left: Vec<_> = [(args.lock, Sidecar::Lock), (args.policy, Sidecar::Policy)]
        .into_iter()
        .filter(|(asked, _)| !asked)
        // What cannot be looked at is nothing to speak of: everything that was asked for is signed.
        .filter(|(_, it)| matches!(it.find(registry, &args.image, image), Ok(Some(_))))
        .map(|(_, it)| it.name())
        .collect();
    if left.is_empty() {
        return Ok(());
    }
    let (verb, options) = (if left.len() == 1 { "was" } else { "were" }, left.join(" --"));
    let names = left.join(" and the ");
    writeln!(io::stderr().lock(), "note: the {names} beside it {verb} not signed (--{options})")
}

/// The time that is signed, in whole seconds; none when times are not trusted.
pub(super) fn signed_at(context: Context<'_>) -> Result<Option<Timestamp>, Failure> {
    Ok(context.trusts_time()?.then(now))
}

/// Finds and checks what is to be signed (G1): sidecars first, the image last (G2).
pub(super) fn targets(
    registry: &dyn Registry,
    image: &Reference,
    lock: bool,
    policy: bool,
) -> Result<Targets, Failure> {
    let found = resolve(registry, image).map_err(|it| not_attached(&it))?.digest();
    let mut targets = Targets::new();
    let mut bundle = None;
    if policy {
        let (manifest, bytes) = sidecar(registry, image, &found, Sidecar::Policy)?;
        policy::Bundle::open(&bytes).map_err(|error| unreadable(&error, image))?;
        targets.push((Sidecar::Policy.name(), manifest.digest()));
        bundle = Some(bytes);
    }
    if lock {
        let (manifest, bytes) = sidecar(registry, image, &found, Sidecar::Lock)?;
        let lock = Lock::parse(&bytes).map_err(|error| unreadable(&error, image))?;
        check_fingerprint(&lock)?;
        check_agent(&lock, &found, image)?;
        if let Some(bundle) = &bundle {
            check_policy(&lock, bundle, image)?;
        }
        targets.push((Sidecar::Lock.name(), manifest.digest()));
    }
    targets.push(("image", found));
    Ok(targets)
}

fn sidecar(
    registry: &dyn Registry,
    image: &Reference,
    digest: &Digest,
    sidecar: Sidecar,
) -> Result<(RawManifest, Vec<u8>), Failure> {
    let found = sidecar.find(registry, image, digest).map_err(|it| failed(&it))?;
    let manifest = found.ok_or_else(|| {
        let (sidecar, image) = (sidecar.name(), image.to_string());
        not_attached(&supply_chain::AttachError::NoSidecar { sidecar, image })
    })?;
    let bytes = sidecar.content(registry, &manifest).map_err(|it| failed(&it))?;
    Ok((manifest, bytes))
}

fn unreadable(error: &dyn std::error::Error, image: &Reference) -> Failure {
    refused(&VerifyError::Unsupported { text: error.to_string() }, &image.to_string())
}

/// Signs in the order of the list.
pub(super) fn sign(
    registry: &dyn Registry,
    image: &Reference,
    targets: &Targets,
    key: &SigningKey,
    signed_at: Option<Timestamp>,
) -> Result<Vec<Endorsement>, Failure> {
    let mut signed = Vec::new();
    for (artifact, digest) in targets {
        let done = publish_signature(registry, &image.place, digest, key, signed_at);
        let done = done.map_err(|error| {
            let mut failure = not_signed(&error);
            let names: Vec<_> = signed.iter().map(|it: &Endorsement| it.artifact).collect();
            failure.cause.push(match names.as_slice() {
                [] => "nothing was signed".to_owned(),
                some => format!("signed before: {}; the image was not", some.join(", ")),
            });
            failure
        })?;
        signed.push(Endorsement {
            artifact,
            digest: *digest,
            tag: done.tag.to_string(),
            signatures: done.signatures,
            key_id: key.public().id().to_string(),
            signed_at,
        });
    }
    Ok(signed)
}

/// A line for each signature.
pub(super) fn tell(signed: &[Endorsement]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for it in signed {
        writeln!(
            stdout,
            "signed  {}  digest={}  tag={}  key={}  signatures={}",
            it.artifact,
            it.digest,
            printable(&it.tag),
            it.key_id,
            it.signatures
        )?;
    }
    stdout.flush()
}
