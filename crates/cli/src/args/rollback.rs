//! `autonomy rollback`.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ControlArgs, Output, OutputArg, StrategyArg};

#[derive(Debug, Subcommand)]
pub(crate) enum Rollback {
    /// Says what a rollback of this kind does, how safe it is, and which strategies there are. Asks
    /// nobody.
    #[command(after_help = "Examples:
  autonomy rollback preview --target rollout_plan
  autonomy rollback preview --target relay_deadletter --output json")]
    Preview(RollbackPreview),
    /// Does it, and puts it on record in the audit trail of this machine, success or not.
    ///
    /// The trail is opened first: what could not be put on record is not begun. When the connection
    /// breaks and nobody knows what came of it, the record says pending and result=unknown.
    #[command(after_help = "Examples:
  autonomy rollback execute --target rollout_plan --resource arm-1.2.0 --strategy rollback --reason 'ticket 4711'
  autonomy rollback execute --target rollout_stage --resource arm-1.2.0 --strategy skip_failed --reason 'one node is in repair'
  autonomy rollback execute --target ha_leader_resign --resource current --reason 'kernel update'")]
    Execute(RollbackExecute),
}

/// What is rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetArg {
    /// A plan.
    #[value(name = "rollout_plan")]
    RolloutPlan,
    /// The current stage of a plan.
    #[value(name = "rollout_stage")]
    RolloutStage,
    /// The leader of a control plane.
    #[value(name = "ha_leader_resign")]
    HaLeaderResign,
    /// Dead letters of a relay; this version has none.
    #[value(name = "relay_deadletter")]
    RelayDeadletter,
}

#[derive(Args, Debug)]
pub(crate) struct RollbackPreview {
    /// What would be rolled back.
    #[arg(long, value_enum)]
    pub(crate) target: TargetArg,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct RollbackExecute {
    /// What is rolled back.
    #[arg(long, value_enum)]
    pub(crate) target: TargetArg,
    /// Which: the id of a plan, or `current` for the leader.
    #[arg(long, value_name = "ID")]
    pub(crate) resource: String,
    /// How; which ones there are for a target says `rollback preview`. The leader has none.
    #[arg(long, value_enum)]
    pub(crate) strategy: Option<StrategyArg>,
    /// Why; stays on record.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Directory of the audit trail [default: $AUTONOMY_AUDIT_DIR, else
    /// $XDG_STATE_HOME/autonomyops/audit].
    #[arg(long, value_name = "DIR")]
    pub(crate) audit_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

impl Rollback {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Preview(args) => args.output.output,
            Self::Execute(args) => args.control.format(),
        }
    }
}
