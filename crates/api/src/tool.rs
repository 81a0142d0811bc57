//! `POST /v1/tool`: one tool call of an agent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What an agent wants to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolRequest {
    /// Kind of the tool, for example `tool.echo`.
    pub kind: String,
    /// Parameters of the tool.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// What the agent says about itself; seen by the policy, never trusted by the runtime.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
}

/// The two answers of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The tool may run.
    Allow,
    /// The tool did not and will not run.
    Deny,
}

impl Verdict {
    /// Returns the text used on the wire and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// The answer to a tool call. Every answer carries a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolResponse {
    /// Whether the tool was allowed to run.
    pub decision: Verdict,
    /// Version of the policy that decided; empty when none is loaded.
    pub policy_ref: String,
    /// Id of the call in the log.
    pub audit_id: String,
    /// Sequence number of the decision in the log; absent when it could not be recorded, in which
    /// case the decision is always `deny`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What the tool returned; `null` when no executor is registered for the kind.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub output: Option<Value>,
    /// What went wrong in the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the policy demands of whoever runs the call: the tool of the runtime has met it, and an agent
    /// that runs the call itself (`output` is `null`) must meet it or not run it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<Value>,
}

/// Keeps `"output": null` apart from a missing `output`.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_of_null_is_not_a_missing_output() {
        let text = r#"{"decision":"allow","policy_ref":"1.0.0","audit_id":"a","output":null}"#;
        let answer: ToolResponse = serde_json::from_str(text).unwrap();
        assert_eq!(answer.output, Some(Value::Null));
        assert_eq!(serde_json::to_string(&answer).unwrap(), text);
        let text = r#"{"decision":"deny","policy_ref":"","audit_id":"a"}"#;
        let answer: ToolResponse = serde_json::from_str(text).unwrap();
        assert_eq!(answer.output, None);
        assert_eq!(serde_json::to_string(&answer).unwrap(), text);
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let got = serde_json::from_str::<ToolRequest>(r#"{"kind":"x","parms":{}}"#);
        assert!(got.unwrap_err().to_string().contains("parms"));
    }
}
