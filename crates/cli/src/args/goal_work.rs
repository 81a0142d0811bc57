//! `autonomy goal dispatch`, `loop` and `context`.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::{
    num::{NonZeroU8, NonZeroU32, NonZeroU64},
    path::PathBuf,
};

use clap::Args;

use super::{GoalGoverned, GoalPlace, GoalWait};

/// How work is sent out.
#[derive(Args, Debug)]
pub(crate) struct GoalWork {
    /// The shell command for each tentacle [default: $AUTONOMY_DISPATCH_CMD].
    #[arg(long, value_name = "COMMAND")]
    pub(crate) cmd: Option<String>,
    /// Sends out again what began and whose end nobody saw. Without it such work waits for somebody to look.
    #[arg(long)]
    pub(crate) resend: bool,
    /// How many run at a time.
    #[arg(long, value_name = "N", default_value = "4")]
    pub(crate) concurrency: NonZeroU8,
    /// The file of the markers [default: ~/.copilot/markers/dispatched-subagent-active].
    #[arg(long, value_name = "FILE")]
    pub(crate) marker: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct GoalDispatch {
    #[command(flatten)]
    pub(crate) work: GoalWork,
    /// Says what would be sent out, and does nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Longest run of a command, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub(crate) timeout: u32,
    #[command(flatten)]
    pub(crate) governed: GoalGoverned,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

#[derive(Args, Debug)]
pub(crate) struct GoalLoop {
    #[command(flatten)]
    pub(crate) work: GoalWork,
    /// Sends out nothing: others work on the tentacles, and the loop waits for them.
    #[arg(long, conflicts_with = "cmd")]
    pub(crate) no_auto_dispatch: bool,
    /// Most iterations that this loop goes through.
    #[arg(long, value_name = "N")]
    pub(crate) max_iterations: Option<NonZeroU64>,
    /// Longest time of this loop, in minutes.
    #[arg(long, value_name = "MINUTES")]
    pub(crate) timeout: Option<NonZeroU32>,
    /// Longest run of a command that works, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub(crate) work_timeout: u32,
    /// Longest run of a command that verifies, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) verify_timeout: u32,
    /// Pause between two looks at tentacles that others work on, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    pub(crate) poll_interval: NonZeroU32,
    /// Longest wait for the tentacles of an iteration, in seconds; the own commands do not count.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) poll_timeout: u32,
    #[command(flatten)]
    pub(crate) governed: GoalGoverned,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

#[derive(Args, Debug)]
pub(crate) struct GoalContext {
    /// Writes it to goal-context.md, too.
    #[arg(long)]
    pub(crate) write: bool,
    /// How many handoffs are quoted, the newest first.
    #[arg(long, value_name = "N", default_value_t = goal::CONTEXT_HANDOFFS)]
    pub(crate) max_handoffs: usize,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}
