//! Connections, each of which calls again when it is answered.
//!
//! The client does as little as it can: it sends the same bytes each time, and of an answer it reads the status and
//! the length, so that the two processors are there for the server.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::Call;
use crate::sample::{Recorder, Sample, Window};

/// Longest answer.
const ANSWER_LEN_MAX: usize = 16 << 10;

/// Calls on so many connections.
pub(crate) fn run(port: u16, connections: usize, call: Call, window: Window) -> Result<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let recorders = local.block_on(&runtime, async {
        let begin = Instant::now();
        let all: Vec<_> = (0..connections)
            .map(|_| tokio::task::spawn_local(one(port, call, begin, window)))
            .collect();
        let mut recorders = Vec::new();
        for task in all {
            recorders.push(task.await??);
        }
        anyhow::Ok(recorders)
    })?;
    Recorder::sum(recorders)
}

/// Opens connections, calls once on each, and lets `look` look while they are open.
pub(crate) fn idle<T>(
    port: u16,
    connections: usize,
    call: Call,
    look: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut open, mut buffer) = (Vec::with_capacity(connections), vec![0; ANSWER_LEN_MAX]);
        for _ in 0..connections {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
            stream.write_all(request(port, call.body).as_bytes()).await?;
            let found = answer(&mut stream, &mut buffer).await?;
            ensure!(found == call.status, "answered {found}, not {}", call.status);
            open.push(stream);
        }
        look()
    })
}

fn request(port: u16, body: &str) -> String {
    format!(
        "POST /v1/tool HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn one(port: u16, call: Call, begin: Instant, window: Window) -> Result<Recorder> {
    let Call { body, status, .. } = call;
    let request = request(port, body);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut recorder = Recorder::new(begin, window);
    let mut buffer = vec![0; ANSWER_LEN_MAX];
    loop {
        let start = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        let found = answer(&mut stream, &mut buffer).await?;
        ensure!(found == status, "answered {found}, not {status}");
        if !recorder.ended(start) {
            return Ok(recorder);
        }
    }
}

/// Reads one answer and returns its status.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<u16> {
    let mut len = 0;
    loop {
        let room = buffer.get_mut(len..).filter(|it| !it.is_empty()).context("a short answer")?;
        let read = stream.read(room).await?;
        ensure!(read > 0, "the server hung up");
        len += read;
        let bytes = buffer.get(..len).unwrap_or_default();
        if let Some((status, whole)) = parsed(bytes)?
            && len >= whole
        {
            ensure!(len == whole, "more than one answer");
            return Ok(status);
        }
    }
}

/// Returns the status of an answer and its length, once its head is there.
pub(crate) fn parsed(bytes: &[u8]) -> Result<Option<(u16, usize)>> {
    let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(bytes.get(..at).unwrap_or_default())?;
    let status = head.get(9..12).context("a status")?.parse()?;
    let of = |line: &str| line.strip_prefix("content-length: ").map(str::to_owned);
    let len: usize = head.lines().find_map(of).context("content-length")?.parse()?;
    Ok(Some((status, at + 4 + len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_last_byte_is_there() {
        let answer = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nx: y\r\n\r\n{}";
        assert_eq!(parsed(answer).unwrap(), Some((403, answer.len())));
        assert_eq!(parsed(&answer[..30]).unwrap(), None);
        assert!(parsed(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "a length is needed");
    }
}
