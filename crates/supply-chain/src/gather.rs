//! Collects what verification looks at: I/O without judgement.
//!
//! Everything is fetched under its digest and kept with what went wrong, so that each step of [`verify`](mod@crate::verify)
//! can say what it found. Nothing that came from a registry is believed here.
//!
//! # Invariants
//!
//! * **C1** Whatever is handed on was read whole and has the digest that it is called by, or stands there as a fault.
//! * **C2** What is held in memory is bounded: manifests, signatures, the lock and the policy bundle. Layers of an
//!   image are read piece by piece and forgotten.
//! * **C3** A place that does not answer ends everything: half a view of it is not judged.

use std::ops::Not as _;

use crate::{
    ContentError, Descriptor, Digest, Manifest, Name, RawManifest, Reference, Registry,
    RegistryError, Sidecar,
    registry::{content, manifest, stream},
    signature::{Envelope, PAYLOAD_LEN_MAX, envelopes_of, signature_tag},
};

/// Most contents of one image, over all manifests of an index.
pub const CONTENTS_MAX: usize = 4096;

/// What to collect beside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The lock.
    pub lock: bool,
    /// The policy bundle.
    pub policy: bool,
    /// Whether config and layers of the image are read; else only its manifest is.
    pub contents: bool,
}

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The image.
    Image,
    /// Its lock.
    Lock,
    /// Its policy bundle.
    Policy,
}

impl Role {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Lock => Sidecar::Lock.name(),
            Self::Policy => Sidecar::Policy.name(),
        }
    }
}

/// What verification looks at.
#[derive(Debug)]
pub struct Material {
    /// What was asked for.
    pub(crate) reference: Reference,
    pub(crate) wanted: Wanted,
    /// `None` when the place has no such image.
    pub(crate) image: Option<Artifact>,
    pub(crate) lock: Option<Artifact>,
    pub(crate) policy: Option<Artifact>,
}

/// A manifest, what is signed about it, and what it names.
#[derive(Debug)]
pub(crate) struct Artifact {
    pub(crate) role: Role,
    /// A fault here is one of the digest or the form.
    pub(crate) manifest: Result<RawManifest, RegistryError>,
    pub(crate) signatures: Signatures,
    pub(crate) contents: Vec<Content>,
    /// Content of a sidecar.
    pub(crate) bytes: Result<Vec<u8>, RegistryError>,
}

impl Artifact {
    /// What the manifest is called, if it could be read.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.manifest.as_ref().ok().map(RawManifest::digest)
    }
}

/// What is signed about an artifact.
#[derive(Debug)]
pub(crate) enum Signatures {
    /// The place has none.
    None,
    /// These, each readable or not.
    Found(Vec<Result<Envelope, String>>),
}

/// One content of an image.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) descriptor: Descriptor,
    pub(crate) found: Result<(), RegistryError>,
}

/// Collects what there is about an image.
///
/// # Errors
///
/// [`RegistryError`] when the place does not answer (C3); everything else is kept as a fault.
pub fn gather(
    registry: &dyn Registry,
    reference: &Reference,
    wanted: Wanted,
) -> Result<Material, RegistryError> {
    let name = match (&reference.digest, &reference.tag) {
        (Some(digest), _) => Name::Digest(*digest),
        (None, Some(tag)) => Name::Tag(tag.clone()),
        // A reference without either is not made by its parser.
        (None, None) => return Err(no_name(reference)),
    };
    let found = kept(manifest(registry, &name))?;
    let image = match found {
        Ok(None) => None,
        Ok(Some(raw)) => Some(image(registry, raw, wanted)?),
        Err(fault) => Some(unreadable(Role::Image, fault)),
    };
    let digest = image.as_ref().and_then(Artifact::digest);
    let beside = |sidecar: Sidecar, asked: bool| match digest {
        Some(digest) if asked => self::sidecar(registry, sidecar, reference, &digest),
        _ => Ok(None),
    };
    Ok(Material {
        lock: beside(Sidecar::Lock, wanted.lock)?,
        policy: beside(Sidecar::Policy, wanted.policy)?,
        reference: reference.clone(),
        wanted,
        image,
    })
}

fn no_name(reference: &Reference) -> RegistryError {
    let text = "it has neither tag nor digest".to_owned();
    RegistryError::Malformed { what: format!("reference {reference}"), text }
}

/// Keeps a fault that can be judged, and returns one of the place (C3).
fn kept<T>(result: Result<T, RegistryError>) -> Result<Result<T, RegistryError>, RegistryError> {
    match result {
        Err(error) if is_of_the_place(&error) => Err(error),
        other => Ok(other),
    }
}

/// Whether an error says nothing about what is there.
pub(crate) fn is_of_the_place(error: &RegistryError) -> bool {
    match error {
        RegistryError::Unreachable { .. }
        | RegistryError::NoLayout { .. }
        | RegistryError::Refused { .. }
        | RegistryError::Redirect { .. }
        | RegistryError::Busy { .. }
        | RegistryError::Io { .. } => true,
        RegistryError::Content { source, .. } => {
            matches!(source, ContentError::Read(_) | ContentError::Keep(_))
        }
        RegistryError::TooLong { .. }
        | RegistryError::Manifest { .. }
        | RegistryError::Malformed { .. }
        | RegistryError::LayoutVersion { .. }
        | RegistryError::Ambiguous { .. } => false,
    }
}

fn unreadable(role: Role, fault: RegistryError) -> Artifact {
    Artifact {
        role,
        manifest: Err(fault),
        signatures: Signatures::None,
        contents: Vec::new(),
        bytes: Ok(Vec::new()),
    }
}

fn image(
    registry: &dyn Registry,
    raw: RawManifest,
    wanted: Wanted,
) -> Result<Artifact, RegistryError> {
    let signatures = signatures(registry, &raw.digest())?;
    let mut contents = Vec::new();
    let listed = list(registry, &raw, &mut contents, wanted.contents);
    let manifest = kept(listed)?.map(|()| raw);
    Ok(Artifact { role: Role::Image, manifest, signatures, contents, bytes: Ok(Vec::new()) })
}

/// Lists what a manifest names, one level of indexes deep, and reads it if it is to be read.
fn list(
    registry: &dyn Registry,
    raw: &RawManifest,
    contents: &mut Vec<Content>,
    read: bool,
) -> Result<(), RegistryError> {
    match parsed(raw)? {
        Manifest::Image(it) => take(registry, *it, contents, read),
        Manifest::Index(index) => {
            for child in index.manifests {
                let digest = child.digest;
                let Some(raw) = kept(manifest(registry, &Name::Digest(digest)))?.transpose() else {
                    let found = Err(missing(&child));
                    contents.push(Content { descriptor: child, found });
                    continue;
                };
                match raw.and_then(|raw| Ok((parsed(&raw)?, raw))) {
                    Ok((Manifest::Image(it), _)) => take(registry, *it, contents, read)?,
                    Ok((Manifest::Index(_), raw)) => {
                        let what = format!("manifest {}", raw.digest());
                        let text = "an index in an index is not supported".to_owned();
                        return Err(RegistryError::Malformed { what, text });
                    }
                    Err(fault) => contents.push(Content { descriptor: child, found: Err(fault) }),
                }
            }
            Ok(())
        }
    }
}

fn parsed(raw: &RawManifest) -> Result<Manifest, RegistryError> {
    raw.parse().map_err(|source| RegistryError::Manifest {
        what: format!("manifest {}", raw.digest()),
        source,
    })
}

fn take(
    registry: &dyn Registry,
    image: crate::ImageManifest,
    contents: &mut Vec<Content>,
    read: bool,
) -> Result<(), RegistryError> {
    for descriptor in std::iter::once(image.config).chain(image.layers) {
        if contents.len() == CONTENTS_MAX {
            let text = format!("it has more than {CONTENTS_MAX} contents");
            return Err(RegistryError::Malformed { what: "the image".to_owned(), text });
        }
        let found =
            if read { kept(stream(registry, &descriptor, &mut |_| Ok(())))? } else { Ok(true) };
        let found = found.and_then(|it| if it { Ok(()) } else { Err(missing(&descriptor)) });
        contents.push(Content { descriptor, found });
    }
    Ok(())
}

fn missing(descriptor: &Descriptor) -> RegistryError {
    let source = ContentError::Shorter { len: descriptor.size, found: 0 };
    let what = format!("content {} is not there", descriptor.digest);
    RegistryError::Content { what, source }
}

fn sidecar(
    registry: &dyn Registry,
    sidecar: Sidecar,
    image: &Reference,
    digest: &Digest,
) -> Result<Option<Artifact>, RegistryError> {
    let role = match sidecar {
        Sidecar::Lock => Role::Lock,
        Sidecar::Policy => Role::Policy,
    };
    match kept(sidecar.find(registry, image, digest))? {
        Ok(None) => Ok(None),
        Err(fault) => Ok(Some(unreadable(role, fault))),
        Ok(Some(raw)) => Ok(Some(Artifact {
            role,
            signatures: signatures(registry, &raw.digest())?,
            bytes: kept(sidecar.content(registry, &raw))?,
            contents: Vec::new(),
            manifest: Ok(raw),
        })),
    }
}

/// What is signed about a manifest. What cannot be read is kept as a text: it is no signature.
fn signatures(registry: &dyn Registry, digest: &Digest) -> Result<Signatures, RegistryError> {
    let tag = signature_tag(digest).map_err(|it| RegistryError::Malformed {
        what: format!("the tag of the signatures of {digest}"),
        text: it.to_string(),
    })?;
    let raw = match kept(manifest(registry, &Name::Tag(tag)))? {
        Ok(None) => return Ok(Signatures::None),
        Ok(Some(raw)) => raw,
        Err(fault) => return Ok(broken(&fault.to_string())),
    };
    let image = match parsed(&raw) {
        Ok(Manifest::Image(it)) => it,
        Ok(Manifest::Index(_)) => return Ok(broken("it is an index")),
        Err(fault) => return Ok(broken(&fault.to_string())),
    };
    let mut faults = Vec::new();
    let envelopes = envelopes_of(&image, &mut |layer| {
        let fault = match kept(content(registry, layer, PAYLOAD_LEN_MAX as u64))? {
            Ok(Some(payload)) => return Ok(payload),
            Ok(None) => format!("payload {} is not there", layer.digest),
            Err(fault) => fault.to_string(),
        };
        faults.push(Err(fault));
        // Nobody has signed nothing; it is left out below.
        Ok(Vec::new())
    })?;
    let mut found: Vec<_> = envelopes
        .into_iter()
        .filter(|it| it.as_ref().is_ok_and(|it| it.payload.is_empty()).not())
        .map(|it| it.map_err(|error| error.to_string()))
        .collect();
    found.append(&mut faults);
    Ok(Signatures::Found(found))
}

fn broken(text: &str) -> Signatures {
    Signatures::Found(vec![Err(format!("the manifest of the signatures: {text}"))])
}
