//! Operators at work while the control plane is killed, and what they were answered.
//!
//! Each operator has plans, a release channel and events of its own, asks for one change at a time, and insists: a
//! request that was not answered is sent again with the same `Idempotency-Key` until it is. What it was answered is
//! all it knows, and what the store and the audit trail are compared with afterwards.
//!
//! # Invariants
//!
//! * **O1** What was answered is in the store as it was answered.
//! * **O2** A request in flight was done as a whole, or not at all: before it is sent again its plan is where it
//!   was, or one step further.
//! * **O3** A key that is used again gets the first answer, byte for byte.
//! * **O4** Every change is in the audit trail once.

mod memory;
mod settled;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::task::JoinHandle;

pub use memory::Memory;
use memory::{Answer, Ask};
pub use settled::{trail_is_exact, what_was_answered_is_there};

use crate::harness::{Client, SOON};

/// Pause before a request that was not answered is sent again.
const AGAIN: Duration = Duration::from_millis(20);
/// One in so many requests that broke is looked after before it is sent again, and after it was answered.
const LOOKED_AFTER: u64 = 3;

/// Numbers that a seed decides (splitmix64).
#[derive(Clone, Copy, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next one below `bound`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % bound
    }
}

/// What all operators share.
#[derive(Debug, Default)]
struct Shared {
    ending: AtomicBool,
    answered: AtomicUsize,
    broken: AtomicUsize,
    replayed: AtomicUsize,
}

/// Operators at work.
#[derive(Debug)]
pub struct Operators {
    tasks: Vec<JoinHandle<Result<Memory>>>,
    shared: Arc<Shared>,
}

impl Operators {
    /// Lets `count` of them begin at the control plane at `url`.
    pub fn begin(client: &Client, url: &str, count: usize, seed: u64) -> Self {
        let shared = Arc::<Shared>::default();
        let tasks = (0..count)
            .map(|number| {
                let mut random = Random(seed ^ number as u64);
                random.below(2);
                let operator = Operator {
                    http: client.http().clone(),
                    url: url.to_owned(),
                    random,
                    memory: Memory::new(number),
                    shared: Arc::clone(&shared),
                };
                client.spawn(operator.work())
            })
            .collect();
        Self { tasks, shared }
    }

    /// Requests that were answered so far.
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Requests that broke so far, and answers that were given again.
    pub fn broken_and_replayed(&self) -> (usize, usize) {
        let load = |it: &AtomicUsize| it.load(Ordering::Relaxed);
        (load(&self.shared.broken), load(&self.shared.replayed))
    }

    /// Whether one of them has given up.
    pub fn gave_up(&self) -> bool {
        self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// Lets each of them end with an answer, and returns what they know.
    ///
    /// # Errors
    ///
    /// What one of them found wrong.
    pub fn end(self, client: &Client) -> Result<Vec<Memory>> {
        self.shared.ending.store(true, Ordering::Relaxed);
        self.tasks.into_iter().map(|it| client.block_on(it)?).collect()
    }
}

/// One of them.
struct Operator {
    http: reqwest::Client,
    url: String,
    random: Random,
    memory: Memory,
    shared: Arc<Shared>,
}

impl Operator {
    async fn work(mut self) -> Result<Memory> {
        while !self.shared.ending.load(Ordering::Relaxed) {
            let ask = self.memory.next(&mut self.random);
            let answer = self.insist(&ask).await.with_context(|| format!("{ask:?}"))?;
            self.shared.answered.fetch_add(1, Ordering::Relaxed);
            self.memory.learn(&ask, &answer).with_context(|| format!("{ask:?}: {answer:?}"))?;
            if answer.attempts > 1 && self.random.below(LOOKED_AFTER) == 0 {
                self.same_again(&ask, &answer).await?;
            }
        }
        Ok(self.memory)
    }

    /// Sends a request until it is answered.
    async fn insist(&mut self, ask: &Ask) -> Result<Answer> {
        let deadline = Instant::now() + SOON;
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.send(ask).await {
                Ok(mut answer) if answer.status.is_success() => {
                    answer.attempts = attempts;
                    return Ok(answer);
                }
                // Too busy, or about to end: the request was not done.
                Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {}
                Ok(answer) => bail!("refused: {answer:?}"),
                Err(error) => {
                    ensure!(Instant::now() < deadline, "no answer within {SOON:?}: {error:#}");
                    self.shared.broken.fetch_add(1, Ordering::Relaxed);
                }
            }
            tokio::time::sleep(AGAIN).await;
            if attempts == 1 && self.random.below(LOOKED_AFTER) == 0 {
                self.whole_or_not_at_all(ask, deadline).await?;
            }
        }
    }

    async fn send(&self, ask: &Ask) -> reqwest::Result<Answer> {
        let request = self.http.post(format!("{}{}", self.url, ask.path));
        let request = request.header("x-autonomy-operator", self.memory.name());
        let mut request = request.header("idempotency-key", &ask.key).json(&ask.body);
        if let Some(generation) = ask.if_match {
            request = request.header("if-match", format!("\"{generation}\""));
        }
        let response = request.send().await?;
        let status = response.status();
        let replayed = response.headers().contains_key("idempotency-replayed");
        Ok(Answer { status, replayed, text: response.text().await?, attempts: 0 })
    }

    /// O2.
    async fn whole_or_not_at_all(&self, ask: &Ask, deadline: Instant) -> Result<()> {
        let Some(plan) = ask.plan() else { return Ok(()) };
        let url = format!("{}/v1/rollouts/{plan}", self.url);
        let (status, text) = loop {
            match self.get(&url).await {
                Ok((StatusCode::SERVICE_UNAVAILABLE, _)) => {}
                Ok(answer) => break answer,
                Err(error) => ensure!(Instant::now() < deadline, "no answer: {error:#}"),
            }
            tokio::time::sleep(AGAIN).await;
        };
        let found = match status {
            StatusCode::NOT_FOUND => None,
            StatusCode::OK => Some(serde_json::from_str::<Value>(&text)?),
            _ => bail!("HTTP {status} {text}"),
        };
        self.memory.in_flight(ask, found.as_ref())
    }

    async fn get(&self, url: &str) -> reqwest::Result<(StatusCode, String)> {
        let response = self.http.request(Method::GET, url).send().await?;
        Ok((response.status(), response.text().await?))
    }

    /// O3. A kill in between is none of its business.
    async fn same_again(&self, ask: &Ask, first: &Answer) -> Result<()> {
        let Ok(again) = self.send(ask).await else { return Ok(()) };
        if again.status == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(());
        }
        self.shared.replayed.fetch_add(1, Ordering::Relaxed);
        memory::same(ask, first, &again)
    }
}
