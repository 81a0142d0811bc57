//! A collector that answers as a script says, and the log that is drained to it.
//!
//! The collector speaks HTTP by hand: what it does on purpose, no HTTP library would do.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use otlp::{Encoding, Limits, PartialSuccess, decode, encode_response};
use runtime::{Collector, CollectorSettings, DrainError, DrainOptions, drain_once};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use vfs::OsVfs;
use wal_format::{Event, Kind};
use wal_recovery::{Durability, Log, Opening, Overrides, Submission, recover};

/// Time limit of a request: short, since some collectors never answer.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(400);

/// What a collector does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Stores everything, says so.
    Accept,
    /// Refuses each entry whose number is divisible by this, stores nothing if there is one.
    Partial(u64),
    /// A status with a body and, perhaps, a `Retry-After`.
    Status(u16, Option<&'static str>),
    /// 413 for more than so many records.
    AtMost(usize),
    /// Status 200 and a page of HTML.
    Page,
    /// Status 200 and bytes that are no protobuf.
    Garbage,
    /// No HTTP at all.
    NotHttp,
    /// The beginning of an answer, then a byte now and then, for ever.
    Trickle,
    /// Nothing, for ever.
    Hang,
    /// Stores everything, then ends its side without an answer.
    HalfClose,
    /// Resets the connection before it has read the request.
    ResetBefore,
    /// Stores everything, then resets the connection instead of answering.
    ResetAfter,
    /// Stores everything, answers with more bytes than anybody reads.
    Huge,
    /// Stores everything, answers with fewer bytes than it announced.
    Cut,
    /// Says that more records were refused than were sent.
    Impossible,
}

/// What came in.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Event ids in the request; empty when it was not read.
    pub(crate) ids: Vec<String>,
    /// Whether the collector stored them, whatever it answered.
    pub(crate) stored: bool,
}

/// A running collector.
pub(crate) struct Scripted {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Scripted {
    /// Starts one that acts by the script, request by request, and accepts after its end.
    pub(crate) async fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&received);
        tokio::spawn(async move {
            let mut script = script.into_iter();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // One request a connection: the script counts requests.
                let act = script.next().unwrap_or(Act::Accept);
                tokio::spawn(serve(stream, act, Arc::clone(&log)));
            }
        });
        Self { url, received }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Returns when so many requests came in.
    pub(crate) async fn has_received(&self, requests: usize) {
        while self.received().len() < requests {
            tokio::task::yield_now().await;
        }
    }

    /// Ids that are stored, with repetitions.
    pub(crate) fn stored(&self) -> Vec<String> {
        self.received().into_iter().filter(|it| it.stored).flat_map(|it| it.ids).collect()
    }
}

async fn serve(mut stream: TcpStream, act: Act, log: Arc<Mutex<Vec<Received>>>) {
    let note = |ids: Vec<String>, stored| {
        log.lock().unwrap().push(Received { ids, stored });
    };
    if act == Act::ResetBefore {
        // What is closed with bytes that nobody has read is reset.
        stream.readable().await.unwrap();
        return note(Vec::new(), false);
    }
    let Some(ids) = read_request(&mut stream).await else { return };
    let count = ids.len();
    let refused = ids.iter().filter(|it| is_refused(it, act)).count();
    let stores = match act {
        Act::Accept | Act::HalfClose | Act::ResetAfter | Act::Huge | Act::Cut => true,
        Act::Partial(_) => refused == 0,
        Act::AtMost(limit) => count <= limit,
        _ => false,
    };
    note(ids, stores);
    let all_well = ok(None);
    match act {
        Act::Partial(_) if refused > 0 => {
            let message = "no room for multiples".to_owned();
            send(&mut stream, &ok(Some(&PartialSuccess { rejected: refused as u64, message })))
                .await;
        }
        Act::Impossible => {
            let partial = PartialSuccess { rejected: count as u64 + 1, message: String::new() };
            send(&mut stream, &ok(Some(&partial))).await;
        }
        Act::Accept | Act::Partial(_) => send(&mut stream, &all_well).await,
        Act::AtMost(limit) if count <= limit => send(&mut stream, &all_well).await,
        Act::AtMost(_) => send(&mut stream, &status(413, None)).await,
        Act::Status(code, retry_after) => send(&mut stream, &status(code, retry_after)).await,
        Act::Page => send(&mut stream, &answer(200, "text/html", b"<html>hello</html>", "")).await,
        Act::Garbage => {
            send(&mut stream, &answer(200, "application/x-protobuf", &[0xff; 40], "")).await;
        }
        Act::NotHttp => send(&mut stream, b"SSH-2.0-OpenSSH_9.9\r\n").await,
        Act::Trickle => trickle(&mut stream).await,
        Act::Hang => until_gone(&mut stream).await,
        Act::HalfClose => {
            stream.shutdown().await.unwrap();
            until_gone(&mut stream).await;
        }
        Act::ResetAfter => stream.set_zero_linger().unwrap(),
        Act::Huge => {
            let body = vec![b'x'; drain::ANSWER_BYTES_MAX + 1];
            send(&mut stream, &answer(200, "application/x-protobuf", &body, "")).await;
        }
        Act::Cut => {
            send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc").await;
        }
        Act::ResetBefore => {}
    }
}

fn is_refused(id: &str, act: Act) -> bool {
    let seq: u64 = id.rsplit(':').next().unwrap().parse().unwrap();
    matches!(act, Act::Partial(divisor) if seq.is_multiple_of(divisor))
}

fn ok(partial: Option<&PartialSuccess>) -> Vec<u8> {
    let body = encode_response(partial, Encoding::Protobuf);
    answer(200, "application/x-protobuf", &body, "")
}

fn status(code: u16, retry_after: Option<&str>) -> Vec<u8> {
    let header = retry_after.map(|it| format!("retry-after: {it}\r\n")).unwrap_or_default();
    answer(code, "text/plain", b"not now", &header)
}

fn answer(code: u16, content_type: &str, body: &[u8], header: &str) -> Vec<u8> {
    let len = body.len();
    let mut bytes = format!(
        "HTTP/1.1 {code} X\r\ncontent-type: {content_type}\r\ncontent-length: {len}\r\nconnection: close\r\n{header}\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Reads one request and returns the event ids in it; `None` when the client went away.
async fn read_request(stream: &mut TcpStream) -> Option<Vec<String>> {
    let mut bytes = Vec::new();
    let head = loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break end;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap().to_ascii_lowercase();
    let len = text.lines().find_map(|it| it.strip_prefix("content-length: ")).unwrap();
    let len: usize = len.parse().unwrap();
    while bytes.len() < head + 4 + len {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let groups = decode(&bytes[head + 4..], Encoding::Protobuf, &Limits::STANDARD).unwrap();
    let records = groups.into_iter().flat_map(|it| it.records);
    Some(records.map(|it| it.attributes["event.id"].as_str().unwrap().to_owned()).collect())
}

/// The client may be gone already; that is its right.
async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.ok();
    stream.flush().await.ok();
}

async fn trickle(stream: &mut TcpStream) {
    let mut tick = tokio::time::interval(TIMEOUT / 20);
    send(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await;
    loop {
        tick.tick().await;
        if stream.write_all(b"x").await.is_err() {
            return;
        }
    }
}

async fn until_gone(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.ok();
}

/// A log with `entries` entries of all kinds, its birth among them.
pub(crate) fn log(entries: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), entries - 1);
    dir
}

/// Appends to a log.
pub(crate) fn append(dir: &Path, entries: u64) {
    let opening = Opening {
        dir: dir.to_owned(),
        node: "edge-1".to_owned(),
        random: [7; 16],
        now: jiff::Timestamp::now(),
        overrides: Overrides::default(),
        durability: Durability::Chained,
        holder: "test".to_owned(),
    };
    let log = Log::start(recover(&OsVfs, &opening).unwrap().writer).unwrap();
    for n in 0..entries {
        let kind = [Kind::Action, Kind::Error, Kind::Decision, Kind::Lifecycle]
            [usize::try_from(n % 4).unwrap()]
        .clone();
        log.append(Submission::new(&Event::new(kind), opening.now).unwrap()).unwrap();
    }
    log.close().unwrap();
}

/// What a drain of `dir` came to. Batches of ten, one attempt after the first.
pub(crate) async fn drain(dir: &Path, url: &str) -> Result<drain::Report, DrainError> {
    let settings = CollectorSettings { timeout: TIMEOUT, ..CollectorSettings::plain(url) };
    let collector = Collector::new(&settings).unwrap();
    let mut options = DrainOptions::standard(dir.to_owned(), 1, "test".to_owned());
    options.batch = 10.try_into().unwrap();
    options.retries = 1;
    drain_once(&OsVfs, &options, &collector, |_| {}).await
}

/// Event ids in the dead-letter file.
pub(crate) fn dead_letters(dir: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(dir.join("telemetry.deadletter.jsonl")).unwrap_or_default();
    text.lines()
        .map(|it| {
            let line: serde_json::Value = serde_json::from_str(it).unwrap();
            line["event_id"].as_str().unwrap().to_owned()
        })
        .collect()
}
