//! Step 2: the policy is asked.
//!
//! A policy may take as long as its time limit, and a process with two workers has two threads for
//! everything: health, signals, timers. So
//!
//! * **E1** one worker never evaluates: at most all but one do at once. Whoever comes then waits for its turn, and
//!   after [`TURN_WAIT`] is evaluated on a thread beside the workers, of which so many work at once as there are
//!   workers. A policy that is fast never changes its thread.
//! * **E3** Nobody waits for a place longer than [`PLACE_WAIT`]: whoever does is denied. An evaluation that takes
//!   longer than its time limit costs those behind it that much, and no more.
//! * **E2** A panic of an evaluator, or of a tool that is asked about an obligation, is a deny like any other.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use api::tool::Verdict;
use policy::{Allow, Decision, DenyCode, Evaluator};
use serde_json::{Map, Value};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::{CallCode, Interceptor, Judgement};
use crate::{policies::InForce, records::Call, tools::Tool};

/// Longest wait for a place on a worker. Most policies are faster than a change of threads, so that the place
/// is free again soon; those that are not must not hold up the others.
const TURN_WAIT: Duration = Duration::from_millis(5);
/// Longest wait for a place (E3).
const PLACE_WAIT: Duration = Duration::from_secs(5);

/// Who may evaluate at once (E1).
#[derive(Debug)]
pub(super) struct Places {
    /// Nothing when there is one worker only.
    on_workers: Option<Semaphore>,
    beside: Semaphore,
}

impl Places {
    /// The places in the executor that runs this.
    pub(super) fn here() -> Self {
        let workers = Handle::try_current().map_or(1, |it| it.metrics().num_workers());
        Self {
            on_workers: (workers > 1).then(|| Semaphore::new(workers - 1)),
            beside: Semaphore::new(workers),
        }
    }

    /// Does work that may take long.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if let Some(on_workers) = &self.on_workers {
            if let Ok(_place) = on_workers.try_acquire() {
                return Some(work());
            }
            if let Ok(Ok(_place)) = timeout(TURN_WAIT, on_workers.acquire()).await {
                return Some(work());
            }
        }
        // Never closed.
        let _place = timeout(PLACE_WAIT, self.beside.acquire()).await.ok()?;
        spawn_blocking(work).await.ok()
    }
}

impl Interceptor {
    /// Asks the policy in force (E1, E2).
    pub(super) async fn judge(&self, call: &Call, agent: Map<String, Value>) -> Judgement {
        let InForce { evaluator, lock_fingerprint } = self.policy.in_force();
        let request = policy::Request {
            kind: call.kind.clone(),
            params: call.params.clone(),
            context: policy::Context {
                node: self.node.clone(),
                operator: self.about.operator.clone().unwrap_or_default(),
                time: self.journal.now(),
                mode: self.policy.mode_name().to_owned(),
            },
            agent_context: (!agent.is_empty()).then_some(agent),
        };
        let tool = self.tools.get(&call.kind).cloned();
        let named = Arc::clone(&evaluator);
        let judged = self.places.work(move || weigh(&*evaluator, request, tool.as_deref())).await;
        // There was no place in time, or the process ends.
        let judged = judged.unwrap_or_else(|| {
            let (policy_ref, policy_digest) =
                caught(|| (named.policy_ref().to_owned(), named.policy_digest().to_owned()))
                    .unwrap_or_default();
            let reason = "other evaluations take all the time there is".to_owned();
            let code = DenyCode::EvaluationTimeout.as_str();
            Judgement {
                reason: Some(reason),
                code: Some(code),
                ..broken(policy_ref, policy_digest)
            }
        });
        Judgement { lock_fingerprint, ..judged }
    }
}

fn weigh(
    evaluator: &dyn Evaluator,
    request: policy::Request,
    tool: Option<&dyn Tool>,
) -> Judgement {
    let named = || (evaluator.policy_ref().to_owned(), evaluator.policy_digest().to_owned());
    let started = Instant::now();
    let asked = caught(|| (evaluator.evaluate(&request), named()));
    let eval_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let Some((decision, (policy_ref, policy_digest))) = asked else {
        let (policy_ref, policy_digest) = caught(named).unwrap_or_default();
        let judged = broken(policy_ref, policy_digest);
        return Judgement { eval_us, asked: Some(request), ..judged };
    };
    let rule = decision.rule().map(str::to_owned);
    let obligations = match &decision {
        Decision::Allow(allow) => allow.obligations().to_vec(),
        Decision::Deny(_) => Vec::new(),
    };
    let (verdict, code, reason) = match decision {
        Decision::Allow(allow) => met(&allow, tool),
        Decision::Deny(deny) => {
            (Verdict::Deny, Some(deny.code().as_str()), Some(deny.reason().to_owned()))
        }
    };
    Judgement {
        verdict,
        reason,
        code,
        rule,
        policy_ref,
        policy_digest,
        lock_fingerprint: None,
        eval_us,
        obligations,
        asked: Some(request),
    }
}

/// What is decided when the evaluator broke.
fn broken(policy_ref: String, policy_digest: String) -> Judgement {
    let code = DenyCode::EvaluatorPanicked;
    Judgement {
        verdict: Verdict::Deny,
        reason: Some(code.text().to_owned()),
        code: Some(code.as_str()),
        rule: None,
        policy_ref,
        policy_digest,
        lock_fingerprint: None,
        eval_us: 0,
        obligations: Vec::new(),
        asked: None,
    }
}

/// An allow counts only when whoever runs the call meets every obligation. Without an executor that is the
/// agent, who is told of them.
fn met(allow: &Allow, tool: Option<&dyn Tool>) -> (Verdict, Option<&'static str>, Option<String>) {
    let meets = |tool: &dyn Tool, it: &Value| caught(|| tool.meets(it)).unwrap_or(false);
    let unmet = |it: &&Value| tool.is_some_and(|tool| !meets(tool, it));
    match allow.obligations().iter().find(unmet) {
        None => (Verdict::Allow, None, None),
        Some(obligation) => {
            let reason = format!("the policy demands {obligation}, which the tool does not do");
            (Verdict::Deny, Some(CallCode::ObligationUnknown.as_str()), Some(reason))
        }
    }
}

/// What a piece of foreign code returns, unless it panics (E2). The panic hook has said where.
fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    // Foreign code is asked again with the next call, whatever state the panic left it in: evaluators
    // and tools are shared by threads, so they have to be consistent at any moment anyway.
    catch_unwind(AssertUnwindSafe(work)).ok()
}
