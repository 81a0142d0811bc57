//! Authorities and a client certificate that the operator names, as PEM text.

use rustls::{
    ClientConfig, Error, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use thiserror::Error as ThisError;

use crate::machine::builder;

/// PEM text for a connection. What is not named is as the machine has it.
#[derive(Clone, Default)]
pub struct Material {
    /// Certificates of the authorities that are trusted, instead of those of the machine (T2).
    pub authorities: Option<Vec<u8>>,
    /// Certificate chain and private key that are shown to the server.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Material {
    /// Shows what is named and never a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Material")
            .field("authorities", &self.authorities.is_some())
            .field("client", &self.client.is_some())
            .finish()
    }
}

impl Material {
    /// Makes the configuration of a connection.
    ///
    /// # Errors
    ///
    /// [`MaterialError`] when a text holds nothing usable (T3), or when nothing is named and the
    /// trust store of the machine cannot be read.
    pub fn client_config(&self) -> Result<ClientConfig, MaterialError> {
        let builder = builder().map_err(MaterialError::Config)?;
        let builder = match &self.authorities {
            None => builder.with_platform_verifier().map_err(MaterialError::Config)?,
            Some(pem) => builder.with_root_certificates(roots(pem, Part::Authorities)?),
        };
        match &self.client {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => {
                let chain = certificates(chain, Part::ClientCertificate)?;
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|error| MaterialError::unusable(Part::ClientKey, &error))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| MaterialError::unusable(Part::ClientKey, &error))
            }
        }
    }
}

/// Reads the authorities of a text; at least one (T3).
pub(crate) fn roots(pem: &[u8], part: Part) -> Result<RootCertStore, MaterialError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, part)? {
        roots.add(certificate).map_err(|error| MaterialError::unusable(part, &error))?;
    }
    Ok(roots)
}

/// Reads every certificate of a text; at least one (T3).
pub(crate) fn certificates(
    pem: &[u8],
    part: Part,
) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| MaterialError::unusable(part, &error))?;
    if read.is_empty() {
        return Err(MaterialError::unusable(part, &"no certificate in it"));
    }
    Ok(read)
}

/// Which text it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The certificates of the authorities.
    Authorities,
    /// The certificate that is shown to the server.
    ClientCertificate,
    /// The key of that certificate.
    ClientKey,
    /// The certificates of the authorities whose clients a server lets in.
    ClientAuthorities,
    /// The certificate that a server shows.
    ServerCertificate,
    /// The key of that certificate.
    ServerKey,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Authorities => "certificate authorities",
            Self::ClientCertificate => "client certificate",
            Self::ClientKey => "client key",
            Self::ClientAuthorities => "certificate authorities of clients",
            Self::ServerCertificate => "server certificate",
            Self::ServerKey => "server key",
        })
    }
}

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq, ThisError)]
pub enum MaterialError {
    /// A text holds nothing usable. What it holds is not shown: it may be a key.
    #[error("the {part} cannot be used: {why}")]
    Unusable {
        /// Which text.
        part: Part,
        /// What is wrong with it.
        why: String,
    },
    /// The trust store of the machine cannot be used, or the cryptography that everything needs.
    #[error("no TLS on this machine: {0}")]
    Config(#[source] Error),
}

impl MaterialError {
    pub(crate) fn unusable(part: Part, why: &dyn std::fmt::Display) -> Self {
        Self::Unusable { part, why: why.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part_of(material: &Material) -> Option<Part> {
        match material.client_config() {
            Err(MaterialError::Unusable { part, .. }) => Some(part),
            _ => None,
        }
    }

    #[test]
    fn a_text_without_a_certificate_is_never_taken_for_none() {
        for pem in [&b""[..], b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n", &[0xff; 9]] {
            let authorities = Material { authorities: Some(pem.to_vec()), ..Material::default() };
            assert_eq!(part_of(&authorities), Some(Part::Authorities));
        }
    }

    #[test]
    fn an_error_and_a_debug_line_never_show_a_key() {
        let key = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n".to_vec();
        let material = Material { authorities: None, client: Some((key.clone(), key)) };
        assert_eq!(format!("{material:?}"), "Material { authorities: false, client: true }");
        if let Err(error) = material.client_config() {
            assert!(!error.to_string().contains("c2VjcmV0"), "{error}");
        }
    }
}
