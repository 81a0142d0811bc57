//! `autonomy bundle`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use supply_chain::Reference;

use super::{
    LookArgs, Output, OutputArg, StatementArgs, TrustArgs,
    registry::{RegistryArgs, parse_reference},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Attaches a policy bundle to an image, and a lock; with a key it signs them and the image.
    ///
    /// Everything is checked before anything is stored. The image is signed last.
    #[command(after_help = "Examples:
  autonomy bundle push bundle.tar.gz oci:./layout:1.0.0
  autonomy bundle push bundle.tar.gz registry.example/agents/arm:1.0.0 \\
      --lock autonomy.lock.json --key keys/autonomy.key --sign-lock")]
    Push(BundlePush),
    /// Fetches the policy bundle of an image, byte for byte. No signature is looked at.
    #[command(after_help = "Examples:
  autonomy bundle pull oci:./layout:1.0.0 --out bundle.tar.gz
  autonomy bundle pull registry.example/agents/arm:1.0.0 --out - > bundle.tar.gz")]
    Pull(BundlePull),
    /// Verifies an image and its policy bundle: autonomy verify --require-policy.
    #[command(after_help = "Examples:
  autonomy bundle verify oci:./layout:1.0.0 --pub keys/autonomy.pub
  autonomy bundle verify registry.example/agents/arm:1.0.0 --pub keys/autonomy.pub --require-lock --output json")]
    Verify(BundleVerify),
    /// Shows name, version, digests, runtime requirement and modules of a bundle.
    #[command(after_help = "Examples:
  autonomy bundle inspect bundle.tar.gz
  autonomy bundle inspect bundle.tar.gz --output json")]
    Inspect(BundleInspect),
    /// Verifies an image with lock and policy, copies it into a layout, and verifies the copy.
    #[command(after_help = "Examples:
  autonomy bundle stage registry.example/agents/arm:1.0.0 --pub keys/autonomy.pub --to oci:/media/usb/arm:1.0.0
  autonomy bundle stage oci:./layout:1.0.0 --pub keys/autonomy.pub --to oci:/media/usb/arm:1.0.0 --output json")]
    Stage(BundleStage),
}

#[derive(Args, Debug)]
pub(crate) struct BundlePush {
    /// Policy bundle to attach.
    #[arg(value_name = "BUNDLE")]
    pub(crate) bundle: PathBuf,
    /// The image.
    #[arg(value_name = "IMAGE", value_parser = parse_reference)]
    pub(crate) image: Reference,
    /// Lock to attach; it has to be the lock of this image and this bundle.
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// Private key that signs image and bundle; its password comes from AUTONOMY_KEY_PASSWORD.
    #[arg(long, value_name = "FILE", visible_alias = "key-path")]
    pub(crate) key: Option<PathBuf>,
    /// Signs the lock, too.
    #[arg(long, requires = "key")]
    pub(crate) sign_lock: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct BundlePull {
    /// The image.
    #[arg(value_name = "IMAGE", value_parser = parse_reference)]
    pub(crate) image: Reference,
    /// File to write, or `-` for stdout.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct BundleVerify {
    /// Image to verify.
    #[arg(value_name = "IMAGE", value_parser = parse_reference)]
    pub(crate) image: Reference,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// The lock beside the image has to be there and to hold. Without it nothing binds the bundle to
    /// this image.
    #[arg(long)]
    pub(crate) require_lock: bool,
    #[command(flatten)]
    pub(crate) look: LookArgs,
    #[command(flatten)]
    pub(crate) statement: StatementArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct BundleInspect {
    /// Policy bundle to show.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct BundleStage {
    /// Image to stage.
    #[arg(value_name = "IMAGE", value_parser = parse_reference)]
    pub(crate) image: Reference,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// Layout to copy it into; made when it does not exist.
    #[arg(long, value_name = "oci:DIR:TAG", value_parser = parse_reference)]
    pub(crate) to: Reference,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

impl Bundle {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Push(args) => args.output.output,
            Self::Pull(args) => args.output.output,
            Self::Verify(args) => args.output.output,
            Self::Inspect(args) => args.output.output,
            Self::Stage(args) => args.output.output,
        }
    }
}
