//! Downgrade permits: the signed, single-use word that a node may load an older release.
//!
//! # Layout
//!
//! The payload of a DSSE envelope of the type [`PERMIT_PAYLOAD_TYPE`]:
//! `{"schema":1,"node":…,"lock_fingerprint":"blake3:…","release_counter":N,"reason":…,"nonce":"32 hex digits",
//! "created_at":…,"expires_at":…}`.
//!
//! # Invariants
//!
//! * **T1** A [`Permit`] was signed by a trusted key, is for this node, and has not expired; there is no other way to one.
//! * **T2** No permit lives longer than [`PERMIT_LIFETIME_MAX`]: who finds one in a drawer cannot use it.
//!
//! Whether it was used before, and whether it is for the lock at hand, is the decision of the rollback floor.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;

use crate::{
    Algorithm, Digest, Dsse, DsseError, PublicKey, SigningKey,
    form::{self, FormError, Members},
};

/// Type of the payload of an envelope that holds a permit.
pub const PERMIT_PAYLOAD_TYPE: &str = "application/vnd.autonomyops.downgrade-permit.v1+json";
/// The schema that is written and read.
pub const PERMIT_SCHEMA: u64 = 1;
/// Longest permit with its envelope, in bytes.
pub const PERMIT_LEN_MAX: usize = 16 << 10;
/// Longest time from creation to expiry: 30 days.
pub const PERMIT_LIFETIME_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How far the clock of a node may be behind the one of who made the permit.
pub const PERMIT_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);
/// Longest name of a node, in bytes.
pub const PERMIT_NODE_LEN_MAX: usize = 128;
/// Longest reason, in bytes.
pub const PERMIT_REASON_LEN_MAX: usize = 1024;
/// Bytes of a nonce.
pub const NONCE_LEN: usize = 16;

/// Tells permits apart: 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nonce([u8; NONCE_LEN]);

impl Nonce {
    /// Makes a nonce out of randomness, which has to come from the system.
    pub const fn new(random: [u8; NONCE_LEN]) -> Self {
        Self(random)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Nonce {
    type Err = NonceError;

    fn from_str(text: &str) -> Result<Self, NonceError> {
        let mut bytes = [0; NONCE_LEN];
        let read = hex::decode_to_slice(text, &mut bytes).map(|()| Self(bytes));
        // `hex` takes capitals too; a nonce has one spelling, or it could be used twice.
        read.ok().filter(|it| it.to_string() == text).ok_or(NonceError)
    }
}

impl TryFrom<String> for Nonce {
    type Error = NonceError;

    fn try_from(text: String) -> Result<Self, NonceError> {
        text.parse()
    }
}

impl From<Nonce> for String {
    fn from(nonce: Nonce) -> Self {
        nonce.to_string()
    }
}

/// A text that is no nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a nonce has 32 lower-case hex digits")]
pub struct NonceError;

/// What a permit says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermitContent {
    /// The node that may load the older release.
    pub node: String,
    /// Fingerprint of the one lock that it may load.
    pub lock_fingerprint: Digest,
    /// Number of that release.
    pub release_counter: u64,
    /// Why, for people.
    pub reason: String,
    /// Tells it apart from others.
    pub nonce: Nonce,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A permit that was checked (T1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit(PermitContent);

impl PermitContent {
    /// Signs it: the bytes of a permit.
    ///
    /// # Errors
    ///
    /// [`PermitError`] when no node would take it.
    pub fn sign(&self, key: &SigningKey) -> Result<Vec<u8>, PermitError> {
        let value = json!({
            "schema": PERMIT_SCHEMA,
            "node": self.node,
            "lock_fingerprint": self.lock_fingerprint,
            "release_counter": self.release_counter,
            "reason": self.reason,
            "nonce": self.nonce,
            "created_at": self.created_at.to_string(),
            "expires_at": self.expires_at.to_string(),
        });
        let payload = value.to_string().into_bytes();
        let bytes = Dsse::sign(PERMIT_PAYLOAD_TYPE, payload, key).to_bytes();
        // The rules are those of the reader, so that nobody signs what nobody takes.
        let keys = [key.public().clone()];
        Permit::check(&bytes, &keys, &self.node, self.created_at).map(|_| bytes)
    }

    fn parse(payload: &[u8]) -> Result<Self, PermitError> {
        let map = form::object(payload, PERMIT_LEN_MAX)?;
        let mut it = Members::new(&map);
        let schema = it.number("schema")?;
        if schema != PERMIT_SCHEMA {
            return Err(PermitError::Schema { found: schema });
        }
        let nonce = it.any_text("nonce")?;
        let nonce = nonce.parse().map_err(|error| it.error("nonce", error))?;
        let content = Self {
            node: it.text("node", PERMIT_NODE_LEN_MAX)?.to_owned(),
            lock_fingerprint: it.digest("lock_fingerprint", &[Algorithm::Blake3])?,
            release_counter: it.number("release_counter")?,
            reason: it.text("reason", PERMIT_REASON_LEN_MAX)?.to_owned(),
            nonce,
            created_at: it.time("created_at")?,
            expires_at: it.time("expires_at")?,
        };
        it.end()?;
        Ok(content)
    }
}

impl Permit {
    /// Checks a permit: signature, node, time (T1, T2).
    ///
    /// # Errors
    ///
    /// [`PermitError`].
    pub fn check(
        bytes: &[u8],
        keys: &[PublicKey],
        node: &str,
        now: Timestamp,
    ) -> Result<Self, PermitError> {
        if bytes.len() > PERMIT_LEN_MAX {
            let (len, max) = (bytes.len(), PERMIT_LEN_MAX);
            return Err(FormError::TooLong { len, max }.into());
        }
        let envelope = Dsse::parse(bytes)?;
        let opened = envelope.open(PERMIT_PAYLOAD_TYPE, keys)?;
        let it = PermitContent::parse(opened.payload)?;
        if it.node != node {
            return Err(PermitError::Node { found: it.node, own: node.to_owned() });
        }
        let lifetime = it.created_at.duration_until(it.expires_at);
        if lifetime <= SignedDuration::ZERO || lifetime > PERMIT_LIFETIME_MAX {
            let (created_at, expires_at) = (it.created_at, it.expires_at);
            return Err(PermitError::Lifetime { created_at, expires_at });
        }
        if now >= it.expires_at {
            return Err(PermitError::Expired { expires_at: it.expires_at, now });
        }
        if now.duration_until(it.created_at) > PERMIT_CLOCK_SKEW {
            return Err(PermitError::Future { created_at: it.created_at, now });
        }
        Ok(Self(it))
    }

    /// What it says.
    pub const fn content(&self) -> &PermitContent {
        &self.0
    }
}

/// Why a permit permits nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PermitError {
    /// It does not have the documented form.
    #[error("the permit is not valid: {0}")]
    Form(#[from] FormError),
    /// Nobody who is trusted signed it.
    #[error("the permit is not to be trusted: {0}")]
    Signature(#[from] DsseError),
    /// Made for another version of this program.
    #[error("the permit has schema {found}, this program reads {PERMIT_SCHEMA}")]
    Schema {
        /// The schema found.
        found: u64,
    },
    /// For another node.
    #[error("the permit is for the node `{found}`, this is `{own}`")]
    Node {
        /// The node it is for.
        found: String,
        /// This node.
        own: String,
    },
    /// It lives too long, or ends before it begins (T2).
    #[error(
        "the permit is from {created_at} to {expires_at}: it has to end after it begins, and within 30 days"
    )]
    Lifetime {
        /// When it was made.
        created_at: Timestamp,
        /// When it ends.
        expires_at: Timestamp,
    },
    /// It has ended.
    #[error("the permit ended at {expires_at}, now is {now}")]
    Expired {
        /// When it ended.
        expires_at: Timestamp,
        /// The time here.
        now: Timestamp,
    },
    /// It was made later than now.
    #[error("the permit was made at {created_at}, now is {now}: check the clock of this node")]
    Future {
        /// When it was made.
        created_at: Timestamp,
        /// The time here.
        now: Timestamp,
    },
}
