//! The one TLS configuration for outgoing connections: rustls with the ring provider and the trust
//! store of the machine.
//!
//! **T1** A machine whose trust store cannot be read gets a configuration that trusts nobody. Plain
//! HTTP to a collector on the same machine works there; every TLS handshake fails, none is waved
//! through.

use std::sync::Arc;

use rustls::{ClientConfig, Error, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// A configuration, and what is wrong with the trust store behind it.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The configuration.
    pub config: ClientConfig,
    /// Why nobody is trusted, when nobody is (T1).
    pub problem: Option<String>,
}

/// Returns the configuration of this machine.
pub fn client_config() -> Trust {
    match platform() {
        Ok(config) => Trust { config, problem: None },
        Err(error) => Trust { config: nobody(), problem: Some(error.to_string()) },
    }
}

fn platform() -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(builder.with_platform_verifier()?.with_no_client_auth())
}

fn nobody() -> ClientConfig {
    let provider = ring::default_provider();
    // The provider has a suite for each version that rustls enables by default, so the first
    // branch is always taken; the other keeps this function free of panics.
    let builder = match ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
    {
        Ok(builder) => builder,
        Err(_) => ClientConfig::builder(),
    };
    builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_configuration() {
        let trust = client_config();
        assert_eq!(trust.problem.is_some(), platform().is_err());
        assert!(!nobody().crypto_provider().cipher_suites.is_empty());
    }
}
