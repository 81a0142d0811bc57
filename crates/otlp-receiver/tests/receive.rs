//! What a sender sees, and what is kept.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod rig;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use otlp::Encoding;
use otlp_receiver::{Config, Keep};
use rig::{Receiver, config, gzip, keeping, lines, record, refused, request};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

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
async fn health_is_exactly_the_documented_object() {
    let receiver = Receiver::start(config()).await;
    let response = receiver.client.get(receiver.url("/health")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), r#"{"status":"ok"}"#);
    receiver.stop().await;
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
