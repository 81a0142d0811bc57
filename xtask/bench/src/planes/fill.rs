//! Stores of a given size, written fast: plans and nodes by the store itself in batches, events by one statement.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use rollout_store::{
    Actor, Channel, Epoch, Moment, NodeId, PlanId, PlanRequest, Request, RolloutStore as _,
    SqliteStore, Strictness, Verb, Write,
    node::Heartbeat,
    store::{BATCH_MAX, Order},
};
use rusqlite::Connection;

use super::server;

/// What is stuck has been quiet for so many seconds, which is longer than the hour that makes it so.
const QUIET_SECONDS: u64 = 7_200;
/// Nodes of the channel of the plans, whatever the size of the store.
const FLEET: u64 = 100;
/// Live plans of a store in which most have ended: at least so many, and one in ten.
const LIVE_MIN: u64 = 100;
const LIVE_ONE_IN: u64 = 10;
/// Live plans that nodes poll for.
const POLLED_PLANS: u64 = 10;
/// Events share a row of `event_blocks` by so many; the latest of them is all that row says.
const EVENTS_PER_BLOCK: u64 = 1024;

/// A number as a hash would have it, so that keys come in no order.
pub(crate) const fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8
}

/// The request that creates a plan.
pub(crate) fn plan(id: &str) -> String {
    format!(
        r#"{{"metadata":{{"id":"{id}","labels":{{"site":"plant-7"}}}},"artifact_ref":"oci://registry.example/agents/arm:1.4.2@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","target_lock_fingerprint":"blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"}}"#
    )
}

/// An event, and the columns of it.
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) node: String,
    pub(crate) body: String,
}

/// Type of every event.
pub(crate) const EVENT_TYPE: &str = "ai.policy.decision";
/// Time of every event, in the event and as a number.
pub(crate) const EVENT_AT_NS: i64 = 1_767_323_045_678_000_000;

impl Event {
    /// One of a thousand nodes has decided something.
    pub(crate) fn of(prefix: &str, number: u64) -> Self {
        let id = format!("{prefix}-{:014x}", scattered(number));
        let node = format!("n{}", number % 1000);
        let body = format!(
            r#"{{"event_id":"{id}","event_type":"{EVENT_TYPE}","node_id":"{node}","timestamp":"2026-01-02T03:04:05.678Z","attrs":{{"decision":"allow","kind":"tool.echo","policy_ref":"1.0.0","audit_id":"83326d54-c679-4615-8a2e-013bcb126294","duration_us":{}}}}}"#,
            number % 10_000
        );
        Self { id, node, body }
    }
}

/// Directories with filled stores; each is made when it is first asked for.
#[derive(Debug)]
pub(crate) struct Fills {
    dir: PathBuf,
}

impl Fills {
    pub(crate) const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn made(&self, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        if !dir.exists() {
            eprintln!("writing {name}");
            fs::create_dir_all(&dir)?;
            // The service makes its files, and what is put in comes on top.
            server::start(&dir)?.stop()?;
            fill(&dir).with_context(|| format!("writing {name}"))?;
        }
        Ok(dir)
    }

    /// Plans of which most have ended, all of them long ago.
    pub(crate) fn plans(&self, plans: u64) -> Result<PathBuf> {
        self.made(&format!("{plans} plans"), |dir| {
            let mut filling = Filling::open(dir)?;
            filling.beats(0..FLEET, |n| format!("n{n}"), None)?;
            filling.plans(0..plans, QUIET_SECONDS, |n| n < LIVE_MIN || n % LIVE_ONE_IN == 0)?;
            filling.close()
        })
    }

    /// Live plans, the first `stuck` of which have been quiet for long.
    pub(crate) fn stuck(&self, plans: u64, stuck: u64) -> Result<PathBuf> {
        self.made(&format!("{plans} live plans, {stuck} stuck"), |dir| {
            let mut filling = Filling::open(dir)?;
            filling.beats(0..FLEET, |n| format!("n{n}"), None)?;
            filling.plans(0..stuck, QUIET_SECONDS, |_| true)?;
            filling.plans(stuck..plans, 0, |_| true)?;
            filling.close()
        })
    }

    /// Nodes that were heard of, in a channel of their own, and a few plans.
    pub(crate) fn nodes(&self, nodes: u64) -> Result<PathBuf> {
        self.made(&format!("{nodes} nodes"), |dir| {
            let mut filling = Filling::open(dir)?;
            filling.beats(0..nodes, |n| format!("e{n}"), Some(&Channel::new("edge")?))?;
            filling.plans(0..POLLED_PLANS, 0, |_| true)?;
            filling.close()
        })
    }

    /// Nodes that were heard of, and the plans that they poll for.
    pub(crate) fn polled(&self, nodes: u64) -> Result<PathBuf> {
        self.made(&format!("{nodes} nodes that poll"), |dir| {
            let mut filling = Filling::open(dir)?;
            filling.beats(0..nodes, |n| format!("n{n}"), None)?;
            filling.plans(0..POLLED_PLANS, 0, |_| true)?;
            filling.close()
        })
    }

    /// Events.
    pub(crate) fn events(&self, events: u64) -> Result<PathBuf> {
        self.made(&format!("{events} events"), |dir| {
            let mut conn = Connection::open(dir.join(orchestrator::names::DATABASE))?;
            let transaction = conn.transaction()?;
            insert_events(&transaction, events)?;
            transaction.commit()?;
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(())
        })
    }
}

fn insert_events(transaction: &Connection, events: u64) -> Result<()> {
    let sql = "INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut insert = transaction.prepare(sql)?;
    for number in 1..=events {
        let key = i64::try_from(number)?;
        let Event { id, node, body } = Event::of("p", number);
        insert.execute((key, id, EVENT_TYPE, node, EVENT_AT_NS, body))?;
    }
    let sql = "INSERT INTO event_blocks VALUES (?1, ?2)";
    let mut insert = transaction.prepare(sql)?;
    for block in 0..=i64::try_from(events / EVENTS_PER_BLOCK)? {
        insert.execute((block, EVENT_AT_NS))?;
    }
    Ok(())
}

/// A store that is being filled.
struct Filling {
    store: SqliteStore,
    epoch: Epoch,
    now: Moment,
    batch: Vec<Request>,
}

impl Filling {
    fn open(dir: &Path) -> Result<Self> {
        let mut store = SqliteStore::open(&dir.join(orchestrator::names::ROLLOUTS))?;
        let epoch = store.acquire()?;
        Ok(Self { store, epoch, now: Moment::from(Timestamp::now()), batch: Vec::new() })
    }

    fn put(&mut self, write: Write, at: Moment) -> Result<()> {
        self.batch.push(write.into());
        if self.batch.len() == BATCH_MAX { self.flush(at) } else { Ok(()) }
    }

    fn flush(&mut self, at: Moment) -> Result<()> {
        for answer in self.store.apply(self.epoch, at, &self.batch)? {
            answer?;
        }
        self.batch.clear();
        Ok(())
    }

    fn beats(
        &mut self,
        numbers: std::ops::Range<u64>,
        name: fn(u64) -> String,
        channel: Option<&Channel>,
    ) -> Result<()> {
        for number in numbers {
            let node = NodeId::new(&name(number))?;
            let (channel, lock_fingerprint, version) = (channel.cloned(), None, None);
            let beat = Heartbeat { node, channel, lock_fingerprint, version };
            self.put(Write::Heartbeat(beat), self.now)?;
        }
        self.flush(self.now)
    }

    fn plans(
        &mut self,
        numbers: std::ops::Range<u64>,
        quiet_seconds: u64,
        lives: fn(u64) -> bool,
    ) -> Result<()> {
        let at = self.now.minus_seconds(quiet_seconds);
        let by = Actor::new("bench")?;
        for number in numbers {
            let id = format!("p{number}");
            let request = Box::new(PlanRequest::parse(plan(&id).as_bytes(), Strictness::Warn)?);
            self.put(Write::Create { request, by: by.clone() }, at)?;
            if !lives(number) {
                let (plan, by) = (PlanId::new(&id)?, by.clone());
                let order = Order { plan, if_match: None, by, reason: None };
                self.put(Write::Transition { order, verb: Verb::Cancel }, at)?;
            }
        }
        self.flush(at)
    }

    fn close(self) -> Result<()> {
        Ok(self.store.close()?)
    }
}
