//! How registries are reached.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::path::PathBuf;

use clap::Args;
use supply_chain::{Digest, Reference};

/// How registries are reached. Layouts on disk need none of it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RegistryArgs {
    /// Speaks plain HTTP to registries on other machines, too. Whoever is on the way reads and
    /// changes everything, the password included; what is signed stays what it is. Registries on
    /// this machine (localhost, 127.0.0.0/8, ::1) are always spoken to in plain HTTP.
    #[arg(long, help_heading = "Registry")]
    pub(crate) allow_insecure_registry: bool,
    /// User name; the password comes from AUTONOMY_REGISTRY_PASSWORD.
    #[arg(long, value_name = "NAME", help_heading = "Registry")]
    pub(crate) registry_user: Option<String>,
    /// File with the certificate authorities (PEM) to trust, instead of those of the machine.
    #[arg(long, value_name = "FILE", help_heading = "Registry")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Host that a registry may send us to for content: HOST or HOST:PORT; may be given more than
    /// once. It never gets credentials.
    #[arg(long, value_name = "HOST", help_heading = "Registry")]
    pub(crate) redirect_host: Vec<String>,
    /// Host that gives tokens for the registry and may see the credentials: HOST or HOST:PORT; may
    /// be given more than once. The registry itself always may.
    #[arg(long, value_name = "HOST", help_heading = "Registry")]
    pub(crate) token_host: Vec<String>,
}

/// Reads a reference.
pub(super) fn parse_reference(text: &str) -> Result<Reference, String> {
    text.parse().map_err(|error: supply_chain::ReferenceError| error.to_string())
}

/// Reads a digest.
pub(super) fn parse_digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|error: supply_chain::DigestError| error.to_string())
}
