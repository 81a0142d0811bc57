//! `autonomy oci`: images and their sidecars, at registries and in layouts.

use std::{
    io::{self, Write as _},
    path::Path,
};

use api::exit::Exit;
use serde::Serialize;
use supply_chain::{
    Attached, Digest, Lock, Reference, Registry, Sidecar, VerifyError, attach, pull_sidecar,
    push_new_artifact,
};

use crate::{
    args::{
        Oci, OciAttachLock, OciAttachPolicy, OciImage, OciPull, OciPullSidecar, OciPush, Output,
        RegistryArgs,
    },
    commands::{
        lock::write,
        policy::{bundle_bytes, refused as bundle_refused},
        print_json, print_pairs,
        registry::{Purpose, check_target, not_attached, open, read, refused},
    },
    context::Context,
    failure::Failure,
};

mod copy;
mod inspect;

pub(super) use copy::{Copied, copy};

/// The layer of a test image: an empty tar archive, the same everywhere.
const TEST_LAYER: [u8; 1024] = [0; 1024];

pub(crate) fn run(command: &Oci, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Oci::PushTestArtifact(args) => push_test(args, context),
        Oci::Push(args) => push(args, context),
        Oci::Pull(args) => pull(args, context),
        Oci::AttachLock(args) => attach_lock(args, context),
        Oci::AttachPolicy(args) => attach_policy(args, context),
        Oci::PullLock(args) => pull_one(args, Sidecar::Lock, context),
        Oci::PullPolicy(args) => pull_one(args, Sidecar::Policy, context),
        Oci::Inspect(args) => inspect::inspect(args, context),
    }
}

#[derive(Serialize)]
struct Pushed {
    image: String,
    digest: Digest,
}

fn push_test(args: &OciImage, context: Context<'_>) -> Result<Exit, Failure> {
    check_target(&args.image, false)?;
    let registry = open(&args.image, Purpose::Write, &args.registry, context)?;
    let pushed = push_new_artifact(&*registry, &args.image, &[&TEST_LAYER]);
    let digest = pushed.map_err(|it| not_attached(&it))?.digest;
    let result = Pushed { image: args.image.to_string(), digest };
    match args.output.output {
        Output::Json => print_json(&result)?,
        Output::Text => {
            print_pairs(&[("pushed", result.image), ("digest", result.digest.to_string())])?;
        }
    }
    Ok(Exit::Done)
}

fn push(args: &OciPush, context: Context<'_>) -> Result<Exit, Failure> {
    check_target(&args.to, false)?;
    copied(&args.from, &args.to, &args.registry, args.output.output, context)
}

fn pull(args: &OciPull, context: Context<'_>) -> Result<Exit, Failure> {
    check_target(&args.to, true)?;
    copied(&args.image, &args.to, &args.registry, args.output.output, context)
}

fn copied(
    from: &Reference,
    to: &Reference,
    registry: &RegistryArgs,
    output: Output,
    context: Context<'_>,
) -> Result<Exit, Failure> {
    let source = open(from, Purpose::Read, registry, context)?;
    let target = open(to, Purpose::Write, registry, context)?;
    let done = copy((&*source, from), (&*target, to), output, context)?;
    match output {
        Output::Json => print_json(&done)?,
        Output::Text => {
            let mut pairs = done.pairs();
            pairs.push(("checked", "digests alone: autonomy verify".to_owned()));
            print_pairs(&pairs)?;
        }
    }
    Ok(Exit::Done)
}

fn attach_lock(args: &OciAttachLock, context: Context<'_>) -> Result<Exit, Failure> {
    let bytes = read(&args.lock, Sidecar::Lock.len_max() + 1)?;
    Lock::parse(&bytes).map_err(|error| {
        let text = format!("{}: {error}", args.lock.display());
        refused(&VerifyError::Unsupported { text }, "")
    })?;
    let registry = open(&args.image, Purpose::Write, &args.registry, context)?;
    attach_and_tell(&*registry, &args.image, (Sidecar::Lock, &bytes), args.output.output)
}

fn attach_policy(args: &OciAttachPolicy, context: Context<'_>) -> Result<Exit, Failure> {
    let bytes = bundle_bytes(&args.bundle)?;
    policy::Bundle::open(&bytes).map_err(|it| bundle_refused(&it, &args.bundle))?;
    let registry = open(&args.image, Purpose::Write, &args.registry, context)?;
    attach_and_tell(&*registry, &args.image, (Sidecar::Policy, &bytes), args.output.output)
}

fn attach_and_tell(
    registry: &dyn Registry,
    image: &Reference,
    (sidecar, bytes): (Sidecar, &[u8]),
    output: Output,
) -> Result<Exit, Failure> {
    let attached = attach(registry, image, sidecar, bytes).map_err(|it| not_attached(&it))?;
    let result = AttachResult::of(sidecar, &attached);
    match output {
        Output::Json => print_json(&result)?,
        Output::Text => result.tell()?,
    }
    Ok(Exit::Done)
}

/// A sidecar that was attached.
#[derive(Serialize)]
pub(super) struct AttachResult {
    sidecar: &'static str,
    mode: String,
    #[serde(rename = "ref")]
    reference: String,
    digest: Digest,
}

impl AttachResult {
    pub(super) fn of(sidecar: Sidecar, attached: &Attached) -> Self {
        Self {
            sidecar: sidecar.name(),
            mode: attached.mode.to_string(),
            reference: attached.reference.to_string(),
            digest: attached.digest,
        }
    }

    /// One line, which is an interface.
    pub(super) fn tell(&self) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        let Self { mode, reference, digest, .. } = self;
        let reference = crate::printable::printable(reference);
        writeln!(stdout, "attached  mode={mode}  ref={reference}  digest={digest}")?;
        stdout.flush()
    }
}

#[derive(Serialize)]
struct PulledSidecar {
    sidecar: &'static str,
    output: String,
    digest: Digest,
    bytes: usize,
}

fn pull_one(
    args: &OciPullSidecar,
    sidecar: Sidecar,
    context: Context<'_>,
) -> Result<Exit, Failure> {
    let (image, output) = (&args.image, args.output.output);
    pull_beside(image, sidecar, &args.out, (&args.registry, output), context)
}

/// Fetches a sidecar, byte for byte.
pub(super) fn pull_beside(
    image: &Reference,
    sidecar: Sidecar,
    out: &Path,
    (registry, output): (&RegistryArgs, Output),
    context: Context<'_>,
) -> Result<Exit, Failure> {
    let to_stdout = out.as_os_str() == "-";
    if to_stdout && output == Output::Json {
        let message = "--out - and --output json both want stdout";
        return Err(Failure::new(Exit::Usage, "STDOUT_TAKEN", message).hint("choose one"));
    }
    let registry = open(image, Purpose::Read, registry, context)?;
    let bytes = pull_sidecar(&*registry, image, sidecar).map_err(|it| not_attached(&it))?;
    if to_stdout {
        let mut stdout = io::stdout().lock();
        stdout.write_all(&bytes)?;
        stdout.flush()?;
        return Ok(Exit::Done);
    }
    write(out, &bytes)?;
    let result = PulledSidecar {
        sidecar: sidecar.name(),
        output: out.display().to_string(),
        digest: Digest::sha256(&bytes),
        bytes: bytes.len(),
    };
    match output {
        Output::Json => print_json(&result)?,
        Output::Text => print_pairs(&[
            ("pulled", format!("{} of {image}", result.sidecar)),
            ("output", result.output),
            ("digest", result.digest.to_string()),
            ("bytes", result.bytes.to_string()),
            ("checked", "the digest alone: autonomy verify".to_owned()),
        ])?,
    }
    Ok(Exit::Done)
}
