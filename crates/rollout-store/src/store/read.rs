//! Reading: what a backend must find, and what follows from it for all backends.

use std::collections::BTreeMap;

use super::{Cursor, Epoch, Noted, ReadError};
use crate::{
    cohort::Cohort,
    evidence::{Evidence, Progress, Report, Tally},
    explain::{Explanation, explain},
    moment::Moment,
    name::{Channel, NodeId, PlanId, ReleaseId},
    node::{FleetSummary, Node},
    plan::Target,
    release::{Assignment, Desired, Release},
    rollout::Rollout,
    stage::StagePhase,
    stuck::{NODES_PER_SCAN_MAX, STUCK_MAX, StuckList, diagnose, diagnose_unreadable},
};

/// Live plans of a channel that a poll looks at, the newest first.
pub const ASSIGNMENTS_SCAN_MAX: u32 = 64;

/// Which plans, from where, how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// A name of [`crate::Phase::NAMES`]; `None` for all.
    pub phase: Option<&'static str>,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// How many; at least 1, at most [`super::LIMIT_MAX`] (brought there).
    pub limit: u32,
}

/// Plans, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Those that can be read.
    pub rollouts: Vec<Rollout>,
    /// Those that cannot (B5).
    pub unreadable: Vec<Unreadable>,
    /// Where this page ended; `None` when nothing follows.
    pub next: Option<Cursor>,
    /// How many plans fit the filter in all.
    pub total: u64,
}

/// A plan whose record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Which.
    pub plan_id: PlanId,
    /// Since when nothing happens to it, as far as its row says.
    pub quiet_since: Moment,
    /// What is wrong.
    pub why: String,
}

/// A live plan.
pub type Quiet = Result<Rollout, Unreadable>;

/// Where plans are read.
pub trait RolloutReader {
    /// The epoch of whoever may write.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the store cannot be read; so for every method here.
    fn epoch(&self) -> Result<Epoch, ReadError>;

    /// How many batches were committed, ever: grows with each [`super::RolloutStore::apply`] that returned
    /// `Ok`. A store that shows fewer than were seen has lost some.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn commits(&self) -> Result<u64, ReadError>;

    /// A random name that the store got when it was created: numbers of notes are unique within it.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn store_id(&self) -> Result<String, ReadError>;

    /// Notes behind a number, in their order.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn notes(&self, after: u64, limit: u32) -> Result<Vec<Noted>, ReadError>;

    /// One plan.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn rollout(&self, id: &PlanId) -> Result<Option<Rollout>, ReadError>;

    /// A page of plans.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn rollouts(&self, query: &ListQuery) -> Result<Page, ReadError>;

    /// Live plans that are quiet since this moment or longer, the longest quiet first.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn quiet(&self, since: Moment, limit: u32) -> Result<Vec<Quiet>, ReadError>;

    /// Live plans in the order of creation, and where the next page begins.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn live(
        &self,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<(Vec<Quiet>, Option<Cursor>), ReadError>;

    /// Live plans of a channel, the newest first; those that cannot be read are left out.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn live_of(&self, channel: &Channel, limit: u32) -> Result<Vec<Rollout>, ReadError>;

    /// The last words about a plan.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn reports(&self, plan: &PlanId) -> Result<BTreeMap<NodeId, Report>, ReadError>;

    /// Nodes of a channel that were heard of, by name.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn fleet_of(&self, channel: &Channel) -> Result<Vec<NodeId>, ReadError>;

    /// One node.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn node(&self, id: &NodeId) -> Result<Option<Node>, ReadError>;

    /// Nodes by name, behind `after`.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn fleet(&self, after: Option<&NodeId>, limit: u32) -> Result<Vec<Node>, ReadError>;

    /// The fleet in numbers.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn fleet_summary(&self, now: Moment, stale_seconds: u64) -> Result<FleetSummary, ReadError>;

    /// One release.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn release(&self, id: &ReleaseId) -> Result<Option<Release>, ReadError>;

    /// The latest release of a channel.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn latest_release(&self, channel: &Channel) -> Result<Option<Release>, ReadError>;

    /// What nodes reported about a stage; `fleet` are the nodes of the channel.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn evidence_among(
        &self,
        rollout: &Rollout,
        stage: usize,
        fleet: &[NodeId],
    ) -> Result<Evidence, ReadError> {
        let reports = self.reports(rollout.id())?;
        Ok(gather(rollout, stage, fleet, &reports))
    }

    /// What nodes reported about a stage.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn evidence(&self, rollout: &Rollout, stage: usize) -> Result<Evidence, ReadError> {
        let fleet = self.fleet_of(&rollout.plan().channel)?;
        self.evidence_among(rollout, stage, &fleet)
    }

    /// Counts of every stage.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn tallies(&self, rollout: &Rollout, now: Moment) -> Result<Vec<Tally>, ReadError> {
        let fleet = self.fleet_of(&rollout.plan().channel)?;
        let reports = self.reports(rollout.id())?;
        let stages = 0..rollout.plan().stages.len();
        let tally =
            |stage| gather(rollout, stage, &fleet, &reports).tally(rollout.attempt(), None, now);
        Ok(stages.map(tally).collect())
    }

    /// Why a plan does not go on.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn explain(&self, rollout: &Rollout, now: Moment) -> Result<Explanation, ReadError> {
        let evidence = self.evidence(rollout, rollout.current())?;
        Ok(explain(rollout, Some(&evidence), now))
    }

    /// Plans that do not go on although they should (see `stuck`).
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn stuck(
        &self,
        threshold_seconds: u64,
        now: Moment,
        limit: u32,
    ) -> Result<StuckList, ReadError> {
        let limit = limit.clamp(1, STUCK_MAX);
        let mut found = self.quiet(now.minus_seconds(threshold_seconds), limit + 1)?;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let mut fleets = Fleets::default();
        let mut plans = Vec::with_capacity(found.len());
        for it in found {
            plans.push(match it {
                Ok(rollout) => {
                    let evidence = fleets.evidence(self, &rollout)?;
                    diagnose(&rollout, evidence.as_ref(), now)
                }
                Err(it) => diagnose_unreadable(it.plan_id, it.quiet_since, &it.why),
            });
        }
        Ok(StuckList { plans, more })
    }

    /// What the nodes of a channel are offered, before anybody asks who they are.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn offer(&self, channel: &Channel) -> Result<Offer, ReadError> {
        let release = self.latest_release(channel)?;
        Ok(Offer { release, live: self.live_of(channel, ASSIGNMENTS_SCAN_MAX)? })
    }

    /// What a node is to do; `known` is what the store knows of it, `offer` that of its channel.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn desired_of(
        &self,
        node: &NodeId,
        known: Option<&Node>,
        offer: &Offer,
    ) -> Result<Desired, ReadError> {
        let mut release = offer.release.clone();
        if let Some(plan) = known.and_then(|it| it.plan.as_ref())
            && let Some(held) = self.rollout(plan)?
            && release.as_ref().is_some_and(|it| it.created_at < held.created_at())
        {
            release = None;
        }
        let rollouts = offer.live.iter().filter_map(|it| assignment(it, node)).collect();
        Ok(Desired { release, rollouts })
    }

    /// What a node is to do. A node that is not known follows the standard channel.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn desired(&self, node: &NodeId) -> Result<Desired, ReadError> {
        let known = self.node(node)?;
        let channel = known.as_ref().map_or_else(Channel::standard, |it| it.channel.clone());
        self.desired_of(node, known.as_ref(), &self.offer(&channel)?)
    }
}

/// What the nodes of a channel are offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Its latest release.
    pub release: Option<Release>,
    /// Its live plans, the newest first.
    pub live: Vec<Rollout>,
}

/// The first stage up to the current one that targets the node.
fn assignment(rollout: &Rollout, node: &NodeId) -> Option<Assignment> {
    let plan = rollout.plan();
    let begun = plan.stages.iter().take(rollout.current() + 1);
    let stage = begun.into_iter().find(|it| it.target.contains(plan.id(), node))?;
    Some(Assignment {
        plan_id: plan.id().clone(),
        stage_id: stage.id.clone(),
        rollout_kind: plan.rollout_kind,
        artifact_ref: plan.artifact_ref.clone(),
        target_lock_fingerprint: plan.target_lock_fingerprint.clone(),
    })
}

fn gather(
    rollout: &Rollout,
    stage: usize,
    fleet: &[NodeId],
    reports: &BTreeMap<NodeId, Report>,
) -> Evidence {
    let Some(spec) = rollout.plan().stages.get(stage) else { return Evidence::default() };
    let counts = |node: &&NodeId| !set_aside(rollout, stage, node, reports.get(*node));
    let with_report = |node: &NodeId| (node.clone(), reports.get(node).cloned());
    let nodes = match &spec.target {
        Target::Nodes(nodes) => nodes.iter().filter(counts).map(with_report).collect(),
        Target::Percent(percent) => {
            let cohort = Cohort::of(rollout.id());
            let inside = fleet.iter().filter(|it| cohort.contains(it, *percent));
            inside.filter(counts).map(with_report).collect()
        }
    };
    Evidence::new(nodes)
}

/// Whether a person went past a stage with this node in it, and it has failed still: it does not keep later stages.
/// As soon as it does well it counts again.
fn set_aside(rollout: &Rollout, stage: usize, node: &NodeId, report: Option<&Report>) -> bool {
    let failed = report.is_some_and(|it| it.progress == Progress::Failed);
    let before = rollout.plan().stages.iter().zip(rollout.stages()).take(stage);
    failed
        && before.into_iter().any(|(spec, state)| {
            state.phase == StagePhase::Skipped && spec.target.contains(rollout.id(), node)
        })
}

/// The nodes of each channel, read once a scan and within a budget.
#[derive(Debug, Default)]
pub(super) struct Fleets {
    known: BTreeMap<Channel, Vec<NodeId>>,
    looked_at: u64,
}

impl Fleets {
    /// Evidence of the current stage; `None` when the scan has looked at enough nodes.
    fn evidence<R: RolloutReader + ?Sized>(
        &mut self,
        reader: &R,
        rollout: &Rollout,
    ) -> Result<Option<Evidence>, ReadError> {
        if self.looked_at >= NODES_PER_SCAN_MAX {
            return Ok(None);
        }
        let evidence = self.evidence_of(reader, rollout)?;
        Ok(Some(evidence))
    }

    /// Evidence of the current stage.
    pub(super) fn evidence_of<R: RolloutReader + ?Sized>(
        &mut self,
        reader: &R,
        rollout: &Rollout,
    ) -> Result<Evidence, ReadError> {
        let channel = &rollout.plan().channel;
        if !self.known.contains_key(channel) {
            self.known.insert(channel.clone(), reader.fleet_of(channel)?);
        }
        let fleet = self.known.get(channel).map_or(&[][..], Vec::as_slice);
        let named = rollout.plan().named_nodes().count() as u64;
        self.looked_at = self.looked_at.saturating_add(fleet.len() as u64 + named);
        reader.evidence_among(rollout, rollout.current(), fleet)
    }
}
