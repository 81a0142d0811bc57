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
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => {
                let found = self.from.open_content(self.descriptor).map_err(io::Error::other)?;
                let missing = || RegistryError::Malformed {
                    what: format!("content {}", self.descriptor.digest),
                    text: "a manifest names it, and it is not there".to_owned(),
                };
                self.reader.insert(found.ok_or_else(missing).map_err(io::Error::other)?)
            }
        };
        let read = reader.read(buffer)?;
        self.bytes += read as u64;
        (self.report)(&Progress::Read { bytes: read as u64 });
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use vfs::{FaultPlan, MemVfs, OsVfs};

    use super::*;
    use crate::{
        IMAGE_INDEX, IMAGE_MANIFEST, ImageManifest, Layout, MemoryRegistry, attach, pull_sidecar,
        push_artifact, registry,
    };

    fn image() -> Reference {
        "localhost:5000/agents/arm:1.0".parse().unwrap()
    }

    fn target() -> Reference {
        "oci:/images:2.0".parse().unwrap()
    }

    fn layout(vfs: &MemVfs) -> Layout {
        Layout::open_or_begin(Arc::new(vfs.clone()), Path::new("/images")).unwrap()
    }

    /// An image with both sidecars and a signature on each of the three.
    fn full() -> MemoryRegistry {
        let registry = MemoryRegistry::default();
        let digest = push_artifact(&registry, &image(), &[b"low", b"high"]).unwrap().digest;
        let lock = attach(&registry, &image(), Sidecar::Lock, b"{}").unwrap().digest;
        let policy = attach(&registry, &image(), Sidecar::Policy, b"tar").unwrap().digest;
        for digest in [digest, lock, policy] {
            sign(&registry, &digest);
        }
        registry
    }

    fn sign(registry: &MemoryRegistry, digest: &Digest) {
        let payload = format!("payload for {digest}");
        let layer =
            Descriptor::of("application/vnd.dev.cosign.simplesigning.v1+json", payload.as_bytes());
        registry.store_content(&layer, &mut payload.as_bytes()).unwrap();
        let bytes = ImageManifest::artifact("", vec![layer]).to_bytes();
        let raw = RawManifest { media_type: IMAGE_MANIFEST.to_owned(), bytes };
        let tag = Tag::new(&format!("{}.sig", digest_tag(digest))).unwrap();
        registry.store_manifest(&Name::Tag(tag), &raw).unwrap();
    }

    fn copy(from: &dyn Registry, to: &dyn Registry) -> Result<Transferred, TransferError> {
        transfer((from, &image()), (to, &target()), &mut |_| {})
    }

    #[test]
    fn everything_that_belongs_to_an_image_is_copied_x2() {
        let (from, vfs) = (full(), MemVfs::default());
        let to = layout(&vfs);
        let mut tags = Vec::new();
        let mut read = 0;
        let done = transfer((&from, &image()), (&to, &target()), &mut |it| match it {
            Progress::Tag(tag) => tags.push(tag.to_string()),
            Progress::Read { bytes } => read += bytes,
            _ => {}
        })
        .unwrap();
        assert_eq!((done.manifests, done.signatures, done.sidecars.len()), (6, 3, 2));
        assert_eq!(done.bytes, read);
        assert_eq!(tags.last().unwrap(), "2.0", "X1");
        assert_eq!(tags.len(), 6);
        assert_eq!(pull_sidecar(&to, &target(), Sidecar::Lock).unwrap(), b"{}");
        assert_eq!(pull_sidecar(&to, &target(), Sidecar::Policy).unwrap(), b"tar");
        // And back, into a place that has nothing, and then everything.
        let back = MemoryRegistry::default();
        transfer((&to, &target()), (&back, &image()), &mut |_| {}).unwrap();
        assert_eq!(back.held().manifests, from.held().manifests);
        assert_eq!(back.held().tags, from.held().tags);
        assert_eq!(back.held().contents, from.held().contents);
        assert_eq!(copy(&from, &to).unwrap().bytes, 0, "what is there is not read again");
    }

    #[test]
    fn an_index_is_copied_with_its_images() {
        let from = MemoryRegistry::default();
        let children: Vec<_> = [&b"a"[..], b"b"]
            .iter()
            .map(|it| push_artifact(&from, &image(), &[it]).unwrap())
            .collect();
        let put = |children: &[Descriptor]| {
            let index = serde_json::json!({"schemaVersion": 2, "manifests": children});
            let bytes = serde_json::to_vec(&index).unwrap();
            let raw = RawManifest { media_type: IMAGE_INDEX.to_owned(), bytes };
            from.store_manifest(&Name::Tag(image().tag.unwrap()), &raw).unwrap();
            raw
        };
        put(&children);
        let vfs = MemVfs::default();
        assert_eq!(copy(&from, &layout(&vfs)).unwrap().manifests, 3);
        for it in &children {
            assert!(manifest(&layout(&vfs), &Name::Digest(it.digest)).unwrap().is_some());
        }
        let mut other = children.clone();
        other[1].media_type = IMAGE_INDEX.to_owned();
        put(&other);
        let error = copy(&from, &layout(&MemVfs::default())).unwrap_err();
        assert!(matches!(error, TransferError::Mismatch { .. }), "{error}");
        let mut nested = put(&children);
        for _ in 0..NESTING_MAX {
            nested = put(&[nested.descriptor()]);
        }
        let error = copy(&from, &layout(&MemVfs::default())).unwrap_err();
        assert!(matches!(error, TransferError::Endless { .. }), "{error}");
    }

    #[test]
    fn what_is_damaged_or_missing_is_never_given_the_tag_x1() {
        let whole = full().held().clone();
        let digests: Vec<_> = whole.contents.keys().chain(whole.manifests.keys()).collect();
        for digest in digests {
            for damage in [false, true] {
                let from = full();
                {
                    let mut held = from.held();
                    if let Some(bytes) = held.contents.get_mut(digest) {
                        bytes.push(b' ');
                    }
                    if let Some(raw) = held.manifests.get_mut(digest) {
                        raw.bytes.push(b',');
                    }
                    if !damage {
                        held.contents.remove(digest);
                        held.manifests.remove(digest);
                    }
                }
                let vfs = MemVfs::default();
                match copy(&from, &layout(&vfs)) {
                    // Without its manifest a tag names nothing: a sidecar or a signature that is not there.
                    Ok(done) => assert!(!damage && done.manifests < 6),
                    Err(_) => {
                        let to = layout(&vfs);
                        let found = to.fetch_manifest(&Name::Tag(target().tag.unwrap()));
                        assert!(!matches!(found, Ok(Some(_))), "{digest}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_crash_at_any_step_leaves_a_whole_image_or_no_tag_x1() {
        let from = full();
        for step in 0.. {
            let vfs = MemVfs::default();
            vfs.set_plan(FaultPlan::crash_at(step));
            let done = copy(&from, &layout(&vfs)).is_ok() && vfs.steps() <= step;
            vfs.power_loss(vfs::CrashPolicy::Random(step));
            let to = layout(&vfs);
            let found = to.fetch_manifest(&Name::Tag(target().tag.unwrap()));
            assert!(!done || matches!(found, Ok(Some(_))));
            if let Ok(Some(raw)) = found {
                let Manifest::Image(image) = raw.parse().unwrap() else { panic!() };
                for it in &image.layers {
                    assert!(registry::content(&to, it, 99).unwrap().is_some());
                }
                assert_eq!(pull_sidecar(&to, &target(), Sidecar::Lock).unwrap(), b"{}");
            }
            assert_eq!(copy(&from, &to).unwrap().manifests, 6, "a second try goes through");
            if done {
                return;
            }
        }
    }

    #[test]
    fn there_is_nothing_to_copy_where_there_is_no_image() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("x");
        let to = Layout::open_or_begin(Arc::new(OsVfs), &dir).unwrap();
        let error = copy(&MemoryRegistry::default(), &to).unwrap_err();
        assert!(matches!(error, TransferError::Missing { .. }));
        assert!(!dir.exists());
    }
}
