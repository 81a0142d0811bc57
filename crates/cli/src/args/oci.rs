//! `autonomy oci`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use supply_chain::Reference;

use super::{
    Output, OutputArg,
    registry::{RegistryArgs, parse_reference},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Oci {
    /// Stores a small image that has nothing to run, to try things with.
    ///
    /// It takes no tag from another image.
    #[command(after_help = "Examples:
  autonomy oci push-test-artifact --image oci:./layout:1.0.0
  autonomy oci push-test-artifact --image localhost:5000/agents/arm:1.0.0 --output json")]
    PushTestArtifact(OciImage),
    /// Copies an image, its sidecars and all signatures from one place to another.
    #[command(after_help = "Examples:
  autonomy oci push --from oci:./layout:1.0.0 --to registry.example/agents/arm:1.0.0
  autonomy oci push --from oci:./layout:1.0.0 --to localhost:5000/agents/arm:1.0.0 --output json")]
    Push(OciPush),
    /// Copies an image, its sidecars and all signatures into a layout on disk.
    #[command(after_help = "Examples:
  autonomy oci pull --image registry.example/agents/arm:1.0.0 --to oci:./layout:1.0.0
  autonomy oci pull --image localhost:5000/agents/arm:1.0.0 --to oci:/media/usb/arm:1.0.0 --output json")]
    Pull(OciPull),
    /// Attaches a lock to an image, in the place of the one before.
    #[command(after_help = "Examples:
  autonomy oci attach-lock --image oci:./layout:1.0.0 --lock autonomy.lock.json
  autonomy oci attach-lock --image localhost:5000/agents/arm:1.0.0 --lock autonomy.lock.json --output json")]
    AttachLock(OciAttachLock),
    /// Attaches a policy bundle to an image, in the place of the one before.
    #[command(after_help = "Examples:
  autonomy oci attach-policy --image oci:./layout:1.0.0 --bundle bundle.tar.gz
  autonomy oci attach-policy --image localhost:5000/agents/arm:1.0.0 --bundle bundle.tar.gz --output json")]
    AttachPolicy(OciAttachPolicy),
    /// Fetches the lock of an image, byte for byte. No signature is looked at.
    #[command(after_help = "Examples:
  autonomy oci pull-lock --image oci:./layout:1.0.0 --out autonomy.lock.json
  autonomy oci pull-lock --image localhost:5000/agents/arm:1.0.0 --out -")]
    PullLock(OciPullSidecar),
    /// Fetches the policy bundle of an image, byte for byte. No signature is looked at.
    #[command(after_help = "Examples:
  autonomy oci pull-policy --image oci:./layout:1.0.0 --out bundle.tar.gz
  autonomy oci pull-policy --image localhost:5000/agents/arm:1.0.0 --out - > bundle.tar.gz")]
    PullPolicy(OciPullSidecar),
    /// Lists what is there: manifest, contents, sidecars, signatures. Nothing is verified.
    #[command(after_help = "Examples:
  autonomy oci inspect --image oci:./layout:1.0.0
  autonomy oci inspect --image registry.example/agents/arm:1.0.0 --output json")]
    Inspect(OciImage),
}

#[derive(Args, Debug)]
pub(crate) struct OciImage {
    /// The image.
    #[arg(long, value_name = "REFERENCE", value_parser = parse_reference)]
    pub(crate) image: Reference,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct OciPush {
    /// Image to copy.
    #[arg(long, value_name = "REFERENCE", value_parser = parse_reference)]
    pub(crate) from: Reference,
    /// What it is called there; a tag is needed.
    #[arg(long, value_name = "REFERENCE", value_parser = parse_reference)]
    pub(crate) to: Reference,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct OciPull {
    /// Image to copy.
    #[arg(long, value_name = "REFERENCE", value_parser = parse_reference)]
    pub(crate) image: Reference,
    /// Layout to copy it into; made when it does not exist.
    #[arg(long, value_name = "oci:DIR:TAG", value_parser = parse_reference)]
    pub(crate) to: Reference,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct OciAttachLock {
    /// The image.
    #[arg(long, value_name = "REFERENCE", value_parser = parse_reference)]
    pub(crate) image: Reference,
    /// Lock to attach. It has to read as one; whether it is true says `autonomy lock verify`.
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: PathBuf,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct OciAttachPolicy {
    /// The image.
    #[arg(long, value_name = "REFERENCE", value_parser = parse_reference)]
    pub(crate) image: Reference,
    /// Policy bundle to attach. It has to open as one.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: PathBuf,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct OciPullSidecar {
    /// The image.
    #[arg(long, value_name = "REFERENCE", value_parser = parse_reference)]
    pub(crate) image: Reference,
    /// File to write, or `-` for stdout.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

impl Oci {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::PushTestArtifact(args) | Self::Inspect(args) => args.output.output,
            Self::Push(args) => args.output.output,
            Self::Pull(args) => args.output.output,
            Self::AttachLock(args) => args.output.output,
            Self::AttachPolicy(args) => args.output.output,
            Self::PullLock(args) | Self::PullPolicy(args) => args.output.output,
        }
    }
}
