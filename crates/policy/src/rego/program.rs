//! The evaluator that asks a Rego policy.
//!
//! # How an evaluation runs
//!
//! The compiled policy is shared and never changes. An evaluation takes an idle engine, or makes one
//! as a clone of the first, and has it for itself; the lock around the idle ones is held for a push or
//! a pop and never while something is evaluated. An engine is made for one input after the other,
//! and starts each with a clean state. One that failed is thrown away, since what it left behind is
//! unknown (R1). A clone for every evaluation would be simpler, and costs as much again as the
//! evaluation at a thousand rules: an engine has tables as large as the policy. When the policy has an
//! [`index`](super::index), there are such engines for each group of kinds, and a request goes to those
//! of its group.
//!
//! # Invariants
//!
//! * **R1** Nothing of one evaluation reaches another, on this thread or any other.
//! * **R2** Every way an evaluation can end is a [`Decision`]; an allow comes from
//!   [`verdict`](super::verdict) alone.

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
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
/// The same for each group of an index, whose engines are small and quickly cloned.
const IDLE_GROUP_ENGINES_MAX: usize = 8;

/// Work of the engine between two looks at the clock.
pub(super) const CLOCK_INTERVAL: NonZeroU32 = NonZeroU32::MIN.saturating_add(31);

/// How the engine begins to say that the time is over, when the error went through a function of
/// the policy and lost its type there.
pub(super) const TIME_IS_OVER: &str = "execution exceeded time limit";

/// Decides by a Rego policy (R1, R2).
pub struct RegoEvaluator {
    decision: Option<&'static str>,
    allow: Option<&'static str>,
    deny: Option<&'static str>,
    /// The whole policy.
    whole: Pool,
    /// The policy as far as it is about the kinds of a group; empty without an index.
    groups: Vec<Pool>,
    /// The group of a kind; of any other it is the first.
    kinds: BTreeMap<String, usize>,
    stack: usize,
    version: String,
    digest: String,
}

/// One engine and the clones of it that nobody uses at the moment.
struct Pool {
    /// Never evaluates anything itself.
    first: Engine,
    idle: Mutex<Vec<Engine>>,
    idle_max: usize,
}

impl Pool {
    fn new(mut first: Engine, idle_max: usize) -> Self {
        first.set_execution_timer_config(ExecutionTimerConfig {
            limit: EVALUATION_TIME_MAX,
            check_interval: CLOCK_INTERVAL,
        });
        Self { first, idle: Mutex::default(), idle_max }
    }

    /// Takes an engine out for one evaluation.
    fn take(&self) -> Engine {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| self.first.clone())
    }

    /// Puts an engine back after an evaluation that went well.
    fn keep(&self, engine: Engine) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.idle_max {
            idle.push(engine);
        }
    }
}

/// Why there are no answers.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    TimeOver,
    Error(String),
}

impl RegoEvaluator {
    pub(crate) fn compile(modules: &[SourceModule], data: &Json) -> Result<Self, ModuleError> {
        let Program { engine, decision, allow, deny, depth, groups, kinds } =
            compile::compile(modules, data)?;
        let groups = groups.into_iter().map(|it| Pool::new(it, IDLE_GROUP_ENGINES_MAX)).collect();
        Ok(Self {
            decision,
            allow,
            deny,
            whole: Pool::new(engine, IDLE_ENGINES_MAX),
            groups,
            kinds,
            stack: stack::need(depth),
            version: String::new(),
            digest: String::new(),
        })
    }

    /// Gives up the index: every request is decided by the whole policy.
    ///
    /// The decisions are the same and take longer; this is for who wants to compare.
    #[must_use]
    pub fn without_index(self) -> Self {
        Self { groups: Vec::new(), kinds: BTreeMap::new(), ..self }
    }

    /// Returns how many groups of tools have an engine of their own; zero without an index.
    pub fn index_groups(&self) -> usize {
        self.groups.len()
    }

    /// Says which bundle the policy is from.
    pub(crate) fn named(self, version: &str, digest: &str) -> Self {
        Self { version: version.to_owned(), digest: digest.to_owned(), ..self }
    }

    /// The engines for a kind.
    fn pool(&self, kind: &str) -> &Pool {
        let group = self.kinds.get(kind).copied().unwrap_or_default();
        self.groups.get(group).unwrap_or(&self.whole)
    }

    fn ask(&self, kind: &str, input: Value) -> Result<Answers, Failure> {
        let pool = self.pool(kind);
        let mut engine = pool.take();
        engine.set_input(input);
        let mut ask = |rule: &str| {
            let started = Instant::now();
            let answer = engine.eval_rule(rule.to_owned()).map_err(|error| {
                match (error.downcast_ref::<LimitError>(), error.to_string()) {
                    (Some(LimitError::TimeLimitExceeded { .. }), _) => Failure::TimeOver,
                    (_, text) if text.contains(TIME_IS_OVER) => Failure::TimeOver,
                    (_, text) => Failure::Error(Report::read(&text).to_string()),
                }
            })?;
            // The engine looks at the clock between expressions and not inside one, nor at the end.
            if started.elapsed() > EVALUATION_TIME_MAX {
                return Err(Failure::TimeOver);
            }
            Ok(answer)
        };
        let decision = match self.decision {
            Some(rule) => verdict::read_decision(&ask(rule)?),
            None => Whole::NotDeclared,
        };
        let allow = match self.allow {
            Some(rule) => verdict::read_allow(&ask(rule)?),
            None => Flag::NotDeclared,
        };
        let deny = match self.deny {
            Some(rule) => verdict::read_deny(&ask(rule)?),
            None => Vetoes::Nothing,
        };
        pool.keep(engine);
        Ok(Answers { decision, allow, deny })
    }
}

impl Evaluator for RegoEvaluator {
    fn evaluate(&self, request: &Request) -> Decision {
        let Ok(input) = input::document(request) else {
            return Decision::deny(DenyCode::RequestTooLarge, None, None);
        };
        settle(self.stack, || self.ask(&request.kind, input))
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
