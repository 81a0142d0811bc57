//! A process that serves, so that its threads and those of the callers are not the same.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use axum::{Json, Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use policy::{Recipe, RuntimeRequirement, build};
use runtime::{Config, Echo, Limits, PolicyFrom, Runtime, Tools};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot};

use super::SERVER;
use crate::{plain::Plain, space::Kind};

/// What a decision of ours has as a frame, about: the plain append writes as much.
const RECORD_LEN: usize = 640;

/// More than are ever opened.
const CONNECTIONS_MAX: usize = 12_000;

/// A small policy: one rule that allows, one that denies.
const POLICY: &str = r#"package autonomy

decision := {"allow": true, "rule": "echo"} if input.kind == "tool.echo"

decision := {"allow": false, "reason": "shell is never allowed", "rule": "shell"} if input.kind == "tool.shell"
"#;

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Serves {
    /// The product.
    Runtime,
    /// axum: the body parsed, one record durable in a group, an answer of the same length.
    Durable,
    /// The same without the record.
    Bare,
}

impl Serves {
    const ALL: [Self; 3] = [Self::Runtime, Self::Durable, Self::Bare];

    const fn name(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Durable => "durable",
            Self::Bare => "bare",
        }
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub(crate) fn start(serves: Serves, dir: &Path) -> Result<Self> {
        Self::spawn(&[SERVER, serves.name()], dir)
    }

    /// Runs a hidden command that serves in `dir`, prints its port, and ends with its input.
    pub(crate) fn spawn(words: &[&str], dir: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let command = command.args(words).arg(dir);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut line)?;
        let port = line.trim().parse().context("the server says its port")?;
        Ok(Self { child, port })
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Memory that it has now, in MiB.
    pub(crate) fn memory_mib(&self) -> Result<f64> {
        self.status_mib("VmRSS:")
    }

    /// The most memory that it ever had, in MiB.
    pub(crate) fn peak_mib(&self) -> Result<f64> {
        self.status_mib("VmHWM:")
    }

    fn status_mib(&self, key: &str) -> Result<f64> {
        let kib = crate::memory::status_kib_of(&self.child.id().to_string(), key)?;
        Ok(kib as f64 / 1024.0)
    }

    /// Ends it in peace.
    pub(crate) fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a failure; after `stop` there is nobody left to be killed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Serves in `dir` until the input ends.
pub(crate) fn serve(who: &str, dir: &Path) -> Result<()> {
    let serves = Serves::ALL.into_iter().find(|it| it.name() == who).context("a server")?;
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    threads.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let stopped = input_ended();
        match serves {
            Serves::Runtime => {
                let runtime = Runtime::open(&config(dir)?, Tools::default().with(Echo)).await?;
                println!("{port}");
                runtime.serve(listener, stopped).await?;
            }
            Serves::Durable | Serves::Bare => {
                let durable = serves == Serves::Durable;
                let log = durable.then(|| Plain::start(dir, Kind::Growing, false)).transpose()?;
                let app =
                    Router::new().route("/v1/tool", post(answer)).with_state(log.map(Arc::new));
                println!("{port}");
                axum::serve(listener, app).with_graceful_shutdown(stopped).await?;
            }
        }
        Ok(())
    })
}

/// Ends with the input: whoever started this process ends it so.
pub(crate) fn input_ended() -> impl Future<Output = ()> + Send + 'static {
    let (stop, stopped) = oneshot::channel();
    std::thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        stop.send(()).ok();
    });
    async {
        stopped.await.ok();
    }
}

async fn answer(State(log): State<Option<Arc<Plain>>>, body: Bytes) -> (StatusCode, Json<Value>) {
    match answered(log, &body).await {
        Ok(answer) => (StatusCode::FORBIDDEN, Json(answer)),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!(error.to_string()))),
    }
}

async fn answered(log: Option<Arc<Plain>>, body: &[u8]) -> Result<Value> {
    let call: Value = serde_json::from_slice(body)?;
    let Some(kind) = call.get("kind").and_then(Value::as_str) else { bail!("a kind") };
    if let Some(log) = log {
        let (done, durable) = oneshot::channel();
        log.submit(&[b'x'; RECORD_LEN], done);
        durable.await?.map_err(|text| anyhow!(text))?;
    }
    Ok(json!({
        "decision": "deny",
        "policy_ref": "1.0.0",
        "audit_id": "83326d54-c679-4615-8a2e-013bcb126294",
        "seq": 1_000_000,
        "reason": format!("{kind} is never allowed"),
        "code": "policy_denied",
    }))
}

fn config(dir: &Path) -> Result<Config> {
    let files = [("bench.rego".to_owned(), POLICY.as_bytes().to_vec())].into();
    let recipe = Recipe {
        version: "1.0.0",
        name: Some("bench"),
        requirement: &RuntimeRequirement::parse("")?,
        created_at: jiff::Timestamp::UNIX_EPOCH,
    };
    let evaluator = build(&files, &recipe)?.bundle.evaluator()?;
    let limits = Limits { connections: CONNECTIONS_MAX, ..Limits::STANDARD };
    let policy = PolicyFrom::Fixed(Arc::new(evaluator));
    Ok(Config { limits, ..Config::new(dir, policy, "bench") })
}
