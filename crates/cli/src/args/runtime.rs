//! `autonomy runtime`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use api::size::parse_size;
use clap::{Args, Subcommand, ValueEnum};
use wal_recovery::archive::Keep;

use super::{Output, OutputArg, wal_life};

#[derive(Debug, Subcommand)]
pub(crate) enum Runtime {
    /// Starts the runtime and serves until SIGTERM.
    ///
    /// A log that cannot be trusted is refused with its code and exit code 8, or put in quarantine;
    /// nothing in the directory is changed then.
    #[command(after_help = "Examples:
  autonomy runtime start --wal-dir /var/lib/autonomy/telemetry --policy-dir /var/lib/autonomy/policy
  autonomy runtime start --listen 127.0.0.1:0 --wal-dir ./wal --policy-dir ./policy \\
      --allowed-domains api.example.org,localhost:9000")]
    Start(RuntimeStart),
}

impl Runtime {
    /// The directory of the log that is named.
    pub(super) fn log_dir(&self) -> Option<&PathBuf> {
        let Self::Start(args) = self;
        args.wal_dir.as_ref()
    }
}

#[derive(Args, Debug)]
pub(crate) struct RuntimeStart {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7777")]
    pub(crate) listen: SocketAddr,
    /// Directory of the log [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long)]
    pub(crate) wal_dir: Option<PathBuf>,
    /// Directory of the policy slots [default: $XDG_CACHE_HOME/autonomyops/policy/managed].
    #[arg(long)]
    pub(crate) policy_dir: Option<PathBuf>,
    /// Node that is governed [default: the host name].
    #[arg(long)]
    pub(crate) node_id: Option<String>,
    /// Endpoints that `tool.http_get` may reach: host, host:port or URL, comma-separated.
    /// Without any, none is reached.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) allowed_domains: runtime::AllowList,
    /// Makes `tool.shell` exist; the policy still decides about every call of it.
    #[arg(long)]
    pub(crate) enable_shell: bool,
    /// Most bytes of a request body; KiB and MiB are understood.
    #[arg(long, default_value = "1MiB", value_parser = parse_size)]
    pub(crate) max_body: usize,
    /// Most calls in work; one more is denied at once, as OVERLOADED.
    #[arg(long, default_value = "512", value_name = "COUNT", value_parser = at_once)]
    pub(crate) max_calls: usize,
    /// Most connections; more wait until one ends. Should be more than the calls.
    #[arg(long, default_value = "1024", value_name = "COUNT", value_parser = at_once)]
    pub(crate) max_connections: usize,
    /// Longest run of a tool. `tool.http_get` and `tool.shell` end themselves at nine tenths of it, to
    /// return what they have [default: 30s, and 20s for those two].
    #[arg(long, value_name = "DURATION", value_parser = tool_timeout)]
    pub(crate) tool_timeout: Option<Duration>,
    /// Most bytes of the output of a tool, as JSON; a longer one is left out, as output_too_large.
    #[arg(long, default_value = "4MiB", value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_output: usize,
    /// Most bytes that `tool.shell` keeps of stdout, and of stderr; the rest is cut off.
    #[arg(long, default_value = "64KiB", value_name = "SIZE", value_parser = parse_size)]
    pub(crate) shell_output: usize,
    /// Names by which agents may call this runtime, comma-separated; localhost and addresses always may.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = host_name)]
    pub(crate) allowed_hosts: Vec<String>,
    /// Leaves the parameters of calls out of the log; their digest stays.
    #[arg(long)]
    pub(crate) redact_params: bool,
    /// When the safe point is synced.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) durability: DurabilityArg,
    /// Length above which a log goes to the archive, once every entry of it was delivered.
    #[arg(long, default_value = "256MiB", value_name = "SIZE", value_parser = parse_size)]
    pub(crate) wal_max_bytes: usize,
    /// How long archived logs are kept, by age, by size, or both: 30d, 10GiB, 30d,10GiB
    /// [default: for ever].
    #[arg(long, value_name = "AGE,SIZE", value_parser = wal_life::parse_keep)]
    pub(crate) archive_keep: Option<Keep>,
    /// Base URL of a collector to which the log is delivered in the background; `/v1/logs` is
    /// appended. The other settings come from the OTEL_EXPORTER_OTLP_* variables. Without it nothing
    /// is sent, whatever they say.
    #[arg(long, value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
    /// Base URL of the control plane that is asked what this node should run
    /// [default: $AUTONOMY_ORCHESTRATOR_URL; without either, none is asked].
    #[arg(long, value_name = "URL")]
    pub(crate) orchestrator_url: Option<String>,
    /// Time between two questions, a tenth more or less.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = super::parse_duration)]
    pub(crate) poll_interval: Duration,
    #[command(flatten)]
    pub(crate) trust: ReleaseTrustArgs,
    /// What to do when the log cannot be trusted.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) on_corruption: OnCorruption,
    /// How log lines look [default: text on a terminal, JSON otherwise].
    #[arg(long)]
    pub(crate) log_format: Option<logging::Format>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

/// Whom this node trusts with releases.
#[derive(Args, Debug)]
pub(crate) struct ReleaseTrustArgs {
    /// Public key (PEM) whose signatures of releases count; may be given up to 16 times [default:
    /// $AUTONOMY_COSIGN_PUBKEY; without either, every release is refused].
    #[arg(long, value_name = "FILE", help_heading = "Releases")]
    pub(crate) cosign_pubkey: Vec<PathBuf>,
    /// How many distinct keys have to have signed image, lock and policy.
    #[arg(long, value_name = "M", default_value = "1", help_heading = "Releases")]
    pub(crate) release_threshold: std::num::NonZeroUsize,
    /// Longest age of a signature [default: 8760h; with AUTONOMY_TRUST_TIME=false no time is looked
    /// at].
    #[arg(long, value_name = "DURATION", value_parser = super::parse_duration, help_heading = "Releases")]
    pub(crate) release_max_age: Option<Duration>,
    /// File with a downgrade permit (autonomy lock permit); looked at when a release is older than one
    /// that was active here.
    #[arg(long, value_name = "FILE", help_heading = "Releases")]
    pub(crate) downgrade_permit: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) registry: super::RegistryArgs,
}

/// Longest time that a tool can be given. A runtime that ends waits as long for its last call.
const TOOL_TIMEOUT_MAX: Duration = Duration::from_hours(24);

fn tool_timeout(text: &str) -> Result<Duration, String> {
    let limit = super::parse_duration(text)?;
    if limit <= TOOL_TIMEOUT_MAX { Ok(limit) } else { Err(format!("`{text}` is more than a day")) }
}

/// Most that can be had at once of anything.
const AT_ONCE_MAX: usize = 65_536;

fn at_once(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|it| (1..=AT_ONCE_MAX).contains(it));
    count.ok_or_else(|| format!("`{text}` is not a number from 1 to {AT_ONCE_MAX}"))
}

/// A host name as requests name it, without a port.
fn host_name(text: &str) -> Result<String, String> {
    let fits = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '.' | '_');
    if !text.is_empty() && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a host name (robot-7.local; no port, no path)"))
    }
}

/// When the safe point is synced.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum DurabilityArg {
    /// Off the path of the answer; frames prove themselves by their chain.
    #[default]
    Chained,
    /// Before every answer.
    Strict,
}

/// What to do when the log cannot be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnCorruption {
    /// End with exit code 8.
    #[default]
    Exit,
    /// Come up and deny every call; the log stays as it is.
    Quarantine,
}

impl Runtime {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Start(args) => args.output.output,
        }
    }
}
