//! `autonomy rollout gate`.

use clap::{Args, Subcommand};

use super::{ControlArgs, Output, PlanArg, StageArg};
use crate::span::parse_seconds;

#[derive(Debug, Subcommand)]
pub(crate) enum Gate {
    /// Lists the gates of a stage with what they say now.
    #[command(after_help = "Examples:
  autonomy rollout gate list arm-1.2.0 canary
  autonomy rollout gate list --plan-id arm-1.2.0 --stage-id canary --output json")]
    List(GateList),
    /// Approves a manual gate, for a reason, for a time.
    ///
    /// The approval counts for the content of the plan as it is: another content needs another one.
    #[command(after_help = "Examples:
  autonomy rollout gate approve arm-1.2.0 canary manual --reason 'seen it run'
  autonomy rollout gate approve --plan-id arm-1.2.0 --stage-id canary --reason 'seen it run' --expires-after 2h")]
    Approve(GateApprove),
    /// Rejects a manual gate, for a reason.
    #[command(after_help = "Examples:
  autonomy rollout gate reject arm-1.2.0 canary manual --reason 'it drops things'
  autonomy rollout gate reject --plan-id arm-1.2.0 --stage-id canary --reason 'it drops things'")]
    Reject(GateReject),
}

#[derive(Args, Debug)]
pub(crate) struct GateList {
    #[command(flatten)]
    pub(crate) plan: PlanArg,
    #[command(flatten)]
    pub(crate) stage: StageArg,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

/// Which gate, and what a person says about it.
#[derive(Args, Debug)]
pub(crate) struct GateWord {
    #[command(flatten)]
    pub(crate) plan: PlanArg,
    #[command(flatten)]
    pub(crate) stage: StageArg,
    /// Id of the gate; may be left out when the stage has exactly one manual gate.
    #[arg(value_name = "GATE")]
    gate_place: Option<String>,
    /// The same as an option.
    #[arg(long = "gate", value_name = "GATE", conflicts_with = "gate_place")]
    gate: Option<String>,
    /// Why; stays with the gate.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Changes nothing unless the plan still has this content (plan_digest of `rollout plan describe`).
    #[arg(long, value_name = "DIGEST")]
    pub(crate) plan_digest: Option<String>,
    /// Changes nothing unless the plan is still at this generation.
    #[arg(long, value_name = "GENERATION")]
    pub(crate) if_match: Option<u64>,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

impl GateWord {
    /// The id, if it was given.
    pub(crate) fn gate(&self) -> Option<&str> {
        self.gate_place.as_deref().or(self.gate.as_deref())
    }
}

#[derive(Args, Debug)]
pub(crate) struct GateApprove {
    #[command(flatten)]
    pub(crate) word: GateWord,
    /// How long it counts: 2h, 7d, or seconds [default: 24h].
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    pub(crate) expires_after: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct GateReject {
    #[command(flatten)]
    pub(crate) word: GateWord,
}

impl Gate {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::List(args) => args.control.format(),
            Self::Approve(args) => args.word.control.format(),
            Self::Reject(args) => args.word.control.format(),
        }
    }
}
