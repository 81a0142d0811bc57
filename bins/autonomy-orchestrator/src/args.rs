//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};
use orchestrator::{LISTEN_DEFAULT, parse_byte_len};

/// The control plane: takes events of nodes, keeps them, answers queries over HTTP.
#[derive(Debug, Parser)]
#[command(name = "autonomy-orchestrator", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve until SIGTERM or SIGINT.
    ///
    /// Exit codes: 0 stopped in order, 1 failed, 2 usage, 8 the store is not what was written,
    /// 75 another process has the data directory.
    Serve(Serve),
    /// Print the version.
    Version,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Address to listen on; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", default_value_t = LISTEN_DEFAULT)]
    pub(crate) listen: SocketAddr,
    /// Directory of the store; below the cache directory of the user when not given.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Longest request body, in bytes or with KiB or MiB.
    #[arg(long, value_name = "BYTES", default_value = "8MiB", value_parser = parse_byte_len)]
    pub(crate) max_body: usize,
    /// How log lines on stderr look [default: text on a terminal, json otherwise].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<logging::Format>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_documented_defaults_are_the_standard_limits() {
        let args = Args::try_parse_from(["autonomy-orchestrator", "serve"]).unwrap();
        let Command::Serve(serve) = args.command else { panic!("{args:?}") };
        assert_eq!(serve.listen.to_string(), "0.0.0.0:8888");
        assert_eq!(serve.max_body, orchestrator::Limits::STANDARD.body_len_max);
    }
}
