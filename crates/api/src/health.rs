//! Health and status of the services.

use serde::{Deserialize, Serialize};

use crate::release::ReleaseStatus;

/// How the runtime decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By the loaded policy; without one, deny.
    Normal,
    /// Deny everything, whatever is loaded.
    Strict,
    /// Deny everything: the log was refused, and nothing can be recorded.
    Quarantine,
}

/// Answer of `GET /health`: exactly these two keys, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Always `ok` when there is an answer.
    pub status: String,
    /// How the runtime decides.
    pub mode: Mode,
}

impl Health {
    /// The answer of a runtime in `mode`.
    pub fn ok(mode: Mode) -> Self {
        Self { status: "ok".to_owned(), mode }
    }
}

/// Answer of `GET /v1/status` of the runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeStatus {
    /// Node that this runtime governs.
    pub node: String,
    /// How the runtime decides.
    pub mode: Mode,
    /// Version of the loaded policy; empty when none is loaded.
    pub policy_ref: String,
    /// Digest of the loaded policy; empty when none is loaded.
    pub policy_digest: String,
    /// Fingerprint of the lock that the policy came with; absent when it came without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_fingerprint: Option<String>,
    /// The log.
    pub wal: WalStatus,
    /// Delivery to a collector; absent when the runtime has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exporter: Option<ExporterStatus>,
    /// What the control plane wants here; absent when the runtime asks none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releases: Option<ReleaseStatus>,
    /// Calls; absent when the runtime is older than this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<CallsStatus>,
    /// Seconds since the start.
    pub uptime_seconds: u64,
}

/// Calls at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallsStatus {
    /// Calls and refusals in work.
    pub in_flight: u64,
    /// Most of them; one more is refused.
    pub calls_max: u64,
    /// Most connections; more wait.
    pub connections_max: u64,
    /// Allowed calls without an outcome so far: those whose tool runs, and those whose outcome could not be
    /// recorded.
    pub open_intents: u64,
    /// The first of them; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_open_intent: Option<OldestOpenIntent>,
    /// Tools that did not end at their deadline and still have not.
    pub tools_still_running: u64,
}

/// The allowed call that waits for its outcome longest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldestOpenIntent {
    /// Id of the call.
    pub audit_id: String,
    /// Since when, in seconds.
    pub age_seconds: u64,
}

/// Delivery from a runtime to a collector. The counts are those of this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExporterStatus {
    /// Where requests go, without credentials.
    pub endpoint: String,
    /// What it does now.
    pub state: ExporterState,
    /// Entries that the collector accepted.
    pub accepted: PerClass,
    /// Entries that waited when it looked last.
    pub pending: u64,
    /// Entries that the collector refused for good.
    pub dead_lettered: u64,
    /// Batches begun.
    pub batches: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests sent again after a failure.
    pub retries: u64,
    /// Bytes of all requests before compression.
    pub bytes: u64,
    /// When everything was delivered last, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<String>,
    /// Why not everything is delivered; absent when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<ExporterError>,
}

/// What an exporter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExporterState {
    /// Everything is delivered.
    Idle,
    /// A pass is under way.
    Sending,
    /// The collector is away, or another consumer is at work; it tries again by itself.
    Waiting,
    /// Something needs a person; it looks again now and then.
    Stopped,
}

/// Why entries are not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExporterError {
    /// Stable code.
    pub code: String,
    /// What happened.
    pub text: String,
    /// When, RFC 3339.
    pub at: String,
}

/// A count for each class of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerClass {
    /// Errors.
    pub error: u64,
    /// Decisions.
    pub decision: u64,
    /// Actions.
    pub action: u64,
    /// Everything else.
    pub lifecycle: u64,
}

/// State of the log behind a runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalStatus {
    /// Identity of the log.
    pub wal_id: String,
    /// Last acknowledged sequence number; 0 before the first.
    pub last_seq: u64,
    /// Last sequence number accepted by a consumer; absent when the position cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Entries after that one; absent when the position cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// Size of the log in bytes.
    pub bytes: u64,
    /// `ok`, or the code of the error that stopped the log.
    pub health: String,
}

/// Answer of `GET /v1/status` of a runtime whose log was refused. It has the keys of
/// [`RuntimeStatus`], but nothing that only an open log could say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineStatus {
    /// Node that this runtime governs.
    pub node: String,
    /// Always [`Mode::Quarantine`].
    pub mode: Mode,
    /// Empty: no policy is in force.
    pub policy_ref: String,
    /// Empty: no policy is in force.
    pub policy_digest: String,
    /// The log, and why it was refused.
    pub wal: RefusedLog,
    /// Seconds since the start.
    pub uptime_seconds: u64,
}

/// A log that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedLog {
    /// The code of the violation.
    pub health: String,
    /// The violation, for people.
    pub error: String,
    /// Directory of the log.
    pub dir: String,
    /// Number of the first bad entry; absent when the log itself was not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Byte where that entry starts or should start; absent when `seq` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// What an operator does next.
    pub hint: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_exactly_the_documented_object() {
        let text = serde_json::to_string(&Health::ok(Mode::Normal)).unwrap();
        assert_eq!(text, r#"{"status":"ok","mode":"normal"}"#);
        let text = serde_json::to_string(&Health::ok(Mode::Strict)).unwrap();
        assert_eq!(text, r#"{"status":"ok","mode":"strict"}"#);
        let text = serde_json::to_string(&Health::ok(Mode::Quarantine)).unwrap();
        assert_eq!(text, r#"{"status":"ok","mode":"quarantine"}"#);
    }
}
