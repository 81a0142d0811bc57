//! `autonomy goal`.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::{num::NonZeroU64, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::{CriteriaCheck, GoalContext, GoalCriteria, GoalDispatch, GoalGate, GoalLoop, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Goal {
    /// Begins a goal.
    #[command(after_help = "Examples:
  autonomy goal init --title 'Ship v2' --max-iterations 5
  autonomy goal init --force --title 'Ship v3' --format json")]
    Init(GoalInit),
    /// Begins a goal with its criteria, all of them or nothing.
    #[command(after_help = "Examples:
  autonomy goal create --title 'Ship v2' --criterion '{\"description\": \"tests pass\", \"verification_command\": \"make test\"}'
  autonomy goal create --title 'Ship v2' --criterion '{\"id\": \"docs\", \"description\": \"docs read well\"}' --format json")]
    Create(GoalCreate),
    /// Says whether title and description fit.
    #[command(after_help = "Examples:
  autonomy goal validate --title 'Ship v2' --desc \"$(cat plan.md)\"
  autonomy goal validate --title 'Ship v2' --format json")]
    Validate(GoalValidate),
    /// Shows the goal: where it stands, its gates, its criteria, and the one next thing to do.
    ///
    /// Clears a lock that a dead process left.
    #[command(after_help = "Examples:
  autonomy goal status
  autonomy goal status --format json")]
    Status(GoalLook),
    /// Links a tentacle to the current iteration.
    #[command(after_help = "Examples:
  autonomy goal link fix-login
  autonomy goal link fix-login --format json")]
    Link(GoalLink),
    /// Sends out the tentacles of the current iteration, each as a command of its own, and waits for them.
    ///
    /// With --dry-run, or without any command, it only says what it would do. The command finds its tentacle in
    /// AUTONOMY_TENTACLE and AUTONOMY_TENTACLE_DIR. Exit code 9 means that one did not end as DONE.
    #[command(after_help = "Examples:
  autonomy goal dispatch --dry-run
  autonomy goal dispatch --cmd './agent \"$AUTONOMY_TENTACLE_DIR/todo.md\"' --concurrency 2")]
    Dispatch(GoalDispatch),
    /// Goes through iterations by itself: sends out the work, waits for it, verifies, evaluates.
    ///
    /// Ends when all criteria are verified (0), and otherwise with 1: at a limit, at a gate, or when somebody pauses the
    /// goal. Needs a limit of iterations or time, of its own or of the goal. Begun anew after a kill it goes on: work that is out still is
    /// waited for, and work whose end nobody saw waits for somebody to look, or for --resend.
    #[command(after_help = "Examples:
  autonomy goal loop --cmd './agent \"$AUTONOMY_TENTACLE_DIR/todo.md\"' --max-iterations 5
  autonomy goal loop --no-auto-dispatch --timeout 120 --format json")]
    Loop(GoalLoop),
    /// Says what somebody needs to know who goes on with the goal and knows nothing.
    #[command(after_help = "Examples:
  autonomy goal context
  autonomy goal context --write --max-handoffs 10")]
    Context(GoalContext),
    /// Says which criteria completed work was meant for, and which nobody worked for.
    #[command(after_help = "Examples:
  autonomy goal coverage
  autonomy goal coverage --format json")]
    Coverage(GoalLook),
    /// Evaluates the current iteration: goes on, pauses, completes or abandons.
    #[command(after_help = "Examples:
  autonomy goal eval --decision continue --notes 'login works'
  autonomy goal eval --if-anchor 4:active:2:9f86d081 --format json")]
    Eval(GoalEval),
    /// Makes the goal active again. Runs nothing.
    #[command(after_help = "Examples:
  autonomy goal resume
  autonomy goal resume --reset-failed --from-iteration 2")]
    Resume(GoalResume),
    /// Shows or changes the limits of the goal.
    #[command(after_help = "Examples:
  autonomy goal budget
  autonomy goal budget --max-iterations 10 --format json")]
    Budget(GoalBudget),
    /// Says what to do next: tentacles by state, the retry queue, gates, criteria. Advice alone.
    #[command(after_help = "Examples:
  autonomy goal next-iter
  autonomy goal next-iter --format json")]
    NextIter(GoalLook),
    /// Says how the goal is doing, on one screen.
    #[command(after_help = "Examples:
  autonomy goal resilience-status
  autonomy goal resilience-status --format json")]
    ResilienceStatus(GoalLook),
    /// What tells that the goal is met.
    #[command(subcommand)]
    Criteria(GoalCriteria),
    /// Runs the commands of criteria once; the same as `criteria check`.
    #[command(after_help = "Examples:
  autonomy goal verify
  autonomy goal verify --id sc-1 --timeout 300")]
    Verify(CriteriaCheck),
    /// Verifies again after the workspace changed, so that evals go on: runs the commands of all criteria.
    #[command(after_help = "Examples:
  autonomy goal reverify
  autonomy goal reverify --accept 'the change is a comment' --format json")]
    Reverify(GoalReverify),
    /// What somebody has to say before the goal goes on.
    #[command(subcommand)]
    Gate(GoalGate),
    /// Runs the commands of criteria until all are met, nothing changes any more, or the retries are used up.
    ///
    /// What each attempt said is in goal.json before the next one begins.
    #[command(after_help = "Examples:
  autonomy goal verify-loop --max-retries 3 --retry-delay 60
  autonomy goal verify-loop --escalate --id sc-1 --format json")]
    VerifyLoop(GoalVerifyLoop),
}

/// Where the goal is, and how results are printed.
#[derive(Args, Debug, Clone)]
pub(crate) struct GoalPlace {
    /// Directory of the state [default: $AUTONOMY_STATE_DIR, else that of the session, else .octogent at the root of
    /// the repository].
    #[arg(long, value_name = "DIR", conflicts_with = "session_dir")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Directory of the session, with its tentacles [default: $TENTACLE_SESSION_DIR].
    #[arg(long, value_name = "DIR")]
    pub(crate) session_dir: Option<PathBuf>,
    /// How results are printed.
    #[arg(long, visible_alias = "output", value_enum, default_value_t)]
    pub(crate) format: Output,
}

/// How long to wait, and how exit codes tell outcomes apart.
#[derive(Args, Debug, Clone, Copy)]
pub(crate) struct GoalWait {
    /// Longest wait for the lock, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) lock_timeout: u32,
    /// Ends with 75 when the lock is held, 10 when a human is asked for, 11 when a gate blocks; else these are 1, 0
    /// and 0.
    #[arg(long)]
    pub(crate) strict_exit: bool,
}

/// The runtime that governs commands.
#[derive(Args, Debug, Clone)]
pub(crate) struct GoalGoverned {
    /// Base URL of the runtime that decides about commands and runs them with tool.shell [default:
    /// $AUTONOMY_RUNTIME_URL; without either they run here].
    #[arg(long, value_name = "URL")]
    pub(crate) runtime_url: Option<String>,
}

impl GoalWait {
    /// Of commands that wait for nothing.
    pub(crate) const NONE: Self = Self { lock_timeout: 0, strict_exit: false };
}

#[derive(Args, Debug)]
pub(crate) struct GoalLook {
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

/// What a goal is called and about.
#[derive(Args, Debug)]
pub(crate) struct GoalText {
    /// What it is called.
    #[arg(long, default_value = "")]
    pub(crate) title: String,
    /// What it is about.
    #[arg(long, visible_alias = "description", default_value = "")]
    pub(crate) desc: String,
}

/// Limits of a goal.
#[derive(Args, Debug, Clone, Copy)]
pub(crate) struct GoalLimits {
    /// Most iterations.
    #[arg(long, value_name = "N")]
    pub(crate) max_iterations: Option<NonZeroU64>,
    /// Most tentacles.
    #[arg(long, value_name = "N")]
    pub(crate) max_tentacles: Option<NonZeroU64>,
    /// Longest time since the goal began, in minutes.
    #[arg(long, value_name = "MINUTES")]
    pub(crate) timeout: Option<NonZeroU64>,
}

#[derive(Args, Debug)]
pub(crate) struct GoalInit {
    #[command(flatten)]
    pub(crate) text: GoalText,
    #[command(flatten)]
    pub(crate) limits: GoalLimits,
    /// Begins anew where there is a goal. One that cannot be read is moved aside.
    #[arg(long)]
    pub(crate) force: bool,
    /// Makes a verification necessary when the workspace changed while no session was there.
    #[arg(long)]
    pub(crate) require_reverify: bool,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

#[derive(Args, Debug)]
pub(crate) struct GoalCreate {
    #[command(flatten)]
    pub(crate) init: GoalInit,
    /// A criterion as JSON: id, description, verification_command. May be given many times.
    #[arg(long, value_name = "JSON")]
    pub(crate) criterion: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct GoalValidate {
    #[command(flatten)]
    pub(crate) text: GoalText,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

#[derive(Args, Debug)]
pub(crate) struct GoalLink {
    /// The tentacle.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

/// What is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DecisionArg {
    /// Another iteration.
    #[default]
    Continue,
    /// Stop for a while.
    Pause,
    /// The goal is met.
    Complete,
    /// The goal is given up.
    Abandon,
}

#[derive(Args, Debug)]
pub(crate) struct GoalEval {
    /// What is decided.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) decision: DecisionArg,
    /// What is said with it, for the history.
    #[arg(long, default_value = "")]
    pub(crate) notes: String,
    /// Goes on beyond the budget.
    #[arg(long)]
    pub(crate) force_over_budget: bool,
    /// Does it only at this moment of the goal (`anchor` of the status); who asks again is told what happened.
    #[arg(long, value_name = "ANCHOR")]
    pub(crate) if_anchor: Option<String>,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

#[derive(Args, Debug)]
pub(crate) struct GoalResume {
    /// Makes tentacles idle again that were blocked, ambiguous or out of their scope.
    #[arg(long)]
    pub(crate) reset_failed: bool,
    /// Goes back to this iteration.
    #[arg(long, value_name = "N")]
    pub(crate) from_iteration: Option<u64>,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

#[derive(Args, Debug)]
pub(crate) struct GoalBudget {
    #[command(flatten)]
    pub(crate) limits: GoalLimits,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

#[derive(Args, Debug)]
pub(crate) struct GoalReverify {
    /// Takes the change as it is, for this reason, and runs nothing.
    #[arg(long, value_name = "REASON", value_parser = super::parse_reason)]
    pub(crate) accept: Option<String>,
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

#[derive(Args, Debug)]
pub(crate) struct GoalVerifyLoop {
    /// Only this criterion.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// Attempts after the first.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) max_retries: u32,
    /// Pause between attempts, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) retry_delay: u32,
    /// Longest run of a command, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout: u32,
    /// Asks for a human on a stall, and when the retries are used up.
    #[arg(long)]
    pub(crate) escalate: bool,
    #[command(flatten)]
    pub(crate) governed: GoalGoverned,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

impl Goal {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Init(it) => it.place.format,
            Self::Create(it) => it.init.place.format,
            Self::Validate(it) => it.place.format,
            Self::Status(it)
            | Self::NextIter(it)
            | Self::ResilienceStatus(it)
            | Self::Coverage(it) => it.place.format,
            Self::Link(it) => it.place.format,
            Self::Dispatch(it) => it.place.format,
            Self::Loop(it) => it.place.format,
            Self::Context(it) => it.place.format,
            Self::Eval(it) => it.place.format,
            Self::Resume(it) => it.place.format,
            Self::Budget(it) => it.place.format,
            Self::Criteria(GoalCriteria::Add(it)) => it.place.format,
            Self::Criteria(GoalCriteria::List(it)) | Self::Gate(GoalGate::List(it)) => {
                it.place.format
            }
            Self::Criteria(GoalCriteria::Check(it)) | Self::Verify(it) => it.place.format,
            Self::Gate(GoalGate::Add(it)) => it.place.format,
            Self::Gate(GoalGate::Reject(it)) => it.place.format,
            Self::Gate(GoalGate::Approve(it) | GoalGate::Pass(it) | GoalGate::Fail(it)) => {
                it.place.format
            }
            Self::VerifyLoop(it) => it.place.format,
            Self::Reverify(it) => it.place.format,
        }
    }
}
