use std::os::unix::net::UnixListener;

use proptest::prelude::*;
use vfs::{CrashPolicy, Fault, FaultPlan, MemVfs, OsVfs};

use super::*;
use crate::{IMAGE_INDEX, IMAGE_MANIFEST, ImageManifest, registry};

const DIR: &str = "/images";

fn tag(text: &str) -> Name {
    Name::Tag(Tag::new(text).unwrap())
}

fn begin(vfs: &MemVfs) -> Layout {
    Layout::open_or_begin(Arc::new(vfs.clone()), Path::new(DIR)).unwrap()
}

fn layer(content: &[u8]) -> Descriptor {
    Descriptor::of("application/octet-stream", content)
}

fn image(content: &[u8]) -> RawManifest {
    let bytes = ImageManifest::artifact("text/plain", vec![layer(content)]).to_bytes();
    RawManifest { media_type: IMAGE_MANIFEST.to_owned(), bytes }
}

/// Stores an image as everybody does: content, then the manifest with its tag.
fn push(layout: &Layout, name: &str, content: &[u8]) -> Result<(), RegistryError> {
    layout.store_content(&layer(content), &mut &*content)?;
    layout.store_manifest(&tag(name), &image(content))
}

fn write(vfs: &dyn Vfs, path: &str, bytes: &[u8]) {
    let path = Path::new(path);
    vfs.create_dir_all(path.parent().unwrap()).unwrap();
    replace(vfs, path, bytes).unwrap();
}

#[test]
fn what_is_stored_is_read_again() {
    let vfs = MemVfs::default();
    let layout = begin(&vfs);
    push(&layout, "1.0", b"one").unwrap();
    push(&layout, "1.0-lock", b"two").unwrap();
    push(&layout, "1.0", b"three").unwrap();
    let layout = Layout::open(Arc::new(vfs), Path::new(DIR)).unwrap();
    let found = layout.fetch_manifest(&tag("1.0")).unwrap().unwrap();
    assert_eq!(found, image(b"three"));
    assert_eq!(registry::content(&layout, &layer(b"three"), 99).unwrap().unwrap(), b"three");
    // The old image has no tag any more and is there all the same.
    let old = Name::Digest(image(b"one").digest());
    assert_eq!(registry::manifest(&layout, &old).unwrap(), Some(image(b"one")));
    let tags = layout.tags().unwrap();
    let names: Vec<_> = tags.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(names, ["1.0-lock", "1.0"]);
    assert_eq!(layout.fetch_manifest(&tag("2.0")).unwrap(), None);
    assert!(layout.open_content(&layer(b"none")).unwrap().is_none());
    assert_eq!(layout.referrers(&found.digest()).unwrap(), Referrers::NotOffered);
}

#[test]
fn reading_creates_nothing_y1() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("none");
    let error = Layout::open(Arc::new(OsVfs), &dir).unwrap_err();
    assert!(matches!(error, RegistryError::NoLayout { .. }));
    assert!(error.to_string().contains(dir.to_str().unwrap()), "{error}");
    let begun = Layout::open_or_begin(Arc::new(OsVfs), &dir).unwrap();
    let error = begun.fetch_manifest(&tag("x")).unwrap_err();
    assert!(matches!(error, RegistryError::NoLayout { .. }), "not there is not `none`: Q1");
    assert!(begun.open_content(&layer(b"x")).is_err());
    assert!(!dir.exists());
    // A directory without `oci-layout` is no layout, and no index makes it one.
    let vfs = MemVfs::default();
    write(&vfs, "/images/index.json", br#"{"schemaVersion":2,"manifests":[]}"#);
    assert!(Layout::open(Arc::new(vfs), Path::new(DIR)).is_err());
}

#[test]
fn another_version_is_refused_by_its_name() {
    let vfs = MemVfs::default();
    write(&vfs, "/images/oci-layout", br#"{"imageLayoutVersion":"2.0.0"}"#);
    for open in [Layout::open, Layout::open_or_begin] {
        let error = open(Arc::new(vfs.clone()), Path::new(DIR)).unwrap_err();
        assert!(
            matches!(error, RegistryError::LayoutVersion { ref found, .. } if found == "2.0.0")
        );
    }
}

#[test]
fn a_tag_of_two_manifests_is_refused_and_can_be_given_again() {
    let vfs = MemVfs::default();
    let layout = begin(&vfs);
    push(&layout, "a", b"one").unwrap();
    push(&layout, "b", b"two").unwrap();
    let index = read_whole(&vfs, &layout.index_path(), 1 << 20).unwrap().unwrap();
    let index = String::from_utf8(index).unwrap().replace(r#"name":"b""#, r#"name":"a""#);
    write(&vfs, "/images/index.json", index.as_bytes());
    let error = layout.fetch_manifest(&tag("a")).unwrap_err();
    assert!(matches!(error, RegistryError::Ambiguous { count: 2, .. }), "{error}");
    assert_eq!(layout.tags().unwrap().len(), 2);
    layout.store_manifest(&tag("a"), &image(b"two")).unwrap();
    assert_eq!(layout.fetch_manifest(&tag("a")).unwrap(), Some(image(b"two")));
}

#[test]
fn what_means_nothing_here_stays_in_the_index_y5() {
    let vfs = MemVfs::default();
    let index = br#"{"schemaVersion":2,"x-note":{"a":[1]},"manifests":[{"mediaType":"text/x","digest":"sha512:00",
        "size":1,"platform":{"os":"linux"},"annotations":{"org.opencontainers.image.ref.name":"not a tag"}}]}"#;
    write(&vfs, "/images/oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    write(&vfs, "/images/index.json", index);
    let layout = begin(&vfs);
    push(&layout, "a", b"one").unwrap();
    let bytes = read_whole(&vfs, &layout.index_path(), 1 << 20).unwrap().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let before: serde_json::Value = serde_json::from_slice(index).unwrap();
    assert_eq!(found["x-note"], before["x-note"]);
    assert_eq!(found["manifests"][0], before["manifests"][0]);
    assert_eq!(layout.tags().unwrap().len(), 1);
}

#[test]
fn a_damaged_index_is_an_error_and_not_an_empty_one() {
    let many = "{\"mediaType\":\"a\",\"digest\":\"b\",\"size\":0},".repeat(LAYOUT_ENTRIES_MAX);
    let many = format!(
        r#"{{"schemaVersion":2,"manifests":[{many}{{"mediaType":"a","digest":"b","size":0}}]}}"#
    );
    let long = " ".repeat(usize::try_from(LAYOUT_INDEX_LEN_MAX).unwrap() + 1);
    let twice = r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#;
    for text in ["", "{}", "[]", r#"{"schemaVersion":1,"manifests":[]}"#, twice, &many, &long] {
        let vfs = MemVfs::default();
        write(&vfs, "/images/oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        write(&vfs, "/images/index.json", text.as_bytes());
        let layout = begin(&vfs);
        assert!(layout.fetch_manifest(&tag("a")).is_err(), "{}", text.len());
        assert!(push(&layout, "a", b"one").is_err());
        let kept = read_whole(&vfs, &layout.index_path(), 1 << 24).unwrap().unwrap();
        assert_eq!(kept, text.as_bytes(), "nothing is written over what is not understood");
    }
    let vfs = MemVfs::default();
    write(&vfs, "/images/oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    assert!(begin(&vfs).fetch_manifest(&tag("a")).is_err());
}

#[test]
fn content_of_another_digest_is_not_stored_and_a_damaged_one_is_replaced() {
    let vfs = MemVfs::default();
    let layout = begin(&vfs);
    for bad in [&b"onf"[..], b"on", b"onee"] {
        let error = layout.store_content(&layer(b"one"), &mut &*bad).unwrap_err();
        assert!(matches!(error, RegistryError::Content { .. }), "{error}");
        assert!(layout.open_content(&layer(b"one")).unwrap().is_none());
    }
    let error = layout.store_content(&layer(b"one"), &mut io::repeat(b'o')).unwrap_err();
    assert!(matches!(error, RegistryError::Content { .. }));
    let path = layout.blob_path(&layer(b"one").digest);
    write(&vfs, path.to_str().unwrap(), b"eno");
    assert!(registry::content(&layout, &layer(b"one"), 9).is_err());
    layout.store_content(&layer(b"one"), &mut &b"one"[..]).unwrap();
    assert_eq!(registry::content(&layout, &layer(b"one"), 9).unwrap().unwrap(), b"one");
    // A manifest that is no longer what the index says is an error, by tag and by digest.
    push(&layout, "a", b"one").unwrap();
    let digest = image(b"one").digest();
    write(&vfs, layout.blob_path(&digest).to_str().unwrap(), &image(b"two").bytes);
    assert!(matches!(layout.fetch_manifest(&tag("a")), Err(RegistryError::Content { .. })));
    assert!(layout.fetch_manifest(&Name::Digest(digest)).is_err());
    vfs.remove(&layout.blob_path(&digest)).unwrap();
    assert!(layout.fetch_manifest(&tag("a")).is_err(), "the index names it: that is not `none`");
    assert_eq!(layout.fetch_manifest(&Name::Digest(digest)).unwrap(), None);
}

#[test]
fn a_manifest_that_no_index_describes_says_what_it_is() {
    let vfs = MemVfs::default();
    let layout = begin(&vfs);
    let index = br#"{"schemaVersion":2,"manifests":[]}"#;
    for (bytes, media_type) in [
        (&image(b"x").bytes[..], IMAGE_MANIFEST),
        (index, IMAGE_INDEX),
        (br#"{"schemaVersion":2,"config":{},"layers":[]}"#, IMAGE_MANIFEST),
    ] {
        let raw = RawManifest { media_type: media_type.to_owned(), bytes: bytes.to_vec() };
        let name = Name::Digest(raw.digest());
        layout.store_manifest(&name, &raw).unwrap();
        assert_eq!(layout.fetch_manifest(&name).unwrap(), Some(raw));
    }
    layout.store_content(&layer(b"no json"), &mut &b"no json"[..]).unwrap();
    let name = Name::Digest(layer(b"no json").digest);
    assert!(matches!(layout.fetch_manifest(&name), Err(RegistryError::Malformed { .. })));
    let wrong = Name::Digest(layer(b"other").digest);
    assert!(layout.store_manifest(&wrong, &image(b"x")).is_err());
}

#[test]
fn a_second_writer_waits_and_then_says_who_holds_the_layout_y3() {
    let vfs = MemVfs::default();
    let mut layout = begin(&vfs);
    push(&layout, "a", b"one").unwrap();
    let held = vfs.lock(Path::new("/images/.lock"), "somebody else").unwrap();
    layout.attempts = 1;
    let error = push(&layout, "a", b"two").unwrap_err();
    assert!(matches!(error, RegistryError::Busy { ref holder, .. } if holder == "somebody else"));
    assert_eq!(layout.fetch_manifest(&tag("a")).unwrap(), Some(image(b"one")), "readers go on");
    layout.attempts = LOCK_ATTEMPTS;
    thread::scope(|scope| {
        let second = scope.spawn(|| push(&layout, "a", b"two"));
        drop(held);
        second.join().unwrap().unwrap();
    });
}

#[test]
fn writers_beside_each_other_lose_no_tag_y3() {
    let temp = tempfile::tempdir().unwrap();
    let names: Vec<_> = (0..8).map(|it| format!("t{it}")).collect();
    thread::scope(|scope| {
        for name in &names {
            let layout = Layout::open_or_begin(Arc::new(OsVfs), temp.path()).unwrap();
            scope.spawn(move || push(&layout, name, name.as_bytes()).unwrap());
        }
    });
    let layout = Layout::open(Arc::new(OsVfs), temp.path()).unwrap();
    let mut found: Vec<_> = layout.tags().unwrap().iter().map(|it| it.0.to_string()).collect();
    found.sort();
    assert_eq!(found, names);
}

#[test]
fn what_stands_in_the_place_of_a_blob_does_not_hang() {
    let temp = tempfile::tempdir().unwrap();
    let layout = Layout::open_or_begin(Arc::new(OsVfs), temp.path()).unwrap();
    push(&layout, "a", b"one").unwrap();
    let path = layout.blob_path(&layer(b"one").digest);
    let check = |what: &str| {
        assert!(registry::content(&layout, &layer(b"one"), 9).is_err(), "{what}");
    };
    let fresh = || std::fs::remove_file(&path).unwrap();
    fresh();
    let status = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(status.success());
    check("a pipe");
    fresh();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    check("a link to a device without end");
    fresh();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    check("a link to itself");
    fresh();
    drop(UnixListener::bind(temp.path().join("s")).unwrap());
    std::os::unix::fs::symlink(temp.path().join("s"), &path).unwrap();
    check("a socket");
    fresh();
    std::fs::create_dir(&path).unwrap();
    check("a directory");
}

/// Everything that a reader may find after a crash between two states (Y2).
fn after_the_crash(vfs: &MemVfs, old: Option<&[u8]>, new: &[u8]) {
    let place = Path::new(DIR);
    let layout = match Layout::open(Arc::new(vfs.clone()), place) {
        Ok(layout) => layout,
        // Before the first content was stored there was no layout, and there may be none now.
        Err(RegistryError::NoLayout { .. }) if old.is_none() => begin(vfs),
        Err(error) => panic!("{error}"),
    };
    if layout.marker().unwrap() {
        match layout.fetch_manifest(&tag("a")).unwrap() {
            None => assert!(old.is_none()),
            Some(found) => {
                let content = [Some(new), old].into_iter().flatten().find(|it| image(it) == found);
                let content = content.expect("one of the two");
                let kept = registry::content(&layout, &layer(content), 1 << 20).unwrap().unwrap();
                assert_eq!(kept, content, "what has a tag is there whole");
            }
        }
    }
    push(&layout, "a", new).unwrap();
    assert_eq!(layout.fetch_manifest(&tag("a")).unwrap(), Some(image(new)));
}

/// Loses power at each step of `push`, and keeps of what was not synced what `policy` says.
fn crash_everywhere(old: Option<&[u8]>, new: &[u8], policy: CrashPolicy) -> u64 {
    let mut step = 0;
    loop {
        let vfs = MemVfs::default();
        if let Some(old) = old {
            push(&begin(&vfs), "a", old).unwrap();
        }
        vfs.set_plan(FaultPlan::crash_at(step));
        let done = push(&begin(&vfs), "a", new).is_ok() && vfs.steps() <= step;
        vfs.power_loss(policy);
        if done {
            let layout = Layout::open(Arc::new(vfs), Path::new(DIR)).unwrap();
            let found = layout.fetch_manifest(&tag("a")).unwrap();
            assert_eq!(found, Some(image(new)), "what was acknowledged is durable");
            return step;
        }
        after_the_crash(&vfs, old, new);
        step += 1;
    }
}

#[test]
fn a_crash_at_any_step_leaves_the_old_tag_or_the_new_one_y2() {
    let mut crashes = 0;
    for old in [None, Some(&b"old"[..])] {
        crashes += crash_everywhere(old, b"new", CrashPolicy::LoseAll);
        crashes += crash_everywhere(old, b"new", CrashPolicy::KeepAll);
        for seed in 0..40 {
            crashes += crash_everywhere(old, b"new", CrashPolicy::Random(seed));
        }
    }
    assert!(crashes > 1000, "{crashes}");
}

#[test]
fn a_failure_at_any_step_is_reported_and_leaves_what_was_there() {
    for fault in [Fault::Eio, Fault::Enospc, Fault::ReadOnly] {
        for step in 0.. {
            let vfs = MemVfs::default();
            push(&begin(&vfs), "a", b"old").unwrap();
            vfs.set_plan(FaultPlan::new(move |now, _| (now == step).then_some(fault)));
            let result = push(&begin(&vfs), "a", b"new");
            let reached = vfs.steps() > step;
            vfs.set_plan(FaultPlan::none());
            if !reached {
                result.unwrap();
                break;
            }
            let found = begin(&vfs).fetch_manifest(&tag("a")).unwrap().unwrap();
            assert!(found == image(b"old") || found == image(b"new"));
            if result.is_ok() {
                assert_eq!(found, image(b"new"), "{fault:?} at {step}");
            }
        }
    }
}

proptest! {
    #[test]
    fn the_last_one_that_got_a_tag_has_it(moves in prop::collection::vec((0_u8..4, 0_u8..6), 1..30)) {
        let vfs = MemVfs::default();
        let layout = begin(&vfs);
        let mut model = std::collections::BTreeMap::new();
        for (name, content) in moves {
            let name = format!("t{name}");
            push(&layout, &name, &[content]).unwrap();
            model.insert(name, content);
        }
        prop_assert_eq!(layout.tags().unwrap().len(), model.len());
        for (name, content) in model {
            prop_assert_eq!(layout.fetch_manifest(&tag(&name)).unwrap(), Some(image(&[content])));
        }
    }

    #[test]
    fn no_index_makes_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
        let mut good = Index::default();
        good.give("a", &layer(b"one"));
        let mut good = good.to_bytes();
        let at = at.index(good.len());
        good.splice(at..(at + bytes.len()).min(good.len()), bytes.iter().copied());
        for bytes in [bytes, good] {
            if let Ok(index) = Index::parse(&bytes, 8) {
                let again = Index::parse(&index.to_bytes(), 8);
                prop_assert_eq!(again, Ok(index));
            }
        }
    }
}
