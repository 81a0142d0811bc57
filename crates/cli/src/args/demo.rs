//! `autonomy demo`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Output, OutputArg};

#[derive(Debug, Subcommand)]
pub(crate) enum Demo {
    /// Makes a handful of calls under the demo policy and checks what the log says about them.
    ///
    /// Everything is in this process; no service is needed and nothing stays.
    #[command(after_help = "Examples:
  autonomy demo policy
  autonomy demo policy --output json")]
    Policy(DemoPolicy),
    /// Drives a simulated robot through governed calls and checks what the log says about them.
    ///
    /// Without --local in containers, by docker compose.
    #[command(after_help = "Examples:
  autonomy demo gazebo --local
  SIM_TICK_MS=0 autonomy demo gazebo --local --seed 3 --dir ./wal")]
    Gazebo(DemoGazebo),
}

#[derive(Args, Debug)]
pub(crate) struct DemoPolicy {
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct DemoGazebo {
    /// In this process, without containers.
    #[arg(long)]
    pub(crate) local: bool,
    /// Where obstacles are and where the robot turns; the same seed gives the same calls.
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Directory of the log, which stays [default: a temporary one, deleted at the end].
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Compose file that is started without --local.
    #[arg(long, value_name = "FILE", default_value = "deploy/gazebo/compose.yaml")]
    pub(crate) compose_file: PathBuf,
}

impl Demo {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Policy(args) => args.output.output,
            Self::Gazebo(_) => Output::Text,
        }
    }
}
