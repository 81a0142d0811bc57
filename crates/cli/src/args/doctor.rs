//! `autonomy doctor`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArg;

#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Directory of the log [default: that of the runtime].
    #[arg(long, value_name = "DIR")]
    pub(crate) wal_dir: Option<PathBuf>,
    /// Directory of the policy slots [default: that of the runtime].
    #[arg(long, value_name = "DIR")]
    pub(crate) policy_dir: Option<PathBuf>,
    /// Base URL of the runtime [default: $AUTONOMY_RUNTIME_URL, else http://127.0.0.1:7777].
    #[arg(long, value_name = "URL")]
    pub(crate) runtime_url: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}
