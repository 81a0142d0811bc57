//! What a node may load: locks, fingerprints, signatures, images, and the four checks in their order.
//!
//! | module      | what it holds                                                                   |
//! |-------------|---------------------------------------------------------------------------------|
//! | `digest`    | [`Digest`]: what a content is called; reading content under its name             |
//! | `manifest`  | [`RawManifest`], [`Descriptor`]: what registries keep beside content             |
//! | `reference` | [`Reference`]: how an operator names an image                                    |
//! | [`registry`] | the port to wherever images are                                                 |
//! | `sidecar`   | [`Sidecar`]: the lock and the policy bundle beside an image                     |
//! | `layout`    | [`Layout`]: images in a directory, as skopeo writes them                        |
//! | [`oci`]     | (feature `oci`) registries over HTTP, with bounds                               |
//! | `attach`    | [`attach()`], [`pull_sidecar`], [`push_artifact`]: sidecars as an operator handles them |
//! | `transfer`  | [`transfer()`]: copies an image with everything that belongs to it              |
//! | `memory`    | `MemoryRegistry` (feature `testing`): a registry that checks nothing            |

mod attach;
mod digest;
mod layout;
mod manifest;
#[cfg(any(test, feature = "testing"))]
mod memory;
#[cfg(feature = "oci")]
pub mod oci;
mod reference;
pub mod registry;
mod sidecar;
mod transfer;

pub use attach::{AttachError, Attached, Mode, attach, pull_sidecar, push_artifact, resolve};
pub use digest::{Algorithm, ContentError, DIGEST_LEN, Digest, DigestError, Hasher, read_checked};
pub use layout::{LAYOUT_ENTRIES_MAX, LAYOUT_INDEX_LEN_MAX, LAYOUT_VERSION, Layout};
pub use manifest::{
    DOCKER_LIST, DOCKER_MANIFEST, Descriptor, EMPTY, EMPTY_CONTENT, ENTRIES_MAX, IMAGE_INDEX,
    IMAGE_MANIFEST, ImageIndex, ImageManifest, MANIFEST_LEN_MAX, Manifest, ManifestError,
    RawManifest,
};
#[cfg(any(test, feature = "testing"))]
pub use memory::{Held, MemoryRegistry};
pub use reference::{Place, REFERENCE_LEN_MAX, Reference, ReferenceError, TAG_LEN_MAX, Tag};
pub use registry::{Name, Referrers, Registry, RegistryError};
pub use sidecar::{Sidecar, digest_tag};
pub use transfer::{
    NESTING_MAX, Progress, TRANSFER_MANIFESTS_MAX, TransferError, Transferred, transfer,
};
