//! `autonomy lock`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use supply_chain::{Digest, Reference, Tool};

use super::{
    Output, OutputArg, parse_duration,
    registry::{RegistryArgs, parse_digest, parse_reference},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Lock {
    /// Writes down what a release is made of, with a fingerprint over it.
    ///
    /// The digest of the image is asked of the place where it is; that of the bundle is made here.
    #[command(after_help = "Examples:
  autonomy lock create --image oci:./layout:1.0.0 --policy-bundle bundle.tar.gz --name arm \\
      --version 1.0.0 --release-counter 1 --prompt-hash sha256:… --tool-inputs-hash sha256:… \\
      --out autonomy.lock.json
  autonomy lock create --image registry.example/agents/arm:1.0.0 --policy-bundle bundle.tar.gz \\
      --name arm --version 1.0.0 --release-counter 2 --prompt-hash sha256:… \\
      --tool-inputs-hash blake3:… --tool tool.shell=sha256:… --out autonomy.lock.json")]
    Create(Box<LockCreate>),
    /// Shows what a lock says. Nothing is checked but its form.
    #[command(after_help = "Examples:
  autonomy lock show autonomy.lock.json
  autonomy lock show autonomy.lock.json --output json")]
    Show(LockShow),
    /// Checks the fingerprint of a lock, and with --image that it is the lock of that image.
    ///
    /// Nobody's signature is looked at: `autonomy verify --require-lock` does that.
    #[command(after_help = "Examples:
  autonomy lock verify autonomy.lock.json
  autonomy lock verify autonomy.lock.json --image oci:./layout:1.0.0 --output json")]
    Verify(LockVerify),
    /// Signs a permit: one node may load this lock once, although it is older than what it had.
    #[command(after_help = "Examples:
  autonomy lock permit --lock autonomy.lock.json --node edge-1 --key keys/autonomy.key \\
      --reason 'release 7 stops the arm' --out permit.json
  autonomy lock permit --lock autonomy.lock.json --node edge-1 --key keys/autonomy.key \\
      --reason 'back for the audit' --expires 2h --out permit.json --output json")]
    Permit(LockPermit),
}

#[derive(Args, Debug)]
pub(crate) struct LockCreate {
    /// Image of the agent.
    #[arg(long, value_name = "REFERENCE", value_parser = parse_reference)]
    pub(crate) image: Reference,
    /// Policy bundle of the release.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy_bundle: PathBuf,
    /// Name of the agent.
    #[arg(long)]
    pub(crate) name: String,
    /// Version of the release.
    #[arg(long)]
    pub(crate) version: String,
    /// Number of the release: larger than that of every release before it.
    #[arg(long, value_name = "N")]
    pub(crate) release_counter: u64,
    /// Digest of the prompt of the agent: sha256:… or blake3:…
    #[arg(long, value_name = "DIGEST", value_parser = parse_digest)]
    pub(crate) prompt_hash: Digest,
    /// Digest of the descriptions of its tools: sha256:… or blake3:…
    #[arg(long, value_name = "DIGEST", value_parser = parse_digest)]
    pub(crate) tool_inputs_hash: Digest,
    /// A tool that the agent may call, and its digest; may be given more than once.
    #[arg(long, value_name = "KIND=DIGEST", value_parser = parse_tool)]
    pub(crate) tool: Vec<Tool>,
    /// Where the bundle will be [default: the policy sidecar of the image].
    #[arg(long, value_name = "REFERENCE", value_parser = parse_reference)]
    pub(crate) policy_ref: Option<Reference>,
    /// Lock to write; a file that is there is not replaced.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct LockShow {
    /// Lock to show.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct LockVerify {
    /// Lock to check.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Image that it has to be the lock of.
    #[arg(long, value_name = "REFERENCE", value_parser = parse_reference)]
    pub(crate) image: Option<Reference>,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct LockPermit {
    /// Lock that may be loaded.
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: PathBuf,
    /// Node that may load it.
    #[arg(long, value_name = "NAME")]
    pub(crate) node: String,
    /// Private key that signs the permit; its password comes from AUTONOMY_KEY_PASSWORD.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Why, for whoever reads the log of the node.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// How long it can be used: a duration, at most 720h.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    pub(crate) expires: Duration,
    /// Permit to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

impl Lock {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Create(args) => args.output.output,
            Self::Show(args) => args.output.output,
            Self::Verify(args) => args.output.output,
            Self::Permit(args) => args.output.output,
        }
    }
}

fn parse_tool(text: &str) -> Result<Tool, String> {
    let (kind, digest) =
        text.split_once('=').ok_or_else(|| format!("`{text}` is not KIND=DIGEST"))?;
    Ok(Tool { kind: kind.to_owned(), digest: parse_digest(digest)? })
}
