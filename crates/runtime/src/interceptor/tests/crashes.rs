//! The end of the world at every step of a life: what the next start finds.
//!
//! A life is a start and some calls: allowed, denied, failing, without an executor; between them the log
//! goes to the archive. Power is lost, or the process is killed, at each operation on the disk, and the
//! disk keeps what one of the crash policies leaves. After the next start one function checks everything.

use std::collections::{BTreeMap, BTreeSet};

use vfs::{Vfs as _, replace};
use wal_format::{Position, names};
use wal_recovery::{Reader, RollOver};

use super::*;
use crate::{
    rollover::switch,
    start::{OpenedLog, open_log},
};

/// Fewest points in all.
const POINTS_MIN: usize = 5_000;
const DIR: &str = "/wal";

/// Allows everything but `tool.deny`.
#[derive(Debug)]
struct ByKind;

impl Evaluator for ByKind {
    fn evaluate(&self, request: &policy::Request) -> Decision {
        match request.kind.as_str() {
            "tool.deny" => Decision::deny(DenyCode::PolicyDenied, None, None),
            _ => allow(),
        }
    }

    fn policy_ref(&self) -> &'static str {
        "7.0.0"
    }

    fn policy_digest(&self) -> &'static str {
        "sha256:00"
    }
}

/// The world outside, which no crash undoes.
#[derive(Clone, Debug, Default)]
struct Outside {
    effects: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

/// Changes the world outside.
#[derive(Debug)]
struct Effect {
    kind: &'static str,
    outside: Outside,
}

impl Tool for Effect {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn schema(&self) -> Value {
        json!({})
    }

    fn run<'a>(&'a self, call: &'a ToolCall) -> ToolFuture<'a> {
        self.outside.effects.lock().unwrap().push(call.audit_id.clone());
        Box::pin(async move {
            match self.kind {
                "tool.fail" => Err(ToolError::new(ToolErrorCode::Failed, "half of it is done")),
                _ => Ok(json!("done")),
            }
        })
    }
}

/// One start and its calls; ends early when the world does. `life` keeps ids apart.
async fn live(vfs: &MemVfs, outside: &Outside, life: u8) {
    let Ok(OpenedLog { journal, .. }) = open_log(vfs, &opening(life)).await else { return };
    let tool = |kind| Effect { kind, outside: outside.clone() };
    let tools = Tools::default().with(tool("tool.do")).with(tool("tool.fail"));
    let policy = PolicyInForce::fixed(Arc::new(ByKind));
    let interceptor = Arc::new(Interceptor::new(journal, policy, tools, &config()));
    for (number, kind) in
        ["do", "deny", "fail", "none", "ROLL", "do", "deny", "do"].iter().enumerate()
    {
        if *kind == "ROLL" {
            roll_over(vfs, &interceptor, life);
            continue;
        }
        let call = Call {
            audit_id: format!("life-{life}-call-{number}"),
            ..call_of(&format!("tool.{kind}"))
        };
        let answer = interceptor.call(call, Map::new()).await;
        outside.answers.lock().unwrap().push(answer);
    }
}

/// Everything is delivered, and the log goes to the archive.
fn roll_over(vfs: &MemVfs, interceptor: &Interceptor, life: u8) {
    let dir = Path::new(DIR);
    let request = RollOver {
        random: [life + 100; 16],
        now: Timestamp::now(),
        node: "n".to_owned(),
        holder: String::new(),
    };
    let deliver = || -> Option<()> {
        let mut reader = Reader::open(vfs, dir).ok()?;
        let mut last = None;
        while let Some(item) = reader.next_entry().ok()? {
            last = Some(item.seq);
        }
        let wal_id = reader.identity()?.wal_id.to_string();
        replace(vfs, &dir.join(names::CURSORS), wal_id.as_bytes()).ok()?;
        replace(vfs, &dir.join(names::POS), &Position::at(last).to_bytes()).ok()
    };
    if deliver().is_some() {
        // A world that ends here is what this is about.
        switch(interceptor, vfs, &request).ok();
    }
}

/// How a life ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Kill,
    Power(CrashPolicy),
}

impl End {
    fn all(seeds: u64) -> Vec<Self> {
        let named = [CrashPolicy::LoseAll, CrashPolicy::KeepAll].into_iter();
        let policies = named.chain((0..seeds).map(CrashPolicy::Random)).map(Self::Power);
        policies.chain([Self::Kill]).collect()
    }

    fn come(self, vfs: &MemVfs) {
        match self {
            Self::Kill => vfs.process_kill(),
            Self::Power(policy) => vfs.power_loss(policy),
        }
    }
}

/// Lives that end at these steps, one after the other, then a start and an audit. Returns whether every
/// life got as far as its step.
async fn point(steps: &[u64], end: End) -> bool {
    let (vfs, outside, mut reached) = (MemVfs::default(), Outside::default(), true);
    let mut life = 1;
    for step in steps {
        vfs.set_plan(FaultPlan::crash_at(*step));
        live(&vfs, &outside, life).await;
        reached &= vfs.steps() > *step;
        end.come(&vfs);
        life += 1;
    }
    let at = format!("{steps:?} {end:?}");
    let first = start(&vfs, life, &at).await;
    audit(&first, &outside, &at);
    let second = start(&vfs, life + 1, &at).await;
    assert_eq!(second, first, "{at}: a start without open calls records nothing");
    reached
}

/// Starts and ends in order, and returns everything on record.
async fn start(vfs: &MemVfs, life: u8, at: &str) -> Vec<Value> {
    let started = open_log(vfs, &opening(life)).await;
    let OpenedLog { journal, .. } = started.unwrap_or_else(|error| panic!("{at}: {error}"));
    journal.close().unwrap();
    let archive = Path::new(DIR).join(names::ARCHIVE_DIR);
    let mut paths: Vec<_> =
        vfs.list(&archive).unwrap_or_default().iter().map(|it| archive.join(it)).collect();
    paths.push(Path::new(DIR).join(names::WAL));
    let read = |path: &std::path::PathBuf| read_whole(vfs, path, u64::MAX).unwrap().unwrap();
    paths.iter().flat_map(|it| events_in(&read(it))).collect()
}

/// No effect without a decision, one outcome for each allow, nothing twice, answers hold.
#[track_caller]
fn audit(events: &[Value], outside: &Outside, at: &str) {
    let mut decisions = BTreeMap::new();
    let mut outcomes: BTreeMap<&str, &str> = BTreeMap::new();
    for event in events {
        let attrs = &event["attrs"];
        let Some(id) = attrs["audit_id"].as_str() else { continue };
        let again = if event["kind"] == "autonomy.decision" {
            decisions.insert(id, attrs["decision"].as_str().unwrap()).is_some()
        } else {
            outcomes.insert(id, attrs["outcome"].as_str().unwrap()).is_some()
        };
        assert!(!again, "{at}: two entries of a kind for {id}");
    }
    let allowed: BTreeSet<_> =
        decisions.iter().filter(|it| *it.1 == "allow").map(|it| *it.0).collect();
    let closed: BTreeSet<_> = outcomes.keys().copied().collect();
    assert_eq!(allowed, closed, "{at}: each allow has an outcome, and nothing else has");
    let effects = outside.effects.lock().unwrap();
    let distinct: BTreeSet<_> = effects.iter().map(String::as_str).collect();
    assert_eq!(distinct.len(), effects.len(), "{at}: something ran twice");
    assert!(distinct.is_subset(&allowed), "{at}: an effect without a decision");
    for answer in outside.answers.lock().unwrap().iter() {
        let id = answer.body.audit_id.as_str();
        let outcome = outcomes.get(id).copied();
        if answer.body.seq.is_none() {
            assert_eq!(answer.body.decision, Verdict::Deny, "{at}: {id}");
            assert!(!distinct.contains(id), "{at}: {id} was denied and has run");
            assert!(matches!(outcome, None | Some("unknown")), "{at}: {id} {outcome:?}");
            continue;
        }
        let recorded = decisions.get(id).copied();
        assert_eq!(recorded, Some(answer.body.decision.as_str()), "{at}: {id} was answered");
        let holds = match answer.status {
            200 => matches!(outcome, Some("ok" | "no_executor")),
            400 => outcome == Some("failed"),
            403 => outcome.is_none(),
            // Its outcome was not seen on disk; it may be there.
            500 => outcome.is_some(),
            _ => false,
        };
        assert!(holds, "{at}: {id} was answered {} and has {outcome:?}", answer.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_world_that_ends_at_any_step_leaves_no_effect_without_a_decision() {
    let vfs = MemVfs::default();
    vfs.set_plan(FaultPlan::none());
    live(&vfs, &Outside::default(), 1).await;
    let steps = vfs.steps();
    assert!(steps > 60, "a life of {steps} steps is no life");
    let mut points = 0;
    // The background sync of the safe point comes at a time of its own, so the last step may not come.
    for step in 0..steps {
        for end in End::all(40) {
            points += usize::from(point(&[step], end).await);
        }
    }
    // The start after a crash is such a life too: here it closes open calls, or finishes a switch.
    let pairs = (0..steps).step_by(5).flat_map(|it| (0..40).step_by(2).map(move |to| [it, to]));
    for pair in pairs {
        for end in End::all(2) {
            points += usize::from(point(&pair, end).await);
        }
    }
    assert!(points >= POINTS_MIN, "only {points} points");
}
