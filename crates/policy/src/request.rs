//! What is asked of a policy.
//!
//! # Input document
//!
//! | path                     | from                        | trust                               |
//! |--------------------------|-----------------------------|-------------------------------------|
//! | `input.kind`             | [`Request::kind`]           | the agent's word                    |
//! | `input.params`           | [`Request::params`]         | the agent's word                    |
//! | `input.context.node`     | [`Context::node`]           | the runtime's word                  |
//! | `input.context.operator` | [`Context::operator`]       | the runtime's word                  |
//! | `input.context.time`     | [`Context::time`]           | the runtime's word                  |
//! | `input.context.mode`     | [`Context::mode`]           | the runtime's word                  |
//! | `input.context.agent`    | [`Request::agent_context`]  | the agent's word; absent when it said nothing |
//!
//! Nothing else is in it, and nothing of it depends on anything but the request.
//!
//! `input.context.time` is RFC 3339 in UTC with exactly three digits of a second,
//! `2026-03-01T09:30:00.000Z`: texts of equal length, so comparing them compares the times, and
//! `substring(input.context.time, 11, 2)` is the hour, from `"00"` to `"23"`.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// What an agent wants to do, and under which circumstances.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Kind of the tool, for example `tool.echo`.
    pub kind: String,
    /// Parameters of the tool.
    pub params: Map<String, Value>,
    /// What the runtime knows.
    pub context: Context,
    /// What the agent says about itself, when it said anything.
    pub agent_context: Option<Map<String, Value>>,
}

/// What the runtime knows about the moment of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Id of the node.
    pub node: String,
    /// Who operates the node.
    pub operator: String,
    /// When the request arrived.
    pub time: Timestamp,
    /// Mode of the runtime, for example `normal`.
    pub mode: String,
}
