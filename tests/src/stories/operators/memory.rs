//! What an operator asks for next, and what it knows from answers.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Random;

/// Live plans that an operator keeps at once.
const LIVE_MAX: usize = 4;
/// Events of a batch.
const BATCH: usize = 3;
/// Answers whose keys are used again at the end.
const KEPT: usize = 8;

/// A change that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) path: String,
    pub(super) body: Value,
    pub(super) key: String,
    pub(super) if_match: Option<u64>,
    what: What,
}

/// What a change is about.
#[derive(Clone, Debug)]
enum What {
    /// A new plan, and its first phase.
    Create {
        plan: String,
        phase: Phase,
    },
    /// A plan, and its phase afterwards.
    Turn {
        plan: String,
        phase: Phase,
    },
    Events {
        ids: Vec<String>,
    },
    Release {
        sequence: u64,
    },
}

/// What was answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) replayed: bool,
    pub(super) text: String,
    pub(super) attempts: u32,
}

/// Where a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Draft,
    Published,
    Active,
    PausedPublished,
    PausedActive,
    Cancelled,
    RolledBack,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Active => "active",
            Self::PausedPublished | Self::PausedActive => "paused",
            Self::Cancelled => "cancelled",
            Self::RolledBack => "rolled_back",
        }
    }

    const fn is_live(self) -> bool {
        !matches!(self, Self::Cancelled | Self::RolledBack)
    }

    /// What can be asked for here, and where it leads; what ends a plan comes last.
    const fn turns(self) -> &'static [(&'static str, Self)] {
        match self {
            Self::Draft => &[("publish", Self::Published), ("cancel", Self::Cancelled)],
            Self::Published => &[
                ("pause", Self::PausedPublished),
                ("retry", Self::Active),
                ("rollback", Self::RolledBack),
            ],
            Self::Active => &[
                ("pause", Self::PausedActive),
                ("retry", Self::Active),
                ("rollback", Self::RolledBack),
                ("cancel", Self::Cancelled),
            ],
            Self::PausedPublished => &[("resume", Self::Published), ("rollback", Self::RolledBack)],
            Self::PausedActive => &[("resume", Self::Active), ("cancel", Self::Cancelled)],
            Self::Cancelled | Self::RolledBack => &[],
        }
    }
}

/// A plan as it was answered last.
#[derive(Clone, Debug)]
pub(super) struct Known {
    phase: Phase,
    pub(super) generation: u64,
    digest: String,
}

impl Known {
    /// O1: whether a plan is as it was answered.
    pub(super) fn is(&self, found: &Value) -> bool {
        found["phase"] == self.phase.name()
            && found["generation"] == self.generation
            && found["plan_digest"] == *self.digest
    }
}

/// What an operator knows.
#[derive(Debug)]
pub struct Memory {
    number: usize,
    asked: u64,
    pub(super) plans: BTreeMap<String, Known>,
    pub(super) events: Vec<String>,
    /// The newest release of its channel.
    pub(super) released: u64,
    /// The newest answers.
    pub(super) kept: Vec<(Ask, Answer)>,
}

impl Memory {
    pub(super) fn new(number: usize) -> Self {
        let (plans, events, kept) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { number, asked: 0, plans, events, released: 0, kept }
    }

    pub(super) fn name(&self) -> String {
        format!("operator-{}", self.number)
    }

    /// Its node, for events.
    pub(super) fn node(&self) -> String {
        format!("node-{}", self.number)
    }

    /// Its release channel.
    pub(super) fn channel(&self) -> String {
        format!("channel-{}", self.number)
    }

    /// Changes that it was told were made, and that the audit trail must have.
    pub fn changes(&self) -> u64 {
        self.plans.values().map(|it| it.generation).sum::<u64>() + self.released
    }

    /// Picks what to ask for.
    pub(super) fn next(&mut self, random: &mut Random) -> Ask {
        self.asked += 1;
        let live: Vec<_> = self.plans.iter().filter(|it| it.1.phase.is_live()).collect();
        match random.below(16) {
            0 | 1 => return self.events(),
            2 => return self.release(),
            _ if live.len() < LIVE_MAX => return self.create(random),
            _ => {}
        }
        let at = usize::try_from(random.below(live.len() as u64)).unwrap_or(0);
        match live.get(at) {
            Some((plan, known)) => self.turn(plan, known, random),
            None => self.create(random),
        }
    }

    fn ask(&self, path: String, body: Value, what: What) -> Ask {
        Ask { path, body, key: format!("key {}", self.asked), if_match: None, what }
    }

    fn create(&self, random: &mut Random) -> Ask {
        let plan = format!("plan-{}-{}", self.number, self.asked);
        let draft = random.below(3) == 0;
        let phase = if draft { Phase::Draft } else { Phase::Published };
        let body = json!({
            "metadata": { "id": plan, "labels": { "operator": self.name() } },
            "artifact_ref": format!("registry.example/agents/arm:{}", self.asked),
            "target_lock_fingerprint": format!("blake3:{:064x}", self.asked),
            "channel": self.channel(),
            "initial_phase": phase.name(),
        });
        self.ask("/v1/rollouts".to_owned(), body, What::Create { plan, phase })
    }

    fn turn(&self, plan: &str, known: &Known, random: &mut Random) -> Ask {
        let turns = known.phase.turns();
        // What ends a plan is rare, so that plans live.
        let bound = if random.below(6) == 0 { turns.len() } else { (turns.len() - 1).max(1) };
        let at = usize::try_from(random.below(bound as u64)).unwrap_or(0);
        let (verb, phase) = turns.get(at).copied().unwrap_or(("cancel", Phase::Cancelled));
        let reason = format!("number {}", self.asked);
        let (path, body) = match verb {
            "retry" | "rollback" => ("recover", json!({ "strategy": verb, "reason": reason })),
            verb => (verb, json!({ "reason": reason })),
        };
        let what = What::Turn { plan: plan.to_owned(), phase };
        let mut ask = self.ask(format!("/v1/rollouts/{plan}/{path}"), body, what);
        // Sent again after it was done, it names a generation that is no more: the key must win.
        ask.if_match = (random.below(2) == 0).then_some(known.generation);
        ask
    }

    fn events(&self) -> Ask {
        let id = |it| format!("{}:{}:{it}", self.node(), self.asked);
        let ids: Vec<_> = (0..BATCH).map(id).collect();
        let event = |it: &String| {
            json!({
                "event_id": it, "event_type": "drill.event", "node_id": self.node(),
                "timestamp": "2026-01-02T03:04:05Z", "number": self.asked,
            })
        };
        let body = json!({ "events": ids.iter().map(event).collect::<Vec<_>>() });
        self.ask("/v1/events".to_owned(), body, What::Events { ids })
    }

    fn release(&self) -> Ask {
        let sequence = self.released + 1;
        let body = json!({
            "id": format!("release-{}-{sequence}", self.number),
            "channel": self.channel(),
            "sequence": sequence,
            "artifact_ref": format!("registry.example/agents/arm:{sequence}"),
            "lock_fingerprint": format!("blake3:{sequence:064x}"),
        });
        self.ask("/v1/releases".to_owned(), body, What::Release { sequence })
    }

    /// Takes an answer in, which must be the one that was to be expected.
    pub(super) fn learn(&mut self, ask: &Ask, answer: &Answer) -> Result<()> {
        let said: Value = serde_json::from_str(&answer.text)?;
        match &ask.what {
            What::Create { plan, phase } => {
                ensure!(answer.status == StatusCode::CREATED, "a new plan is not 201");
                self.place(plan, *phase, 1, &said)?;
            }
            What::Turn { plan, phase } => {
                let before = self.plans.get(plan).context("a plan that was never created")?;
                self.place(plan, *phase, before.generation + 1, &said)?;
            }
            What::Events { ids } => {
                let count = |key: &str| said[key].as_u64().unwrap_or(u64::MAX);
                let (new, known) = (count("inserted"), count("deduped"));
                let all = ids.len() as u64;
                let whole = (new, known) == (all, 0) || (new, known) == (0, all);
                ensure!(whole, "half of a batch");
                ensure!(new == all || answer.attempts > 1, "known before it was sent");
                self.events.extend(ids.iter().cloned());
            }
            What::Release { sequence } => {
                ensure!(answer.status == StatusCode::CREATED, "a new release is not 201");
                ensure!(said["sequence"] == *sequence, "another sequence");
                self.released = *sequence;
            }
        }
        ensure!(!answer.replayed || answer.attempts > 1, "replayed, and was sent once");
        // Events have ids and need no key.
        if !matches!(ask.what, What::Events { .. }) {
            if self.kept.len() == KEPT {
                self.kept.remove(0);
            }
            self.kept.push((ask.clone(), answer.clone()));
        }
        Ok(())
    }

    fn place(&mut self, plan: &str, phase: Phase, generation: u64, said: &Value) -> Result<()> {
        let digest = said["plan_digest"].as_str().context("no digest")?.to_owned();
        let known = Known { phase, generation, digest };
        ensure!(said["plan"]["metadata"]["id"] == plan, "about another plan");
        ensure!(known.is(said), "expected {known:?}");
        if let Some(before) = self.plans.insert(plan.to_owned(), known.clone()) {
            ensure!(before.digest == known.digest, "another content than {}", before.digest);
        }
        Ok(())
    }

    /// O2: a plan while a request about it was sent and not answered.
    pub(super) fn in_flight(&self, ask: &Ask, found: Option<&Value>) -> Result<()> {
        let (plan, phase) = match &ask.what {
            What::Create { plan, phase } | What::Turn { plan, phase } => (plan, *phase),
            What::Events { .. } | What::Release { .. } => return Ok(()),
        };
        match (self.plans.get(plan), found) {
            (None, None) => Ok(()),
            (None, Some(found)) if found["generation"] == 1 && found["phase"] == phase.name() => {
                Ok(())
            }
            (Some(before), Some(found)) if before.is(found) => Ok(()),
            (Some(before), Some(found)) => {
                let after = Known { phase, generation: before.generation + 1, ..before.clone() };
                ensure!(after.is(found), "neither {before:?} nor {after:?}: {found}");
                Ok(())
            }
            (before, found) => bail!("{plan} was {before:?} and is {found:?}"),
        }
    }
}

impl Ask {
    /// The plan that it is about.
    pub(super) fn plan(&self) -> Option<&str> {
        match &self.what {
            What::Create { plan, .. } | What::Turn { plan, .. } => Some(plan),
            What::Events { .. } | What::Release { .. } => None,
        }
    }

    /// Whether its key is remembered.
    pub(super) const fn has_key(&self) -> bool {
        !matches!(self.what, What::Events { .. })
    }
}

/// O3: the answer to a key that was used before.
pub(super) fn same(ask: &Ask, first: &Answer, again: &Answer) -> Result<()> {
    if ask.has_key() {
        ensure!(again.replayed, "{ask:?} was done twice: {again:?}");
        let same = (again.status, &again.text) == (first.status, &first.text);
        ensure!(same, "{ask:?} was answered with {first:?}, and again with {again:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
