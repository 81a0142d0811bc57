//! Plans in memory: the backend of tests, and the reference for the others.
//!
//! Requests are applied to a stage that is put down only when the request was accepted.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    evidence::Report,
    idempotency::Remembered,
    moment::Moment,
    name::{Channel, NodeId, PlanId, ReleaseId},
    node::{FleetSummary, Node, NodeState, VERSIONS_MAX},
    release::Release,
    rollout::Rollout,
    store::{
        About, Answer, ApplyError, BATCH_MAX, Cursor, Epoch, LIMIT_MAX, ListQuery, Noted, Page,
        Quiet, ReadError, Request, RolloutReader, RolloutStore, RowError, Rows,
        engine::{self, NotApplied},
    },
};

/// A store that ends with the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tables: Tables,
    epoch: u64,
    commits: u64,
}

#[derive(Clone, Debug, Default)]
struct Tables {
    /// In the order of creation, from 1.
    rollouts: BTreeMap<i64, Rollout>,
    by_id: BTreeMap<PlanId, i64>,
    reports: BTreeMap<PlanId, BTreeMap<NodeId, Report>>,
    nodes: BTreeMap<NodeId, Node>,
    releases: BTreeMap<ReleaseId, Release>,
    remembered: BTreeMap<[u8; 32], Remembered>,
    notes: BTreeMap<u64, Noted>,
    last_note: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

/// What a request wants to write.
enum Change {
    InsertRollout(Rollout),
    UpdateRollout(Rollout),
    Report(PlanId, NodeId, Report),
    Node(Node),
    Release(Release),
    Remember([u8; 32], Remembered),
    Forget([u8; 32]),
    Note(Noted),
    DropNotes(u64),
}

struct Staged<'a> {
    tables: &'a Tables,
    changes: Vec<Change>,
}

impl Rows for Staged<'_> {
    fn rollout(&self, id: &PlanId) -> Result<Option<Rollout>, RowError> {
        Ok(self.tables.rollout(id).cloned())
    }

    fn insert_rollout(&mut self, rollout: &Rollout) -> Result<(), RowError> {
        self.changes.push(Change::InsertRollout(rollout.clone()));
        Ok(())
    }

    fn update_rollout(&mut self, rollout: &Rollout) -> Result<(), RowError> {
        self.changes.push(Change::UpdateRollout(rollout.clone()));
        Ok(())
    }

    fn report(&self, plan: &PlanId, node: &NodeId) -> Result<Option<Report>, RowError> {
        Ok(self.tables.reports.get(plan).and_then(|it| it.get(node)).cloned())
    }

    fn put_report(&mut self, plan: &PlanId, node: &NodeId, it: &Report) -> Result<(), RowError> {
        self.changes.push(Change::Report(plan.clone(), node.clone(), it.clone()));
        Ok(())
    }

    fn node(&self, id: &NodeId) -> Result<Option<Node>, RowError> {
        Ok(self.tables.nodes.get(id).cloned())
    }

    fn node_count(&self) -> Result<u64, RowError> {
        Ok(self.tables.nodes.len() as u64)
    }

    fn put_node(&mut self, node: &Node) -> Result<(), RowError> {
        self.changes.push(Change::Node(node.clone()));
        Ok(())
    }

    fn release(&self, id: &ReleaseId) -> Result<Option<Release>, RowError> {
        Ok(self.tables.releases.get(id).cloned())
    }

    fn latest_sequence(&self, channel: &Channel) -> Result<Option<u64>, RowError> {
        Ok(self.tables.latest(channel).map(|it| it.sequence))
    }

    fn insert_release(&mut self, release: &Release) -> Result<(), RowError> {
        self.changes.push(Change::Release(release.clone()));
        Ok(())
    }

    fn remembered(&self, key: &[u8; 32]) -> Result<Option<Remembered>, RowError> {
        Ok(self.tables.remembered.get(key).cloned())
    }

    fn remember(&mut self, key: &[u8; 32], it: &Remembered) -> Result<(), RowError> {
        self.changes.push(Change::Remember(*key, it.clone()));
        Ok(())
    }

    fn forget(&mut self, before: Moment, limit: u32) -> Result<(), RowError> {
        let old = self.tables.remembered.iter().filter(|it| it.1.at < before);
        let keys: Vec<_> = old.map(|it| *it.0).take(limit as usize).collect();
        self.changes.extend(keys.into_iter().map(Change::Forget));
        Ok(())
    }

    fn put_note(&mut self, text: &str, about: &About, at: Moment) -> Result<u64, RowError> {
        let number = self.tables.last_note + 1;
        let (text, about) = (text.to_owned(), about.clone());
        self.changes.push(Change::Note(Noted { number, at, text, about }));
        Ok(number)
    }

    fn drop_notes(&mut self, through: u64) -> Result<(), RowError> {
        self.changes.push(Change::DropNotes(through));
        Ok(())
    }
}

impl Tables {
    fn rollout(&self, id: &PlanId) -> Option<&Rollout> {
        self.rollouts.get(self.by_id.get(id)?)
    }

    fn latest(&self, channel: &Channel) -> Option<&Release> {
        let of_channel = self.releases.values().filter(|it| it.asked.channel == *channel);
        of_channel.max_by_key(|it| it.sequence)
    }

    fn put_down(&mut self, change: Change) {
        match change {
            Change::InsertRollout(it) => {
                let position = self.rollouts.last_key_value().map_or(1, |it| it.0 + 1);
                self.by_id.insert(it.id().clone(), position);
                self.rollouts.insert(position, it);
            }
            Change::UpdateRollout(it) => {
                if let Some(position) = self.by_id.get(it.id()) {
                    self.rollouts.insert(*position, it);
                }
            }
            Change::Report(plan, node, it) => {
                self.reports.entry(plan).or_default().insert(node, it);
            }
            Change::Node(it) => {
                self.nodes.insert(it.id.clone(), it);
            }
            Change::Release(it) => {
                self.releases.insert(it.asked.id.clone(), it);
            }
            Change::Remember(key, it) => {
                self.remembered.insert(key, it);
            }
            Change::Forget(key) => {
                self.remembered.remove(&key);
            }
            Change::Note(it) => {
                self.last_note = it.number;
                self.notes.insert(it.number, it);
            }
            Change::DropNotes(through) => {
                self.notes = self.notes.split_off(&through.saturating_add(1));
            }
        }
    }
}

/// The error of a batch that this error of a row is.
pub(crate) fn of_batch(error: RowError) -> ApplyError {
    match error {
        RowError::Busy => ApplyError::Busy,
        RowError::Full { detail } => ApplyError::Full { detail },
        RowError::Broken { detail } | RowError::Refused { detail } => {
            ApplyError::Stopped { detail }
        }
        RowError::Unreadable { why, .. } => ApplyError::Stopped { detail: why },
    }
}

impl RolloutStore for MemoryStore {
    fn reader(&self) -> &dyn RolloutReader {
        self
    }

    fn acquire(&mut self) -> Result<Epoch, ApplyError> {
        self.epoch += 1;
        Ok(Epoch(self.epoch))
    }

    fn apply(
        &mut self,
        epoch: Epoch,
        now: Moment,
        requests: &[Request],
    ) -> Result<Vec<Answer>, ApplyError> {
        if requests.len() > BATCH_MAX {
            return Err(ApplyError::TooMany { len: requests.len() });
        }
        if epoch.0 != self.epoch {
            return Err(ApplyError::StaleEpoch { given: epoch.0, current: self.epoch });
        }
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            let mut staged = Staged { tables: &self.tables, changes: Vec::new() };
            let outcome = engine::apply(&mut staged, request, now);
            let changes = staged.changes;
            let answer = match outcome {
                Ok(applied) => Ok(applied),
                Err(NotApplied::Refused(error)) => Err(error),
                Err(NotApplied::Row(error)) => return Err(of_batch(error)),
            };
            // What a refused request wanted to write is dropped with it.
            changes.into_iter().filter(|_| answer.is_ok()).for_each(|it| self.tables.put_down(it));
            answers.push(answer);
        }
        self.commits += 1;
        Ok(answers)
    }
}

impl RolloutReader for MemoryStore {
    fn epoch(&self) -> Result<Epoch, ReadError> {
        Ok(Epoch(self.epoch))
    }

    fn commits(&self) -> Result<u64, ReadError> {
        Ok(self.commits)
    }

    fn store_id(&self) -> Result<String, ReadError> {
        Ok("memory".to_owned())
    }

    fn notes(&self, after: u64, limit: u32) -> Result<Vec<Noted>, ReadError> {
        let notes = self.tables.notes.range(after.saturating_add(1)..);
        Ok(notes.take(limit as usize).map(|it| it.1.clone()).collect())
    }

    fn rollout(&self, id: &PlanId) -> Result<Option<Rollout>, ReadError> {
        Ok(self.tables.rollout(id).cloned())
    }

    fn rollouts(&self, query: &ListQuery) -> Result<Page, ReadError> {
        let fits = |it: &&Rollout| query.phase.is_none_or(|phase| it.phase().name() == phase);
        let before = query.after.map_or(i64::MAX, Cursor::position);
        let limit = query.limit.clamp(1, LIMIT_MAX) as usize;
        let older = self.tables.rollouts.range(..before).rev().filter(|it| fits(&it.1));
        let found: Vec<_> = older.take(limit + 1).collect();
        let more = found.len() > limit;
        let last = found.get(limit - 1).filter(|_| more).and_then(|it| Cursor::new(*it.0));
        let total = self.tables.rollouts.values().filter(fits).count() as u64;
        let rollouts = found.into_iter().take(limit).map(|it| it.1.clone()).collect();
        Ok(Page { rollouts, unreadable: Vec::new(), next: last, total })
    }

    fn quiet(&self, since: Moment, limit: u32) -> Result<Vec<Quiet>, ReadError> {
        let live = self.tables.rollouts.iter().filter(|it| it.1.phase().is_live());
        let mut quiet: Vec<_> = live.filter(|it| it.1.quiet_since() <= since).collect();
        quiet.sort_by_key(|it| (it.1.quiet_since(), *it.0));
        Ok(quiet.into_iter().take(limit as usize).map(|it| Ok(it.1.clone())).collect())
    }

    fn live(
        &self,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<(Vec<Quiet>, Option<Cursor>), ReadError> {
        let from = after.map_or(1, |it| it.position().saturating_add(1));
        let live = self.tables.rollouts.range(from..).filter(|it| it.1.phase().is_live());
        let mut last = None;
        let mut found = Vec::new();
        for (position, rollout) in live.take(limit as usize) {
            last = Cursor::new(*position);
            found.push(Ok(rollout.clone()));
        }
        let full = found.len() >= limit as usize;
        Ok((found, last.filter(|_| full)))
    }

    fn live_of(&self, channel: &Channel, limit: u32) -> Result<Vec<Rollout>, ReadError> {
        let newest = self.tables.rollouts.values().rev();
        let live = newest.filter(|it| it.phase().is_live() && it.plan().channel == *channel);
        Ok(live.take(limit as usize).cloned().collect())
    }

    fn reports(&self, plan: &PlanId) -> Result<BTreeMap<NodeId, Report>, ReadError> {
        Ok(self.tables.reports.get(plan).cloned().unwrap_or_default())
    }

    fn fleet_of(&self, channel: &Channel) -> Result<Vec<NodeId>, ReadError> {
        let nodes = self.tables.nodes.values();
        let of_channel = nodes.filter(|it| it.channel == *channel && it.last_seen.is_some());
        Ok(of_channel.map(|it| it.id.clone()).collect())
    }

    fn node(&self, id: &NodeId) -> Result<Option<Node>, ReadError> {
        Ok(self.tables.nodes.get(id).cloned())
    }

    fn fleet(&self, after: Option<&NodeId>, limit: u32) -> Result<Vec<Node>, ReadError> {
        let behind = |it: &&Node| after.is_none_or(|after| it.id > *after);
        let nodes = self.tables.nodes.values().filter(behind);
        Ok(nodes.take(limit.clamp(1, LIMIT_MAX) as usize).cloned().collect())
    }

    fn fleet_summary(&self, now: Moment, stale_seconds: u64) -> Result<FleetSummary, ReadError> {
        let mut summary = FleetSummary::default();
        let mut names = BTreeSet::new();
        for node in self.tables.nodes.values() {
            match NodeState::of(node.last_seen, now, stale_seconds) {
                NodeState::Up => summary.up += 1,
                NodeState::Stale => summary.stale += 1,
                NodeState::Unknown => summary.unknown += 1,
            }
            names.extend(node.release.iter().map(ReleaseId::as_str));
        }
        for name in names.into_iter().take(VERSIONS_MAX) {
            let of = |it: &&Node| it.release.as_ref().is_some_and(|it| it.as_str() == name);
            let count = self.tables.nodes.values().filter(of).count() as u64;
            summary.releases.insert(name.to_owned(), count);
        }
        Ok(summary)
    }

    fn release(&self, id: &ReleaseId) -> Result<Option<Release>, ReadError> {
        Ok(self.tables.releases.get(id).cloned())
    }

    fn latest_release(&self, channel: &Channel) -> Result<Option<Release>, ReadError> {
        Ok(self.tables.latest(channel).cloned())
    }
}
