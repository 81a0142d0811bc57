//! `autonomy tentacle` and `autonomy session`.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{GoalLook, GoalPlace, GoalWait, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Tentacle {
    /// Makes a tentacle: a piece of work with a directory of its own.
    #[command(after_help = "Examples:
  autonomy tentacle create fix-login --desc 'login fails on Mondays' --todo 'find out why' --todo 'fix it'
  autonomy tentacle create release --depends-on fix-login --format json")]
    Create(TentacleCreate),
    /// Shows the tentacles and what each is waited for.
    #[command(after_help = "Examples:
  autonomy tentacle status
  autonomy tentacle status --format json")]
    Status(GoalLook),
    /// Writes down what a tentacle says. One that a quota blocks waits in the retry queue.
    #[command(after_help = "Examples:
  autonomy tentacle handoff fix-login 'done, tests are green' --status DONE --changed-file src/login.rs
  autonomy tentacle handoff fix-login 'HTTP 429 too many requests' --status BLOCKED")]
    Handoff(TentacleHandoff),
    /// Ends a tentacle with what it said last.
    #[command(after_help = "Examples:
  autonomy tentacle complete fix-login
  autonomy tentacle complete fix-login --format json")]
    Complete(TentacleComplete),
    /// Lists dispatch markers that are left behind, and removes them with --apply.
    ///
    /// One is left behind when its process is dead, or it is older than four hours.
    #[command(after_help = "Examples:
  autonomy tentacle marker-cleanup
  autonomy tentacle marker-cleanup --apply --format json")]
    MarkerCleanup(MarkerCleanup),
}

#[derive(Args, Debug)]
pub(crate) struct TentacleCreate {
    /// Its name.
    pub(crate) name: String,
    /// What it is about.
    #[arg(long, visible_alias = "description", default_value = "")]
    pub(crate) desc: String,
    /// A task. May be given many times.
    #[arg(long, value_name = "TEXT")]
    pub(crate) todo: Vec<String>,
    /// A tentacle that has to be resolved first. May be given many times.
    #[arg(long, value_name = "NAME")]
    pub(crate) depends_on: Vec<String>,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

#[derive(Args, Debug)]
pub(crate) struct TentacleHandoff {
    /// The tentacle.
    pub(crate) name: String,
    /// What it says.
    pub(crate) message: String,
    /// How it ended: DONE, BLOCKED, TOO_BIG, AMBIGUOUS, REGRESSED, SCOPE_ESCALATION or SCOPE_REDUCTION. Without
    /// one it is a note.
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// A file that it changed. May be given many times.
    #[arg(long, value_name = "FILE")]
    pub(crate) changed_file: Vec<String>,
    /// A criterion that its work is meant for. May be given many times.
    #[arg(long, value_name = "ID")]
    pub(crate) bridge: Vec<String>,
    /// The quota that stopped it [default: read out of the message]: rate_limit, daily_quota, monthly_quota,
    /// token_quota, context_limit or quota_exceeded.
    #[arg(long, value_name = "REASON")]
    pub(crate) quota_reason: Option<String>,
    /// When to try again, in the words of whoever refused: `retry after 60 seconds`.
    #[arg(long, value_name = "TEXT")]
    pub(crate) retry_hint: Option<String>,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

#[derive(Args, Debug)]
pub(crate) struct TentacleComplete {
    /// The tentacle.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) wait: GoalWait,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

#[derive(Args, Debug)]
pub(crate) struct MarkerCleanup {
    /// Removes them.
    #[arg(long)]
    pub(crate) apply: bool,
    /// The file of the markers [default: ~/.copilot/markers/dispatched-subagent-active].
    #[arg(long, value_name = "FILE")]
    pub(crate) marker: Option<PathBuf>,
    /// How results are printed.
    #[arg(long, visible_alias = "output", value_enum, default_value_t)]
    pub(crate) format: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// Tells a new session how to go on, if a goal was paused. Ends with 0 whatever happens.
    #[command(after_help = "Examples:
  autonomy session start
  autonomy session start --format json")]
    Start(GoalLook),
    /// Pauses the goal and leaves a breadcrumb. Ends with 0 whatever happens: the end of a session is not stopped.
    #[command(after_help = "Examples:
  autonomy session end --reason normal
  autonomy session end --reason compaction --format json")]
    End(SessionEnd),
}

#[derive(Args, Debug)]
pub(crate) struct SessionEnd {
    /// Why the session ends.
    #[arg(long, default_value = "unknown")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) place: GoalPlace,
}

impl Tentacle {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Create(it) => it.place.format,
            Self::Status(it) => it.place.format,
            Self::Handoff(it) => it.place.format,
            Self::Complete(it) => it.place.format,
            Self::MarkerCleanup(it) => it.format,
        }
    }
}

impl Session {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Start(it) => it.place.format,
            Self::End(it) => it.place.format,
        }
    }
}
