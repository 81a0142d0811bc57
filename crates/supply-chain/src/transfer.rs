//! Copies an image with everything that belongs to it: from one registry to another, to a disk that is carried to a node
//! without a network, and from there.
//!
//! What belongs to it: every manifest of an index, every config and layer, the sidecars, and the signatures of the image
//! and of the sidecars under their tags (`sha256-<hex>.sig`).
//!
//! # Invariants
//!
//! * **X1** Content before the manifest that names it, manifests before tags, the tag of the image last: who finds the tag
//!   finds everything.
//! * **X2** Bytes are copied and nothing is written anew: what is called by a digest is called by the same there.
//! * **X3** Everything is checked on the way, contents by the place that stores them, as the port asks; nothing is in
//!   memory whole but manifests. What the other place has already is not read at all.

use std::{
    collections::BTreeSet,
    io::{self, Read},
};

use thiserror::Error;

use crate::{
    Descriptor, Digest, Manifest, Name, RawManifest, Reference, ReferenceError, Registry,
    RegistryError, Sidecar, Tag, attach::name, registry::manifest, sidecar::digest_tag,
};

/// Deepest index in an index.
pub const NESTING_MAX: usize = 3;
/// Most manifests of one transfer.
pub const TRANSFER_MANIFESTS_MAX: u64 = 4096;

/// What a transfer does, as it does it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// A content is next.
    Begins(&'a Descriptor),
    /// So many bytes more of it were read.
    Read {
        /// How many.
        bytes: u64,
    },
    /// The content is there; nothing was read of it when it had been there before.
    Content(&'a Descriptor),
    /// A manifest is there.
    Manifest(&'a Digest),
    /// A tag is given.
    Tag(&'a Tag),
}

/// What a transfer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// The manifest of the image.
    pub digest: Digest,
    /// Manifests.
    pub manifests: u64,
    /// Contents, those that had been there before among them.
    pub contents: u64,
    /// Bytes of contents that were moved.
    pub bytes: u64,
    /// Sidecars.
    pub sidecars: Vec<Sidecar>,
    /// Signatures: of the image, and of sidecars.
    pub signatures: u64,
}

/// Why an image was not copied, or not wholly.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransferError {
    /// Something that has to be there is not.
    #[error("there is no {what}")]
    Missing {
        /// What.
        what: String,
    },
    /// A manifest of an index is not what the index says.
    #[error("manifest {digest} is not what the index says about it")]
    Mismatch {
        /// Its digest in the index.
        digest: Digest,
    },
    /// More than [`NESTING_MAX`] or [`TRANSFER_MANIFESTS_MAX`].
    #[error("there is no end of manifests at {digest}")]
    Endless {
        /// Where it was given up.
        digest: Digest,
    },
    /// A tag leaves no room for that of a sidecar.
    #[error(transparent)]
    Tag(#[from] ReferenceError),
    /// One of the two places gave no usable answer.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Copies `image` in `from` to `to`, where it is called `target`, and says so to `report`.
///
/// # Errors
///
/// [`TransferError`]. What is there already stays; the tag of the image has not been given.
pub fn transfer(
    (from, image): (&dyn Registry, &Reference),
    (to, target): (&dyn Registry, &Reference),
    report: &mut dyn FnMut(&Progress<'_>),
) -> Result<Transferred, TransferError> {
    let found = match name(image) {
        Some(name) => manifest(from, &name)?,
        None => None,
    };
    let found = found.ok_or_else(|| TransferError::Missing { what: format!("image {image}") })?;
    let digest = found.digest();
    let mut copy = Copy::new(from, to, report, digest);
    copy.tree(&found, 0)?;
    let mut tags = Vec::new();
    copy.signature(&digest, &mut tags)?;
    for sidecar in Sidecar::ALL {
        let Some(raw) = sidecar.find(from, image, &digest)? else { continue };
        sidecar.layer(&raw)?;
        copy.tree(&raw, 0)?;
        copy.signature(&raw.digest(), &mut tags)?;
        tags.push((sidecar.tag(target, &digest)?, raw));
        copy.done.sidecars.push(sidecar);
    }
    if let Some(tag) = &target.tag {
        tags.push((tag.clone(), found));
    }
    for (tag, raw) in tags {
        to.store_manifest(&Name::Tag(tag.clone()), &raw)?;
        (copy.report)(&Progress::Tag(&tag));
    }
    Ok(copy.done)
}

/// A transfer under way.
struct Copy<'a> {
    from: &'a dyn Registry,
    to: &'a dyn Registry,
    report: &'a mut dyn FnMut(&Progress<'_>),
    seen: BTreeSet<Digest>,
    done: Transferred,
}

impl<'a> Copy<'a> {
    fn new(
        from: &'a dyn Registry,
        to: &'a dyn Registry,
        report: &'a mut dyn FnMut(&Progress<'_>),
        digest: Digest,
    ) -> Self {
        let (manifests, contents, bytes, signatures) = (0, 0, 0, 0);
        let sidecars = Vec::new();
        let done = Transferred { digest, manifests, contents, bytes, sidecars, signatures };
        Self { from, to, report, seen: BTreeSet::new(), done }
    }

    /// Copies a manifest and everything below it (X1).
    fn tree(&mut self, raw: &RawManifest, depth: usize) -> Result<(), TransferError> {
        let digest = raw.digest();
        if !self.seen.insert(digest) {
            return Ok(());
        }
        if depth > NESTING_MAX || self.done.manifests >= TRANSFER_MANIFESTS_MAX {
            return Err(TransferError::Endless { digest });
        }
        let parsed = raw.parse().map_err(|source| RegistryError::Manifest {
            what: format!("manifest {digest}"),
            source,
        })?;
        match parsed {
            Manifest::Image(image) => {
                for it in std::iter::once(&image.config).chain(&image.layers) {
                    self.content(it)?;
                }
            }
            Manifest::Index(index) => {
                for it in &index.manifests {
                    self.child(it, depth)?;
                }
            }
        }
        self.to.store_manifest(&Name::Digest(digest), raw)?;
        self.done.manifests += 1;
        (self.report)(&Progress::Manifest(&digest));
        Ok(())
    }

    fn child(&mut self, descriptor: &Descriptor, depth: usize) -> Result<(), TransferError> {
        let digest = descriptor.digest;
        let raw = manifest(self.from, &Name::Digest(digest))?
            .ok_or_else(|| TransferError::Missing { what: format!("manifest {digest}") })?;
        let found = raw.descriptor();
        if (found.size, &found.media_type) != (descriptor.size, &descriptor.media_type) {
            return Err(TransferError::Mismatch { digest });
        }
        self.tree(&raw, depth + 1)
    }

    fn content(&mut self, descriptor: &Descriptor) -> Result<(), TransferError> {
        if !self.seen.insert(descriptor.digest) {
            return Ok(());
        }
        (self.report)(&Progress::Begins(descriptor));
        let (from, report) = (self.from, &mut *self.report);
        let mut source = Source { from, descriptor, reader: None, report, bytes: 0 };
        self.to.store_content(descriptor, &mut source)?;
        let bytes = source.bytes;
        drop(source);
        self.done.bytes += bytes;
        self.done.contents += 1;
        (self.report)(&Progress::Content(descriptor));
        Ok(())
    }

    /// The signatures of a manifest, under the tag that they have everywhere.
    fn signature(
        &mut self,
        digest: &Digest,
        tags: &mut Vec<(Tag, RawManifest)>,
    ) -> Result<(), TransferError> {
        let tag = Tag::new(&format!("{}.sig", digest_tag(digest)))?;
        if let Some(raw) = manifest(self.from, &Name::Tag(tag.clone()))? {
            self.tree(&raw, 0)?;
            tags.push((tag, raw));
            self.done.signatures += 1;
        }
        Ok(())
    }
}

/// A content that is asked for when the first byte of it is wanted.
struct Source<'a> {
    from: &'a dyn Registry,
    descriptor: &'a Descriptor,
    reader: Option<Box<dyn Read + 'a>>,
    report: &'a mut dyn FnMut(&Progress<'_>),
    bytes: u64,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let reader = if let Some(reader) = &mut self.reader {
            reader
        } else {
            let found = self.from.open_content(self.descriptor).map_err(io::Error::other)?;
            let missing = || RegistryError::Malformed {
                what: format!("content {}", self.descriptor.digest),
                text: "a manifest names it, and it is not there".to_owned(),
            };
            self.reader.insert(found.ok_or_else(missing).map_err(io::Error::other)?)
        };
        let read = reader.read(buffer)?;
        self.bytes += read as u64;
        (self.report)(&Progress::Read { bytes: read as u64 });
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
