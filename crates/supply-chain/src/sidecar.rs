//! Sidecars: the lock and the policy bundle that stand beside an image.
//!
//! | sidecar | tag              | type of artifact and layer                                |
//! |---------|------------------|------------------------------------------------------------|
//! | lock    | `<tag>-lock`     | `application/vnd.autonomyops.lock.v1+json`                 |
//! | policy  | `<tag>-policy`   | `application/vnd.autonomyops.policy-bundle.v1+tar`         |
//!
//! An image that is named by digest alone has `sha256-<hex>` for `<tag>`. A sidecar is a manifest with one layer, the
//! content, and the image as its `subject`. It has its tag everywhere; a registry with an interface for referrers
//! lists it there too.
//!
//! # Invariants
//!
//! * **B1** The tag decides. Referrers are asked when there is no such tag, and then exactly one of them has to be of
//!   the type: which of two is meant is nothing to guess.
//! * **B2** A sidecar has exactly one layer, of its own type.

use crate::{
    Descriptor, Digest, ImageManifest, Manifest, Name, RawManifest, Reference, Referrers, Registry,
    RegistryError, Tag,
    reference::ReferenceError,
    registry::{content, manifest},
};

/// Which sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sidecar {
    /// The lock.
    Lock,
    /// The policy bundle.
    Policy,
}

impl Sidecar {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Lock, Self::Policy];

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Policy => "policy",
        }
    }

    /// Type of the artifact and of its layer.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Lock => "application/vnd.autonomyops.lock.v1+json",
            Self::Policy => "application/vnd.autonomyops.policy-bundle.v1+tar",
        }
    }

    /// Most bytes of its content.
    pub const fn len_max(self) -> u64 {
        match self {
            Self::Lock => 256 << 10,
            Self::Policy => 16 << 20,
        }
    }

    /// Its tag beside an image.
    ///
    /// # Errors
    ///
    /// [`ReferenceError::Tag`] when the tag of the image leaves no room for the suffix.
    pub fn tag(self, image: &Reference, digest: &Digest) -> Result<Tag, ReferenceError> {
        let stem = image.tag.as_ref().map_or_else(|| digest_tag(digest), ToString::to_string);
        Tag::new(&format!("{stem}-{}", self.name()))
    }

    /// The manifest that carries `bytes` beside the image `subject`.
    pub fn wrap(self, bytes: &[u8], subject: Descriptor) -> ImageManifest {
        let layer = Descriptor::of(self.media_type(), bytes);
        let mut manifest = ImageManifest::artifact(self.media_type(), vec![layer]);
        manifest.subject = Some(subject);
        manifest
    }

    /// The one layer of a sidecar (B2).
    ///
    /// # Errors
    ///
    /// [`RegistryError`] when the manifest is not of this sidecar.
    pub fn layer(self, raw: &RawManifest) -> Result<Descriptor, RegistryError> {
        let what = || format!("{} manifest {}", self.name(), raw.digest());
        let parsed =
            raw.parse().map_err(|source| RegistryError::Manifest { what: what(), source })?;
        match parsed {
            Manifest::Image(it) => match <[Descriptor; 1]>::try_from(it.layers) {
                Ok([layer]) if layer.media_type == self.media_type() => Ok(layer),
                _ => Err(self.not_of_this_form(what())),
            },
            Manifest::Index(_) => Err(self.not_of_this_form(what())),
        }
    }

    fn not_of_this_form(self, what: String) -> RegistryError {
        let text = format!("it has to have one layer of the type {}", self.media_type());
        RegistryError::Malformed { what, text }
    }

    /// Looks for the manifest beside an image (B1).
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub fn find(
        self,
        registry: &dyn Registry,
        image: &Reference,
        digest: &Digest,
    ) -> Result<Option<RawManifest>, RegistryError> {
        if let Ok(tag) = self.tag(image, digest)
            && let Some(found) = manifest(registry, &Name::Tag(tag))?
        {
            return Ok(Some(found));
        }
        let Referrers::Listed(all) = registry.referrers(digest)? else { return Ok(None) };
        let own = |it: &&Descriptor| it.artifact_type.as_deref() == Some(self.media_type());
        let own: Vec<_> = all.iter().filter(own).collect();
        match own.as_slice() {
            [] => Ok(None),
            [one] => manifest(registry, &Name::Digest(one.digest)),
            several => {
                let text = format!("{} of them refer to it, and no tag says which", several.len());
                let what = format!("the {} of {digest}", self.name());
                Err(RegistryError::Malformed { what, text })
            }
        }
    }

    /// Fetches the content of a sidecar, checked.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]; a content that is missing although its manifest is there is
    /// [`RegistryError::Malformed`].
    pub fn content(
        self,
        registry: &dyn Registry,
        raw: &RawManifest,
    ) -> Result<Vec<u8>, RegistryError> {
        let layer = self.layer(raw)?;
        content(registry, &layer, self.len_max())?.ok_or_else(|| RegistryError::Malformed {
            what: format!("{} manifest {}", self.name(), raw.digest()),
            text: format!("its content {} is not there", layer.digest),
        })
    }
}

/// A digest as a tag, without suffix: `sha256-<hex>`.
pub fn digest_tag(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
}
