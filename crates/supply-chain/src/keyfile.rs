//! Key files on disk.
//!
//! This module uses the file system of the standard library, not the port that the log uses: a key is no state of the
//! log, it is never read in a crash model, and it needs its mode from the moment it exists, which the port cannot give.
//!
//! # Invariants
//!
//! * **W1** A private key that others may read is not used: it has to be thought of as known.
//! * **W2** A key file never replaces a file. Who loses a key by mistake cannot get it back.
//! * **W3** A key that was reported as written survives a power cut: file and directory are synced.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    PublicKey, PublicKeyError, SEAL_RANDOM_LEN, SealError, SigningKey, SigningKeyError,
    pem::PEM_LEN_MAX,
};

/// Name of the file with the private key.
pub const PRIVATE_NAME: &str = "autonomy.key";
/// Name of the file with the public key.
pub const PUBLIC_NAME: &str = "autonomy.pub";
/// Mode of both files.
pub const KEY_FILE_MODE: u32 = 0o600;
/// What the group and others may do with a file.
const NOT_THE_OWNER: u32 = 0o077;

/// Where a pair of keys was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The private key.
    pub private: PathBuf,
    /// The public key.
    pub public: PathBuf,
}

/// Reads a private key (W1).
///
/// # Errors
///
/// [`KeyFileError`].
pub fn read_signing_key(path: &Path, password: Option<&str>) -> Result<SigningKey, KeyFileError> {
    let text = read(path, NOT_THE_OWNER)?;
    SigningKey::from_pem(&text, password)
        .map_err(|source| KeyFileError::Private { path: path.to_owned(), source })
}

/// Reads a public key. Everybody may read and change its file: whoever names it vouches for it.
///
/// # Errors
///
/// [`KeyFileError`].
pub fn read_public_key(path: &Path) -> Result<PublicKey, KeyFileError> {
    let text = read(path, 0)?;
    PublicKey::from_pem(&text)
        .map_err(|source| KeyFileError::Public { path: path.to_owned(), source })
}

/// Writes both halves of a key into a directory, which has to exist (W2, W3).
///
/// # Errors
///
/// [`KeyFileError`]. Then neither file was left behind, unless removing it failed as well.
pub fn write_pair(
    directory: &Path,
    key: &SigningKey,
    password: Option<&str>,
    random: [u8; SEAL_RANDOM_LEN],
) -> Result<Written, KeyFileError> {
    let private_text = key.to_pem(password, random).map_err(KeyFileError::Seal)?;
    let public_text = key.public().to_pem();
    let written =
        Written { private: directory.join(PRIVATE_NAME), public: directory.join(PUBLIC_NAME) };
    // The public half first: where that fails, no secret was on the disk.
    create(&written.public, public_text.as_bytes())?;
    let undo = |error, paths: &[&Path]| {
        for path in paths {
            // The first error is the one to report.
            drop(fs::remove_file(path));
        }
        error
    };
    create(&written.private, private_text.as_bytes()).map_err(|it| undo(it, &[&written.public]))?;
    let synced = File::open(directory).and_then(|it| it.sync_all());
    synced.map_err(|source| {
        let error = KeyFileError::Io { path: directory.to_owned(), source };
        undo(error, &[&written.public, &written.private])
    })?;
    Ok(written)
}

fn read(path: &Path, forbidden: u32) -> Result<Zeroizing<String>, KeyFileError> {
    let error = |source| KeyFileError::Io { path: path.to_owned(), source };
    // Looked at before it is opened, because opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(error)?.is_file() {
        return Err(KeyFileError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(error)?;
    // What counts is what was opened.
    let found = file.metadata().map_err(error)?;
    if !found.is_file() {
        return Err(KeyFileError::NotAFile { path: path.to_owned() });
    }
    if found.mode() & forbidden != 0 {
        let mode = found.mode() & 0o7777;
        return Err(KeyFileError::ReadableByOthers { path: path.to_owned(), mode });
    }
    let too_long = || KeyFileError::TooLong { path: path.to_owned() };
    // With its whole capacity from the start, no copy of a secret stays behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(PEM_LEN_MAX + 1));
    file.take(PEM_LEN_MAX as u64 + 1).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() > PEM_LEN_MAX {
        return Err(too_long());
    }
    let text =
        std::str::from_utf8(&bytes).map_err(|_| KeyFileError::NotText { path: path.to_owned() })?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn create(path: &Path, content: &[u8]) -> Result<(), KeyFileError> {
    let error = |source| KeyFileError::Io { path: path.to_owned(), source };
    let opened = OpenOptions::new().write(true).create_new(true).mode(KEY_FILE_MODE).open(path);
    let mut file = opened.map_err(|it| match it.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::AlreadyExists { path: path.to_owned() },
        _ => error(it),
    })?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|it| {
        // Half a key is none, and would be in the way of the next attempt.
        drop(fs::remove_file(path));
        error(it)
    })
}

/// Why a key file cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Others than its owner may read or change a private key (W1).
    #[error(
        "others may read the private key {} (mode {mode:04o}): if nobody has, run `chmod 600 {}`, \
         else make a new key", path.display(), path.display()
    )]
    ReadableByOthers {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A directory, a pipe, a device.
    #[error("{} is no regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Longer than any key.
    #[error("{} is longer than {PEM_LEN_MAX} bytes and so no key", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// No text.
    #[error("{} is no text and so no key in PEM", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// A file is where a key should go (W2).
    #[error("{} exists, and a key never replaces a file: choose another directory", path.display())]
    AlreadyExists {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no public key.
    #[error("{}: {source}", path.display())]
    Public {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: PublicKeyError,
    },
    /// The file is no private key that signs.
    #[error("{}: {source}", path.display())]
    Private {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: SigningKeyError,
    },
    /// The key cannot be put into a file.
    #[error("{0}")]
    Seal(#[source] SealError),
}
