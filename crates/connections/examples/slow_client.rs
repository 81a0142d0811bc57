//! A service that cannot be held up: one client sends half a head and waits, one half a body, one too much, and the
//! others are served as if nothing were.
//!
//! `cargo run -p connections --example slow_client`
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::{error::Error, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    routing::{get, post},
};
use connections::{BodyError, Bounds, Peer, read_body, serve};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{Instant, timeout},
};

/// Bounds of a service whose clients are near.
const BOUNDS: Bounds = Bounds {
    connections: 8,
    head_timeout: Duration::from_millis(300),
    write_timeout: Duration::from_secs(1),
    grace: Duration::from_secs(5),
};
/// Longest body, in bytes.
const BODY_LEN_MAX: usize = 1024;
/// Time for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait of this program for anything.
const PATIENCE: Duration = Duration::from_secs(20);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    timeout(PATIENCE, show()).await?
}

async fn show() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let service = Router::new().route("/who", get(who)).route("/len", post(len));
    let served = tokio::spawn(async move {
        serve(listener, service, &BOUNDS, async { stopped.await.unwrap_or(()) }).await;
    });

    // It takes a place, and gets no other answer than the end of its connection.
    let begun = Instant::now();
    let mut slow = TcpStream::connect(addr).await?;
    slow.write_all(b"GET /who HTTP/1.1\r\nHost: loc").await?;

    println!("while it waits: {}", ask(addr, &request("GET /who", "")).await?);
    println!("a body:         {}", ask(addr, &request("POST /len", "twelve bytes")).await?);
    let long = "x".repeat(BODY_LEN_MAX + 1);
    println!("a long body:    {}", ask(addr, &request("POST /len", &long)).await?);
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await?;
    let after = begun.elapsed();
    println!("half a head:    cut off, {} bytes of answer", rest.len());
    if after < BOUNDS.head_timeout {
        return Err(format!("cut off early: {after:?}").into());
    }
    let cut = "POST /len HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nten";
    println!("half a body:    {}", ask(addr, cut).await?);

    // An end in order: what is in work is answered, then nobody listens.
    drop(stop);
    served.await?;
    let gone = TcpStream::connect(addr).await.is_err();
    println!("stopped:        nobody listens = {gone}");
    Ok(())
}

/// Who asks is known from the connection, and nothing in a request can change it.
async fn who(request: Request) -> String {
    let peer = request.extensions().get::<Peer>();
    peer.map_or("nobody".to_owned(), |it| format!("you are at {}", it.addr.ip()))
}

async fn len(request: Request) -> (StatusCode, String) {
    let (head, body) = request.into_parts();
    match read_body(&head.headers, body, BODY_LEN_MAX, BODY_TIMEOUT).await {
        Ok(bytes) => (StatusCode::OK, format!("{} bytes", bytes.len())),
        Err(error @ BodyError::TooLarge { .. }) => {
            (StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
        }
        Err(error @ BodyError::Timeout { .. }) => (StatusCode::REQUEST_TIMEOUT, error.to_string()),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
    }
}

fn request(what: &str, body: &str) -> String {
    let head = "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length:";
    format!("{what} {head} {}\r\n\r\n{body}", body.len())
}

/// Sends bytes and returns status and body.
async fn ask(addr: SocketAddr, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split(' ').nth(1).ok_or("no status")?;
    Ok(format!("{status} {body}"))
}
