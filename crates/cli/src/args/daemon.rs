//! `autonomy daemon`.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{Output, parse_duration};

#[derive(Debug, Subcommand)]
pub(crate) enum Daemon {
    /// Runs a plan of steps through the runtime, each effect at most once, also across crashes.
    ///
    /// Step logs of the directory are recovered first. The same plan goes on where it ended; one that
    /// has ended is not run again. Exit code 4 means that a step waits for a human.
    #[command(after_help = "Examples:
  autonomy daemon run --plan nightly.json
  autonomy daemon run --plan nightly.json --wal-dir ./steps --fired-at 2026-01-02T03:00:00Z --archive
  AUTONOMY_RUNTIME_URL=http://127.0.0.1:7777 autonomy daemon run --plan nightly.json --output json")]
    Run(DaemonRun),
    /// Says whether a daemon runs, what it does, and what waits for a human.
    #[command(after_help = "Examples:
  autonomy daemon status
  autonomy daemon status --wal-dir ./steps --output json")]
    Status(DaemonStatus),
}

/// How the commands about steps print.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct FormatArg {
    /// How results are printed.
    #[arg(long, visible_alias = "format", value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct StepsDirArg {
    /// Directory of the step logs [default: $XDG_STATE_HOME/autonomyops/steps].
    #[arg(long, value_name = "DIR")]
    pub(crate) wal_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct DaemonRun {
    /// The plan file.
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) dir: StepsDirArg,
    /// When the plan was fired: the same plan at another time is another mandate [default: that of the
    /// file, else its content stands for it].
    #[arg(long, value_name = "TIME")]
    pub(crate) fired_at: Option<String>,
    /// Base URL of the runtime [default: $AUTONOMY_RUNTIME_URL, else http://127.0.0.1:7777].
    #[arg(long, value_name = "URL")]
    pub(crate) runtime_url: Option<String>,
    /// Longest wait for the answer to a call, and for calls of an earlier run to end. Should be longer than
    /// the --tool-timeout of the runtime.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    pub(crate) call_timeout: Duration,
    /// Packs the step log away when every plan in it has ended.
    #[arg(long)]
    pub(crate) archive: bool,
    #[command(flatten)]
    pub(crate) output: FormatArg,
}

#[derive(Args, Debug)]
pub(crate) struct DaemonStatus {
    #[command(flatten)]
    pub(crate) dir: StepsDirArg,
    #[command(flatten)]
    pub(crate) output: FormatArg,
}

impl Daemon {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Run(args) => args.output.output,
            Self::Status(args) => args.output.output,
        }
    }
}
