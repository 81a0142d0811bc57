//! Verification against everything that can be done to what lies in a registry.

use std::{collections::BTreeSet, num::NonZeroUsize, time::Duration};

use super::*;
use crate::{
    AgentArtifact, Descriptor, Digest, ImageManifest, Inputs, LockContent, MemoryRegistry, Name,
    PolicyBundle, RawManifest, Reference, Registry, Sidecar, SigningKey, Tag, Wanted, gather,
    memory::Held,
    signature::{add, sign},
};

/// A bundle whose version stands in its text.
const BUNDLE: &[u8] = b"bundle of version 1.2.3";
const LAYER: &[u8] = b"what the agent is";

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn key(number: u8) -> SigningKey {
    SigningKey::generate([number; 32])
}

fn reference() -> Reference {
    "registry.example/agents/arm:1.0.0".parse().unwrap()
}

/// An image, its lock, its policy, all signed by key 1 an hour ago.
struct World {
    registry: MemoryRegistry,
    image: Digest,
    lock: Digest,
    policy: Digest,
}

/// What a lock says, unless a test changes it.
fn lock_content(image: Digest) -> LockContent {
    LockContent {
        name: "arm".to_owned(),
        version: "1.0.0".to_owned(),
        created_at: now(),
        release_counter: 7,
        agent_artifact: AgentArtifact { reference: reference(), digest: image },
        policy_bundle: PolicyBundle {
            reference: "registry.example/agents/arm:1.0.0-policy".parse().unwrap(),
            digest: Digest::sha256(BUNDLE),
            version: "1.2.9".parse().unwrap(),
        },
        inputs: Inputs {
            prompt_hash: Digest::blake3(b"prompt"),
            tool_inputs_hash: Digest::sha256(b"tools"),
        },
        tools: Vec::new(),
    }
}

impl World {
    fn new() -> Self {
        Self::with_lock(|_| ())
    }

    fn with_lock(change: impl FnOnce(&mut LockContent)) -> Self {
        let registry = MemoryRegistry::default();
        let image = put_image(&registry, "1.0.0", LAYER);
        let mut content = lock_content(image);
        change(&mut content);
        let lock =
            put_sidecar(&registry, Sidecar::Lock, &Lock::create(&content).unwrap().to_bytes());
        let policy = put_sidecar(&registry, Sidecar::Policy, BUNDLE);
        let world = Self { registry, image, lock, policy };
        world.sign_all(1, Some(now() - Duration::from_hours(1)));
        world
    }

    fn sign_all(&self, number: u8, at: Option<Timestamp>) {
        for digest in [self.image, self.lock, self.policy] {
            self.sign(number, &digest, at);
        }
    }

    /// Puts a signature beside those that are there.
    fn sign(&self, number: u8, digest: &Digest, at: Option<Timestamp>) {
        put_signature(&self.registry, &key(number), digest, digest, at);
    }

    fn verify_by(&self, trust: &Trust, wanted: Wanted) -> Verification {
        let material = gather(&self.registry, &reference(), wanted).unwrap();
        verify(material, trust, &version_of)
    }

    fn code_by(&self, trust: &Trust) -> Option<&'static str> {
        self.verify_by(trust, ALL).result.err().map(|it| it.code())
    }

    /// The code of a verification that asks for everything, by key 1.
    fn code(&self) -> Option<&'static str> {
        self.code_by(&trust(&[1]))
    }
}

const ALL: Wanted = Wanted { lock: true, policy: true, contents: true };

fn version_of(bundle: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bundle).map_err(|it| it.to_string())?;
    text.strip_prefix("bundle of version ").map(str::to_owned).ok_or_else(|| "no bundle".to_owned())
}

fn trust(keys: &[u8]) -> Trust {
    Trust {
        keys: keys.iter().map(|it| key(*it).public().clone()).collect(),
        threshold: NonZeroUsize::MIN,
        max_age: Some(MAX_AGE),
        now: now(),
    }
}

fn of_threshold(keys: &[u8], threshold: usize) -> Trust {
    Trust { threshold: NonZeroUsize::new(threshold).unwrap(), ..trust(keys) }
}

fn put(registry: &MemoryRegistry, content: &[u8], media_type: &str) -> Descriptor {
    let descriptor = Descriptor::of(media_type, content);
    registry.store_content(&descriptor, &mut &*content).unwrap();
    descriptor
}

fn put_manifest(registry: &MemoryRegistry, tag: &Tag, manifest: &ImageManifest) -> Digest {
    put(registry, crate::EMPTY_CONTENT, crate::EMPTY);
    let raw =
        RawManifest { media_type: crate::IMAGE_MANIFEST.to_owned(), bytes: manifest.to_bytes() };
    registry.store_manifest(&Name::Tag(tag.clone()), &raw).unwrap();
    raw.digest()
}

fn put_image(registry: &MemoryRegistry, tag: &str, layer: &[u8]) -> Digest {
    let layer = put(registry, layer, "application/octet-stream");
    let manifest = ImageManifest::artifact("application/vnd.example.agent", vec![layer]);
    put_manifest(registry, &Tag::new(tag).unwrap(), &manifest)
}

fn put_sidecar(registry: &MemoryRegistry, sidecar: Sidecar, bytes: &[u8]) -> Digest {
    put(registry, bytes, sidecar.media_type());
    let image = registry.fetch_manifest(&Name::Tag(reference().tag.unwrap())).unwrap().unwrap();
    let tag = sidecar.tag(&reference(), &image.digest()).unwrap();
    put_manifest(registry, &tag, &sidecar.wrap(bytes, image.descriptor()))
}

/// Puts a signature about `about` to where the signatures of `place` are.
fn put_signature(
    registry: &MemoryRegistry,
    key: &SigningKey,
    about: &Digest,
    place: &Digest,
    at: Option<Timestamp>,
) {
    let envelope = sign(key, &reference().place, about, at).unwrap();
    put(registry, &envelope.payload, crate::signature::SIMPLE_SIGNING);
    let tag = signature_tag(place);
    let before = registry.fetch_manifest(&Name::Tag(tag.clone())).unwrap();
    let before = before.map(|it| match it.parse().unwrap() {
        crate::Manifest::Image(it) => it,
        crate::Manifest::Index(_) => panic!("an index of signatures"),
    });
    let added = add(before.as_deref(), &envelope, key.public()).unwrap();
    put(registry, &added.config, crate::signature::IMAGE_CONFIG);
    put_manifest(registry, &tag, &added.manifest);
}

fn signature_tag(digest: &Digest) -> Tag {
    crate::signature::signature_tag(digest).unwrap()
}

#[test]
fn what_is_whole_and_signed_is_verified_and_gives_out_its_lock_and_bundle() {
    let world = World::new();
    let Verification { report, result } = world.verify_by(&trust(&[1]), ALL);
    let verified = result.unwrap().unwrap();
    assert_eq!(verified.get().content().release_counter, 7);
    assert_eq!(verified.bundle(), Some(BUNDLE));
    assert_eq!((report.result, report.code), (Outcome::Verified, None));
    assert!(report.steps.iter().all(|it| it.state == StepState::Passed), "{:?}", report.steps);
    assert_eq!(report.digest, Some(world.image));
    assert_eq!(report.signatures.len(), 3);
    assert_eq!(report.freshness.oldest_signed_at, Some(now() - Duration::from_hours(1)));
    let names: Vec<_> = report.inputs.iter().map(|it| it.name.as_str()).collect();
    let all = [
        "image manifest",
        "image content",
        "image content",
        "lock manifest",
        "lock",
        "policy manifest",
        "policy",
    ];
    assert_eq!(names, all);
}

#[test]
fn the_wrapper_of_a_report_is_read_again() {
    let report = World::new().verify_by(&trust(&[1]), ALL).report;
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

/// Y4.
#[test]
fn what_nobody_asked_for_is_not_established() {
    let world = World::new();
    let wanted = Wanted { lock: false, policy: false, contents: false };
    let Verification { report, result } = world.verify_by(&trust(&[1]), wanted);
    assert!(result.unwrap().is_none(), "no lock is verified that nobody asked for");
    let states: Vec<_> = report.steps.iter().map(|it| it.state).collect();
    let (passed, not) = (StepState::Passed, StepState::NotRequired);
    assert_eq!(states, [passed, passed, not, not]);
    let said = report.not_established.join("\n");
    for word in ["contents of the image", "lock: not required", "policy bundle: not required"] {
        assert!(said.contains(word), "{said}");
    }
}

/// Drill 4: one nibble of the digest of the agent, attached again without a signature.
#[test]
fn a_lock_that_was_changed_and_attached_again_fails_at_its_signature_and_its_digest() {
    let world = World::new();
    let bytes = Lock::create(&lock_content(world.image)).unwrap().to_bytes();
    let text = String::from_utf8(bytes).unwrap();
    let digest = world.image.hex();
    let first = digest.chars().next().unwrap();
    let other = if first == '0' { '1' } else { '0' };
    let tampered =
        text.replace(&digest, &format!("{other}{}", digest.strip_prefix(first).unwrap()));
    put_sidecar(&world.registry, Sidecar::Lock, tampered.as_bytes());
    let Verification { report, result } = world.verify_by(&trust(&[1]), ALL);
    assert_eq!(result.err().map(|it| it.code()), Some("ErrUnsigned"));
    let codes: Vec<_> = report.steps.iter().map(|it| it.code.as_deref()).collect();
    let all =
        [Some("ErrUnsigned"), Some("ErrDigestMismatch"), Some("ErrFingerprintMismatch"), None];
    assert_eq!(codes, all, "every step says what it has found");
}

/// Each step by itself: everything is signed again after the change.
#[test]
fn each_tampering_is_caught_by_its_own_step() {
    let check = |world: World, want: &str, step: usize| {
        let Verification { report, result } = world.verify_by(&trust(&[1]), ALL);
        assert_eq!(result.err().map(|it| it.code()), Some(want));
        let failed: Vec<_> = report
            .steps
            .iter()
            .filter(|it| it.state == StepState::Failed)
            .map(|it| it.number)
            .collect();
        assert_eq!(failed, [u8::try_from(step).unwrap()], "{:?}", report.steps);
    };
    let world = World::new();
    world.registry.held().tags.remove(signature_tag(&world.image).as_str());
    check(world, "ErrUnsigned", 1);
    check(
        World::with_lock(|it| it.agent_artifact.digest = Digest::sha256(b"")),
        "ErrDigestMismatch",
        2,
    );
    check(
        World::with_lock(|it| it.policy_bundle.digest = Digest::sha256(b"")),
        "ErrDigestMismatch",
        2,
    );
    let world = World::new();
    let bytes = Lock::create(&lock_content(world.image)).unwrap().to_bytes();
    let text = String::from_utf8(bytes).unwrap().replace("\"arm\"", "\"leg\"");
    let lock = put_sidecar(&world.registry, Sidecar::Lock, text.as_bytes());
    world.sign(1, &lock, Some(now()));
    check(world, "ErrFingerprintMismatch", 3);
    check(
        World::with_lock(|it| it.policy_bundle.version = "1.3.0".parse().unwrap()),
        "ErrVersionMismatch",
        4,
    );
    let other_tag = |it: &mut LockContent| {
        it.policy_bundle.reference = "registry.example/policies/arm:2.0.0".parse().unwrap();
    };
    check(World::with_lock(other_tag), "ErrVersionMismatch", 4);
}

/// Y2.
#[test]
fn what_is_not_there_is_never_a_pass() {
    let missing = |tag: &str| {
        let world = World::new();
        world.registry.held().tags.remove(tag).unwrap();
        world.code()
    };
    assert_eq!(missing("1.0.0"), Some("ErrNothingToVerify"));
    assert_eq!(missing("1.0.0-lock"), Some("ErrNothingToVerify"));
    assert_eq!(missing("1.0.0-policy"), Some("ErrNothingToVerify"));
    let world = World::new();
    assert_eq!(world.code_by(&trust(&[])), Some("ErrBadSignature"), "no key vouches for nothing");
    let world = World::new();
    world.registry.held().contents.clear();
    assert_eq!(world.code(), Some("ErrBadSignature"), "payloads of signatures are contents, too");
    let world = World::new();
    let layer = Digest::sha256(LAYER);
    world.registry.held().contents.remove(&layer);
    assert_eq!(world.code(), Some("ErrDigestMismatch"));
    // An index of nothing, well signed.
    let world = World::new();
    let bytes = br#"{"schemaVersion":2,"manifests":[]}"#.to_vec();
    let raw = RawManifest { media_type: crate::IMAGE_INDEX.to_owned(), bytes };
    world.registry.store_manifest(&Name::Tag(Tag::new("1.0.0").unwrap()), &raw).unwrap();
    world.sign(1, &raw.digest(), Some(now()));
    let wanted = Wanted { lock: false, policy: false, contents: true };
    let code = world.verify_by(&trust(&[1]), wanted).result.err().map(|it| it.code());
    assert_eq!(code, Some("ErrNothingToVerify"));
}

/// Y3.
#[test]
fn a_threshold_counts_each_key_once() {
    let world = World::new();
    assert_eq!(world.code_by(&of_threshold(&[1, 2], 2)), Some("ErrBadSignature"), "one of two");
    assert_eq!(world.code_by(&of_threshold(&[1, 1], 2)), Some("ErrBadSignature"), "named twice");
    world.sign_all(1, Some(now()));
    world.sign_all(1, Some(now() - Duration::from_mins(1)));
    assert_eq!(world.code_by(&of_threshold(&[1, 2], 2)), Some("ErrBadSignature"), "signed often");
    world.sign_all(2, Some(now()));
    assert_eq!(world.code_by(&of_threshold(&[1, 2], 2)), None);
    assert_eq!(world.code_by(&of_threshold(&[1, 2, 3], 3)), Some("ErrBadSignature"));
    assert_eq!(world.code_by(&of_threshold(&[3], 1)), Some("ErrBadSignature"), "the wrong key");
}

/// The freeze attack, and Y5.
#[test]
fn a_signature_ages_and_nobody_makes_it_younger() {
    let signed = |at: Option<Timestamp>| {
        let world = World::new();
        for digest in [world.image, world.lock, world.policy] {
            world.registry.held().tags.remove(signature_tag(&digest).as_str());
        }
        world.sign_all(1, at);
        world
    };
    let ago = |seconds| Some(now() - Duration::from_secs(seconds));
    let year = MAX_AGE.as_secs();
    assert_eq!(signed(ago(year)).code(), None);
    assert_eq!(signed(ago(year + 1)).code(), Some("ErrSignatureExpired"));
    assert_eq!(signed(None).code(), Some("ErrSignatureExpired"), "unknown is not fresh");
    let lead = CLOCK_LEAD_MAX.as_secs();
    assert_eq!(signed(Some(now() + Duration::from_secs(lead))).code(), None);
    let future = signed(Some(now() + Duration::from_secs(lead + 1)));
    assert_eq!(future.code(), Some("ErrSignatureExpired"), "a clock that runs ahead");
    let timeless = Trust { max_age: None, ..trust(&[1]) };
    for world in [signed(None), signed(ago(2 * year)), future] {
        let Verification { report, result } = world.verify_by(&timeless, ALL);
        assert!(result.is_ok());
        assert!(report.not_established.iter().any(|it| it.starts_with("freshness")));
    }
    // The old and a new signature of one key: the new one counts, one from the future does not hide it.
    let world = signed(ago(year + 1));
    world.sign_all(1, Some(now() + Duration::from_secs(2 * lead)));
    assert_eq!(world.code(), Some("ErrSignatureExpired"));
    world.sign_all(1, ago(10));
    assert_eq!(world.code(), None);
    // The note at the layer, which nobody has signed, is worth nothing.
    let world = signed(None);
    let tag = signature_tag(&world.image);
    let raw = world.registry.fetch_manifest(&Name::Tag(tag.clone())).unwrap().unwrap();
    let Ok(crate::Manifest::Image(mut manifest)) = raw.parse() else { panic!("no image") };
    manifest.layers[0].annotations.insert("autonomy.signed-at".to_owned(), now().to_string());
    put_manifest(&world.registry, &tag, &manifest);
    assert_eq!(world.code(), Some("ErrSignatureExpired"));
}

#[test]
fn a_good_signature_about_something_else_is_none() {
    let world = World::new();
    let tag = signature_tag(&world.image);
    world.registry.held().tags.remove(tag.as_str());
    put_signature(&world.registry, &key(1), &world.lock, &world.image, Some(now()));
    assert_eq!(world.code(), Some("ErrBadSignature"));
    world.sign(1, &world.image, Some(now()));
    assert_eq!(world.code(), None, "others beside it do no harm");
}

/// Mix-and-match: each part is well signed, but of another release.
#[test]
fn parts_of_two_releases_do_not_make_one() {
    let world = World::new();
    let image = put_image(&world.registry, "1.0.0", b"another agent");
    world.sign(1, &image, Some(now()));
    let tag = Sidecar::Lock.tag(&reference(), &image).unwrap();
    assert!(world.registry.held().tags.contains_key(tag.as_str()), "the lock of the other release");
    assert_eq!(world.code(), Some("ErrDigestMismatch"));
    let world = World::new();
    let policy = put_sidecar(&world.registry, Sidecar::Policy, b"bundle of version 1.2.4");
    world.sign(1, &policy, Some(now()));
    assert_eq!(world.code(), Some("ErrDigestMismatch"));
    // A policy in the place of a lock.
    let world = World::new();
    let policy = world.policy;
    world.registry.held().tags.insert("1.0.0-lock".to_owned(), policy);
    assert_eq!(world.code(), Some("ErrUnsupported"));
}

/// Without a lock nothing but its subject ties a policy to an image.
#[test]
fn a_policy_of_another_image_is_none_of_this_one() {
    let wanted = Wanted { lock: false, policy: true, contents: false };
    let world = World::new();
    let code =
        |world: &World| world.verify_by(&trust(&[1]), wanted).result.err().map(|it| it.code());
    assert_eq!(code(&world), None);
    let image = put_image(&world.registry, "1.0.0", b"another agent");
    world.sign(1, &image, Some(now()));
    assert_eq!(code(&world), Some("ErrDigestMismatch"), "it is signed, and about the other image");
    let layer = Descriptor::of(Sidecar::Policy.media_type(), BUNDLE);
    let bare = ImageManifest::artifact(Sidecar::Policy.media_type(), vec![layer]);
    let policy = put_manifest(&world.registry, &Tag::new("1.0.0-policy").unwrap(), &bare);
    world.sign(1, &policy, Some(now()));
    assert_eq!(code(&world), Some("ErrUnsupported"), "it says nothing about any image");
}

#[test]
fn of_two_locks_without_a_tag_none_is_chosen() {
    let world = World::new();
    let held = world.registry.held().clone();
    let registry = MemoryRegistry::with_referrers();
    *registry.held() = held;
    registry.held().tags.remove("1.0.0-lock");
    let world = World { registry, ..world };
    assert_eq!(world.code(), None, "one that refers to the image is the one");
    let other =
        Lock::create(&LockContent { release_counter: 8, ..lock_content(world.image) }).unwrap();
    let lock = put_sidecar(&world.registry, Sidecar::Lock, &other.to_bytes());
    world.sign(1, &lock, Some(now()));
    assert_eq!(world.code(), None, "a tag decides");
    world.registry.held().tags.remove("1.0.0-lock");
    assert_eq!(world.code(), Some("ErrUnsupported"));
}

/// Every byte of everything that lies in the registry, changed once: never verified. The one exception is a manifest
/// of signatures, which nobody vouches for: a byte of it that says nothing may change, and then nothing else changes.
#[test]
fn no_byte_of_any_input_can_be_changed() {
    let world = World::new();
    let whole = world.registry.held().clone();
    let report = world.verify_by(&trust(&[1]), ALL).report;
    let (mut codes, mut changed) = (BTreeSet::new(), 0);
    let mut check = |change: &dyn Fn(&mut Held), container: bool, what: &str| {
        let mut held = whole.clone();
        change(&mut held);
        *world.registry.held() = held;
        let now = world.verify_by(&trust(&[1]), ALL);
        let same = container && now.report == report;
        assert!(same || now.result.is_err(), "{what} was changed, and it was verified");
        codes.extend(now.result.err().map(|it| it.code()));
        changed += 1;
    };
    for digest in &reached(&whole) {
        for at in 0..whole.contents.get(digest).map_or(0, Vec::len) {
            let change = |held: &mut Held| held.contents.get_mut(digest).unwrap()[at] ^= 0x01;
            check(&change, false, &format!("byte {at} of content {digest}"));
        }
        let Some(manifest) = whole.manifests.get(digest) else { continue };
        let container =
            whole.tags.iter().any(|it| it.1 == digest && it.0.strip_suffix(".sig").is_some());
        for at in 0..manifest.bytes.len() {
            let change =
                |held: &mut Held| held.manifests.get_mut(digest).unwrap().bytes[at] ^= 0x01;
            check(&change, container, &format!("byte {at} of manifest {digest}"));
        }
    }
    assert!(changed > 4000, "{changed} bytes");
    let expected = ["ErrBadSignature", "ErrDigestMismatch", "ErrUnsigned", "ErrUnsupported"];
    assert_eq!(codes, expected.into(), "which names are possible");
}

/// Everything that a verification needs.
fn reached(held: &Held) -> BTreeSet<Digest> {
    let mut res = BTreeSet::new();
    for digest in held.tags.values() {
        res.insert(*digest);
        let Ok(crate::Manifest::Image(it)) = held.manifests[digest].parse() else { continue };
        res.extend(it.layers.iter().map(|it| it.digest));
        // The config of signatures and sidecars says nothing that anybody reads.
        if it.artifact_type.as_deref() == Some("application/vnd.example.agent") {
            res.insert(it.config.digest);
        }
    }
    res
}

#[test]
fn every_error_has_one_of_the_ten_codes() {
    let codes: BTreeSet<_> = VerifyError::CODES.into();
    assert_eq!(codes.len(), 10);
    for code in codes {
        assert!(code.starts_with("Err"), "{code}");
    }
}
