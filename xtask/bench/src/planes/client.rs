//! Connections that ask again when they are answered, or by the clock.
//!
//! The client does as little as it can: of an answer it reads the status and the length, so that the processors are
//! there for the server.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep_until,
};

use super::fill;
use crate::{
    calls::parsed,
    sample::{Recorder, Sample, Window},
};

/// Room for an answer at first; it grows to the longest.
const ANSWER_LEN: usize = 16 << 10;

/// Counts requests, so that no two of them create the same.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn next() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What is asked, again and again.
pub(crate) struct Ask {
    request: Box<dyn Fn() -> Request>,
    status: u16,
}

struct Request {
    method: &'static str,
    path: String,
    body: String,
}

impl Ask {
    fn new(status: u16, request: impl Fn() -> Request + 'static) -> Self {
        Self { request: Box::new(request), status }
    }

    pub(crate) fn get(path: &str) -> Self {
        let path = path.to_owned();
        Self::new(200, move || Request { method: "GET", path: path.clone(), body: String::new() })
    }

    /// A plan that is new.
    pub(crate) fn create() -> Self {
        Self::new(201, || {
            let body = fill::plan(&format!("b{}", next()));
            Request { method: "POST", path: "/v1/rollouts".to_owned(), body }
        })
    }

    /// New events.
    pub(crate) fn events(count: u64) -> Self {
        Self::new(200, move || {
            let events: Vec<String> =
                (0..count).map(|_| fill::Event::of("b", next()).body).collect();
            let body = format!("{{\"events\":[{}]}}", events.join(","));
            Request { method: "POST", path: "/v1/events".to_owned(), body }
        })
    }

    /// One of the plans of a filled store.
    pub(crate) fn get_plan(rows: u64) -> Self {
        Self::new(200, move || {
            let path = format!("/v1/rollouts/p{}", fill::scattered(next()) % rows);
            Request { method: "GET", path, body: String::new() }
        })
    }

    /// One of the nodes of a filled store says that it lives.
    pub(crate) fn heartbeat(rows: u64) -> Self {
        Self::new(200, move || {
            let path = format!("/v1/nodes/e{}/heartbeat", fill::scattered(next()) % rows);
            Request { method: "POST", path, body: "{}".to_owned() }
        })
    }

    /// The next of so many nodes polls.
    pub(crate) fn poll(nodes: u64) -> Self {
        Self::new(200, move || {
            let path = format!("/v1/nodes/n{}/desired", next() % nodes);
            Request { method: "GET", path, body: String::new() }
        })
    }

    fn write(&self, port: u16, text: &mut String) {
        let Request { method, path, body } = (self.request)();
        text.clear();
        write!(text, "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n").ok();
        if method != "GET" {
            let len = body.len();
            write!(text, "content-type: application/json\r\ncontent-length: {len}\r\n").ok();
        }
        text.push_str("\r\n");
        text.push_str(&body);
    }
}

/// How many requests are due, on how many connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) connections: usize,
    pub(crate) per_second: f64,
}

/// An open connection.
struct Connection<'a> {
    port: u16,
    ask: &'a Ask,
    stream: TcpStream,
    request: String,
    answer: Vec<u8>,
}

impl<'a> Connection<'a> {
    async fn open(port: u16, ask: &'a Ask) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { port, ask, stream, request: String::new(), answer: vec![0; ANSWER_LEN] })
    }

    /// Writes the next request down, before its time runs.
    fn prepare(&mut self) {
        self.ask.write(self.port, &mut self.request);
    }

    async fn call(&mut self) -> Result<()> {
        self.stream.write_all(self.request.as_bytes()).await?;
        let (mut len, mut wanted) = (0, None);
        loop {
            if len == self.answer.len() {
                self.answer.resize(2 * len, 0);
            }
            let room = self.answer.get_mut(len..).context("room")?;
            let read = self.stream.read(room).await?;
            ensure!(read > 0, "the server hung up");
            len += read;
            let bytes = self.answer.get(..len).unwrap_or_default();
            if wanted.is_none() {
                wanted = parsed(bytes)?;
            }
            if let Some((status, whole)) = wanted
                && len >= whole
            {
                ensure!(len == whole, "more than one answer");
                let text =
                    || String::from_utf8_lossy(bytes.get(..len.min(600)).unwrap_or_default());
                ensure!(status == self.ask.status, "answered {}", text());
                return Ok(());
            }
        }
    }
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Asks once.
pub(crate) fn once(port: u16, ask: &Ask) -> Result<()> {
    block_on(async {
        let mut connection = Connection::open(port, ask).await?;
        connection.prepare();
        connection.call().await
    })
}

/// So many connections, each of which asks again when it is answered.
pub(crate) fn run(port: u16, connections: usize, window: Window, ask: &Ask) -> Result<Sample> {
    let recorders = block_on(async {
        let open = opened(port, connections, ask).await?;
        let begin = Instant::now();
        all(open.into_iter().map(|it| again(it, begin, window))).await
    })?;
    Recorder::sum(recorders)
}

async fn again(mut connection: Connection<'_>, begin: Instant, window: Window) -> Result<Recorder> {
    let mut recorder = Recorder::new(begin, window);
    loop {
        connection.prepare();
        let start = Instant::now();
        connection.call().await?;
        if !recorder.ended(start) {
            return Ok(recorder);
        }
    }
}

/// Requests at their time, whether those before them were answered quickly or not: a late one counts from when it
/// was due. The clock of the caller has a grain of a millisecond, which is in the figures.
pub(crate) fn paced(port: u16, pace: Pace, window: Window, ask: &Ask) -> Result<Sample> {
    let apart = Duration::from_secs_f64(pace.connections as f64 / pace.per_second);
    let recorders = block_on(async {
        let open = opened(port, pace.connections, ask).await?;
        let begin = Instant::now();
        let first = |nth: usize| apart.mul_f64(nth as f64 / pace.connections as f64);
        let open = open.into_iter().enumerate();
        all(open.map(|(nth, it)| when_due(it, begin, (first(nth), apart), window))).await
    })?;
    Recorder::sum(recorders)
}

async fn when_due(
    mut connection: Connection<'_>,
    begin: Instant,
    (first, apart): (Duration, Duration),
    window: Window,
) -> Result<Recorder> {
    let mut recorder = Recorder::new(begin, window);
    let mut due = begin + first;
    loop {
        connection.prepare();
        sleep_until(due.into()).await;
        connection.call().await?;
        if !recorder.ended(due) {
            return Ok(recorder);
        }
        due += apart;
    }
}

async fn opened(port: u16, connections: usize, ask: &Ask) -> Result<Vec<Connection<'_>>> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(port, ask).await?);
    }
    Ok(open)
}

async fn all(
    callers: impl Iterator<Item = impl Future<Output = Result<Recorder>>>,
) -> Result<Vec<Recorder>> {
    let mut work: futures_util::stream::FuturesUnordered<_> = callers.collect();
    let mut recorders = Vec::new();
    while let Some(recorder) = futures_util::StreamExt::next(&mut work).await {
        recorders.push(recorder?);
    }
    Ok(recorders)
}
