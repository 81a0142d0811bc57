//! `tool.echo` returns its message.

use serde_json::{Map, Value, json};

use super::{Tool, ToolFuture, only_text};

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

    fn run<'a>(&'a self, params: &'a Map<String, Value>) -> ToolFuture<'a> {
        Box::pin(async move { Ok(json!({ "message": only_text(params, "message")? })) })
    }
}
