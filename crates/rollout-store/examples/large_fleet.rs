//! What lists, scans and creates cost as the store grows, on this machine.
//!
//! `cargo run --release -p rollout-store --example large_fleet [-- <largest number of plans>]`
//!
//! Ten in a hundred plans are live, as in a store that is used: the rest has ended.
#![expect(clippy::print_stdout, reason = "a program that reports figures")]

use std::{
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

use rollout_store::{
    Actor, Epoch, ListQuery, Moment, NodeId, Phase, PlanId, PlanRequest, Request, RolloutReader,
    RolloutStore, SqliteReader, SqliteStore, Strictness, Verb, Write,
    node::Heartbeat,
    store::{BATCH_MAX, Order},
    stuck::STUCK_MAX,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Sizes of the store.
const SIZES: [u64; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];
/// One plan in so many stays live.
const LIVE_ONE_IN: u64 = 10;
/// How often each question is asked.
const ROUNDS: usize = 51;
/// Nodes of the fleet that polls.
const NODES: u64 = 1000;
const NOW: Moment = Moment::from_unix_ms(1_767_323_045_000);

fn main() -> Outcome<()> {
    let largest = match std::env::args().nth(1) {
        Some(it) => it.parse()?,
        None => 100_000,
    };
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("rollouts.db");
    let mut store = SqliteStore::open(&path)?;
    let epoch = store.acquire()?;
    fleet(&mut store, epoch)?;
    println!("median of {ROUNDS}, in microseconds; creates one by one and in groups of 64");
    println!(
        "| plans | first page | page by phase | page in the middle | get | stuck, 100 entries | stuck, 1000 entries | \
         stuck, none | desired | create | create in a group |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let mut filled = 0;
    for size in SIZES.into_iter().filter(|it| *it <= largest) {
        fill(&mut store, epoch, filled..size)?;
        filled = size;
        report(&mut store, epoch, &path, size)?;
    }
    store.close()?;
    Ok(())
}

fn create(id: &str) -> Outcome<Request> {
    let body = format!(
        r#"{{"id":"{id}","artifact_ref":"oci://r/a","target_lock_fingerprint":"blake3:1"}}"#
    );
    let request = Box::new(PlanRequest::parse(body.as_bytes(), Strictness::Warn)?);
    Ok(Write::Create { request, by: Actor::new("large_fleet")? }.into())
}

fn fleet(store: &mut SqliteStore, epoch: Epoch) -> Outcome<()> {
    let beat = |n| -> Outcome<Request> {
        let node = NodeId::new(&format!("n{n}"))?;
        let beat = Heartbeat { node, channel: None, lock_fingerprint: None, version: None };
        Ok(Write::Heartbeat(beat).into())
    };
    let beats = (0..NODES).map(beat).collect::<Outcome<Vec<_>>>()?;
    store.apply(epoch, NOW, &beats)?;
    Ok(())
}

fn fill(store: &mut SqliteStore, epoch: Epoch, range: std::ops::Range<u64>) -> Outcome<()> {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    for n in range {
        let id = format!("p{n}");
        batch.push(create(&id)?);
        if n % LIVE_ONE_IN != 0 {
            let order = Order {
                plan: PlanId::new(&id)?,
                if_match: None,
                by: Actor::new("large_fleet")?,
                reason: None,
            };
            batch.push(Write::Transition { order, verb: Verb::Cancel }.into());
        }
        if batch.len() + 2 > BATCH_MAX {
            store.apply(epoch, NOW, &batch)?;
            batch.clear();
        }
    }
    store.apply(epoch, NOW, &batch)?;
    Ok(())
}

/// The median duration of `ask`.
fn median(mut ask: impl FnMut() -> Outcome<()>) -> Outcome<Duration> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        ask()?;
        times.push(begin.elapsed());
    }
    times.sort();
    times.get(ROUNDS / 2).copied().ok_or_else(|| "no rounds".into())
}

fn report(store: &mut SqliteStore, epoch: Epoch, path: &Path, size: u64) -> Outcome<()> {
    let reader = SqliteReader::open(path)?;
    let page = |phase, after| {
        move |reader: &SqliteReader| -> Outcome<usize> {
            Ok(reader.rollouts(&ListQuery { phase, after, limit: 100 })?.rollouts.len())
        }
    };
    let first = page(None, None);
    let by_phase = page(Phase::parse_name("published"), None);
    let mut middle = None;
    // Half way down, by cursors as a client has them.
    for _ in 0..(size / 2 / 1000).min(500) {
        let query = ListQuery { phase: None, after: middle, limit: 1000 };
        middle = reader.rollouts(&query)?.next.or(middle);
    }
    let in_the_middle = page(None, middle);
    let known = PlanId::new(&format!("p{}", size / 2))?;
    let node = NodeId::new("n1")?;
    let later = NOW.plus_seconds(7200);
    let mut fresh = 0_u64;
    let mut creates = |count: u64| -> Outcome<()> {
        let ids = (0..count).map(|it| format!("x{size}-{}", fresh + it));
        let batch = ids.map(|it| create(&it)).collect::<Outcome<Vec<_>>>()?;
        fresh += count;
        store.apply(epoch, later, &batch)?;
        Ok(())
    };
    let mut cells = vec![
        median(|| first(&reader).map(drop))?,
        median(|| by_phase(&reader).map(drop))?,
        median(|| in_the_middle(&reader).map(drop))?,
        median(|| Ok(reader.rollout(&known).map(drop)?))?,
        median(|| Ok(reader.stuck(3600, later, 100).map(drop)?))?,
        median(|| Ok(reader.stuck(3600, later, STUCK_MAX).map(drop)?))?,
        median(|| Ok(reader.stuck(9000, later, 100).map(drop)?))?,
        median(|| Ok(reader.desired(&node).map(drop)?))?,
        median(|| creates(1))?,
    ];
    cells.push(median(|| creates(64))? / 64);
    let cells: Vec<_> = cells.iter().map(|it| format!("{:.0}", it.as_secs_f64() * 1e6)).collect();
    println!("| {size} | {} |", cells.join(" | "));
    Ok(())
}
