//! `autonomy completions`, `man` and `capabilities`: what the command line says about itself.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::OutputArg;

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Args, Debug)]
pub(crate) struct Man {
    /// Writes a page for each command into this directory, which is made when it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Capabilities {
    #[command(flatten)]
    pub(crate) output: OutputArg,
}
