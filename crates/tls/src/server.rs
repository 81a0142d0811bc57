//! What a server shows, and whom it lets in, as PEM text.

use std::{fmt, sync::Arc};

use rustls::{
    Error, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};

use crate::named::{MaterialError, Part, certificates, roots};

/// The protocol that is spoken inside.
const ALPN: &[u8] = b"http/1.1";

/// PEM text for a server.
#[derive(Clone)]
pub struct Server {
    /// The certificate of the server, and those between it and the authority.
    pub chain: Vec<u8>,
    /// The private key of that certificate.
    pub key: Vec<u8>,
    /// Certificates of the authorities whose clients are let in, and nobody else (T4). Without them no
    /// client is asked for a certificate.
    pub client_authorities: Option<Vec<u8>>,
}

impl fmt::Debug for Server {
    /// Shows what is named and never a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("client_authorities", &self.client_authorities.is_some())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Makes the configuration: TLS 1.2 and 1.3, HTTP/1.1 inside.
    ///
    /// # Errors
    ///
    /// [`MaterialError`] when a text holds nothing usable (T3), or the key is not that of the first
    /// certificate of the chain.
    pub fn server_config(&self) -> Result<ServerConfig, MaterialError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(MaterialError::Config)?;
        let builder = match &self.client_authorities {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let roots = Arc::new(roots(pem, Part::ClientAuthorities)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                let verifier = verifier
                    .map_err(|error| MaterialError::unusable(Part::ClientAuthorities, &error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = certificates(&self.chain, Part::ServerCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| MaterialError::unusable(Part::ServerKey, &error))?;
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| MaterialError::unusable(part_of(&error), &error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        if self.client_authorities.is_some() {
            // T5: a session that is resumed shows no certificate that could have expired.
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        Ok(config)
    }
}

/// Which of the two texts an error is about. That they do not fit is said of the key.
const fn part_of(error: &Error) -> Part {
    match error {
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => Part::ServerCertificate,
        _ => Part::ServerKey,
    }
}
