//! What is written about a call.
//!
//! | entry                | when                                    | carries                        |
//! |----------------------|-----------------------------------------|--------------------------------|
//! | `autonomy.decision`  | before the tool starts, always          | decision, kind, audit id, why  |
//! | `autonomy.action`    | the tool succeeded, or no executor      | `outcome`: `ok`, `no_executor` |
//! | `autonomy.error`     | the tool failed                         | `outcome`: `failed`, `refused` |
//! | `autonomy.error`     | at the next start, nobody knows         | `outcome`: `unknown`           |
//!
//! * **O1** Both entries of a call carry the same `audit_id`.
//! * **O3** An entry is small enough for every consumer, whatever an agent sends: parameters over
//!   64 KiB are left out and their length is noted; the digest stays. Otherwise an agent
//!   could choose which of its decisions a control plane refuses to take.
//! * **O4** A decision of a policy can be made again from its entry, unless something was left out (O2, O3) and the
//!   entry says so. One that no policy made has no `context`.
//! * **O2** With redaction the parameters never reach the log; their digest does.

use api::tool::Verdict;
use serde_json::{Map, Value};
use wal_format::{Event, Kind};

use crate::{
    interceptor::Judgement,
    tools::{ToolError, ToolErrorCode},
    trace::TraceContext,
};

mod decision;

pub(crate) use decision::Decision;

/// Most bytes of the error text of a tool that stand in an entry.
const ERROR_LEN_MAX: usize = 4 << 10;

/// Cuts a text between characters.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(ERROR_LEN_MAX)).unwrap_or_default()
}

/// What is known about a call before anything is decided.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) audit_id: String,
    pub(crate) kind: String,
    pub(crate) params: Map<String, Value>,
    pub(crate) trace: Option<TraceContext>,
}

impl Call {
    /// The entry that must be durable before the tool starts.
    pub(crate) fn decision<'a>(
        &'a self,
        judged: &'a Judgement,
        about: &'a About,
    ) -> Event<Decision<'a>> {
        self.traced(Kind::Decision, Decision::of(self, judged, about))
    }

    /// The entry about what came of an allowed call.
    pub(crate) fn outcome(&self, outcome: &Outcome, about: &About) -> Event {
        let event = match outcome {
            Outcome::Done(_) | Outcome::NoExecutor => {
                Event::new(Kind::Action).with("outcome", outcome.name())
            }
            Outcome::Failed(error) | Outcome::StillRunning(error) => Event::new(Kind::Error)
                .with("outcome", outcome.name())
                .with("code", error.code.as_str())
                // The text of an error quotes parameters (O2).
                .with_some("error", (!about.redact_params).then(|| cut(&error.message)))
                .with_some("still_running", outcome.still_running().then_some(true)),
        };
        let event = event.with("kind", self.kind.as_str()).with("audit_id", self.audit_id.as_str());
        self.traced(event.kind, event.attrs)
    }

    fn traced<A>(&self, kind: Kind, attrs: A) -> Event<A> {
        let trace = self.trace.as_ref();
        Event {
            kind,
            attrs,
            trace_id: trace.map(|it| it.trace_id.clone()),
            span_id: trace.map(|it| it.span_id.clone()),
        }
    }
}

/// What every decision says besides the call.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) operator: Option<String>,
    pub(crate) redact_params: bool,
}

/// What came of an allowed call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Done(Value),
    /// No executor is registered: the agent executes itself.
    NoExecutor,
    Failed(ToolError),
    /// The tool did not end when it was told to: what it still does nobody will hear of.
    StillRunning(ToolError),
}

impl Outcome {
    /// Its name in the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Done(_) => "ok",
            Self::NoExecutor => "no_executor",
            Self::Failed(error) if error.code.refused() => "refused",
            Self::Failed(_) | Self::StillRunning(_) => "failed",
        }
    }

    /// Its code, when it is a failure.
    pub(crate) fn code(&self) -> Option<ToolErrorCode> {
        match self {
            Self::Done(_) | Self::NoExecutor => None,
            Self::Failed(error) | Self::StillRunning(error) => Some(error.code),
        }
    }

    fn still_running(&self) -> bool {
        matches!(self, Self::StillRunning(_))
    }
}

impl ToolErrorCode {
    /// Whether the runtime refused before the tool touched anything.
    fn refused(self) -> bool {
        matches!(self, Self::BadParams | Self::EndpointNotAllowed)
    }
}

/// The entry about a call that was allowed and whose outcome nobody knows.
pub(crate) fn unknown_outcome(audit_id: &str, kind: &str, seq: u64) -> Event {
    Event::new(Kind::Error)
        .with("outcome", "unknown")
        .with("audit_id", audit_id)
        .with("kind", kind)
        .with("decision_seq", seq)
}

/// An entry about the process itself.
pub(crate) fn lifecycle(name: &str) -> Event {
    Event::new(Kind::Lifecycle).with("event", name)
}

/// A verdict's entry in a map of attributes, if it is one.
pub(crate) fn verdict_in(attrs: &Map<String, Value>) -> Option<Verdict> {
    match attrs.get("decision").and_then(Value::as_str)? {
        "allow" => Some(Verdict::Allow),
        "deny" => Some(Verdict::Deny),
        _ => None,
    }
}
