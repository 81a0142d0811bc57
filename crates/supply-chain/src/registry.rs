//! The port to wherever images are: a registry or a layout on disk.
//!
//! An implementation fetches and stores bytes and bounds them. What they are called is checked by whoever asks
//! ([`manifest`], [`content`]), in one place for all of them.
//!
//! # Invariants
//!
//! * **Q1** "There is none" and "I could not find out" are different answers: `Ok(None)` is only said by a
//!   place that answered.
//! * **Q2** A place without an interface for referrers says so; that is never "there are no referrers".
//! * **Q3** Nothing that was asked for by digest is handed out unless it has that digest.

use std::{fmt, io::Read};

use thiserror::Error;

use crate::{
    ContentError, Descriptor, Digest, MANIFEST_LEN_MAX, ManifestError, RawManifest, read_checked,
    reference::Tag,
};

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// Whatever has the tag now.
    Tag(Tag),
    /// This one.
    Digest(Digest),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// What refers to a manifest (Q2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Referrers {
    /// These do.
    Listed(Vec<Descriptor>),
    /// This place cannot say.
    NotOffered,
}

/// One repository, or one layout.
pub trait Registry: fmt::Debug {
    /// Fetches a manifest; `Ok(None)` when there is none (Q1). Its digest is not checked here, its length is.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    fn fetch_manifest(&self, name: &Name) -> Result<Option<RawManifest>, RegistryError>;

    /// Opens a content for reading; `Ok(None)` when there is none (Q1). Neither length nor digest is checked here.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    fn open_content(
        &self,
        descriptor: &Descriptor,
    ) -> Result<Option<Box<dyn Read + '_>>, RegistryError>;

    /// Asks what refers to a manifest (Q2).
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    fn referrers(&self, subject: &Digest) -> Result<Referrers, RegistryError>;

    /// Stores a content under its digest; nothing is there afterwards unless it has that digest.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    fn store_content(
        &self,
        descriptor: &Descriptor,
        content: &mut dyn Read,
    ) -> Result<(), RegistryError>;

    /// Stores a manifest under its digest, and gives it a tag if `name` is one.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    fn store_manifest(&self, name: &Name, manifest: &RawManifest) -> Result<(), RegistryError>;
}

/// Fetches a manifest, checked (Q3).
///
/// # Errors
///
/// [`RegistryError`]; [`RegistryError::Content`] when it has another digest.
pub fn manifest(
    registry: &dyn Registry,
    name: &Name,
) -> Result<Option<RawManifest>, RegistryError> {
    let found = registry.fetch_manifest(name)?;
    if let (Some(found), Name::Digest(expected)) = (&found, name)
        && found.digest() != *expected
    {
        let source = ContentError::Other { expected: *expected, found: found.digest() };
        return Err(RegistryError::Content { what: format!("manifest {expected}"), source });
    }
    Ok(found)
}

/// Reads a whole content of at most `limit` bytes into memory, checked (Q3).
///
/// # Errors
///
/// [`RegistryError`].
pub fn content(
    registry: &dyn Registry,
    descriptor: &Descriptor,
    limit: u64,
) -> Result<Option<Vec<u8>>, RegistryError> {
    if descriptor.size > limit {
        let what = format!("content {}", descriptor.digest);
        return Err(RegistryError::TooLong { what, limit });
    }
    let mut bytes = Vec::new();
    let found = stream(registry, descriptor, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(found.then_some(bytes))
}

/// Hands each piece of a content to `sink`, checked (Q3); `false` when there is none. What `sink` was given may
/// be used only after `Ok(true)`.
///
/// # Errors
///
/// [`RegistryError`].
pub fn stream(
    registry: &dyn Registry,
    descriptor: &Descriptor,
    sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<bool, RegistryError> {
    let Some(mut reader) = registry.open_content(descriptor)? else { return Ok(false) };
    read_checked(&mut *reader, &descriptor.digest, descriptor.size, sink)
        .map_err(|source| flawed(descriptor, source))?;
    Ok(true)
}

/// A content that could not be had. What a reader of another place failed with is handed on as it was: a place
/// that does not answer is no content of another digest.
pub(crate) fn flawed(descriptor: &Descriptor, source: ContentError) -> RegistryError {
    let what = || format!("content {}", descriptor.digest);
    match source {
        ContentError::Read(error) => match error.downcast::<RegistryError>() {
            Ok(inner) => inner,
            Err(error) => {
                RegistryError::Content { what: what(), source: ContentError::Read(error) }
            }
        },
        ContentError::Keep(error) => match error.downcast::<RegistryError>() {
            Ok(inner) => inner,
            Err(source) => RegistryError::Io { what: format!("keeping {}", what()), source },
        },
        source => RegistryError::Content { what: what(), source },
    }
}

/// Why a place gave no usable answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// It does not answer, or the answer broke off.
    #[error("{place} does not answer: {text}")]
    Unreachable {
        /// Which place.
        place: String,
        /// The whole chain of causes.
        text: String,
    },
    /// The path of a layout holds none. The disk with it may not be mounted, so this says nothing about what is there.
    #[error("{dir}: no image layout there (no file oci-layout)")]
    NoLayout {
        /// The path.
        dir: String,
    },
    /// It answered with a status that means no.
    #[error("{place} answered {status} to {what}")]
    Refused {
        /// Which place.
        place: String,
        /// HTTP status.
        status: u16,
        /// What was asked.
        what: String,
    },
    /// It sent us somewhere where we do not go.
    #[error("{place} redirects to {target}, where this client does not go")]
    Redirect {
        /// Which place.
        place: String,
        /// Where to, without what may be secret.
        target: String,
    },
    /// An answer or a content is longer than what is taken.
    #[error("{what} is longer than {limit} bytes")]
    TooLong {
        /// What it is.
        what: String,
        /// Most that is taken.
        limit: u64,
    },
    /// A content is not what it is called.
    #[error("{what}: {source}")]
    Content {
        /// Which content.
        what: String,
        /// In which way.
        source: ContentError,
    },
    /// A manifest cannot be used.
    #[error("{what}: {source}")]
    Manifest {
        /// Which manifest.
        what: String,
        /// Why.
        source: ManifestError,
    },
    /// An answer is not of the form that it should have.
    #[error("{what} is not understood: {text}")]
    Malformed {
        /// What it is.
        what: String,
        /// What is wrong with it.
        text: String,
    },
    /// Somebody else is changing it, and did not come to an end in time.
    #[error("{place} is locked by {holder}")]
    Busy {
        /// Which place.
        place: String,
        /// What the holder says about itself.
        holder: String,
    },
    /// A layout of a version that is not read here; nothing in it was looked at.
    #[error("{place} is an image layout of version `{found}`, and only `{expected}` is read")]
    LayoutVersion {
        /// Which place.
        place: String,
        /// Its version, shortened.
        found: String,
        /// The one that is read.
        expected: &'static str,
    },
    /// Several manifests have one tag: which one is meant is nothing to guess.
    #[error("{place} has {count} manifests of the tag `{tag}`")]
    Ambiguous {
        /// Which place.
        place: String,
        /// The tag.
        tag: String,
        /// How many.
        count: usize,
    },
    /// The file system failed.
    #[error("{what}: {source}")]
    Io {
        /// Path, and what was done.
        what: String,
        /// What it said.
        source: std::io::Error,
    },
}

const _: () = assert!(MANIFEST_LEN_MAX >= 4 << 20, "what registries have to take");
