//! Every environment variable that a process of ours reads, with its documentation.
//!
//! This list is the definition: the reference page in the book is compared with it by a test.

/// One variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub doc: &'static str,
}

/// A setting of OTLP exporters: one variable for logs, and one for all signals that counts when the
/// other is not set (OpenTelemetry specification, "OTLP exporter configuration").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The variable for logs.
    pub logs: &'static str,
    /// The variable for all signals.
    pub all: &'static str,
}

/// Adopts a log that was written before safe points existed, for one start.
pub const WAL_LEGACY_UPGRADE: &str = "AUTONOMYOPS_WAL_LEGACY_UPGRADE";
/// Accepts the loss of all telemetry after the log was deleted, for one start.
pub const WAL_OPERATOR_RESET: &str = "AUTONOMYOPS_WAL_OPERATOR_RESET";
/// Makes the runtime deny every call.
pub const STRICT_MODE: &str = "AUTONOMY_STRICT_MODE";
/// Names the person or program in decisions.
pub const OPERATOR: &str = "AUTONOMY_OPERATOR";
/// Control plane that a runtime asks for releases.
pub const ORCHESTRATOR_URL: &str = "AUTONOMY_ORCHESTRATOR_URL";
/// Secret that proves to the control plane who asks.
pub const TOKEN: &str = "AUTONOMY_TOKEN";
/// Authorities that are trusted for the control plane.
pub const CA_FILE: &str = "AUTONOMY_CA_FILE";
/// Certificate that is shown to the control plane.
pub const CLIENT_CERTIFICATE: &str = "AUTONOMY_CLIENT_CERTIFICATE";
/// Key of that certificate.
pub const CLIENT_KEY: &str = "AUTONOMY_CLIENT_KEY";
/// Directory of the audit trail.
pub const AUDIT_DIR: &str = "AUTONOMY_AUDIT_DIR";
/// Whether the control plane enforces permissions.
pub const RBAC_ENFORCEMENT: &str = "AUTONOMY_RBAC_ENFORCEMENT";
/// Lets everybody with an identity do everything at the control plane.
pub const RBAC_BREAK_GLASS: &str = "AUTONOMY_RBAC_BREAK_GLASS";
/// Address of the runtime that governs a command.
pub const RUNTIME_URL: &str = "AUTONOMY_RUNTIME_URL";
/// Name of the tentacle that a command works on.
pub const TENTACLE: &str = "AUTONOMY_TENTACLE";
/// Directory of that tentacle.
pub const TENTACLE_DIR: &str = "AUTONOMY_TENTACLE_DIR";
/// Identity of the goal that a command works for.
pub const GOAL_ID: &str = "AUTONOMY_GOAL_ID";
/// The command that works on a tentacle.
pub const DISPATCH_CMD: &str = "AUTONOMY_DISPATCH_CMD";
/// Directory of the state of a goal.
pub const STATE_DIR: &str = "AUTONOMY_STATE_DIR";
/// Directory of a session, with its tentacles.
pub const TENTACLE_SESSION_DIR: &str = "TENTACLE_SESSION_DIR";
/// Directory of the log of `autonomy run`.
pub const RUN_WAL_DIR: &str = "AUTONOMY_RUN_WAL_DIR";
/// Time between two steps of the simulated robot.
pub const SIM_TICK_MS: &str = "SIM_TICK_MS";
/// Steps after which the simulated robot ends.
pub const SIM_MAX_TICKS: &str = "SIM_MAX_TICKS";
/// Address of the collector.
pub const OTLP_ENDPOINT: Signal =
    Signal { logs: "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", all: "OTEL_EXPORTER_OTLP_ENDPOINT" };
/// Encoding of every request to the collector.
pub const OTLP_PROTOCOL: Signal =
    Signal { logs: "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", all: "OTEL_EXPORTER_OTLP_PROTOCOL" };
/// Headers of every request to the collector.
pub const OTLP_HEADERS: Signal =
    Signal { logs: "OTEL_EXPORTER_OTLP_LOGS_HEADERS", all: "OTEL_EXPORTER_OTLP_HEADERS" };
/// Compression of every request to the collector.
pub const OTLP_COMPRESSION: Signal =
    Signal { logs: "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", all: "OTEL_EXPORTER_OTLP_COMPRESSION" };
/// Time limit of one request to the collector.
pub const OTLP_TIMEOUT: Signal =
    Signal { logs: "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", all: "OTEL_EXPORTER_OTLP_TIMEOUT" };
/// Authorities that are trusted for the collector.
pub const OTLP_CERTIFICATE: Signal =
    Signal { logs: "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE", all: "OTEL_EXPORTER_OTLP_CERTIFICATE" };
/// Certificate that is shown to the collector.
pub const OTLP_CLIENT_CERTIFICATE: Signal = Signal {
    logs: "OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE",
    all: "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
};
/// Key of that certificate.
pub const OTLP_CLIENT_KEY: Signal =
    Signal { logs: "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", all: "OTEL_EXPORTER_OTLP_CLIENT_KEY" };
/// Password of private keys.
pub const KEY_PASSWORD: &str = "AUTONOMY_KEY_PASSWORD";
/// Password of private keys, under the name that cosign uses.
pub const COSIGN_PASSWORD: &str = "COSIGN_PASSWORD";
/// File with the public key whose signatures count.
pub const COSIGN_PUBKEY: &str = "AUTONOMY_COSIGN_PUBKEY";
/// Whether times are signed and looked at.
pub const TRUST_TIME: &str = "AUTONOMY_TRUST_TIME";
/// Password of the user at a registry.
pub const REGISTRY_PASSWORD: &str = "AUTONOMY_REGISTRY_PASSWORD";
/// Time that a bundle carries, for reproducible builds.
pub const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";
/// The file of settings.
pub const CONFIG: &str = "AUTONOMY_CONFIG";
/// Base directory of settings.
pub const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// Directory of temporary files.
pub const TMPDIR: &str = "TMPDIR";
/// Base directory of state files.
pub const XDG_STATE_HOME: &str = "XDG_STATE_HOME";
/// Base directory of cached files.
pub const XDG_CACHE_HOME: &str = "XDG_CACHE_HOME";
/// Home directory, from which the two above are derived when they are not set.
pub const HOME: &str = "HOME";
/// Turns colour off.
pub const NO_COLOR: &str = "NO_COLOR";
/// What the terminal can do.
pub const TERM: &str = "TERM";
/// What [`TERM`] says of a terminal that only takes lines.
pub const TERM_DUMB: &str = "dumb";
/// Filter of the log output.
pub const RUST_LOG: &str = "RUST_LOG";

/// Every variable, in the order of the reference page.
pub const ALL: &[Var] = &[
    Var {
        name: STRICT_MODE,
        doc: "`1` makes the runtime deny every call, whatever policy is loaded.",
    },
    Var {
        name: OPERATOR,
        doc: "Names the person or program that operates the node; recorded in every decision.",
    },
    Var {
        name: ORCHESTRATOR_URL,
        doc: "Base URL of the control plane: for its commands, and for `autonomy runtime start`, which asks it what the node should run.",
    },
    Var {
        name: TOKEN,
        doc: "Secret of `autonomy rbac token create` that proves to the control plane who asks. There is no option for it: others on this machine can see a command line.",
    },
    Var {
        name: CA_FILE,
        doc: "File with the certificate authorities (PEM) that are trusted for the control plane, instead of those of the machine.",
    },
    Var {
        name: CLIENT_CERTIFICATE,
        doc: "File with the certificate chain (PEM) that is shown to the control plane.",
    },
    Var { name: CLIENT_KEY, doc: "File with the private key (PEM) of that certificate." },
    Var {
        name: AUDIT_DIR,
        doc: "Directory of the audit trail, shared by the control plane and the commands of this machine; `~/.local/state/autonomyops/audit` when not set.",
    },
    Var {
        name: RBAC_ENFORCEMENT,
        doc: "`0` lets everybody do everything at the control plane; every start says so. `1`, the default, enforces permissions.",
    },
    Var {
        name: RBAC_BREAK_GLASS,
        doc: "`1` lets everybody with an identity do everything at the control plane; each such request is audited as `auth.break_glass.used`.",
    },
    Var {
        name: RUNTIME_URL,
        doc: "Base URL of the runtime that an agent asks; `autonomy run` and `autonomy ros2 run` set it for their command.",
    },
    Var {
        name: DISPATCH_CMD,
        doc: "Shell command with which `autonomy goal dispatch` and `goal loop` work on a tentacle; `--cmd` wins.",
    },
    Var {
        name: STATE_DIR,
        doc: "Directory of the state of a goal; `--state-dir` and `--session-dir` win. Without it the session's, else `.octogent` at the root of the repository.",
    },
    Var {
        name: TENTACLE_SESSION_DIR,
        doc: "Directory of a session. Its tentacles are in `files/tentacles` below it, unless it ends in `tentacles` itself; the state of the goal is in their parent. `AUTONOMY_STATE_DIR` wins.",
    },
    Var {
        name: RUN_WAL_DIR,
        doc: "Directory of the log of `autonomy run` and `autonomy ros2 run`; `--dir` wins. Without either the log is temporary.",
    },
    Var {
        name: SIM_TICK_MS,
        doc: "Milliseconds between two steps of the robot of `autonomy demo gazebo`; 500 when not set.",
    },
    Var {
        name: SIM_MAX_TICKS,
        doc: "Steps after which the robot of `autonomy demo gazebo` ends; 20 when not set. The first denied call comes at the fifth.",
    },
    Var {
        name: WAL_LEGACY_UPGRADE,
        doc: "`1` adopts every whole frame of a log without `telemetry.safe_seq`, for one start.",
    },
    Var {
        name: WAL_OPERATOR_RESET,
        doc: "`1` starts a new log after `telemetry.wal` and `telemetry.safe_seq` were deleted, for one start; the loss is logged.",
    },
    Var { name: OTLP_ENDPOINT.all, doc: "Base URL of the OTLP collector; `/v1/logs` is appended." },
    Var {
        name: OTLP_ENDPOINT.logs,
        doc: "Whole URL for logs, used as it is; wins over the base URL.",
    },
    Var { name: OTLP_PROTOCOL.all, doc: "`http/protobuf` or `http/json`." },
    Var { name: OTLP_PROTOCOL.logs, doc: "The same for logs alone; wins." },
    Var {
        name: OTLP_HEADERS.all,
        doc: "Headers of every request to the collector: `key=value,key=value`, values percent-encoded.",
    },
    Var { name: OTLP_HEADERS.logs, doc: "The same for logs alone; wins as a whole." },
    Var { name: OTLP_COMPRESSION.all, doc: "`gzip` or `none`." },
    Var { name: OTLP_COMPRESSION.logs, doc: "The same for logs alone; wins." },
    Var {
        name: OTLP_TIMEOUT.all,
        doc: "Time limit of one request to the collector, in milliseconds.",
    },
    Var { name: OTLP_TIMEOUT.logs, doc: "The same for logs alone; wins." },
    Var {
        name: OTLP_CERTIFICATE.all,
        doc: "File with the certificate authorities (PEM) that are trusted for the collector, instead of those of the machine.",
    },
    Var { name: OTLP_CERTIFICATE.logs, doc: "The same for logs alone; wins." },
    Var {
        name: OTLP_CLIENT_CERTIFICATE.all,
        doc: "File with the certificate chain (PEM) that is shown to the collector.",
    },
    Var { name: OTLP_CLIENT_CERTIFICATE.logs, doc: "The same for logs alone; wins." },
    Var { name: OTLP_CLIENT_KEY.all, doc: "File with the private key (PEM) of that certificate." },
    Var { name: OTLP_CLIENT_KEY.logs, doc: "The same for logs alone; wins." },
    Var {
        name: KEY_PASSWORD,
        doc: "Password of the private key that signs, and of the one that `keys generate` makes; that one is not encrypted when it is not set.",
    },
    Var {
        name: COSIGN_PASSWORD,
        doc: "The same under the name of cosign; counts when the one above is not set.",
    },
    Var {
        name: COSIGN_PUBKEY,
        doc: "File with the public key whose signatures count for `verify`, `bundle verify`, `bundle stage` and `policy load --lock` (`--pub` wins), and for releases at `runtime start` (`--cosign-pubkey` wins).",
    },
    Var {
        name: TRUST_TIME,
        doc: "`false` signs no time and looks at none; `true`, the default, does both. `--max-age` wins: then the time is looked at.",
    },
    Var {
        name: REGISTRY_PASSWORD,
        doc: "Password or token of `--registry-user`. There is no option for it: others on this machine can see a command line.",
    },
    Var {
        name: SOURCE_DATE_EPOCH,
        doc: "Seconds since 1970 that `policy build` writes into a bundle (0 when not set, so that the same files give the same bytes) and `lock create` into a lock (now when not set).",
    },
    Var {
        name: TMPDIR,
        doc: "Where the temporary log of `autonomy run` and of the demos is; `/tmp` when not set.",
    },
    Var {
        name: CONFIG,
        doc: "The file of settings; without it `autonomyops/config.toml` in `XDG_CONFIG_HOME` (`autonomy config path`). A variable that is set wins over the file.",
    },
    Var { name: XDG_CONFIG_HOME, doc: "Base directory of settings; `$HOME/.config` without it." },
    Var {
        name: XDG_STATE_HOME,
        doc: "Base of the default log directory; `~/.local/state` when not set.",
    },
    Var {
        name: XDG_CACHE_HOME,
        doc: "Base of the default policy and control-plane directories; `~/.cache` when not set.",
    },
    Var { name: HOME, doc: "Home directory, used when the two above are not set." },
    Var { name: NO_COLOR, doc: "Any value turns colour off." },
    Var { name: TERM, doc: "`dumb` turns colour and progress bars off." },
    Var { name: RUST_LOG, doc: "Filter of the log output, for example `info` or `runtime=debug`." },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_listed_once() {
        for var in ALL {
            assert_eq!(ALL.iter().filter(|it| it.name == var.name).count(), 1, "{}", var.name);
            assert!(var.doc.ends_with('.'), "{}", var.name);
        }
    }
}
