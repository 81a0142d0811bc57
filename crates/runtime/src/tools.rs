//! Tools: what an allowed call does.
//!
//! A tool is asked only after the decision is durable (see `interceptor`). It gets the parameters
//! and returns a value or an error; it never sees the policy, and it never writes the log.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use thiserror::Error;

mod echo;
mod http_get;
mod shell;

pub use echo::Echo;
pub use http_get::{HttpGet, Lookup, LookupFuture};
pub use shell::{Shell, ShellLimits};

/// What a tool will have done.
pub type ToolFuture<'a> = Pin<Box<dyn Future<Output = Result<Value, ToolError>> + Send + 'a>>;

/// Something that an agent may be allowed to do.
pub trait Tool: fmt::Debug + Send + Sync {
    /// Kind by which agents and policies name it, for example `tool.echo`.
    fn kind(&self) -> &'static str;

    /// JSON Schema of the parameters.
    fn schema(&self) -> Value;

    /// Whether it does what a policy demands of it. A call with an obligation that it does not meet is
    /// denied before anything runs; none is met unless a tool says so.
    fn meets(&self, obligation: &Value) -> bool {
        let _ = obligation;
        false
    }

    /// Does it. The runtime drops the future at the deadline; whatever must not outlive it has to
    /// end with it.
    fn run<'a>(&'a self, call: &'a ToolCall) -> ToolFuture<'a>;
}

/// An allowed call, as its tool sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolCall {
    /// Id of the call in the log.
    pub audit_id: String,
    /// Its parameters, as the agent sent them.
    pub params: Map<String, Value>,
    /// What the policy demands; the tool has said that it meets each.
    pub obligations: Vec<Value>,
    /// After this time the runtime drops the call and whatever the tool would have returned.
    pub time_limit: Option<Duration>,
}

impl ToolCall {
    /// How long a tool that bounds itself by `own` may take: sooner than the runtime, which keeps nothing
    /// of what it drops.
    pub fn time_for(&self, own: Duration) -> Duration {
        self.time_limit.map_or(own, |it| own.min(it.mul_f64(0.9)))
    }
}

/// Why a tool that was allowed did not succeed.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{message}")]
pub struct ToolError {
    /// Stable code.
    pub code: ToolErrorCode,
    /// What went wrong, with values.
    pub message: String,
    /// What the tool returned all the same.
    pub output: Option<Value>,
}

impl ToolError {
    /// Makes an error without output.
    pub fn new(code: ToolErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), output: None }
    }
}

/// The kinds of failure of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolErrorCode {
    /// The parameters are not what the tool takes.
    BadParams,
    /// The endpoint is not in the allow list; nothing was sent.
    EndpointNotAllowed,
    /// The tool did not finish before the deadline.
    Timeout,
    /// The tool tried and failed.
    Failed,
    /// The tool returned more than its limit.
    OutputTooLarge,
}

impl ToolErrorCode {
    /// Every code.
    pub const ALL: [Self; 5] = [
        Self::BadParams,
        Self::EndpointNotAllowed,
        Self::Timeout,
        Self::Failed,
        Self::OutputTooLarge,
    ];

    /// Returns the text used on the wire and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadParams => "bad_params",
            Self::EndpointNotAllowed => "endpoint_not_allowed",
            Self::Timeout => "tool_timeout",
            Self::Failed => "tool_failed",
            Self::OutputTooLarge => "output_too_large",
        }
    }
}

/// The tools of a runtime, by kind.
#[derive(Clone, Debug, Default)]
pub struct Tools(BTreeMap<&'static str, Arc<dyn Tool>>);

impl Tools {
    /// Registers a tool; the last one of a kind counts.
    #[must_use]
    pub fn with(mut self, tool: impl Tool + 'static) -> Self {
        self.0.insert(tool.kind(), Arc::new(tool));
        self
    }

    /// Returns the tool for `kind`.
    pub fn get(&self, kind: &str) -> Option<&Arc<dyn Tool>> {
        self.0.get(kind)
    }

    /// Returns the tools in order of their kinds.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Tool>> {
        self.0.values()
    }
}

/// Takes one required text out of the parameters and refuses any other key.
fn only_text<'a>(params: &'a Map<String, Value>, key: &str) -> Result<&'a str, ToolError> {
    only_keys(params, &[key])?;
    match params.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(bad(format!("parameter `{key}` must be a string, not {other}"))),
        None => Err(bad(format!("parameter `{key}` is missing"))),
    }
}

fn only_keys(params: &Map<String, Value>, known: &[&str]) -> Result<(), ToolError> {
    match params.keys().find(|it| !known.contains(&it.as_str())) {
        Some(extra) => Err(bad(format!("parameter `{extra}` is not known"))),
        None => Ok(()),
    }
}

fn bad(message: String) -> ToolError {
    ToolError::new(ToolErrorCode::BadParams, message)
}
