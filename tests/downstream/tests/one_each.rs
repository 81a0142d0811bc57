//! Each crate that `src/main.rs` does without, used once for what it is for.

use std::{collections::BTreeSet, num::NonZeroUsize, path::Path, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use vfs::OsVfs;

/// Asks a server of this test.
async fn ask(port: u16, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn api_reads_what_a_runtime_answers() {
    let answer =
        r#"{"decision":"deny","policy_ref":"1.0.0","audit_id":"a","seq":5,"code":"policy_denied"}"#;
    let answer: api::tool::ToolResponse = serde_json::from_str(answer).unwrap();
    assert_eq!(answer.decision, api::tool::Verdict::Deny);
}

#[test]
fn audit_keeps_a_record_and_verifies_it() {
    use audit::{Category, NewRecord, Outcome, Settings, Source, Trail, Verdict, verify};
    let dir = tempfile::tempdir().unwrap();
    let vfs: Arc<dyn vfs::Vfs> = Arc::new(OsVfs);
    let now = jiff::Timestamp::now();
    let mut trail =
        Trail::open(vfs.clone(), dir.path(), Settings::new(Source::Cli, "pid 1")).unwrap();
    let record = NewRecord::new(
        "arm.moved",
        (Category::Rollout, "create"),
        Outcome::Success,
        Source::Cli,
        now,
    );
    trail.append(&[record.by("ada")], now).unwrap();
    assert!(
        matches!(verify(&vfs, dir.path()).unwrap(), Verdict::Whole(it) if it.head == trail.head())
    );
}

#[test]
fn cli_is_a_clap_command_that_a_program_can_look_at() {
    let command = cli::command();
    let names: BTreeSet<_> = command.get_subcommands().map(clap::Command::get_name).collect();
    assert!(names.contains("doctor") && names.contains("telemetry"), "{names:?}");
}

#[tokio::test]
async fn connections_serves_a_router_until_it_is_stopped() {
    let (listener, port) = listener().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let router = axum::Router::new().route("/", axum::routing::get(|| async { "it moves" }));
    let served = tokio::spawn(async move {
        let stopped = async { stopped.await.unwrap_or(()) };
        connections::serve(listener, router, &connections::Bounds::STANDARD, stopped).await;
    });
    assert!(ask(port, "GET", "/", "").await.ends_with("it moves"));
    drop(stop);
    served.await.unwrap();
}

#[test]
fn daemon_puts_the_steps_of_a_plan_in_order() {
    let file = br#"{"version": 1, "name": "nightly", "fired_at": "2026-04-20T12:00:00Z", "steps": [
        {"id": "wave", "tool": "tool.echo", "params": {"message": "b"}, "effect": "none", "depends_on": ["look"]},
        {"id": "look", "tool": "tool.echo", "params": {"message": "a"}, "effect": "none"}]}"#;
    let mandate = daemon::Plan::parse(file).unwrap().mandate(None).unwrap();
    let order: Vec<_> = mandate.commit.steps.iter().map(|it| it.step_id.as_str()).collect();
    assert_eq!(order, ["look", "wave"]);
}

#[test]
fn goal_survives_in_its_file() {
    use goal::{Clock, Goal, LinuxLiveness, NewGoal, Place, Status, Store};
    struct Wall;
    impl Clock for Wall {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::now()
        }
        fn pause(&self, duration: jiff::SignedDuration) {
            std::thread::sleep(duration.unsigned_abs());
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let place = Place::in_state_dir(dir.path());
        let alive = Arc::new(LinuxLiveness::new().unwrap());
        Store::new(Arc::new(OsVfs), place, std::process::id(), alive, Arc::new(Wall))
    };
    let store = open();
    let held = store.lock(jiff::SignedDuration::from_secs(30)).unwrap();
    let new = NewGoal { goal_id: "g-1".to_owned(), title: "Wave".to_owned(), ..NewGoal::default() };
    store.begin(&held, &Goal::new(new, store.now()), false).unwrap();
    drop(held);
    assert_eq!(open().load().unwrap().status(), Status::Active);
}

#[test]
fn logging_starts_once() {
    logging::init(logging::Format::Json, "info").unwrap();
    tracing::info!(joint = 3, "moved");
    assert!(logging::init(logging::Format::Json, "info").is_err());
}

#[tokio::test]
async fn orchestrator_answers_whether_it_is_well() {
    let dir = tempfile::tempdir().unwrap();
    let off = |name: &str| (name == "AUTONOMY_RBAC_ENFORCEMENT").then(|| "0".into());
    let config = orchestrator::Config::from_lookup(Some(dir.path().to_owned()), &off).unwrap();
    let (listener, port) = listener().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let served =
        tokio::spawn(orchestrator::serve(config, listener, async { stopped.await.unwrap_or(()) }));
    let answer = ask(port, "GET", "/v1/health", "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(stop);
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn otlp_receiver_keeps_what_otlp_encodes() {
    use otlp_receiver::{Config, Keep, Limits, serve};
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events.jsonl");
    let (listener, port) = listener().await;
    let keep = Keep::file(file.clone(), "pid 1".to_owned());
    let config = Config { name: "sink", keep, forward: None, limits: Limits::STANDARD };
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, config, async { stopped.await.unwrap_or(()) }));
    let record = otlp::Record { body: "the arm moved".into(), ..otlp::Record::default() };
    let body = otlp::encode(otlp::Encoding::Json, &otlp::Resource::default(), &[record]);
    let answer = ask(port, "POST", "/v1/logs", &String::from_utf8(body).unwrap()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(stop);
    served.await.unwrap().unwrap();
    assert!(std::fs::read_to_string(file).unwrap().contains("the arm moved"));
}

#[test]
fn rollout_store_keeps_a_plan_in_memory_and_in_a_file() {
    use rollout_store::{
        Actor, MemoryStore, Moment, PlanRequest, RolloutReader as _, RolloutStore, SqliteReader,
        SqliteStore, Strictness, Write,
    };
    fn create(store: &mut impl RolloutStore) {
        let body = serde_json::json!({
            "metadata": { "id": "arm-7" },
            "artifact_ref": format!("oci://images.example/arm@sha256:{}", "0f".repeat(32)),
            "target_lock_fingerprint": format!("blake3:{}", "0a".repeat(32)),
            "stages": [{ "id": "all", "percent": 100 }],
        });
        let request = PlanRequest::parse(body.to_string().as_bytes(), Strictness::Warn).unwrap();
        let request = Box::new(request);
        let epoch = store.acquire().unwrap();
        let create = Write::Create { request, by: Actor::new("ada").unwrap() };
        let now = Moment::from_unix_ms(1_767_323_045_000);
        assert!(store.apply(epoch, now, &[create.into()]).unwrap().remove(0).is_ok());
    }
    let plan = rollout_store::PlanId::new("arm-7").unwrap();
    let mut memory = MemoryStore::new();
    create(&mut memory);
    assert!(memory.rollout(&plan).unwrap().is_some());
    let dir = tempfile::tempdir().unwrap();
    create(&mut SqliteStore::open(&dir.path().join("plans.db")).unwrap());
    let reader = SqliteReader::open(&dir.path().join("plans.db")).unwrap();
    assert!(reader.rollout(&plan).unwrap().is_some());
}

#[tokio::test]
async fn runtime_denies_while_it_has_no_policy() {
    use runtime::{Config, Echo, PolicyFrom, Runtime, Tools};
    let dir = tempfile::tempdir().unwrap();
    let slots = PolicyFrom::Slots(dir.path().join("policy"));
    let config = Config::new(dir.path().join("wal"), slots, "arm-1");
    let runtime = Runtime::open(&config, Tools::default().with(Echo)).await.unwrap();
    let (listener, port) = listener().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(runtime.serve(listener, async { stopped.await.unwrap_or(()) }));
    let call = r#"{"kind":"tool.echo","params":{"message":"hi"}}"#;
    let answer = ask(port, "POST", "/v1/tool", call).await;
    assert!(answer.contains(r#""decision":"deny""#) && answer.contains("no_policy"), "{answer}");
    drop(stop);
    served.await.unwrap().unwrap();
}

#[test]
fn supply_chain_verifies_what_it_signed_and_nothing_else() {
    use supply_chain::{
        Layout, MAX_AGE, Reference, SigningKey, Trust, Wanted, gather, publish_signature,
        push_artifact, verify,
    };
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("layout");
    let image: Reference = format!("oci:{}:1.0.0", place.display()).parse().unwrap();
    let layout = Layout::open_or_begin(Arc::new(OsVfs), &place).unwrap();
    let now = jiff::Timestamp::now();
    let (key, stranger) = (SigningKey::generate([7; 32]), SigningKey::generate([8; 32]));
    let pushed = push_artifact(&layout, &image, &[b"an arm"]).unwrap();
    publish_signature(&layout, &image.place, &pushed.digest, &key, Some(now)).unwrap();
    let good = |key: &SigningKey| {
        let wanted = Wanted { lock: false, policy: false, contents: true };
        let material = gather(&layout, &image, wanted).unwrap();
        let keys = vec![key.public().clone()];
        let trust = Trust { keys, threshold: NonZeroUsize::MIN, max_age: Some(MAX_AGE), now };
        verify(material, &trust, &|_| Err("no bundle was asked for".to_owned())).result.is_ok()
    };
    assert!(good(&key) && !good(&stranger));
}

#[test]
fn tls_refuses_what_is_no_certificate() {
    let private = tls::Material { authorities: Some(b"not a certificate".to_vec()), client: None };
    assert!(private.client_config().is_err());
}

#[test]
fn vfs_replaces_a_file_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("place");
    vfs::replace(&OsVfs, &file, b"here").unwrap();
    assert_eq!(vfs::read_whole(&OsVfs, &file, 8).unwrap().unwrap(), b"here");
    assert!(vfs::read_whole(&OsVfs, Path::new("/does/not/exist"), 8).unwrap().is_none());
}
