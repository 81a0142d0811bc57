//! `autonomy oci inspect`: what is there. Nothing is verified.

use api::exit::Exit;
use serde::Serialize;
use supply_chain::{
    Descriptor, Digest, Manifest, Name, RawManifest, Reference, Registry, Sidecar, registry,
    resolve,
    signature::{SIMPLE_SIGNING, signature_tag},
};

use crate::{
    args::{OciImage, Output},
    commands::{
        print_json, print_pairs,
        registry::{Purpose, failed, not_attached, open},
    },
    context::Context,
    failure::Failure,
};

#[derive(Serialize)]
struct Inspected {
    image: String,
    #[serde(flatten)]
    manifest: Found,
    /// Config and layers, or the manifests of an index.
    contents: Vec<Listed>,
    lock: Option<Found>,
    policy: Option<Found>,
    /// Nobody's signature was looked at.
    verified: bool,
}

/// A manifest.
#[derive(Serialize)]
struct Found {
    digest: Digest,
    media_type: String,
    bytes: usize,
    /// Signatures beside it, of anybody, about anything; `None` when what is there cannot be read.
    signatures: Option<usize>,
}

#[derive(Serialize)]
struct Listed {
    digest: Digest,
    media_type: String,
    bytes: u64,
}

pub(super) fn inspect(args: &OciImage, context: Context<'_>) -> Result<Exit, Failure> {
    let registry = open(&args.image, Purpose::Read, &args.registry, context)?;
    let raw = resolve(&*registry, &args.image).map_err(|it| not_attached(&it))?;
    let digest = raw.digest();
    let inspected = Inspected {
        image: args.image.to_string(),
        contents: contents(&raw)?,
        lock: beside(&*registry, &args.image, &digest, Sidecar::Lock)?,
        policy: beside(&*registry, &args.image, &digest, Sidecar::Policy)?,
        manifest: found(&*registry, &raw)?,
        verified: false,
    };
    match args.output.output {
        Output::Json => print_json(&inspected)?,
        Output::Text => print_pairs(&pairs(&inspected))?,
    }
    Ok(Exit::Done)
}

fn contents(raw: &RawManifest) -> Result<Vec<Listed>, Failure> {
    let listed = |it: &Descriptor| Listed {
        digest: it.digest,
        media_type: it.media_type.clone(),
        bytes: it.size,
    };
    let parsed = raw.parse().map_err(|source| {
        let what = format!("manifest {}", raw.digest());
        failed(&supply_chain::RegistryError::Manifest { what, source })
    })?;
    Ok(match parsed {
        Manifest::Image(it) => std::iter::once(&it.config).chain(&it.layers).map(listed).collect(),
        Manifest::Index(it) => it.manifests.iter().map(listed).collect(),
    })
}

fn beside(
    registry: &dyn Registry,
    image: &Reference,
    digest: &Digest,
    sidecar: Sidecar,
) -> Result<Option<Found>, Failure> {
    let raw = sidecar.find(registry, image, digest).map_err(|it| failed(&it))?;
    raw.map(|it| found(registry, &it)).transpose()
}

fn found(place: &dyn Registry, raw: &RawManifest) -> Result<Found, Failure> {
    let digest = raw.digest();
    let tag = signature_tag(&digest).map_err(|it| not_attached(&it.into()))?;
    let signatures = registry::manifest(place, &Name::Tag(tag)).map_err(|it| failed(&it))?;
    let count = |raw: RawManifest| match raw.parse() {
        Ok(Manifest::Image(it)) => {
            Some(it.layers.iter().filter(|it| it.media_type == SIMPLE_SIGNING).count())
        }
        _ => None,
    };
    Ok(Found {
        digest,
        media_type: raw.media_type.clone(),
        bytes: raw.bytes.len(),
        signatures: signatures.map_or(Some(0), count),
    })
}

fn pairs(it: &Inspected) -> Vec<(&'static str, String)> {
    let signatures = |it: &Found| match it.signatures {
        Some(count) => count.to_string(),
        None => "what is there cannot be read".to_owned(),
    };
    let sidecar = |it: &Option<Found>| match it {
        None => "none".to_owned(),
        Some(it) => format!("{}  {} bytes  signatures: {}", it.digest, it.bytes, signatures(it)),
    };
    let mut pairs = vec![
        ("image", it.image.clone()),
        ("digest", it.manifest.digest.to_string()),
        ("type", it.manifest.media_type.clone()),
    ];
    let contents = it.contents.iter();
    pairs
        .extend(contents.map(|it| {
            ("content", format!("{}  {} bytes  {}", it.digest, it.bytes, it.media_type))
        }));
    pairs.push(("signatures", signatures(&it.manifest)));
    pairs.push(("lock", sidecar(&it.lock)));
    pairs.push(("policy", sidecar(&it.policy)));
    pairs.push(("verified", "no: signatures are counted, not checked".to_owned()));
    pairs
}
