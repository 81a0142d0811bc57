//! The bridge from OTLP to the control plane.

use std::net::SocketAddr;

use api::size::parse_size;
use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct Bridge {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4318")]
    pub(crate) listen: SocketAddr,
    /// Full URL that events are forwarded to.
    #[arg(long, value_name = "URL")]
    pub(crate) forward_url: String,
    /// Answer success although the control plane has not taken the events; they are then lost.
    #[arg(long)]
    pub(crate) lossy: bool,
    /// Most bytes of a body, before and after decompression; KiB and MiB are understood.
    #[arg(long, value_name = "SIZE", default_value = "20MiB", value_parser = parse_size)]
    pub(crate) max_body: usize,
    /// How log lines look [default: text on a terminal, JSON otherwise].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<logging::Format>,
    #[command(flatten)]
    pub(crate) output: super::OutputArg,
}
