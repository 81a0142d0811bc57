//! One call, in the one right order.
//!
//! | step | what                                     | when it fails                              |
//! |-----:|------------------------------------------|--------------------------------------------|
//! |    1 | parse and bound (`server`)               | recorded, denied                           |
//! |    2 | evaluate (`judge`)                       | the evaluator denies; it cannot fail       |
//! |    3 | append the decision, durable             | denied, 503; nothing ran                   |
//! |    4 | on allow: run the tool (`execute`)       | the outcome is a failure                   |
//! |    5 | append the outcome, durable              | 500; the next start records `unknown`      |
//! |    6 | answer                                   |                                            |
//!
//! # Invariants
//!
//! * **I1** No record, no effect: a tool is reached only with the receipt of its decision.
//! * **I2** An answer is sent only after everything it says is durable.
//! * **I3** A caller that goes away changes nothing: a call runs to its end (`to_its_end`).
//! * **I4** What breaks after the decision is durable is never answered as if nothing had been decided.
//! * **I5** At most [`Limits::calls`] calls and refusals are in work. One more is denied at once and counted
//!   (`refusals`); the count is recorded, not the call.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use api::tool::{ToolResponse, Verdict};
use serde::Serialize;
use serde_json::{Map, Value};
use supply_chain::Floor;
use tokio::{
    sync::{OwnedSemaphorePermit, RwLock, Semaphore},
    time::Instant,
};
use wal_format::Event;
use wal_recovery::{AppendError, Receipt};

use crate::{
    Config, Limits,
    journal::Journal,
    measures::Measures,
    policies::{InForce, PolicyInForce},
    records::{About, Call, Outcome},
    refusals::Refusals,
    releases::merged,
    rollover::{OpenCall, OpenCalls},
    tools::Tools,
};

mod answer;
mod code;
mod execute;
mod judge;
mod to_its_end;

use answer::response;
pub(crate) use answer::{Answer, Judgement, deny};
pub use code::CallCode;
use judge::Places;
use to_its_end::{Broken, ToItsEnd};

/// Everything a call needs.
#[derive(Debug)]
pub(crate) struct Interceptor {
    pub(crate) journal: Journal,
    pub(crate) policy: PolicyInForce,
    pub(crate) tools: Tools,
    pub(crate) about: About,
    pub(crate) node: String,
    pub(crate) tool_timeout: Duration,
    pub(crate) limits: Limits,
    pub(crate) open: Arc<OpenCalls>,
    pub(crate) measures: Measures,
    pub(crate) refusals: Refusals,
    /// Shared by whoever records a decision; taken by whoever holds new calls (`rollover`).
    pub(crate) gate: RwLock<()>,
    /// The rollback floor, as far as this process knows it.
    floor: Mutex<Option<Floor>>,
    permits: Arc<Semaphore>,
    places: Places,
}

impl Interceptor {
    /// Makes one for the executor that runs this.
    pub(crate) fn new(
        journal: Journal,
        policy: PolicyInForce,
        tools: Tools,
        config: &Config,
    ) -> Self {
        Self {
            journal,
            policy,
            measures: Measures::new(&tools),
            tools,
            about: About { operator: config.operator.clone(), redact_params: config.redact_params },
            node: config.node.clone(),
            tool_timeout: config.tool_timeout,
            limits: config.limits,
            open: Arc::default(),
            refusals: Refusals::default(),
            gate: RwLock::default(),
            floor: Mutex::default(),
            permits: Arc::new(Semaphore::new(config.limits.calls)),
            places: Places::here(),
        }
    }

    /// The rollback floor, as far as this process knows it.
    pub(crate) fn floor(&self) -> Option<Floor> {
        self.floor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Raises the floor; it is never lowered. Says whether that changed anything.
    pub(crate) fn raise_floor(&self, floor: Floor) -> bool {
        let mut own = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        let raised = merged(own.clone(), Some(floor));
        let changed = *own != raised;
        *own = raised;
        changed
    }

    /// Carries a call through steps 2 to 6.
    pub(crate) async fn call(self: &Arc<Self>, call: Call, context: Map<String, Value>) -> Answer {
        let permit = match self.admit(&call) {
            Ok(permit) => permit,
            Err(refused) => return *refused,
        };
        let (this, decided) = (Arc::clone(self), Arc::new(OnceLock::new()));
        let (audit_id, noted) = (call.audit_id.clone(), Arc::clone(&decided));
        let work = async move { this.carry(&call, context, &noted).await };
        Self::to_its_end(permit, work)
            .await
            .unwrap_or_else(|error| self.lost(&audit_id, &decided, &error))
    }

    /// Records and denies a request that never became a call (step 1).
    pub(crate) async fn refuse(
        self: &Arc<Self>,
        call: Call,
        code: CallCode,
        reason: String,
    ) -> Answer {
        let permit = match self.admit(&call) {
            Ok(permit) => permit,
            Err(refused) => return *refused,
        };
        let (this, audit_id) = (Arc::clone(self), call.audit_id.clone());
        let work = async move { this.record_refusal(&call, code, reason).await };
        let answer = Self::to_its_end(permit, work).await;
        answer.unwrap_or_else(|error| self.lost(&audit_id, &OnceLock::new(), &error))
    }

    /// Counts a request as refused without looking at what it asks for (I5).
    pub(crate) fn turn_away(&self, audit_id: &str, code: CallCode, reason: &str) -> Answer {
        self.refusals.count(code);
        self.measures.refused(code);
        let policy = self.policy.current();
        deny(audit_id, policy.policy_ref(), code, reason.to_owned())
    }

    /// Calls and refusals in work.
    pub(crate) fn in_flight(&self) -> usize {
        self.limits.calls.saturating_sub(self.permits.available_permits())
    }

    /// Returns when no call is running any more. No call may be started after this.
    pub(crate) async fn drained(&self) {
        let all = u32::try_from(self.limits.calls).unwrap_or(u32::MAX);
        // The semaphore is never closed, so this ends only with every permit.
        drop(self.permits.acquire_many(all).await);
    }

    /// A permit is taken before the work begins, so that a call is counted as soon as it exists.
    fn admit(&self, call: &Call) -> Result<OwnedSemaphorePermit, Box<Answer>> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            let reason = format!("{} calls are in work already", self.limits.calls);
            Box::new(self.turn_away(&call.audit_id, CallCode::Overloaded, &reason))
        })
    }

    /// Runs work to its end, whether or not somebody waits for it (I3).
    fn to_its_end(
        permit: OwnedSemaphorePermit,
        work: impl Future<Output = Answer> + Send + 'static,
    ) -> impl Future<Output = Result<Answer, Broken>> {
        ToItsEnd::new(async move {
            let answer = work.await;
            drop(permit);
            answer
        })
    }

    /// The answer to a call that broke. Foreign code cannot do that: it is caught where it is called.
    /// `decided` is what was durable by then (I4).
    fn lost(
        &self,
        audit_id: &str,
        decided: &OnceLock<ToolResponse>,
        error: &dyn fmt::Display,
    ) -> Answer {
        tracing::error!(audit_id, error = %error, "a call was lost");
        let Some(decided) = decided.get() else {
            // The tool is reached only after `decided` is set, so nothing ran (I1).
            let reason = format!("the call broke before its decision was seen on disk: {error}");
            let policy = self.policy.current();
            return deny(audit_id, policy.policy_ref(), CallCode::WalUnavailable, reason);
        };
        let code = CallCode::OutcomeNotRecorded;
        let mut body = decided.clone();
        body.code = Some(code.as_str().to_owned());
        body.error = Some(format!("the tool may have run, its outcome is not recorded: {error}"));
        Answer { status: code.status(), body }
    }

    async fn record_refusal(&self, call: &Call, code: CallCode, reason: String) -> Answer {
        let InForce { evaluator: policy, lock_fingerprint } = self.policy.in_force();
        let judged = Judgement {
            verdict: Verdict::Deny,
            reason: Some(reason),
            code: Some(code.as_str()),
            rule: None,
            policy_ref: policy.policy_ref().to_owned(),
            policy_digest: policy.policy_digest().to_owned(),
            lock_fingerprint,
            eval_us: 0,
            obligations: Vec::new(),
            asked: None,
        };
        let _free = self.gate.read().await;
        match self.decide(call, &judged).await {
            Ok(receipt) => Answer { status: code.status(), body: response(call, &judged, receipt) },
            Err(error) => self.unrecorded(call, &judged.policy_ref, &error),
        }
    }

    async fn carry(
        &self,
        call: &Call,
        context: Map<String, Value>,
        decided: &OnceLock<ToolResponse>,
    ) -> Answer {
        let judged = self.judge(call, context).await;
        self.measures.evaluated(Duration::from_micros(judged.eval_us));
        let free = self.gate.read().await;
        let open = (judged.verdict == Verdict::Allow).then(|| self.open.enter(&call.audit_id));
        let receipt = match self.decide(call, &judged).await {
            Ok(receipt) => receipt,
            Err(error) => {
                // The entry is not in the log, or the log has stopped and is never archived by us.
                if let Some(open) = open {
                    open.close();
                }
                return self.unrecorded(call, &judged.policy_ref, &error);
            }
        };
        // The outcome is never held: who holds the gate waits for it.
        drop(free);
        let body = response(call, &judged, receipt);
        match open {
            None => Answer { status: 403, body },
            Some(open) => {
                decided.set(body.clone()).ok();
                self.run(call, &judged.obligations, body, open).await
            }
        }
    }

    /// Step 3.
    async fn decide(&self, call: &Call, judged: &Judgement) -> Result<Receipt, AppendError> {
        let receipt = self.append(&call.decision(judged, &self.about)).await?;
        self.measures.decided(&call.kind, judged);
        Ok(receipt)
    }

    fn append<A: Serialize>(
        &self,
        event: &Event<A>,
    ) -> impl Future<Output = Result<Receipt, AppendError>> + Send + use<'_, A> {
        let started = Instant::now();
        let appended = self.journal.append(event);
        async move {
            let receipt = appended.await?;
            self.measures.persisted(started.elapsed());
            Ok(receipt)
        }
    }

    /// Steps 4 to 6. `body` is the answer with the number of the decision, which is durable (I1).
    async fn run(
        &self,
        call: &Call,
        obligations: &[Value],
        mut body: ToolResponse,
        open: OpenCall,
    ) -> Answer {
        let outcome = self.execute(call, obligations).await;
        let recorded = self.append(&call.outcome(&outcome, &self.about)).await;
        self.measures.ended(&call.kind, &outcome);
        let mut status = 200;
        match outcome {
            Outcome::Done(output) => body.output = Some(output),
            Outcome::NoExecutor => body.output = Some(Value::Null),
            Outcome::Failed(error) | Outcome::StillRunning(error) => {
                status = 400;
                body.code = Some(error.code.as_str().to_owned());
                body.error = Some(error.message);
                body.output = error.output;
            }
        }
        match recorded {
            Ok(_) => open.close(),
            Err(error) => {
                tracing::error!(audit_id = call.audit_id, error = %error, "outcome not recorded");
                status = CallCode::OutcomeNotRecorded.status();
                body.code = Some(CallCode::OutcomeNotRecorded.as_str().to_owned());
                body.error =
                    Some(format!("the tool ran, but its outcome is not recorded: {error}"));
            }
        }
        Answer { status, body }
    }

    /// The answer when nothing could be recorded.
    fn unrecorded(&self, call: &Call, policy_ref: &str, error: &AppendError) -> Answer {
        let (code, reason) = (CallCode::of(error), error.to_string());
        if code == CallCode::Overloaded {
            return Answer { ..self.turn_away(&call.audit_id, code, &reason) };
        }
        self.measures.refused(code);
        tracing::error!(audit_id = call.audit_id, code = code.as_str(), error = reason, "denied");
        deny(&call.audit_id, policy_ref, code, reason)
    }
}

#[cfg(test)]
mod tests;
