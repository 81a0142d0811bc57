//! `tool.echo` returns its message.

use serde_json::{Value, json};

use super::{Tool, ToolCall, ToolFuture, only_text};

/// Returns `{"message": …}` as it came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Tool for Echo {
    fn kind(&self) -> &'static str {
        "tool.echo"
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": { "message": { "type": "string" } },
            "required": ["message"],
            "additionalProperties": false,
        })
    }

    fn run<'a>(&'a self, call: &'a ToolCall) -> ToolFuture<'a> {
        Box::pin(async move { Ok(json!({ "message": only_text(&call.params, "message")? })) })
    }
}
