//! `autonomy policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Output, OutputArg};

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Packs a directory of Rego files into a bundle. Same files, same bytes.
    #[command(after_help = "Examples:
  autonomy policy build --in ./policies --out bundle.tar.gz --version 1.0.0
  autonomy policy build --in ./policies --out bundle.tar.gz --version 1.2.0 --name arm-safety \\
      --runtime-version '>=0.1.0 <1.0.0'")]
    Build(PolicyBuild),
    /// Checks a bundle and makes it the one that runtimes load; the one before is kept.
    #[command(after_help = "Examples:
  autonomy policy load --bundle bundle.tar.gz
  autonomy policy load --bundle bundle.tar.gz --policy-dir ./policy --output json")]
    Load(PolicyLoad),
    /// Says which bundle decides, and what is wrong with the slots.
    #[command(after_help = "Examples:
  autonomy policy status
  autonomy policy status --policy-dir ./policy --output json")]
    Status(PolicyStatus),
    /// Decides one call without running anything. Exit code 3 means deny.
    #[command(after_help = "Examples:
  echo '{\"kind\":\"tool.shell\",\"params\":{\"command\":\"id\"}}' | autonomy policy eval --input -
  autonomy policy eval --input call.json --bundle bundle.tar.gz --output json")]
    Eval(PolicyEval),
}

#[derive(Args, Debug)]
pub(crate) struct PolicyBuild {
    /// Directory with the *.rego files and, if there is one, data.json.
    #[arg(long = "in", value_name = "DIR")]
    pub(crate) input: PathBuf,
    /// Bundle to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Version of the bundle (semantic versioning).
    #[arg(long)]
    pub(crate) version: String,
    /// Name of the bundle.
    #[arg(long, default_value = "policy")]
    pub(crate) name: String,
    /// Runtimes that may load it, for example '>=0.1.0 <1.0.0' [default: every one].
    #[arg(long, value_name = "RANGE")]
    pub(crate) runtime_version: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct PolicyLoad {
    /// Bundle to load.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: PathBuf,
    /// Directory of the policy slots [default: $XDG_CACHE_HOME/autonomyops/policy/managed].
    #[arg(long, alias = "manager-dir")]
    pub(crate) policy_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct PolicyStatus {
    /// Directory of the policy slots [default: $XDG_CACHE_HOME/autonomyops/policy/managed].
    #[arg(long, alias = "manager-dir")]
    pub(crate) policy_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct PolicyEval {
    /// The call, as an agent would post it: a file, or `-` for stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Bundle to decide with [default: the loaded one].
    #[arg(long, value_name = "FILE", conflicts_with = "policy_dir")]
    pub(crate) bundle: Option<PathBuf>,
    /// Directory of the policy slots [default: $XDG_CACHE_HOME/autonomyops/policy/managed].
    #[arg(long, alias = "manager-dir")]
    pub(crate) policy_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

impl Policy {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Build(args) => args.output.output,
            Self::Load(args) => args.output.output,
            Self::Status(args) => args.output.output,
            Self::Eval(args) => args.output.output,
        }
    }
}
