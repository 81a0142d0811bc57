//! Authorities and a client certificate that the operator names, as PEM text.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustls::{
    ClientConfig, Error, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use thiserror::Error as ThisError;

use crate::machine::builder;

/// Longest file with certificates or a key that is worth reading, in bytes.
pub const PEM_LEN_MAX: u64 = 1 << 20;

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

/// Files in PEM for a connection, as an operator names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Certificates of the authorities that are trusted.
    pub authorities: Option<PathBuf>,
    /// The certificate chain that is shown to the server.
    pub certificate: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
}

impl Files {
    /// Reads what is named; `None` when nothing is.
    ///
    /// # Errors
    ///
    /// [`FilesError`] when a file that is named cannot be read (T3), or one of certificate and key is missing.
    pub fn read(
        &self,
        read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Option<Material>, FilesError> {
        let text = |part: Part, path: &PathBuf| {
            read(path).map_err(|source| FilesError::Unreadable { part, path: path.clone(), source })
        };
        let authorities = self.authorities.as_ref().map(|it| text(Part::Authorities, it));
        let authorities = authorities.transpose()?;
        let client = match (&self.certificate, &self.key) {
            (None, None) => None,
            (Some(chain), Some(key)) => {
                Some((text(Part::ClientCertificate, chain)?, text(Part::ClientKey, key)?))
            }
            (Some(_), None) => return Err(FilesError::Missing { part: Part::ClientKey }),
            (None, Some(_)) => return Err(FilesError::Missing { part: Part::ClientCertificate }),
        };
        let named = authorities.is_some() || client.is_some();
        Ok(named.then_some(Material { authorities, client }))
    }
}

/// Why there is no material.
#[derive(Debug, ThisError)]
pub enum FilesError {
    /// A file that is named cannot be read.
    #[error("the {part} cannot be read from {}: {source}", path.display())]
    Unreadable {
        /// Which text.
        part: Part,
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A certificate without its key, or the other way round.
    #[error("the {part} is not named, and its other half is")]
    Missing {
        /// What is missing.
        part: Part,
    },
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
    fn files_are_read_when_they_are_named_and_never_by_halves() {
        let read = |path: &Path| match path.to_str() {
            Some("gone") => Err(io::Error::from(io::ErrorKind::NotFound)),
            _ => Ok(path.to_string_lossy().as_bytes().to_vec()),
        };
        let named = |names: [&str; 3]| {
            let [authorities, certificate, key] =
                names.map(|it| (!it.is_empty()).then(|| PathBuf::from(it)));
            Files { authorities, certificate, key }.read(&read)
        };
        assert!(named(["", "", ""]).unwrap().is_none());
        let whole = named(["a", "c", "k"]).unwrap().unwrap();
        assert_eq!(whole.authorities, Some(b"a".to_vec()));
        assert_eq!(whole.client, Some((b"c".to_vec(), b"k".to_vec())));
        for halves in [["a", "c", ""], ["", "", "k"]] {
            assert!(matches!(named(halves), Err(FilesError::Missing { .. })));
        }
        for gone in [["gone", "", ""], ["", "gone", "k"], ["", "c", "gone"]] {
            assert!(matches!(named(gone), Err(FilesError::Unreadable { .. })));
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
