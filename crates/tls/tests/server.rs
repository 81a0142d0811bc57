//! Real handshakes without a network: who is let in, and what is refused before anybody listens.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{io, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use tls::{Material, MaterialError, Part, Server};

/// An authority, and certificates of it.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Certificate and key, as PEM.
type Pair = (Vec<u8>, Vec<u8>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }
}

fn server(authority: &Authority, clients: Option<&Authority>) -> ServerConfig {
    let (chain, key) = authority.issue(|_| {});
    let client_authorities = clients.map(Authority::pem);
    Server { chain, key, client_authorities }.server_config().unwrap()
}

fn client(authority: &Authority, shows: Option<Pair>) -> ClientConfig {
    Material { authorities: Some(authority.pem()), client: shows }.client_config().unwrap()
}

/// A client that speaks this version alone.
fn client_of(
    version: &'static SupportedProtocolVersion,
    authority: &Authority,
    shows: Option<Pair>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&authority.pem()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let Some((chain, key)) = shows else { return builder.with_no_client_auth() };
    let chain = vec![CertificateDer::from_pem_slice(&chain).unwrap()];
    builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&key).unwrap()).unwrap()
}

/// Passes what each side writes to the other until neither has anything to say.
fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), String> {
    let name = "localhost".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        feed(&bytes, |from| server.read_tls(from))?;
        server.process_new_packets().map_err(|error| error.to_string())?;
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        feed(&bytes, |from| client.read_tls(from))?;
        client.process_new_packets().map_err(|error| format!("client: {error}"))?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn feed(
    mut bytes: &[u8],
    mut read: impl FnMut(&mut dyn io::Read) -> io::Result<usize>,
) -> Result<(), String> {
    while !bytes.is_empty() {
        read(&mut bytes).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What the server says about a client that shows this.
fn met(
    server: &Arc<ServerConfig>,
    authority: &Authority,
    shows: Option<Pair>,
) -> Result<(), String> {
    handshake(&Arc::new(client(authority, shows)), server).map(drop)
}

#[track_caller]
fn refused(result: Result<(), String>, why: &str) {
    let text = result.unwrap_err();
    assert!(text.contains(why), "{text}");
}

#[test]
fn without_authorities_nobody_is_asked_and_both_versions_are_spoken() {
    let authority = Authority::new();
    let server = Arc::new(server(&authority, None));
    for (version, want) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let mut client = client_of(version, &authority, None);
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (client, met) = handshake(&Arc::new(client), &server).unwrap();
        assert_eq!(client.protocol_version(), Some(want));
        assert_eq!(met.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert!(met.peer_certificates().is_none());
    }
}

#[test]
fn a_client_of_the_authority_is_let_in_and_its_certificate_seen() {
    let (ours, clients) = (Authority::new(), Authority::new());
    let server = Arc::new(server(&ours, Some(&clients)));
    let shown = clients.issue(|_| {});
    let der = CertificateDer::from_pem_slice(&shown.0).unwrap();
    let (_, met) = handshake(&Arc::new(client(&ours, Some(shown))), &server).unwrap();
    assert_eq!(met.peer_certificates().unwrap(), [der]);
}

#[test]
fn nobody_else_is_let_in() {
    let (ours, clients, rogue) = (Authority::new(), Authority::new(), Authority::new());
    let server = Arc::new(server(&ours, Some(&clients)));
    let met = |shows| met(&server, &ours, shows);
    refused(met(None), "peer sent no certificates");
    // All authorities here have the same name: only the signature tells them apart.
    refused(met(Some(rogue.issue(|_| {}))), "BadSignature");
    refused(met(Some(ours.issue(|_| {}))), "BadSignature");
    let expired = clients.issue(|it| {
        it.not_before = date_time_ymd(2001, 1, 1);
        it.not_after = date_time_ymd(2002, 1, 1);
    });
    refused(met(Some(expired)), "expired");
    let future = clients.issue(|it| it.not_before = date_time_ymd(4000, 1, 1));
    refused(met(Some(future)), "not valid yet");
    let for_servers = clients.issue(|it| {
        it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    refused(met(Some(for_servers)), "certificate");
    met(Some(clients.issue(|_| {}))).unwrap();
}

#[test]
fn a_server_that_asks_for_certificates_resumes_no_session() {
    let (ours, clients) = (Authority::new(), Authority::new());
    for (asks, again) in [(None, HandshakeKind::Resumed), (Some(&clients), HandshakeKind::Full)] {
        for version in [&TLS12, &TLS13] {
            let server = Arc::new(server(&ours, asks));
            let shows = Some(clients.issue(|_| {}));
            let client = Arc::new(client_of(version, &ours, shows));
            for want in [HandshakeKind::Full, again] {
                let (_, met) = handshake(&client, &server).unwrap();
                assert_eq!(met.handshake_kind(), Some(want), "T5 {version:?}");
            }
        }
    }
}

#[test]
fn a_text_that_holds_nothing_usable_is_an_error_about_it() {
    let authority = Authority::new();
    let (chain, key) = authority.issue(|_| {});
    let (_, other_key) = authority.issue(|_| {});
    let good = Server { chain, key, client_authorities: Some(authority.pem()) };
    assert!(good.server_config().is_ok());
    let part = |server: Server| match server.server_config() {
        Err(MaterialError::Unusable { part, .. }) => Some(part),
        _ => None,
    };
    let bad = || {
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n".to_vec();
        [Vec::new(), b"garbage".to_vec(), broken, vec![0xff; 9]]
    };
    for pem in bad() {
        let chain = Server { chain: pem.clone(), ..good.clone() };
        assert_eq!(part(chain), Some(Part::ServerCertificate), "T3");
        let key = Server { key: pem.clone(), ..good.clone() };
        assert_eq!(part(key), Some(Part::ServerKey), "T3");
        let clients = Server { client_authorities: Some(pem), ..good.clone() };
        assert_eq!(part(clients), Some(Part::ClientAuthorities), "T3");
    }
    let der = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    assert_eq!(part(Server { chain: der, ..good.clone() }), Some(Part::ServerCertificate));
    assert_eq!(part(Server { key: other_key, ..good.clone() }), Some(Part::ServerKey), "no pair");
    assert_eq!(
        part(Server { chain: good.key.clone(), ..good.clone() }),
        Some(Part::ServerCertificate)
    );
    assert_eq!(part(Server { key: good.chain.clone(), ..good }), Some(Part::ServerKey));
}

#[test]
fn neither_an_error_nor_a_debug_line_shows_a_key() {
    let key = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n".to_vec();
    let (chain, _) = Authority::new().issue(|_| {});
    let server = Server { chain, key, client_authorities: None };
    assert_eq!(format!("{server:?}"), "Server { client_authorities: false, .. }");
    let error = server.server_config().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("c2VjcmV0"), "{error}");
}
