//! Signatures of images, in the format of cosign ("simple signing").
//!
//! # Layout
//!
//! | part      | what it is                                                                                    |
//! |-----------|-----------------------------------------------------------------------------------------------|
//! | tag       | `sha256-<hex>.sig`, beside the image that has this digest                                     |
//! | config    | `application/vnd.oci.image.config.v1+json`, which lists the layers                            |
//! | layer     | `application/vnd.dev.cosign.simplesigning.v1+json`: the payload; one layer a signature        |
//! | signature | base64, in the annotation `dev.cosignproject.cosign/signature` of the layer                   |
//!
//! Payload: `{"critical":{"identity":{"docker-reference":…},"image":{"docker-manifest-digest":…},"type":"cosign container
//! image signature"},"optional":…}`. `optional` holds what the signer adds, or is null.
//!
//! Source: cosign's `specs/SIGNATURE_SPEC.md`, and what cosign 2 writes.
//!
//! # Invariants
//!
//! * **C1** Nothing in a payload is read before its signature was checked.
//! * **C2** When a thing was signed is read from the signed payload. The annotation of the same name is for people:
//!   nothing vouches for it.
//! * **C3** A signer never removes the signature of another.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};
use thiserror::Error;

use crate::{
    Algorithm, BadSignature, Descriptor, Digest, ENTRIES_MAX, IMAGE_MANIFEST, ImageManifest, Place,
    PublicKey, REFERENCE_LEN_MAX, ReferenceError, SigningKey, Tag, digest_tag,
    form::{self, FormError, Members},
};

/// Type of a layer that is a payload.
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Type of the config beside the layers.
pub const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Annotation of a layer: the signature, in base64.
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// When it was signed: member of `optional`, and annotation for people (C2).
pub const SIGNED_AT: &str = "autonomy.signed-at";
/// What a payload says it is.
pub const PAYLOAD_TYPE: &str = "cosign container image signature";
/// Longest payload, in bytes.
pub const PAYLOAD_LEN_MAX: usize = 64 << 10;
/// Longest signature, in bytes. Those of Ed25519 have 64, those of P-256 at most 72.
pub const SIGNATURE_LEN_MAX: usize = 128;
/// Most signatures beside an image.
pub const SIGNATURES_MAX: usize = 64;

/// A payload and a signature over it. Nothing was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The payload, as it was signed.
    pub payload: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// What somebody signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Where it was when it was signed. It may have moved since.
    pub reference: String,
    /// When it was signed, if the signer says so.
    pub signed_at: Option<Timestamp>,
}

/// A manifest of signatures and the config that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureManifest {
    /// The manifest.
    pub manifest: ImageManifest,
    /// The content of its config.
    pub config: Vec<u8>,
}

/// Gets the payload that a layer names.
pub type Fetch<'a, E> = dyn FnMut(&Descriptor) -> Result<Vec<u8>, E> + 'a;

/// The tag of the signatures of an image.
///
/// # Errors
///
/// [`ReferenceError::Tag`]; a digest in SHA-256 always has a tag.
pub fn signature_tag(digest: &Digest) -> Result<Tag, ReferenceError> {
    Tag::new(&format!("{}.sig", digest_tag(digest)))
}

/// Signs that the manifest `digest`, found at `place`, is good.
///
/// # Errors
///
/// [`SignatureError::Form`] when no reader would take the payload: a digest of another kind than SHA-256, a path that
/// is no text.
pub fn sign(
    key: &SigningKey,
    place: &Place,
    digest: &Digest,
    signed_at: Option<Timestamp>,
) -> Result<Envelope, SignatureError> {
    let text = |it: String| Value::from(it).to_string();
    let optional = signed_at.map_or(Value::Null, |it| json!({ SIGNED_AT: it.to_string() }));
    // By hand, in the order of cosign: the JSON library sorts the members of its maps.
    let payload = format!(
        "{{\"critical\":{{\"identity\":{{\"docker-reference\":{}}},\
         \"image\":{{\"docker-manifest-digest\":\"{digest}\"}},\
         \"type\":\"{PAYLOAD_TYPE}\"}},\"optional\":{optional}}}",
        text(place.to_string()),
    );
    let signature = key.sign(payload.as_bytes()).to_vec();
    let envelope = Envelope { payload: payload.into_bytes(), signature };
    // The rules are those of the reader, so that nobody signs what nobody reads.
    open(&envelope, key.public()).map(|_| envelope)
}

/// Opens an envelope that `key` signed (C1).
///
/// # Errors
///
/// [`SignatureError`]; [`SignatureError::Bad`] when it was signed by somebody else, or is not what was signed.
pub fn open(envelope: &Envelope, key: &PublicKey) -> Result<Claims, SignatureError> {
    if envelope.payload.len() > PAYLOAD_LEN_MAX {
        return Err(SignatureError::PayloadLength { len: envelope.payload.len() as u64 });
    }
    key.verify(&envelope.payload, &envelope.signature)?;
    Ok(read(&envelope.payload)?)
}

fn read(payload: &[u8]) -> Result<Claims, FormError> {
    let map = form::object(payload, PAYLOAD_LEN_MAX)?;
    let mut whole = Members::new(&map);
    let mut critical = whole.inner("critical")?;
    let mut identity = critical.inner("identity")?;
    // Some signers leave it empty. It decides nothing.
    let reference = match identity.any_text("docker-reference")? {
        "" => String::new(),
        _ => identity.text("docker-reference", REFERENCE_LEN_MAX)?.to_owned(),
    };
    identity.end()?;
    let mut image = critical.inner("image")?;
    let digest = image.digest("docker-manifest-digest", &[Algorithm::Sha256])?;
    image.end()?;
    let kind = critical.any_text("type")?;
    if kind != PAYLOAD_TYPE {
        let text = format!("`{}` is not `{PAYLOAD_TYPE}`", form::shown(kind));
        return Err(critical.error("type", text));
    }
    critical.end()?;
    let signed_at = match whole.find("optional") {
        None | Some(Value::Null) => None,
        Some(Value::Object(optional)) if !optional.contains_key(SIGNED_AT) => None,
        Some(_) => Some(whole.inner("optional")?.time(SIGNED_AT)?),
    };
    whole.end()?;
    Ok(Claims { digest, reference, signed_at })
}

/// The layer that carries an envelope.
pub fn to_layer(envelope: &Envelope) -> Descriptor {
    let mut layer = Descriptor::of(SIMPLE_SIGNING, &envelope.payload);
    let signature = STANDARD.encode(&envelope.signature);
    layer.annotations.insert(SIGNATURE_ANNOTATION.to_owned(), signature);
    if let Some(time) = read(&envelope.payload).ok().and_then(|it| it.signed_at) {
        layer.annotations.insert(SIGNED_AT.to_owned(), time.to_string());
    }
    layer
}

/// Adds an envelope of `key` to the signatures that are there (C3). The same payload signed by the same key stands once.
///
/// # Errors
///
/// [`SignatureError::Bad`] when the envelope is not one of `key`, [`SignatureError::TooMany`] when there is no room.
pub fn add(
    existing: Option<&ImageManifest>,
    envelope: &Envelope,
    key: &PublicKey,
) -> Result<SignatureManifest, SignatureError> {
    open(envelope, key)?;
    let layer = to_layer(envelope);
    let before = existing.map(|it| it.layers.as_slice()).unwrap_or_default();
    // Equal digests are equal payloads, so the payload at hand shows whose signature the other one is.
    let same = |it: &Descriptor| {
        it.media_type == SIMPLE_SIGNING
            && it.digest == layer.digest
            && signature_of(it).is_ok_and(|it| key.verify(&envelope.payload, &it).is_ok())
    };
    let mut layers: Vec<_> = before.iter().filter(|it| !same(it)).cloned().collect();
    layers.push(layer);
    let signatures = layers.iter().filter(|it| it.media_type == SIMPLE_SIGNING).count();
    if signatures > SIGNATURES_MAX || layers.len() > ENTRIES_MAX {
        return Err(SignatureError::TooMany { found: layers.len() });
    }
    let config = config_of(&layers);
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(IMAGE_MANIFEST.to_owned()),
        artifact_type: None,
        config: Descriptor::of(IMAGE_CONFIG, &config),
        layers,
        subject: existing.and_then(|it| it.subject.clone()),
        annotations: existing.map_or_else(BTreeMap::new, |it| it.annotations.clone()),
    };
    Ok(SignatureManifest { manifest, config })
}

/// The config as cosign's library writes it: nothing but the layers.
fn config_of(layers: &[Descriptor]) -> Vec<u8> {
    const NEVER: &str = "0001-01-01T00:00:00Z";
    let history: Vec<_> = layers.iter().map(|_| json!({ "created": NEVER })).collect();
    let diff_ids: Vec<_> = layers.iter().map(|it| it.digest).collect();
    let config = json!({
        "architecture": "",
        "created": NEVER,
        "history": history,
        "os": "",
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "config": {},
    });
    config.to_string().into_bytes()
}

fn signature_of(layer: &Descriptor) -> Result<Vec<u8>, SignatureError> {
    let text = layer.annotations.get(SIGNATURE_ANNOTATION).ok_or(SignatureError::Annotation)?;
    if text.len() > SIGNATURE_LEN_MAX * 2 {
        return Err(SignatureError::Annotation);
    }
    STANDARD.decode(text).map_err(|_| SignatureError::Annotation)
}

/// The envelopes of a manifest, in its order; `fetch` gets a payload. A layer that is no signature is left out; a
/// signature that cannot be read stands as its error, so that nobody takes it for one that is not there.
///
/// # Errors
///
/// Whatever `fetch` fails with.
pub fn envelopes_of<E>(
    manifest: &ImageManifest,
    fetch: &mut Fetch<'_, E>,
) -> Result<Vec<Result<Envelope, SignatureError>>, E> {
    let layers = manifest.layers.iter().filter(|it| it.media_type == SIMPLE_SIGNING);
    let mut found = Vec::new();
    for (index, layer) in layers.enumerate() {
        if index == SIGNATURES_MAX {
            found.push(Err(SignatureError::TooMany { found: manifest.layers.len() }));
            break;
        }
        found.push(match signature_of(layer) {
            Err(error) => Err(error),
            Ok(_) if layer.size > PAYLOAD_LEN_MAX as u64 => {
                Err(SignatureError::PayloadLength { len: layer.size })
            }
            Ok(signature) => Ok(Envelope { payload: fetch(layer)?, signature }),
        });
    }
    Ok(found)
}

/// Why a signature says nothing, or cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not signed by this key, or changed since.
    #[error(transparent)]
    Bad(#[from] BadSignature),
    /// Signed, but not in the form of an image signature.
    #[error("the signed payload is not valid: {0}")]
    Form(#[from] FormError),
    /// The payload is longer than [`PAYLOAD_LEN_MAX`].
    #[error("the signed payload has {len} bytes, more than {PAYLOAD_LEN_MAX}")]
    PayloadLength {
        /// Its length in bytes.
        len: u64,
    },
    /// The layer has no signature that can be read.
    #[error("the layer has no annotation {SIGNATURE_ANNOTATION} with a signature in base64")]
    Annotation,
    /// More signatures than [`SIGNATURES_MAX`].
    #[error(
        "{found} layers, and more than {SIGNATURES_MAX} signatures beside one image are not read"
    )]
    TooMany {
        /// Layers of the manifest.
        found: usize,
    },
}
