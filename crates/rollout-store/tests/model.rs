//! Random histories against a model: operations, clocks that jump, restarts without a farewell.
//!
//! The model knows the tables of `phase` and `stage` from their documentation only: a handful of
//! lines on plain values. Beside it the memory backend runs, and must agree in every answer.
#![cfg(feature = "sqlite")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test, and its text is the complaint"
)]

mod scene;

use std::{collections::BTreeMap, path::Path};

use proptest::prelude::*;
use rollout_store::{
    Idempotency, ListQuery, MemoryStore, Moment, PlanId, Progress, Request, RolloutReader,
    RolloutStore, SqliteReader, SqliteStore, Strategy as Recovery, Verb, Verdict, Write,
    promote_once,
    store::{GateRuling, Order},
};
use scene::{actor, create, node, order, plan, stage, staged};

const PLANS: usize = 6;

#[derive(Clone, Debug)]
enum Op {
    Create(usize, bool),
    Verb(usize, Verb, Option<u64>),
    Recover(usize, Recovery),
    Halt(usize),
    Rule(usize, bool),
    Report(usize, usize, Progress),
    Beat(usize),
    Keyed(usize, u8, Verb),
    Promote,
    Clock(i64),
    /// Dropped without `close`, then opened again.
    Restart,
    /// Another writer took over and went away.
    Depose,
}

fn op() -> impl Strategy<Value = Op> {
    let id = 0..PLANS;
    let verb = prop::sample::select(Verb::ALL.to_vec());
    let strategy = prop::sample::select(Recovery::ALL.to_vec());
    let progress = prop::sample::select(Progress::ALL.to_vec());
    prop_oneof![
        3 => (id.clone(), any::<bool>()).prop_map(|(id, draft)| Op::Create(id, draft)),
        3 => (id.clone(), verb.clone(), prop::option::of(1..6_u64))
            .prop_map(|(id, verb, at)| Op::Verb(id, verb, at)),
        2 => (id.clone(), strategy).prop_map(|(id, it)| Op::Recover(id, it)),
        1 => id.clone().prop_map(Op::Halt),
        2 => (id.clone(), any::<bool>()).prop_map(|(id, yes)| Op::Rule(id, yes)),
        5 => (id.clone(), 0..3_usize, progress).prop_map(|(id, node, it)| Op::Report(id, node, it)),
        1 => (0..4_usize).prop_map(Op::Beat),
        2 => (id, 0..3_u8, verb).prop_map(|(id, key, verb)| Op::Keyed(id, key, verb)),
        4 => Just(Op::Promote),
        3 => prop_oneof![0..200_i64, -100_000..100_000_i64, Just(-40_000_000), Just(40_000_000)]
            .prop_map(Op::Clock),
        1 => Just(Op::Restart),
        1 => Just(Op::Depose),
    ]
}

fn name(id: usize) -> String {
    format!("p{id}")
}

fn body(id: usize, draft: bool) -> String {
    let stages = r#"[
        {"id":"a","nodes":["n0","n1"],"deadline_seconds":500,"gates":[
            {"kind":"manual"},{"kind":"health","min_verified_percent":50,"max_failures":1}]},
        {"id":"b","percent":50,"gates":[{"kind":"time_soak","soak_seconds":60}]},
        {"id":"c","nodes":["n2"]}]"#;
    let body = if id % 2 == 0 { staged(&name(id), stages) } else { plan(&name(id)) };
    if draft { body.replacen('{', r#"{"initial_phase":"draft","#, 1) } else { body }
}

fn requests(op: &Op) -> Vec<Request> {
    let verb_of = |id: usize, verb, if_match| Write::Transition {
        order: Order { if_match, ..order(&name(id)) },
        verb,
    };
    let write = match op {
        Op::Create(id, draft) => return vec![create(&body(*id, *draft))],
        Op::Verb(id, verb, at) => verb_of(*id, *verb, *at),
        Op::Recover(id, strategy) => {
            Write::Recover { order: order(&name(*id)), strategy: *strategy, stage: None }
        }
        Op::Halt(id) => Write::Halt { order: order(&name(*id)), stage: stage("a") },
        Op::Rule(id, yes) => {
            let verdict = if *yes { Verdict::Approved } else { Verdict::Rejected };
            let gate = rollout_store::GateId::new("manual").unwrap();
            let ruling = GateRuling {
                stage: stage("a"),
                gate,
                verdict,
                digest: None,
                expires_after_seconds: Some(100_000),
            };
            Write::Rule { order: order(&name(*id)), ruling }
        }
        Op::Report(id, n, progress) => Write::Report {
            plan: PlanId::new(&name(*id)).unwrap(),
            node: node(&format!("n{n}")),
            progress: *progress,
            detail: "d".to_owned(),
        },
        Op::Beat(n) => Write::Heartbeat(rollout_store::node::Heartbeat {
            node: node(&format!("n{n}")),
            channel: None,
            lock_fingerprint: None,
            version: Some("1".to_owned()),
        }),
        Op::Keyed(id, key, verb) => {
            let content = format!("{id} {verb:?}");
            let key = Idempotency::new("s", &format!("k{key}"), content.as_bytes()).unwrap();
            // Two of them at once: the second one is answered by the first.
            let request = Request { write: verb_of(*id, *verb, None), idempotency: Some(key) };
            return vec![request.clone(), request];
        }
        Op::Promote | Op::Clock(_) | Op::Restart | Op::Depose => return Vec::new(),
    };
    vec![write.into()]
}

/// The phase by name, as the documentation of `phase` says it.
#[derive(Clone, Debug, PartialEq)]
struct Modelled {
    phase: &'static str,
    before_pause: &'static str,
}

impl Modelled {
    fn verb(&self, verb: Verb) -> Option<Self> {
        let to = |phase| Some(Self { phase, before_pause: self.phase });
        match (verb, self.phase) {
            (Verb::Publish, "draft" | "published") => to("published"),
            (Verb::Pause, "published" | "active") => to("paused"),
            (Verb::Resume, "paused") => to(self.before_pause),
            (Verb::Cancel, "draft" | "published" | "active" | "paused" | "failed") => {
                to("cancelled")
            }
            _ => None,
        }
    }
}

fn same_reading(memory: &dyn RolloutReader, sqlite: &dyn RolloutReader, now: Moment) {
    for phase in [None, Some("published"), Some("active"), Some("paused"), Some("failed")] {
        let mut query = ListQuery { phase, after: None, limit: 2 };
        loop {
            let page = memory.rollouts(&query).unwrap();
            assert_eq!(sqlite.rollouts(&query).unwrap(), page);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
    }
    assert_eq!(memory.stuck(100, now, 3), sqlite.stuck(100, now, 3));
    assert_eq!(memory.live(None, 4), sqlite.live(None, 4));
    assert_eq!(memory.fleet(None, 10), sqlite.fleet(None, 10));
    assert_eq!(memory.fleet_summary(now, 60), sqlite.fleet_summary(now, 60));
    for n in 0..4 {
        let node = node(&format!("n{n}"));
        assert_eq!(memory.desired(&node), sqlite.desired(&node));
    }
}

fn run(ops: &[Op], path: &Path) {
    let mut memory = MemoryStore::new();
    let mut sqlite = SqliteStore::open(path).unwrap();
    let mut epochs = (memory.acquire().unwrap(), sqlite.acquire().unwrap());
    let mut model: BTreeMap<usize, Modelled> = BTreeMap::new();
    let mut now = Moment::from_unix_ms(1_767_323_045_000);
    for op in ops {
        let batch = requests(op);
        if !batch.is_empty() {
            let answers = memory.apply(epochs.0, now, &batch).unwrap();
            assert_eq!(sqlite.apply(epochs.1, now, &batch).unwrap(), answers, "{op:?}");
            if let Op::Verb(id, verb, None) = op {
                let want = model.get(id).and_then(|it| it.verb(*verb));
                assert_eq!(answers[0].is_ok(), want.is_some(), "{op:?} on {:?}", model.get(id));
            }
            if let Op::Keyed(..) = op
                && let (Ok(first), Ok(second)) = (&answers[0], &answers[1])
            {
                assert!(second.replayed);
                assert_eq!(first.written, second.written);
            }
        }
        match op {
            Op::Promote => {
                let pass = promote_once(&mut memory, epochs.0, now).unwrap();
                assert_eq!(promote_once(&mut sqlite, epochs.1, now).unwrap(), pass);
                assert!(pass.poisoned.is_empty() && pass.refused.is_empty(), "{pass:?}");
            }
            Op::Clock(seconds) => now = Moment::from_unix_ms(now.unix_ms() + seconds * 1000),
            Op::Restart => {
                // The epoch is as durable as the rest: the same writer goes on.
                drop(sqlite);
                sqlite = SqliteStore::open(path).unwrap();
            }
            Op::Depose => {
                let stale = epochs;
                epochs = (memory.acquire().unwrap(), sqlite.acquire().unwrap());
                let request = [create(&plan("stale"))];
                assert!(memory.apply(stale.0, now, &request).is_err());
                assert!(sqlite.apply(stale.1, now, &request).is_err());
            }
            _ => {}
        }
        for id in 0..PLANS {
            let plan_id = PlanId::new(&name(id)).unwrap();
            let Some(found) = memory.rollout(&plan_id).unwrap() else {
                assert!(!model.contains_key(&id));
                continue;
            };
            assert!(found.is_sound(), "{found:?}");
            let phase = found.phase().name();
            let before = model.get(&id).map(|it| it.phase);
            if before == Some(phase) && !matches!(op, Op::Verb(..) | Op::Keyed(..)) {
                continue;
            }
            let terminal = |it: &str| matches!(it, "completed" | "cancelled" | "rolled_back");
            assert!(before.is_none_or(|it| !terminal(it) || it == phase), "left a terminal phase");
            let before_pause = match before {
                Some(it) if it != phase => it,
                _ => model.get(&id).map_or("", |it| it.before_pause),
            };
            model.insert(id, Modelled { phase, before_pause });
        }
        same_reading(&memory, sqlite.reader(), now);
    }
    // What was answered is there for another connection, and after a last restart.
    same_reading(&memory, &SqliteReader::open(path).unwrap(), now);
    drop(sqlite);
    same_reading(&memory, SqliteStore::open(path).unwrap().reader(), now);
    _ = actor();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_history_agrees_with_the_model(ops in prop::collection::vec(op(), 1..60)) {
        let home = tempfile::tempdir().unwrap();
        run(&ops, &home.path().join("rollouts.db"));
    }
}

/// Files as a kill leaves them: copied while the store is open, opened elsewhere.
#[test]
fn what_was_answered_is_in_the_files_as_a_kill_leaves_them() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("rollouts.db");
    let mut store = SqliteStore::open(&path).unwrap();
    let epoch = store.acquire().unwrap();
    let now = Moment::from_unix_ms(0);
    for round in 0..10 {
        let batch: Vec<_> = (0..20).map(|it| create(&plan(&format!("r{round}-{it}")))).collect();
        assert!(store.apply(epoch, now, &batch).unwrap().iter().all(Result::is_ok));
        let killed = tempfile::tempdir().unwrap();
        for name in ["rollouts.db", "rollouts.db-wal"] {
            std::fs::copy(home.path().join(name), killed.path().join(name)).unwrap();
        }
        let mut after = SqliteStore::open(&killed.path().join("rollouts.db")).unwrap();
        let query = ListQuery { phase: Some("published"), after: None, limit: 1000 };
        let page = after.reader().rollouts(&query).unwrap();
        assert_eq!((page.total, page.rollouts.len()), ((round + 1) * 20, page.total as usize));
        let next = after.acquire().unwrap();
        assert!(next > epoch);
        assert!(after.apply(next, now, &[create(&plan("new"))]).unwrap()[0].is_ok());
    }
}
