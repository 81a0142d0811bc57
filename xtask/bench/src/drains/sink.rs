//! A process that takes requests, counts their records and answers 200. It is the same for everybody.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result, anyhow};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::{get, post},
};

/// Longest body that the sink takes.
const BODY_LEN_MAX: usize = 64 << 20;

/// The sink, as the others see it.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    port: u16,
    child: Option<Child>,
}

impl Sink {
    /// Starts the process.
    pub(crate) fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let command = command.arg(super::SINK).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut line)?;
        let port = line.trim().parse().context("the sink says its port")?;
        Ok(Self { port, child: Some(child) })
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many records it has taken.
    pub(crate) fn count(&self) -> Result<u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(b"GET /count HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("an answer of the sink")?;
        Ok(body.trim().parse()?)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Its input ends, and with it the process; whether it went in peace changes no figure.
            drop(child.stdin.take());
            child.wait().ok();
        }
    }
}

/// Serves until the input ends.
pub(crate) fn serve() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let count = Arc::new(AtomicU64::new(0));
        let app = Router::new()
            .route("/v1/logs", post(take))
            .route(
                "/count",
                get(|State(count): State<Arc<AtomicU64>>| async move {
                    count.load(Ordering::Relaxed).to_string()
                }),
            )
            .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
            .with_state(count);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?.port());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        end.await??;
        Ok(())
    })
}

async fn take(State(count): State<Arc<AtomicU64>>, body: Bytes) -> StatusCode {
    match records(&body) {
        Ok(records) => {
            count.fetch_add(records, Ordering::Relaxed);
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

/// Counts the log records of a request, without looking into them.
fn records(body: &[u8]) -> Result<u64> {
    let mut records = 0;
    for resource_logs in fields(body, 1)? {
        for scope_logs in fields(resource_logs, 2)? {
            records += fields(scope_logs, 2)?.len() as u64;
        }
    }
    Ok(records)
}

/// The messages of one number in a message; all other fields of these messages have a length too.
fn fields(mut message: &[u8], number: u64) -> Result<Vec<&[u8]>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        anyhow::ensure!(key & 7 == 2, "a field without a length");
        let len = usize::try_from(varint(&mut message)?)?;
        let (field, rest) = message.split_at_checked(len).context("a whole field")?;
        message = rest;
        if key >> 3 == number {
            found.push(field);
        }
    }
    Ok(found)
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first().context("a whole number")?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(anyhow!("a number of more than 64 bits"))
}

#[cfg(test)]
mod tests {
    use otlp::{Encoding, Record, Resource};

    use super::*;

    #[test]
    fn records_are_counted_and_half_a_request_is_none() {
        let many = vec![Record { body: "x".repeat(300).into(), ..Record::default() }; 700];
        let body = otlp::encode(Encoding::Protobuf, &Resource::default(), &many);
        assert_eq!(records(&body).unwrap(), 700);
        assert_eq!(records(b"").unwrap(), 0);
        assert!(records(&body[..body.len() - 1]).is_err());
        assert!(records(b"{}").is_err());
    }
}
