//! The command line.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::{net::SocketAddr, path::PathBuf};

use api::size::parse_size;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use wal_recovery::archive::Keep;

use crate::filter::{SeqRange, Since, parse_since};

mod bridge;
mod collector;
mod telemetry;
mod wal;
mod wal_life;

pub(crate) use bridge::Bridge;
pub(crate) use collector::CollectorArgs;
pub(crate) use telemetry::{
    DeadLetter, DeadLetterList, DeadLetterPurge, DeadLetterRetry, Drain, Export, Telemetry,
};
pub(crate) use wal::{Wal, WalInspect, WalStatus, WalVerify};
pub(crate) use wal_life::{WalArchive, WalRepair, WalSeal};

/// Governs what autonomous agents may do, on machines that are often offline.
#[derive(Debug, Parser)]
#[command(name = "autonomy", version, subcommand_required = true)]
#[command(arg_required_else_help = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 denied, 5 not found, 6 conflict, 7 unreachable, \
8 integrity failure, 9 partial, 75 busy."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// JSON on stdout, errors included; lists are one object a line.
    Json,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArg {
    /// How results are printed.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the local runtime that agents ask for every tool call.
    #[command(subcommand)]
    Runtime(Runtime),
    /// Reads telemetry out of a log and sends it to a collector.
    #[command(subcommand)]
    Telemetry(Telemetry),
    /// Looks into a write-ahead log, archives, repairs and seals it.
    #[command(subcommand)]
    Wal(Wal),
    /// Builds, loads and tries policies.
    #[command(subcommand)]
    Policy(Policy),
    /// Prints the page about a code: symptom, cause, recovery.
    #[command(after_help = "Examples:
  autonomy explain SEQ_GAP
  autonomy explain --list
  autonomy explain wal_disk_full --output json")]
    Explain(Explain),
}

#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// The code, in upper or lower case; without one, every code is listed.
    pub(crate) code: Option<String>,
    /// Lists every code with one line each.
    #[arg(long, conflicts_with = "code")]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

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
    /// What to do when the log cannot be trusted.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) on_corruption: OnCorruption,
    /// How log lines look [default: text on a terminal, JSON otherwise].
    #[arg(long)]
    pub(crate) log_format: Option<logging::Format>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
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

#[derive(Args, Debug)]
pub(crate) struct FilterArgs {
    /// Only entries not older than this: a duration (90s, 1h, 2d) or an RFC 3339 time.
    #[arg(long, value_parser = parse_since)]
    pub(crate) since: Option<Since>,
    /// Only entries of this kind: error, decision, action, lifecycle, or any other.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Only these sequence numbers: 7, 7.., ..9 or 7..9.
    #[arg(long, value_parser = SeqRange::parse)]
    pub(crate) seq: Option<SeqRange>,
}

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

impl Command {
    /// How this command prints, so that its failure is printed alike.
    pub(crate) fn output(&self) -> Output {
        match self {
            Self::Runtime(Runtime::Start(args)) => args.output.output,
            Self::Telemetry(command) => command.output(),
            Self::Wal(command) => command.output(),
            Self::Policy(Policy::Build(args)) => args.output.output,
            Self::Policy(Policy::Load(args)) => args.output.output,
            Self::Policy(Policy::Status(args)) => args.output.output,
            Self::Policy(Policy::Eval(args)) => args.output.output,
            Self::Explain(args) => args.output.output,
        }
    }
}

fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let duration = text.parse::<jiff::SignedDuration>().ok();
    let duration = duration.and_then(|it| std::time::Duration::try_from(it).ok());
    duration
        .filter(|it| !it.is_zero())
        .ok_or_else(|| format!("`{text}` is not a duration (500ms, 10s, 2m)"))
}

/// Returns the definition of the command line, for documentation.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    /// Every command a user can run shows two examples.
    #[test]
    fn every_command_has_two_examples() {
        fn leaves(command: &clap::Command, found: &mut Vec<clap::Command>) {
            if command.has_subcommands() {
                command.get_subcommands().for_each(|it| leaves(it, found));
            } else {
                found.push(command.clone());
            }
        }
        let mut found = Vec::new();
        leaves(&command(), &mut found);
        assert!(found.len() >= 9);
        for command in found {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.lines().filter(|it| it.contains("autonomy ")).count();
            assert!(examples >= 2, "{}: {help}", command.get_name());
        }
    }

    #[test]
    fn readers_take_the_option_of_the_runtime_too() {
        for words in [
            "wal status",
            "wal inspect",
            "telemetry export --out -",
            "telemetry drain",
            "telemetry deadletter list",
            "telemetry deadletter retry",
        ] {
            let args = format!("autonomy {words} --wal-dir d");
            assert!(Cli::try_parse_from(args.split(' ')).is_ok(), "{args}");
        }
    }

    #[test]
    fn a_duration_has_a_unit_and_is_never_zero() {
        assert_eq!(parse_duration("500ms"), Ok(std::time::Duration::from_millis(500)));
        assert!(parse_duration("0s").is_err() && parse_duration("-1s").is_err());
    }
}
