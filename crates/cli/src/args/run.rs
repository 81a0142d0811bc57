//! `autonomy run`, and what it shares with `autonomy ros2 run`.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

/// How a command is governed.
#[derive(Args, Debug)]
pub(crate) struct Governing {
    /// Policy that decides: a bundle, or a directory with *.rego files.
    #[arg(long, value_name = "BUNDLE|DIR")]
    pub(crate) policy: Option<PathBuf>,
    /// Directory of the log, which stays [default: a temporary one, deleted at the end].
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Keeps the temporary log.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Node that is governed [default: the host name].
    #[arg(long, value_name = "NAME")]
    pub(crate) node_id: Option<String>,
    /// Endpoints that `tool.http_get` may reach: host, host:port or URL, comma-separated.
    /// Without any, none is reached.
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub(crate) allowed_domains: runtime::AllowList,
    /// Makes `tool.shell` exist; the policy still decides about every call of it.
    #[arg(long)]
    pub(crate) enable_shell: bool,
    /// Leaves the parameters of calls out of the log; their digest stays.
    #[arg(long)]
    pub(crate) redact_params: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) governing: Governing,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}
