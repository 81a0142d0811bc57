//! Public keys: who may say what a node loads.
//!
//! | kind        | file                                                          | signature                                |
//! |-------------|---------------------------------------------------------------|-------------------------------------------|
//! | Ed25519     | SPKI PEM (RFC 8410)                                           | 64 bytes over the message (RFC 8032)      |
//! | ECDSA P-256 | SPKI PEM (RFC 5480), named curve, the point not compressed    | ASN.1 DER over the SHA-256 of the message |
//!
//! # Invariants
//!
//! * **K1** A key has one file content: a fixed beginning and the point. So it has one [`KeyId`], and two files with
//!   two identifiers hold two keys.
//! * **K2** A key that accepts signatures of nobody in particular (a point of small order) is no key.
//! * **K3** A signature is compared with the whole message, in its one encoding.

use std::fmt;

use ed25519_dalek::VerifyingKey;
use p256::ecdsa::{DerSignature, signature::Verifier as _};
use sha2::Digest as _;
use thiserror::Error;

use crate::{form::shown, pem};

/// Bytes of an Ed25519 signature.
pub const ED25519_SIGNATURE_LEN: usize = 64;
/// What a file with a public key is called inside.
const LABEL: &str = "PUBLIC KEY";
/// SPKI of an Ed25519 key, up to the point (RFC 8410 section 10.1).
const ED25519_START: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// SPKI of a P-256 key, up to the point in its long form (RFC 5480 section 2).
const P256_START: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key that checks signatures.
///
/// # Examples
///
/// ```
/// use supply_chain::SigningKey;
///
/// let key = SigningKey::generate([7; 32]);
/// let public = key.public();
/// assert!(public.verify(b"message", &key.sign(b"message")).is_ok());
/// assert!(public.verify(b"massage", &key.sign(b"message")).is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: Kind,
    id: KeyId,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Ed25519(VerifyingKey),
    P256(Box<p256::ecdsa::VerifyingKey>),
}

/// Names a key: the SHA-256 of its SPKI in DER, as `openssl pkey -pubin -outform DER | sha256sum` prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.algorithm(), self.id)
    }
}

impl PublicKey {
    fn new(kind: Kind) -> Self {
        let id = KeyId(sha2::Sha256::digest(kind.to_der()).into());
        Self { kind, id }
    }

    pub(crate) fn ed25519(key: VerifyingKey) -> Self {
        Self::new(Kind::Ed25519(key))
    }

    /// Reads a file: SPKI in PEM, one key, nothing beside it.
    ///
    /// # Errors
    ///
    /// [`PublicKeyError`].
    pub fn from_pem(text: &str) -> Result<Self, PublicKeyError> {
        let (label, der) = pem::read(text).ok_or(PublicKeyError::Pem)?;
        if label != LABEL {
            return Err(PublicKeyError::Label { found: shown(label) });
        }
        let kind = if let Some(point) = der.strip_prefix(&ED25519_START) {
            let point = point.try_into().map_err(|_| PublicKeyError::Point)?;
            let key = VerifyingKey::from_bytes(point).map_err(|_| PublicKeyError::Point)?;
            // A few points have a second spelling, which the library reads (K1).
            if key.is_weak() || key.to_edwards().compress().as_bytes() != point {
                return Err(PublicKeyError::Point); // K2
            }
            Kind::Ed25519(key)
        } else if let Some(point) = der.strip_prefix(&P256_START) {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point);
            Kind::P256(Box::new(key.map_err(|_| PublicKeyError::Point)?))
        } else {
            return Err(PublicKeyError::Kind);
        };
        let key = Self::new(kind);
        // The library reads points in more spellings than one (K1).
        if key.kind.to_der() == **der { Ok(key) } else { Err(PublicKeyError::Point) }
    }

    /// The file.
    pub fn to_pem(&self) -> String {
        pem::write(LABEL, &self.kind.to_der()).to_string()
    }

    /// What the key is called.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The name of its algorithm.
    pub const fn algorithm(&self) -> &'static str {
        match self.kind {
            Kind::Ed25519(_) => "Ed25519",
            Kind::P256(_) => "ECDSA P-256",
        }
    }

    /// Checks a signature (K3).
    ///
    /// A holder of a P-256 key can write a signature in two ways; nothing here may take signatures for names.
    ///
    /// # Errors
    ///
    /// [`BadSignature`] unless this key signed exactly this message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let good = match &self.kind {
            Kind::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|it| key.verify_strict(message, &it).is_ok()),
            Kind::P256(key) => {
                DerSignature::from_bytes(signature).is_ok_and(|it| key.verify(message, &it).is_ok())
            }
        };
        if good { Ok(()) } else { Err(BadSignature { key: self.id }) }
    }
}

impl Kind {
    fn to_der(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => [ED25519_START.as_slice(), key.as_bytes()].concat(),
            Self::P256(key) => {
                [P256_START.as_slice(), key.to_sec1_point(false).as_bytes()].concat()
            }
        }
    }
}

/// A signature that a key did not make over a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the signature is not one of the key {key} over this content")]
pub struct BadSignature {
    /// The key.
    pub key: KeyId,
}

/// Why a text is no public key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// Not one block in PEM.
    #[error("the file is not one public key in PEM, with nothing before and behind it")]
    Pem,
    /// A block of another type.
    #[error("the file holds a `{found}`, not a `PUBLIC KEY`")]
    Label {
        /// Its type.
        found: String,
    },
    /// A key of another kind, or in another form.
    #[error(
        "the key is neither Ed25519 nor ECDSA P-256 in plain form \
         (`openssl pkey -pubin -in KEY -pubout -ec_conv_form uncompressed` writes that form)"
    )]
    Kind,
    /// No point, a point that belongs to nobody, or bytes behind it (K1, K2).
    #[error("the key is damaged: its point is none that a key may have")]
    Point,
}
