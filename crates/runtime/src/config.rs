//! Everything a runtime is started with.

use std::{path::PathBuf, sync::Arc, time::Duration};

use policy::Evaluator;
use wal_recovery::{Durability, Overrides, archive::Keep};

use crate::{ReleaseSource, exporter::CollectorSettings};

/// Where the policy comes from.
#[derive(Clone, Debug)]
pub enum PolicyFrom {
    /// The slots in this directory; a reload reads them again.
    Slots(PathBuf),
    /// An evaluator of the caller's own, for as long as the runtime runs.
    Fixed(Arc<dyn Evaluator>),
}

/// Configuration of a runtime. There is no default: whoever starts one says what it governs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of the log; created when it does not exist.
    pub wal_dir: PathBuf,
    /// The policy that decides.
    pub policy: PolicyFrom,
    /// Node that is governed.
    pub node: String,
    /// Who operates it; recorded in every decision.
    pub operator: Option<String>,
    /// Deny everything, whatever is loaded.
    pub strict: bool,
    /// What the operator asked for, for this start.
    pub overrides: Overrides,
    /// When the safe point is synced.
    pub durability: Durability,
    /// Whether parameters are left out of the log; their digest stays.
    pub redact_params: bool,
    /// Most bytes of a request body.
    pub max_body: usize,
    /// Longest run of a tool.
    pub tool_timeout: Duration,
    /// Length in bytes above which a delivered log goes to the archive.
    pub wal_max_bytes: u64,
    /// How long archived logs are kept; for ever unless it says otherwise.
    pub archive_keep: Keep,
    /// Control plane that is asked for releases; none is asked by default.
    pub releases: Option<ReleaseSource>,
    /// Collector to which the log is delivered in the background; none is delivered to by default.
    pub collector: Option<CollectorSettings>,
    /// How much at once, and how much of it.
    pub limits: Limits,
    /// Names by which clients may call this runtime, besides `localhost` and addresses.
    pub hosts: Vec<String>,
}

/// How much a runtime does at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most calls in work; one more is denied at once as `OVERLOADED`.
    pub calls: usize,
    /// Most connections; more wait until one ends. Should be more than `calls`: who waits for a connection
    /// is told nothing.
    pub connections: usize,
    /// Most bytes of the output of a tool, as JSON.
    pub output_bytes: usize,
}

impl Limits {
    /// 512 calls, 1024 connections, 4 MiB of output.
    pub const STANDARD: Self = Self { calls: 512, connections: 1024, output_bytes: 4 << 20 };
}

impl Config {
    /// Most bytes of a request body unless the operator says otherwise.
    pub const MAX_BODY: usize = 1 << 20;
    /// Longest run of a tool unless the operator says otherwise.
    pub const TOOL_TIMEOUT: Duration = Duration::from_secs(30);
    /// Length of a log that goes to the archive unless the operator says otherwise.
    pub const WAL_MAX_BYTES: u64 = 256 << 20;

    /// Says what is governed, and where it is recorded. Everything else is as its field says: no
    /// operator, not strict, no override, parameters on record, the limits above, archives for ever, no
    /// control plane, no collector.
    pub fn new(wal_dir: impl Into<PathBuf>, policy: PolicyFrom, node: impl Into<String>) -> Self {
        Self {
            wal_dir: wal_dir.into(),
            policy,
            node: node.into(),
            operator: None,
            strict: false,
            overrides: Overrides::default(),
            durability: Durability::Chained,
            redact_params: false,
            max_body: Self::MAX_BODY,
            tool_timeout: Self::TOOL_TIMEOUT,
            wal_max_bytes: Self::WAL_MAX_BYTES,
            archive_keep: Keep::default(),
            releases: None,
            collector: None,
            limits: Limits::STANDARD,
            hosts: Vec::new(),
        }
    }
}
