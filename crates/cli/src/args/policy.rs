//! `autonomy policy`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Output, OutputArg, RegistryArgs, TrustArgs, registry::parse_reference};
use crate::filter::{SeqRange, Since, parse_since};

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Packs a directory of Rego files into a bundle. Same files, same bytes.
    #[command(after_help = "Examples:
  autonomy policy build --in ./policies --out bundle.tar.gz --version 1.0.0
  autonomy policy build --in ./policies --out bundle.tar.gz --version 1.2.0 --name arm-safety \\
      --runtime-version '>=0.1.0 <1.0.0'")]
    Build(PolicyBuild),
    /// Checks a bundle and makes it the one that runtimes load; the one before is kept.
    ///
    /// A runtime that runs takes it on SIGHUP, or when it is asked: POST /v1/policy/reload.
    ///
    /// With --bundle nothing vouches for the bundle but you. With --lock it is the policy of a release:
    /// image, lock and policy are verified, and an older release than one that was active here is
    /// refused.
    #[command(after_help = "Examples:
  autonomy policy load --bundle bundle.tar.gz
  autonomy policy load --bundle bundle.tar.gz --policy-dir ./policy --output json
  autonomy policy load --lock oci:images:1.2.0 --pub autonomy.pub --wal-dir ./wal")]
    Load(Box<PolicyLoad>),
    /// Lists everything that is wrong with the files of a policy, with its place.
    #[command(after_help = "Examples:
  autonomy policy check ./policies
  autonomy policy check allow.rego deny.rego --output json")]
    Check(PolicyCheck),
    /// Runs the tests of a policy: rules `test_…`, as opa test does.
    #[command(after_help = "Examples:
  autonomy policy test ./policies
  autonomy policy test ./policies --run night --coverage --output json")]
    Test(PolicyTest),
    /// Shows how two policies differ. Exit code 6 means that they do.
    #[command(after_help = "Examples:
  autonomy policy diff current new.tar.gz
  autonomy policy diff bundle.tar.gz ./policies --output json")]
    Diff(PolicyDiff),
    /// Decides every recorded call again. Exit code 6 means that some would be decided otherwise.
    #[command(after_help = "Examples:
  autonomy policy replay --wal ./wal --policy-dir ./policy
  autonomy policy replay --wal ./wal --candidate new.tar.gz --since 7d")]
    Replay(PolicyReplay),
    /// Says which bundle decides, and what is in both slots.
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
    /// Directory with the *.rego files, also below it, and, if there is one, data.json.
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
pub(crate) struct PolicyCheck {
    /// Directories (with all below them) and files; together they are one policy.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("tested").required(true).args(["dir", "bundle"]))]
pub(crate) struct PolicyTest {
    /// Directory with the policy and its tests.
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Bundle with tests in it, as OPA bundles may have.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
    /// Only tests whose path this regular expression finds, for example 'autonomy_test.*night'.
    #[arg(long, value_name = "REGEX", value_parser = crate::commands::policy::parse_run)]
    pub(crate) run: Option<regex::Regex>,
    /// Counts the lines that the tests go through.
    #[arg(long)]
    pub(crate) coverage: bool,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct PolicyDiff {
    /// The old policy: a bundle, a directory, `current` or `lkg`.
    #[arg(value_name = "FROM")]
    pub(crate) from: PathBuf,
    /// The new policy: a bundle, a directory, `current` or `lkg`.
    #[arg(value_name = "TO")]
    pub(crate) to: PathBuf,
    /// Directory of the policy slots [default: $XDG_CACHE_HOME/autonomyops/policy/managed].
    #[arg(long, alias = "manager-dir")]
    pub(crate) policy_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct PolicyReplay {
    /// Directory of the log [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long = "wal", alias = "dir", alias = "wal-dir", value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Policy to decide with: a bundle, a directory, `current` or `lkg` [default: the loaded one].
    #[arg(long, value_name = "POLICY")]
    pub(crate) candidate: Option<PathBuf>,
    /// Directory of the policy slots [default: $XDG_CACHE_HOME/autonomyops/policy/managed].
    #[arg(long, alias = "manager-dir")]
    pub(crate) policy_dir: Option<PathBuf>,
    /// Only decisions not older than this: a duration (90s, 1h, 2d) or an RFC 3339 time.
    #[arg(long, value_parser = parse_since)]
    pub(crate) since: Option<Since>,
    /// Only these sequence numbers of the live log: 7, 7.., ..9 or 7..9.
    #[arg(long, value_parser = SeqRange::parse)]
    pub(crate) seq: Option<SeqRange>,
    /// How many changed calls are listed.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) first: usize,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("loaded").required(true).args(["bundle", "lock"]))]
pub(crate) struct PolicyLoad {
    /// Bundle to load, unsigned as it is.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
    /// Image whose lock and policy are verified and loaded.
    #[arg(long, value_name = "REFERENCE", value_parser = parse_image)]
    pub(crate) lock: Option<supply_chain::Reference>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// File with a downgrade permit for this node (autonomy lock permit); works once.
    #[arg(long, value_name = "FILE", requires = "lock")]
    pub(crate) permit: Option<PathBuf>,
    /// Directory of the log of the node, which remembers what was active
    /// [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long, alias = "dir", value_name = "DIR", requires = "lock")]
    pub(crate) wal_dir: Option<PathBuf>,
    /// Name of the node, for the permit [default: the host name].
    #[arg(long, value_name = "NAME", requires = "lock")]
    pub(crate) node_id: Option<String>,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
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

/// Reads the reference of an image; many an operator has the file of the lock at hand instead.
fn parse_image(text: &str) -> Result<supply_chain::Reference, String> {
    let path = Path::new(text);
    let named_like_one = !text.contains(':') && path.extension().is_some_and(|it| it == "json");
    if named_like_one || path.is_file() {
        return Err(
            "this is a file; --lock takes the image, for example oci:images:1.0.0".to_owned()
        );
    }
    parse_reference(text)
}

impl Policy {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Build(args) => args.output.output,
            Self::Load(args) => args.output.output,
            Self::Check(args) => args.output.output,
            Self::Test(args) => args.output.output,
            Self::Diff(args) => args.output.output,
            Self::Replay(args) => args.output.output,
            Self::Status(args) => args.output.output,
            Self::Eval(args) => args.output.output,
        }
    }
}
