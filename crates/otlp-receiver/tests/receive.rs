//! What a sender sees, and what is kept.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod rig;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use flate2::write::GzEncoder;
use otlp::{Encoding, Record, error_text};
use otlp_receiver::{Config, Keep};
use rig::{Receiver, config, record, request};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use vfs::{Fault, FaultPlan, MemVfs, Op};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn keeping(path: &std::path::Path) -> Config {
    Config { keep: Keep::file(path.to_owned(), "pid 41".to_owned()), ..config() }
}

fn lines(path: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

#[tokio::test]
async fn both_encodings_plain_and_compressed_are_kept_as_the_same_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.jsonl");
    let receiver = Receiver::start(keeping(&path)).await;
    for encoding in Encoding::ALL {
        let body = request(encoding, &[record(1, "decision"), record(2, "error")]);
        let response = receiver.post(encoding, body.clone()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], encoding.content_type());
        let answer = response.bytes().await.unwrap();
        assert_eq!(otlp::decode_response(&answer, encoding), Ok(None));

        let request = receiver.client.post(receiver.url("/v1/logs"));
        let request = request.header("content-type", encoding.content_type());
        let request = request.header("content-encoding", "gzip").body(gzip(&body));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    receiver.stop().await;

    let mut found = lines(&path);
    assert_eq!(found.len(), 8);
    for line in &mut found {
        assert!(line.as_object_mut().unwrap().remove("received_at").is_some());
    }
    let want = json!({
        "timestamp": "2026-01-02T03:04:05.000006Z",
        "event_id": "edge-1:w:1",
        "event_kind": "decision",
        "node_id": "edge-1",
        "body": "autonomy.decision",
        "attributes": {"event.kind": "decision", "event.id": "edge-1:w:1", "wal.seq": 1, "n": 1},
        "resource": {"service.name": "edge-1"},
    });
    assert_eq!(found[0], want);
    for pair in found.chunks(2) {
        assert_eq!(pair, &found[..2]);
    }
}

#[tokio::test]
async fn a_file_is_appended_to_by_the_next_start_and_by_one_receiver_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.jsonl");
    for seq in 1..=3 {
        let receiver = Receiver::start(keeping(&path)).await;
        let body = request(Encoding::Json, &[record(seq, "action")]);
        assert_eq!(receiver.post(Encoding::Json, body).await.status(), 200);

        let listener = otlp_receiver::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = otlp_receiver::serve(listener, keeping(&path), async {}).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{} is held by pid 41", path.display()));
        assert_eq!(error.hint(), "stop the other receiver, or choose another file");
        receiver.stop().await;
    }
    let ids: Vec<_> = lines(&path).into_iter().map(|it| it["event_id"].clone()).collect();
    assert_eq!(ids, ["edge-1:w:1", "edge-1:w:2", "edge-1:w:3"]);
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn lines_go_to_a_stream_too() {
    let shared = Shared::default();
    let keep = Keep::Stream(Box::new(shared.clone()));
    let receiver = Receiver::start(Config { keep, ..config() }).await;
    let body = request(Encoding::Protobuf, &[record(1, "lifecycle")]);
    assert_eq!(receiver.post(Encoding::Protobuf, body).await.status(), 200);
    let text = String::from_utf8(shared.0.lock().unwrap().clone()).unwrap();
    assert!(text.ends_with("}\n") && text.contains(r#""event_id":"edge-1:w:1""#), "{text}");
    receiver.stop().await;
}

#[tokio::test]
async fn records_that_cannot_be_kept_stay_with_the_sender() {
    let disk = MemVfs::default();
    let keep = Keep::File {
        path: "/out.jsonl".into(),
        holder: "pid 41".to_owned(),
        vfs: Arc::new(disk.clone()),
    };
    let receiver = Receiver::start(Config { keep, ..config() }).await;
    let body = request(Encoding::Json, &[record(1, "action")]);
    assert_eq!(receiver.post(Encoding::Json, body.clone()).await.status(), 200);

    let fault = |fault, is_it: fn(&Op) -> bool| {
        let mut once = Some(fault);
        disk.set_plan(FaultPlan::new(move |_, op| if is_it(op) { once.take() } else { None }));
    };
    fault(Fault::Enospc, |op| matches!(op, Op::Write { .. }));
    let response = receiver.post(Encoding::Json, body.clone()).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    assert_eq!(
        receiver.post(Encoding::Json, body.clone()).await.status(),
        200,
        "there is room again"
    );

    fault(Fault::Eio, |op| matches!(op, Op::Sync(_)));
    for _ in 0..2 {
        assert_eq!(receiver.post(Encoding::Json, body.clone()).await.status(), 503);
    }
    let health = receiver.client.get(receiver.url("/health")).send().await.unwrap();
    assert_eq!(health.status(), 503);
    let health: Value = health.json().await.unwrap();
    assert_eq!(health["status"], "failed");
    receiver.stop().await;
}

#[tokio::test]
async fn health_is_exactly_the_documented_object() {
    let receiver = Receiver::start(config()).await;
    let response = receiver.client.get(receiver.url("/health")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), r#"{"status":"ok"}"#);
    receiver.stop().await;
}

/// Status, and the text of the status message in the encoding of the request.
async fn refused(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = response.bytes().await.unwrap();
    (status, error_text(&body, &content_type))
}

#[tokio::test]
async fn every_refusal_has_its_status_and_says_why() {
    let receiver = Receiver::start(config()).await;
    let post = |content_type: &'static str, body: Vec<u8>| {
        let request = receiver.client.post(receiver.url("/v1/logs"));
        let request = if content_type.is_empty() {
            request
        } else {
            request.header("content-type", content_type)
        };
        request.body(body)
    };
    let protobuf = Encoding::Protobuf.content_type();
    let json = Encoding::Json.content_type();
    for (request, status, text) in [
        (
            post("text/plain", vec![]),
            415,
            "content type `text/plain`; send application/x-protobuf or application/json",
        ),
        (
            post("", vec![]),
            415,
            "content type missing; send application/x-protobuf or application/json",
        ),
        (
            post(json, b"{}".to_vec()).header("content-encoding", "br"),
            415,
            "content encoding `br`; send gzip, or the body as it is",
        ),
        (
            post(json, b"{}".to_vec()).header("content-encoding", "gzip"),
            400,
            "the body is not gzip: ",
        ),
        (post(json, b"[]".to_vec()), 400, "not an OTLP logs request: "),
        (post(protobuf, b"<html>".to_vec()), 400, "not an OTLP logs request: "),
        (receiver.client.get(receiver.url("/v1/logs")), 405, "GET is not a method of /v1/logs"),
        (
            receiver.client.post(receiver.url("/v1/traces")),
            404,
            "no route /v1/traces; logs go to POST /v1/logs",
        ),
    ] {
        let (found, said) = refused(request.send().await.unwrap()).await;
        assert_eq!(found, status, "{said}");
        assert!(said.starts_with(text), "{said}");
    }
    let response = receiver.post(Encoding::Protobuf, b"<html>".to_vec()).await;
    assert_eq!(response.headers()["content-type"], protobuf, "in the encoding of the request");
    let response = receiver.client.put(receiver.url("/v1/logs")).send().await.unwrap();
    assert_eq!(response.headers()["allow"], "POST");
    receiver.stop().await;
}

#[tokio::test]
async fn the_limit_on_bodies_holds_before_and_after_decompression() {
    let mut config = config();
    config.limits.request.bytes = 10_000;
    let receiver = Receiver::start(config).await;
    let of = |len: usize| {
        let record = Record { body: "x".repeat(len).into(), ..Record::default() };
        request(Encoding::Protobuf, &[record])
    };
    assert_eq!(receiver.post(Encoding::Protobuf, of(9_000)).await.status(), 200);
    // Much more than the buffers of a socket hold: the answer must still be seen.
    for len in [10_000, 5 << 20] {
        let (status, text) = refused(receiver.post(Encoding::Protobuf, of(len)).await).await;
        let want = "the body is longer than 10000 bytes; send fewer records in one request";
        assert_eq!((status, text.as_str()), (413, want));
    }
    for (len, status) in [(9_000, 200), (10_000, 413), (20 << 20, 413)] {
        let body = gzip(&of(len));
        let request = receiver.client.post(receiver.url("/v1/logs")).body(body);
        let request = request.header("content-type", Encoding::Protobuf.content_type());
        let response = request.header("content-encoding", "gzip").send().await.unwrap();
        assert_eq!(response.status(), status, "{len} bytes");
    }
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n";
    assert!(exchange(&receiver, head.as_bytes()).await.starts_with("HTTP/1.1 413 "));
    receiver.stop().await;
}

/// Sends bytes and returns what comes back until the other side closes, or the head of an answer.
async fn exchange(receiver: &Receiver, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(receiver.addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = vec![0; 4_096];
    let len = timeout(rig::DEADLINE, stream.read(&mut answer)).await.unwrap().unwrap_or(0);
    String::from_utf8_lossy(&answer[..len]).into_owned()
}

#[tokio::test]
async fn clients_that_send_half_requests_or_nothing_do_not_stay() {
    let mut config = config();
    config.limits.head_timeout = std::time::Duration::from_millis(100);
    config.limits.body_timeout = std::time::Duration::from_millis(100);
    let receiver = Receiver::start(config).await;
    let head = b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{";
    assert!(exchange(&receiver, head).await.starts_with("HTTP/1.1 408 "));
    let slow_head = exchange(&receiver, b"POST /v1/logs HT").await;
    assert!(slow_head.is_empty() || slow_head.starts_with("HTTP/1.1 408 "), "{slow_head}");
    assert!(
        exchange(&receiver, b"\x16\x03\x01 not http\r\n\r\n").await.starts_with("HTTP/1.1 400 ")
    );

    let mut stream = TcpStream::connect(receiver.addr).await.unwrap();
    stream.write_all(b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{").await.unwrap();
    drop(stream);
    let body = request(Encoding::Json, &[record(1, "action")]);
    assert_eq!(receiver.post(Encoding::Json, body).await.status(), 200, "it still serves");
    receiver.stop().await;
}

#[tokio::test]
async fn too_many_requests_at_once_are_told_to_come_back() {
    let mut config = config();
    config.limits.requests = 1;
    let receiver = Receiver::start(config).await;
    // Holds the only slot: its body never ends.
    let mut stream = TcpStream::connect(receiver.addr).await.unwrap();
    stream.write_all(b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{").await.unwrap();
    let body = request(Encoding::Json, &[record(1, "action")]);
    let refused_once = async {
        let mut response = receiver.post(Encoding::Json, body.clone()).await;
        while response.status() != 503 {
            response = receiver.post(Encoding::Json, body.clone()).await;
        }
        response
    };
    let response = timeout(rig::DEADLINE, refused_once).await.unwrap();
    assert_eq!(response.headers()["retry-after"], "1");
    let health = receiver.client.get(receiver.url("/health")).send().await.unwrap();
    assert_eq!(health.status(), 200, "a busy receiver is a healthy one");
    drop(stream);
    let accepted =
        async { while receiver.post(Encoding::Json, body.clone()).await.status() != 200 {} };
    timeout(rig::DEADLINE, accepted).await.unwrap();
    receiver.stop().await;
}

/// A request in work when the receiver is told to stop is finished and answered.
#[tokio::test]
async fn a_stop_finishes_what_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.jsonl");
    let receiver = Receiver::start(keeping(&path)).await;
    let body = request(Encoding::Json, &[record(1, "action")]);
    let (first, rest) = body.split_at(20);
    let mut stream = TcpStream::connect(receiver.addr).await.unwrap();
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The receiver asks for the body: the request is in work.
    let mut answer = [0; 1_024];
    let len = stream.read(&mut answer).await.unwrap();
    assert!(answer[..len].starts_with(b"HTTP/1.1 100 "));
    stream.write_all(first).await.unwrap();
    let addr = receiver.addr;
    let stopping = tokio::spawn(receiver.stop());
    let closed = async { while TcpStream::connect(addr).await.is_ok() {} };
    timeout(rig::DEADLINE, closed).await.unwrap();
    stream.write_all(rest).await.unwrap();
    let len = stream.read(&mut answer).await.unwrap();
    assert!(answer[..len].starts_with(b"HTTP/1.1 200 "));
    stopping.await.unwrap();
    assert_eq!(lines(&path).len(), 1);
}

#[tokio::test]
async fn a_port_in_use_is_an_error_with_its_address_and_a_hint() {
    let first = otlp_receiver::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let addr = first.local_addr().unwrap();
    let error = otlp_receiver::bind(addr).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen on {addr}: ")), "{error}");
    assert!(error.hint().starts_with("another process listens there"));
}
