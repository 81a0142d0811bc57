//! What a registry keeps beside content: descriptors, image manifests, indexes.
//!
//! Source: OCI Image Format Specification 1.1, `descriptor.md`, `manifest.md`, `image-index.md`; the Docker types of
//! the same shape are read too, because registries hold them.
//!
//! # Invariants
//!
//! * **N1** A manifest is called by the digest of its bytes as they came. They are never written again.
//! * **N2** What says it is one kind and looks like the other is refused: a client that reads it in the other way
//!   would load something else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Digest;

/// Longest manifest, in bytes. Registries must take 4 MiB (OCI distribution 1.1).
pub const MANIFEST_LEN_MAX: u64 = 4 << 20;
/// Most entries of a manifest or an index.
pub const ENTRIES_MAX: usize = 1024;

/// An image manifest.
pub const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An index of manifests.
pub const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's index.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// A config without content: what artifacts that are no images have.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The content of [`EMPTY`].
pub const EMPTY_CONTENT: &[u8] = b"{}";

/// Names a content: what it is, what it is called, how long it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type.
    pub media_type: String,
    /// Digest.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// Type of an artifact, in the answers about referrers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Notes. Nothing vouches for those of an index on disk.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Names content.
    pub fn of(media_type: &str, content: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::sha256(content),
            size: content.len() as u64,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// An image manifest: a config and layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u32,
    /// What it says it is; may be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Type of the artifact, when it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl ImageManifest {
    /// A manifest of an artifact that is no image, with the empty config.
    pub fn artifact(artifact_type: &str, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(IMAGE_MANIFEST.to_owned()),
            artifact_type: Some(artifact_type.to_owned()),
            config: Descriptor::of(EMPTY, EMPTY_CONTENT),
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps of strings, numbers and strings always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// An index: manifests for different machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// Always 2.
    pub schema_version: u32,
    /// What it says it is; may be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A manifest of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// Of one image.
    Image(Box<ImageManifest>),
    /// Of several.
    Index(ImageIndex),
}

/// A manifest as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    /// What who has it says it is.
    pub media_type: String,
    /// Its bytes (N1).
    pub bytes: Vec<u8>,
}

impl RawManifest {
    /// What it is called (N1).
    pub fn digest(&self) -> Digest {
        Digest::sha256(&self.bytes)
    }

    /// Names it.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::of(&self.media_type, &self.bytes)
    }

    /// Reads it (N2).
    ///
    /// # Errors
    ///
    /// [`ManifestError`].
    pub fn parse(&self) -> Result<Manifest, ManifestError> {
        let index = match self.media_type.as_str() {
            IMAGE_MANIFEST | DOCKER_MANIFEST => false,
            IMAGE_INDEX | DOCKER_LIST => true,
            other => return Err(ManifestError::MediaType { found: shortened(other) }),
        };
        let shape: Shape = self.json()?;
        if shape.schema_version != 2 {
            return Err(ManifestError::SchemaVersion { found: shape.schema_version });
        }
        if shape.media_type.is_some_and(|it| it != self.media_type) {
            return Err(ManifestError::TwoTypes);
        }
        let has_image = shape.config.is_some() || shape.layers.is_some();
        if has_image == index || shape.manifests.is_some() != index {
            return Err(ManifestError::TwoKinds);
        }
        let entries = shape.layers.or(shape.manifests).unwrap_or_default().len();
        if entries > ENTRIES_MAX {
            return Err(ManifestError::Entries { found: entries });
        }
        Ok(if index {
            Manifest::Index(self.json()?)
        } else {
            Manifest::Image(Box::new(self.json()?))
        })
    }

    fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ManifestError> {
        serde_json::from_slice(&self.bytes)
            .map_err(|it| ManifestError::Json { text: it.to_string() })
    }
}

/// What tells the kinds apart. Named members that stand twice are an error.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<Vec<serde::de::IgnoredAny>>,
    manifests: Option<Vec<serde::de::IgnoredAny>>,
}

fn shortened(text: &str) -> String {
    text.chars().take(96).collect()
}

/// Why a manifest cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Of a type that nobody here reads.
    #[error("a manifest of the type `{found}` is not supported")]
    MediaType {
        /// The type.
        found: String,
    },
    /// Of a schema that nobody here reads.
    #[error("a manifest of schema {found} is not supported, only 2")]
    SchemaVersion {
        /// The version.
        found: u32,
    },
    /// The registry and the manifest name different types (N2).
    #[error("the manifest says it is of another type than the one it was served as")]
    TwoTypes,
    /// It is not of one kind (N2).
    #[error("the manifest is neither an image alone nor an index alone")]
    TwoKinds,
    /// It has more entries than [`ENTRIES_MAX`].
    #[error("the manifest has {found} entries, more than {ENTRIES_MAX}")]
    Entries {
        /// How many.
        found: usize,
    },
    /// No JSON of the form.
    #[error("the manifest cannot be read: {text}")]
    Json {
        /// What is wrong, and where.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(media_type: &str, text: &str) -> RawManifest {
        RawManifest { media_type: media_type.to_owned(), bytes: text.as_bytes().to_vec() }
    }

    fn image() -> ImageManifest {
        ImageManifest::artifact("text/plain", vec![Descriptor::of("text/plain", b"hello")])
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes = image().to_bytes();
        let found = RawManifest { media_type: IMAGE_MANIFEST.to_owned(), bytes };
        assert_eq!(found.parse(), Ok(Manifest::Image(Box::new(image()))));
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert!(matches!(raw(IMAGE_INDEX, index).parse(), Ok(Manifest::Index(_))));
    }

    #[test]
    fn a_manifest_of_two_kinds_or_types_is_none() {
        let image = String::from_utf8(image().to_bytes()).unwrap();
        let both = image.replacen('{', r#"{"manifests":[],"#, 1);
        assert_eq!(raw(IMAGE_MANIFEST, &both).parse(), Err(ManifestError::TwoKinds));
        assert_eq!(raw(DOCKER_MANIFEST, &image).parse(), Err(ManifestError::TwoTypes));
        let untyped = r#"{"schemaVersion":2,"config":null,"layers":[]}"#;
        assert_eq!(raw(IMAGE_INDEX, untyped).parse(), Err(ManifestError::TwoKinds));
        let neither = r#"{"schemaVersion":2}"#;
        assert_eq!(raw(IMAGE_MANIFEST, neither).parse(), Err(ManifestError::TwoKinds));
        let twice = image.replacen('{', r#"{"layers":[],"#, 1);
        assert!(matches!(raw(IMAGE_MANIFEST, &twice).parse(), Err(ManifestError::Json { .. })));
    }

    #[test]
    fn what_nobody_reads_is_named() {
        let found = "text/html".to_owned();
        assert_eq!(raw("text/html", "{}").parse(), Err(ManifestError::MediaType { found }));
        let first = r#"{"schemaVersion":1}"#;
        let error = ManifestError::SchemaVersion { found: 1 };
        assert_eq!(raw(IMAGE_MANIFEST, first).parse(), Err(error));
        let many = format!(r#"{{"schemaVersion":2,"manifests":[{}0]}}"#, "0,".repeat(ENTRIES_MAX));
        let error = ManifestError::Entries { found: ENTRIES_MAX + 1 };
        assert_eq!(raw(IMAGE_INDEX, &many).parse(), Err(error));
    }
}
