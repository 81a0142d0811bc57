//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};
use orchestrator::{Config, LISTEN_DEFAULT, TlsFiles, parse_byte_len};

/// The control plane: rollouts, releases, nodes, events, roles and the audit trail over HTTP.
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
    /// Directory of the audit trail; `AUTONOMY_AUDIT_DIR`, or below the state directory of the user, when not given.
    #[arg(long, value_name = "DIR")]
    pub(crate) audit_dir: Option<PathBuf>,
    /// Address of `/metrics` alone; on the address above, for this machine or with a token, when not given.
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Certificate chain (PEM) of the service; plain HTTP when not given.
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
    pub(crate) tls_cert_file: Option<PathBuf>,
    /// Private key (PEM) of that certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub(crate) tls_key_file: Option<PathBuf>,
    /// Authorities (PEM) of client certificates; every client must then show one.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub(crate) tls_ca_file: Option<PathBuf>,
    /// Refuse plans whose artifact looks wrong, instead of accepting them with warnings.
    #[arg(long)]
    pub(crate) strict_artifacts: bool,
    /// How log lines on stderr look [default: text on a terminal, json otherwise].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<logging::Format>,
}

impl Serve {
    /// Puts what was given on the command line in the place of what the environment says.
    pub(crate) fn settle(self, config: &mut Config) {
        config.listen = self.listen;
        config.limits.body_len_max = self.max_body;
        config.limits.strict_artifacts = self.strict_artifacts;
        config.metrics_listen = self.metrics_listen;
        if let Some(dir) = self.audit_dir {
            config.audit_dir = dir;
        }
        config.tls = self.tls_cert_file.zip(self.tls_key_file).map(|(certificate, key)| TlsFiles {
            certificate,
            key,
            client_authorities: self.tls_ca_file,
        });
    }
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
