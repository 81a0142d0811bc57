use std::{
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use policy::{Decision, DenyCode, Evaluator};
use serde_json::json;
use tokio::sync::Notify;
use vfs::{CrashPolicy, Fault, FaultPlan, MemVfs, Op, read_whole};
use wal_format::{Decoded, Frame};
use wal_recovery::{Durability, Log, Opening, Overrides, recover};

use super::*;
mod bounds;
mod crashes;
mod faults;

use crate::{
    PolicyFrom,
    tools::{Tool, ToolCall, ToolError, ToolErrorCode, ToolFuture},
};

/// Answers what it was told to.
#[derive(Debug)]
struct Says(Decision);

impl Evaluator for Says {
    fn evaluate(&self, _request: &policy::Request) -> Decision {
        self.0.clone()
    }

    fn policy_ref(&self) -> &'static str {
        "7.0.0"
    }

    fn policy_digest(&self) -> &'static str {
        "sha256:00"
    }
}

/// What a probe does when it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Succeed,
    Fail,
    Panic,
    Hang,
    /// Does not come back from its first step until it is released.
    Block,
    /// Says that the parameters are wrong.
    BadParams,
    /// Says that the endpoint is not allowed.
    NotAllowed,
    /// Returns more than anybody wants.
    TooMuch,
    /// Power is lost right when the effect would happen.
    PowerLoss,
}

/// A tool that counts how often it is reached.
#[derive(Clone, Debug)]
struct Probe {
    act: Act,
    vfs: MemVfs,
    reached: Arc<AtomicUsize>,
    at_work: Arc<Notify>,
    log_then: Arc<Mutex<String>>,
}

impl Tool for Probe {
    fn kind(&self) -> &'static str {
        "tool.probe"
    }

    fn schema(&self) -> Value {
        json!({})
    }

    fn meets(&self, obligation: &Value) -> bool {
        assert_ne!(obligation, "panic", "a bug in the tool");
        false
    }

    fn run<'a>(&'a self, _call: &'a ToolCall) -> ToolFuture<'a> {
        self.reached.fetch_add(1, Ordering::SeqCst);
        self.at_work.notify_one();
        Box::pin(async move {
            match self.act {
                Act::Succeed => Ok(json!("done")),
                Act::Fail => Err(ToolError::new(ToolErrorCode::Failed, "it did not work")),
                Act::Panic => panic!("a bug in the tool"),
                Act::BadParams => Err(ToolError::new(ToolErrorCode::BadParams, "no")),
                Act::NotAllowed => Err(ToolError::new(ToolErrorCode::EndpointNotAllowed, "no")),
                Act::TooMuch => Ok(json!("x".repeat(Limits::STANDARD.output_bytes))),
                Act::Block => {
                    let released = self.log_then.lock().unwrap();
                    Ok(json!(released.as_str()))
                }
                Act::Hang => std::future::pending().await,
                Act::PowerLoss => {
                    self.vfs.power_loss(CrashPolicy::LoseAll);
                    *self.log_then.lock().unwrap() = log(&self.vfs);
                    Ok(Value::Null)
                }
            }
        })
    }
}

struct World {
    vfs: MemVfs,
    probe: Probe,
    interceptor: Arc<Interceptor>,
}

/// What a world is made of.
struct Plan {
    evaluator: Arc<dyn Evaluator>,
    act: Act,
    limits: Limits,
    operator: String,
    queue_bytes: usize,
    clock: fn() -> Timestamp,
}

impl Plan {
    fn new(decision: Decision, act: Act) -> Self {
        Self {
            evaluator: Arc::new(Says(decision)),
            act,
            limits: Limits::STANDARD,
            operator: "op".to_owned(),
            queue_bytes: wal_recovery::Limits::STANDARD.queue_bytes,
            clock: Timestamp::now,
        }
    }

    fn make(self) -> World {
        let vfs = MemVfs::default();
        let writer = recover(&vfs, &opening(1)).unwrap().writer;
        let limits = wal_recovery::Limits {
            queue_bytes: self.queue_bytes,
            ..wal_recovery::Limits::STANDARD
        };
        let log = Log::with_limits(writer, limits).unwrap();
        let journal = Journal::with_clock(log, self.clock);
        let probe = Probe {
            act: self.act,
            vfs: vfs.clone(),
            reached: Arc::default(),
            at_work: Arc::default(),
            log_then: Arc::default(),
        };
        // Only the tool that never ends is meant to reach its deadline.
        let hangs = matches!(self.act, Act::Hang | Act::Block);
        let config = Config {
            operator: Some(self.operator),
            limits: self.limits,
            tool_timeout: Duration::from_millis(if hangs { 50 } else { 60_000 }),
            ..config()
        };
        let policy = PolicyInForce::fixed(self.evaluator);
        let tools = Tools::default().with(probe.clone());
        let interceptor = Arc::new(Interceptor::new(journal, policy, tools, &config));
        World { vfs, probe, interceptor }
    }
}

fn opening(random: u8) -> Opening {
    Opening {
        dir: "/wal".into(),
        node: "n".to_owned(),
        random: [random; 16],
        now: Timestamp::now(),
        overrides: Overrides::default(),
        durability: Durability::Chained,
        holder: String::new(),
    }
}

fn config() -> Config {
    Config {
        wal_dir: "/wal".into(),
        policy: PolicyFrom::Slots("/policy".into()),
        node: "n".to_owned(),
        operator: Some("op".to_owned()),
        strict: false,
        overrides: Overrides::default(),
        durability: Durability::Chained,
        redact_params: false,
        max_body: Config::MAX_BODY,
        tool_timeout: Config::TOOL_TIMEOUT,
        wal_max_bytes: Config::WAL_MAX_BYTES,
        archive_keep: wal_recovery::archive::Keep::default(),
        collector: None,
        releases: None,
        limits: Limits::STANDARD,
        hosts: Vec::new(),
    }
}

fn world(decision: Decision, act: Act) -> World {
    Plan::new(decision, act).make()
}

fn allow() -> Decision {
    Decision::allow(Some("rule"), Vec::new())
}

fn call() -> Call {
    call_of("tool.probe")
}

fn call_of(kind: &str) -> Call {
    let params = Map::from_iter([("secret".to_owned(), json!("s3cr3t"))]);
    Call { audit_id: "audit-1".to_owned(), kind: kind.to_owned(), params, trace: None }
}

fn log(vfs: &MemVfs) -> String {
    let bytes = read_whole(vfs, Path::new("/wal/telemetry.wal"), u64::MAX).unwrap();
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// The events in the bytes of the log, synced or not.
fn events(vfs: &MemVfs) -> Vec<Value> {
    let bytes = read_whole(vfs, Path::new("/wal/telemetry.wal"), u64::MAX).unwrap().unwrap();
    events_in(&bytes)
}

fn events_in(bytes: &[u8]) -> Vec<Value> {
    let (mut rest, mut found) = (bytes, Vec::new());
    while let Ok(Decoded::Whole(frame, more)) = Frame::decode(rest) {
        found.push(serde_json::from_slice::<Value>(frame.payload()).unwrap()["event"].take());
        rest = more;
    }
    found
}

fn count(vfs: &MemVfs, text: &str) -> usize {
    log(vfs).matches(text).count()
}

impl World {
    async fn call(&self) -> Answer {
        self.interceptor.call(call(), Map::new()).await
    }

    fn reached(&self) -> usize {
        self.probe.reached.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decision_survives_a_power_loss_at_the_moment_of_the_effect() {
    let world = world(allow(), Act::PowerLoss);
    world.call().await;
    let log = world.probe.log_then.lock().unwrap().clone();
    assert!(log.contains(r#""decision":"allow""#) && log.contains("audit-1"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_call_is_recorded_twice_and_answered() {
    let world = world(allow(), Act::Succeed);
    let answer = world.call().await;
    assert_eq!((answer.status, answer.body.output), (200, Some(json!("done"))));
    assert_eq!(answer.body.policy_ref, "7.0.0");
    assert_eq!(count(&world.vfs, r#""outcome":"ok""#), 1);
    assert_eq!(count(&world.vfs, r#""audit_id":"audit-1""#), 2);
    assert_eq!(answer.body.seq, Some(2), "the number of the decision, not of the outcome");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_call_reaches_no_tool() {
    let deny = Decision::deny(DenyCode::PolicyDenied, Some("no"), Some("rule"));
    let world = world(deny, Act::Succeed);
    let answer = world.call().await;
    assert_eq!((answer.status, answer.body.reason.as_deref()), (403, Some("no")));
    assert_eq!(world.reached(), 0);
    assert_eq!(count(&world.vfs, r#""decision":"deny""#), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_obligation_that_nobody_can_meet_denies() {
    let world = world(Decision::allow(None, vec![json!("call a human")]), Act::Succeed);
    let answer = world.call().await;
    assert_eq!(answer.body.code.as_deref(), Some("OBLIGATION_UNKNOWN"));
    assert_eq!((answer.status, world.reached()), (403, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_cannot_be_recorded_denies_and_reaches_no_tool() {
    for (fault, code, heals) in [
        (Fault::Eio, "WAL_UNAVAILABLE", false),
        (Fault::ReadOnly, "WAL_UNAVAILABLE", false),
        (Fault::Enospc, "WAL_DISK_FULL", true),
    ] {
        let world = world(allow(), Act::Succeed);
        world.vfs.set_plan(FaultPlan::new(move |_, op| {
            (matches!(op, Op::Write { .. })).then_some(fault)
        }));
        let answer = world.call().await;
        assert_eq!((answer.status, answer.body.code.as_deref()), (503, Some(code)));
        assert_eq!((answer.body.decision, answer.body.seq), (Verdict::Deny, None));
        assert_eq!(world.reached(), 0, "{fault:?}");
        world.vfs.set_plan(FaultPlan::none());
        let status = world.call().await.status;
        assert_eq!(status, if heals { 200 } else { 503 }, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_of_the_decision_denies_although_the_bytes_were_written() {
    let world = world(allow(), Act::Succeed);
    world.vfs.set_plan(FaultPlan::new(|_, op| matches!(op, Op::Sync(_)).then_some(Fault::Eio)));
    let answer = world.call().await;
    assert_eq!((answer.status, world.reached()), (503, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_which_a_tool_ends_badly_is_an_outcome() {
    for (act, code) in
        [(Act::Fail, "tool_failed"), (Act::Panic, "tool_failed"), (Act::Hang, "tool_timeout")]
    {
        let world = world(allow(), act);
        let answer = world.call().await;
        assert_eq!((answer.status, answer.body.code.as_deref()), (400, Some(code)), "{act:?}");
        assert_eq!(answer.body.decision, Verdict::Allow);
        assert_eq!(count(&world.vfs, r#""outcome":"failed""#), 1, "{act:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_recorded_is_not_reported_as_success() {
    let world = world(allow(), Act::Succeed);
    let mut syncs = 0;
    world.vfs.set_plan(FaultPlan::new(move |_, op| {
        let log = matches!(op, Op::Sync(path) if path.ends_with("telemetry.wal"));
        syncs += u32::from(log);
        (log && syncs == 2).then_some(Fault::Eio)
    }));
    let answer = world.call().await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.body.code.as_deref(), Some("OUTCOME_NOT_RECORDED"));
    assert_eq!((answer.body.decision, world.reached()), (Verdict::Allow, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_changes_nothing() {
    let world = world(allow(), Act::Hang);
    let caller = tokio::spawn({
        let interceptor = Arc::clone(&world.interceptor);
        async move { interceptor.call(call(), Map::new()).await }
    });
    world.probe.at_work.notified().await;
    caller.abort();
    world.interceptor.drained().await;
    assert_eq!(count(&world.vfs, r#""code":"tool_timeout""#), 1, "{}", log(&world.vfs));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_too_many_is_refused() {
    let world = world(allow(), Act::Succeed);
    let all = u32::try_from(Limits::STANDARD.calls).unwrap();
    let permits = world.interceptor.permits.acquire_many(all).await.unwrap();
    let answer = world.call().await;
    assert_eq!((answer.status, answer.body.code.as_deref()), (503, Some("OVERLOADED")));
    drop(permits);
    assert_eq!(world.call().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_without_an_executor_is_a_pure_decision() {
    let world = world(allow(), Act::Succeed);
    let answer = world.interceptor.call(call_of("tool.robot.arm"), Map::new()).await;
    assert_eq!((answer.status, answer.body.output), (200, Some(Value::Null)));
    assert_eq!(count(&world.vfs, r#""outcome":"no_executor""#), 1);
}

#[test]
fn redacted_parameters_leave_only_their_digest() {
    let judged = Judgement {
        lock_fingerprint: None,
        verdict: Verdict::Allow,
        reason: None,
        code: None,
        rule: None,
        policy_ref: String::new(),
        policy_digest: String::new(),
        eval_us: 0,
        obligations: Vec::new(),
        asked: None,
    };
    let text = |redact_params| {
        let about = About { operator: None, redact_params };
        String::from_utf8(call().decision(&judged, &about).to_json()).unwrap()
    };
    assert!(text(false).contains("s3cr3t"));
    assert!(!text(true).contains("s3cr3t"));
    assert!(text(true).contains(r#""params_digest":"blake3:"#));
    let error = ToolError::new(ToolErrorCode::BadParams, "`s3cr3t` is not a number");
    let outcome = |redact_params| {
        let about = About { operator: None, redact_params };
        let event = call().outcome(&Outcome::Failed(error.clone()), &about);
        String::from_utf8(event.to_json()).unwrap()
    };
    assert!(outcome(false).contains("s3cr3t"));
    assert!(!outcome(true).contains("s3cr3t") && outcome(true).contains("bad_params"));
}

#[test]
fn parameters_that_no_consumer_would_take_leave_their_digest_and_length() {
    let judged = Judgement {
        lock_fingerprint: None,
        verdict: Verdict::Allow,
        reason: None,
        code: None,
        rule: None,
        policy_ref: String::new(),
        policy_digest: String::new(),
        eval_us: 0,
        obligations: Vec::new(),
        asked: None,
    };
    let mut call = call();
    call.params.insert("padding".to_owned(), json!("x".repeat(1 << 20)));
    let about = About { operator: None, redact_params: false };
    let event = call.decision(&judged, &about).to_json();
    assert!(event.len() < 2000);
    let event: Value = serde_json::from_slice(&event).unwrap();
    assert!(event["attrs"]["params_omitted_bytes"].as_u64().unwrap() > 1 << 20);
    assert!(event["attrs"]["params_digest"].as_str().unwrap().starts_with("blake3:"));
}

#[test]
fn every_code_has_its_own_text() {
    let texts: std::collections::BTreeSet<_> = CallCode::ALL.map(CallCode::as_str).into();
    assert_eq!(texts.len(), CallCode::ALL.len());
    let texts: std::collections::BTreeSet<_> = ToolErrorCode::ALL.map(ToolErrorCode::as_str).into();
    assert_eq!(texts.len(), ToolErrorCode::ALL.len());
}
