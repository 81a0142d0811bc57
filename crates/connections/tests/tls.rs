//! TLS with clients that behave and clients that do not.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is a failed test")]

mod rig;

use std::sync::Arc;

use connections::Bounds;
use rcgen::date_time_ymd;
use rig::{Authority, BOUNDS, DEADLINE, PATIENT, Service, ask, body, endless, read, slow, who};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::timeout,
};

/// A whole answer of `who`.
fn whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|it| it.strip_prefix("content-length: "));
    length.is_some_and(|it| body.len().to_string() == it)
}

#[tokio::test]
async fn the_certificate_of_the_client_is_seen_by_every_request() {
    let (ours, clients) = (Authority::new(), Authority::new());
    let service = Service::start(ours.server(Some(&clients)), who(), PATIENT).await;
    let shown = clients.issue(|_| {});
    let hex: Vec<_> = shown.0.iter().map(|it| format!("{it:02x}")).collect();
    let mut stream = ours.connect(service.addr, Some(shown)).await;
    let addr = stream.get_ref().0.local_addr().unwrap();
    for _ in 0..2 {
        let answer = ask(&mut stream, whole).await.unwrap();
        assert_eq!(body(&answer), format!("{addr} {}", hex.concat()), "H5");
    }
}

#[tokio::test]
async fn who_is_not_asked_for_a_certificate_shows_none() {
    let (ours, others) = (Authority::new(), Authority::new());
    let service = Service::start(ours.server(None), who(), PATIENT).await;
    for shows in [None, Some(others.issue(|_| {}))] {
        let mut stream = ours.connect(service.addr, shows).await;
        let addr = stream.get_ref().0.local_addr().unwrap();
        let answer = ask(&mut stream, whole).await.unwrap();
        assert_eq!(body(&answer), format!("{addr} "), "H5");
    }
}

#[tokio::test]
async fn who_shows_no_good_certificate_gets_no_answer_and_harms_nobody() {
    let (ours, clients, rogue) = (Authority::new(), Authority::new(), Authority::new());
    let service = Service::start(ours.server(Some(&clients)), who(), PATIENT).await;
    let expired = clients.issue(|it| {
        it.not_before = date_time_ymd(2001, 1, 1);
        it.not_after = date_time_ymd(2002, 1, 1);
    });
    for shows in [None, Some(rogue.issue(|_| {})), Some(expired)] {
        // In TLS 1.3 the client believes that it is in until it reads.
        let mut stream = ours.connect(service.addr, shows).await;
        // What it then sees is an alert, or a reset in its place.
        let answer = ask(&mut stream, whole).await;
        assert!(!answer.as_ref().is_ok_and(|it| it.contains("HTTP")), "{answer:?}");
    }
    let mut stream = ours.connect(service.addr, Some(clients.issue(|_| {}))).await;
    body(&ask(&mut stream, whole).await.unwrap());
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut_off_and_blocks_nobody() {
    let ours = Authority::new();
    let service = Service::start(ours.server(None), who(), BOUNDS).await;
    let mut silent = Vec::new();
    // Nothing, one byte, a record that announces more than comes.
    for begin in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut stream = TcpStream::connect(service.addr).await.unwrap();
        stream.write_all(begin).await.unwrap();
        silent.push(stream);
    }
    let mut stream = ours.connect(service.addr, None).await;
    body(&ask(&mut stream, whole).await.unwrap());
    for stream in &mut silent {
        let ended = read(stream, |_| false).await;
        assert!(ended.as_ref().is_ok_and(String::is_empty), "{ended:?} (H1, H4)");
    }
}

#[tokio::test]
async fn more_handshakes_than_connections_are_allowed_do_not_keep_others_out() {
    let ours = Authority::new();
    let bounds = Bounds { connections: 2, ..BOUNDS };
    let service = Service::start(ours.server(None), who(), bounds).await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(TcpStream::connect(service.addr).await.unwrap());
    }
    let met = timeout(DEADLINE, ours.connect(service.addr, None)).await;
    body(&ask(&mut met.expect("in time"), whole).await.unwrap());
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_so_and_harms_nobody() {
    let ours = Authority::new();
    let service = Service::start(ours.server(None), who(), PATIENT).await;
    for said in [&b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..], &[0; 64], &[0xff; 9000]] {
        let mut stream = TcpStream::connect(service.addr).await.unwrap();
        stream.write_all(said).await.unwrap();
        // An alert, or the connection is reset because more came than was read.
        if let Ok(answer) = read(&mut stream, |_| false).await {
            assert!(!answer.contains("HTTP"), "{answer}");
        }
    }
    let mut stream = ours.connect(service.addr, None).await;
    body(&ask(&mut stream, whole).await.unwrap());
}

#[tokio::test]
async fn a_client_that_says_nothing_after_the_handshake_is_cut_off() {
    let ours = Authority::new();
    let service = Service::start(ours.server(None), who(), BOUNDS).await;
    let mut stream = ours.connect(service.addr, None).await;
    stream.write_all(b"GET / HT").await.unwrap();
    // Without a farewell: the time for it is over, too.
    let answer = read(&mut stream, |_| false).await.unwrap_or_default();
    assert!(!answer.contains("200 OK"), "{answer} (H1)");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_given_up() {
    let ours = Authority::new();
    let service = Service::start(ours.server(None), endless(), BOUNDS).await;
    let mut stream = ours.connect(service.addr, None).await;
    ask(&mut stream, |it| it.contains("200 OK")).await.unwrap();
    // It would keep the service from ending for as long as the grace.
    timeout(DEADLINE / 2, service.stop()).await.expect("in time (H1)").unwrap();
    drop(stream);
}

#[tokio::test]
async fn requests_in_work_finish_and_handshakes_do_not_delay_the_end() {
    let ours = Authority::new();
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let answers = slow(Arc::clone(&asked), Arc::clone(&go));
    let service = Service::start(ours.server(None), answers, PATIENT).await;
    let mut working = ours.connect(service.addr, None).await;
    let idle = ours.connect(service.addr, None).await;
    let mut silent = TcpStream::connect(service.addr).await.unwrap();
    let answer = tokio::spawn(async move { ask(&mut working, whole).await });
    asked.notified().await;
    let served = service.stop();
    let ended = timeout(DEADLINE / 5, read(&mut silent, |_| false)).await;
    assert!(ended.is_ok_and(|it| it.is_ok_and(|it| it.is_empty())), "H2");
    go.notify_one();
    assert_eq!(body(&answer.await.unwrap().unwrap()), "late", "H2");
    // `PATIENT` would let each of them live for as long as the deadline.
    timeout(DEADLINE / 2, served).await.expect("in time").unwrap();
    drop(idle);
}

#[tokio::test]
async fn without_tls_every_request_has_an_address_and_no_certificate() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        connections::serve(listener, who(), &PATIENT, std::future::pending()).await;
    });
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let own = stream.local_addr().unwrap();
    let answer = ask(&mut stream, whole).await.unwrap();
    assert_eq!(body(&answer), format!("{own} "), "H5");
}
