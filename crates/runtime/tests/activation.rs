//! Releases that are verified and put in force, over a real layout on disk and a real log.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use policy::{Recipe, RuntimeRequirement, Slots, build};
use runtime::{
    Config, Echo, PolicyFrom, Recorded, ReleaseSource, ReleaseTrust, Runtime, Tools, carry_floor,
    check_release, load, record_by_hand, release_turn, remembered,
};
use serde_json::{Value, json};
use supply_chain::{
    AgentArtifact, Digest, Inputs, Layout, Lock, LockContent, MAX_AGE, Nonce, PermitContent,
    PolicyBundle, Reference, Sidecar, SigningKey, attach, oci, publish_signature, push_artifact,
};
use tokio::net::TcpListener;
use vfs::OsVfs;
use wal_recovery::Reader;

mod plane;

use plane::{Plane, Says};

fn key(number: u8) -> SigningKey {
    SigningKey::generate([number; 32])
}

/// A policy that allows echo and says who it is.
fn bundle(version: &str) -> Vec<u8> {
    let rule = format!(
        "package autonomy\ndecision := {{\"allow\": true, \"rule\": \"{version}\"}} if input.kind == \"tool.echo\"\n"
    );
    let files = BTreeMap::from([("echo.rego".to_owned(), rule.into_bytes())]);
    let requirement = RuntimeRequirement::default();
    let created_at = Timestamp::UNIX_EPOCH;
    build(&files, &Recipe { version, name: None, requirement: &requirement, created_at })
        .unwrap()
        .bytes
}

/// Releases in a layout on disk.
struct Images {
    dir: tempfile::TempDir,
}

/// A release that was published.
#[derive(Clone, Debug)]
struct Published {
    reference: Reference,
    lock: Lock,
}

impl Published {
    fn desired(&self, id: &str) -> Says {
        self.desired_as(id, &self.lock.stored_fingerprint().to_string())
    }

    fn desired_as(&self, id: &str, fingerprint: &str) -> Says {
        Says::Body(json!({ "release": {
            "id": id,
            "sequence": 1,
            "artifact_ref": self.reference.to_string(),
            "lock_fingerprint": fingerprint,
        }}))
    }

    fn planned(&self, plan: &str) -> Says {
        let Says::Body(mut body) = self.desired(plan) else { unreachable!("a release is a body") };
        body["release"]["plan_id"] = json!(plan);
        Says::Body(body)
    }

    fn fingerprint(&self) -> String {
        self.lock.stored_fingerprint().to_string()
    }
}

impl Images {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn layout(&self) -> Layout {
        Layout::open_or_begin(Arc::new(OsVfs), self.dir.path()).unwrap()
    }

    /// Publishes release `counter`, signed by `signer` if there is one.
    fn publish(&self, counter: u64, signer: Option<&SigningKey>) -> Published {
        let version = format!("1.{counter}.0");
        let reference: Reference =
            format!("oci:{}:{version}", self.dir.path().display()).parse().unwrap();
        let layout = self.layout();
        let layer = format!("agent {version}");
        let image = push_artifact(&layout, &reference, &[layer.as_bytes()]).unwrap();
        let bytes = bundle(&version);
        let lock = Lock::create(&LockContent {
            name: "arm".to_owned(),
            version: version.clone(),
            created_at: Timestamp::UNIX_EPOCH,
            release_counter: counter,
            agent_artifact: AgentArtifact { reference: reference.clone(), digest: image.digest },
            policy_bundle: PolicyBundle {
                reference: reference.clone(),
                digest: Digest::sha256(&bytes),
                version: version.parse().unwrap(),
            },
            inputs: Inputs {
                prompt_hash: Digest::blake3(b"prompt"),
                tool_inputs_hash: Digest::blake3(b"inputs"),
            },
            tools: Vec::new(),
        })
        .unwrap();
        let policy = attach(&layout, &reference, Sidecar::Policy, &bytes).unwrap().digest;
        let attached = attach(&layout, &reference, Sidecar::Lock, &lock.to_bytes()).unwrap();
        for digest in [image.digest, attached.digest, policy] {
            if let Some(key) = signer {
                let now = Some(Timestamp::now());
                publish_signature(&layout, &reference.place, &digest, key, now).unwrap();
            }
        }
        Published { reference, lock }
    }
}

/// A node: what stays when its runtime ends.
struct Node {
    dir: tempfile::TempDir,
    plane: Plane,
    url: String,
}

impl Node {
    async fn new() -> Self {
        let (plane, url) = Plane::start(Says::Body(json!({ "release": null }))).await;
        Self { dir: tempfile::tempdir().unwrap(), plane, url }
    }

    fn wal(&self) -> PathBuf {
        self.dir.path().join("wal")
    }

    fn permit(&self) -> PathBuf {
        self.dir.path().join("permit.json")
    }

    fn config(&self) -> Config {
        let trust = ReleaseTrust {
            keys: vec![key(1).public().clone()],
            threshold: NonZeroUsize::MIN,
            max_age: Some(MAX_AGE),
            registries: oci::Options::new(tls::client_config().config),
            permit: Some(self.permit()),
        };
        let source = ReleaseSource {
            url: self.url.clone(),
            interval: Duration::from_millis(2),
            trust: Some(trust),
            token: None,
            tls: None,
        };
        let slots = PolicyFrom::Slots(self.dir.path().join("policy"));
        Config { releases: Some(source), ..Config::new(self.wal(), slots, "edge-1") }
    }

    async fn start(&self) -> Served {
        self.start_with(self.config()).await
    }

    async fn start_with(&self, config: Config) -> Served {
        let runtime = Runtime::open(&config, Tools::default().with(Echo)).await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap() };
            runtime.serve(listener, stopped).await.unwrap();
        });
        Served { url, stop, task }
    }

    /// Wants a release, and returns what the node says to the control plane about it.
    async fn wants(&self, says: Says) -> Value {
        let Says::Body(body) = &says else { unreachable!("a release is a body") };
        let id = body["release"]["id"].clone();
        let mut acks = self.plane.acks.subscribe();
        let seen = acks.borrow_and_update().len();
        self.plane.says.send_replace(says);
        let about = |it: &&Value| it["release_id"] == id;
        let acks = acks.wait_for(|it| it.iter().skip(seen).any(|it| about(&it))).await.unwrap();
        acks.iter().skip(seen).find(about).unwrap().clone()
    }

    /// Waits until it says this.
    async fn says(&self, state: &str) -> Value {
        let mut acks = self.plane.acks.subscribe();
        let has = |it: &Vec<Value>| it.iter().any(|it| it["state"] == state);
        let acks = acks.wait_for(has).await.unwrap();
        acks.iter().find(|it| it["state"] == state).unwrap().clone()
    }

    fn active_lock(&self) -> Option<Value> {
        let text = std::fs::read(self.wal().join("active-lock.json")).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }

    /// The attributes of every entry of the live log.
    fn entries(&self) -> Vec<Value> {
        let mut reader = Reader::open(&OsVfs, &self.wal()).unwrap();
        let mut found = Vec::new();
        while let Some(item) = reader.next_entry().unwrap() {
            let entry: Value = serde_json::from_slice(item.payload).unwrap();
            found.push(entry["event"]["attrs"].clone());
        }
        found
    }
}

struct Served {
    url: String,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn end(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }

    async fn status(&self) -> Value {
        let answer = client().get(format!("{}/v1/status", self.url)).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Calls echo, and returns the policy that decided and what it said.
    async fn echo(&self) -> (String, String) {
        let call = client().post(format!("{}/v1/tool", self.url));
        let body = r#"{"kind":"tool.echo","params":{"message":"x"}}"#;
        let answer = call.body(body).send().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        (text("policy_ref"), text("decision"))
    }

    async fn decides_by(&self, version: &str) {
        assert_eq!(self.echo().await, (version.to_owned(), "allow".to_owned()));
    }
}

fn client() -> reqwest::Client {
    let tls = tls::client_config().config;
    reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verified_release_decides_is_on_record_and_is_acknowledged() {
    let (images, node) = (Images::new(), Node::new().await);
    let first = images.publish(1, Some(&key(1)));
    let served = node.start().await;
    assert_eq!(served.echo().await.1, "deny", "nothing is loaded at first");
    let ack = node.wants(first.desired("rel-1")).await;
    assert_eq!((&ack["state"], &ack["release_id"]), (&json!("activated"), &json!("rel-1")));
    served.decides_by("1.1.0").await;
    let status = served.status().await;
    assert_eq!(status["lock_fingerprint"], first.fingerprint());
    let second = images.publish(2, Some(&key(1)));
    assert_eq!(node.wants(second.desired("rel-2")).await["state"], "activated");
    served.decides_by("1.2.0").await;
    served.end().await;

    let active = node.active_lock().unwrap();
    assert_eq!(active["lock_fingerprint"], second.fingerprint());
    assert_eq!(active["floor"]["highest"], 2);
    let entries = node.entries();
    let decisions: Vec<_> = entries.iter().filter(|it| !it["decision"].is_null()).collect();
    let locks: Vec<_> = decisions.iter().map(|it| it["lock_fingerprint"].clone()).collect();
    assert_eq!(locks, [json!(null), json!(first.fingerprint()), json!(second.fingerprint())]);
    let steps: Vec<_> = entries
        .iter()
        .filter(|it| it["release_id"] == "rel-2")
        .map(|it| it["step"].clone())
        .collect();
    assert_eq!(steps, ["polled", "candidate_detected", "accepted", "activated"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_proven_is_not_loaded_and_what_was_in_force_stays() {
    let (images, node) = (Images::new(), Node::new().await);
    let good = images.publish(1, Some(&key(1)));
    let served = node.start().await;
    assert_eq!(node.wants(good.desired("good")).await["state"], "activated");
    let unsigned = images.publish(2, None);
    let other_key = images.publish(3, Some(&key(2)));
    let tampered = images.publish(4, Some(&key(1)));
    let changed =
        String::from_utf8(tampered.lock.to_bytes()).unwrap().replace("\"arm\"", "\"leg\"");
    attach(&images.layout(), &tampered.reference, Sidecar::Lock, changed.as_bytes()).unwrap();
    let swapped = images.publish(5, Some(&key(1)));
    let gone = Published {
        reference: "oci:/nowhere/at/all:1.0.0".parse().unwrap(),
        lock: good.lock.clone(),
    };
    let absent = Published {
        reference: format!("oci:{}:9.9.9", images.dir.path().display()).parse().unwrap(),
        lock: good.lock.clone(),
    };
    let wanted = [
        (unsigned.desired("unsigned"), "ErrUnsigned"),
        (other_key.desired("other-key"), "ErrBadSignature"),
        (tampered.desired("tampered"), "ErrUnsigned"),
        (swapped.desired_as("swapped", &unsigned.fingerprint()), "ErrFingerprintMismatch"),
        (gone.desired_as("gone", &unsigned.fingerprint()), "ErrUnreachable"),
        (absent.desired_as("absent", &unsigned.fingerprint()), "ErrNothingToVerify"),
    ];
    for (says, code) in wanted {
        let ack = node.wants(says).await;
        assert_eq!((&ack["state"], &ack["code"]), (&json!("failed"), &json!(code)), "{ack}");
        served.decides_by("1.1.0").await;
        assert_eq!(served.status().await["lock_fingerprint"], good.fingerprint());
    }
    served.end().await;
    assert_eq!(node.active_lock().unwrap()["lock_fingerprint"], good.fingerprint());
    let accepted = node.entries().iter().filter(|it| it["step"] == "accepted").count();
    assert_eq!(accepted, 1, "a refusal raises no floor");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_release_needs_a_permit_that_works_once() {
    let (images, node) = (Images::new(), Node::new().await);
    let (old, new) = (images.publish(1, Some(&key(1))), images.publish(2, Some(&key(1))));
    let served = node.start().await;
    assert_eq!(node.wants(new.desired("new")).await["state"], "activated");
    let refused = node.wants(old.desired("old")).await;
    assert_eq!((&refused["state"], &refused["code"]), (&json!("failed"), &json!("ErrRollback")));
    served.decides_by("1.2.0").await;

    let now = Timestamp::now();
    let permit = PermitContent {
        node: "edge-1".to_owned(),
        lock_fingerprint: old.lock.stored_fingerprint(),
        release_counter: 1,
        reason: "1.2.0 drops things".to_owned(),
        nonce: Nonce::new([7; 16]),
        created_at: now,
        expires_at: now + Duration::from_hours(1),
    };
    // By a key that nobody trusts first.
    std::fs::write(node.permit(), permit.sign(&key(2)).unwrap()).unwrap();
    assert_eq!(node.wants(old.desired("old by a stranger")).await["code"], "ErrRollback");
    std::fs::write(node.permit(), permit.sign(&key(1)).unwrap()).unwrap();
    assert_eq!(node.wants(old.desired("old, permitted")).await["state"], "activated");
    served.decides_by("1.1.0").await;
    assert_eq!(node.wants(new.desired("new once more")).await["state"], "activated");
    served.decides_by("1.2.0").await;
    let used = node.wants(old.desired("old, permitted twice")).await;
    assert_eq!(used["code"], "ErrRollback");
    assert!(used["detail"].as_str().unwrap().contains("used already"), "{used}");
    served.decides_by("1.2.0").await;
    served.end().await;
    let reasons: Vec<_> = node
        .entries()
        .iter()
        .filter(|it| it["grounds"] == "permitted")
        .map(|it| it["permit_reason"].clone())
        .collect();
    assert_eq!(reasons, ["1.2.0 drops things"]);
}

/// Restarts a node that has activated release 2, after `between`, and returns what it says to release 1.
async fn after_a_restart(between: impl FnOnce(&Path)) -> Value {
    let (images, node) = (Images::new(), Node::new().await);
    let (old, new) = (images.publish(1, Some(&key(1))), images.publish(2, Some(&key(1))));
    let served = node.start().await;
    assert_eq!(node.wants(new.desired("new")).await["state"], "activated");
    served.end().await;
    between(&node.wal());
    let served = node.start().await;
    served.decides_by("1.2.0").await;
    let ack = node.wants(old.desired("old")).await;
    served.decides_by("1.2.0").await;
    served.end().await;
    ack
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_floor_survives_a_restart_without_its_file_and_an_archived_log() {
    let ack = after_a_restart(|_| ()).await;
    assert_eq!(ack["code"], "ErrRollback");
    let ack =
        after_a_restart(|wal| std::fs::remove_file(wal.join("active-lock.json")).unwrap()).await;
    assert_eq!(ack["code"], "ErrRollback", "the log remembers");
    let ack = after_a_restart(|wal| {
        archive(wal);
        std::fs::remove_file(wal.join("active-lock.json")).unwrap();
    })
    .await;
    assert_eq!(ack["code"], "ErrRollback", "the archived log remembers");
    let ack = after_a_restart(|wal| {
        archive(wal);
        assert!(carry_floor(&opening(wal)).unwrap());
        assert!(!carry_floor(&opening(wal)).unwrap(), "once is enough");
        std::fs::remove_dir_all(wal.join("archive")).unwrap();
        std::fs::remove_file(wal.join("active-lock.json")).unwrap();
    })
    .await;
    assert_eq!(ack["code"], "ErrRollback", "the log that was begun by hand remembers");
    let ack =
        after_a_restart(|wal| std::fs::write(wal.join("active-lock.json"), "{").unwrap()).await;
    assert_eq!(ack["code"], "ACTIVE_LOCK_DAMAGED", "unknown is not nothing");
}

/// An older copy of the file does not bring an older release back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_active_is_not_what_a_file_from_before_says() {
    let (images, node) = (Images::new(), Node::new().await);
    let (old, new) = (images.publish(1, Some(&key(1))), images.publish(2, Some(&key(1))));
    let served = node.start().await;
    assert_eq!(node.wants(old.desired("old")).await["state"], "activated");
    let file = node.wal().join("active-lock.json");
    let before = std::fs::read(&file).unwrap();
    assert_eq!(node.wants(new.desired("new")).await["state"], "activated");
    std::fs::write(&file, before).unwrap();
    assert_eq!(node.wants(old.desired("old again")).await["code"], "ErrRollback");
    served.decides_by("1.2.0").await;
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_release_is_activated_at_a_time() {
    let (images, node) = (Images::new(), Node::new().await);
    let release = images.publish(1, Some(&key(1)));
    let served = node.start().await;
    let turn = release_turn(&OsVfs, &node.wal(), "somebody else").unwrap();
    let refused = node.wants(release.desired("rel-1")).await;
    assert_eq!(refused["code"], "RELEASE_BUSY");
    assert!(refused["detail"].as_str().unwrap().contains("somebody else"), "{refused}");
    let mut acks = node.plane.acks.subscribe();
    drop(turn);
    // It asks again by itself.
    acks.wait_for(|it| it.last().is_some_and(|it| it["state"] == "activated")).await.unwrap();
    served.decides_by("1.1.0").await;
    served.end().await;
}

/// Archives a log at rest, as an operator does who takes it for delivered.
fn archive(wal: &Path) {
    let mut reader = Reader::open(&OsVfs, wal).unwrap();
    let mut last = 0;
    while let Some(item) = reader.next_entry().unwrap() {
        last = item.seq.get();
    }
    std::fs::write(wal.join("telemetry.pos"), last.to_le_bytes()).unwrap();
    wal_recovery::archive::archive(&OsVfs, &opening(wal)).unwrap();
}

fn opening(wal: &Path) -> wal_recovery::Opening {
    wal_recovery::Opening {
        dir: wal.to_owned(),
        node: "edge-1".to_owned(),
        random: [9; 16],
        now: Timestamp::now(),
        overrides: wal_recovery::Overrides::default(),
        durability: wal_recovery::Durability::Chained,
        holder: "a test".to_owned(),
    }
}

/// What `policy load --lock` does beside a runtime that is at work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_is_loaded_beside_a_runtime_is_recorded_by_it() {
    let (images, node) = (Images::new(), Node::new().await);
    let release = images.publish(1, Some(&key(1)));
    let config = Config { releases: None, ..node.config() };
    let trust = node.config().releases.unwrap().trust.unwrap();
    let served = node.start_with(config).await;
    let (wal, reference) = (node.wal(), release.reference.clone());
    let slots = Slots::new(Arc::new(OsVfs), &node.dir.path().join("policy"), runtime::version());
    let recorded = tokio::task::spawn_blocking(move || {
        let known = remembered(&OsVfs, &wal).unwrap();
        let seen = (&known, &slots, Timestamp::now());
        let candidate = check_release(&trust, "edge-1", &reference, None, seen).unwrap();
        let recorded = record_by_hand(&opening(&wal), &candidate, &reference).unwrap();
        load(&candidate, &slots, &wal, &reference.to_string()).unwrap();
        recorded
    });
    assert_eq!(recorded.await.unwrap(), Recorded::LeftToRuntime);
    for _ in 0..2 {
        let reload = client().post(format!("{}/v1/policy/reload", served.url));
        assert_eq!(reload.send().await.unwrap().status(), 200);
    }
    served.decides_by("1.1.0").await;
    assert_eq!(served.status().await["lock_fingerprint"], release.fingerprint());
    served.end().await;
    let accepted: Vec<_> =
        node.entries().into_iter().filter(|it| it["step"] == "accepted").collect();
    assert_eq!(accepted.len(), 1, "once, however often it reloads: {accepted:?}");
    assert_eq!(accepted[0]["by"], "hand");
    assert_eq!(accepted[0]["lock_fingerprint"], release.fingerprint());
    assert_eq!(accepted[0]["floor"]["highest"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_mode_takes_no_release() {
    let (images, node) = (Images::new(), Node::new().await);
    let release = images.publish(1, Some(&key(1)));
    let served = node.start_with(Config { strict: true, ..node.config() }).await;
    let ack = node.wants(release.desired("rel-1")).await;
    assert_eq!(ack["code"], "STRICT_MODE");
    assert_eq!(served.echo().await.1, "deny");
    served.end().await;
    assert_eq!(node.active_lock(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plan_brings_is_told_activated_then_healthy_and_after_a_restart_anew() {
    let (images, node) = (Images::new(), Node::new().await);
    let release = images.publish(1, Some(&key(1)));
    let served = node.start().await;
    let ack = node.wants(release.planned("arm-1")).await;
    assert_eq!((&ack["state"], &ack["plan_id"]), (&json!("activated"), &json!("arm-1")));
    assert_eq!(node.says("healthy").await["plan_id"], "arm-1");
    served.end().await;
    node.plane.acks.send_modify(Vec::clear);

    let served = node.start().await;
    assert_eq!(node.says("healthy").await["lock_fingerprint"], release.fingerprint());
    assert_eq!(node.plane.acks.borrow()[0]["state"], "activated", "H1");
    served.end().await;
    let steps: Vec<_> = node.entries().iter().map(|it| it["step"].clone()).collect();
    let count = |step: &str| steps.iter().filter(|it| **it == json!(step)).count();
    assert_eq!((count("activated"), count("healthy")), (1, 2), "{steps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_denies_everything_does_not_say_that_it_is_healthy() {
    let (images, node) = (Images::new(), Node::new().await);
    let release = images.publish(1, Some(&key(1)));
    let served = node.start().await;
    node.wants(release.planned("arm-1")).await;
    node.says("healthy").await;
    served.end().await;
    node.plane.acks.send_modify(Vec::clear);

    let served = node.start_with(Config { strict: true, ..node.config() }).await;
    let ack = node.says("failed").await;
    assert!(["NODE_NOT_WELL", "STRICT_MODE"].contains(&ack["code"].as_str().unwrap()), "{ack}");
    node.plane.rounds(25).await;
    assert!(node.plane.acks.borrow().iter().all(|it| it["state"] != "healthy"));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_that_is_refused_for_good_is_on_record_once_and_not_sent_again() {
    let (images, node) = (Images::new(), Node::new().await);
    let release = images.publish(1, Some(&key(1)));
    node.plane.answer.send_replace((409, "NODE_NOT_TARGETED"));
    let served = node.start().await;
    node.wants(release.planned("arm-1")).await;
    node.plane.rounds(50).await;
    assert_eq!(node.plane.acks.borrow().len(), 1);
    // Another plan with the same content is another matter.
    node.plane.answer.send_replace((503, "OVERLOADED"));
    node.wants(release.planned("arm-2")).await;
    node.plane.rounds(3).await;
    node.plane.answer.send_replace((204, ""));
    node.says("healthy").await;
    served.end().await;
    let said: Vec<_> = node
        .entries()
        .iter()
        .filter(|it| it["step"].as_str().is_some_and(|it| it.starts_with("ack_")))
        .map(|it| (it["step"].clone(), it["code"].clone(), it["plan_id"].clone()))
        .collect();
    let row = |step: &str, code: &str, plan: &str| (json!(step), json!(code), json!(plan));
    let refused = row("ack_refused", "NODE_NOT_TARGETED", "arm-1");
    assert_eq!(said, [refused, row("ack_failed", "CONTROL_PLANE_REFUSED", "arm-2")]);
}
