use std::{path::Path, sync::Arc};

use vfs::{FaultPlan, MemVfs, OsVfs};

use super::*;
use crate::{
    IMAGE_INDEX, IMAGE_MANIFEST, ImageManifest, Layout, MemoryRegistry, attach, pull_sidecar,
    push_artifact, registry,
};

fn image() -> Reference {
    "localhost:5000/agents/arm:1.0".parse().unwrap()
}

fn target() -> Reference {
    "oci:/images:2.0".parse().unwrap()
}

fn layout(vfs: &MemVfs) -> Layout {
    Layout::open_or_begin(Arc::new(vfs.clone()), Path::new("/images")).unwrap()
}

/// An image with both sidecars and a signature on each of the three.
fn full() -> MemoryRegistry {
    let registry = MemoryRegistry::default();
    let digest = push_artifact(&registry, &image(), &[b"low", b"high"]).unwrap().digest;
    let lock = attach(&registry, &image(), Sidecar::Lock, b"{}").unwrap().digest;
    let policy = attach(&registry, &image(), Sidecar::Policy, b"tar").unwrap().digest;
    for digest in [digest, lock, policy] {
        sign(&registry, &digest);
    }
    registry
}

fn sign(registry: &MemoryRegistry, digest: &Digest) {
    let payload = format!("payload for {digest}");
    let layer =
        Descriptor::of("application/vnd.dev.cosign.simplesigning.v1+json", payload.as_bytes());
    registry.store_content(&layer, &mut payload.as_bytes()).unwrap();
    let bytes = ImageManifest::artifact("", vec![layer]).to_bytes();
    let raw = RawManifest { media_type: IMAGE_MANIFEST.to_owned(), bytes };
    let tag = Tag::new(&format!("{}.sig", digest_tag(digest))).unwrap();
    registry.store_manifest(&Name::Tag(tag), &raw).unwrap();
}

fn copy(from: &dyn Registry, to: &dyn Registry) -> Result<Transferred, TransferError> {
    transfer((from, &image()), (to, &target()), &mut |_| {})
}

#[test]
fn everything_that_belongs_to_an_image_is_copied_x2() {
    let (from, vfs) = (full(), MemVfs::default());
    let to = layout(&vfs);
    let mut tags = Vec::new();
    let mut read = 0;
    let done = transfer((&from, &image()), (&to, &target()), &mut |it| match it {
        Progress::Tag(tag) => tags.push(tag.to_string()),
        Progress::Read { bytes } => read += bytes,
        _ => {}
    })
    .unwrap();
    assert_eq!((done.manifests, done.signatures, done.sidecars.len()), (6, 3, 2));
    assert_eq!(done.bytes, read);
    assert_eq!(tags.last().unwrap(), "2.0", "X1");
    assert_eq!(tags.len(), 6);
    assert_eq!(pull_sidecar(&to, &target(), Sidecar::Lock).unwrap(), b"{}");
    assert_eq!(pull_sidecar(&to, &target(), Sidecar::Policy).unwrap(), b"tar");
    // And back, into a place that has nothing, and then everything.
    let back = MemoryRegistry::default();
    transfer((&to, &target()), (&back, &image()), &mut |_| {}).unwrap();
    assert_eq!(back.held().manifests, from.held().manifests);
    assert_eq!(back.held().tags, from.held().tags);
    assert_eq!(back.held().contents, from.held().contents);
    assert_eq!(copy(&from, &to).unwrap().bytes, 0, "what is there is not read again");
}

#[test]
fn an_index_is_copied_with_its_images() {
    let from = MemoryRegistry::default();
    let children: Vec<_> =
        [&b"a"[..], b"b"].iter().map(|it| push_artifact(&from, &image(), &[it]).unwrap()).collect();
    let put = |children: &[Descriptor]| {
        let index = serde_json::json!({"schemaVersion": 2, "manifests": children});
        let bytes = serde_json::to_vec(&index).unwrap();
        let raw = RawManifest { media_type: IMAGE_INDEX.to_owned(), bytes };
        from.store_manifest(&Name::Tag(image().tag.unwrap()), &raw).unwrap();
        raw
    };
    put(&children);
    let vfs = MemVfs::default();
    assert_eq!(copy(&from, &layout(&vfs)).unwrap().manifests, 3);
    for it in &children {
        assert!(manifest(&layout(&vfs), &Name::Digest(it.digest)).unwrap().is_some());
    }
    let mut other = children.clone();
    other[1].media_type = IMAGE_INDEX.to_owned();
    put(&other);
    let error = copy(&from, &layout(&MemVfs::default())).unwrap_err();
    assert!(matches!(error, TransferError::Mismatch { .. }), "{error}");
    let mut nested = put(&children);
    for _ in 0..NESTING_MAX {
        nested = put(&[nested.descriptor()]);
    }
    let error = copy(&from, &layout(&MemVfs::default())).unwrap_err();
    assert!(matches!(error, TransferError::Endless { .. }), "{error}");
}

/// The image, with one of its files damaged or gone.
fn without(digest: &Digest, damaged: bool) -> MemoryRegistry {
    let registry = full();
    let mut held = registry.held();
    if let Some(bytes) = held.contents.get_mut(digest) {
        bytes.push(b' ');
    }
    if let Some(raw) = held.manifests.get_mut(digest) {
        raw.bytes.push(b',');
    }
    if !damaged {
        held.contents.remove(digest);
        held.manifests.remove(digest);
    }
    drop(held);
    registry
}

#[test]
fn what_is_damaged_or_missing_is_never_given_the_tag_x1() {
    let whole = full().held().clone();
    let digests = whole.contents.keys().chain(whole.manifests.keys());
    for (digest, damaged) in digests.flat_map(|it| [(it, true), (it, false)]) {
        let vfs = MemVfs::default();
        if let Ok(done) = copy(&without(digest, damaged), &layout(&vfs)) {
            // Without its manifest a tag names nothing: a sidecar or a signature that is not there.
            assert!(!damaged && done.manifests < 6);
            continue;
        }
        let found = layout(&vfs).fetch_manifest(&Name::Tag(target().tag.unwrap()));
        assert!(!matches!(found, Ok(Some(_))), "{digest}");
    }
}

fn is_whole(registry: &dyn Registry, raw: &RawManifest) -> bool {
    let Manifest::Image(image) = raw.parse().unwrap() else { panic!() };
    let has = |it: &Descriptor| registry::content(registry, it, 99).unwrap().is_some();
    image.layers.iter().all(has)
        && pull_sidecar(registry, &target(), Sidecar::Lock).unwrap() == b"{}"
}

#[test]
fn a_crash_at_any_step_leaves_a_whole_image_or_no_tag_x1() {
    let from = full();
    for step in 0.. {
        let vfs = MemVfs::default();
        vfs.set_plan(FaultPlan::crash_at(step));
        let done = copy(&from, &layout(&vfs)).is_ok() && vfs.steps() <= step;
        vfs.power_loss(vfs::CrashPolicy::Random(step));
        let to = layout(&vfs);
        let found = to.fetch_manifest(&Name::Tag(target().tag.unwrap()));
        if let Ok(Some(raw)) = &found {
            assert!(is_whole(&to, raw), "{step}");
        }
        assert_eq!(copy(&from, &to).unwrap().manifests, 6, "a second try goes through");
        if done {
            assert!(matches!(found, Ok(Some(_))));
            return;
        }
    }
}

#[test]
fn there_is_nothing_to_copy_where_there_is_no_image() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("x");
    let to = Layout::open_or_begin(Arc::new(OsVfs), &dir).unwrap();
    let error = copy(&MemoryRegistry::default(), &to).unwrap_err();
    assert!(matches!(error, TransferError::Missing { .. }));
    assert!(!dir.exists());
}
