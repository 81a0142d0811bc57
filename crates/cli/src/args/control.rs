//! How the control plane is reached.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use clap::Args;

use super::{Output, OutputArg};

/// Options of every command that asks the control plane.
#[derive(Args, Clone, Debug)]
pub(crate) struct ControlArgs {
    /// Base URL of the control plane [default: $AUTONOMY_ORCHESTRATOR_URL].
    #[arg(long, value_name = "URL", help_heading = "Control plane")]
    pub(crate) orchestrator_url: Option<String>,
    /// Sends the token of AUTONOMY_TOKEN over plain HTTP to another machine, too. Whoever is on the way
    /// reads it, and can do what its owner can.
    #[arg(long, help_heading = "Control plane")]
    pub(crate) insecure_http: bool,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

impl ControlArgs {
    /// How results are printed.
    pub(crate) const fn format(&self) -> Output {
        self.output.output
    }
}
