//! References: how an operator names an image.
//!
//! | form                                  | where it is                                    |
//! |---------------------------------------|------------------------------------------------|
//! | `host[:port]/repository[:tag][@digest]` | a registry; the host is always named            |
//! | `oci:PATH[:tag][@digest]`             | an OCI image layout on disk, as skopeo names it |
//!
//! Without tag and digest the tag is `latest`. With both the digest counts, and the tag names the sidecars.

use std::{fmt, path::PathBuf, str::FromStr};

use thiserror::Error;

use crate::{Algorithm, Digest};

/// Longest reference, in bytes.
pub const REFERENCE_LEN_MAX: usize = 1024;
/// Longest tag (OCI distribution specification, "pulling manifests").
pub const TAG_LEN_MAX: usize = 128;
/// The tag of a reference that names none.
const LATEST: &str = "latest";

/// Names an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Where to look.
    pub place: Place,
    /// What to look for; `None` only beside a digest.
    pub tag: Option<Tag>,
    /// What it has to be.
    pub digest: Option<Digest>,
}

/// Where images are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// An image layout on disk.
    Layout(PathBuf),
    /// A repository of a registry.
    Repository {
        /// Host name or address, and port if it was named.
        host: String,
        /// Repository, for example `agents/arm`.
        repository: String,
    },
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// Checks a text.
    ///
    /// # Errors
    ///
    /// [`ReferenceError::Tag`] unless it is `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
    pub fn new(text: &str) -> Result<Self, ReferenceError> {
        let word = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
        let good = text.len() <= TAG_LEN_MAX
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|it| word(it) || matches!(it, b'.' | b'-'));
        let error = || ReferenceError::Tag { text: text.chars().take(TAG_LEN_MAX).collect() };
        if good { Ok(Self(text.to_owned())) } else { Err(error()) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.len() > REFERENCE_LEN_MAX {
            return Err(ReferenceError::TooLong { len: text.len() });
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(image_digest(digest)?)),
            None => (text, None),
        };
        let (place, tag) = match name.strip_prefix("oci:") {
            Some(rest) => {
                // A colon in a directory of the path is none before a tag.
                let (path, tag) = match rest.rsplit_once(':') {
                    Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
                    _ => (rest, None),
                };
                if path.is_empty() {
                    return Err(ReferenceError::Path);
                }
                (Place::Layout(path.into()), tag)
            }
            None => repository(name)?,
        };
        let tag = match (tag, digest) {
            (Some(tag), _) => Some(Tag::new(tag)?),
            (None, Some(_)) => None,
            (None, None) => Some(Tag(LATEST.to_owned())),
        };
        Ok(Self { place, tag, digest })
    }
}

/// Images are called by SHA-256 alone.
fn image_digest(text: &str) -> Result<Digest, ReferenceError> {
    let digest = text.parse::<Digest>().ok().filter(|it| it.algorithm() == Algorithm::Sha256);
    digest.ok_or_else(|| ReferenceError::Digest { text: text.chars().take(96).collect() })
}

fn repository(name: &str) -> Result<(Place, Option<&str>), ReferenceError> {
    let error = || ReferenceError::Host { text: name.to_owned() };
    let (host, rest) = name.split_once('/').ok_or_else(error)?;
    let named = host.contains(['.', ':', '[']) || host == "localhost";
    let clean = |it: u8| it.is_ascii_alphanumeric() || b".:-[]".contains(&it);
    if !named || !host.bytes().all(clean) {
        return Err(error());
    }
    let (repository, tag) = match rest.split_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (rest, None),
    };
    let part = |it: &str| {
        let plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
        it.bytes().next().is_some_and(plain)
            && it.bytes().next_back().is_some_and(plain)
            && it.bytes().all(|it| plain(it) || b"._-".contains(&it))
    };
    if !repository.split('/').all(part) {
        return Err(ReferenceError::Repository { text: repository.to_owned() });
    }
    let (host, repository) = (host.to_owned(), repository.to_owned());
    Ok((Place::Repository { host, repository }, tag))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(path) => write!(f, "oci:{}", path.display()),
            Self::Repository { host, repository } => write!(f, "{host}/{repository}"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Why a text names no image.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// No registry is named.
    #[error(
        "`{text}` names no registry: write `host/repository:tag`, or `oci:PATH:tag` for a layout on disk"
    )]
    Host {
        /// The text.
        text: String,
    },
    /// The repository has a form that no registry takes.
    #[error(
        "`{text}` is no repository: lower-case letters, digits, and . _ - between them, in parts split by /"
    )]
    Repository {
        /// The text.
        text: String,
    },
    /// No tag.
    #[error("`{text}` is no tag: letters, digits, and . _ - (at most {TAG_LEN_MAX})")]
    Tag {
        /// The text.
        text: String,
    },
    /// No digest of an image.
    #[error("`{text}` is no digest of an image: sha256: and 64 lower-case hex digits")]
    Digest {
        /// The text.
        text: String,
    },
    /// No path behind `oci:`.
    #[error("no path behind `oci:`")]
    Path,
    /// Longer than [`REFERENCE_LEN_MAX`].
    #[error("a reference of {len} bytes is longer than {REFERENCE_LEN_MAX}")]
    TooLong {
        /// Its length.
        len: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[track_caller]
    fn check(text: &str, place: &str, tag: Option<&str>, digest: bool) {
        let found: Reference = text.parse().unwrap();
        assert_eq!(found.place.to_string(), place);
        assert_eq!(found.tag.as_ref().map(Tag::as_str), tag);
        assert_eq!(found.digest.is_some(), digest);
        assert_eq!(found.to_string().parse(), Ok(found));
    }

    #[test]
    fn each_form_is_read() {
        check("localhost:5000/agents/arm:1.2.0", "localhost:5000/agents/arm", Some("1.2.0"), false);
        check("registry.example/a", "registry.example/a", Some("latest"), false);
        check(&format!("127.0.0.1:5000/a@{DIGEST}"), "127.0.0.1:5000/a", None, true);
        check(&format!("[::1]:5000/a:x@{DIGEST}"), "[::1]:5000/a", Some("x"), true);
        check("oci:/var/lib/images", "oci:/var/lib/images", Some("latest"), false);
        check("oci:images:1.0", "oci:images", Some("1.0"), false);
        check("oci:a:b/c", "oci:a:b/c", Some("latest"), false);
        check(&format!("oci:images@{DIGEST}"), "oci:images", None, true);
    }

    #[test]
    fn what_names_no_image_is_refused() {
        let long = format!("oci:{}", "x".repeat(REFERENCE_LEN_MAX));
        let blake3 = DIGEST.replace("sha256", "blake3");
        let texts = [
            "",
            "arm",
            "arm:1",
            "agents/arm",
            "localhost",
            "localhost/",
            "localhost/A:1",
            "localhost/a//b",
            "localhost/../a",
            "localhost/a:",
            "localhost/a:-x",
            "localhost/a:x y",
            "user@host.example/a",
            "host.example/a@sha256:00",
            "oci:",
            "oci::x",
            "ho st.example/a",
            "http://host.example/a",
            "localhost/a?b",
            &long,
            &format!("localhost/a@{blake3}"),
        ];
        for text in texts {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
