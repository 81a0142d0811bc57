//! The port to wherever plans are kept.
//!
//! A store is read through [`RolloutReader`] and changed through [`RolloutStore::apply`] alone. What a
//! change means is decided in `engine`, once for all backends; a backend only moves rows.
//!
//! # Invariants
//!
//! * **B1** A batch is one transaction: when `apply` returns `Ok`, every accepted request is durable.
//! * **B2** A refused request leaves no trace and harms no other of its batch.
//! * **B3** A batch of another epoch changes nothing: a deposed writer cannot write.
//! * **B4** Pages are found by key, never by counting: their cost does not grow with the store.
//! * **B5** A record that cannot be read is named and hides nobody else.
//! * **B6** A note is stored in the transaction of its request: there is no accepted request without its
//!   note, and no note of a refused or repeated one. Numbers of notes grow and are never used twice.

mod cursor;
pub mod engine;
mod error;
mod note;
mod promoter;
mod read;
mod rows;

use serde::{Deserialize, Serialize};

use crate::{
    evidence::Progress,
    gate::Verdict,
    idempotency::Idempotency,
    moment::Moment,
    name::{Actor, GateId, NodeId, PlanId, Reason, ReleaseId, StageId},
    node::{Heartbeat, Node},
    plan::{PlanDigest, PlanRequest},
    promote::PlannedStep,
    release::{NewRelease, Release},
    rollout::Rollout,
    stage::Act,
    strategy::Strategy,
};
pub use cursor::{Cursor, CursorError};
pub use error::{ApplyError, ReadError, WriteError};
pub use note::{About, NOTE_LEN_MAX, Note, NoteError, Noted};
pub use promoter::{PAGE_OF_PASS, Pass, PassError, Planned, Planner, promote_once};
pub use read::{ASSIGNMENTS_SCAN_MAX, ListQuery, Offer, Page, Quiet, RolloutReader, Unreadable};
pub use rows::{RowError, Rows};

/// Entries of a page when nobody says.
pub const LIMIT_DEFAULT: u32 = 100;
/// Most entries of a page.
pub const LIMIT_MAX: u32 = 1000;
/// Most requests of a batch.
pub const BATCH_MAX: usize = 1024;

/// Who may write: raised each time somebody takes the store over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// A store that can be changed.
pub trait RolloutStore {
    /// Where this store is read; sees everything that `apply` has answered.
    fn reader(&self) -> &dyn RolloutReader;

    /// Takes the store over: every older epoch is stale from now on (B3).
    ///
    /// # Errors
    ///
    /// [`ApplyError`] when the store cannot be written.
    fn acquire(&mut self) -> Result<Epoch, ApplyError>;

    /// Applies requests in their order, as one transaction (B1, B2), and answers each.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] when the batch as a whole was not applied; nothing changed then.
    fn apply(
        &mut self,
        epoch: Epoch,
        now: Moment,
        requests: &[Request],
    ) -> Result<Vec<Answer>, ApplyError>;
}

/// What became of one request.
pub type Answer = Result<Applied, WriteError>;

/// A change that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub write: Write,
    /// The key that it came with.
    pub idempotency: Option<Idempotency>,
    /// What is to be told elsewhere when it was accepted (B6).
    pub note: Option<Note>,
}

impl From<Write> for Request {
    fn from(write: Write) -> Self {
        Self { write, idempotency: None, note: None }
    }
}

/// Which plan, under which condition, for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Which plan.
    pub plan: PlanId,
    /// The generation that it must have.
    pub if_match: Option<u64>,
    /// Who asks.
    pub by: Actor,
    /// Why.
    pub reason: Option<Reason>,
}

/// Everything that can be asked of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Stores a plan.
    Create {
        /// The plan.
        request: Box<PlanRequest>,
        /// Who asks.
        by: Actor,
    },
    /// A verb of an operator.
    Transition {
        /// Which plan.
        order: Order,
        /// What to do.
        verb: Verb,
    },
    /// A recovery; needs a reason.
    Recover {
        /// Which plan.
        order: Order,
        /// How.
        strategy: Strategy,
        /// The stage that the operator looks at; must be the current one.
        stage: Option<StageId>,
    },
    /// Stops the current stage for good; needs a reason.
    Halt {
        /// Which plan.
        order: Order,
        /// Must be the current one.
        stage: StageId,
    },
    /// Approves or rejects a manual gate; needs a reason.
    Rule {
        /// Which plan.
        order: Order,
        /// Which gate, and how.
        ruling: GateRuling,
    },
    /// A node says how far it is.
    Report {
        /// Which plan.
        plan: PlanId,
        /// Which node.
        node: NodeId,
        /// How far.
        progress: Progress,
        /// What it says about it.
        detail: String,
    },
    /// A step of the promoter.
    Step(PlannedStep),
    /// Publishes a release.
    Release {
        /// The release.
        release: Box<NewRelease>,
        /// Who asks.
        by: Actor,
    },
    /// A node polls.
    Heartbeat(Heartbeat),
    /// A node acknowledges a release.
    Ack {
        /// Which node.
        node: NodeId,
        /// Which release.
        release: ReleaseId,
    },
    /// Notes up to this number were told and are not needed any more.
    Told {
        /// The number.
        through: u64,
    },
}

/// A word about a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateRuling {
    /// The stage of the gate.
    pub stage: StageId,
    /// The gate.
    pub gate: GateId,
    /// Yes or no.
    pub verdict: Verdict,
    /// The content that the operator looked at; the stored one when not given.
    pub digest: Option<PlanDigest>,
    /// How long it counts.
    pub expires_after_seconds: Option<u64>,
}

/// What an operator does to a plan without a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Release a draft to nodes.
    Publish,
    /// Stop for a while.
    Pause,
    /// Go on.
    Resume,
    /// Withdraw.
    Cancel,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 4] = [Self::Publish, Self::Pause, Self::Resume, Self::Cancel];

    /// What it does to the tables.
    pub const fn act(self) -> Act {
        match self {
            Self::Publish => Act::Publish,
            Self::Pause => Act::Pause,
            Self::Resume => Act::Resume,
            Self::Cancel => Act::Cancel,
        }
    }
}

/// A request that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What it led to.
    pub written: Written,
    /// Whether this is the answer of an earlier request with the same key.
    pub replayed: bool,
    /// The number of its note.
    pub note: Option<u64>,
}

/// What a request led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Written {
    /// The plan is new.
    Created(Box<Rollout>),
    /// The plan was there with this content.
    Existing(Box<Rollout>),
    /// The plan as it is now.
    Changed(Box<Rollout>),
    /// Nothing had to be done: the plan as it is.
    Unchanged(Box<Rollout>),
    /// A report was stored.
    Reported {
        /// Whether it started the plan.
        started: bool,
    },
    /// The release is new.
    Released(Box<Release>),
    /// The release was there with this content.
    ReleasedBefore(Box<Release>),
    /// A node was heard of.
    Seen(Box<Node>),
    /// Notes were dropped.
    Dropped,
}
