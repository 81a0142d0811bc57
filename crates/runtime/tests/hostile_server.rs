//! Servers and resolvers that mean harm to `tool.http_get`, over real sockets.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use runtime::{HttpGet, Lookup, LookupFuture, Tool as _, ToolCall, ToolError, ToolErrorCode};
use serde_json::{Value, json};

/// Time of a call to a server that never ends by itself. What is asserted is the code, not the time.
const IMPATIENT: Duration = Duration::from_millis(500);
/// Much more than a client may take: the limit of a body and what sockets buffer.
const MUCH: usize = 64 << 20;

/// A server that does the same to everybody who connects.
struct Server {
    port: u16,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    /// Bytes that clients took.
    written: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

impl Server {
    fn start(serve: impl Fn(&mut Peer) -> io::Result<()> + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Seen>::default();
        let all = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                all.connections.fetch_add(1, Ordering::SeqCst);
                let mut peer = Peer { stream, seen: Arc::clone(&all) };
                // A client that goes away is what most of these servers are for.
                peer.read_request().and_then(|()| serve(&mut peer)).ok();
            }
        });
        Self { port, seen }
    }

    /// Answers with these bytes and closes.
    fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |peer| peer.say(&answer))
    }

    /// Answers with these bytes, then with others without end.
    fn flooding(start: &'static str, flood: &'static str) -> Self {
        Self::start(move |peer| {
            peer.say(start.as_bytes())?;
            let many = flood.repeat((16 << 10) / flood.len() + 1);
            while peer.seen.written.load(Ordering::SeqCst) < MUCH {
                peer.say(many.as_bytes())?;
            }
            Ok(())
        })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    fn tool(&self) -> HttpGet {
        tool(&format!("127.0.0.1:{}", self.port))
    }

    async fn get(&self) -> Result<Value, ToolError> {
        get(&self.tool(), &self.url()).await
    }

    async fn code(&self) -> ToolErrorCode {
        self.get().await.unwrap_err().code
    }

    fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }
}

struct Peer {
    stream: TcpStream,
    seen: Arc<Seen>,
}

impl Peer {
    fn read_request(&mut self) -> io::Result<()> {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && self.stream.read(&mut byte)? > 0 {
            request.extend_from_slice(&byte);
        }
        self.seen.requests.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
        Ok(())
    }

    fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.seen.written.fetch_add(bytes.len(), Ordering::SeqCst);
        Ok(())
    }

    /// Says nothing more until the client goes away.
    fn hold(&mut self) -> io::Result<()> {
        self.stream.read(&mut [0]).map(drop)
    }
}

fn tool(list: &str) -> HttpGet {
    HttpGet::new(list.parse().unwrap()).with_timeout(Duration::from_mins(1))
}

async fn get(tool: &HttpGet, endpoint: &str) -> Result<Value, ToolError> {
    let params = json!({ "endpoint": endpoint }).as_object().unwrap().clone();
    tool.run(&ToolCall { params, ..ToolCall::default() }).await
}

/// A resolver that gives the next answer to each question and counts them.
#[derive(Clone, Debug)]
struct Script {
    answers: Arc<Mutex<VecDeque<Vec<IpAddr>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn of(answers: &[&[&str]]) -> Self {
        let parse = |it: &&[&str]| it.iter().map(|it| it.parse().unwrap()).collect();
        let answers = Arc::new(Mutex::new(answers.iter().map(parse).collect()));
        Self { answers, asked: Arc::default() }
    }
}

impl Lookup for Script {
    fn lookup<'a>(&'a self, name: &'a str) -> LookupFuture<'a> {
        self.asked.lock().unwrap().push(name.to_owned());
        let next = self.answers.lock().unwrap().pop_front();
        Box::pin(async move { next.ok_or_else(|| io::Error::other("no further answer")) })
    }
}

/// A resolver that never answers.
#[derive(Debug)]
struct Silent;

impl Lookup for Silent {
    fn lookup<'a>(&'a self, _name: &'a str) -> LookupFuture<'a> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn an_answer_is_returned_as_it_came() {
    let server = Server::saying("HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(server.get().await.unwrap(), json!({ "status": 404, "body": "abc" }));
    // What another request of the same server would be is not read.
    let server = Server::saying(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb",
    );
    assert_eq!(server.get().await.unwrap()["body"], "a");
}

#[tokio::test]
async fn a_request_carries_nothing_that_was_not_asked_for_and_is_sent_once() {
    let server = Server::saying("HTTP/1.1 503 No\r\nRetry-After: 0\r\nSet-Cookie: a=b\r\n\r\n");
    for _ in 0..2 {
        assert_eq!(server.get().await.unwrap()["status"], 503);
    }
    let requests = server.seen.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 2, "one request a call");
    for request in requests {
        let request = request.to_lowercase();
        for header in ["cookie", "authorization", "proxy", "referer", "accept-encoding"] {
            assert!(!request.contains(header), "{request}");
        }
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_leads_nowhere() {
    let inside = Server::saying("HTTP/1.1 200 OK\r\n\r\nsecret");
    for status in [301, 302, 303, 307, 308] {
        let location = inside.url();
        let server =
            Server::saying(format!("HTTP/1.1 {status} Go\r\nLocation: {location}\r\n\r\n"));
        // Even an endpoint of the list is reached only by a call of its own.
        let list = format!("127.0.0.1:{},127.0.0.1:{}", server.port, inside.port);
        let output = get(&tool(&list), &server.url()).await.unwrap();
        assert_eq!(output, json!({ "status": status, "body": "", "location": location }));
    }
    let meta = "HTTP/1.1 200 OK\r\nRefresh: 0; url=http://169.254.169.254/\r\n\r\n";
    assert_eq!(Server::saying(meta).get().await.unwrap()["status"], 200);
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn a_body_up_to_the_limit_is_whole_and_one_byte_more_is_refused() {
    for (len, whole) in [(HttpGet::BODY_LEN_MAX, true), (HttpGet::BODY_LEN_MAX + 1, false)] {
        for head in [format!("Content-Length: {len}\r\n"), String::new()] {
            let body = "x".repeat(len);
            let server = Server::saying(format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}"));
            match server.get().await {
                Ok(output) => assert!(whole && output["body"] == body, "{head}"),
                Err(error) => assert!(!whole && error.code == ToolErrorCode::OutputTooLarge),
            }
        }
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut_off_early() {
    let chunk = "1000\r\n".to_owned() + &"x".repeat(0x1000) + "\r\n";
    let chunk: &'static str = Box::leak(chunk.into_boxed_str());
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for server in
        [Server::flooding("HTTP/1.1 200 OK\r\n\r\n", "x"), Server::flooding(chunked, chunk)]
    {
        assert_eq!(server.code().await, ToolErrorCode::OutputTooLarge);
        assert!(server.seen.written.load(Ordering::SeqCst) < MUCH, "the client took all of it");
    }
}

#[tokio::test]
async fn a_length_that_is_too_much_is_refused_before_a_byte_of_it() {
    for len in ["1048577", "1099511627776", "18446744073709551615"] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n");
        let server = Server::start(move |peer| {
            peer.say(head.as_bytes())?;
            peer.hold()
        });
        assert!(
            matches!(server.code().await, ToolErrorCode::OutputTooLarge | ToolErrorCode::Failed),
            "{len}"
        );
    }
}

#[tokio::test]
async fn a_length_that_is_not_true_is_a_failure() {
    for answer in [
        // Ends early.
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        // No number, or two.
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc",
    ] {
        assert_eq!(Server::saying(answer).code().await, ToolErrorCode::Failed, "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_failure() {
    for answer in
        ["", "\0\0\0\0", "SSH-2.0-OpenSSH_9.9\r\n", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 2"]
    {
        assert_eq!(Server::saying(answer).code().await, ToolErrorCode::Failed, "{answer:?}");
    }
    let server = Server::saying("HTTP/1.1 200 OK\r\n\r\n");
    let url = server.url().replace("http://", "https://");
    // The request of TLS is no request of HTTP; the server waits for more, and closes.
    let impatient = server.tool().with_timeout(IMPATIENT);
    let code = get(&impatient, &url).await.unwrap_err().code;
    assert!(matches!(code, ToolErrorCode::Failed | ToolErrorCode::Timeout));
}

#[tokio::test]
async fn headers_without_end_are_a_failure() {
    for (start, flood) in [
        ("HTTP/1.1 200 OK\r\n", "X-A: b\r\n"),
        ("HTTP/1.1 200 OK\r\nX-A: ", "x"),
        ("HTTP/1.1 200 ", "x"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X-A: b\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", "x"),
    ] {
        let server = Server::flooding(start, flood);
        assert_eq!(server.code().await, ToolErrorCode::Failed, "{start}{flood}");
        assert!(server.seen.written.load(Ordering::SeqCst) < MUCH, "{start}{flood}");
    }
}

#[tokio::test]
async fn a_server_that_keeps_one_waiting_costs_the_time_limit() {
    for said in [
        "",
        "HTTP/1.1 200 OK\r\nX-A: ",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nand then",
    ] {
        let server = Server::start(move |peer| {
            peer.say(said.as_bytes())?;
            peer.hold()
        });
        let impatient = server.tool().with_timeout(IMPATIENT);
        let error = get(&impatient, &server.url()).await.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::Timeout, "{said}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_text_is_returned_in_base64_and_nothing_is_unpacked() {
    let server = Server::saying(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\0a".as_slice());
    let output = server.get().await.unwrap();
    assert_eq!(output, json!({ "status": 200, "body_base64": "/wBh" }));
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![0; MUCH]).unwrap();
    let bomb = bomb.finish().unwrap();
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ";
    let answer = [format!("{head}{}\r\n\r\n", bomb.len()).as_bytes(), &bomb].concat();
    let output = Server::saying(answer).get().await.unwrap();
    assert_eq!(output["body_base64"].as_str().unwrap().len(), bomb.len().div_ceil(3) * 4);
    let location = b"HTTP/1.1 302 Go\r\nContent-Length: 0\r\nLocation: /\xff\r\n\r\n".as_slice();
    assert_eq!(Server::saying(location).get().await.unwrap()["location"], "/\u{fffd}");
}

#[tokio::test]
async fn a_name_is_resolved_once_and_the_connection_goes_where_it_was_checked() {
    // The resolver changes its mind between the check and the connection, and once more.
    let server = Server::saying("HTTP/1.1 200 OK\r\n\r\nfirst");
    let names = Script::of(&[&["127.0.0.1"], &["10.0.0.1"], &["169.254.169.254"]]);
    let url = format!("http://localhost:{}/", server.port);
    let tool = tool(&format!("localhost:{}", server.port)).with_lookup(names.clone());
    assert_eq!(get(&tool, &url).await.unwrap()["body"], "first");
    assert_eq!(*names.asked.lock().unwrap(), ["localhost"], "asked once");
    // The next call is checked anew.
    assert_eq!(get(&tool, &url).await.unwrap_err().code, ToolErrorCode::EndpointNotAllowed);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_and_nothing_is_sent() {
    let server = Server::saying("HTTP/1.1 200 OK\r\n\r\nsecret");
    let url = format!("http://public.example:{}/", server.port);
    for answer in
        [&["127.0.0.1"][..], &["::1"], &["::ffff:127.0.0.1"], &["0.0.0.0", "127.0.0.1"], &[]]
    {
        let tool = tool(&format!("public.example:{}", server.port));
        let error = get(&tool.with_lookup(Script::of(&[answer])), &url).await.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::EndpointNotAllowed, "{answer:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn of_a_mixed_answer_only_what_may_be_reached_is_tried() {
    let server = Server::saying("HTTP/1.1 200 OK\r\n\r\nloopback");
    // For the name of the loopback other addresses are outside of its reach.
    let names = Script::of(&[&["10.0.0.1", "192.0.2.1", "127.0.0.1", "169.254.169.254"]]);
    let tool = tool(&format!("localhost:{}", server.port)).with_lookup(names);
    let url = format!("http://LOCALHOST:{}/", server.port);
    assert_eq!(get(&tool, &url).await.unwrap()["body"], "loopback");
}

#[tokio::test]
async fn a_resolver_that_fails_or_never_answers_is_an_outcome() {
    let fails = tool("a.example").with_lookup(Script::of(&[]));
    assert_eq!(get(&fails, "http://a.example/").await.unwrap_err().code, ToolErrorCode::Failed);
    let silent = tool("a.example").with_lookup(Silent).with_timeout(IMPATIENT);
    assert_eq!(get(&silent, "http://a.example/").await.unwrap_err().code, ToolErrorCode::Timeout);
}

#[tokio::test]
async fn what_the_list_does_not_name_is_refused_before_anything_is_resolved() {
    let server = Server::saying("HTTP/1.1 200 OK\r\n\r\nsecret");
    let port = server.port;
    let names = Script::of(&[]);
    let tool = tool(&format!("a.example,127.0.0.1:{}", port ^ 1)).with_lookup(names.clone());
    for url in [
        server.url(),
        format!("http://0x7f000001:{port}/"),
        format!("http://a.example:{port}/"),
        "http://a.example./".to_owned(),
        "http://a.example.evil.example/".to_owned(),
        "http://аpple.example/".to_owned(),
        "ftp://a.example/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "http://[::1]/".to_owned(),
    ] {
        let error = get(&tool, &url).await.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::EndpointNotAllowed, "{url}: {}", error.message);
    }
    assert_eq!((server.connections(), names.asked.lock().unwrap().len()), (0, 0));
}

#[tokio::test]
async fn what_is_no_url_or_carries_credentials_is_refused_and_not_repeated() {
    let server = Server::saying("HTTP/1.1 200 OK\r\n\r\n");
    let long = format!("{}{}", server.url(), "x".repeat(HttpGet::URL_LEN_MAX));
    let user = server.url().replace("http://", "http://me:hunter2@");
    let token = server.url().replace("http://", "http://hunter2@");
    for url in
        [&*user, &token, &long, "", "::", "/etc/passwd", "http://", "http://[fe80::1%25eth0]/"]
    {
        let error = get(&server.tool(), url).await.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::BadParams, "{url}");
        assert!(!error.message.contains("hunter2"), "{}", error.message);
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_port_that_nobody_serves_is_a_failure() {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let tool = tool(&format!("127.0.0.1:{port}"));
    let error = get(&tool, &format!("http://127.0.0.1:{port}/")).await.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::Failed);
    assert!(error.message.contains("refused"), "{}", error.message);
}
