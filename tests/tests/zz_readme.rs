use std::time::Duration;

use runtime::{Config, Echo, Runtime, Tool, ToolFuture, Tools};
use serde_json::{Map, Value, json};
use wal_recovery::{Durability, Overrides};

/// A tool of your own.
#[derive(Debug)]
struct Lamp;

impl Tool for Lamp {
    fn kind(&self) -> &'static str {
        "tool.lamp"
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "properties": { "on": { "type": "boolean" } } })
    }

    fn run<'a>(&'a self, params: &'a Map<String, Value>) -> ToolFuture<'a> {
        Box::pin(async move { Ok(json!({ "on": params.get("on") })) })
    }
}

#[test]
fn nothing(){}
#[expect(dead_code, reason="")]
async fn main_() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config {
        wal_dir: "./wal".into(),
        policy_dir: "./policy".into(),
        node: "edge-1".to_owned(),
        operator: None,
        strict: false,
        overrides: Overrides::default(),
        durability: Durability::Chained,
        redact_params: false,
        max_body: Config::MAX_BODY,
        tool_timeout: Duration::from_secs(5),
    };
    let runtime = Runtime::open(&config, Tools::default().with(Echo).with(Lamp)).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:7777").await?;
    runtime.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await?;
    Ok(())
}
