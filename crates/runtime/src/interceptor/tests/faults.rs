//! One fault at a time, through the router: what is answered, what is on record, what has run.

use std::{
    collections::BTreeMap,
    sync::mpsc,
    task::{Context, Waker},
};

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use policy::{Bundle, Recipe, RuntimeRequirement};
use vfs::{OpenMode, Vfs as _};

use super::*;
use crate::{server, shape};

/// A request, and what must come of it.
struct Case {
    name: &'static str,
    plan: Plan,
    /// Done to the world just before the request.
    before: fn(&World),
    method: &'static str,
    header: Option<(&'static str, &'static str)>,
    body: Vec<u8>,
    status: u16,
    verdict: Verdict,
    code: Option<&'static str>,
    /// Whether the decision is on record.
    recorded: bool,
    /// How often the tool was reached.
    reached: usize,
}

/// A call that a policy allows and a tool carries out; each case changes one thing.
fn case(name: &'static str, status: u16, code: &'static str) -> Case {
    Case {
        name,
        plan: Plan::new(allow(), Act::Succeed),
        before: |_| {},
        method: "POST",
        header: None,
        body: br#"{"kind":"tool.probe"}"#.to_vec(),
        status,
        verdict: Verdict::Deny,
        code: Some(code),
        recorded: true,
        reached: 0,
    }
}

fn by(evaluator: impl Evaluator + 'static, name: &'static str, code: &'static str) -> Case {
    let plan = Plan { evaluator: Arc::new(evaluator), ..Plan::new(allow(), Act::Succeed) };
    Case { plan, ..case(name, 403, code) }
}

fn body(name: &'static str, body: impl Into<Vec<u8>>) -> Case {
    Case { body: body.into(), ..case(name, 400, "BAD_REQUEST") }
}

fn disk(name: &'static str, status: u16, code: &'static str, before: fn(&World)) -> Case {
    Case { before, recorded: false, ..case(name, status, code) }
}

fn tool(act: Act, name: &'static str, code: &'static str) -> Case {
    let plan = Plan::new(allow(), act);
    Case { plan, verdict: Verdict::Allow, reached: 1, ..case(name, 400, code) }
}

/// A policy of this text.
fn rego(text: &str) -> impl Evaluator + 'static {
    let files = BTreeMap::from([("p.rego".to_owned(), text.as_bytes().to_vec())]);
    let requirement = RuntimeRequirement::parse(">=0.0.0").unwrap();
    let created_at = Timestamp::UNIX_EPOCH;
    let recipe = Recipe { version: "1.0.0", name: None, requirement: &requirement, created_at };
    let built = policy::build(&files, &recipe).unwrap();
    Bundle::open(&built.bytes).unwrap().evaluator().unwrap()
}

/// Breaks when it is asked, or when it is asked for its name.
#[derive(Debug)]
struct Breaks {
    evaluate: bool,
}

impl Evaluator for Breaks {
    fn evaluate(&self, _: &policy::Request) -> Decision {
        assert!(!self.evaluate, "a bug in the evaluator");
        allow()
    }

    fn policy_ref(&self) -> &'static str {
        "7.0.0"
    }

    fn policy_digest(&self) -> &'static str {
        assert!(self.evaluate, "a bug in the name");
        "sha256:00"
    }
}

fn writes_fail(world: &World, fault: Fault) {
    let write = move |_, op: &Op| matches!(op, Op::Write { .. }).then_some(fault);
    world.vfs.set_plan(FaultPlan::new(write));
}

/// One entry waits, and nobody writes it before the request was answered.
fn fill_the_queue(world: &World) {
    let (takes, has_taken) = mpsc::channel();
    let interceptor = Arc::clone(&world.interceptor);
    std::thread::spawn(move || {
        interceptor.journal.with_writer(|_| {
            takes.send(()).unwrap();
            while interceptor.refusals.is_empty() {
                std::thread::yield_now();
            }
        })
    });
    has_taken.recv().unwrap();
    let event = crate::records::lifecycle("filler");
    let mut waits = std::pin::pin!(world.interceptor.journal.append(&event));
    assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

const WAL: &str = "/wal/telemetry.wal";

fn evaluators() -> Vec<Case> {
    let endless = "package autonomy\n\
        allow if { some a in numbers.range(1, 9000); some b in numbers.range(1, 9000); a * b < 0 }";
    let call_a_human = vec![json!("call a human")];
    let large = json!({ "kind": "tool.probe", "params": { "x": "y".repeat((1 << 20) - 60) } });
    vec![
        by(policy::DenyAll::no_policy(), "no policy", "no_policy"),
        by(policy::DenyAll::strict_mode(), "strict mode", "strict_mode"),
        by(Breaks { evaluate: true }, "evaluator panics", "evaluator_panicked"),
        by(Breaks { evaluate: false }, "the name of a policy panics", "evaluator_panicked"),
        by(rego("package autonomy\nallow if 1 / 0 == 1"), "policy fails", "evaluation_error"),
        by(rego("package autonomy\nallow := \"yes\""), "no boolean", "bad_policy_result"),
        by(rego("package autonomy\nallow if input.kind == \"x\""), "undefined", "no_rule_matched"),
        by(rego("package autonomy\ndefault allow := false"), "policy says no", "policy_denied"),
        by(rego(endless), "policy takes too long", "evaluation_timeout"),
        Case {
            body: large.to_string().into_bytes(),
            ..by(rego("package autonomy\nallow if true"), "request too large", "request_too_large")
        },
        by(Says(Decision::allow(None, call_a_human)), "unmet obligation", "OBLIGATION_UNKNOWN"),
        by(Says(Decision::allow(None, vec![json!("panic")])), "meets panics", "OBLIGATION_UNKNOWN"),
    ]
}

fn logs() -> Vec<Case> {
    let mut full = disk("queue is full", 503, "OVERLOADED", fill_the_queue);
    full.plan.queue_bytes = 0;
    let mut long = disk("entry is too large", 413, "BODY_TOO_LARGE", |_| {});
    long.plan.operator = "x".repeat(17 << 20);
    long.plan.evaluator = Arc::new(Says(allow()));
    vec![
        disk("write fails", 503, "WAL_UNAVAILABLE", |it| writes_fail(it, Fault::Eio)),
        disk("disk is read-only", 503, "WAL_UNAVAILABLE", |it| writes_fail(it, Fault::ReadOnly)),
        disk("disk is full", 503, "WAL_DISK_FULL", |it| writes_fail(it, Fault::Enospc)),
        disk("sync fails", 503, "WAL_UNAVAILABLE", |it| {
            let sync = |_, op: &Op| matches!(op, Op::Sync(_)).then_some(Fault::Eio);
            it.vfs.set_plan(FaultPlan::new(sync));
        }),
        disk("power is lost", 503, "WAL_UNAVAILABLE", |it| it.vfs.set_plan(FaultPlan::crash_at(0))),
        disk("log is replaced", 503, "WAL_UNAVAILABLE", |it| {
            it.vfs.remove(Path::new(WAL)).unwrap();
            it.vfs.open(Path::new(WAL), OpenMode::Create).unwrap();
        }),
        disk("log is removed", 503, "WAL_UNAVAILABLE", |it| {
            it.vfs.remove(Path::new(WAL)).unwrap();
        }),
        disk("safe point is removed", 503, "WAL_UNAVAILABLE", |it| {
            it.vfs.remove(Path::new("/wal/telemetry.safe_seq")).unwrap();
        }),
        disk("log is closed", 503, "WAL_UNAVAILABLE", |it| it.interceptor.journal.close().unwrap()),
        full,
        long,
    ]
}

fn tools() -> Vec<Case> {
    vec![
        tool(Act::Fail, "tool fails", "tool_failed"),
        tool(Act::Panic, "tool panics", "tool_failed"),
        tool(Act::Hang, "tool hangs", "tool_timeout"),
        tool(Act::TooMuch, "tool returns too much", "output_too_large"),
        tool(Act::BadParams, "tool refuses parameters", "bad_params"),
        tool(Act::NotAllowed, "tool refuses the endpoint", "endpoint_not_allowed"),
        Case {
            before: |it| {
                let mut syncs = 0;
                it.vfs.set_plan(FaultPlan::new(move |_, op| {
                    let log = matches!(op, Op::Sync(path) if path.ends_with("telemetry.wal"));
                    syncs += u32::from(log);
                    (log && syncs == 2).then_some(Fault::Eio)
                }));
            },
            status: 500,
            ..tool(Act::Succeed, "outcome is not synced", "OUTCOME_NOT_RECORDED")
        },
    ]
}

fn bodies() -> Vec<Case> {
    let (open, close) = ("[".repeat(shape::DEPTH_MAX), "]".repeat(shape::DEPTH_MAX));
    let deep = format!(r#"{{"kind":"t","params":{{"x":{open}{close}}}}}"#);
    let long = vec![b' '; Config::MAX_BODY + 1];
    vec![
        body("empty body", ""),
        body("no JSON", "hello"),
        body("half of JSON", r#"{"kind":"tool.probe""#),
        body("two values", r#"{"kind":"t"} {"kind":"t"}"#),
        body("no object", r#"["tool.probe",{}]"#),
        body("no kind", "{}"),
        body("empty kind", r#"{"kind":""}"#),
        body("long kind", format!(r#"{{"kind":"{}"}}"#, "k".repeat(257))),
        body("unknown field", r#"{"kind":"tool.probe","parms":{}}"#),
        body("parameters are no object", r#"{"kind":"tool.probe","params":[1]}"#),
        body("field twice", r#"{"kind":"tool.probe","kind":"tool.other"}"#),
        body("reserved key", r#"{"kind":"t","params":{"$serde_json::private::RawValue":"1"}}"#),
        body("no UTF-8", b"{\"kind\":\"\xff\xfe\"}".to_vec()),
        body("lone surrogate", r#"{"kind":"\ud800"}"#),
        body("too deep", deep),
        Case { body: long, ..case("too long", 413, "BODY_TOO_LARGE") },
        Case { method: "GET", ..case("other method", 405, "METHOD_NOT_ALLOWED") },
    ]
}

fn visitors_and_crowds() -> Vec<Case> {
    let unseen = |name, status, code| Case { recorded: false, ..case(name, status, code) };
    let mut full = unseen("too many calls", 503, "OVERLOADED");
    full.plan.limits.calls = 0;
    vec![
        full,
        Case { header: Some(("origin", "null")), ..unseen("web page", 403, "BROWSER_REFUSED") },
        Case { header: Some(("host", "evil.example")), ..unseen("name", 403, "HOST_REFUSED") },
    ]
}

/// Neither is a failure: entries are ordered by their numbers.
fn clocks() -> Vec<Case> {
    let clock = |name, clock: fn() -> Timestamp| Case {
        plan: Plan { clock, ..Plan::new(allow(), Act::Succeed) },
        verdict: Verdict::Allow,
        code: None,
        reached: 1,
        ..case(name, 200, "")
    };
    vec![
        clock("clock goes back", || Timestamp::UNIX_EPOCH),
        clock("clock is far ahead", || "9000-01-01T00:00:00Z".parse().unwrap()),
    ]
}

impl World {
    async fn ask(&self, request: Request<Body>) -> (u16, ToolResponse) {
        let front = server::Front::new(server::App::of_tests(Arc::clone(&self.interceptor)));
        let response = front.serve(([127, 0, 0, 1], 1).into(), request).await;
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }
}

async fn check(case: Case) {
    let name = case.name;
    let world = case.plan.make();
    (case.before)(&world);
    let mut request = Request::builder().method(case.method).uri("/v1/tool");
    if let Some((name, value)) = case.header {
        request = request.header(name, value);
    }
    let (status, answer) = world.ask(request.body(Body::from(case.body)).unwrap()).await;
    let got = (status, answer.decision, answer.code.as_deref());
    assert_eq!(got, (case.status, case.verdict, case.code), "{name}: {answer:?}");
    assert_eq!(answer.seq.is_some(), case.recorded, "{name}: {answer:?}");
    assert_eq!(world.reached(), case.reached, "{name}");
    if !case.recorded {
        assert_eq!(answer.decision, Verdict::Deny, "{name}: allowed without a record");
        return;
    }
    let entries = events(&world.vfs);
    let of_call = |it: &&Value| it["attrs"]["audit_id"] == answer.audit_id.as_str();
    let is_decision = |it: &&Value| it["kind"] == "autonomy.decision";
    let decisions: Vec<_> = entries.iter().filter(of_call).filter(is_decision).collect();
    assert_eq!(decisions.len(), 1, "{name}: {entries:?}");
    let attrs = &decisions[0]["attrs"];
    assert_eq!(attrs["decision"], case.verdict.as_str(), "{name}");
    assert_eq!(attrs["policy_ref"], answer.policy_ref.as_str(), "{name}");
    if case.verdict == Verdict::Deny {
        assert_eq!(attrs["code"].as_str(), case.code, "{name}");
    }
    let outcomes = entries.iter().filter(of_call).count() - 1;
    assert_eq!(outcomes, case.reached, "{name}: {entries:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_fault_denies_or_fails_with_its_code_and_is_on_record_when_the_log_works() {
    let cases = [evaluators(), logs(), tools(), bodies(), visitors_and_crowds(), clocks()];
    let cases: Vec<_> = cases.into_iter().flatten().collect();
    assert_eq!(cases.len(), 52);
    let names: std::collections::BTreeSet<_> = cases.iter().map(|it| it.name).collect();
    assert_eq!(names.len(), cases.len());
    for case in cases {
        check(case).await;
    }
}
