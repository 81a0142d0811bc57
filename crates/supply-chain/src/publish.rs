//! Puts a signature beside the manifest that it is about.
//!
//! # Invariants
//!
//! * **P1** What was signed before stays: the new signature is added to what is there, and what is there and cannot be
//!   read is an error, never overwritten.
//! * **P2** Payload and config are stored before the manifest that names them, and its tag is given last: nobody finds
//!   half a signature.
//!
//! Two signers at the same time: whoever gives the tag last wins, and the signature of the other is not in the list. A
//! registry has no way to prevent that; the other one signs again.

use jiff::Timestamp;
use thiserror::Error;

use crate::{
    Digest, IMAGE_MANIFEST, Manifest, Name, Place, RawManifest, ReferenceError, Registry,
    RegistryError, SigningKey, Tag,
    registry::manifest,
    signature::{SignatureError, add, sign, signature_tag, to_layer},
};

/// A signature that was put beside a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The tag of the signatures.
    pub tag: Tag,
    /// What their manifest is called now.
    pub digest: Digest,
    /// How many signatures are there now.
    pub signatures: usize,
}

/// Signs the manifest `digest`, which is at `place` in `registry`, and adds the signature to those that are there (P1).
///
/// # Errors
///
/// [`PublishError`]; the signatures that were there before are still there.
pub fn publish_signature(
    registry: &dyn Registry,
    place: &Place,
    digest: &Digest,
    key: &SigningKey,
    signed_at: Option<Timestamp>,
) -> Result<Published, PublishError> {
    let tag = signature_tag(digest)?;
    let name = Name::Tag(tag.clone());
    let existing = match manifest(registry, &name)? {
        None => None,
        Some(raw) => match raw.parse() {
            Ok(Manifest::Image(it)) => Some(*it),
            Ok(Manifest::Index(_)) => return Err(occupied(tag, "it is an index")),
            Err(error) => return Err(occupied(tag, &error.to_string())),
        },
    };
    let envelope = sign(key, place, digest, signed_at)?;
    let made = add(existing.as_ref(), &envelope, key.public())?;
    registry.store_content(&to_layer(&envelope), &mut &*envelope.payload)?;
    registry.store_content(&made.manifest.config, &mut &*made.config)?;
    let bytes = made.manifest.to_bytes();
    let raw = RawManifest { media_type: IMAGE_MANIFEST.to_owned(), bytes };
    registry.store_manifest(&name, &raw)?;
    Ok(Published { tag, digest: raw.digest(), signatures: made.manifest.layers.len() })
}

/// P1.
fn occupied(tag: Tag, text: &str) -> PublishError {
    PublishError::Occupied { tag, text: text.to_owned() }
}

/// Why nothing was signed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// What has the tag of the signatures is no list of signatures (P1).
    #[error("what has the tag {tag} holds no signatures, and is not replaced: {text}")]
    Occupied {
        /// The tag.
        tag: Tag,
        /// What it is.
        text: String,
    },
    /// There is no room for one more, or the digest is of another kind.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The digest makes no tag.
    #[error(transparent)]
    Tag(#[from] ReferenceError),
    /// The place gave no usable answer.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryRegistry, Reference, push_artifact};

    fn world() -> (MemoryRegistry, Reference, Digest) {
        let registry = MemoryRegistry::default();
        let image: Reference = "registry.example/agents/arm:1.0.0".parse().unwrap();
        let digest = push_artifact(&registry, &image, &[b"layer"]).unwrap().digest;
        (registry, image, digest)
    }

    fn publish(
        registry: &MemoryRegistry,
        image: &Reference,
        digest: &Digest,
        key: u8,
    ) -> Result<Published, PublishError> {
        let at = "2026-06-01T12:00:00Z".parse().unwrap();
        let key = SigningKey::generate([key; 32]);
        publish_signature(registry, &image.place, digest, &key, Some(at))
    }

    #[test]
    fn a_signature_is_added_and_the_same_one_stands_once_p1() {
        let (registry, image, digest) = world();
        for (key, count) in [(1, 1), (2, 2), (1, 2), (3, 3)] {
            assert_eq!(publish(&registry, &image, &digest, key).unwrap().signatures, count);
        }
    }

    #[test]
    fn what_holds_no_signatures_is_not_replaced_p1() {
        let (registry, image, digest) = world();
        publish(&registry, &image, &digest, 1).unwrap();
        for bytes in [b"{}".to_vec(), b"no JSON".to_vec()] {
            let at = Digest::sha256(&bytes);
            let before = {
                let mut held = registry.held();
                held.manifests
                    .insert(at, RawManifest { media_type: IMAGE_MANIFEST.to_owned(), bytes });
                held.tags.insert(signature_tag(&digest).unwrap().to_string(), at);
                held.clone()
            };
            let error = publish(&registry, &image, &digest, 1).unwrap_err();
            assert!(matches!(error, PublishError::Occupied { .. }), "{error}");
            assert_eq!(registry.held().tags, before.tags);
            assert_eq!(registry.held().manifests, before.manifests);
        }
    }
}
