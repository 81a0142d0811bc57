//! Collectors behind TLS: who is trusted, and who we say we are.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod rig;

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rig::{TIMEOUT, log};
use runtime::{Collector, CollectorSettings, DrainError, DrainOptions, drain_once};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use vfs::OsVfs;

/// An authority, and a certificate of it for this machine.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// Certificate and key, as PEM.
    fn issue(&self) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }
}

fn certificate(pem: &[u8]) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem).unwrap()
}

/// Starts a collector that accepts everything from whoever it lets in; returns its URL.
async fn collector(authority: &Authority, asks_for: Option<&Authority>) -> String {
    let builder =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap();
    let builder = match asks_for {
        None => builder.with_no_client_auth(),
        Some(asked) => {
            let mut roots = RootCertStore::empty();
            roots.add(certificate(&asked.pem())).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let (chain, key) = authority.issue();
    let key = PrivateKeyDer::from_pem_slice(&key).unwrap();
    let config = builder.with_single_cert(vec![certificate(&chain)], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(accept(stream, acceptor));
        }
    });
    url
}

/// Answers one request of whoever is let in.
async fn accept(stream: TcpStream, acceptor: TlsAcceptor) {
    // Whoever is not let in sees why; there is nothing else to do here.
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|it| it == b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(answer).await.ok();
    stream.shutdown().await.ok();
}

async fn drain(url: &str, tls: tls::Material) -> Result<u64, DrainError> {
    let dir = log(4);
    let settings =
        CollectorSettings { timeout: TIMEOUT * 10, tls, ..CollectorSettings::plain(url) };
    let collector = Collector::new(&settings).unwrap();
    let mut options = DrainOptions::standard(dir.path().to_owned(), 1, "test".to_owned());
    options.retries = 0;
    let report = drain_once(&OsVfs, &options, &collector, |_| {}).await?;
    Ok(report.accepted.total())
}

#[track_caller]
fn refused(result: Result<u64, DrainError>) -> String {
    let Err(DrainError::Stopped { failure, report }) = result else { panic!("{result:?}") };
    assert_eq!((report.accepted.total(), report.pending.total()), (0, 4));
    match failure {
        drain::Failure::Unreachable { text, .. } => text,
        other => panic!("{other}"),
    }
}

fn trusts(authority: &Authority) -> tls::Material {
    tls::Material { authorities: Some(authority.pem()), client: None }
}

#[tokio::test]
async fn an_authority_that_is_named_is_trusted() {
    let authority = Authority::new();
    let url = collector(&authority, None).await;
    assert_eq!(drain(&url, trusts(&authority)).await.unwrap(), 4);
}

#[tokio::test]
async fn another_authority_is_not_trusted_and_nothing_is_sent() {
    let (authority, other) = (Authority::new(), Authority::new());
    let url = collector(&authority, None).await;
    let text = refused(drain(&url, trusts(&other)).await);
    assert!(text.contains("certificate"), "{text}");
    // Nor is it by the machine.
    let text = refused(drain(&url, tls::Material::default()).await);
    assert!(text.contains("certificate"), "{text}");
}

#[tokio::test]
async fn a_name_that_is_not_in_the_certificate_is_not_believed() {
    let authority = Authority::new();
    let url = collector(&authority, None).await.replace("127.0.0.1", "localhost");
    let text = refused(drain(&url, trusts(&authority)).await);
    assert!(text.contains("certificate"), "{text}");
}

#[tokio::test]
async fn a_collector_that_asks_who_we_are_is_told() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let url = collector(&authority, Some(&clients)).await;
    let with = |client| tls::Material { client, ..trusts(&authority) };
    assert_eq!(drain(&url, with(Some(clients.issue()))).await.unwrap(), 4);
    refused(drain(&url, with(None)).await);
    refused(drain(&url, with(Some(authority.issue()))).await);
}
