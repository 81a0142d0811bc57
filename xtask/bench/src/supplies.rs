//! The cases of the supply chain: an image is verified, large and small, and one signature is checked.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use ed25519_dalek::{Signature, VerifyingKey, pkcs8::DecodePublicKey as _};
use jiff::Timestamp;
use supply_chain::{
    AgentArtifact, Descriptor, Digest, ImageManifest, Inputs, Layout, Lock, LockContent, MAX_AGE,
    PolicyBundle, PublicKey, RawManifest, Reference, Registry as _, Sidecar, SigningKey, Trust,
    Wanted, attach, gather, publish_signature, signature, verify,
};
use vfs::OsVfs;

use crate::{
    callers,
    memory::status_kib,
    rounds::{Case, Contestant, Role, interleaved},
    sample::{Sample, Window},
    targets::name,
};

/// Name of the benchmark; those of its cases begin with it.
pub(crate) const BENCH: &str = "supply-chain";
/// Hidden command: verifies, and says how much memory that took.
pub(crate) const MEASURE: &str = "measure-verify";

/// How much a floor reads at once.
const CHUNK_LEN: usize = 256 << 10;
/// Most memory of a verification.
const MEMORY_MAX_MIB: f64 = 32.0;
/// Longest verification of a small image.
const SMALL_MAX_US: f64 = 5_000.0;
/// Bytes of the layer of a small image.
const SMALL_LEN: u64 = 4 << 10;
const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1024.0 * MIB;

/// An image with lock and policy, signed, in a layout.
#[derive(Clone, Debug)]
struct Image {
    dir: PathBuf,
    layer: Digest,
    bytes: u64,
}

/// Writes the images and returns the cases over them.
pub(crate) fn cases(data: &Path, bytes: u64) -> Result<Vec<Case>> {
    eprintln!("writing an image of {} MiB", bytes >> 20);
    let large = Image::write(data.join("large"), bytes)?;
    let small = Image::write(data.join("small"), SMALL_LEN)?;
    // Written a moment ago, so in memory; this makes sure of it.
    sha256_of(&large.blob())?;
    let case = |name: &str, unit, contestants| Case { name: name.to_owned(), unit, contestants };
    Ok(vec![
        case(name::VERIFY_LARGE, "GiB/s", interleaved(large_ones(&large))),
        case(name::VERIFY_SMALL, "per s", interleaved(small_ones(&small))),
        case(name::SIGNATURE, "per s", interleaved(signatures()?)),
        case(name::VERIFY_MEMORY, "MiB", memory(&large)),
    ])
}

fn key() -> SigningKey {
    SigningKey::generate([7; 32])
}

impl Image {
    fn write(dir: PathBuf, bytes: u64) -> Result<Self> {
        let layout = Layout::open_or_begin(Arc::new(OsVfs), &dir)?;
        let path = dir.with_extension("layer");
        let layer = random_file(&path, bytes)?;
        let descriptor = Descriptor {
            size: bytes,
            digest: layer,
            ..Descriptor::of("application/vnd.oci.image.layer.v1.tar", b"")
        };
        layout.store_content(&descriptor, &mut File::open(&path)?)?;
        std::fs::remove_file(&path)?;
        let config = Descriptor::of(supply_chain::EMPTY, supply_chain::EMPTY_CONTENT);
        layout.store_content(&config, &mut &*supply_chain::EMPTY_CONTENT)?;
        let manifest = ImageManifest::artifact("application/vnd.example.agent", vec![descriptor]);
        let media_type = supply_chain::IMAGE_MANIFEST.to_owned();
        let raw = RawManifest { media_type, bytes: manifest.to_bytes() };
        let image = Self { dir, layer, bytes };
        let reference = image.reference()?;
        let tag = reference.tag.clone().context("a tag")?;
        layout.store_manifest(&supply_chain::Name::Tag(tag), &raw)?;
        let digests = [raw.digest(), image.lock(&layout, raw.digest())?, image.policy(&layout)?];
        for digest in digests {
            publish_signature(&layout, &reference.place, &digest, &key(), Some(Timestamp::now()))?;
        }
        Ok(image)
    }

    fn reference(&self) -> Result<Reference> {
        Ok(format!("oci:{}:1.0.0", self.dir.display()).parse()?)
    }

    fn lock(&self, layout: &Layout, digest: Digest) -> Result<Digest> {
        let reference = self.reference()?;
        let lock = Lock::create(&LockContent {
            name: "bench".to_owned(),
            version: "1.0.0".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
            release_counter: 1,
            agent_artifact: AgentArtifact { reference: reference.clone(), digest },
            policy_bundle: PolicyBundle {
                reference: reference.clone(),
                digest: Digest::sha256(POLICY),
                version: "1.0.0".parse()?,
            },
            inputs: Inputs {
                prompt_hash: Digest::blake3(b"prompt"),
                tool_inputs_hash: Digest::blake3(b"inputs"),
            },
            tools: Vec::new(),
        })?;
        Ok(attach(layout, &reference, Sidecar::Lock, &lock.to_bytes())?.digest)
    }

    fn policy(&self, layout: &Layout) -> Result<Digest> {
        Ok(attach(layout, &self.reference()?, Sidecar::Policy, POLICY)?.digest)
    }

    fn blob(&self) -> PathBuf {
        self.dir.join("blobs/sha256").join(self.layer.hex())
    }
}

/// What stands for a policy bundle; its version is said by whoever asks.
const POLICY: &[u8] = b"a policy bundle";

fn random_file(path: &Path, bytes: u64) -> Result<Digest> {
    let mut out = File::create_new(path)?;
    let mut hasher = supply_chain::Hasher::new(supply_chain::Algorithm::Sha256);
    // Not random, but no two chunks are alike and nothing compresses them on the way.
    let mut source = blake3::Hasher::new().finalize_xof();
    let (mut left, mut chunk) = (bytes, vec![0; CHUNK_LEN]);
    while left > 0 {
        let len = usize::try_from(left)?.min(CHUNK_LEN);
        let piece = chunk.get_mut(..len).context("a piece")?;
        source.fill(piece);
        out.write_all(piece)?;
        hasher.update(piece);
        left -= len as u64;
    }
    out.sync_all()?;
    Ok(hasher.finish())
}

/// Verifies image, lock and policy, the layers read.
fn verify_once(reference: &Reference) -> Result<()> {
    let supply_chain::Place::Layout(dir) = &reference.place else {
        return Err(anyhow!("the images of the bench are in layouts"));
    };
    let layout = Layout::open(Arc::new(OsVfs), dir)?;
    let material = gather(&layout, reference, Wanted { lock: true, policy: true, contents: true })?;
    let trust = Trust {
        keys: vec![key().public().clone()],
        threshold: NonZeroUsize::MIN,
        max_age: Some(MAX_AGE),
        now: Timestamp::now(),
    };
    let verified = verify(material, &trust, &|_| Ok("1.0.0".to_owned())).result?;
    ensure!(verified.is_some(), "no lock was verified");
    Ok(())
}

fn timed(bytes: u64, run: impl FnOnce() -> Result<()>) -> Result<Sample> {
    let start = Instant::now();
    run()?;
    let seconds = start.elapsed().as_secs_f64();
    let us = seconds * 1e6;
    Ok(Sample { p50_us: us, p99_us: us, rate: bytes as f64 / GIB / seconds, calls: 1 })
}

fn large_ones(image: &Image) -> Vec<Contestant> {
    let bytes = image.bytes;
    let (ours, tool, plain, blake) = (image.clone(), image.blob(), image.blob(), image.blob());
    vec![
        Contestant::new(name::VERIFY, Role::Ours, move |_, _| {
            let reference = ours.reference()?;
            timed(bytes, || verify_once(&reference))
        }),
        Contestant::new(name::SHA256SUM, Role::Floor, move |_, _| {
            timed(bytes, || {
                let status = Command::new("sha256sum").arg(&tool).stdout(Stdio::null()).status();
                ensure!(status.context("sha256sum")?.success(), "sha256sum failed");
                Ok(())
            })
        }),
        Contestant::new(name::SHA2, Role::Floor, move |_, _| {
            timed(bytes, || sha256_of(&plain).map(drop))
        }),
        // The same bytes, by another name: what a lock could use for its inputs.
        Contestant::new("BLAKE3, 1 thread", Role::Aside, move |_, _| {
            timed(bytes, || {
                let mut hasher = blake3::Hasher::new();
                read_all(&blake, |piece| {
                    hasher.update(piece);
                })?;
                ensure!(hasher.finalize().as_bytes() != &[0; 32], "a hash of zeros");
                Ok(())
            })
        }),
    ]
}

fn sha256_of(path: &Path) -> Result<[u8; 32]> {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    read_all(path, |piece| hasher.update(piece))?;
    Ok(hasher.finalize().into())
}

fn read_all(path: &Path, mut each: impl FnMut(&[u8])) -> Result<()> {
    let (mut file, mut chunk) = (File::open(path)?, vec![0; CHUNK_LEN]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        each(chunk.get(..read).unwrap_or_default());
    }
}

fn small_ones(image: &Image) -> Vec<Contestant> {
    let image = image.clone();
    vec![
        Contestant::new(name::VERIFY, Role::Ours, move |_, window: Window| {
            let reference = image.reference()?;
            callers::one(window, || verify_once(&reference))
        }),
        Contestant::new(name::FIVE_MS, Role::Floor, |_, _| {
            let (p50_us, p99_us) = (SMALL_MAX_US, SMALL_MAX_US);
            Ok(Sample { p50_us, p99_us, rate: 1e6 / SMALL_MAX_US, calls: 0 })
        }),
    ]
}

fn signatures() -> Result<Vec<Contestant>> {
    let place: Reference = "registry.example/agents/arm:1.0.0".parse()?;
    let now = Some(Timestamp::now());
    let envelope = signature::sign(&key(), &place.place, &Digest::sha256(b"image"), now)?;
    let plain = (envelope.payload.clone(), Signature::from_slice(&envelope.signature)?);
    let public: PublicKey = key().public().clone();
    let theirs = VerifyingKey::from_public_key_pem(&public.to_pem())
        .map_err(|error| anyhow!("the public key: {error}"))?;
    Ok(vec![
        Contestant::new(name::OPEN_SIGNATURE, Role::Ours, move |_, window: Window| {
            callers::one(window, || Ok(signature::open(&envelope, &public).map(drop)?))
        }),
        Contestant::new(name::DALEK, Role::Floor, move |_, window: Window| {
            callers::one(window, || Ok(theirs.verify_strict(&plain.0, &plain.1)?))
        }),
    ])
}

fn memory(image: &Image) -> Vec<Contestant> {
    let dir = image.dir.clone();
    let figure = |mib| Sample { p50_us: f64::NAN, p99_us: f64::NAN, rate: mib, calls: 1 };
    vec![
        Contestant::new(name::VERIFY, Role::Ours, move |_, _| {
            let mut command = Command::new(std::env::current_exe()?);
            let output = command.arg(MEASURE).arg(&dir).output()?;
            let error = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "measuring a verification: {}", error.trim());
            let kib: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
            Ok(figure(kib / 1024.0))
        }),
        Contestant::new(name::VERIFY_MEMORY_LIMIT, Role::Floor, move |_, _| {
            Ok(figure(MEMORY_MAX_MIB))
        }),
    ]
}

/// Verifies what is in `dir`, and prints the peak of this process in KiB.
pub(crate) fn measure(dir: &Path) -> Result<()> {
    verify_once(&format!("oci:{}:1.0.0", dir.display()).parse()?)?;
    println!("{}", status_kib("VmHWM:")?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::{Against, targets};

    #[test]
    fn every_target_of_the_supply_chain_names_contestants_that_run() {
        let data = std::env::temp_dir().join(format!("autonomy-bench-oci-{}", std::process::id()));
        std::fs::create_dir_all(&data).unwrap();
        let cases = cases(&data, 1 << 16);
        std::fs::remove_dir_all(&data).unwrap();
        let cases = cases.unwrap();
        for target in targets(BENCH) {
            let case = cases.iter().find(|it| it.name == target.case).unwrap();
            let runs = |name: &str| case.contestants.iter().any(|it| it.name == name);
            assert!(runs(target.ours), "{target:?}");
            assert!(!matches!(target.against, Against::Named(name) if !runs(name)), "{target:?}");
        }
        assert_eq!(targets(BENCH).count(), 5);
    }
}
