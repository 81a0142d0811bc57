//! A receiver inside another program: records come over HTTP in both encodings, each is on the disk as a line before
//! it is acknowledged, and what is sent again has the same id.
//!
//! `cargo run -p otlp-receiver --example keep_lines`
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::{error::Error, fs, net::SocketAddr, time::Duration};

use otlp::{Encoding, Record, Resource, Severity, decode_response, encode};
use otlp_receiver::{Config, Keep, Limits, bind, serve};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};

/// Longest wait of this program for anything.
const PATIENCE: Duration = Duration::from_secs(20);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    timeout(PATIENCE, show()).await?
}

async fn show() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("events.jsonl");
    let config = Config {
        name: "keeper",
        keep: Keep::file(file.clone(), format!("pid {}", std::process::id())),
        forward: None,
        limits: Limits::STANDARD,
    };
    let listener = bind("127.0.0.1:0".parse()?).await?;
    let addr = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, config, async { stopped.await.unwrap_or(()) }));

    let attributes = json!({ "service.name": "robot-7" }).as_object().cloned();
    let resource = Resource { attributes: attributes.unwrap_or_default() };
    let records = [record("arm moved", Severity::INFO), record("arm stuck", Severity::ERROR)];
    for encoding in [Encoding::Protobuf, Encoding::Json, Encoding::Json] {
        let body = encode(encoding, &resource, &records);
        let (status, answer) = post(addr, encoding.content_type(), &body).await?;
        let refused = decode_response(&answer, encoding)?.map_or(0, |it| it.rejected);
        println!("{encoding}: {} bytes, status {status}, {refused} refused", body.len());
    }
    let (status, answer) = post(addr, "application/json", b"{\"resourceLogs\": 7}").await?;
    println!("no logs at all: status {status}, {}", String::from_utf8_lossy(&answer));
    let (status, _) = post(addr, "text/plain", b"hello").await?;
    println!("another language: status {status}");

    drop(stop);
    served.await??;
    let text = fs::read_to_string(&file)?;
    let mut ids = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line)?;
        let id = line.get("event_id").and_then(Value::as_str).ok_or("a line without an id")?;
        ids.push(id.to_owned());
    }
    println!("first line: {}", text.lines().next().unwrap_or_default());
    let lines = ids.len();
    ids.sort();
    ids.dedup();
    println!("{lines} lines with {} ids: who counts ids counts each record once", ids.len());
    if (lines, ids.len()) != (6, 2) {
        return Err("that is not what was sent".into());
    }
    Ok(())
}

fn record(text: &str, severity: Severity) -> Record {
    Record {
        time_unix_nano: 1_767_323_045_000_000_000,
        severity,
        severity_text: severity.name().to_owned(),
        body: text.into(),
        ..Record::default()
    }
}

/// Any HTTP client does; this one needs no library.
async fn post(addr: SocketAddr, kind: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(addr).await?;
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").ok_or("no answer")?;
    let body = answer.split_off(end + 4);
    let status = String::from_utf8(answer)?.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok((status, body))
}
