//! Faults that receivers are known for: bombs, slow clients, floods, broken disks.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod rig;

use std::{sync::Arc, time::Duration};

use otlp::{Encoding, Record};
use otlp_receiver::{Config, Keep};
use rig::{Receiver, config, gzip, record, refused, request};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use vfs::{Fault, FaultPlan, MemVfs, Op};

/// The head of a request whose body has ten bytes, and the first of them.
const HALF_REQUEST: &[u8] = b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{";

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
    config.limits.head_timeout = Duration::from_millis(100);
    config.limits.body_timeout = Duration::from_millis(100);
    let receiver = Receiver::start(config).await;
    assert!(exchange(&receiver, HALF_REQUEST).await.starts_with("HTTP/1.1 408 "));
    let slow_head = exchange(&receiver, b"POST /v1/logs HT").await;
    assert!(slow_head.is_empty() || slow_head.starts_with("HTTP/1.1 408 "), "{slow_head}");
    assert!(
        exchange(&receiver, b"\x16\x03\x01 not http\r\n\r\n").await.starts_with("HTTP/1.1 400 ")
    );

    let mut stream = TcpStream::connect(receiver.addr).await.unwrap();
    stream.write_all(HALF_REQUEST).await.unwrap();
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
    stream.write_all(HALF_REQUEST).await.unwrap();
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
