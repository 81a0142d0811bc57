//! Signed statements about how far a log goes.
//!
//! The chain finds every change inside a log. It does not find a log that was written anew from the
//! start, or one that lost its end together with its safe point. A seal, signed with a key that is
//! not on the machine afterwards, does: whoever has the public key can tell that entry `seq` had this
//! chain value, which covers every byte up to it.
//!
//! # Invariants
//!
//! * **L1** Only an entry that was acknowledged is sealed, and the whole log up to it was checked.
//! * **L2** A seal is never replaced by one that contradicts it: when the log at hand is not the log
//!   that was sealed before, or is shorter, sealing is refused (`SEAL_CONTRADICTED`).
//! * **L4** A seal never stays beside another log than its own: who replaces a log removes its seal, and
//!   who seals looks whether the log is still there after the seal is.
//! * **L3** A signature is checked strictly (`verify_strict`): no small-order keys, one encoding.
//!
//! Keys are PEM files as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` make them.

use std::{
    io,
    path::{Path, PathBuf},
};

use ed25519_dalek::{
    Signature, Signer as _, Verifier as _,
    pkcs8::{DecodePrivateKey as _, DecodePublicKey as _},
};
use jiff::Timestamp;
use thiserror::Error;
use vfs::{Vfs, read_whole, replace};
use wal_format::{Chain, SealFile, SealStatement, Seq, WalId, names, split_chain};

pub use ed25519_dalek::{SigningKey, VerifyingKey};

use crate::{
    ReadError, Reader, Refreshed, SealPoint, codes,
    mutants::{Mutant, removed},
    switch,
};

/// How often a log is sealed that is replaced meanwhile. Between two replacements everything in it is
/// delivered.
const ATTEMPTS: usize = 16;

/// A point of a log that a signature vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedSeal {
    /// The log.
    pub wal_id: WalId,
    /// An entry of it.
    pub seq: Seq,
    /// Its chain value.
    pub chain: Chain,
    /// When it was signed, in the words of the signer.
    pub at: Timestamp,
    /// The key that has signed it.
    pub public_key: [u8; 32],
    /// Whether that is a key that the caller trusts; else the signature proves no origin.
    pub trusted: bool,
}

impl CheckedSeal {
    /// What a log is compared with, see [`verify`](crate::verify()).
    pub fn point(&self) -> SealPoint {
        SealPoint { wal_id: self.wal_id, seq: self.seq, chain: self.chain }
    }
}

/// Reads a private key from PKCS#8 PEM.
///
/// # Errors
///
/// [`SealError::Key`] when it is none.
pub fn signing_key(pem: &str) -> Result<SigningKey, SealError> {
    SigningKey::from_pkcs8_pem(pem).map_err(|it| SealError::Key { text: it.to_string() })
}

/// Reads a public key from SPKI PEM.
///
/// # Errors
///
/// [`SealError::Key`] when it is none.
pub fn verifying_key(pem: &str) -> Result<VerifyingKey, SealError> {
    VerifyingKey::from_public_key_pem(pem).map_err(|it| SealError::Key { text: it.to_string() })
}

/// Signs the last acknowledged entry of a log (L1, L2). Takes no lock; a writer may go on.
///
/// # Errors
///
/// [`SealError`]; the seal before stays.
pub fn seal(
    vfs: &dyn Vfs,
    dir: &Path,
    key: &SigningKey,
    now: Timestamp,
) -> Result<SealStatement, SealError> {
    for _ in 0..ATTEMPTS {
        let mut reader = Reader::open(vfs, dir)?;
        let statement = state(vfs, dir, &mut reader, now)?;
        let text = statement.to_text();
        let signature = key.sign(text.as_bytes()).to_bytes();
        let public_key = key.verifying_key().to_bytes();
        let file = SealFile { statement: text, public_key, signature };
        let path = dir.join(names::SEAL);
        replace(vfs, &path, &file.to_bytes()).map_err(|source| SealError::Io { path, source })?;
        // A log that is replaced later takes its seal with it (L4).
        if reader.refresh(vfs)? != Refreshed::Replaced {
            return Ok(statement);
        }
    }
    let source = io::Error::other("the log is being replaced; try again");
    Err(SealError::Io { path: dir.join(names::WAL), source })
}

/// What there is to sign (L1, L2).
fn state(
    vfs: &dyn Vfs,
    dir: &Path,
    reader: &mut Reader,
    now: Timestamp,
) -> Result<SealStatement, SealError> {
    let before = match check_seal(vfs, dir, None) {
        Ok(seal) => Some(seal),
        Err(SealError::NotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    let (mut last, mut at_seal) = (None, None);
    while let Some(item) = reader.next_entry()? {
        let chain = split_chain(item.payload).map(|it| it.1);
        if before.is_some_and(|it| it.seq == item.seq) {
            at_seal = chain;
        }
        last = chain.map(|chain| (item.seq, chain));
    }
    let wal_id = reader.identity().map(|it| it.wal_id);
    let (Some(wal_id), Some((seq, chain))) = (wal_id, last) else {
        return Err(SealError::NoChain);
    };
    if let Some(before) = before.filter(|it| it.wal_id == wal_id)
        && at_seal != Some(before.chain)
        && !removed(Mutant::NotContradicted)
    {
        return Err(SealError::Contradicted { wal_id, sealed: before.seq, last: seq });
    }
    Ok(SealStatement { wal_id, seq, chain, at: now })
}

/// Checks the signature of the seal of a log (L3). What the log says is not looked at. While a switch
/// waits to be finished the log is the next one (T4 of `switch`), and that has no seal.
///
/// Without a trusted key the signature is checked against the key in the file: that finds damage, and
/// proves nothing about who has signed.
///
/// # Errors
///
/// [`SealError`].
pub fn check_seal(
    vfs: &dyn Vfs,
    dir: &Path,
    trusted: Option<&VerifyingKey>,
) -> Result<CheckedSeal, SealError> {
    let path = dir.join(names::SEAL);
    let replaced = switch::read(vfs, dir).map_err(ReadError::of)?.is_some();
    match read_whole(vfs, &path, SealFile::LEN_MAX) {
        Ok(Some(bytes)) if !replaced => check_bytes(&bytes, trusted),
        Ok(_) => Err(SealError::NotFound { dir: dir.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(SealError::Invalid { text: "it is too long".to_owned() })
        }
        Err(source) => Err(SealError::Io { path, source }),
    }
}

/// Checks the content of a seal file, as [`check_seal`] does.
///
/// # Errors
///
/// [`SealError::Invalid`] or [`SealError::KeyMismatch`].
pub fn check_bytes(bytes: &[u8], trusted: Option<&VerifyingKey>) -> Result<CheckedSeal, SealError> {
    let invalid = |text: String| SealError::Invalid { text };
    let file = SealFile::from_bytes(bytes).map_err(|it| invalid(it.to_string()))?;
    if let Some(trusted) = trusted
        && trusted.as_bytes() != &file.public_key
    {
        return Err(SealError::KeyMismatch);
    }
    let key = VerifyingKey::from_bytes(&file.public_key).map_err(|it| invalid(it.to_string()))?;
    let signature = Signature::from_bytes(&file.signature);
    let text = file.statement.as_bytes();
    let holds = match () {
        () if removed(Mutant::SignatureChecked) => Ok(()),
        () if removed(Mutant::SignatureStrict) => key.verify(text, &signature),
        () => key.verify_strict(text, &signature),
    };
    holds.map_err(|_| invalid("the signature does not hold".to_owned()))?;
    let statement = SealStatement::parse(&file.statement).map_err(|it| invalid(it.to_string()))?;
    let SealStatement { wal_id, seq, chain, at } = statement;
    let public_key = file.public_key;
    Ok(CheckedSeal { wal_id, seq, chain, at, public_key, trusted: trusted.is_some() })
}

/// Why a log was not sealed, or a seal does not count.
#[derive(Debug, Error)]
pub enum SealError {
    /// There is no seal.
    #[error("telemetry/wal: SEAL_NOT_FOUND — no telemetry.seal in {}", dir.display())]
    NotFound {
        /// The directory.
        dir: PathBuf,
    },
    /// The file is no seal of ours, or its signature does not hold.
    #[error("telemetry/wal: SEAL_INVALID — telemetry.seal: {text}")]
    Invalid {
        /// What is wrong.
        text: String,
    },
    /// Another key has signed it.
    #[error("telemetry/wal: SEAL_KEY_MISMATCH — telemetry.seal was signed with another key")]
    KeyMismatch,
    /// The text is no key.
    #[error("telemetry/wal: SEAL_KEY_INVALID — not an Ed25519 key in PEM: {text}")]
    Key {
        /// What the parser found.
        text: String,
    },
    /// L2.
    #[error(
        "telemetry/wal: SEAL_CONTRADICTED — entry {sealed} of log {wal_id} was sealed with another \
         content, or is gone (last entry {last})"
    )]
    Contradicted {
        /// The log.
        wal_id: WalId,
        /// The entry that was sealed.
        sealed: Seq,
        /// The last entry now.
        last: Seq,
    },
    /// The log has no chain yet.
    #[error("telemetry/wal: WAL_NOT_FOUND — there is no chained entry that could be sealed")]
    NoChain,
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file system failed.
    #[error("telemetry/wal: WAL_IO — cannot read or write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl SealError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => codes::SEAL_NOT_FOUND,
            Self::Invalid { .. } => codes::SEAL_INVALID,
            Self::KeyMismatch => codes::SEAL_KEY_MISMATCH,
            Self::Key { .. } => codes::SEAL_KEY_INVALID,
            Self::Contradicted { .. } => codes::SEAL_CONTRADICTED,
            Self::NoChain => codes::WAL_NOT_FOUND,
            Self::Read(error) => error.code(),
            Self::Io { .. } => codes::WAL_IO,
        }
    }

    /// Returns what an operator does next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "make one with `autonomy wal seal --dir DIR --key FILE`",
            Self::Invalid { .. } => {
                "keep the file as evidence, move it away, and compare the log with a copy from \
                 another place before you seal it again"
            }
            Self::KeyMismatch => "check which key belongs to this machine",
            Self::Key { .. } => {
                "make one with `openssl genpkey -algorithm ed25519`; `openssl pkey -pubout` prints \
                 its public half"
            }
            Self::Contradicted { .. } => {
                "entries were lost or rewritten after they were sealed: keep the directory as \
                 evidence and compare it with what the collector has"
            }
            Self::NoChain => "start the runtime once: it writes the first chained entry",
            Self::Read(error) => error.hint(),
            Self::Io { .. } => "check that the directory exists and is writable",
        }
    }
}
