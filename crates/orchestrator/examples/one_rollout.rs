//! A control plane inside another program: a plan in two stages, two nodes that ask what to run, a person who says
//! yes, and the trail that says who did what.
//!
//! `cargo run -p orchestrator --example one_rollout`
//!
//! Permissions are not enforced here, as on a machine where everybody is trusted. Nodes and operator are plain HTTP.
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::{error::Error, net::SocketAddr, path::Path, time::Duration};

use orchestrator::{Config, Limits, serve};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{interval, timeout},
};

/// Longest wait of this program for anything.
const PATIENCE: Duration = Duration::from_secs(30);
const FINGERPRINT: &str = "blake3:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    timeout(PATIENCE, show(dir.path())).await?
}

async fn show(dir: &Path) -> Result<()> {
    let (addr, stop, served) = start(dir).await?;
    let plane = Plane(addr);
    for node in ["robot-1", "robot-2"] {
        plane.post(&format!("/v1/nodes/{node}/heartbeat"), &json!({})).await?;
    }
    let plan = json!({
        "id": "arm-2", "artifact_ref": "oci:/srv/arm:2.0.0", "target_lock_fingerprint": FINGERPRINT,
        "stages": [
            { "id": "canary", "nodes": ["robot-1"], "gates": [{ "kind": "health" }, { "kind": "manual" }] },
            { "id": "rest", "percent": 100, "gates": [{ "kind": "health" }] },
        ],
    });
    plane.post("/v1/rollouts", &plan).await?;
    println!("robot-1 is to run {}", plane.desired("robot-1").await?);
    println!("robot-2 is to run {}", plane.desired("robot-2").await?);

    plane.report("robot-1").await?;
    plane.until("awaiting operator approval").await?;
    println!("waits: {}", plane.fact().await?);
    let yes = json!({ "reason": "seen it run" });
    plane.post("/v1/rollouts/arm-2/stages/canary/gates/manual/approve", &yes).await?;
    plane.until("rest").await?;
    println!("then:  {}", plane.fact().await?);
    println!("robot-2 is to run {}", plane.desired("robot-2").await?);
    plane.report("robot-2").await?;
    plane.until("complete").await?;
    println!("then:  {}", plane.fact().await?);

    // What was answered is on the disk: the next start has it.
    drop(stop);
    served.await??;
    let (addr, stop, served) = start(dir).await?;
    let plan = Plane(addr).get("/v1/rollouts/arm-2").await?;
    println!("after a new start: phase {}", plan.pointer("/phase").unwrap_or(&Value::Null));
    let trail = Plane(addr).get("/v1/audit?limit=100").await?;
    for it in trail.get("records").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| it.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
        println!("  on record: {} by {}", text("event_name"), text("actor"));
    }
    drop(stop);
    Ok(served.await??)
}

type Served = tokio::task::JoinHandle<std::result::Result<(), orchestrator::ServeError>>;

async fn start(dir: &Path) -> Result<(SocketAddr, oneshot::Sender<()>, Served)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let config = Config {
        audit_dir: dir.join("audit"),
        enforcement: false,
        limits: Limits { promote_interval: Duration::from_millis(50), ..Limits::STANDARD },
        ..Config::from_lookup(Some(dir.join("data")), &|_| None)?
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(config, listener, async { stopped.await.unwrap_or(()) }));
    Ok((addr, stop, served))
}

/// The control plane, as its clients see it.
struct Plane(SocketAddr);

impl Plane {
    async fn get(&self, path: &str) -> Result<Value> {
        self.send("GET", path, "").await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send("POST", path, &body.to_string()).await
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let mut stream = TcpStream::connect(self.0).await?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Autonomy-Operator: ada\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        if head.starts_with("HTTP/1.1 2") {
            Ok(serde_json::from_str(body)?)
        } else {
            Err(format!("{method} {path}: {body}").into())
        }
    }

    async fn desired(&self, node: &str) -> Result<Value> {
        let desired = self.get(&format!("/v1/nodes/{node}/desired")).await?;
        Ok(desired.pointer("/release/artifact_ref").cloned().unwrap_or(Value::Null))
    }

    /// What a node says after it has done what it was told.
    async fn report(&self, node: &str) -> Result<()> {
        let desired = self.get(&format!("/v1/nodes/{node}/desired")).await?;
        for state in ["downloaded", "verified", "activated", "healthy"] {
            let ack = json!({
                "release_id": desired.pointer("/release/id"), "plan_id": "arm-2",
                "lock_fingerprint": FINGERPRINT, "state": state,
            });
            self.post(&format!("/v1/nodes/{node}/ack"), &ack).await?;
        }
        Ok(())
    }

    /// Why the plan stands where it does.
    async fn fact(&self) -> Result<String> {
        let told = self.get("/v1/rollouts/arm-2/explain").await?;
        Ok(told.get("fact").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// Asks until the plan says so; the promoter moves it in its own time.
    async fn until(&self, text: &str) -> Result<()> {
        let mut ticks = interval(Duration::from_millis(20));
        while !self.fact().await?.contains(text) {
            ticks.tick().await;
        }
        Ok(())
    }
}
