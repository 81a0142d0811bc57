//! What a node may load: locks, fingerprints, signatures, images, and the four checks in their order.
//!
//! | module      | what it holds                                                                   |
//! |-------------|---------------------------------------------------------------------------------|
//! | `digest`    | [`Digest`]: what a content is called; reading content under its name             |
//! | `manifest`  | [`RawManifest`], [`Descriptor`]: what registries keep beside content             |
//! | `reference` | [`Reference`]: how an operator names an image                                    |
//! | [`registry`] | the port to wherever images are                                                 |
//! | `lock`      | [`Lock`]: what a release is made of, and its fingerprint                        |
//! | `form`      | strict reading of JSON that is signed or hashed                                 |
//! | `keys`      | [`PublicKey`], [`KeyId`]: who may say what a node loads                         |
//! | `signing_key` | [`SigningKey`]: the private half, and its file                                |
//! | [`keyfile`] | key files on disk, which nobody else may read                                   |
//! | `pem`       | one block of PEM, and nothing beside it                                         |
//! | [`signature`] | signatures of images, in the format of cosign                                 |
//! | `dsse`      | [`Dsse`]: a payload of a named type, signed                                     |
//! | `statement` | [`Statement`]: what was established, signed                                     |
//! | `permit`    | [`Permit`]: the single-use word that an older release may be loaded             |
//! | `floor`     | [`Floor`]: whether a release may be loaded after those before it                |
//! | `sidecar`   | [`Sidecar`]: the lock and the policy bundle beside an image                     |
//! | `layout`    | [`Layout`]: images in a directory, as skopeo writes them                        |
//! | [`oci`]     | (feature `oci`) registries over HTTP, with bounds                               |
//! | `place`     | (feature `oci`) [`open_place`]: whatever a reference names                      |
//! | `attach`    | [`attach()`], [`pull_sidecar`], [`push_artifact`]: sidecars as an operator handles them |
//! | `publish`   | [`publish_signature`]: puts a signature beside an image                         |
//! | `transfer`  | [`transfer()`]: copies an image with everything that belongs to it              |
//! | `gather`    | [`gather()`]: collects what verification looks at                               |
//! | `verify`    | [`verify()`]: the four checks in their order; [`Verified`]: what has passed them |
//! | `memory`    | `MemoryRegistry` (feature `testing`): a registry that checks nothing            |

mod attach;
mod digest;
mod dsse;
mod floor;
mod form;
mod gather;
pub mod keyfile;
mod keys;
mod layout;
mod lock;
mod manifest;
#[cfg(any(test, feature = "testing"))]
mod memory;
#[cfg(feature = "oci")]
pub mod oci;
mod pem;
mod permit;
#[cfg(feature = "oci")]
mod place;
mod publish;
mod reference;
pub mod registry;
mod sidecar;
pub mod signature;
mod signing_key;
mod statement;
mod transfer;
mod verify;

pub use attach::{
    AttachError, Attached, Mode, attach, pull_sidecar, push_artifact, push_new_artifact, resolve,
};
pub use digest::{Algorithm, ContentError, DIGEST_LEN, Digest, DigestError, Hasher, read_checked};
pub use dsse::{
    DSSE_LEN_MAX, DSSE_SIGNATURES_MAX, DSSE_TEXT_LEN_MAX, Dsse, DsseError, Opened, pae,
};
pub use floor::{Floor, Grounds, Release, Rollback, decide};
pub use form::FormError;
pub use gather::{CONTENTS_MAX, Material, Role, Wanted, gather};
pub use keyfile::KeyFileError;
pub use keys::{BadSignature, ED25519_SIGNATURE_LEN, KeyId, PublicKey, PublicKeyError};
pub use layout::{LAYOUT_ENTRIES_MAX, LAYOUT_INDEX_LEN_MAX, LAYOUT_VERSION, Layout};
pub use lock::{
    AgentArtifact, Inputs, LOCK_LEN_MAX, LOCK_SCHEMA, LOCK_TEXT_LEN_MAX, LOCK_TOOLS_MAX, Lock,
    LockContent, LockError, PolicyBundle, Tool,
};
pub use manifest::{
    DOCKER_LIST, DOCKER_MANIFEST, Descriptor, EMPTY, EMPTY_CONTENT, ENTRIES_MAX, IMAGE_INDEX,
    IMAGE_MANIFEST, ImageIndex, ImageManifest, MANIFEST_LEN_MAX, Manifest, ManifestError,
    RawManifest,
};
#[cfg(any(test, feature = "testing"))]
pub use memory::{Held, MemoryRegistry};
pub use permit::{
    NONCE_LEN, Nonce, NonceError, PERMIT_CLOCK_SKEW, PERMIT_LEN_MAX, PERMIT_LIFETIME_MAX,
    PERMIT_NODE_LEN_MAX, PERMIT_PAYLOAD_TYPE, PERMIT_REASON_LEN_MAX, PERMIT_SCHEMA, Permit,
    PermitContent, PermitError,
};
#[cfg(feature = "oci")]
pub use place::open_place;
pub use publish::{PublishError, Published, publish_signature};
pub use reference::{Place, REFERENCE_LEN_MAX, Reference, ReferenceError, TAG_LEN_MAX, Tag};
pub use registry::{Name, Referrers, Registry, RegistryError};
pub use sidecar::{Sidecar, digest_tag};
pub use signature::{
    Claims, Envelope, SIGNATURE_LEN_MAX, SignatureError, SignatureManifest, signature_tag,
};
pub use signing_key::{
    KEY_RANDOM_LEN, PBKDF2_ROUNDS_MAX, SCRYPT_MEMORY_MAX, SCRYPT_WORK_MAX, SEAL_RANDOM_LEN,
    SealError, SigningKey, SigningKeyError,
};
pub use statement::{
    STATEMENT_LEN_MAX, STATEMENT_PAYLOAD_TYPE, STATEMENT_TEXT_LEN_MAX, STATEMENT_TYPE,
    SUBJECTS_MAX, Statement, StatementError, Subject,
};
pub use transfer::{
    NESTING_MAX, Progress, TRANSFER_MANIFESTS_MAX, TransferError, Transferred, transfer,
};
pub use verify::{
    BundleVersion, CLOCK_LEAD_MAX, Freshness, Input, LockSummary, MAX_AGE, Outcome,
    REPORT_PREDICATE_TYPE, REPORT_SCHEMA, Report, Signer, Step, StepState, Trust, Verification,
    Verified, VerifyError, verify,
};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
