//! The two slots: what activation changes, what a crash leaves, what loading makes of it.

#![expect(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use kit::{echo, files, word};
use policy::{
    ActivateError, DenyCode, Evaluator, Recipe, RuntimeRequirement, Slot, SlotFault, Slots, Source,
    build,
};
use sha2::Digest as _;
use tempfile::TempDir;
use vfs::{File, Lock, LockError, OpenMode, OsVfs, Stat, Vfs};

/// What happens to a directory.
type Damage = fn(&Path);

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// A bundle of this version, whose rule has the version as its name.
fn bundle(version: &str) -> Vec<u8> {
    bundle_for(version, "")
}

fn bundle_for(version: &str, runtime: &str) -> Vec<u8> {
    let module =
        format!("package autonomy\ndecision := {{\"allow\": true, \"rule\": \"{version}\"}}\n");
    let requirement = RuntimeRequirement::parse(runtime).unwrap();
    let recipe = Recipe { version, name: None, requirement: &requirement, created_at: NOW };
    build(&files(&[("policy.rego", &module)]), &recipe).unwrap().bytes
}

fn slots_in(dir: &Path) -> Slots {
    slots_that_stop_after(usize::MAX, dir)
}

fn slots_that_stop_after(changes: usize, dir: &Path) -> Slots {
    let vfs = Stopping { left: Arc::new(AtomicUsize::new(changes)) };
    Slots::new(Arc::new(vfs), dir, "0.1.0".parse().unwrap())
}

fn new_slots() -> (TempDir, Slots) {
    let dir = tempfile::tempdir().unwrap();
    let slots = slots_in(&dir.path().join("policy"));
    (dir, slots)
}

fn path(dir: &TempDir) -> PathBuf {
    dir.path().join("policy")
}

/// All files below a directory, except the lock.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut res = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if !path.ends_with("slots.lock") {
                res.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    res
}

/// Who decides, and with how many warnings.
fn who(slots: &Slots) -> (Source, String, usize) {
    let loaded = slots.load();
    let decision = loaded.evaluator.evaluate(&echo());
    let rule = decision.rule().map_or_else(|| word(&decision), str::to_owned);
    assert_eq!(loaded.evaluator.policy_ref().is_empty(), loaded.source == Source::None);
    (loaded.source, rule, loaded.warnings.len())
}

fn current(rule: &str) -> (Source, String, usize) {
    (Source::Current, rule.to_owned(), 0)
}

fn lkg(rule: &str) -> (Source, String, usize) {
    (Source::LastKnownGood, rule.to_owned(), 1)
}

fn nobody(warnings: usize) -> (Source, String, usize) {
    (Source::None, "no_policy".to_owned(), warnings)
}

#[test]
fn an_empty_directory_denies_without_a_warning() {
    let (_dir, slots) = new_slots();
    assert_eq!(who(&slots), nobody(0));
    let loaded = slots.load();
    let decision = loaded.evaluator.evaluate(&echo());
    assert_eq!(kit::denial(&decision).0, DenyCode::NoPolicy);
    assert!(loaded.meta.is_none());
}

#[test]
fn activation_makes_the_old_one_the_last_known_good() {
    let (dir, slots) = new_slots();
    let activated = slots.activate(&bundle("1.0.0"), NOW, "pid 1").unwrap();
    assert!(activated.changed);
    assert_eq!(activated.evaluator.policy_ref(), "1.0.0");
    assert_eq!(who(&slots), current("1.0.0"));
    let later: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let activated = slots.activate(&bundle("2.0.0"), later, "pid 1").unwrap();
    assert_eq!(who(&slots), current("2.0.0"));
    assert_eq!(slots.load().meta.as_ref(), Some(&activated.meta));
    assert_eq!(activated.meta.loaded_at, later);
    let files = snapshot(&path(&dir));
    assert_eq!(files.len(), 4, "{:?}", files.keys());
    assert_eq!(files[&path(&dir).join("current/bundle.tar.gz")], bundle("2.0.0"));
    assert_eq!(files[&path(&dir).join("lkg/bundle.tar.gz")], bundle("1.0.0"));
    let meta: serde_json::Value =
        serde_json::from_slice(&files[&path(&dir).join("current/meta.json")]).unwrap();
    assert_eq!(meta["version"], "2.0.0");
    assert_eq!(meta["digest"], activated.evaluator.policy_digest());
    assert_eq!(meta["loaded_at"], "2026-03-01T00:00:00Z");
}

#[test]
fn activating_what_is_current_changes_nothing() {
    let (dir, slots) = new_slots();
    slots.activate(&bundle("1.0.0"), NOW, "").unwrap();
    slots.activate(&bundle("2.0.0"), NOW, "").unwrap();
    let before = snapshot(&path(&dir));
    let later: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let again = slots.activate(&bundle("2.0.0"), later, "").unwrap();
    assert!(!again.changed);
    assert_eq!(again.meta.loaded_at, NOW);
    assert_eq!(snapshot(&path(&dir)), before);
    // Back to the one before: the two change places.
    slots.activate(&bundle("1.0.0"), later, "").unwrap();
    assert_eq!(who(&slots), current("1.0.0"));
    fs::remove_file(path(&dir).join("current/meta.json")).unwrap();
    assert_eq!(who(&slots), lkg("2.0.0"));
}

#[test]
fn a_refused_bundle_changes_nothing() {
    let (dir, slots) = new_slots();
    let refuse = |bytes: &[u8]| slots.activate(bytes, NOW, "").unwrap_err();
    refuse(b"no bundle");
    assert!(!path(&dir).exists(), "not even a directory is made");
    slots.activate(&bundle("1.0.0"), NOW, "").unwrap();
    slots.activate(&bundle("2.0.0"), NOW, "").unwrap();
    let before = snapshot(&path(&dir));

    let error = refuse(&bundle_for("3.0.0", ">=99.0.0"));
    assert_eq!(error.to_string(), "bundle requires runtime >=99.0.0, have 0.1.0");
    assert_eq!(error.code(), "bundle_incompatible");
    assert_eq!(refuse(b"").code(), "bundle_not_gzip");
    let good = bundle("3.0.0");
    assert_eq!(refuse(&good[..good.len() - 1]).code(), "bundle_not_gzip");
    let mut altered = good.clone();
    let at = altered.windows(4).position(|it| it == b"true").unwrap();
    altered[at] = b'T';
    assert_eq!(refuse(&altered).code(), "bundle_not_gzip");
    assert_eq!(snapshot(&path(&dir)), before);
    assert_eq!(who(&slots), current("2.0.0"));
}

#[test]
fn a_bundle_for_a_newer_runtime_is_refused_as_such_even_when_it_would_not_compile() {
    let (_dir, slots) = new_slots();
    let hand_made = incompatible_and_broken();
    let error = slots.activate(&hand_made, NOW, "").unwrap_err();
    assert!(matches!(error, ActivateError::Incompatible(_)), "{error}");
}

/// Built for a runtime that has a function which this one lacks.
fn incompatible_and_broken() -> Vec<u8> {
    let module = "package autonomy\nallow if future.function(1)\n";
    let hash = {
        // The hash does not depend on the manifest, so the manifest can be made afterwards.
        let name = b"policy.rego";
        let mut bytes = (name.len() as u64).to_be_bytes().to_vec();
        bytes.extend(name);
        bytes.extend((module.len() as u64).to_be_bytes());
        bytes.extend(module.as_bytes());
        hex::encode(sha2::Sha256::digest(&bytes))
    };
    let manifest = serde_json::json!({
        "policy_bundle_version": "9.0.0", "required_runtime_version": ">=9.0.0",
        "bundle_hash": format!("sha256:{hash}"), "created_at": "2026-03-01T00:00:00Z",
    });
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in [("manifest.json", manifest.to_string()), ("policy.rego", module.into())]
    {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn every_damage_to_the_current_slot_lets_the_last_known_good_decide() {
    let damages: [(&str, Damage); 9] = [
        ("slot_incomplete", |slot| fs::remove_file(slot.join("bundle.tar.gz")).unwrap()),
        ("slot_incomplete", |slot| fs::remove_file(slot.join("meta.json")).unwrap()),
        ("slot_absent", |slot| fs::remove_dir_all(slot).unwrap()),
        ("slot_bad_meta", |slot| fs::write(slot.join("meta.json"), "{").unwrap()),
        ("slot_bad_meta", |slot| fs::write(slot.join("meta.json"), "").unwrap()),
        ("slot_unreadable", |slot| {
            fs::remove_file(slot.join("meta.json")).unwrap();
            fs::create_dir(slot.join("meta.json")).unwrap();
        }),
        ("slot_digest_mismatch", |slot| {
            let path = slot.join("bundle.tar.gz");
            let mut bytes = fs::read(&path).unwrap();
            let last = bytes.len() / 2;
            bytes[last] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("slot_meta_mismatch", |slot| {
            let path = slot.join("meta.json");
            let meta = fs::read_to_string(&path).unwrap();
            let meta = meta.replace("\"version\": \"", "\"version\": \"9");
            fs::write(path, meta).unwrap();
        }),
        ("bundle_not_gzip", |slot| {
            // Somebody wrote both files, and knows the digest, but it is no bundle.
            fs::write(slot.join("bundle.tar.gz"), "no bundle").unwrap();
            let digest = hex::encode(sha2::Sha256::digest("no bundle"));
            let meta = format!(
                "{{\"version\":\"1\",\"digest\":\"sha256:{digest}\",\"bundle_hash\":\"\",\
                 \"loaded_at\":\"2026-03-01T00:00:00Z\"}}"
            );
            fs::write(slot.join("meta.json"), meta).unwrap();
        }),
    ];
    for (code, damage) in damages {
        let (dir, slots) = new_slots();
        slots.activate(&bundle("1.0.0"), NOW, "").unwrap();
        slots.activate(&bundle("2.0.0"), NOW, "").unwrap();
        damage(&path(&dir).join("current"));
        assert_eq!(who(&slots), lkg("1.0.0"), "{code}");
        let warnings = slots.load().warnings;
        assert_eq!((warnings[0].slot, warnings[0].fault.code()), (Slot::Current, code));

        // The last known good survives the next activation, since what is current is no better.
        let before = snapshot(&path(&dir).join("lkg"));
        if code != "slot_unreadable" {
            slots.activate(&bundle("3.0.0"), NOW, "").unwrap();
            assert_eq!(who(&slots), current("3.0.0"), "{code}");
            assert_eq!(snapshot(&path(&dir).join("lkg")), before, "{code}");
        }

        damage(&path(&dir).join("lkg"));
        if path(&dir).join("current").exists() {
            fs::remove_dir_all(path(&dir).join("current")).unwrap();
        }
        let lkg_absent = usize::from(code != "slot_absent");
        assert_eq!(who(&slots), nobody(if lkg_absent == 0 { 0 } else { 2 }), "{code}");
    }
}

#[test]
fn files_of_two_bundles_are_never_taken_for_one() {
    for file in ["bundle.tar.gz", "meta.json"] {
        let (dir, slots) = new_slots();
        slots.activate(&bundle("1.0.0"), NOW, "").unwrap();
        slots.activate(&bundle("2.0.0"), NOW, "").unwrap();
        let dir = path(&dir);
        fs::copy(dir.join("lkg").join(file), dir.join("current").join(file)).unwrap();
        assert_eq!(who(&slots), lkg("1.0.0"), "{file}");
        let warnings = slots.load().warnings;
        assert!(matches!(warnings[0].fault, SlotFault::DigestMismatch { .. }), "{warnings:?}");
    }
}

#[test]
fn a_current_bundle_that_a_downgraded_runtime_refuses_is_not_kept_as_good() {
    let (dir, slots) = new_slots();
    slots.activate(&bundle("1.0.0"), NOW, "").unwrap();
    let newer = Slots::new(Arc::new(OsVfs), &path(&dir), "5.0.0".parse().unwrap());
    newer.activate(&bundle_for("2.0.0", ">=5.0.0"), NOW, "").unwrap();
    assert_eq!(who(&newer), current("2.0.0"));
    assert_eq!(who(&slots), lkg("1.0.0"));
    assert_eq!(slots.load().warnings[0].fault.code(), "bundle_incompatible");
    slots.activate(&bundle("3.0.0"), NOW, "").unwrap();
    fs::remove_file(path(&dir).join("current/meta.json")).unwrap();
    assert_eq!(who(&slots), lkg("1.0.0"));
}

#[test]
fn two_processes_do_not_change_the_slots_at_once() {
    let (dir, slots) = new_slots();
    slots.activate(&bundle("1.0.0"), NOW, "pid 1").unwrap();
    let lock = OsVfs.lock(&path(&dir).join("slots.lock"), "pid 41").unwrap();
    let before = snapshot(&path(&dir));
    let error = slots.activate(&bundle("2.0.0"), NOW, "pid 42").unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        ("slots_busy", "slots are in use: held by pid 41")
    );
    assert_eq!(snapshot(&path(&dir)), before);
    // Loading needs no lock.
    assert_eq!(who(&slots), current("1.0.0"));
    drop(lock);
    slots.activate(&bundle("2.0.0"), NOW, "pid 42").unwrap();
}

#[test]
fn many_activations_at_once_leave_two_good_slots() {
    let (dir, slots) = new_slots();
    slots.activate(&bundle("0.0.1"), NOW, "").unwrap();
    let bundles: Vec<_> = (1..5).map(|n| bundle(&format!("{n}.0.0"))).collect();
    let activate = |bytes: &[u8]| {
        let got = slots.activate(bytes, NOW, "");
        assert!(matches!(got, Ok(_) | Err(ActivateError::Busy { .. })), "{got:?}");
        assert_ne!(slots.load().source, Source::None);
    };
    std::thread::scope(|scope| {
        for bytes in &bundles {
            scope.spawn(|| (0..10).for_each(|_| activate(bytes)));
        }
    });
    assert_eq!(who(&slots).0, Source::Current);
    fs::remove_dir_all(path(&dir).join("current")).unwrap();
    assert_eq!(who(&slots).0, Source::LastKnownGood);
}

/// A file system that stops after some number of changes, as a process does when it is killed.
/// Nothing is synced: these tests do not take the power away.
#[derive(Debug)]
struct Stopping {
    left: Arc<AtomicUsize>,
}

impl Stopping {
    fn change(left: &AtomicUsize) -> io::Result<()> {
        let took =
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        took.map(|_| ()).map_err(|_| io::Error::other("stopped"))
    }
}

#[derive(Debug)]
struct StoppingFile {
    file: Arc<dyn File>,
    left: Arc<AtomicUsize>,
}

impl Vfs for Stopping {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        if mode != OpenMode::Read {
            Self::change(&self.left)?;
        }
        Ok(Arc::new(StoppingFile { file: OsVfs.open(path, mode)?, left: Arc::clone(&self.left) }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        Self::change(&self.left)?;
        fs::create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Self::change(&self.left)?;
        OsVfs.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Self::change(&self.left)?;
        OsVfs.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        Self::change(&self.left)?;
        path.metadata().map(|_| ())
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        OsVfs.stat(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        OsVfs.list(dir)
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Lock, LockError> {
        OsVfs.lock(path, holder)
    }
}

impl File for StoppingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    /// Half of what is asked for, so that there is a stop in the middle of every file.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        Stopping::change(&self.left)?;
        let (half, _) = buf.split_at(buf.len().div_ceil(2));
        self.file.write_at(half, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Stopping::change(&self.left)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Stopping::change(&self.left)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }

    fn stat(&self) -> io::Result<Stat> {
        self.file.stat()
    }

    fn is_named(&self, path: &Path) -> io::Result<bool> {
        self.file.is_named(path)
    }
}

/// Activates 3.0.0 with a stop after every change, from each of these states; `allowed` says who may
/// decide afterwards.
#[test]
fn a_stop_at_any_step_leaves_a_good_slot() {
    let states: [(&str, Damage, &[&str]); 5] = [
        ("both good", |_| (), &["2.0.0", "3.0.0"]),
        ("no lkg", |dir| fs::remove_dir_all(dir.join("lkg")).unwrap(), &["2.0.0", "3.0.0"]),
        (
            "lkg damaged",
            |dir| fs::remove_file(dir.join("lkg/meta.json")).unwrap(),
            &["2.0.0", "3.0.0"],
        ),
        (
            "current torn",
            |dir| _ = fs::copy(dir.join("lkg/meta.json"), dir.join("current/meta.json")).unwrap(),
            &["1.0.0", "3.0.0"],
        ),
        ("nothing", |dir| fs::remove_dir_all(dir).unwrap(), &["no_policy", "3.0.0"]),
    ];
    for (state, damage, allowed) in states {
        let mut seen = Vec::new();
        let [first, second, third] = ["1.0.0", "2.0.0", "3.0.0"].map(bundle);
        for stop in 0.. {
            let (dir, slots) = new_slots();
            slots.activate(&first, NOW, "").unwrap();
            slots.activate(&second, NOW, "").unwrap();
            damage(&path(&dir));
            let stopping = slots_that_stop_after(stop, &path(&dir));
            let got = stopping.activate(&third, NOW, "");
            let (_, rule, _) = who(&slots);
            assert!(allowed.contains(&rule.as_str()), "{state}, stop after {stop}: {rule}");
            seen.push(rule.clone());
            if got.is_ok() {
                assert_eq!(rule, "3.0.0", "{state}: what was reported is so");
                break;
            }
            // The next activation heals whatever is there.
            slots.activate(&third, NOW, "").unwrap();
            assert_eq!(who(&slots), current("3.0.0"), "{state}, stop after {stop}");
        }
        seen.dedup();
        assert_eq!(seen, allowed, "{state}: from the one to the other, and never back");
        assert!(seen.len() > 1);
    }
}
