//! The evaluator that asks a Rego policy.
//!
//! # How an evaluation runs
//!
//! The compiled policy is shared and never changes. An evaluation takes an idle engine, or makes one
//! as a clone of the first, and has it for itself; the lock around the idle ones is held for a push or
//! a pop and never while something is evaluated. An engine is made for one input after the other,
//! and starts each with a clean state. One that failed is thrown away, since what it left behind is
//! unknown (R1). A clone for every evaluation would be simpler, and costs as much again as the
//! evaluation at a thousand rules: an engine has tables as large as the policy.
//!
//! # Invariants
//!
//! * **R1** Nothing of one evaluation reaches another, on this thread or any other.
//! * **R2** Every way an evaluation can end is a [`Decision`]; an allow comes from
//!   [`verdict`](super::verdict) alone.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use regorus::{Engine, LimitError, Value, utils::limits::ExecutionTimerConfig};
use serde_json::Value as Json;

use super::{
    ModuleError,
    compile::{self, Program, SourceModule},
    input,
    place::Report,
    stack,
    verdict::{self, Answers, Flag, Vetoes, Whole},
};
use crate::{Decision, DenyCode, Evaluator, Request};

/// Longest time each of the at most three rules of an evaluation may take. The engine looks at its
/// clock between expressions; it is a clock of the wall, so a busy machine shortens the time.
pub const EVALUATION_TIME_MAX: Duration = Duration::from_secs(1);

/// Most engines that wait for their next evaluation; more than this many threads make new ones.
const IDLE_ENGINES_MAX: usize = 64;

/// Work of the engine between two looks at the clock.
pub(super) const CLOCK_INTERVAL: NonZeroU32 = NonZeroU32::MIN.saturating_add(31);

/// How the engine begins to say that the time is over, when the error went through a function of
/// the policy and lost its type there.
pub(super) const TIME_IS_OVER: &str = "execution exceeded time limit";

/// Decides by a Rego policy (R1, R2).
pub struct RegoEvaluator {
    program: Program,
    /// Engines that nobody uses at the moment.
    idle: Mutex<Vec<Engine>>,
    stack: usize,
    version: String,
    digest: String,
}

/// Why there are no answers.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    TimeOver,
    Error(String),
}

impl RegoEvaluator {
    pub(crate) fn compile(modules: &[SourceModule], data: &Json) -> Result<Self, ModuleError> {
        let mut program = compile::compile(modules, data)?;
        program.engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: EVALUATION_TIME_MAX,
            check_interval: CLOCK_INTERVAL,
        });
        let stack = stack::need(program.depth);
        let idle = Mutex::default();
        Ok(Self { program, idle, stack, version: String::new(), digest: String::new() })
    }

    /// Says which bundle the policy is from.
    pub(crate) fn named(self, version: &str, digest: &str) -> Self {
        Self { version: version.to_owned(), digest: digest.to_owned(), ..self }
    }

    /// Takes an engine out for one evaluation.
    fn engine(&self) -> Engine {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| self.program.engine.clone())
    }

    /// Puts an engine back after an evaluation that went well.
    fn keep(&self, engine: Engine) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_ENGINES_MAX {
            idle.push(engine);
        }
    }

    fn ask(&self, input: Value) -> Result<Answers, Failure> {
        let mut engine = self.engine();
        engine.set_input(input);
        let mut ask = |rule: &str| {
            engine.eval_rule(rule.to_owned()).map_err(|error| {
                match (error.downcast_ref::<LimitError>(), error.to_string()) {
                    (Some(LimitError::TimeLimitExceeded { .. }), _) => Failure::TimeOver,
                    (_, text) if text.contains(TIME_IS_OVER) => Failure::TimeOver,
                    (_, text) => Failure::Error(Report::read(&text).to_string()),
                }
            })
        };
        let decision = match self.program.decision {
            Some(rule) => verdict::read_decision(&ask(rule)?),
            None => Whole::NotDeclared,
        };
        let allow = match self.program.allow {
            Some(rule) => verdict::read_allow(&ask(rule)?),
            None => Flag::NotDeclared,
        };
        let deny = match self.program.deny {
            Some(rule) => verdict::read_deny(&ask(rule)?),
            None => Vetoes::Nothing,
        };
        self.keep(engine);
        Ok(Answers { decision, allow, deny })
    }
}

impl Evaluator for RegoEvaluator {
    fn evaluate(&self, request: &Request) -> Decision {
        let Ok(input) = input::document(request) else {
            return Decision::deny(DenyCode::RequestTooLarge, None, None);
        };
        settle(self.stack, || self.ask(input))
    }

    fn policy_ref(&self) -> &str {
        &self.version
    }

    fn policy_digest(&self) -> &str {
        &self.digest
    }
}

impl fmt::Debug for RegoEvaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegoEvaluator")
            .field("version", &self.version)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// Turns every way `ask` can end into a decision (R2).
fn settle(stack: usize, ask: impl FnOnce() -> Result<Answers, Failure> + Send) -> Decision {
    let (code, reason) = match stack::run(stack, ask) {
        Ok(Ok(Ok(answers))) => return verdict::decide(answers),
        Ok(Ok(Err(Failure::TimeOver))) => (DenyCode::EvaluationTimeout, None),
        Ok(Ok(Err(Failure::Error(text)))) => (DenyCode::EvaluationError, Some(text)),
        Ok(Err(panic)) => {
            let text = stack::panic_text(&*panic).to_owned();
            (DenyCode::EvaluatorPanicked, Some(text))
        }
        Err(error) => (DenyCode::EvaluationError, Some(format!("no thread: {error}"))),
    };
    Decision::deny(code, reason.as_deref(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(decision: &Decision) -> Option<DenyCode> {
        if let Decision::Deny(deny) = decision { Some(deny.code()) } else { None }
    }

    #[test]
    fn every_failure_is_a_deny_with_its_own_code() {
        for stack in [0, stack::STACK_LEFT_MIN + 1] {
            let got = settle(stack, || Err(Failure::TimeOver));
            assert_eq!(code(&got), Some(DenyCode::EvaluationTimeout));
            let got = settle(stack, || Err(Failure::Error("x.rego:1:1: no".to_owned())));
            assert_eq!(code(&got), Some(DenyCode::EvaluationError));
            let got = settle(stack, || panic!("the engine broke"));
            let Decision::Deny(deny) = got else { panic!("it is a deny") };
            assert_eq!(deny.code(), DenyCode::EvaluatorPanicked);
            assert_eq!(deny.reason(), "the engine broke");
        }
    }

    #[test]
    fn an_evaluator_is_shared_between_threads() {
        fn shared<T: Send + Sync + 'static>() {}
        shared::<RegoEvaluator>();
    }
}
