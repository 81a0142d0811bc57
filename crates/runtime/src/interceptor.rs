//! One call, in the one right order.
//!
//! | step | what                                     | when it fails                              |
//! |-----:|------------------------------------------|--------------------------------------------|
//! |    1 | parse and bound (`server`)               | recorded, denied                           |
//! |    2 | evaluate                                 | the evaluator denies; it cannot fail       |
//! |    3 | append the decision, durable             | denied, 503; nothing ran                   |
//! |    4 | on allow: run the tool, with a deadline  | the outcome is a failure                   |
//! |    5 | append the outcome, durable              | 500; the next start records `unknown`      |
//! |    6 | answer                                   |                                            |
//!
//! # Invariants
//!
//! * **I1** No record, no effect: a tool is reached only with the receipt of its decision.
//! * **I2** An answer is sent only after everything it says is durable.
//! * **I3** A caller that goes away changes nothing: a call runs to its end in a task of its own.

use std::{sync::Arc, time::Duration};

use api::tool::{ToolResponse, Verdict};
use jiff::Timestamp;
use policy::{Allow, Decision};
use serde_json::{Map, Value};
use tokio::{
    sync::{RwLock, Semaphore},
    task::JoinHandle,
    time::{Instant, timeout},
};
use wal_recovery::{AppendError, Receipt};

use crate::{
    Config,
    journal::Journal,
    policies::PolicyInForce,
    records::{About, Call, Outcome},
    rollover::{OpenCall, OpenCalls},
    tools::{Tool, ToolCall, ToolError, ToolErrorCode, Tools},
};

/// Codes of answers that no policy and no tool has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallCode {
    /// The body is not a tool request.
    BadRequest,
    /// The body is longer than the limit.
    BodyTooLarge,
    /// The method is not POST.
    MethodNotAllowed,
    /// The log cannot be written.
    WalUnavailable,
    /// The disk of the log is full.
    WalDiskFull,
    /// Too many calls at once.
    Overloaded,
    /// The policy allows under an obligation that this runtime cannot meet.
    ObligationUnknown,
    /// The tool ran, and its outcome could not be recorded.
    OutcomeNotRecorded,
}

impl CallCode {
    /// Every code.
    pub const ALL: [Self; 8] = [
        Self::BadRequest,
        Self::BodyTooLarge,
        Self::MethodNotAllowed,
        Self::WalUnavailable,
        Self::WalDiskFull,
        Self::Overloaded,
        Self::ObligationUnknown,
        Self::OutcomeNotRecorded,
    ];

    /// Returns the text used on the wire and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::WalUnavailable => "WAL_UNAVAILABLE",
            Self::WalDiskFull => "WAL_DISK_FULL",
            Self::Overloaded => "OVERLOADED",
            Self::ObligationUnknown => "OBLIGATION_UNKNOWN",
            Self::OutcomeNotRecorded => "OUTCOME_NOT_RECORDED",
        }
    }

    /// HTTP status of an answer with this code.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::ObligationUnknown => 403,
            Self::MethodNotAllowed => 405,
            Self::BodyTooLarge => 413,
            Self::OutcomeNotRecorded => 500,
            Self::WalUnavailable | Self::WalDiskFull | Self::Overloaded => 503,
        }
    }

    fn of(error: &AppendError) -> Self {
        match error {
            AppendError::DiskFull { .. } => Self::WalDiskFull,
            AppendError::Overloaded { .. } => Self::Overloaded,
            AppendError::TooLarge { .. } => Self::BodyTooLarge,
            AppendError::Poisoned { .. }
            | AppendError::FileReplaced { .. }
            | AppendError::FileCut { .. }
            | AppendError::Closed
            | AppendError::SeqExhausted => Self::WalUnavailable,
        }
    }
}

/// What was decided about a call, whoever decided it.
#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) reason: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) rule: Option<String>,
    pub(crate) policy_ref: String,
    pub(crate) policy_digest: String,
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

/// Everything a call needs.
#[derive(Debug)]
pub(crate) struct Interceptor {
    pub(crate) journal: Journal,
    pub(crate) policy: PolicyInForce,
    pub(crate) tools: Tools,
    pub(crate) about: About,
    pub(crate) node: String,
    pub(crate) tool_timeout: Duration,
    pub(crate) open: Arc<OpenCalls>,
    /// Shared by whoever records a decision; taken by whoever holds new calls (`rollover`).
    pub(crate) gate: RwLock<()>,
    permits: Arc<Semaphore>,
}

impl Interceptor {
    pub(crate) fn new(
        journal: Journal,
        policy: PolicyInForce,
        tools: Tools,
        config: &Config,
    ) -> Self {
        Self {
            journal,
            policy,
            tools,
            about: About { operator: config.operator.clone(), redact_params: config.redact_params },
            node: config.node.clone(),
            tool_timeout: config.tool_timeout,
            open: Arc::default(),
            gate: RwLock::default(),
            permits: Arc::new(Semaphore::new(Config::CALLS_MAX)),
        }
    }

    /// Carries a call through steps 2 to 6, in a task of its own (I3).
    pub(crate) async fn call(self: &Arc<Self>, call: Call, context: Map<String, Value>) -> Answer {
        let audit_id = call.audit_id.clone();
        // Taken here and not in the task, so that a call is counted as soon as it exists.
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return self.unrecorded(&call, CallCode::Overloaded, "too many calls at once");
        };
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            let answer = this.carry(&call, context).await;
            drop(permit);
            answer
        });
        match task.await {
            Ok(answer) => answer,
            // The task panicked or the process ends. What is in the log stands.
            Err(error) => Answer {
                status: CallCode::WalUnavailable.status(),
                body: deny(&audit_id, CallCode::WalUnavailable, error.to_string()),
            },
        }
    }

    /// Records and denies a request that never became a call (step 1).
    pub(crate) async fn refuse(
        self: &Arc<Self>,
        call: Call,
        code: CallCode,
        reason: String,
    ) -> Answer {
        let policy = self.policy.current();
        let judged = Judgement {
            verdict: Verdict::Deny,
            reason: Some(reason),
            code: Some(code.as_str().to_owned()),
            rule: None,
            policy_ref: policy.policy_ref().to_owned(),
            policy_digest: policy.policy_digest().to_owned(),
            eval_us: 0,
            obligations: Vec::new(),
            asked: None,
        };
        let _free = self.gate.read().await;
        match self.journal.append(&call.decision(&judged, &self.about)).await {
            Ok(receipt) => {
                Answer { status: code.status(), body: response(&call, &judged, receipt) }
            }
            Err(error) => self.unrecorded(&call, CallCode::of(&error), &error.to_string()),
        }
    }

    /// Returns when no call is running any more. No call may be started after this.
    pub(crate) async fn drained(&self) {
        let all = u32::try_from(Config::CALLS_MAX).unwrap_or(u32::MAX);
        // The semaphore is never closed, so this ends only with every permit.
        drop(self.permits.acquire_many(all).await);
    }

    async fn carry(&self, call: &Call, context: Map<String, Value>) -> Answer {
        let judged = self.evaluate(call, context);
        let free = self.gate.read().await;
        let open = (judged.verdict == Verdict::Allow).then(|| self.open.enter());
        let receipt = match self.journal.append(&call.decision(&judged, &self.about)).await {
            Ok(receipt) => receipt,
            Err(error) => return self.unrecorded(call, CallCode::of(&error), &error.to_string()),
        };
        // The outcome is never held: who holds the gate waits for it.
        drop(free);
        match open {
            None => Answer { status: 403, body: response(call, &judged, receipt) },
            Some(open) => self.run(call, &judged, receipt, open).await,
        }
    }

    fn evaluate(&self, call: &Call, agent: Map<String, Value>) -> Judgement {
        let evaluator = self.policy.current();
        let request = policy::Request {
            kind: call.kind.clone(),
            params: call.params.clone(),
            context: policy::Context {
                node: self.node.clone(),
                operator: self.about.operator.clone().unwrap_or_default(),
                time: Timestamp::now(),
                mode: self.policy.mode_name().to_owned(),
            },
            agent_context: (!agent.is_empty()).then_some(agent),
        };
        let started = Instant::now();
        let decision = evaluator.evaluate(&request);
        let eval_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let rule = decision.rule().map(str::to_owned);
        let obligations = match &decision {
            Decision::Allow(allow) => allow.obligations().to_vec(),
            Decision::Deny(_) => Vec::new(),
        };
        let (verdict, code, reason) = match decision {
            Decision::Allow(allow) => met(&allow, self.tools.get(&call.kind).map(|it| &**it)),
            Decision::Deny(deny) => {
                (Verdict::Deny, Some(deny.code().as_str()), Some(deny.reason().to_owned()))
            }
        };
        Judgement {
            verdict,
            reason,
            code: code.map(str::to_owned),
            rule,
            policy_ref: evaluator.policy_ref().to_owned(),
            policy_digest: evaluator.policy_digest().to_owned(),
            eval_us,
            obligations,
            asked: Some(request),
        }
    }

    /// Steps 4 to 6. The receipt is the proof that the decision is durable (I1).
    async fn run(
        &self,
        call: &Call,
        judged: &Judgement,
        receipt: Receipt,
        mut open: OpenCall,
    ) -> Answer {
        let outcome = self.execute(call, &judged.obligations).await;
        let recorded = self.journal.append(&call.outcome(&outcome, &self.about)).await;
        let mut body = response(call, judged, receipt);
        let mut status = 200;
        match outcome {
            Outcome::Done(output) => body.output = Some(output),
            Outcome::NoExecutor => body.output = Some(Value::Null),
            Outcome::Failed(error) => {
                status = 400;
                body.code = Some(error.code.as_str().to_owned());
                body.error = Some(error.message);
                body.output = error.output;
            }
        }
        if let Err(error) = recorded {
            tracing::error!(audit_id = call.audit_id, error = %error, "outcome not recorded");
            open.stays_open();
            status = CallCode::OutcomeNotRecorded.status();
            body.code = Some(CallCode::OutcomeNotRecorded.as_str().to_owned());
            body.error = Some(format!("the tool ran, but its outcome is not recorded: {error}"));
        }
        Answer { status, body }
    }

    /// Step 4. The tool has a task of its own, so that a panic in it is an outcome like any other,
    /// and the deadline drops it.
    async fn execute(&self, call: &Call, obligations: &[Value]) -> Outcome {
        let Some(tool) = self.tools.get(&call.kind).cloned() else { return Outcome::NoExecutor };
        let asked = ToolCall {
            audit_id: call.audit_id.clone(),
            params: call.params.clone(),
            obligations: obligations.to_vec(),
            time_limit: Some(self.tool_timeout),
        };
        let mut task = AbortOnDrop(tokio::spawn(async move { tool.run(&asked).await }));
        let failed = |code, message| Outcome::Failed(ToolError::new(code, message));
        match timeout(self.tool_timeout, &mut task.0).await {
            Ok(Ok(Ok(output))) => Outcome::Done(output),
            Ok(Ok(Err(error))) => Outcome::Failed(error),
            Ok(Err(error)) => failed(ToolErrorCode::Failed, format!("`{}`: {error}", call.kind)),
            Err(_) => {
                let seconds = self.tool_timeout.as_secs_f64();
                failed(ToolErrorCode::Timeout, format!("`{}` ran over {seconds} s", call.kind))
            }
        }
    }

    /// The answer when nothing could be recorded: deny, and no number.
    fn unrecorded(&self, call: &Call, code: CallCode, reason: &str) -> Answer {
        tracing::error!(audit_id = call.audit_id, code = code.as_str(), error = reason, "denied");
        let policy_ref = self.policy.current().policy_ref().to_owned();
        let denied = deny(&call.audit_id, code, reason.to_owned());
        Answer { status: code.status(), body: ToolResponse { policy_ref, ..denied } }
    }
}

/// A task that ends with its owner.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An allow counts only when whoever runs the call meets every obligation. Without an executor that is the
/// agent, who is told of them.
fn met(allow: &Allow, tool: Option<&dyn Tool>) -> (Verdict, Option<&'static str>, Option<String>) {
    let unmet = |it: &&Value| tool.is_some_and(|tool| !tool.meets(it));
    match allow.obligations().iter().find(unmet) {
        None => (Verdict::Allow, None, None),
        Some(obligation) => {
            let reason = format!("the policy demands {obligation}, which the tool does not do");
            (Verdict::Deny, Some(CallCode::ObligationUnknown.as_str()), Some(reason))
        }
    }
}

fn response(call: &Call, judged: &Judgement, receipt: Receipt) -> ToolResponse {
    ToolResponse {
        decision: judged.verdict,
        policy_ref: judged.policy_ref.clone(),
        audit_id: call.audit_id.clone(),
        seq: Some(receipt.seq.get()),
        reason: judged.reason.clone(),
        code: judged.code.clone(),
        output: None,
        error: None,
        obligations: match judged.verdict {
            Verdict::Allow => judged.obligations.clone(),
            Verdict::Deny => Vec::new(),
        },
    }
}

fn deny(audit_id: &str, code: CallCode, reason: String) -> ToolResponse {
    ToolResponse {
        decision: Verdict::Deny,
        policy_ref: String::new(),
        audit_id: audit_id.to_owned(),
        seq: None,
        reason: Some(reason),
        code: Some(code.as_str().to_owned()),
        output: None,
        error: None,
        obligations: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
