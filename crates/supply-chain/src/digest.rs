//! Digests: what a content is called, and the one routine that reads content under its name.
//!
//! # Invariants
//!
//! * **G1** A digest is written in one way only: algorithm, colon, 64 lower-case hex digits.
//! * **G2** Content is compared with its whole name: length and digest. A reader never takes more bytes than the
//!   length says and one, so endless content ends.

use std::{fmt, io, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use thiserror::Error;

/// Bytes of every digest here.
pub const DIGEST_LEN: usize = 32;
/// Bytes that are read at a time.
const READ_LEN: usize = 256 << 10;

/// How a digest is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256: what OCI images use.
    Sha256,
    /// BLAKE3: fingerprints, and inputs of a lock where it says so.
    Blake3,
}

impl Algorithm {
    /// Every one of them.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Blake3];

    /// The name before the colon.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Blake3 => "blake3",
        }
    }
}

/// The digest of some content.
///
/// # Examples
///
/// ```
/// use supply_chain::Digest;
///
/// let digest = Digest::sha256(b"");
/// let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// assert_eq!(digest.to_string(), text);
/// assert_eq!(text.parse(), Ok(digest));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    bytes: [u8; DIGEST_LEN],
}

impl Digest {
    /// Names a content by its SHA-256.
    pub fn sha256(content: &[u8]) -> Self {
        Self { algorithm: Algorithm::Sha256, bytes: sha2::Sha256::digest(content).into() }
    }

    /// Names a content by its BLAKE3.
    pub fn blake3(content: &[u8]) -> Self {
        Self { algorithm: Algorithm::Blake3, bytes: *blake3::hash(content).as_bytes() }
    }

    /// Names a content in the way of another digest, so that the two can be compared.
    pub fn like(algorithm: Algorithm, content: &[u8]) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::sha256(content),
            Algorithm::Blake3 => Self::blake3(content),
        }
    }

    /// How it was made.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The 64 hex digits, without the algorithm.
    pub fn hex(&self) -> String {
        hex::encode(self.bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let error = || DigestError { text: text.chars().take(96).collect() };
        let (name, digits) = text.split_once(':').ok_or_else(error)?;
        let algorithm =
            Algorithm::ALL.into_iter().find(|it| it.name() == name).ok_or_else(error)?;
        let lower = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
        let mut bytes = [0; DIGEST_LEN];
        // `hex` takes capitals too; a name has one spelling (G1).
        if !digits.bytes().all(lower) || hex::decode_to_slice(digits, &mut bytes).is_err() {
            return Err(error());
        }
        Ok(Self { algorithm, bytes })
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// A text that is no digest of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no digest: sha256: or blake3: and 64 lower-case hex digits")]
pub struct DigestError {
    /// The text, shortened.
    pub text: String,
}

/// Makes a digest of content that comes in pieces.
#[derive(Clone, Debug)]
pub enum Hasher {
    /// SHA-256.
    Sha256(sha2::Sha256),
    /// BLAKE3.
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    /// Starts with nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            Algorithm::Blake3 => Self::Blake3(Box::default()),
        }
    }

    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha256(it) => it.update(piece),
            Self::Blake3(it) => {
                it.update(piece);
            }
        }
    }

    /// Names what was taken.
    pub fn finish(self) -> Digest {
        match self {
            Self::Sha256(it) => {
                Digest { algorithm: Algorithm::Sha256, bytes: it.finalize().into() }
            }
            Self::Blake3(it) => {
                Digest { algorithm: Algorithm::Blake3, bytes: *it.finalize().as_bytes() }
            }
        }
    }
}

/// Reads content to its end, hands each piece to `sink`, and compares the whole with its name (G2).
/// What `sink` was given may be used only after this returned `Ok`.
///
/// # Errors
///
/// [`ContentError`].
pub fn read_checked(
    reader: &mut dyn io::Read,
    digest: &Digest,
    len: u64,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), ContentError> {
    let mut buffer = vec![0; READ_LEN];
    let (mut hasher, mut found) = (Hasher::new(digest.algorithm()), 0_u64);
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ContentError::Read(error)),
        };
        found += read as u64;
        if found > len {
            return Err(ContentError::Longer { len });
        }
        let piece = buffer.get(..read).unwrap_or_default();
        hasher.update(piece);
        sink(piece).map_err(ContentError::Keep)?;
    }
    if found < len {
        return Err(ContentError::Shorter { len, found });
    }
    match hasher.finish() {
        found if found == *digest => Ok(()),
        found => Err(ContentError::Other { expected: *digest, found }),
    }
}

/// Why content is not what its name says.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContentError {
    /// Longer than it should be; the rest was not read.
    #[error("the content goes on behind its {len} bytes")]
    Longer {
        /// Length that it should have.
        len: u64,
    },
    /// Shorter than it should be.
    #[error("the content ends after {found} of {len} bytes")]
    Shorter {
        /// Length that it should have.
        len: u64,
        /// Length that it has.
        found: u64,
    },
    /// Another content.
    #[error("the content is {found}, not {expected}")]
    Other {
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// It could not be read to its end.
    #[error("the content could not be read")]
    Read(#[source] io::Error),
    /// It could not be put where it should go.
    #[error("the content could not be kept")]
    Keep(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(content: &[u8], digest: &Digest, len: u64) -> Result<Vec<u8>, ContentError> {
        let mut kept = Vec::new();
        read_checked(&mut &*content, digest, len, &mut |it| {
            kept.extend_from_slice(it);
            Ok(())
        })?;
        Ok(kept)
    }

    #[test]
    fn a_digest_has_one_spelling() {
        let good = Digest::sha256(b"x").to_string();
        assert_eq!(good.parse::<Digest>().unwrap().to_string(), good);
        let bad = [
            "",
            "sha256",
            "sha256:",
            &good.to_uppercase(),
            &good.replace("sha256:", "SHA256:"),
            &good.replace("sha256:", "sha512:"),
            &good.replace("sha256:", ""),
            good.strip_suffix(|_: char| true).unwrap(),
            &format!("{good}0"),
            &format!(" {good}"),
            &good.replacen(|it: char| it.is_ascii_alphabetic() && it > 'f', "g", 1),
        ];
        for text in bad {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn endless_content_ends_at_its_length() {
        let mut taken = 0;
        let name = Digest::sha256(b"");
        let error = read_checked(&mut io::repeat(7), &name, 10, &mut |it| {
            taken += it.len();
            Ok(())
        });
        assert!(matches!(error, Err(ContentError::Longer { len: 10 })));
        assert_eq!(taken, 0, "not even the piece that was too much is handed on");
    }

    proptest! {
        #[test]
        fn only_the_content_itself_has_its_name(
            content in prop::collection::vec(any::<u8>(), 0..600), at in any::<prop::sample::Index>(), bit in 0_u8..8
        ) {
            for algorithm in Algorithm::ALL {
                let (name, len) = (Digest::like(algorithm, &content), content.len() as u64);
                prop_assert_eq!(&read(&content, &name, len).unwrap(), &content);
                let shorter = matches!(read(&content, &name, len + 1), Err(ContentError::Shorter { .. }));
                prop_assert!(shorter);
                if !content.is_empty() {
                    let longer = matches!(read(&content, &name, len - 1), Err(ContentError::Longer { .. }));
                    prop_assert!(longer);
                    let mut other = content.clone();
                    other[at.index(content.len())] ^= 1 << bit;
                    let other = matches!(read(&other, &name, len), Err(ContentError::Other { .. }));
                    prop_assert!(other);
                }
            }
        }
    }
}
