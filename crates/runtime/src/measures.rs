//! What is counted and timed about calls, for `/metrics`.
//!
//! | metric                                             | meaning                                              |
//! |----------------------------------------------------|------------------------------------------------------|
//! | `autonomy_calls_total{decision, code, kind}`       | decisions on record; `code` is empty for a plain allow |
//! | `autonomy_call_outcomes_total{outcome, code, kind}` | outcomes of allowed calls                             |
//! | `autonomy_calls_unrecorded_total{code}`            | denials that have no entry of their own               |
//! | `autonomy_reloads_total{result}`                   | `loaded`, `rejected`                                  |
//! | `autonomy_tools_still_running`                     | tools that did not end at their deadline              |
//! | `autonomy_eval_seconds`                            | time of the policy                                    |
//! | `autonomy_persist_seconds`                         | from an entry to its durability                       |
//! | `autonomy_tool_seconds`                            | time of the tools                                     |
//!
//! * **B1** The number of series is bounded by this process, never by its callers: a kind that no tool has is
//!   `other`, and so is a code that is not ours.

use std::{sync::atomic::AtomicU64, time::Duration};

use api::tool::Verdict;
use policy::DenyCode;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{
    interceptor::{CallCode, Judgement},
    records::Outcome,
    tools::{ToolErrorCode, Tools},
};

/// What stands for a label that is not ours (B1).
const OTHER: &str = "other";
/// Upper ends of the buckets, in seconds: a memory copy, a flash disk, a slow disk, a slow tool.
const BUCKETS: [f64; 14] = [
    0.000_025, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0,
    30.0,
];

type Labels = [(&'static str, &'static str); 3];
type One = [(&'static str, &'static str); 1];
type Running = Gauge<u64, AtomicU64>;

/// Counts and times since the start.
#[derive(Debug)]
pub(crate) struct Measures {
    kinds: Vec<&'static str>,
    calls: Family<Labels, Counter>,
    outcomes: Family<Labels, Counter>,
    refused: Family<One, Counter>,
    reloads: Family<One, Counter>,
    running: Running,
    eval: Histogram,
    persist: Histogram,
    tool: Histogram,
}

impl Measures {
    pub(crate) fn new(tools: &Tools) -> Self {
        let histogram = || Histogram::new(BUCKETS);
        Self {
            kinds: tools.iter().map(|it| it.kind()).collect(),
            calls: Family::default(),
            outcomes: Family::default(),
            refused: Family::default(),
            reloads: Family::default(),
            running: Running::default(),
            eval: histogram(),
            persist: histogram(),
            tool: histogram(),
        }
    }

    /// A decision is on record.
    pub(crate) fn decided(&self, kind: &str, judged: &Judgement) {
        let decision = match judged.verdict {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
        };
        let code = judged.code.map_or("", known);
        self.calls
            .get_or_create(&[("decision", decision), ("code", code), ("kind", self.kind(kind))])
            .inc();
    }

    /// A tool has ended, or was given up.
    pub(crate) fn ended(&self, kind: &str, outcome: &Outcome) {
        let (name, code) = (outcome.name(), outcome.code().map_or("", ToolErrorCode::as_str));
        self.outcomes
            .get_or_create(&[("outcome", name), ("code", code), ("kind", self.kind(kind))])
            .inc();
    }

    /// A denial has no entry of its own.
    pub(crate) fn refused(&self, code: CallCode) {
        self.refused.get_or_create(&[("code", code.as_str())]).inc();
    }

    pub(crate) fn reloaded(&self, result: &'static str) {
        self.reloads.get_or_create(&[("result", result)]).inc();
    }

    pub(crate) fn evaluated(&self, time: Duration) {
        self.eval.observe(time.as_secs_f64());
    }

    pub(crate) fn persisted(&self, time: Duration) {
        self.persist.observe(time.as_secs_f64());
    }

    pub(crate) fn tool_ran(&self, time: Duration) {
        self.tool.observe(time.as_secs_f64());
    }

    /// Counts a tool as running until the value is dropped.
    pub(crate) fn still_running(&self) -> StillRunning {
        self.running.inc();
        StillRunning(self.running.clone())
    }

    /// Tools that did not end at their deadline.
    pub(crate) fn tools_still_running(&self) -> u64 {
        self.running.get()
    }

    fn kind(&self, kind: &str) -> &'static str {
        self.kinds.iter().find(|it| **it == kind).copied().unwrap_or(OTHER)
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("calls", "Decisions on record", self.calls.clone());
        registry.register("call_outcomes", "Outcomes of allowed calls", self.outcomes.clone());
        let help = "Denials that have no entry of their own";
        registry.register("calls_unrecorded", help, self.refused.clone());
        registry.register("reloads", "Replacements of the policy", self.reloads.clone());
        let help = "Tools that did not end at their deadline";
        registry.register("tools_still_running", help, self.running.clone());
        for (name, help, histogram) in [
            ("eval", "Time of the policy", &self.eval),
            ("persist", "From an entry to its durability", &self.persist),
            ("tool", "Time of the tools", &self.tool),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
    }
}

/// A tool that did not end at its deadline.
#[derive(Debug)]
pub(crate) struct StillRunning(Running);

impl Drop for StillRunning {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A code that may be a label (B1).
fn known(code: &str) -> &'static str {
    let deny = DenyCode::ALL.map(DenyCode::as_str).into_iter();
    let call = CallCode::ALL.map(CallCode::as_str).into_iter();
    deny.chain(call).find(|it| *it == code).unwrap_or(OTHER)
}
