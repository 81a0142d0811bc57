//! What a rollout is to do: an artifact, the nodes of each stage, and what each stage waits for.
//!
//! A plan never changes once it is stored; its life is in `rollout`. [`PlanRequest::parse`] is the only
//! way from bytes to a plan.
//!
//! # Invariants
//!
//! * **L1** A plan has at least one stage, and every stage at least one gate.
//! * **L2** The digest of a plan is the hash of its canonical JSON: equal content, equal digest,
//!   whatever the order of keys or of listed nodes.

mod error;
mod request;
mod warning;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{Channel, GateId, NodeId, PlanId, StageId};
pub use error::PlanError;
pub use request::{
    GATES_MAX, LABEL_LEN_MAX, LABELS_MAX, NODES_MAX, PLAN_LEN_MAX, PlanRequest, STAGES_MAX,
    Strictness, TEXT_LEN_MAX,
};
pub use warning::Warning;

/// Domain of the digest: no other hash of the same bytes is equal to it.
const DIGEST_CONTEXT: &str = "autonomy rollout plan digest v1";

/// A checked plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Name and labels.
    pub metadata: Metadata,
    /// What is rolled out, as the caller wrote it.
    pub artifact_ref: String,
    /// The lock fingerprint that nodes are to reach, as the caller wrote it.
    pub target_lock_fingerprint: String,
    /// What changes on a node.
    pub rollout_kind: Kind,
    /// Which nodes it concerns.
    pub channel: Channel,
    /// In the order of promotion.
    pub stages: Vec<Stage>,
}

/// Name and labels of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Unique in a store.
    pub id: PlanId,
    /// Free texts of the caller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What changes on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Behaviour: policy and tools.
    #[default]
    Behavior,
    /// A model.
    Model,
    /// The operating system is built anew.
    OsReconstruction,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Unique within the plan.
    pub id: StageId,
    /// Which nodes.
    #[serde(flatten)]
    pub target: Target,
    /// What it waits for; all of them.
    pub gates: Vec<Gate>,
    /// How long it may be open.
    pub deadline_seconds: u32,
}

/// The nodes of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// This share of the channel, 1 to 100.
    Percent(u8),
    /// These.
    Nodes(BTreeSet<NodeId>),
}

/// One condition of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Unique within the stage.
    pub id: GateId,
    /// What it waits for.
    #[serde(flatten)]
    pub rule: GateRule,
}

/// What a gate waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum GateRule {
    /// A person.
    Manual,
    /// Time since the stage was opened.
    TimeSoak {
        /// How long.
        soak_seconds: u32,
    },
    /// Reports of nodes.
    Health {
        /// Share of the targeted nodes that must be healthy, 1 to 100.
        min_verified_percent: u8,
        /// How many may have failed.
        max_failures: u32,
        /// How old a report of health may be.
        window_seconds: u32,
    },
}

impl GateRule {
    /// What a stage without gates waits for: all of its nodes are healthy and none has failed.
    pub const STANDARD: Self = Self::Health {
        min_verified_percent: 100,
        max_failures: 0,
        window_seconds: WINDOW_SECONDS_DEFAULT,
    };

    /// The name of the kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::TimeSoak { .. } => "time_soak",
            Self::Health { .. } => "health",
        }
    }
}

/// How old a report of health may be when the plan does not say.
pub const WINDOW_SECONDS_DEFAULT: u32 = 3600;

/// Identity of the content of a plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlanDigest([u8; 32]);

impl PlanDigest {
    /// Reads `blake3:<64 hexadecimal digits>`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("blake3:")?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).ok()?;
        let digest = Self(bytes);
        // One spelling for each value.
        (digest.to_string() == text).then_some(digest)
    }
}

impl fmt::Display for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<PlanDigest> for String {
    fn from(it: PlanDigest) -> Self {
        it.to_string()
    }
}

impl TryFrom<String> for PlanDigest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| "not `blake3:` and 64 hexadecimal digits".to_owned())
    }
}

impl Plan {
    /// The name.
    pub const fn id(&self) -> &PlanId {
        &self.metadata.id
    }

    /// Hash of the canonical JSON (L2).
    pub fn digest(&self) -> PlanDigest {
        // A plan always serializes: every key is a text.
        let value = serde_json::to_value(self).unwrap_or_default();
        let mut hasher = blake3::Hasher::new_derive_key(DIGEST_CONTEXT);
        hasher.update(&wal_format::canonical_json(&value));
        PlanDigest(*hasher.finalize().as_bytes())
    }

    /// Position and stage of this name.
    pub fn stage(&self, id: &StageId) -> Option<(usize, &Stage)> {
        self.stages.iter().enumerate().find(|(_, it)| it.id == *id)
    }

    /// Whether any stage targets this node.
    pub fn targets(&self, node: &NodeId) -> bool {
        self.stages.iter().any(|it| it.target.contains(self.id(), node))
    }

    /// Nodes that are named one by one.
    pub fn named_nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.stages.iter().flat_map(|it| match &it.target {
            Target::Percent(_) => None.into_iter().flatten(),
            Target::Nodes(nodes) => Some(nodes.iter()).into_iter().flatten(),
        })
    }
}

impl Target {
    /// Whether this node belongs to it in this plan.
    pub fn contains(&self, plan: &PlanId, node: &NodeId) -> bool {
        match self {
            Self::Percent(percent) => crate::cohort::contains(plan, node, *percent),
            Self::Nodes(nodes) => nodes.contains(node),
        }
    }
}
