//! One step: judged, begun, called, put on record.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use wal_format::{
    canonical_json,
    step::{Effect, StepStatus, sha256, sha256_json},
};
use wal_recovery::steps::{
    Completion, StepAppendError, StepKey, StepLog, StepState, Verdict, World, verify,
};

use super::{Ended, RunError, Runner};
use crate::{
    cycle::{Do, Front},
    heartbeat::Heartbeat,
    plan::{Mandate, Step},
    port::{Call, Called},
    world::{Seen, look},
};

/// What stands for the world before a step that no file confirms: that it began is what counts.
const UNOBSERVED: &str = "unobserved";
/// Why a step needs a review whose tool says that all is well.
const NOT_AS_EXPECTED: &str = "the tool succeeded, and the world is not the one expected after it";
/// Pause between two looks at calls of an earlier process.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A run in work.
pub(super) struct Cycle<'a> {
    pub(super) around: Runner<'a>,
    pub(super) mandate: &'a Mandate,
    pub(super) calls: u64,
    pub(super) confirmed: u64,
    pub(super) ticks: u64,
    pub(super) last_cycle_at: Option<Timestamp>,
    started: Timestamp,
    /// Whether no call from before this process is running (D3).
    at_rest: bool,
}

impl<'a> Cycle<'a> {
    pub(super) fn new(around: Runner<'a>, mandate: &'a Mandate, started: Timestamp) -> Self {
        let (calls, confirmed, ticks) = (0, 0, 0);
        let (last_cycle_at, at_rest) = (None, false);
        Self { around, mandate, calls, confirmed, ticks, last_cycle_at, started, at_rest }
    }

    /// Leaves a heartbeat. What cannot be written is missed by whoever asks, and by nobody else.
    pub(super) fn beat(&self, state: &str, left: u64) {
        let beat = Heartbeat::of(self, state, left);
        if let Err(error) = beat.write(self.around.vfs, self.around.dir) {
            tracing::warn!(error = %error, "no heartbeat was written");
        }
    }

    pub(super) fn ended(&mut self) {
        self.last_cycle_at = Some((self.around.clock)());
    }

    /// Judges the step at the front; anything else has nothing to judge.
    pub(super) fn judge(&mut self, front: Front<'_>) -> Result<Judged, RunError> {
        let Front::Step(step) = front else { return Ok(Judged::nothing()) };
        let looked_at = matches!(step.status, Some(StepStatus::Pending | StepStatus::NeedsReview));
        if !looked_at {
            return Ok(Judged::of(verify(step, World::default()), None));
        }
        if step.reached && step.planned.effect != Some(Effect::None) {
            match self.wait_for_rest(step) {
                Ok(()) => {}
                // It waits for a human in any case, and the human needs no runtime.
                Err(_) if step.status == Some(StepStatus::NeedsReview) => {
                    return Ok(Judged::of(verify(step, World::default()), None));
                }
                Err(error) => return Err(error),
            }
        }
        let seen = self.look(step.step_id());
        let hash = seen.as_ref().and_then(Seen::hash);
        let verdict = verify(step, World { pre_hash: hash, post_hash: hash });
        Ok(Judged::of(verdict, seen))
    }

    /// Does what the table says. Returns how the run ended, if that ends it.
    pub(super) fn step(
        &mut self,
        log: &StepLog,
        step: &StepState,
        what: Do,
        judged: Judged,
    ) -> Result<Option<Ended>, RunError> {
        let plan_id = self.mandate.commit.plan_id.as_str();
        let key = StepKey { plan_id, step_id: step.step_id() };
        let now = (self.around.clock)();
        match what {
            Do::Append => {
                log.append_pending(key, &self.mandate.idem_key(&step.planned), now)?;
            }
            Do::Confirm => {
                log.mark_completed(key, judged.confirmed(), now)?;
                self.confirmed += 1;
            }
            Do::Review => {
                let (reason, evidence) = judged.for_review();
                log.mark_needs_review(key, reason, Some(evidence), now)?;
            }
            Do::Execute if (self.around.stop)() => {
                return Ok(Some(Ended::Interrupted { step_id: step.step_id().to_owned() }));
            }
            Do::Execute => self.execute(log, key, step, judged.seen.as_ref())?,
            Do::Unknown => {
                let why = "it began and has no outcome on record".to_owned();
                return Err(RunError::Unknown { step_id: step.step_id().to_owned(), why });
            }
            Do::Wait | Do::GiveUp | Do::Nothing => {
                let status = step.status.map_or("new", StepStatus::as_str);
                let reason = step.reason.clone().unwrap_or_else(|| status.to_owned());
                let step_id = step.step_id().to_owned();
                return Ok(Some(Ended::NeedsHuman { step_id, reason }));
            }
        }
        Ok(None)
    }

    fn execute(
        &mut self,
        log: &StepLog,
        key: StepKey<'_>,
        step: &StepState,
        before: Option<&Seen>,
    ) -> Result<(), RunError> {
        let unknown = |why: String| RunError::Unknown { step_id: key.step_id.to_owned(), why };
        let planned = self.mandate.step(key.step_id);
        let planned = planned.ok_or_else(|| unknown("the plan has no such step".to_owned()))?;
        let idem_key = step.idem_key.clone();
        let idem_key = idem_key.ok_or_else(|| unknown("no key is on record".to_owned()))?;
        self.around.tools.ready()?;
        let observed = before.and_then(Seen::hash).unwrap_or(UNOBSERVED);
        // D1
        log.mark_executing(key, observed, (self.around.clock)())?;
        self.calls += 1;
        let called = self.around.tools.call(&Call {
            tool: &planned.tool,
            params: &planned.params,
            idem_key: &idem_key,
            mandate_id: &self.mandate.id,
            step_id: key.step_id,
        });
        match called {
            Called::Lost { why } => return Err(unknown(why)),
            Called::Denied { code, reason: text } | Called::Failed { code, message: text, .. } => {
                log.mark_failed(key, &code, &text, (self.around.clock)())?;
            }
            Called::Done { output } => self.done(log, key, planned, &output)?,
        }
        Ok(())
    }

    /// A tool that says that all is well is believed unless the world says otherwise.
    fn done(
        &self,
        log: &StepLog,
        key: StepKey<'_>,
        planned: &Step,
        output: &Value,
    ) -> Result<(), StepAppendError> {
        let result_hash = hash_of(output);
        let seen = self.look(key.step_id);
        let expected = planned.confirm.as_ref().and_then(|it| it.after.as_deref());
        let found = seen.as_ref().and_then(Seen::hash);
        let now = (self.around.clock)();
        let before = planned.confirm.as_ref().and_then(|it| it.before.as_deref());
        // Where only the state before is known, that the world still has it says that nothing happened.
        let unchanged = expected.is_none() && before.is_some() && before == found;
        if unchanged || (expected.is_some() && expected != found) {
            let evidence = json!({
                "expected_post_hash": expected,
                "pre_hash": before,
                "observed": seen.as_ref().map(shown),
                "result_hash": result_hash,
            });
            log.mark_needs_review(key, NOT_AS_EXPECTED, Some(evidence), now)?;
            return Ok(());
        }
        let done = Completion {
            post_hash: found.map(str::to_owned),
            result_hash: Some(result_hash),
            recovered: false,
            evidence: None,
        };
        log.mark_completed(key, done, now)?;
        Ok(())
    }

    /// D3
    fn wait_for_rest(&mut self, step: &StepState) -> Result<(), RunError> {
        let deadline = Instant::now() + self.around.rest_wait_max;
        while !self.at_rest {
            self.at_rest = self.around.tools.at_rest(self.started)?;
            if self.at_rest {
                break;
            }
            if (self.around.stop)() || Instant::now() > deadline {
                return Err(RunError::StillRunning { step_id: step.step_id().to_owned() });
            }
            std::thread::park_timeout(LOOK_AGAIN);
        }
        Ok(())
    }

    fn look(&self, step_id: &str) -> Option<Seen> {
        let confirm = self.mandate.step(step_id)?.confirm.as_ref()?;
        Some(look(self.around.world, &confirm.file))
    }
}

/// A verdict, and the look at the world that it rests on.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) kind: wal_recovery::steps::VerdictKind,
    verdict: Option<Verdict>,
    seen: Option<Seen>,
}

impl Judged {
    fn of(verdict: Verdict, seen: Option<Seen>) -> Self {
        Self { kind: verdict.kind, verdict: Some(verdict), seen }
    }

    /// Nothing is judged: no table asks for the verdict then.
    fn nothing() -> Self {
        let kind = wal_recovery::steps::VerdictKind::ManualReview;
        Self { kind, verdict: None, seen: None }
    }

    fn confirmed(self) -> Completion {
        let (post_hash, evidence) = self.verdict.map(|it| (it.post_hash, it.evidence)).unzip();
        Completion { post_hash: post_hash.flatten(), result_hash: None, recovered: true, evidence }
    }

    /// Why a human is needed, and everything that is known.
    fn for_review(self) -> (&'static str, Value) {
        let seen = self.seen.as_ref().map(shown);
        match self.verdict {
            None => ("", Value::Null),
            Some(Verdict { reason, mut evidence, .. }) => {
                if let (Some(seen), Some(map)) = (seen, evidence.as_object_mut()) {
                    map.insert("observed_now".to_owned(), seen);
                }
                (reason.as_str(), evidence)
            }
        }
    }
}

fn shown(seen: &Seen) -> Value {
    match seen {
        Seen::Known(hash) => json!(hash),
        Seen::Unknown { why } => json!({ "unknown": why }),
    }
}

/// The hash of an output. One with floats has no hash of the step log, and that of its canonical bytes
/// says as much.
fn hash_of(output: &Value) -> String {
    sha256_json(output).unwrap_or_else(|_| sha256(&canonical_json(output)))
}
