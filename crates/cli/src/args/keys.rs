//! `autonomy keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Output, OutputArg};

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Makes a pair of keys (Ed25519): autonomy.key and autonomy.pub, readable by their owner alone.
    ///
    /// With AUTONOMY_KEY_PASSWORD the private key is encrypted. No file is ever replaced.
    #[command(after_help = "Examples:
  autonomy keys generate --out ./keys
  AUTONOMY_KEY_PASSWORD='…' autonomy keys generate --out ./keys --output json")]
    Generate(KeysGenerate),
    /// Shows kind, algorithm and id of a key file, private or public.
    #[command(after_help = "Examples:
  autonomy keys show keys/autonomy.pub
  autonomy keys show keys/autonomy.key --output json")]
    Show(KeysShow),
}

#[derive(Args, Debug)]
pub(crate) struct KeysGenerate {
    /// Directory to write to; made when it does not exist.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct KeysShow {
    /// Key file in PEM.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

impl Keys {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Generate(args) => args.output.output,
            Self::Show(args) => args.output.output,
        }
    }
}
