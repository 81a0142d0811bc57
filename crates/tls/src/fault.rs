//! What went wrong between two who do not agree on TLS, out of a chain of errors.
//!
//! # Table
//!
//! | in the chain                                            | fault                          |
//! |---------------------------------------------------------|--------------------------------|
//! | the certificate of the server does not hold             | [`Fault::Untrusted`]           |
//! | the server refuses the certificate, or misses one       | [`Fault::ClientCertificate`]   |
//! | what the server says is no TLS                          | [`Fault::NoTls`]               |
//! | anything else                                           | none                           |
//!
//! A server that cannot verify the signature of a certificate, of another authority under the same name for example, answers
//! with `decrypt_error` (RFC 8446, 6.2): that is about the certificate, too.

use std::{error::Error, io};

use rustls::AlertDescription;

/// A mistake in how a connection was asked for: asking again changes nothing, and nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server shows a certificate that is not trusted here.
    Untrusted,
    /// The server wants a certificate, or another one.
    ClientCertificate,
    /// The server speaks no TLS.
    NoTls,
}

impl Fault {
    /// Finds the fault behind an error; the table of the module.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Self::of_tls(error);
            }
            // The source of an error with another one in it is the source of that one.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    fn of_tls(error: &rustls::Error) -> Option<Self> {
        match error {
            rustls::Error::InvalidCertificate(_) => Some(Self::Untrusted),
            rustls::Error::InvalidMessage(_) => Some(Self::NoTls),
            rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::NoCertificate
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError,
            ) => Some(Self::ClientCertificate),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::{CertificateError, InvalidMessage};

    use super::*;

    /// An error of a library around another one.
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    /// The table of the module.
    #[test]
    fn a_fault_is_found_however_deep_it_stands() {
        for (error, want) in [
            (CertificateError::UnknownIssuer.into(), Some(Fault::Untrusted)),
            (CertificateError::Expired.into(), Some(Fault::Untrusted)),
            (InvalidMessage::InvalidContentType.into(), Some(Fault::NoTls)),
            (
                rustls::Error::AlertReceived(AlertDescription::CertificateRequired),
                Some(Fault::ClientCertificate),
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::UnknownCA),
                Some(Fault::ClientCertificate),
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::DecryptError),
                Some(Fault::ClientCertificate),
            ),
            (rustls::Error::AlertReceived(AlertDescription::ProtocolVersion), None),
            (rustls::Error::General("x".to_owned()), None),
        ] {
            let error: rustls::Error = error;
            assert_eq!(Fault::of(&error), want, "{error}");
            let deep = Outer(io::Error::other(io::Error::other(error.clone())));
            assert_eq!(Fault::of(&deep), want, "{error}");
        }
        assert_eq!(Fault::of(&Outer(io::ErrorKind::ConnectionRefused.into())), None);
    }
}
