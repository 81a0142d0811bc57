//! `autonomy fleet`, `autonomy ha`, `autonomy status` and `autonomy logs`.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use api::{control::EVENTS_LIMIT_DEFAULT, fleet::STALE_SECONDS_DEFAULT};
use clap::{Args, Subcommand};

use super::{AuditDirArg, ControlArgs, Output};
use crate::{
    filter::{Since, parse_since},
    span::parse_seconds,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Fleet {
    /// Shows which nodes are up, stale or unknown, and what they run.
    #[command(after_help = "Examples:
  autonomy fleet status
  autonomy fleet status --channel canary --stale-threshold 5m --output json")]
    Status(FleetStatus),
    /// Publishes releases, and shows the latest one.
    #[command(subcommand)]
    Release(FleetRelease),
}

#[derive(Debug, Subcommand)]
pub(crate) enum FleetRelease {
    /// Publishes a release: nodes of its channel take it when they ask next.
    ///
    /// The same release again changes nothing.
    #[command(after_help = "Examples:
  autonomy fleet release publish --id rel-004 --artifact-ref registry.example/agents/arm:1.2.0 --lock-fingerprint blake3:…
  autonomy fleet release publish --id rel-005 --channel canary --sequence 5 --policy arm-1.3.0 --artifact-ref oci:./layout:1.3.0 --lock-fingerprint blake3:…")]
    Publish(ReleasePublish),
    /// Shows the latest release of a channel.
    #[command(after_help = "Examples:
  autonomy fleet release latest
  autonomy fleet release latest --channel canary --output json")]
    Latest(ReleaseLatest),
}

#[derive(Args, Debug)]
pub(crate) struct FleetStatus {
    /// Channel whose latest release is shown; nodes of every channel are listed.
    #[arg(long, value_name = "CHANNEL", default_value = "stable")]
    pub(crate) channel: String,
    /// How long a node may be silent until it is stale: 60, 5m.
    #[arg(long, value_name = "TIME", default_value_t = STALE_SECONDS_DEFAULT, value_parser = parse_seconds)]
    pub(crate) stale_threshold: u64,
    /// Most nodes to list.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ReleasePublish {
    /// Id of the release.
    #[arg(long, value_name = "ID")]
    pub(crate) id: String,
    /// Where the artifact is.
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) artifact_ref: String,
    /// Fingerprint of the lock that describes it.
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) lock_fingerprint: String,
    /// For which nodes [default: stable].
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) channel: Option<String>,
    /// The policy in it, for people.
    #[arg(long, value_name = "TEXT")]
    pub(crate) policy: Option<String>,
    /// Its place in the channel [default: the next one].
    #[arg(long, value_name = "N")]
    pub(crate) sequence: Option<u64>,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ReleaseLatest {
    /// Which channel.
    #[arg(long, value_name = "CHANNEL", default_value = "stable")]
    pub(crate) channel: String,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ha {
    /// Shows who leads and who may write.
    #[command(after_help = "Examples:
  autonomy ha status
  autonomy ha status --orchestrator-url http://127.0.0.1:8888 --output json")]
    Status(HaShow),
}

#[derive(Args, Debug)]
pub(crate) struct HaShow {
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct Status {
    /// Base URL of the runtime of this machine [default: $AUTONOMY_RUNTIME_URL, else
    /// http://127.0.0.1:7777, where none need run].
    #[arg(long, value_name = "URL")]
    pub(crate) runtime_url: Option<String>,
    #[command(flatten)]
    pub(crate) audit: AuditDirArg,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct Logs {
    /// Waits for events and prints them as they come.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Only events of this node.
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// Only events of this type, for example ai.policy.decision.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Only events not older than this: a duration (90s, 1h, 2d) or an RFC 3339 time.
    #[arg(long, value_name = "TIME", value_parser = parse_since, conflicts_with = "follow")]
    pub(crate) since: Option<Since>,
    /// The newest so many [default: 100; with --follow none but new ones].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

impl Logs {
    /// Events to print when nobody says.
    pub(crate) const LIMIT_DEFAULT: u32 = EVENTS_LIMIT_DEFAULT;
}

impl Fleet {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Status(args) => args.control.format(),
            Self::Release(FleetRelease::Publish(args)) => args.control.format(),
            Self::Release(FleetRelease::Latest(args)) => args.control.format(),
        }
    }
}

impl Ha {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Status(args) => args.control.format(),
        }
    }
}
