//! `autonomy rollout`.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::path::PathBuf;

use api::{
    plan::PlanKind,
    rollout::{LIMIT_DEFAULT, RecoverStrategy},
};
use clap::{Args, Subcommand, ValueEnum};

use super::{ControlArgs, Gate, Output};
use crate::span::parse_seconds;

#[derive(Debug, Subcommand)]
pub(crate) enum Rollout {
    /// Creates, lists and changes plans.
    #[command(subcommand)]
    Plan(RolloutPlan),
    /// Lists gates, approves and rejects them.
    #[command(subcommand)]
    Gate(Gate),
    /// Recovers a plan: begins its stage again, gives it up, or goes past its stage.
    ///
    /// `autonomy rollback execute` does the same, and puts it on record on this machine, too.
    #[command(after_help = "Examples:
  autonomy rollout recover arm-1.2.0 --strategy retry --reason 'nodes are back'
  autonomy rollout recover arm-1.2.0 --strategy skip_failed --stage canary --reason 'ticket 4711'")]
    Recover(RolloutRecover),
    /// Halts a stage for good; the plan fails, and can only be rolled back or cancelled.
    #[command(after_help = "Examples:
  autonomy rollout halt arm-1.2.0 canary --reason 'arms do not stop'
  autonomy rollout halt --plan-id arm-1.2.0 --stage-id canary --reason 'ticket 4711' --output json")]
    Halt(RolloutHalt),
    /// Says why a plan does not go on, whose turn it is, and the commands to copy.
    #[command(after_help = "Examples:
  autonomy rollout explain arm-1.2.0
  autonomy rollout explain arm-1.2.0 --output json")]
    Explain(RolloutShow),
    /// Lists plans that do not go on although they should, the longest quiet first.
    #[command(after_help = "Examples:
  autonomy rollout stuck
  autonomy rollout stuck --threshold 15m --output json")]
    Stuck(RolloutStuck),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutPlan {
    /// Creates a plan from a file, from options, or from both: options win.
    ///
    /// It begins as published, so that nodes see it at once, unless --draft is given. The same plan
    /// again changes nothing; another plan with the same id is refused.
    #[command(after_long_help = "A plan as a file:
  {\"metadata\": {\"id\": \"arm-1.2.0\"},
   \"artifact_ref\": \"registry.example/agents/arm:1.2.0\",
   \"target_lock_fingerprint\": \"blake3:…\",
   \"stages\": [
     {\"id\": \"canary\", \"percent\": 5, \"gates\": [
       {\"kind\": \"time_soak\", \"soak_seconds\": 1800},
       {\"kind\": \"health\", \"min_verified_percent\": 95},
       {\"kind\": \"manual\"}]},
     {\"id\": \"rest\", \"percent\": 100, \"gates\": []}]}

Examples:
  autonomy rollout plan create plan.json
  autonomy rollout plan create --id arm-1.2.0 --artifact-ref registry.example/agents/arm:1.2.0 --lock-fingerprint blake3:… --draft")]
    #[command(after_help = "Examples:
  autonomy rollout plan create plan.json
  autonomy rollout plan create --id arm-1.2.0 --artifact-ref registry.example/agents/arm:1.2.0 --lock-fingerprint blake3:… --draft")]
    Create(Box<PlanCreate>),
    /// Lists plans, newest first.
    #[command(after_help = "Examples:
  autonomy rollout plan list
  autonomy rollout plan list --phase active --all --output json")]
    List(PlanList),
    /// Shows a plan with its stages and warnings.
    #[command(after_help = "Examples:
  autonomy rollout plan describe arm-1.2.0
  autonomy rollout plan describe --plan-id arm-1.2.0 --output json")]
    Describe(RolloutShow),
    /// Publishes a draft: nodes see it.
    #[command(after_help = "Examples:
  autonomy rollout plan publish arm-1.2.0
  autonomy rollout plan publish arm-1.2.0 --if-match 1 --reason reviewed")]
    Publish(PlanTurn),
    /// Pauses a plan; it resumes where it was.
    #[command(after_help = "Examples:
  autonomy rollout plan pause arm-1.2.0 --reason 'shift change'
  autonomy rollout plan pause arm-1.2.0 --output json")]
    Pause(PlanTurn),
    /// Resumes a paused plan.
    #[command(after_help = "Examples:
  autonomy rollout plan resume arm-1.2.0
  autonomy rollout plan resume arm-1.2.0 --if-match 7")]
    Resume(PlanTurn),
    /// Cancels a plan for good; nodes keep what they run.
    #[command(after_help = "Examples:
  autonomy rollout plan cancel arm-1.2.0 --reason superseded
  autonomy rollout plan cancel arm-1.2.0 --if-match 3 --output json")]
    Cancel(PlanTurn),
}

/// Which plan, by place or by name.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlanArg {
    /// Id of the plan.
    #[arg(value_name = "PLAN", required_unless_present = "plan_id")]
    plan: Option<String>,
    /// The same as an option.
    #[arg(long, value_name = "PLAN", conflicts_with = "plan")]
    plan_id: Option<String>,
}

impl PlanArg {
    /// The id.
    pub(crate) fn id(&self) -> &str {
        // One of them is there: clap makes sure.
        self.plan.as_deref().or(self.plan_id.as_deref()).unwrap_or_default()
    }
}

/// Which stage of it, by place or by name.
#[derive(Args, Clone, Debug)]
pub(crate) struct StageArg {
    /// Id of the stage.
    #[arg(value_name = "STAGE", required_unless_present = "stage_id")]
    stage: Option<String>,
    /// The same as an option.
    #[arg(long, value_name = "STAGE", conflicts_with = "stage")]
    stage_id: Option<String>,
}

impl StageArg {
    /// The id.
    pub(crate) fn id(&self) -> &str {
        self.stage.as_deref().or(self.stage_id.as_deref()).unwrap_or_default()
    }
}

#[derive(Args, Debug)]
pub(crate) struct PlanCreate {
    /// File with the plan in JSON, as of POST /v1/rollouts; `-` is stdin.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Id of the plan: 1 to 128 of A-Z a-z 0-9 . _ -
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// What to roll out.
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) artifact_ref: Option<String>,
    /// The lock fingerprint that nodes are to reach.
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) lock_fingerprint: Option<String>,
    /// Which nodes it concerns [default: stable].
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) channel: Option<String>,
    /// What changes on a node [default: behavior].
    #[arg(long, value_enum)]
    pub(crate) kind: Option<KindArg>,
    /// Label of the plan; may be given more than once.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Begins as a draft: no node sees it until it is published.
    #[arg(long)]
    pub(crate) draft: bool,
    /// Refuses an artifact or a fingerprint that cannot be meant, instead of warning.
    #[arg(long)]
    pub(crate) strict_artifacts: bool,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct PlanList {
    /// Only plans in this phase: draft, published, active, paused, completed, failed, cancelled,
    /// rolled_back.
    #[arg(long, value_name = "PHASE")]
    pub(crate) phase: Option<String>,
    /// Most plans to list.
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Lists all of them.
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RolloutShow {
    #[command(flatten)]
    pub(crate) plan: PlanArg,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct PlanTurn {
    #[command(flatten)]
    pub(crate) plan: PlanArg,
    /// Why; stays with the plan.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Changes nothing unless the plan is still at this generation.
    #[arg(long, value_name = "GENERATION")]
    pub(crate) if_match: Option<u64>,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RolloutRecover {
    #[command(flatten)]
    pub(crate) plan: PlanArg,
    /// How.
    #[arg(long, value_enum)]
    pub(crate) strategy: StrategyArg,
    /// Why; stays with the plan.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Changes nothing unless the plan stands at this stage.
    #[arg(long, value_name = "STAGE")]
    pub(crate) stage: Option<String>,
    /// Changes nothing unless the plan is still at this generation.
    #[arg(long, value_name = "GENERATION")]
    pub(crate) if_match: Option<u64>,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RolloutHalt {
    #[command(flatten)]
    pub(crate) plan: PlanArg,
    #[command(flatten)]
    pub(crate) stage: StageArg,
    /// Why; stays with the plan.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Changes nothing unless the plan is still at this generation.
    #[arg(long, value_name = "GENERATION")]
    pub(crate) if_match: Option<u64>,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RolloutStuck {
    /// How long nothing may have happened: 15m, 1h, or seconds.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_seconds)]
    pub(crate) threshold: u64,
    /// Most plans to list, up to 1000.
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

/// What changes on a node.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KindArg {
    /// Policy and tools.
    Behavior,
    /// A model.
    Model,
    /// The operating system is built anew.
    #[value(name = "os_reconstruction")]
    OsReconstruction,
}

impl From<KindArg> for PlanKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Behavior => Self::Behavior,
            KindArg::Model => Self::Model,
            KindArg::OsReconstruction => Self::OsReconstruction,
        }
    }
}

/// How a plan is recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyArg {
    /// Begins the current stage again.
    Retry,
    /// Gives the plan up: no further node activates.
    Rollback,
    /// Goes past the current stage.
    #[value(name = "skip_failed")]
    SkipFailed,
}

impl StrategyArg {
    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Rollback => "rollback",
            Self::SkipFailed => "skip_failed",
        }
    }
}

impl From<StrategyArg> for RecoverStrategy {
    fn from(strategy: StrategyArg) -> Self {
        match strategy {
            StrategyArg::Retry => Self::Retry,
            StrategyArg::Rollback => Self::Rollback,
            StrategyArg::SkipFailed => Self::SkipFailed,
        }
    }
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not KEY=VALUE")),
    }
}

impl Rollout {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Plan(command) => command.output(),
            Self::Gate(command) => command.output(),
            Self::Recover(args) => args.control.format(),
            Self::Halt(args) => args.control.format(),
            Self::Explain(args) => args.control.format(),
            Self::Stuck(args) => args.control.format(),
        }
    }
}

impl RolloutPlan {
    fn output(&self) -> Output {
        match self {
            Self::Create(args) => args.control.format(),
            Self::List(args) => args.control.format(),
            Self::Describe(args) => args.control.format(),
            Self::Publish(args) | Self::Pause(args) | Self::Resume(args) | Self::Cancel(args) => {
                args.control.format()
            }
        }
    }
}
