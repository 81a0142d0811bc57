//! A real registry, and skopeo: what we push others pull, what others push we pull.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod rig;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
};

use rig::{are_installed, credentials, options, reference, remote, run};
use rustls::RootCertStore;
use supply_chain::{
    Descriptor, Layout, Manifest, Mode, Name, Referrers, Registry as _, RegistryError, Sidecar,
    Tag, attach,
    oci::{Capabilities, Options, Remote},
    pull_sidecar, push_artifact, registry, resolve, transfer,
};
use tempfile::TempDir;
use vfs::OsVfs;

/// A registry of its own for one test.
struct Served {
    process: Child,
    host: String,
    dir: TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Served {
    /// Starts one; with a name and a password when `auth` is the section of its configuration.
    fn start(auth: &str) -> Self {
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            // Free now; if somebody else takes it before the registry does, the next try is another one.
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let host = format!("127.0.0.1:{port}");
            let at = dir.path().display();
            if !auth.is_empty() {
                let args = ["-Bbn", "me", "right"];
                fs::write(dir.path().join("htpasswd"), run("htpasswd", &args)).unwrap();
            }
            let config = format!(
                "version: 0.1\nlog:\n  level: info\nstorage:\n  delete:\n    enabled: true\n  filesystem:\n    \
                 rootdirectory: {at}/data\nhttp:\n  addr: {host}\n{}",
                auth.replace("HTPASSWD", &format!("{at}/htpasswd")),
            );
            let path = dir.path().join("config.yml");
            fs::write(&path, config).unwrap();
            let mut process = Command::new("docker-registry")
                .arg("serve")
                .arg(&path)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
            let listens =
                lines.by_ref().map_while(Result::ok).any(|it| it.contains("listening on"));
            thread::spawn(move || lines.for_each(drop));
            let served = Self { process, host, dir };
            if listens {
                return served;
            }
        }
        panic!("no registry after five tries");
    }

    fn remote(&self) -> Remote {
        remote(&self.host, nobody_trusted())
    }

    fn image(&self, rest: &str) -> String {
        format!("{}/agents/arm{rest}", self.host)
    }
}

/// The registries of these tests speak plain HTTP on this machine.
fn nobody_trusted() -> Options {
    options(RootCertStore::empty())
}

const AUTH: &str = "auth:\n  htpasswd:\n    realm: test\n    path: HTPASSWD\n";

fn tag(text: &str) -> Name {
    Name::Tag(Tag::new(text).unwrap())
}

fn begin(dir: &Path) -> Layout {
    Layout::open_or_begin(Arc::new(OsVfs), dir).unwrap()
}

#[test]
fn a_real_registry_keeps_what_we_push() {
    if !are_installed(&["docker-registry"], "a_real_registry_keeps_what_we_push") {
        return;
    }
    let served = Served::start("");
    let remote = served.remote();
    let image = reference(&served.image(":1.0"));
    assert_eq!(remote.fetch_manifest(&tag("1.0")).unwrap(), None);
    let long = vec![7; 3_000_000];
    let pushed = push_artifact(&remote, &image, &[b"one", b"", &long]).unwrap();
    assert_eq!(resolve(&remote, &image).unwrap().descriptor(), pushed);
    let by_digest = Name::Digest(pushed.digest);
    let raw = registry::manifest(&remote, &by_digest).unwrap().unwrap();
    let Manifest::Image(manifest) = raw.parse().unwrap() else { panic!() };
    assert_eq!(registry::content(&remote, &manifest.layers[2], 1 << 30).unwrap().unwrap(), long);
    assert_eq!(registry::content(&remote, &manifest.layers[1], 1 << 30).unwrap().unwrap(), b"");
    let none = Descriptor::of("text/plain", b"none");
    assert!(remote.open_content(&none).unwrap().is_none());
    // Pushed once more, by a client that does not know it yet.
    assert_eq!(push_artifact(&served.remote(), &image, &[b"one", b"", &long]).unwrap(), pushed);
}

#[test]
fn a_real_registry_keeps_sidecars_byte_for_byte() {
    if !are_installed(&["docker-registry"], "a_real_registry_keeps_sidecars_byte_for_byte") {
        return;
    }
    let served = Served::start("");
    let mut options = nobody_trusted();
    let path = served.dir.path().join("registry_caps.json");
    let now = Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap());
    options.capabilities = Some(Capabilities { vfs: Arc::new(OsVfs), path: path.clone(), now });
    let remote = remote(&served.host, options);
    let image = reference(&served.image(":1.0"));
    push_artifact(&remote, &image, &[b"layer"]).unwrap();
    for sidecar in Sidecar::ALL {
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).take(150_000).collect();
        let attached = attach(&remote, &image, sidecar, &content).unwrap();
        // The Debian package is of a version without a list of referrers.
        assert_eq!(attached.mode, Mode::Sidecar);
        assert_eq!(
            attached.reference.to_string(),
            served.image(&format!(":1.0-{}", sidecar.name()))
        );
        assert_eq!(pull_sidecar(&remote, &image, sidecar).unwrap(), content);
        let found = remote.fetch_manifest(&Name::Digest(attached.digest)).unwrap();
        assert!(found.is_some());
    }
    let cached = fs::read_to_string(path).unwrap();
    assert!(cached.contains(&format!(r#""{}":{{"referrers":false"#, served.host)), "{cached}");
}

#[test]
fn content_of_another_digest_never_arrives_at_a_real_registry() {
    if !are_installed(
        &["docker-registry"],
        "content_of_another_digest_never_arrives_at_a_real_registry",
    ) {
        return;
    }
    let served = Served::start("");
    let remote = served.remote();
    for len in [5, 700_000] {
        let good = vec![1; len];
        let descriptor = Descriptor::of("text/plain", &good);
        let (mut other, mut longer) = (good.clone(), good.clone());
        other[len - 1] = 2;
        longer.push(1);
        for bad in [&other[..], &good[..len - 1], &longer] {
            let error = remote.store_content(&descriptor, &mut &*bad).unwrap_err();
            assert!(matches!(error, RegistryError::Content { .. }), "{error}");
            assert!(remote.open_content(&descriptor).unwrap().is_none());
        }
        remote.store_content(&descriptor, &mut &*good).unwrap();
        assert!(remote.open_content(&descriptor).unwrap().is_some());
    }
}

#[test]
fn a_registry_with_passwords_lets_in_who_has_one() {
    let programs = ["docker-registry", "htpasswd"];
    if !are_installed(&programs, "a_registry_with_passwords_lets_in_who_has_one") {
        return;
    }
    let served = Served::start(AUTH);
    let image = reference(&served.image(":1.0"));
    let with = |password: Option<&str>| {
        let mut options = nobody_trusted();
        options.credentials = password.map(credentials);
        remote(&served.host, options)
    };
    push_artifact(&with(Some("right")), &image, &[b"layer"]).unwrap();
    let right = with(Some("right"));
    assert!(resolve(&right, &image).is_ok());
    for password in [None, Some("wrong")] {
        let remote = with(password);
        let refused = |it: Result<_, RegistryError>| match it {
            Err(RegistryError::Refused { status, .. }) => status,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(remote.fetch_manifest(&tag("1.0")).map(drop)), 401);
        // The package knows no such route, so nobody is asked for a password there.
        let nothing = Descriptor::of("", b"").digest;
        assert_eq!(remote.referrers(&nothing).unwrap(), Referrers::NotOffered);
        let descriptor = Descriptor::of("text/plain", b"x");
        assert_eq!(refused(remote.store_content(&descriptor, &mut &b"x"[..])), 401);
    }
}

#[test]
fn an_image_goes_from_registry_to_disk_to_registry() {
    if !are_installed(&["docker-registry"], "an_image_goes_from_registry_to_disk_to_registry") {
        return;
    }
    let (first, second) = (Served::start(""), Served::start(""));
    let image = reference(&first.image(":1.0"));
    let from = first.remote();
    let layer = vec![3; 2_000_000];
    push_artifact(&from, &image, &[&layer]).unwrap();
    attach(&from, &image, Sidecar::Lock, b"{}").unwrap();
    let disk = begin(&first.dir.path().join("disk"));
    let on_disk = reference("oci:disk:1.0");
    let done = transfer((&from, &image), (&disk, &on_disk), &mut |_| {}).unwrap();
    assert_eq!((done.manifests, done.sidecars.len()), (2, 1));
    assert!(done.bytes > 2_000_000);
    let target = reference(&second.image(":2.0"));
    let to = second.remote();
    let there = transfer((&disk, &on_disk), (&to, &target), &mut |_| {}).unwrap();
    assert_eq!(there.digest, done.digest);
    assert_eq!(pull_sidecar(&to, &target, Sidecar::Lock).unwrap(), b"{}");
    // Straight from one registry into the other: each has a runtime of its own.
    let third = reference(&second.image(":3.0"));
    push_artifact(&from, &image, &[&layer, b"more"]).unwrap();
    let straight = transfer((&from, &image), (&to, &third), &mut |_| {}).unwrap();
    assert_eq!(resolve(&to, &third).unwrap().digest(), straight.digest);
    assert!(straight.bytes < 1_000_000, "the long layer was there");
}

#[test]
fn skopeo_reads_our_layouts_and_we_read_those_of_skopeo() {
    let programs = ["docker-registry", "skopeo"];
    if !are_installed(&programs, "skopeo_reads_our_layouts_and_we_read_those_of_skopeo") {
        return;
    }
    let served = Served::start("");
    let at = |name: &str| format!("oci:{}/{name}", served.dir.path().display());
    let ours = begin(&served.dir.path().join("ours"));
    let pushed = push_artifact(&ours, &reference(&at("ours:1.0")), &[b"low", b"high"]).unwrap();
    let digest = pushed.digest.to_string();
    let shown =
        run("skopeo", &["inspect", "--format", "{{.Digest}} {{len .Layers}}", &at("ours:1.0")]);
    assert_eq!(shown.trim(), format!("{digest} 2"));
    // Ours to a registry by skopeo, read by us over HTTP.
    let there = format!("docker://{}", served.image(":1.0"));
    let plain = ["copy", "--preserve-digests", "--insecure-policy"];
    let insecure = "--dest-tls-verify=false";
    run("skopeo", &[&plain[..], &[insecure, &at("ours:1.0"), &there]].concat());
    let image = reference(&served.image(":1.0"));
    assert_eq!(resolve(&served.remote(), &image).unwrap().descriptor(), pushed);
    // From the registry to a layout by skopeo, read by us.
    let insecure = "--src-tls-verify=false";
    run("skopeo", &[&plain[..], &[insecure, &there, &at("theirs:2.0")]].concat());
    let theirs = Layout::open(Arc::new(OsVfs), &served.dir.path().join("theirs")).unwrap();
    let found = resolve(&theirs, &reference(&at("theirs:2.0"))).unwrap();
    assert_eq!(found.descriptor(), pushed);
    let Manifest::Image(manifest) = found.parse().unwrap() else { panic!() };
    assert_eq!(registry::content(&theirs, &manifest.layers[1], 99).unwrap().unwrap(), b"high");
    // We write into the layout of skopeo, and skopeo still reads both.
    push_artifact(&theirs, &reference(&at("theirs:3.0")), &[b"new"]).unwrap();
    for (tag, layers) in [("2.0", "2"), ("3.0", "1")] {
        let image = at(&format!("theirs:{tag}"));
        let shown = run("skopeo", &["inspect", "--format", "{{len .Layers}}", &image]);
        assert_eq!(shown.trim(), layers, "{tag}");
    }
}
