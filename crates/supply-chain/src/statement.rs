//! Statements: what was established about some contents, signed by who established it.
//!
//! Source: in-toto Attestation Framework, Statement v1, inside a DSSE envelope.
//!
//! # Invariants
//!
//! * **A1** A statement is about at least one content, and names each by its SHA-256.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use thiserror::Error;

use crate::{
    Algorithm, Digest, Dsse, DsseError, KeyId, PublicKey, SigningKey,
    form::{self, FormError, Members},
};

/// Type of the payload of an envelope that holds a statement.
pub const STATEMENT_PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// What a statement says it is.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Longest statement, in bytes.
pub const STATEMENT_LEN_MAX: usize = 1 << 20;
/// Most subjects of a statement.
pub const SUBJECTS_MAX: usize = 1024;
/// Longest name of a subject and longest type of a predicate, in bytes.
pub const STATEMENT_TEXT_LEN_MAX: usize = 1024;

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What it is about.
    pub subject: Vec<Subject>,
    /// What kind of thing it says.
    pub predicate_type: String,
    /// What it says; an object.
    pub predicate: Value,
}

/// A content that a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// What people call it.
    pub name: String,
    /// Its SHA-256.
    pub digest: Digest,
}

impl Statement {
    /// The statement as JSON, without signature.
    pub fn to_bytes(&self) -> Vec<u8> {
        let one = |it: &Subject| json!({"name": it.name, "digest": { it.digest.algorithm().name(): it.digest.hex() }});
        let value = json!({
            "_type": STATEMENT_TYPE,
            "subject": self.subject.iter().map(one).collect::<Vec<_>>(),
            "predicateType": self.predicate_type,
            "predicate": self.predicate,
        });
        value.to_string().into_bytes()
    }

    /// Reads a statement.
    ///
    /// # Errors
    ///
    /// [`FormError`]. Members that this version does not know are refused, other digests beside the SHA-256 are not.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let map = form::object(bytes, STATEMENT_LEN_MAX)?;
        let mut it = Members::new(&map);
        let kind = it.any_text("_type")?;
        if kind != STATEMENT_TYPE {
            return Err(it.error("_type", format_args!("`{}` is unknown", form::shown(kind))));
        }
        let mut subject = Vec::new();
        for mut entry in it.list("subject", SUBJECTS_MAX)? {
            subject.push(read_subject(&mut entry)?);
            entry.end()?;
        }
        if subject.is_empty() {
            return Err(it.error("subject", "is empty")); // A1
        }
        let predicate_type = it.text("predicateType", STATEMENT_TEXT_LEN_MAX)?.to_owned();
        it.inner("predicate")?;
        let predicate = it.find("predicate").cloned().unwrap_or_default();
        it.end()?;
        Ok(Self { subject, predicate_type, predicate })
    }

    /// Signs it.
    ///
    /// # Errors
    ///
    /// [`FormError`] when nobody would read it: no subject, a digest of another kind than SHA-256.
    pub fn sign(&self, key: &SigningKey) -> Result<Dsse, FormError> {
        let bytes = self.to_bytes();
        Self::parse(&bytes)?;
        Ok(Dsse::sign(STATEMENT_PAYLOAD_TYPE, bytes, key))
    }

    /// Opens an envelope with a statement that at least one of `keys` signed.
    ///
    /// # Errors
    ///
    /// [`StatementError`].
    pub fn open(
        bytes: &[u8],
        keys: &[PublicKey],
    ) -> Result<(Self, BTreeSet<KeyId>), StatementError> {
        let envelope = Dsse::parse(bytes).map_err(StatementError::Envelope)?;
        let opened = envelope.open(STATEMENT_PAYLOAD_TYPE, keys)?;
        let statement = Self::parse(opened.payload).map_err(StatementError::Statement)?;
        Ok((statement, opened.signed_by))
    }
}

fn read_subject(entry: &mut Members<'_>) -> Result<Subject, FormError> {
    let name = entry.text("name", STATEMENT_TEXT_LEN_MAX)?.to_owned();
    let mut digests = entry.inner("digest")?;
    let hex = digests.any_text("sha256")?;
    let digest = format!("{}:{hex}", Algorithm::Sha256.name()).parse();
    let digest = digest.map_err(|_| digests.error("sha256", "is not 64 lower-case hex digits"))?;
    Ok(Subject { name, digest })
}

/// Why a statement is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StatementError {
    /// The envelope cannot be read.
    #[error("the envelope is not valid: {0}")]
    Envelope(#[source] FormError),
    /// Nobody who is trusted signed it.
    #[error(transparent)]
    Signature(#[from] DsseError),
    /// What was signed is no statement.
    #[error("the signed statement is not valid: {0}")]
    Statement(#[source] FormError),
}
