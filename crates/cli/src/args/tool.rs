//! `autonomy tool`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Output, OutputArg};

#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    /// Lists calls that were allowed and have no outcome on record.
    ///
    /// While a runtime works, these are the calls whose tool runs, and those whose outcome could not be
    /// recorded. The next start records the outcome `unknown` for each; none is run again. Changes nothing
    /// and takes no lock.
    #[command(after_help = "Examples:
  autonomy tool open-intents
  autonomy tool open-intents --wal-dir /var/lib/autonomy/telemetry --output json")]
    OpenIntents(OpenIntents),
}

#[derive(Args, Debug)]
pub(crate) struct OpenIntents {
    /// Directory of the log [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long, alias = "dir")]
    pub(crate) wal_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

impl Tool {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::OpenIntents(args) => args.output.output,
        }
    }
}
