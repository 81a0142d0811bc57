//! A runtime inside another program, with a tool and a policy of its own: `cargo run -p runtime --example
//! own_tool`.
//!
//! The policy allows the lamp to be switched when it is dimmed, which the tool has to see to, and not at
//! all in the server room. One call is allowed, one is denied, and both are on record.

#![expect(clippy::print_stdout, reason = "an example, not a library")]

use std::{
    collections::BTreeMap,
    error::Error,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use policy::{Evaluator, Recipe, RuntimeRequirement, build};
use runtime::{
    Config, PolicyFrom, Runtime, Tool, ToolCall, ToolError, ToolErrorCode, ToolFuture, Tools,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

const POLICY: &str = r#"package autonomy

decision := {"allow": true, "rule": "lamps", "obligations": [{"dim": 40}]} if input.kind == "tool.lamp"

deny contains "the server room stays lit" if input.params.room == "servers"
"#;

/// A lamp, which knows one obligation: how bright it may be at most.
#[derive(Clone, Debug, Default)]
struct Lamp {
    on: Arc<AtomicBool>,
}

impl Tool for Lamp {
    fn kind(&self) -> &'static str {
        "tool.lamp"
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": { "room": { "type": "string" }, "on": { "type": "boolean" } },
            "required": ["room", "on"],
        })
    }

    /// Whoever says yes here has to do it in `run`. What a tool does not know it must not meet.
    fn meets(&self, obligation: &Value) -> bool {
        brightness(obligation).is_some()
    }

    fn run<'a>(&'a self, call: &'a ToolCall) -> ToolFuture<'a> {
        Box::pin(async move {
            let on = call.params.get("on").and_then(Value::as_bool).ok_or_else(|| {
                ToolError::new(ToolErrorCode::BadParams, "parameter `on` must be a boolean")
            })?;
            self.on.store(on, Ordering::Relaxed);
            let brightness = call.obligations.iter().filter_map(brightness).min().unwrap_or(100);
            Ok(json!({ "on": on, "brightness": brightness }))
        })
    }
}

/// Reads `{"dim": 0..=100}` and nothing else.
fn brightness(obligation: &Value) -> Option<u64> {
    let only = obligation.as_object().filter(|it| it.len() == 1)?;
    only.get("dim")?.as_u64().filter(|it| *it <= 100)
}

/// A policy from its text; a file in a bundle would do as well.
fn evaluator() -> Result<Arc<dyn Evaluator>, Box<dyn Error>> {
    let files = BTreeMap::from([("lamps.rego".to_owned(), POLICY.into())]);
    let requirement = RuntimeRequirement::default();
    let created_at = jiff::Timestamp::now();
    let recipe =
        Recipe { version: "1.0.0", name: Some("lamps"), requirement: &requirement, created_at };
    Ok(Arc::new(build(&files, &recipe)?.bundle.evaluator()?))
}

/// Any HTTP client does; this one needs no library.
async fn call(port: u16, params: &Value) -> Result<Value, Box<dyn Error>> {
    let body = json!({ "kind": "tool.lamp", "params": params }).to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let head = "POST /v1/tool HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length:";
    stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("the answer has no body")?;
    Ok(serde_json::from_str(body)?)
}

/// Serves, makes an allowed and a denied call, stops, and returns both answers.
pub(crate) async fn two_calls(dir: &Path) -> Result<[Value; 2], Box<dyn Error>> {
    let config = Config::new(dir, PolicyFrom::Fixed(evaluator()?), "living-room-1");
    let runtime = Runtime::open(&config, Tools::default().with(Lamp::default())).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(runtime.serve(listener, async { stopped.await.unwrap_or(()) }));
    let answers = [
        call(port, &json!({ "room": "kitchen", "on": true })).await?,
        call(port, &json!({ "room": "servers", "on": false })).await?,
    ];
    drop(stop);
    // Everything that was answered is on disk already; this closes the log.
    served.await??;
    Ok(answers)
}

#[tokio::main]
#[allow(dead_code, reason = "the tests include this file for `two_calls`")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("own-tool-{}", std::process::id()));
    for answer in two_calls(&dir).await? {
        println!("{answer:#}");
    }
    println!("the record: autonomy telemetry export --dir {} --out -", dir.display());
    Ok(())
}
