//! `autonomy support-bundle`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Output, OutputArg};

#[derive(Debug, Subcommand)]
pub(crate) enum SupportBundle {
    /// Collects what somebody needs who helps, without secrets, into one archive. Sends nothing.
    ///
    /// Each part may fail alone; then the archive says why, and the exit code is 9.
    #[command(after_help = "Examples:
  autonomy support-bundle generate
  autonomy support-bundle generate --out /tmp/case-4711.tar.gz --output json")]
    Generate(SupportGenerate),
}

#[derive(Args, Debug)]
pub(crate) struct SupportGenerate {
    /// The archive; it must not be there yet [default: autonomy-support-TIME.tar.gz in this directory].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Directory of the log [default: that of the runtime].
    #[arg(long, value_name = "DIR")]
    pub(crate) wal_dir: Option<PathBuf>,
    /// Longest time for one part, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) timeout: u32,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

impl SupportBundle {
    pub(super) fn output(&self) -> Output {
        let Self::Generate(args) = self;
        args.output.output
    }
}
