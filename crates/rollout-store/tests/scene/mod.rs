//! A store, a clock, and short words for what happens to them.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use rollout_store::{
    Actor, Applied, Channel, Epoch, GateReport, Idempotency, Moment, NodeId, PlanId, PlanRequest,
    Progress, Reason, Request, Rollout, RolloutReader, RolloutStore, StageId, Strategy, Strictness,
    Verb, Write, WriteError, Written,
    node::Heartbeat,
    promote_once,
    store::{Order, Pass},
};

/// A store and a clock.
pub struct Scene<'s> {
    pub store: &'s mut dyn RolloutStore,
    pub epoch: Epoch,
    pub now: Moment,
}

pub fn plan(id: &str) -> String {
    format!(
        r#"{{"metadata":{{"id":"{id}"}},"artifact_ref":"corrupt://chaos/artifact@sha256:deadbeefcorrupt",
           "target_lock_fingerprint":"blake3:{}"}}"#,
        "0".repeat(64)
    )
}

pub fn staged(id: &str, stages: &str) -> String {
    plan(id).replacen('{', &format!(r#"{{"stages":{stages},"#), 1)
}

pub fn actor() -> Actor {
    Actor::new("ann").unwrap()
}

pub fn node(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

pub fn stage(id: &str) -> StageId {
    StageId::new(id).unwrap()
}

pub fn order(id: &str) -> Order {
    let reason = Some(Reason::new("because").unwrap());
    Order { plan: PlanId::new(id).unwrap(), if_match: None, by: actor(), reason }
}

pub fn create(body: &str) -> Request {
    let request = PlanRequest::parse(body.as_bytes(), Strictness::Warn).unwrap();
    Write::Create { request: Box::new(request), by: actor() }.into()
}

impl<'s> Scene<'s> {
    pub fn new(store: &'s mut dyn RolloutStore, epoch: Epoch) -> Self {
        Self { store, epoch, now: Moment::from_unix_ms(1_767_323_045_000) }
    }

    pub fn reader(&self) -> &dyn RolloutReader {
        self.store.reader()
    }

    pub fn pass_seconds(&mut self, seconds: u64) {
        self.now = self.now.plus_seconds(seconds);
    }

    pub fn keyed(
        &mut self,
        write: Write,
        idempotency: Option<Idempotency>,
    ) -> Result<Applied, WriteError> {
        let batch = [Request { write, idempotency, note: None }];
        let mut answers = self.store.apply(self.epoch, self.now, &batch).unwrap();
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    pub fn one(&mut self, write: Write) -> Result<Written, WriteError> {
        self.keyed(write, None).map(|it| it.written)
    }

    pub fn create(&mut self, body: &str) -> Result<Written, WriteError> {
        self.one(create(body).write)
    }

    pub fn verb(&mut self, id: &str, verb: Verb) -> Result<Written, WriteError> {
        self.one(Write::Transition { order: order(id), verb })
    }

    pub fn recover(&mut self, id: &str, strategy: Strategy) -> Result<Written, WriteError> {
        self.one(Write::Recover { order: order(id), strategy, stage: None })
    }

    pub fn report(
        &mut self,
        id: &str,
        name: &str,
        progress: Progress,
    ) -> Result<Written, WriteError> {
        let plan = PlanId::new(id).unwrap();
        self.one(Write::Report { plan, node: node(name), progress, detail: String::new() })
    }

    pub fn beat(&mut self, name: &str, channel: Option<&str>) {
        let channel = channel.map(|it| Channel::new(it).unwrap());
        let beat = Heartbeat { node: node(name), channel, lock_fingerprint: None, version: None };
        self.one(Write::Heartbeat(beat)).unwrap();
    }

    pub fn get(&self, id: &str) -> Rollout {
        self.reader().rollout(&PlanId::new(id).unwrap()).unwrap().unwrap()
    }

    pub fn gates(&self, id: &str) -> Vec<GateReport> {
        let rollout = self.get(id);
        let evidence = self.reader().evidence(&rollout, rollout.current()).unwrap();
        rollout.gates(rollout.current(), &evidence, self.now)
    }

    pub fn promote(&mut self) -> Pass {
        let pass = promote_once(self.store, self.epoch, self.now).unwrap();
        assert_eq!((pass.refused.len(), pass.poisoned.len()), (0, 0), "{pass:?}");
        pass
    }
}
