//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use api::size::parse_size;
use clap::Parser;
use otlp_receiver::{Config, Forward, Keep, Limits, Loss};

use crate::credentials::Credentials;

/// `Limits::STANDARD.request.bytes`, as it is written on a command line.
const MAX_BODY: &str = "20MiB";

/// Receives OTLP logs over HTTP, keeps them as JSON lines, forwards them to the control plane.
#[derive(Debug, Parser)]
#[command(name = "otel-sink", version, max_term_width = 100)]
#[command(after_help = "Examples:
  otel-sink --out events.jsonl
  otel-sink --listen 127.0.0.1:4318 --forward-url http://127.0.0.1:8888/v1/events

Exit codes: 0 stopped in order, 1 failed, 2 usage, 75 the file is held by another process.")]
pub(crate) struct Args {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4318")]
    pub(crate) listen: SocketAddr,
    /// File that gets one JSON line a record, or `-` for stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Full URL that events are forwarded to.
    #[arg(long, value_name = "URL")]
    forward_url: Option<String>,
    /// Answer success although the control plane has not taken the events; they are then lost.
    #[arg(long, requires = "forward_url")]
    lossy: bool,
    /// Most bytes of a body, before and after decompression; KiB and MiB are understood.
    #[arg(long, value_name = "SIZE", default_value = MAX_BODY, value_parser = parse_size)]
    max_body: usize,
    /// How log lines look [default: text on a terminal, JSON otherwise].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<logging::Format>,
}

impl Args {
    /// The settings that the command line asks for; `holder` is who we are, `credentials` what the control plane is
    /// shown.
    pub(crate) fn config(&self, holder: String, credentials: Credentials) -> Config {
        let keep = match &self.out {
            None => Keep::Nothing,
            Some(out) if out.as_os_str() == "-" => Keep::Stream(Box::new(std::io::stdout())),
            Some(out) => Keep::file(out.clone(), holder),
        };
        let loss = if self.lossy { Loss::Accepted } else { Loss::Never };
        let timeout = Forward::TIMEOUT_DEFAULT;
        let Credentials { token, tls } = credentials;
        let forward =
            self.forward_url.clone().map(|url| Forward { url, timeout, loss, token, tls });
        let mut limits = Limits::STANDARD;
        limits.request.bytes = self.max_body;
        Config { name: "otel-sink", keep, forward, limits }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
        assert!(Args::try_parse_from(["otel-sink", "--lossy"]).is_err());
        let args = Args::try_parse_from(["otel-sink", "--out", "-"]).unwrap();
        assert_eq!(args.max_body, Limits::STANDARD.request.bytes);
        assert!(matches!(args.config(String::new(), Credentials::default()).keep, Keep::Stream(_)));
        let args = Args::try_parse_from(["otel-sink", "--max-body", "64KiB"]).unwrap();
        assert_eq!(
            args.config(String::new(), Credentials::default()).limits.request.bytes,
            64 << 10
        );
        assert!(Args::try_parse_from(["otel-sink", "--max-body", "0"]).is_err());
    }
}
