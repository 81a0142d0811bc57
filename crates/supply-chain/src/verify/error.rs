//! Why an image is not verified: the ten names, which are part of the interface.

use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;

use crate::{
    ContentError, Digest, RegistryError,
    gather::{Role, is_of_the_place},
};

/// Why an image is not verified.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// Nothing is signed about an artifact.
    #[error("the {} {digest} has no signature", .role.name())]
    Unsigned {
        /// Which artifact.
        role: Role,
        /// What it is called.
        digest: Digest,
    },
    /// Not enough of the given keys have signed it.
    #[error("{valid} of the given keys have signed the {} {digest}, {threshold} have to: {text}", .role.name())]
    BadSignature {
        /// Which artifact.
        role: Role,
        /// What it is called.
        digest: Digest,
        /// Distinct keys that have.
        valid: usize,
        /// Distinct keys that have to.
        threshold: usize,
        /// What is wrong with the signatures that are there.
        text: String,
    },
    /// Enough keys have signed it, but too long ago, or nobody says when.
    #[error("{}", expired(*.role, .signed_at.as_ref(), *.max_age, *.now))]
    SignatureExpired {
        /// Which artifact.
        role: Role,
        /// The newest time that the missing keys vouch for.
        signed_at: Option<Timestamp>,
        /// Longest age.
        max_age: Duration,
        /// Time of the check.
        now: Timestamp,
    },
    /// A content is not the one that was named.
    #[error("{what}: {text}")]
    DigestMismatch {
        /// Which content.
        what: String,
        /// What it is, and what it should be.
        text: String,
    },
    /// The lock does not say what it said when its fingerprint was made.
    #[error("the lock says its fingerprint is {stored}, but it is {computed}")]
    FingerprintMismatch {
        /// What stands in the lock.
        stored: Digest,
        /// What it comes to.
        computed: Digest,
    },
    /// The policy bundle has another version than the lock says.
    #[error("{left} and {right} differ in major or minor version")]
    VersionMismatch {
        /// One place and its version.
        left: String,
        /// The other.
        right: String,
    },
    /// A release that is older than one that was active here.
    #[error("{text}")]
    Rollback {
        /// What was active, and what would be.
        text: String,
    },
    /// Something that has to be there is not.
    #[error("there is no {what}")]
    NothingToVerify {
        /// What is missing.
        what: String,
    },
    /// Something is of a form that nobody here reads.
    #[error("{text}")]
    Unsupported {
        /// What, and why.
        text: String,
    },
    /// The place does not answer.
    #[error("{text}")]
    Unreachable {
        /// The whole chain of causes.
        text: String,
    },
}

impl VerifyError {
    /// Every code, in the order of the variants.
    pub const CODES: [&'static str; 10] = [
        "ErrUnsigned",
        "ErrBadSignature",
        "ErrSignatureExpired",
        "ErrDigestMismatch",
        "ErrFingerprintMismatch",
        "ErrVersionMismatch",
        "ErrRollback",
        "ErrNothingToVerify",
        "ErrUnsupported",
        "ErrUnreachable",
    ];

    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unsigned { .. } => "ErrUnsigned",
            Self::BadSignature { .. } => "ErrBadSignature",
            Self::SignatureExpired { .. } => "ErrSignatureExpired",
            Self::DigestMismatch { .. } => "ErrDigestMismatch",
            Self::FingerprintMismatch { .. } => "ErrFingerprintMismatch",
            Self::VersionMismatch { .. } => "ErrVersionMismatch",
            Self::Rollback { .. } => "ErrRollback",
            Self::NothingToVerify { .. } => "ErrNothingToVerify",
            Self::Unsupported { .. } => "ErrUnsupported",
            Self::Unreachable { .. } => "ErrUnreachable",
        }
    }
}

impl From<&RegistryError> for VerifyError {
    fn from(error: &RegistryError) -> Self {
        match error {
            _ if is_of_the_place(error) => Self::Unreachable { text: chain(error) },
            RegistryError::Content { what, source } => {
                Self::DigestMismatch { what: what.clone(), text: content(source) }
            }
            _ => Self::Unsupported { text: chain(error) },
        }
    }
}

fn content(error: &ContentError) -> String {
    error.to_string()
}

/// The words of an error and of all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        // Many an error quotes its cause.
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

fn expired(role: Role, at: Option<&Timestamp>, max_age: Duration, now: Timestamp) -> String {
    let name = role.name();
    match at {
        None => format!("nobody has signed when the {name} was signed (`autonomy.signed-at`)"),
        Some(at) if *at > now => format!("the {name} was signed at {at}, which is in the future"),
        Some(at) => {
            let age = Duration::try_from(now.duration_since(*at)).unwrap_or_default();
            let (age, limit) = (rounded(age), option(max_age));
            format!("the {name} was signed {age} ago, at {at}; --max-age is {limit}")
        }
    }
}

/// An age in the largest unit of which there are two.
fn rounded(age: Duration) -> String {
    match age.as_secs() {
        secs @ ..120 => format!("{secs} s"),
        secs @ ..7200 => format!("{} min", secs / 60),
        secs => format!("{} h", secs / 3600),
    }
}

/// A duration as it is written on a command line, exactly.
fn option(limit: Duration) -> String {
    match (limit.subsec_nanos(), limit.as_secs()) {
        (0, secs) if secs > 0 && secs % 3600 == 0 => format!("{}h", secs / 3600),
        (0, secs) if secs > 0 && secs % 60 == 0 => format!("{}m", secs / 60),
        _ => format!("{limit:?}"),
    }
}
