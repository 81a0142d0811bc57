//! What a node may load: locks, fingerprints, signatures, images, and the four checks in their order.
//!
//! | module      | what it holds                                                                   |
//! |-------------|---------------------------------------------------------------------------------|
//! | `digest`    | [`Digest`]: what a content is called; reading content under its name             |
//! | `manifest`  | [`RawManifest`], [`Descriptor`]: what registries keep beside content             |
//! | `reference` | [`Reference`]: how an operator names an image                                    |
//! | [`registry`] | the port to wherever images are                                                 |

mod digest;
mod manifest;
mod reference;
pub mod registry;

pub use digest::{Algorithm, ContentError, DIGEST_LEN, Digest, DigestError, Hasher, read_checked};
pub use manifest::{
    DOCKER_LIST, DOCKER_MANIFEST, Descriptor, EMPTY, EMPTY_CONTENT, ENTRIES_MAX, IMAGE_INDEX,
    IMAGE_MANIFEST, ImageIndex, ImageManifest, MANIFEST_LEN_MAX, Manifest, ManifestError,
    RawManifest,
};
pub use reference::{Place, REFERENCE_LEN_MAX, Reference, ReferenceError, TAG_LEN_MAX, Tag};
pub use registry::{Name, Referrers, Registry, RegistryError};
