//! What can go wrong: with one request, with a batch, with reading.

use thiserror::Error;

use crate::{
    name::{GateId, NodeId, PlanId, ReleaseId, StageId},
    phase::Phase,
    stage::ActRefused,
};

/// Why one request was refused; nothing of it was stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// No such plan.
    #[error("there is no plan `{plan_id}`")]
    NotFound {
        /// The id.
        plan_id: PlanId,
    },
    /// The id has other content.
    #[error("the plan `{plan_id}` exists with other content")]
    Exists {
        /// The id.
        plan_id: PlanId,
        /// Where that plan is.
        phase: Phase,
    },
    /// The plan is not at the generation that was named.
    #[error("the plan is at generation {found}, not {expected}")]
    Generation {
        /// What the request named.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// The tables of phases do not allow it.
    #[error(transparent)]
    Refused(ActRefused),
    /// No such stage.
    #[error("the plan has no stage `{stage}`")]
    StageUnknown {
        /// The id.
        stage: StageId,
    },
    /// The plan stands at another stage.
    #[error("the plan stands at another stage than `{stage}`")]
    StageNotCurrent {
        /// The id.
        stage: StageId,
    },
    /// No such gate.
    #[error("the stage has no gate `{gate}`")]
    GateUnknown {
        /// The id.
        gate: GateId,
    },
    /// Only people pass manual gates, and people pass no others.
    #[error("the gate `{gate}` is of kind {kind}; only manual gates are approved or rejected")]
    GateNotManual {
        /// The id.
        gate: GateId,
        /// Its kind.
        kind: &'static str,
    },
    /// The content is not the one that the operator looked at.
    #[error("the content of the plan is not the one that was looked at")]
    DigestMismatch,
    /// The length of an approval.
    #[error("an approval counts for 1 to {max} s, not {found}")]
    Expiry {
        /// What was asked for.
        found: u64,
        /// The longest.
        max: u64,
    },
    /// A reason is needed.
    #[error("a reason is needed")]
    ReasonMissing,
    /// The node is in no stage of the plan.
    #[error("the plan does not target the node `{node}`")]
    NotTargeted {
        /// The id.
        node: NodeId,
    },
    /// A text of a node is too long.
    #[error("{field} has {len} bytes, more than {max}")]
    TooLong {
        /// Where.
        field: &'static str,
        /// What it has.
        len: usize,
        /// What it may have.
        max: usize,
    },
    /// A step that was planned for another generation.
    #[error("the step was planned for generation {planned} and the plan is at {found}")]
    StaleStep {
        /// What it was planned for.
        planned: u64,
        /// What it is.
        found: u64,
    },
    /// The release id has other content.
    #[error("the release `{release}` exists with other content")]
    ReleaseExists {
        /// The id.
        release: ReleaseId,
    },
    /// The sequence does not grow.
    #[error("the channel is at sequence {latest} already")]
    Sequence {
        /// The latest.
        latest: u64,
    },
    /// No such release.
    #[error("there is no release `{release}`")]
    ReleaseUnknown {
        /// The id.
        release: ReleaseId,
    },
    /// No room for another node.
    #[error("the store holds {max} nodes, and takes no more")]
    FleetFull {
        /// How many it may hold.
        max: u64,
    },
    /// The key was used for something else.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The record cannot be read.
    #[error("the record of `{plan_id}` cannot be read: {why}")]
    Unreadable {
        /// Whose.
        plan_id: String,
        /// What is wrong.
        why: String,
    },
    /// The database refused this one request.
    #[error("the database refused the request: {detail}")]
    Database {
        /// What it says.
        detail: String,
    },
}

impl WriteError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "PLAN_NOT_FOUND",
            Self::Exists { .. } => "PLAN_EXISTS",
            Self::Generation { .. } => "GENERATION_MISMATCH",
            Self::Refused(it) => it.code(),
            Self::StageUnknown { .. } => "STAGE_UNKNOWN",
            Self::StageNotCurrent { .. } => "STAGE_NOT_CURRENT",
            Self::GateUnknown { .. } => "GATE_UNKNOWN",
            Self::GateNotManual { .. } => "GATE_NOT_MANUAL",
            Self::DigestMismatch => "PLAN_DIGEST_MISMATCH",
            Self::Expiry { .. } => "APPROVAL_EXPIRY",
            Self::ReasonMissing => "REASON_MISSING",
            Self::NotTargeted { .. } => "NODE_NOT_TARGETED",
            Self::TooLong { .. } => "TEXT_TOO_LONG",
            Self::StaleStep { .. } => "STALE_STEP",
            Self::ReleaseExists { .. } => "RELEASE_EXISTS",
            Self::Sequence { .. } => "RELEASE_SEQUENCE",
            Self::ReleaseUnknown { .. } => "RELEASE_UNKNOWN",
            Self::FleetFull { .. } => "FLEET_FULL",
            Self::KeyReused => "IDEMPOTENCY_CONFLICT",
            Self::Unreadable { .. } => "PLAN_UNREADABLE",
            Self::Database { .. } => "STORE_REFUSED",
        }
    }
}

/// Why a batch was not applied; nothing of it was stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Somebody else has taken the store over.
    #[error("epoch {given} is stale: the store is at {current}")]
    StaleEpoch {
        /// What the batch named.
        given: u64,
        /// What the store is at.
        current: u64,
    },
    /// More requests than [`super::BATCH_MAX`].
    #[error("the batch has {len} requests, more than {}", super::BATCH_MAX)]
    TooMany {
        /// How many.
        len: usize,
    },
    /// Another process has the database locked. Try again later.
    #[error("another process has the database locked")]
    Busy,
    /// No space. Try again when there is some.
    #[error("no space: {detail}")]
    Full {
        /// What the database says.
        detail: String,
    },
    /// A write or sync failed, or the file is damaged: what is on the disk is unknown. The store takes
    /// no more writes until it is opened again.
    #[error("the store stopped: {detail}")]
    Stopped {
        /// What the database says.
        detail: String,
    },
}

impl ApplyError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::StaleEpoch { .. } => "STALE_EPOCH",
            Self::TooMany { .. } => "BATCH_TOO_LARGE",
            Self::Busy => "STORE_BUSY",
            Self::Full { .. } => "STORE_FULL",
            Self::Stopped { .. } => "STORE_STOPPED",
        }
    }
}

/// Why something was not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The record cannot be read.
    #[error("the record of `{plan_id}` cannot be read: {why}")]
    Unreadable {
        /// Whose.
        plan_id: String,
        /// What is wrong.
        why: String,
    },
    /// Another process has the database locked.
    #[error("another process has the database locked")]
    Busy,
    /// The query was stopped from outside.
    #[error("the query was stopped")]
    Interrupted,
    /// The database is damaged or cannot be read.
    #[error("the store cannot be read: {detail}")]
    Failed {
        /// What the database says.
        detail: String,
    },
}

impl ReadError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "PLAN_UNREADABLE",
            Self::Busy => "STORE_BUSY",
            Self::Interrupted => "QUERY_INTERRUPTED",
            Self::Failed { .. } => "STORE_UNREADABLE",
        }
    }
}
