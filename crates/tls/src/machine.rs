//! Trust as the machine has it.

use std::sync::Arc;

use rustls::{ClientConfig, ConfigBuilder, Error, RootCertStore, WantsVerifier, crypto::ring};
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

/// Begins a configuration with the one provider and the versions that it supports.
pub(crate) fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    builder.with_safe_default_protocol_versions()
}

fn platform() -> Result<ClientConfig, Error> {
    Ok(builder()?.with_platform_verifier()?.with_no_client_auth())
}

fn nobody() -> ClientConfig {
    // The provider has a suite for each version that rustls enables by default, so the first
    // branch is always taken; the other keeps this function free of panics.
    let builder = match builder() {
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
