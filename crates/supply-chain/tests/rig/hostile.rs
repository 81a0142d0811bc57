//! A server that answers whatever a test says, over HTTP or https.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    fmt::Write as _,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, crypto::ring,
    pki_types::PrivateKeyDer,
};

/// What a script writes to.
pub(crate) trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// A server, for as long as the tests of its file run.
#[derive(Clone)]
pub(crate) struct Hostile {
    /// Address and port.
    pub(crate) host: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Hostile {
    /// Starts one on `127.0.0.1`; `script` gets the head of each request.
    pub(crate) fn start(script: impl Fn(&str, &mut dyn Wire) + Send + Sync + 'static) -> Self {
        Self::serve("127.0.0.1:0", None, script)
    }

    /// Starts one on another address of this machine: another host.
    pub(crate) fn elsewhere(script: impl Fn(&str, &mut dyn Wire) + Send + Sync + 'static) -> Self {
        Self::serve("127.0.0.2:0", None, script)
    }

    /// Starts one with https, and says whom to trust.
    pub(crate) fn with_tls(
        script: impl Fn(&str, &mut dyn Wire) + Send + Sync + 'static,
    ) -> (Self, RootCertStore) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        (Self::serve("127.0.0.1:0", Some(Arc::new(config)), script), roots)
    }

    fn serve(
        at: &str,
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&str, &mut dyn Wire) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let heads = Arc::default();
        let server = Self { host, heads };
        let (script, all) = (Arc::new(script), Arc::clone(&server.heads));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (script, heads, tls) = (Arc::clone(&script), Arc::clone(&all), tls.clone());
                thread::spawn(move || converse(wire(stream, tls), &heads, &*script));
            }
        });
        server
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn converse(
    mut wire: Box<dyn Wire>,
    heads: &Mutex<Vec<String>>,
    script: &dyn Fn(&str, &mut dyn Wire),
) {
    let Some(head) = read_head(&mut *wire) else { return };
    heads.lock().unwrap().push(head.clone());
    script(&head, &mut *wire);
}

fn wire(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> Box<dyn Wire> {
    match tls {
        None => Box::new(stream),
        Some(it) => Box::new(StreamOwned::new(ServerConnection::new(it).unwrap(), stream)),
    }
}

fn read_head(wire: &mut dyn Wire) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 64 << 10 || wire.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// A whole answer, and the end of the connection.
pub(crate) fn reply(wire: &mut dyn Wire, status: &str, headers: &[&str], body: &[u8]) {
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    if !headers.iter().any(|it| it.starts_with("Content-Length") || it.starts_with("Transfer")) {
        write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    for it in headers {
        write!(head, "{it}\r\n").unwrap();
    }
    // A client that has seen enough is gone.
    drop(wire.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| wire.write_all(body)));
}

/// A body of chunks that has no end but the client's patience; how many bytes it took.
pub(crate) fn endless(wire: &mut dyn Wire, headers: &[&str]) -> u64 {
    let headers = [headers, &["Transfer-Encoding: chunked"]].concat();
    reply(wire, "200 OK", &headers, b"");
    let mut chunk = b"10000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x1_0000, b' ');
    chunk.extend_from_slice(b"\r\n");
    let mut sent = 0;
    while wire.write_all(&chunk).is_ok() && sent < (1 << 30) {
        sent += 0x1_0000;
    }
    sent
}

/// A body of one byte now and then.
pub(crate) fn drip(wire: &mut dyn Wire, headers: &[&str], pace: Duration) {
    reply(wire, "200 OK", headers, b"");
    let (_never, pause) = std::sync::mpsc::channel::<()>();
    while wire.write_all(b" ").and_then(|()| wire.flush()).is_ok() {
        pause.recv_timeout(pace).ok();
    }
}

/// Reads what a client sends until it stops; how many bytes.
pub(crate) fn swallow(wire: &mut dyn Wire, len: u64) -> u64 {
    io::copy(&mut wire.take(len), &mut io::sink()).unwrap_or(0)
}

/// Says nothing until the client hangs up.
pub(crate) fn silence(wire: &mut dyn Wire) {
    swallow(wire, u64::MAX);
}

/// An address where nobody listens.
pub(crate) fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
