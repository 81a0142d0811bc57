//! What the nodes of a channel are to run.
//!
//! # Invariants
//!
//! * **D1** The sequence of a channel only grows; the latest release is the one with the largest.
//! * **D2** A release never changes: the same id with other content is a conflict.

use serde::{Deserialize, Serialize};

use crate::{
    moment::Moment,
    name::{Actor, Channel, NAME_LEN_MAX, PlanId, ReleaseId, StageId},
    plan::{Kind, Target},
    rollout::Rollout,
    stage::StagePhase,
};

/// Longest generation in a name, with its point.
const GENERATION_LEN_MAX: usize = 21;
/// Largest sequence: every backend can hold it.
pub const SEQUENCE_MAX: u64 = i64::MAX.unsigned_abs();

/// A release that is to be published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRelease {
    /// Unique in a store.
    pub id: ReleaseId,
    /// For which nodes.
    pub channel: Channel,
    /// Its place; the next one when not given.
    pub sequence: Option<u64>,
    /// What to load.
    pub artifact_ref: String,
    /// The lock that nodes are to reach.
    pub lock_fingerprint: String,
    /// The policy in it, for people.
    pub policy: Option<String>,
}

impl NewRelease {
    /// The release that a plan becomes when it has passed every gate, under each name it may get: the name of the
    /// plan, or one that says its generation too. Nothing for a plan that ends with a part of its channel or has a
    /// stage that passed no gate, and for what is no behavior: nodes poll behavior alone.
    pub fn of_plan(rollout: &Rollout) -> Vec<Self> {
        let plan = rollout.plan();
        let whole = plan.stages.last().is_some_and(|it| it.target == Target::Percent(100));
        let passed = rollout.stages().iter().all(|it| it.phase == StagePhase::Promoted);
        if !whole || !passed || plan.rollout_kind != Kind::Behavior {
            return Vec::new();
        }
        let id = rollout.id().as_str();
        let short: String = id.chars().take(NAME_LEN_MAX - GENERATION_LEN_MAX).collect();
        let names = [id.to_owned(), format!("{short}.{}", rollout.generation())];
        let ids = names.iter().filter_map(|it| ReleaseId::new(it).ok());
        let release = |id| Self {
            id,
            channel: plan.channel.clone(),
            sequence: None,
            artifact_ref: plan.artifact_ref.clone(),
            lock_fingerprint: plan.target_lock_fingerprint.clone(),
            policy: None,
        };
        ids.map(release).collect()
    }
}

/// A published release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What was published; `sequence` is the one that was asked for.
    pub asked: NewRelease,
    /// Its place in the channel, from 1.
    pub sequence: u64,
    /// When.
    pub created_at: Moment,
    /// Who.
    pub created_by: Actor,
}

/// What becomes of a release that is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publication {
    /// It gets this place.
    New(u64),
    /// It is there already.
    Existing,
    /// The id has other content (D2).
    OtherContent,
    /// The place is not behind the latest (D1).
    NotBehind {
        /// The latest place.
        latest: u64,
    },
}

/// Decides about a release; `same_id` is the one with its id, `latest` the last place of its channel.
pub fn publication(
    new: &NewRelease,
    same_id: Option<&Release>,
    latest: Option<u64>,
) -> Publication {
    let latest = latest.unwrap_or(0);
    match (same_id, new.sequence) {
        (Some(it), None)
            if it.asked == NewRelease { sequence: it.asked.sequence, ..new.clone() } =>
        {
            Publication::Existing
        }
        (Some(it), Some(_)) if it.asked == *new => Publication::Existing,
        (Some(_), _) => Publication::OtherContent,
        (None, asked) => {
            let place = asked.unwrap_or(latest.saturating_add(1));
            let fits = place > latest && place <= SEQUENCE_MAX;
            if fits { Publication::New(place) } else { Publication::NotBehind { latest } }
        }
    }
}

/// What a node is to do, as it polls it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The latest release of its channel; `None` when there is none, and when the node runs a plan that is newer:
    /// a plan that was rolled back, paused or failed activates no further node, and takes nothing back.
    pub release: Option<Release>,
    /// Live plans whose open stages target it, the newest first.
    pub rollouts: Vec<Assignment>,
}

/// A plan that targets a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Which plan.
    pub plan_id: PlanId,
    /// The first stage that targets the node.
    pub stage_id: StageId,
    /// What changes.
    pub rollout_kind: Kind,
    /// What to load.
    pub artifact_ref: String,
    /// The lock to reach.
    pub target_lock_fingerprint: String,
}
