//! Options of the commands about telemetry.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::{
    Bridge, CollectorArgs, FilterArgs, Output, OutputArg,
    collector::{MaxAge, parse_node},
};
use crate::filter::{Since, parse_since};

#[derive(Debug, Subcommand)]
pub(crate) enum Telemetry {
    /// Prints the stored entries, one JSON object a line, byte for byte, delivered or not.
    #[command(after_help = "Examples:
  autonomy telemetry export --dir ./wal --out - | grep -c '\"seq\"'
  autonomy telemetry export --dir ./wal --out errors.jsonl --kind error --since 1h")]
    Export(Export),
    /// Sends what is not delivered yet to an OTLP collector, errors first.
    ///
    /// Progress is kept after every accepted batch. A failed send moves nothing.
    #[command(visible_alias = "flush")]
    #[command(after_help = "Examples:
  autonomy telemetry drain --dir ./wal --endpoint http://127.0.0.1:4318
  autonomy telemetry drain --dir ./wal --endpoint http://127.0.0.1:4318 --batch 100 --output json
  autonomy telemetry drain --dir ./wal --endpoint https://collector:4318 --ca-file ca.pem --follow")]
    Drain(Drain),
    /// Takes OTLP logs over HTTP and forwards them to the control plane; keeps nothing itself.
    ///
    /// A sender gets success only when the control plane has stored its events. Otherwise it gets 503
    /// with Retry-After, and keeps them.
    #[command(after_help = "Examples:
  autonomy telemetry bridge --forward-url http://127.0.0.1:8888/v1/events
  autonomy telemetry bridge --listen 127.0.0.1:0 --forward-url http://control:8888/v1/events")]
    Bridge(Bridge),
    /// Looks after the events that a collector refused for good.
    #[command(subcommand, name = "deadletter")]
    DeadLetter(DeadLetter),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetter {
    /// Lists the events that were refused and neither delivered nor given up since.
    ///
    /// Takes no lock. A line of the file that cannot be read is reported with its number.
    #[command(after_help = "Examples:
  autonomy telemetry deadletter list --dir ./wal
  autonomy telemetry deadletter list --dir ./wal --output json")]
    List(DeadLetterList),
    /// Sends them again, errors first; what is accepted leaves the file.
    ///
    /// The log that an event is of may be archived or deleted meanwhile.
    #[command(after_help = "Examples:
  autonomy telemetry deadletter retry --dir ./wal --endpoint http://127.0.0.1:4318
  autonomy telemetry deadletter retry --dir ./wal --endpoint http://127.0.0.1:4318 --output json")]
    Retry(DeadLetterRetry),
    /// Gives events up for a reason, which stays in the file.
    #[command(after_help = "Examples:
  autonomy telemetry deadletter purge --dir ./wal --delivered
  autonomy telemetry deadletter purge --dir ./wal --before 30d --reason 'too old, ticket 4711'")]
    Purge(DeadLetterPurge),
}

impl Telemetry {
    /// The directory of the log that is named.
    pub(super) fn log_dir(&self) -> Option<&PathBuf> {
        match self {
            Self::Export(it) => it.dir.as_ref(),
            Self::Drain(it) => it.dir.as_ref(),
            Self::Bridge(_) => None,
            Self::DeadLetter(DeadLetter::List(it)) => it.dir.as_ref(),
            Self::DeadLetter(DeadLetter::Retry(it)) => it.dir.as_ref(),
            Self::DeadLetter(DeadLetter::Purge(it)) => it.dir.as_ref(),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// Directory of the log: the --wal-dir of the runtime
    /// [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long, alias = "wal-dir")]
    pub(crate) dir: Option<PathBuf>,
    /// File to write, or `-` for stdout. A file appears only when it is complete.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Of a log that is refused: everything that holds, up to the first entry that does not, whatever
    /// its safe point says. Ends with 0 there.
    #[arg(long)]
    pub(crate) salvage: bool,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct Drain {
    /// Directory of the log: the --wal-dir of the runtime
    /// [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long, alias = "wal-dir")]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) collector: CollectorArgs,
    /// Age beyond which an entry goes before fresher ones of a higher class; `never` sends by class
    /// alone.
    #[arg(long, default_value = "1h", value_name = "AGE", value_parser = MaxAge::parse)]
    pub(crate) max_age: MaxAge,
    /// Node to name instead of the one that the log names. It is part of every event id: drain a log
    /// under one name only.
    #[arg(long, value_parser = parse_node)]
    pub(crate) node: Option<String>,
    /// Goes on: sends new entries as they come, and waits for a collector that is away.
    #[arg(long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct DeadLetterList {
    /// Directory of the log: the --wal-dir of the runtime
    /// [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long, alias = "wal-dir")]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct DeadLetterRetry {
    /// Directory of the log: the --wal-dir of the runtime
    /// [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long, alias = "wal-dir")]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) collector: CollectorArgs,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("which").required(true))]
pub(crate) struct DeadLetterPurge {
    /// Directory of the log: the --wal-dir of the runtime
    /// [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long, alias = "wal-dir")]
    pub(crate) dir: Option<PathBuf>,
    /// Gives nothing up; only what was delivered leaves the file.
    #[arg(long, group = "which", conflicts_with = "reason")]
    pub(crate) delivered: bool,
    /// Gives this event up; can be repeated.
    #[arg(long, group = "which", value_name = "ID")]
    pub(crate) event_id: Vec<String>,
    /// Gives up what was refused the last time before this: an age (12h, 30d) or an RFC 3339 time.
    #[arg(long, group = "which", value_name = "TIME", value_parser = parse_since)]
    pub(crate) before: Option<Since>,
    /// Gives every event up that was not delivered.
    #[arg(long, group = "which")]
    pub(crate) all: bool,
    /// Gives up every line of the file that is torn or damaged; no event that can be read.
    #[arg(long, group = "which")]
    pub(crate) damaged: bool,
    /// Why; recorded with each event.
    #[arg(long, value_name = "TEXT", required_unless_present = "delivered")]
    #[arg(value_parser = parse_reason)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

impl Telemetry {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Export(args) => args.output.output,
            Self::Drain(args) => args.output.output,
            Self::Bridge(args) => args.output.output,
            Self::DeadLetter(DeadLetter::List(args)) => args.output.output,
            Self::DeadLetter(DeadLetter::Retry(args)) => args.output.output,
            Self::DeadLetter(DeadLetter::Purge(args)) => args.output.output,
        }
    }
}

fn parse_reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("a reason has words".to_owned()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::args::Cli;

    #[test]
    fn a_purge_says_what_and_why() {
        for (args, good) in [
            ("", false),
            ("--delivered", true),
            ("--delivered --reason x", false),
            ("--delivered --all --reason x", false),
            ("--all", false),
            ("--damaged", false),
            ("--damaged --reason x", true),
            ("--damaged --all --reason x", false),
            ("--all --reason x", true),
            ("--event-id a --event-id b --reason x", true),
            ("--event-id a --all --reason x", false),
            ("--before 30d --reason x", true),
            ("--before 30d", false),
            ("--reason x", false),
        ] {
            let line = format!("autonomy telemetry deadletter purge --dir d {args}");
            assert_eq!(Cli::try_parse_from(line.split_whitespace()).is_ok(), good, "{args}");
        }
        let blank = ["autonomy", "telemetry", "deadletter", "purge", "--all", "--reason", " "];
        assert!(Cli::try_parse_from(blank).is_err());
    }
}
