//! Certificates, a service that says who asks, and clients.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, Bytes, HttpBody},
    extract::ConnectInfo,
    routing::get,
};
use connections::{Bounds, Peer, serve_tls};
use hyper::body::Frame;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Nothing here takes so long, unless it never ends.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Short enough that a test waits for it.
pub(crate) const BOUNDS: Bounds = Bounds {
    connections: 8,
    head_timeout: Duration::from_secs(1),
    write_timeout: Duration::from_secs(1),
    grace: DEADLINE,
};

/// Bounds that no test reaches.
pub(crate) const PATIENT: Bounds =
    Bounds { head_timeout: DEADLINE, write_timeout: DEADLINE, ..BOUNDS };

/// An authority, and certificates of it.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

pub(crate) type Pair = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// What a server of this authority needs; it asks for certificates of `clients`.
    pub(crate) fn server(&self, clients: Option<&Self>) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let roots = clients.roots();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (chain, key) = self.issue(|_| {});
        Arc::new(builder.with_single_cert(vec![chain], key).unwrap())
    }

    /// Connects as a client that trusts this authority. Whether the server agrees shows later.
    pub(crate) async fn connect(
        &self,
        to: SocketAddr,
        shows: Option<Pair>,
    ) -> TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        let config = match shows {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(vec![chain], key).unwrap(),
        };
        let connector = TlsConnector::from(Arc::new(config));
        let stream = TcpStream::connect(to).await.unwrap();
        connector.connect("localhost".try_into().unwrap(), stream).await.unwrap()
    }
}

/// A running service.
pub(crate) struct Service {
    pub(crate) addr: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Service {
    pub(crate) async fn start(config: Arc<ServerConfig>, answers: Router, bounds: Bounds) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            serve_tls(listener, config, answers, &bounds, async { _ = stopped.await }).await;
        });
        Self { addr, stop, served }
    }

    /// Asks for the end; what is returned waits for it.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        self.stop.send(()).unwrap();
        self.served
    }
}

/// Says who asks, as `<address> <length of the certificate> <its bytes in hex>`.
pub(crate) fn who() -> Router {
    let answer = |peer: Extension<Peer>, info: ConnectInfo<SocketAddr>| async move {
        assert_eq!(peer.addr, info.0);
        let hex = |it: &Arc<[u8]>| it.iter().map(|it| format!("{it:02x}")).collect::<Vec<_>>();
        format!("{} {}", peer.addr, peer.certificate.as_ref().map(hex).unwrap_or_default().concat())
    };
    Router::new().route("/", get(answer))
}

/// Answers when it is told to; says first that it was asked.
pub(crate) fn slow(asked: Arc<Notify>, go: Arc<Notify>) -> Router {
    let answer = move || async move {
        asked.notify_one();
        go.notified().await;
        "late"
    };
    Router::new().route("/", get(answer))
}

/// An answer without end.
pub(crate) fn endless() -> Router {
    Router::new().route("/", get(|| async { Body::new(Endless) }))
}

struct Endless;

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 16 << 10])))))
    }
}

/// Sends one request and reads until `enough`.
pub(crate) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    enough: fn(&str) -> bool,
) -> Result<String, std::io::Error> {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    read(stream, enough).await
}

/// Reads until `enough`, or the end.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    enough: fn(&str) -> bool,
) -> Result<String, std::io::Error> {
    let mut bytes = Vec::new();
    let mut done = false;
    while !done {
        let read = timeout(DEADLINE, stream.read_buf(&mut bytes)).await.expect("in time")?;
        done = read == 0 || enough(&String::from_utf8_lossy(&bytes));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The body of a whole answer.
pub(crate) fn body(answer: &str) -> &str {
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1
}
