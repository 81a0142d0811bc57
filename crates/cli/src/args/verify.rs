//! `autonomy sign` and `autonomy verify`.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::Args;
use supply_chain::Reference;

use super::{
    OutputArg, parse_duration,
    registry::{RegistryArgs, parse_reference},
};

#[derive(Args, Debug)]
pub(crate) struct Sign {
    /// Image to sign. With a digest (…:1.0.0@sha256:…) nothing but that one is signed.
    #[arg(long, value_name = "REFERENCE", value_parser = parse_reference)]
    pub(crate) image: Reference,
    /// Private key; its password comes from AUTONOMY_KEY_PASSWORD.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Signs the lock beside the image, too, if it is the lock of this image.
    #[arg(long)]
    pub(crate) lock: bool,
    /// Signs the policy bundle beside the image, too.
    #[arg(long)]
    pub(crate) policy: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// Image to verify.
    #[arg(long, value_name = "REFERENCE", value_parser = parse_reference)]
    pub(crate) image: Reference,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// The lock beside the image has to be there and to hold.
    #[arg(long)]
    pub(crate) require_lock: bool,
    /// The policy bundle beside the image has to be there and to hold.
    #[arg(long)]
    pub(crate) require_policy: bool,
    #[command(flatten)]
    pub(crate) look: LookArgs,
    #[command(flatten)]
    pub(crate) statement: StatementArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

/// Whose signatures count.
#[derive(Args, Debug)]
pub(crate) struct TrustArgs {
    /// Public key (PEM) whose signatures count; may be given up to 16 times [env:
    /// AUTONOMY_COSIGN_PUBKEY].
    #[arg(long, value_name = "FILE", visible_alias = "pub-key")]
    pub(crate) r#pub: Vec<PathBuf>,
    /// How many distinct keys have to have signed each artifact.
    #[arg(long, value_name = "M", default_value = "1")]
    pub(crate) threshold: NonZeroUsize,
    /// Longest age of a signature [default: 8760h; with AUTONOMY_TRUST_TIME=false no time is looked
    /// at].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) max_age: Option<Duration>,
}

/// How closely to look.
#[derive(Args, Debug)]
pub(crate) struct LookArgs {
    /// Leaves config and layers of the image unread: its manifest alone is checked, and the report
    /// says so.
    #[arg(long)]
    pub(crate) skip_layers: bool,
    /// Opens no socket: a registry is refused before anything is looked up.
    #[arg(long)]
    pub(crate) offline: bool,
}

/// A signed record of the result.
#[derive(Args, Debug)]
pub(crate) struct StatementArgs {
    /// Writes the result, good or bad, as a signed in-toto statement.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) statement: Option<PathBuf>,
    /// Private key that signs the statement; its password comes from AUTONOMY_KEY_PASSWORD.
    #[arg(long, value_name = "FILE", requires = "statement")]
    pub(crate) key: Option<PathBuf>,
}
