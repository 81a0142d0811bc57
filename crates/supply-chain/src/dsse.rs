//! DSSE: a payload of a named type, signed.
//!
//! `{"payloadType":TYPE,"payload":BASE64,"signatures":[{"keyid":TEXT,"sig":BASE64}]}`. What is signed is the
//! pre-authentication encoding `DSSEv1 LEN(TYPE) TYPE LEN(payload) payload`, with lengths in decimal bytes.
//!
//! Source: `secure-systems-lab/dsse`, `protocol.md` and `envelope.md`, version 1.0.
//!
//! # Invariants
//!
//! * **E1** The type of a payload is signed with it, and is compared before the payload is handed out: what was signed
//!   as one thing is never read as another.
//! * **E2** `keyid` decides nothing. It is not signed.
//! * **E3** A key counts once, however many of its signatures are there.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use thiserror::Error;

use crate::{
    KeyId, PublicKey, SIGNATURE_LEN_MAX, SigningKey,
    form::{self, FormError, Members},
};

/// Longest envelope, in bytes.
pub const DSSE_LEN_MAX: usize = 4 << 20;
/// Most signatures of an envelope.
pub const DSSE_SIGNATURES_MAX: usize = 16;
/// Longest type of a payload and longest `keyid`, in bytes.
pub const DSSE_TEXT_LEN_MAX: usize = 256;

/// An envelope that was read. Nothing was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dsse {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<(String, Vec<u8>)>,
}

/// A payload, and who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The payload.
    pub payload: &'a [u8],
    /// The keys that signed it, of those that were asked about; never empty.
    pub signed_by: BTreeSet<KeyId>,
}

/// The bytes that are signed.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let start = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [start.as_bytes(), payload].concat()
}

impl Dsse {
    /// Signs a payload.
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Self {
        let mut envelope =
            Self { payload_type: payload_type.to_owned(), payload, signatures: Vec::new() };
        envelope.add(key);
        envelope
    }

    /// Adds the signature of another key.
    pub fn add(&mut self, key: &SigningKey) {
        let signature = key.sign(&pae(&self.payload_type, &self.payload)).to_vec();
        self.signatures.push((key.public().id().to_string(), signature));
    }

    /// Reads an envelope.
    ///
    /// # Errors
    ///
    /// [`FormError`] unless it has the form above exactly.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let map = form::object(bytes, DSSE_LEN_MAX)?;
        let mut it = Members::new(&map);
        let payload_type = it.text("payloadType", DSSE_TEXT_LEN_MAX)?.to_owned();
        let payload = base64(&mut it, "payload")?;
        let mut signatures = Vec::new();
        for mut entry in it.list("signatures", DSSE_SIGNATURES_MAX)? {
            // May be absent and may be empty: a hint, no more (E2).
            let id = if entry.find("keyid").is_some() { entry.any_text("keyid")? } else { "" };
            if id.len() > DSSE_TEXT_LEN_MAX {
                return Err(entry.error("keyid", "is too long"));
            }
            let signature = base64(&mut entry, "sig")?;
            if signature.len() > SIGNATURE_LEN_MAX {
                return Err(entry.error("sig", "is too long"));
            }
            entry.end()?;
            signatures.push((id.to_owned(), signature));
        }
        it.end()?;
        Ok(Self { payload_type, payload, signatures })
    }

    /// The envelope as JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let one = |(id, it): &(String, Vec<u8>)| json!({"keyid": id, "sig": STANDARD.encode(it)});
        let signatures: Vec<_> = self.signatures.iter().map(one).collect();
        let value = json!({
            "payloadType": self.payload_type,
            "payload": STANDARD.encode(&self.payload),
            "signatures": signatures,
        });
        value.to_string().into_bytes()
    }

    /// Hands out the payload if it is of the type and at least one of `keys` signed it (E1, E3). How many have to is
    /// for the caller to say.
    ///
    /// # Errors
    ///
    /// [`DsseError`].
    pub fn open(&self, payload_type: &str, keys: &[PublicKey]) -> Result<Opened<'_>, DsseError> {
        if self.payload_type != payload_type {
            let (found, expected) = (form::shown(&self.payload_type), payload_type.to_owned());
            return Err(DsseError::Type { found, expected });
        }
        let message = pae(&self.payload_type, &self.payload);
        let signed = |key: &&PublicKey| {
            self.signatures.iter().any(|(_, it)| key.verify(&message, it).is_ok())
        };
        let signed_by: BTreeSet<_> = keys.iter().filter(signed).map(PublicKey::id).collect();
        if signed_by.is_empty() {
            return Err(DsseError::NotSigned {
                signatures: self.signatures.len(),
                keys: keys.len(),
            });
        }
        Ok(Opened { payload: &self.payload, signed_by })
    }
}

fn base64(members: &mut Members<'_>, name: &'static str) -> Result<Vec<u8>, FormError> {
    let text = members.any_text(name)?;
    STANDARD.decode(text).map_err(|_| members.error(name, "is no base64 with padding"))
}

/// Why a payload is not handed out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DsseError {
    /// It was signed as something else (E1).
    #[error("the payload is of the type `{found}`, not `{expected}`")]
    Type {
        /// Its type.
        found: String,
        /// The type that was asked for.
        expected: String,
    },
    /// None of the keys signed it.
    #[error(
        "none of the {signatures} signatures is one of the {keys} trusted keys over this content"
    )]
    NotSigned {
        /// How many signatures it has.
        signatures: usize,
        /// How many keys were asked about.
        keys: usize,
    },
}
