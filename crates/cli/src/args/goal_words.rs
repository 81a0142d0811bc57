//! `autonomy goal criteria` and `autonomy goal gate`.

use clap::{Args, Subcommand};

use super::{GoalGoverned, GoalLook, GoalPlace, GoalWait};

#[derive(Debug, Subcommand)]
pub(crate) enum GoalCriteria {
    /// Adds a criterion.
    #[command(after_help = "Examples:
  autonomy goal criteria add --desc 'tests pass' --verify-cmd 'make test'
  autonomy goal criteria add --id docs --desc 'docs read well' --format json")]
    Add(CriteriaAdd),
    /// Lists the criteria with what is known about each.
    #[command(after_help = "Examples:
  autonomy goal criteria list
  autonomy goal criteria list --format json")]
    List(GoalLook),
    /// Runs the commands of criteria once, and writes down what they say.
    #[command(visible_alias = "verify")]
    #[command(after_help = "Examples:
  autonomy goal criteria check
  autonomy goal criteria check --id sc-1 --timeout 300 --format json")]
    Check(CriteriaCheck),
}

#[derive(Args, Debug)]
pub(crate) struct CriteriaAdd {
    /// What it demands.
    #[arg(long, visible_alias = "description")]
    pub(crate) desc: String,
    /// Its name [default: sc-N].
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) id: String,
    /// The shell command that tells: it ends with 0 when the criterion is met.
    #[arg(long, value_name = "COMMAND", default_value = "", hide_default_value = true)]
    pub(crate) verify_cmd: String,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

#[derive(Args, Debug)]
pub(crate) struct CriteriaCheck {
    /// Only this criterion.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// Longest run of a command, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout: u32,
    #[command(flatten)]
    pub(crate) governed: GoalGoverned,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GoalGate {
    /// Adds a gate: pending, so it blocks.
    #[command(after_help = "Examples:
  autonomy goal gate add review --desc 'a human has read it'
  autonomy goal gate add review --format json")]
    Add(GateAdd),
    /// Lists the gates.
    #[command(after_help = "Examples:
  autonomy goal gate list
  autonomy goal gate list --format json")]
    List(GoalLook),
    /// Approves a gate.
    #[command(after_help = "Examples:
  autonomy goal gate approve review --reason 'read it'
  autonomy goal gate approve review --format json")]
    Approve(GateSay),
    /// Rejects a gate, for a reason.
    #[command(after_help = "Examples:
  autonomy goal gate reject review --reason 'tests are missing'
  autonomy goal gate reject review --reason 'no' --format json")]
    Reject(GateRefuse),
    /// Says that a check has passed; makes the gate if there is none.
    #[command(after_help = "Examples:
  autonomy goal gate pass lint
  autonomy goal gate pass lint --reason 'run 4711' --format json")]
    Pass(GateSay),
    /// Says that a check has failed; makes the gate if there is none.
    #[command(after_help = "Examples:
  autonomy goal gate fail lint
  autonomy goal gate fail lint --reason 'run 4711' --format json")]
    Fail(GateSay),
}

#[derive(Args, Debug)]
pub(crate) struct GateAdd {
    /// The gate.
    pub(crate) id: String,
    /// What it is about.
    #[arg(long, visible_alias = "description", default_value = "")]
    pub(crate) desc: String,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

#[derive(Args, Debug)]
pub(crate) struct GateSay {
    /// The gate.
    pub(crate) id: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

#[derive(Args, Debug)]
pub(crate) struct GateRefuse {
    /// The gate.
    pub(crate) id: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}
