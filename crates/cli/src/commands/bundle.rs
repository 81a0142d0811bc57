//! `autonomy bundle`: policy bundles beside images.
//!
//! # Invariants
//!
//! * **B1** A push checks everything before it stores anything: key, bundle, lock, and that they belong together.
//! * **B2** A push signs after everything is attached, sidecars first and the image last. While it goes on, an image that
//!   requires its lock does not verify unless lock, bundle and image belong together.
//! * **B3** What is staged is what was verified: the copy is made of the digest that was, and verified again.

use std::path::Path;

use api::exit::Exit;
use serde::Serialize;
use supply_chain::{
    Lock, Outcome, Reference, Registry, Report, Sidecar, SigningKey, Wanted, attach, resolve,
};

use crate::{
    args::{Bundle, BundleInspect, BundlePull, BundlePush, BundleStage, BundleVerify, Output},
    commands::{
        keys::signing_key,
        lock::{check_agent, check_fingerprint, check_policy, lock_of},
        oci::{AttachResult, Copied, copy, pull_beside},
        policy::{bundle_bytes, refused as bundle_refused},
        print_json, print_pairs,
        registry::{Purpose, check_target, not_attached, open, refused},
        sign::{self, Endorsement, sign, signed_at, targets},
        verify::{Asked, check, json, tell, trust, verify_and_tell},
    },
    context::Context,
    failure::Failure,
};

pub(crate) fn run(command: &Bundle, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Bundle::Push(args) => push(args, context),
        Bundle::Pull(args) => pull(args, context),
        Bundle::Verify(args) => verify(args, context),
        Bundle::Inspect(args) => inspect(args),
        Bundle::Stage(args) => stage(args, context),
    }
}

#[derive(Serialize)]
struct Pushed {
    image: String,
    attached: Vec<AttachResult>,
    signed: Vec<Endorsement>,
}

fn push(args: &BundlePush, context: Context<'_>) -> Result<Exit, Failure> {
    let key = args.key.as_deref().map(|it| signing_key(it, context)).transpose()?;
    let signed_at = signed_at(context)?;
    let bundle = bundle_bytes(&args.bundle)?;
    open_bundle(&bundle, &args.bundle)?;
    let registry = open(&args.image, Purpose::Write, &args.registry, context)?;
    // The digest that was checked is the one that is written to, whatever the tag names by then.
    let found = resolve(&*registry, &args.image).map_err(|it| not_attached(&it))?.digest();
    let image = Reference { digest: Some(found), ..args.image.clone() };
    let lock = checked_lock(args, &*registry, &image, &bundle)?;
    let mut attached = vec![attach_one(&*registry, &image, Sidecar::Policy, &bundle)?];
    if let Some(lock) = &lock {
        attached.push(attach_one(&*registry, &image, Sidecar::Lock, lock)?);
    }
    let signed = match &key {
        None => Vec::new(),
        Some(key) => sign_pushed(args, &*registry, &image, (key, signed_at))?,
    };
    match args.output.output {
        Output::Json => print_json(&Pushed { image: image.to_string(), attached, signed })?,
        Output::Text => {
            for it in &attached {
                it.tell()?;
            }
            sign::tell(&signed)?;
        }
    }
    Ok(Exit::Done)
}

/// The bytes of the lock to attach, if it is the lock of this image and this bundle (B1).
fn checked_lock(
    args: &BundlePush,
    registry: &dyn Registry,
    image: &Reference,
    bundle: &[u8],
) -> Result<Option<Vec<u8>>, Failure> {
    let (lock, bytes) = match (&args.lock, args.sign_lock) {
        (None, false) => return Ok(None),
        (Some(path), _) => {
            let (lock, bytes) = lock_of(path)?;
            (lock, Some(bytes))
        }
        // It is there already, and is to be signed with what is pushed now.
        (None, true) => {
            let bytes = supply_chain::pull_sidecar(registry, image, Sidecar::Lock)
                .map_err(|it| not_attached(&it))?;
            let lock = Lock::parse(&bytes).map_err(|error| {
                let text = error.to_string();
                refused(&supply_chain::VerifyError::Unsupported { text }, &image.to_string())
            })?;
            (lock, None)
        }
    };
    check_fingerprint(&lock)?;
    if let Some(digest) = &image.digest {
        check_agent(&lock, digest, image)?;
    }
    check_policy(&lock, bundle, image)?;
    Ok(bytes)
}

fn attach_one(
    registry: &dyn Registry,
    image: &Reference,
    sidecar: Sidecar,
    bytes: &[u8],
) -> Result<AttachResult, Failure> {
    let attached = attach(registry, image, sidecar, bytes).map_err(|it| not_attached(&it))?;
    Ok(AttachResult::of(sidecar, &attached))
}

fn sign_pushed(
    args: &BundlePush,
    registry: &dyn Registry,
    image: &Reference,
    (key, signed_at): (&SigningKey, Option<jiff::Timestamp>),
) -> Result<Vec<Endorsement>, Failure> {
    let targets = targets(registry, image, args.sign_lock, true)?;
    sign(registry, image, &targets, key, signed_at)
}

fn pull(args: &BundlePull, context: Context<'_>) -> Result<Exit, Failure> {
    let how = (&args.registry, args.output.output);
    pull_beside(&args.image, Sidecar::Policy, &args.out, how, context)
}

fn verify(args: &BundleVerify, context: Context<'_>) -> Result<Exit, Failure> {
    let asked = Asked {
        image: &args.image,
        trust: &args.trust,
        lock: args.require_lock,
        policy: true,
        look: &args.look,
        statement: &args.statement,
        registry: &args.registry,
        output: args.output.output,
    };
    verify_and_tell(&asked, context)
}

#[derive(Serialize)]
struct Inspected {
    name: Option<String>,
    version: String,
    hash: String,
    digest: String,
    runtime_version: String,
    modules: Vec<String>,
}

fn inspect(args: &BundleInspect) -> Result<Exit, Failure> {
    let bytes = bundle_bytes(&args.file)?;
    let bundle = open_bundle(&bytes, &args.file)?;
    let result = Inspected {
        name: bundle.name().map(str::to_owned),
        version: bundle.version().to_owned(),
        hash: bundle.hash().to_owned(),
        digest: bundle.digest().to_owned(),
        runtime_version: bundle.requirement().to_string(),
        modules: bundle.modules().map(|it| it.0.to_owned()).collect(),
    };
    match args.output.output {
        Output::Json => print_json(&result)?,
        Output::Text => {
            let any = Some(result.runtime_version).filter(|it| !it.is_empty());
            let mut pairs = vec![
                ("name", result.name.unwrap_or_else(|| "none".to_owned())),
                ("version", result.version),
                ("hash", result.hash),
                ("digest", result.digest),
                ("runtime", any.unwrap_or_else(|| "any".to_owned())),
            ];
            pairs.extend(result.modules.into_iter().map(|it| ("module", it)));
            print_pairs(&pairs)?;
        }
    }
    Ok(Exit::Done)
}

fn open_bundle(bytes: &[u8], path: &Path) -> Result<policy::Bundle, Failure> {
    policy::Bundle::open(bytes).map_err(|it| bundle_refused(&it, path))
}

#[derive(Serialize)]
struct Staged {
    copied: Copied,
    /// What verifying the copy came to.
    report: Report,
}

fn stage(args: &BundleStage, context: Context<'_>) -> Result<Exit, Failure> {
    check_target(&args.to, true)?;
    let trust = trust(&args.trust, context)?;
    let wanted = Wanted { lock: true, policy: true, contents: true };
    let output = args.output.output;
    let judge = |registry: &dyn Registry, image: &Reference| -> Result<Report, Failure> {
        let found = check(registry, image, wanted, &trust)?;
        if output == Output::Text && found.report.result == Outcome::Failed {
            tell(&found.report)?;
        }
        found.result.map(|_| ()).map_err(|error| match json(&found.report) {
            Ok(report) => {
                let mut failure = refused(&error, &image.to_string());
                failure.report = Some(Box::new(report));
                failure
            }
            Err(failure) => failure,
        })?;
        Ok(found.report)
    };
    let source = open(&args.image, Purpose::Read, &args.registry, context)?;
    let before = judge(&*source, &args.image)?;
    // What was verified is what is copied (B3).
    let image = Reference { digest: before.digest, ..args.image.clone() };
    let target = open(&args.to, Purpose::Write, &args.registry, context)?;
    let copied = copy((&*source, &image), (&*target, &args.to), output, context)?;
    let staged = Reference { digest: before.digest, ..args.to.clone() };
    let report = judge(&*target, &staged).map_err(|it| {
        it.hint("the copy is not what was verified: do not carry it; stage it again")
    })?;
    match output {
        Output::Json => print_json(&Staged { copied, report })?,
        Output::Text => {
            print_pairs(&copied.pairs())?;
            tell(&report)?;
        }
    }
    Ok(Exit::Done)
}
