//! `autonomy config`.

use clap::{Args, Subcommand};

use super::{Output, OutputArg, known::SETTINGS};

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Sets a setting.
    #[command(after_help = "Examples:
  autonomy config set orchestrator_url https://control.example:8888
  autonomy config set operator ada --output json")]
    Set(ConfigSet),
    /// Removes a setting.
    #[command(after_help = "Examples:
  autonomy config unset operator
  autonomy config unset runtime_url --output json")]
    Unset(ConfigKey),
    /// Prints what counts for a setting, and ends with 5 when nothing says.
    #[command(after_help = "Examples:
  autonomy config get orchestrator_url
  autonomy config get operator --output json")]
    Get(ConfigKey),
    /// Lists every setting with what counts, and who says so.
    #[command(after_help = "Examples:
  autonomy config list
  autonomy config list --output json")]
    List(ConfigLook),
    /// Prints where the file is, whether or not it is there.
    #[command(after_help = "Examples:
  autonomy config path
  AUTONOMY_CONFIG=./node.toml autonomy config path --output json")]
    Path(ConfigLook),
}

#[derive(Args, Debug)]
pub(crate) struct ConfigSet {
    /// The setting: the name of a variable without AUTONOMY_, in lower case.
    #[arg(value_parser = SETTINGS)]
    pub(crate) key: String,
    /// Its value.
    pub(crate) value: String,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct ConfigKey {
    /// The setting: the name of a variable without AUTONOMY_, in lower case.
    #[arg(value_parser = SETTINGS)]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct ConfigLook {
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

impl Config {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Set(it) => it.output.output,
            Self::Unset(it) | Self::Get(it) => it.output.output,
            Self::List(it) | Self::Path(it) => it.output.output,
        }
    }
}
