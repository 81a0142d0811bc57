//! Random histories against a model: operations, clocks that jump, restarts without a farewell.
//!
//! The model is a page of plain values and `match`: it says for each operation whether it is taken,
//! and where the plan is afterwards. Beside it the memory backend runs, and must agree with `SQLite` in
//! every answer and every reading.
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
    Epoch, Idempotency, ListQuery, MemoryStore, Moment, Phase, PlanId, Progress, Request,
    RolloutReader, RolloutStore, SqliteReader, SqliteStore, Strategy as Recovery, Verb, Verdict,
    Write,
    phase::PausedFrom,
    promote_once,
    store::{GateRuling, Order},
};
use scene::{create, node, order, plan, stage, staged};

/// Few, so that one plan lives through much.
const PLANS: usize = 3;

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
        4 => (id.clone(), strategy).prop_map(|(id, it)| Op::Recover(id, it)),
        2 => id.clone().prop_map(Op::Halt),
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

/// Every second plan has three stages, the others one of 100 %.
const fn is_staged(id: usize) -> bool {
    id.is_multiple_of(2)
}

fn body(id: usize, draft: bool) -> String {
    let stages = r#"[
        {"id":"a","nodes":["n0","n1"],"deadline_seconds":500,"gates":[
            {"kind":"manual"},{"kind":"health","min_verified_percent":50,"max_failures":1}]},
        {"id":"b","percent":50,"gates":[{"kind":"time_soak","soak_seconds":60}]},
        {"id":"c","nodes":["n2"]}]"#;
    let body = if is_staged(id) { staged(&name(id), stages) } else { plan(&name(id)) };
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
            let request =
                Request { write: verb_of(*id, *verb, None), idempotency: Some(key), note: None };
            return vec![request.clone(), request];
        }
        Op::Promote | Op::Clock(_) | Op::Restart | Op::Depose => return Vec::new(),
    };
    vec![write.into()]
}

/// A plan as the model knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Modelled {
    phase: &'static str,
    back_to: &'static str,
    stage: usize,
    stages: usize,
    stage_phase: &'static str,
    draft: bool,
}

impl Modelled {
    fn new(id: usize, draft: bool) -> Self {
        let phase = if draft { "draft" } else { "published" };
        let stages = if is_staged(id) { 3 } else { 1 };
        Self { phase, back_to: "", stage: 0, stages, stage_phase: "pending", draft }
    }

    fn verb(self, verb: Verb) -> Option<Self> {
        let to = |phase| Some(Self { phase, back_to: "", ..self });
        match (verb, self.phase) {
            (Verb::Publish, "draft" | "published") => to("published"),
            (Verb::Pause, "published" | "active") => {
                Some(Self { phase: "paused", back_to: self.phase, ..self })
            }
            (Verb::Resume, "paused") => to(self.back_to),
            (Verb::Cancel, "draft" | "published" | "active" | "paused" | "failed") => {
                to("cancelled")
            }
            _ => None,
        }
    }

    fn recover(self, strategy: Recovery) -> Option<Self> {
        let halted = self.stage_phase == "halted";
        match (strategy, self.phase) {
            (Recovery::Retry, "published" | "active" | "failed") if !halted => {
                Some(Self { phase: "active", stage_phase: "open", ..self })
            }
            (Recovery::Rollback, "published" | "active" | "paused" | "failed") => {
                Some(Self { phase: "rolled_back", back_to: "", ..self })
            }
            (Recovery::SkipFailed, "active" | "failed") if !halted => Some(self.past("skipped")),
            _ => None,
        }
    }

    fn past(self, done: &'static str) -> Self {
        if self.stage + 1 == self.stages {
            Self { phase: "completed", stage_phase: done, ..self }
        } else {
            Self { phase: "active", stage: self.stage + 1, stage_phase: "open", ..self }
        }
    }

    /// Of the stage `a`, which only plans with three stages have.
    fn halt(self) -> Option<Self> {
        let lives = matches!(self.phase, "published" | "active" | "paused" | "failed");
        let stands = self.stages == 3 && self.stage == 0 && self.stage_phase != "halted";
        let halted = Self { phase: "failed", back_to: "", stage_phase: "halted", ..self };
        (lives && stands).then_some(halted)
    }

    fn rule(self) -> Option<Self> {
        let ended = matches!(self.phase, "completed" | "cancelled" | "rolled_back");
        let open = self.stages == 3 && self.stage == 0 && self.stage_phase != "halted";
        (!ended && open).then_some(self)
    }

    fn report(self, node: usize) -> Option<Self> {
        let in_first_stage = self.stages == 1 || node < 2;
        match self.phase {
            "draft" => None,
            "published" if in_first_stage => {
                Some(Self { phase: "active", stage_phase: "open", ..self })
            }
            _ => Some(self),
        }
    }

    /// Whether the promoter may have led from `self` to `after`.
    fn may_become(self, after: Self) -> bool {
        let failed = Self { phase: "failed", stage_phase: "failed", ..self };
        let moves = [self.past("promoted"), failed];
        after == self || (self.phase == "active" && moves.contains(&after))
    }
}

/// Whether the model takes the operation, and the plan afterwards; `None` when it says nothing.
fn predict(
    op: &Op,
    known: &BTreeMap<usize, Modelled>,
    generation: impl Fn(usize) -> u64,
) -> Option<(usize, Option<Modelled>)> {
    let of = |id: &usize| known.get(id).copied();
    match op {
        Op::Create(id, draft) => {
            let new = Modelled::new(*id, *draft);
            let same = |it: &Modelled| it.draft == *draft;
            Some((*id, if known.contains_key(id) { of(id).filter(same) } else { Some(new) }))
        }
        Op::Verb(id, verb, at) => {
            let matches = at.is_none_or(|it| it == generation(*id));
            Some((*id, of(id).filter(|_| matches).and_then(|it| it.verb(*verb))))
        }
        Op::Recover(id, it) => Some((*id, of(id).and_then(|plan| plan.recover(*it)))),
        Op::Halt(id) => Some((*id, of(id).and_then(Modelled::halt))),
        Op::Rule(id, _) => Some((*id, of(id).and_then(Modelled::rule))),
        Op::Report(id, node, _) => Some((*id, of(id).and_then(|it| it.report(*node)))),
        Op::Beat(_) | Op::Keyed(..) | Op::Promote | Op::Clock(_) | Op::Restart | Op::Depose => None,
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

struct Bench<'p> {
    path: &'p Path,
    memory: MemoryStore,
    sqlite: Option<SqliteStore>,
    epochs: (Epoch, Epoch),
    known: BTreeMap<usize, Modelled>,
    now: Moment,
}

impl<'p> Bench<'p> {
    fn new(path: &'p Path) -> Self {
        let (mut memory, mut sqlite) = (MemoryStore::new(), SqliteStore::open(path).unwrap());
        let epochs = (memory.acquire().unwrap(), sqlite.acquire().unwrap());
        let now = Moment::from_unix_ms(1_767_323_045_000);
        Self { path, memory, sqlite: Some(sqlite), epochs, known: BTreeMap::new(), now }
    }

    fn sqlite(&mut self) -> &mut SqliteStore {
        self.sqlite.as_mut().unwrap()
    }

    fn found(&self, id: usize) -> Option<(Modelled, u64)> {
        let it = self.memory.rollout(&PlanId::new(&name(id)).unwrap()).unwrap()?;
        assert!(it.is_sound(), "{it:?}");
        let back_to = match it.phase() {
            Phase::Paused(PausedFrom::Published) => "published",
            Phase::Paused(PausedFrom::Active) => "active",
            _ => "",
        };
        let found = Modelled {
            phase: it.phase().name(),
            back_to,
            stage: it.current(),
            stages: it.stages().len(),
            stage_phase: it.stages()[it.current()].phase.name(),
            draft: it.initial_phase() == Phase::Draft,
        };
        Some((found, it.generation()))
    }

    fn apply(&mut self, op: &Op) {
        let batch = requests(op);
        if batch.is_empty() {
            return;
        }
        let generation = |id| self.found(id).map_or(0, |it| it.1);
        let predicted = predict(op, &self.known, generation);
        let (now, epochs) = (self.now, self.epochs);
        let answers = self.memory.apply(epochs.0, now, &batch).unwrap();
        assert_eq!(self.sqlite().apply(epochs.1, now, &batch).unwrap(), answers, "{op:?}");
        if let Some((id, after)) = predicted {
            let known = self.known.get(&id).copied();
            assert_eq!(answers[0].is_ok(), after.is_some(), "{op:?} on {known:?}: {answers:?}");
            if let Some(plan) = after.or(known) {
                self.known.insert(id, plan);
            }
        }
        if let (Op::Keyed(id, _, verb), Ok(first)) = (op, &answers[0]) {
            let second = answers[1].as_ref().unwrap();
            assert!(second.replayed);
            assert_eq!(first.written, second.written);
            if !first.replayed {
                let after = self.known.get(id).and_then(|it| it.verb(*verb)).unwrap();
                self.known.insert(*id, after);
            }
        }
    }

    fn happen(&mut self, op: &Op) {
        let (now, epochs) = (self.now, self.epochs);
        match op {
            Op::Promote => {
                let pass = promote_once(&mut self.memory, epochs.0, now).unwrap();
                assert_eq!(promote_once(self.sqlite(), epochs.1, now).unwrap(), pass);
                assert!(pass.poisoned.is_empty() && pass.refused.is_empty(), "{pass:?}");
                let found = (0..PLANS).filter_map(|id| Some((id, self.found(id)?.0)));
                for (id, after) in found.collect::<Vec<_>>() {
                    let before = self.known.insert(id, after).unwrap();
                    assert!(before.may_become(after), "{before:?} became {after:?}");
                }
            }
            Op::Clock(seconds) => self.now = Moment::from_unix_ms(now.unix_ms() + seconds * 1000),
            Op::Restart => {
                // The epoch is as durable as the rest: the same writer goes on.
                drop(self.sqlite.take());
                self.sqlite = Some(SqliteStore::open(self.path).unwrap());
            }
            Op::Depose => {
                self.epochs = (self.memory.acquire().unwrap(), self.sqlite().acquire().unwrap());
                let request = [create(&plan("stale"))];
                assert!(self.memory.apply(epochs.0, now, &request).is_err());
                assert!(self.sqlite().apply(epochs.1, now, &request).is_err());
            }
            _ => self.apply(op),
        }
        for id in 0..PLANS {
            assert_eq!(self.found(id).map(|it| it.0), self.known.get(&id).copied(), "{op:?}");
        }
        if matches!(op, Op::Promote | Op::Clock(_) | Op::Restart | Op::Beat(_)) {
            same_reading(&self.memory, self.sqlite.as_ref().unwrap().reader(), self.now);
        }
    }
}

fn run(ops: &[Op], path: &Path) {
    let mut bench = Bench::new(path);
    for op in ops {
        bench.happen(op);
    }
    // What was answered is there for another connection, and after a last restart.
    same_reading(&bench.memory, &SqliteReader::open(path).unwrap(), bench.now);
    drop(bench.sqlite.take());
    same_reading(&bench.memory, SqliteStore::open(path).unwrap().reader(), bench.now);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_history_agrees_with_the_model(ops in prop::collection::vec(op(), 1..150)) {
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
    for round in 0..10_u64 {
        let batch: Vec<_> = (0..20).map(|it| create(&plan(&format!("r{round}-{it}")))).collect();
        assert!(store.apply(epoch, now, &batch).unwrap().iter().all(Result::is_ok));
        let killed = tempfile::tempdir().unwrap();
        for name in ["rollouts.db", "rollouts.db-wal"] {
            std::fs::copy(home.path().join(name), killed.path().join(name)).unwrap();
        }
        let mut after = SqliteStore::open(&killed.path().join("rollouts.db")).unwrap();
        let query = ListQuery { phase: Some("published"), after: None, limit: 1000 };
        let page = after.reader().rollouts(&query).unwrap();
        assert_eq!((page.total, page.rollouts.len() as u64), ((round + 1) * 20, (round + 1) * 20));
        let next = after.acquire().unwrap();
        assert!(next > epoch);
        assert!(after.apply(next, now, &[create(&plan("new"))]).unwrap()[0].is_ok());
    }
}
