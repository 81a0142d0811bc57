//! Programs that share no code with ours: openssl, the kernel, a registry.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
};

use e2e::harness::{Bin, run_to_end};
use serde_json::{Value, json};
use supply_chain::{
    Descriptor, Digest, IMAGE_MANIFEST, ImageManifest, Layout, Name, RawManifest, Registry as _,
    signature::{IMAGE_CONFIG, PAYLOAD_TYPE, SIGNATURE_ANNOTATION, SIMPLE_SIGNING, signature_tag},
};
use tempfile::TempDir;
use vfs::OsVfs;

use crate::world::{IMAGE, REQUIRED, World, possible};

/// A file of a layout, by its digest.
fn blob(world: &World, digest: &Value) -> Vec<u8> {
    let name = digest.as_str().unwrap().replace(':', "/");
    fs::read(world.path(&format!("layout/blobs/{name}"))).unwrap()
}

fn image_digest(world: &World) -> Digest {
    let found = world.json(&["oci", "inspect", "--image", IMAGE]);
    found["digest"].as_str().unwrap().parse().unwrap()
}

#[test]
fn openssl_verifies_what_we_sign() {
    if !possible("openssl_verifies_what_we_sign", "openssl", &["version"]) {
        return;
    }
    let world = World::signed();
    let tag = signature_tag(&image_digest(&world)).unwrap().to_string();
    let index: Value = serde_json::from_str(&world.text("layout/index.json")).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    let named = |it: &&Value| it["annotations"]["org.opencontainers.image.ref.name"] == *tag;
    let entry = entries.iter().find(named).unwrap();
    let manifest: Value = serde_json::from_slice(&blob(&world, &entry["digest"])).unwrap();
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], SIMPLE_SIGNING);
    fs::write(world.path("payload"), blob(&world, &layer["digest"])).unwrap();
    let signature = layer["annotations"][SIGNATURE_ANNOTATION].as_str().unwrap();
    fs::write(world.path("signature.b64"), format!("{signature}\n")).unwrap();
    let decode = ["base64", "-d", "-A", "-in", "signature.b64", "-out", "signature"];
    assert_eq!(world.outside("openssl", &decode).code(), Some(0));
    let check = [
        "pkeyutl",
        "-verify",
        "-rawin",
        "-pubin",
        "-inkey",
        "keys/autonomy.pub",
        "-in",
        "payload",
        "-sigfile",
        "signature",
    ];
    let done = world.outside("openssl", &check);
    assert_eq!(done.code(), Some(0), "{done:?}");
    fs::write(world.path("payload"), b"another").unwrap();
    assert_ne!(world.outside("openssl", &check).code(), Some(0));
}

#[test]
fn a_signature_that_openssl_made_in_the_format_of_cosign_verifies() {
    if !possible("a_signature_that_openssl_made", "openssl", &["version"]) {
        return;
    }
    let world = World::new();
    let digest = image_digest(&world);
    let payload = json!({
        "critical": {
            "identity": { "docker-reference": "registry.example/agents/arm" },
            "image": { "docker-manifest-digest": digest.to_string() },
            "type": PAYLOAD_TYPE,
        },
        "optional": null,
    });
    let payload = payload.to_string().into_bytes();
    fs::write(world.path("payload"), &payload).unwrap();
    for args in [
        "ecparam -name prime256v1 -genkey -noout -out ec.key",
        "ec -in ec.key -pubout -out cosign.pub",
        "dgst -sha256 -sign ec.key -out signature payload",
        "base64 -A -in signature -out signature.b64",
    ] {
        let args: Vec<_> = args.split(' ').collect();
        let done = world.outside("openssl", &args);
        assert_eq!(done.code(), Some(0), "{done:?}");
    }
    let mut layer = Descriptor::of(SIMPLE_SIGNING, &payload);
    let signature = world.text("signature.b64").trim().to_owned();
    layer.annotations.insert(SIGNATURE_ANNOTATION.to_owned(), signature);
    let config = b"{}";
    let manifest = ImageManifest {
        artifact_type: None,
        config: Descriptor::of(IMAGE_CONFIG, config),
        ..ImageManifest::artifact("", vec![layer.clone()])
    };
    let layout = Layout::open(Arc::new(OsVfs), &world.path("layout")).unwrap();
    layout.store_content(&layer, &mut &*payload).unwrap();
    layout.store_content(&manifest.config, &mut &config[..]).unwrap();
    let raw = RawManifest { media_type: IMAGE_MANIFEST.to_owned(), bytes: manifest.to_bytes() };
    layout.store_manifest(&Name::Tag(signature_tag(&digest).unwrap()), &raw).unwrap();

    let verify = ["verify", "--image", IMAGE, "--pub", "cosign.pub"];
    // It says no time, so somebody has to say that none is wanted.
    assert_eq!(world.error(&verify, 8)["error"]["code"], "ErrSignatureExpired");
    world.ok_with(&verify, &[("AUTONOMY_TRUST_TIME", "false")]);
    // Our signature is added beside it, and its own stays.
    world.ok(&["sign", "--image", IMAGE, "--key", "keys/autonomy.key"]);
    world.ok_with(&verify, &[("AUTONOMY_TRUST_TIME", "false")]);
    world.ok(&["verify", "--image", IMAGE, "--pub", "keys/autonomy.pub"]);
    let id = world.json(&["keys", "show", "cosign.pub"]);
    assert_eq!(id["algorithm"], "ECDSA P-256");
}

#[test]
fn a_registry_is_refused_offline_before_anything_is_looked_up() {
    let world = World::with_keys();
    let verify =
        ["verify", "--image", "registry.invalid/a:1", "--pub", "keys/autonomy.pub", "--offline"];
    let error = world.error(&verify, 7);
    assert_eq!(error["error"]["code"], "ErrUnreachable");
    assert!(error["error"]["message"].to_string().contains("--offline"), "{error}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let there = format!("{nobody}/a:1");
    let error = world.error(&["verify", "--image", &there, "--pub", "keys/autonomy.pub"], 7);
    assert!(error["error"].to_string().contains("onnection refused"), "{error}");
}

#[test]
fn a_layout_verifies_where_there_is_no_network() {
    if !possible("a_layout_verifies_where_there_is_no_network", "unshare", &["-rn", "true"]) {
        return;
    }
    let world = World::signed();
    let mut command = Command::new("unshare");
    command.arg("-rn").arg(Bin::Autonomy.path().unwrap()).args(REQUIRED).arg("--offline");
    let done = run_to_end(command.current_dir(world.path(""))).unwrap();
    assert_eq!(done.code(), Some(0), "{done:?}");
}

#[test]
fn no_socket_is_opened_offline() {
    if !possible("no_socket_is_opened_offline", "strace", &["-e", "trace=%network", "true"]) {
        return;
    }
    let world = World::signed();
    let trace = |args: &[&str]| {
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=%network", "-o", "trace"]);
        command.arg(Bin::Autonomy.path().unwrap()).args(args).current_dir(world.path(""));
        let done = run_to_end(&mut command).unwrap();
        (done, world.text("trace").contains("socket("))
    };
    let offline = [&REQUIRED[..], &["--offline"]].concat();
    let (done, opened) = trace(&offline);
    assert_eq!((done.code(), opened), (Some(0), false), "{done:?}");
    let mut registry =
        ["verify", "--image", "localhost:1/a:1", "--pub", "keys/autonomy.pub", "--offline"]
            .to_vec();
    let (done, opened) = trace(&registry);
    assert_eq!((done.code(), opened), (Some(7), false), "{done:?}");
    // Without the option the same look sees one.
    registry.pop();
    let (done, opened) = trace(&registry);
    assert_eq!((done.code(), opened), (Some(7), true), "{done:?}");
}

/// A registry of its own for one test.
struct Served {
    process: Child,
    host: String,
    _dir: TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Served {
    fn start() -> Self {
        let started = (0..5).find_map(|_| Self::try_start());
        started.unwrap()
    }

    /// Starts one on a port that is free now; `None` when somebody else took it first.
    fn try_start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let config = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}/data\nhttp:\n  addr: {host}\n",
            dir.path().display()
        );
        let path = dir.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let listens = lines.by_ref().map_while(Result::ok).any(|it| it.contains("listening on"));
        thread::spawn(move || lines.for_each(drop));
        let served = Self { process, host, _dir: dir };
        listens.then_some(served)
    }
}

#[test]
fn from_a_real_registry_to_a_node_without_a_network() {
    let test = "from_a_real_registry_to_a_node_without_a_network";
    if !possible(test, "docker-registry", &["--version"]) {
        return;
    }
    let world = World::with_keys();
    let served = Served::start();
    let image = format!("{}/agents/arm:1.0.0", served.host);
    world.ok(&["oci", "push-test-artifact", "--image", &image]);
    world.lock(&image);
    world.publish(&image);
    let verify = |image: &str, extra: &[&str]| {
        let args: Vec<_> =
            REQUIRED.iter().map(|it| if *it == IMAGE { image } else { it }).collect();
        world.json(&[&args, extra].concat())
    };
    let there = verify(&image, &[]);
    assert!(world.path(".cache/autonomyops/registry_caps.json").exists());
    world.ok(&["bundle", "stage", &image, "--pub", "keys/autonomy.pub", "--to", "oci:usb:1.0.0"]);
    // The same signatures are added to, not replaced, at a registry.
    world.ok(&["sign", "--image", &image, "--key", "keys/autonomy.key", "--lock", "--policy"]);
    drop(served);
    let here = verify("oci:usb:1.0.0", &["--offline"]);
    for part in ["digest", "signatures", "lock", "inputs", "steps"] {
        assert_eq!(here[part], there[part], "{part}");
    }
    assert_eq!(
        world.error(&["oci", "inspect", "--image", &image], 7)["error"]["code"],
        "ErrUnreachable"
    );
    // And from the node to another registry.
    let other = Served::start();
    let target = format!("{}/agents/arm:1.0.0", other.host);
    let pushed = world.json(&["oci", "push", "--from", "oci:usb:1.0.0", "--to", &target]);
    assert_eq!((&pushed["digest"], &pushed["signatures"]), (&there["digest"], &3.into()));
    verify(&target, &[]);
}
