//! What was decided about a call, and how it is answered.

use std::sync::Arc;

use api::tool::{ToolResponse, Verdict};
use serde_json::Value;
use wal_recovery::Receipt;

use super::CallCode;
use crate::records::Call;

/// What was decided about a call, whoever decided it.
#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) reason: Option<String>,
    pub(crate) code: Option<&'static str>,
    pub(crate) rule: Option<String>,
    pub(crate) policy_ref: String,
    pub(crate) policy_digest: String,
    /// Fingerprint of the lock that the policy came with.
    pub(crate) lock_fingerprint: Option<Arc<str>>,
    pub(crate) eval_us: u64,
    /// What the policy demands of whoever runs an allowed call.
    pub(crate) obligations: Vec<Value>,
    /// What the policy was asked; nothing when none was.
    pub(crate) asked: Option<policy::Request>,
}

/// An answer and its HTTP status.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: ToolResponse,
}

/// The answer to a call whose decision is durable.
pub(super) fn response(call: &Call, judged: &Judgement, receipt: Receipt) -> ToolResponse {
    ToolResponse {
        decision: judged.verdict,
        policy_ref: judged.policy_ref.clone(),
        audit_id: call.audit_id.clone(),
        seq: Some(receipt.seq.get()),
        reason: judged.reason.clone(),
        code: judged.code.map(str::to_owned),
        output: None,
        error: None,
        obligations: match judged.verdict {
            Verdict::Allow => judged.obligations.clone(),
            Verdict::Deny => Vec::new(),
        },
    }
}

/// The answer when nothing could be recorded: deny, and no number.
pub(crate) fn deny(audit_id: &str, policy_ref: &str, code: CallCode, reason: String) -> Answer {
    let body = ToolResponse {
        decision: Verdict::Deny,
        policy_ref: policy_ref.to_owned(),
        audit_id: audit_id.to_owned(),
        seq: None,
        reason: Some(reason),
        code: Some(code.as_str().to_owned()),
        output: None,
        error: None,
        obligations: Vec::new(),
    };
    Answer { status: code.status(), body }
}
