//! Images and their sidecars as an operator handles them: resolve, attach, pull, and an image to try it with.
//!
//! # Invariants
//!
//! * **A1** What is attached is about the image that was resolved: its digest is the `subject`, whatever the tag names
//!   later.
//! * **A2** Content is stored before the manifest that names it, and the manifest with its tag last. Everything here may
//!   be repeated.
//! * **A3** The same content makes the same manifest: nothing of this machine and no time is in it.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

use crate::{
    Descriptor, Digest, EMPTY, EMPTY_CONTENT, IMAGE_MANIFEST, ImageManifest, Name, RawManifest,
    Reference, ReferenceError, Referrers, Registry, RegistryError, Sidecar, registry::manifest,
};

/// Type of the config of an image.
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Type of a layer that is a tar archive as it is.
const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// Where a sidecar can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Under its tag alone.
    Sidecar,
    /// Under its tag, and the registry lists it as a referrer.
    Referrers,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sidecar => "sidecar",
            Self::Referrers => "referrers",
        })
    }
}

/// A sidecar that was attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Where it can be found.
    pub mode: Mode,
    /// Its own reference.
    pub reference: Reference,
    /// What its manifest is called.
    pub digest: Digest,
}

/// What to ask for: the digest of a reference if it has one, its tag else.
pub(crate) fn name(reference: &Reference) -> Option<Name> {
    let tag = || reference.tag.clone().map(Name::Tag);
    reference.digest.map(Name::Digest).or_else(tag)
}

/// Fetches the manifest that a reference names, checked.
///
/// # Errors
///
/// [`AttachError::NoImage`] when there is none.
pub fn resolve(registry: &dyn Registry, image: &Reference) -> Result<RawManifest, AttachError> {
    let found = match name(image) {
        Some(name) => manifest(registry, &name)?,
        None => None,
    };
    found.ok_or_else(|| AttachError::NoImage { image: image.to_string() })
}

/// Attaches `content` to an image, in the place of what was attached before (A1, A2).
///
/// # Errors
///
/// [`AttachError`]; nothing can be found under the tag of the sidecar that was not there before, unless it was asked
/// last whether the registry lists it.
pub fn attach(
    registry: &dyn Registry,
    image: &Reference,
    sidecar: Sidecar,
    content: &[u8],
) -> Result<Attached, AttachError> {
    let (len, limit) = (content.len() as u64, sidecar.len_max());
    if len > limit {
        return Err(AttachError::TooLong { sidecar: sidecar.name(), len, limit });
    }
    let subject = resolve(registry, image)?.descriptor();
    let tag = sidecar.tag(image, &subject.digest)?;
    let manifest = sidecar.wrap(content, subject.clone());
    let layer = Descriptor::of(sidecar.media_type(), content);
    let empty = Descriptor::of(EMPTY, EMPTY_CONTENT);
    registry.store_content(&empty, &mut &*EMPTY_CONTENT)?;
    registry.store_content(&layer, &mut &*content)?;
    let digest = push(registry, &Name::Tag(tag.clone()), &manifest)?.digest();
    let mode = match registry.referrers(&subject.digest)? {
        Referrers::Listed(all) if all.iter().any(|it| it.digest == digest) => Mode::Referrers,
        _ => Mode::Sidecar,
    };
    let reference = Reference { place: image.place.clone(), tag: Some(tag), digest: None };
    Ok(Attached { mode, reference, digest })
}

/// Fetches the content of a sidecar, byte for byte as it was attached, checked.
///
/// # Errors
///
/// [`AttachError::NoSidecar`] when the image has none.
pub fn pull_sidecar(
    registry: &dyn Registry,
    image: &Reference,
    sidecar: Sidecar,
) -> Result<Vec<u8>, AttachError> {
    let digest = match image.digest {
        Some(digest) => digest,
        None => resolve(registry, image)?.digest(),
    };
    let Some(found) = sidecar.find(registry, image, &digest)? else {
        let (sidecar, image) = (sidecar.name(), image.to_string());
        return Err(AttachError::NoSidecar { sidecar, image });
    };
    Ok(sidecar.content(registry, &found)?)
}

/// Stores a small image of these layers, tar archives all of them, and names its manifest (A3). It is for trying
/// things out: a container made of it has nothing to run. Whatever had the tag loses it.
///
/// # Errors
///
/// [`AttachError`].
pub fn push_artifact(
    registry: &dyn Registry,
    image: &Reference,
    layers: &[&[u8]],
) -> Result<Descriptor, AttachError> {
    let (manifest, config) = artifact(layers);
    let name = tag(image)?;
    registry.store_content(&manifest.config, &mut &*config)?;
    for (descriptor, layer) in manifest.layers.iter().zip(layers) {
        registry.store_content(descriptor, &mut &**layer)?;
    }
    Ok(push(registry, &name, &manifest)?.descriptor())
}

/// Does what [`push_artifact`] does, unless another image has the tag.
///
/// # Errors
///
/// [`AttachError`]; [`AttachError::TagTaken`] when another image has the tag, which it keeps.
pub fn push_new_artifact(
    registry: &dyn Registry,
    image: &Reference,
    layers: &[&[u8]],
) -> Result<Descriptor, AttachError> {
    let made = Digest::sha256(&artifact(layers).0.to_bytes());
    if let Some(found) = there(registry, &tag(image)?)?.filter(|it| *it != made) {
        return Err(AttachError::TagTaken { image: image.to_string(), found });
    }
    push_artifact(registry, image, layers)
}

/// The manifest and the config of a small image.
fn artifact(layers: &[&[u8]]) -> (ImageManifest, Vec<u8>) {
    let layers: Vec<_> = layers.iter().map(|it| Descriptor::of(LAYER_TAR, it)).collect();
    let config = Description {
        architecture: "amd64",
        os: "linux",
        config: Empty {},
        rootfs: RootFs { kind: "layers", diff_ids: layers.iter().map(|it| it.digest).collect() },
    };
    // A struct of texts and digests always serializes.
    let config = serde_json::to_vec(&config).unwrap_or_default();
    let manifest = ImageManifest {
        artifact_type: None,
        config: Descriptor::of(IMAGE_CONFIG, &config),
        ..ImageManifest::artifact("", layers)
    };
    (manifest, config)
}

/// The tag of a reference as what to store under.
fn tag(image: &Reference) -> Result<Name, AttachError> {
    let tag = image.tag.clone().map(Name::Tag);
    tag.ok_or_else(|| AttachError::NoTag { image: image.to_string() })
}

/// What has a name now. A layout that has not begun has nothing.
fn there(registry: &dyn Registry, name: &Name) -> Result<Option<Digest>, RegistryError> {
    match manifest(registry, name) {
        Err(RegistryError::NoLayout { .. }) => Ok(None),
        found => Ok(found?.map(|it| it.digest())),
    }
}

fn push(
    registry: &dyn Registry,
    name: &Name,
    manifest: &ImageManifest,
) -> Result<RawManifest, RegistryError> {
    let raw = RawManifest { media_type: IMAGE_MANIFEST.to_owned(), bytes: manifest.to_bytes() };
    registry.store_manifest(name, &raw)?;
    Ok(raw)
}

/// The config of an image (OCI Image Format Specification 1.1, `config.md`).
#[derive(Serialize)]
struct Description {
    architecture: &'static str,
    os: &'static str,
    config: Empty,
    rootfs: RootFs,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: Vec<Digest>,
}

/// Why nothing was attached, pulled or pushed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// There is no such image.
    #[error("there is no image {image}")]
    NoImage {
        /// The reference.
        image: String,
    },
    /// Another image has the tag.
    #[error("{image} is another image already: {found}")]
    TagTaken {
        /// The reference.
        image: String,
        /// What has the tag.
        found: Digest,
    },
    /// The image has no such sidecar that this place could name.
    #[error("{image} has no {sidecar} beside it")]
    NoSidecar {
        /// Which sidecar.
        sidecar: &'static str,
        /// The reference of the image.
        image: String,
    },
    /// What is pushed needs a tag.
    #[error("{image} names no tag to push to")]
    NoTag {
        /// The reference.
        image: String,
    },
    /// The content is longer than a sidecar of its kind may be.
    #[error("a {sidecar} of {len} bytes is longer than {limit}")]
    TooLong {
        /// Which sidecar.
        sidecar: &'static str,
        /// Length in bytes.
        len: u64,
        /// Most bytes.
        limit: u64,
    },
    /// The tag of the image leaves no room for that of the sidecar.
    #[error(transparent)]
    Tag(#[from] ReferenceError),
    /// The registry gave no usable answer.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{MemoryRegistry, Tag};

    fn image() -> Reference {
        "localhost:5000/agents/arm:1.0".parse().unwrap()
    }

    fn with_image(registry: MemoryRegistry) -> MemoryRegistry {
        push_artifact(&registry, &image(), &[b"layer"]).unwrap();
        registry
    }

    #[test]
    fn the_mode_says_what_the_registry_lists() {
        let plain = with_image(MemoryRegistry::default());
        let listing = with_image(MemoryRegistry::with_referrers());
        let on_plain = attach(&plain, &image(), Sidecar::Lock, b"{}").unwrap();
        let on_listing = attach(&listing, &image(), Sidecar::Lock, b"{}").unwrap();
        assert_eq!((on_plain.mode, on_listing.mode), (Mode::Sidecar, Mode::Referrers));
        assert_eq!(on_plain.digest, on_listing.digest, "A3");
        assert_eq!(on_plain.reference.to_string(), "localhost:5000/agents/arm:1.0-lock");
        assert_eq!(format!("{} {}", on_plain.mode, on_listing.mode), "sidecar referrers");
    }

    #[test]
    fn an_image_named_by_digest_finds_its_sidecar_by_digest() {
        let registry = with_image(MemoryRegistry::default());
        let digest = resolve(&registry, &image()).unwrap().digest();
        let by_digest = Reference { tag: None, digest: Some(digest), ..image() };
        let attached = attach(&registry, &by_digest, Sidecar::Policy, b"tar").unwrap();
        let tag = format!("sha256-{}-policy", digest.hex());
        assert_eq!(attached.reference.tag, Some(Tag::new(&tag).unwrap()));
        assert_eq!(pull_sidecar(&registry, &by_digest, Sidecar::Policy).unwrap(), b"tar");
        let error = pull_sidecar(&registry, &image(), Sidecar::Policy).unwrap_err();
        assert!(matches!(error, AttachError::NoSidecar { .. }));
    }

    #[test]
    fn what_cannot_be_attached_leaves_nothing() {
        let registry = MemoryRegistry::default();
        let error = attach(&registry, &image(), Sidecar::Lock, b"{}").unwrap_err();
        assert_eq!(error.to_string(), "there is no image localhost:5000/agents/arm:1.0");
        let registry = with_image(registry);
        let before = registry.held().clone();
        let long = vec![0; usize::try_from(Sidecar::Lock.len_max()).unwrap() + 1];
        let error = attach(&registry, &image(), Sidecar::Lock, &long).unwrap_err();
        assert!(matches!(error, AttachError::TooLong { .. }));
        let long_tag = format!("localhost:5000/agents/arm:{}", "t".repeat(125));
        let long_tag: Reference = long_tag.parse().unwrap();
        push_artifact(&registry, &long_tag, &[b"layer"]).unwrap();
        let error = attach(&registry, &long_tag, Sidecar::Lock, b"{}").unwrap_err();
        assert!(matches!(error, AttachError::Tag(_)));
        assert_eq!(registry.held().contents, before.contents);
        let digest = resolve(&registry, &image()).unwrap().digest();
        let no_tag = Reference { tag: None, digest: Some(digest), ..image() };
        let error = push_artifact(&registry, &no_tag, &[b"layer"]).unwrap_err();
        assert!(matches!(error, AttachError::NoTag { .. }));
    }

    #[test]
    fn the_subject_is_the_image_that_was_resolved_a1() {
        let registry = with_image(MemoryRegistry::with_referrers());
        let digest = resolve(&registry, &image()).unwrap().digest();
        attach(&registry, &image(), Sidecar::Lock, b"{}").unwrap();
        push_artifact(&registry, &image(), &[b"another"]).unwrap();
        assert_ne!(resolve(&registry, &image()).unwrap().digest(), digest);
        let Referrers::Listed(all) = registry.referrers(&digest).unwrap() else { panic!() };
        assert_eq!(all.len(), 1);
    }

    proptest! {
        #[test]
        fn what_is_pulled_is_what_was_attached(
            first in prop::collection::vec(any::<u8>(), 0..400),
            second in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let registry = with_image(MemoryRegistry::default());
            for content in [&first, &second] {
                for sidecar in Sidecar::ALL {
                    attach(&registry, &image(), sidecar, content).unwrap();
                    prop_assert_eq!(&pull_sidecar(&registry, &image(), sidecar).unwrap(), content);
                }
            }
        }
    }
}
