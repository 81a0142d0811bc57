//! What a backend offers inside a transaction: rows, and nothing that decides.

use super::About;
use crate::{
    evidence::Report,
    idempotency::Remembered,
    moment::Moment,
    name::{Channel, NodeId, PlanId, ReleaseId},
    node::Node,
    release::Release,
    rollout::Rollout,
};

/// Why rows could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowError {
    /// This one record cannot be read.
    Unreadable {
        /// Whose.
        plan_id: String,
        /// What is wrong.
        why: String,
    },
    /// The database refuses this one request.
    Refused {
        /// What it says.
        detail: String,
    },
    /// Another process has the database locked.
    Busy,
    /// No space.
    Full {
        /// What it says.
        detail: String,
    },
    /// What is on the disk is unknown.
    Broken {
        /// What it says.
        detail: String,
    },
}

/// What a backend offers inside a transaction.
pub trait Rows {
    /// A plan.
    ///
    /// # Errors
    ///
    /// [`RowError`]; so for every method here.
    fn rollout(&self, id: &PlanId) -> Result<Option<Rollout>, RowError>;
    /// Stores a plan that is not there.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn insert_rollout(&mut self, rollout: &Rollout) -> Result<(), RowError>;
    /// Replaces a plan.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn update_rollout(&mut self, rollout: &Rollout) -> Result<(), RowError>;
    /// The last word of a node.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn report(&self, plan: &PlanId, node: &NodeId) -> Result<Option<Report>, RowError>;
    /// Replaces the last word of a node.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn put_report(&mut self, plan: &PlanId, node: &NodeId, it: &Report) -> Result<(), RowError>;
    /// A node.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn node(&self, id: &NodeId) -> Result<Option<Node>, RowError>;
    /// How many nodes there are.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn node_count(&self) -> Result<u64, RowError>;
    /// Stores or replaces a node.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn put_node(&mut self, node: &Node) -> Result<(), RowError>;
    /// A release.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn release(&self, id: &ReleaseId) -> Result<Option<Release>, RowError>;
    /// The largest sequence of a channel.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn latest_sequence(&self, channel: &Channel) -> Result<Option<u64>, RowError>;
    /// Stores a release that is not there.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn insert_release(&mut self, release: &Release) -> Result<(), RowError>;
    /// What is remembered about a key.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn remembered(&self, key: &[u8; 32]) -> Result<Option<Remembered>, RowError>;
    /// Remembers a key.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn remember(&mut self, key: &[u8; 32], it: &Remembered) -> Result<(), RowError>;
    /// Clears away at most `limit` keys that were remembered before `before`.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn forget(&mut self, before: Moment, limit: u32) -> Result<(), RowError>;
    /// Stores a note and returns its number.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn put_note(&mut self, text: &str, about: &About, at: Moment) -> Result<u64, RowError>;
    /// Drops notes up to a number.
    ///
    /// # Errors
    ///
    /// [`RowError`].
    fn drop_notes(&mut self, through: u64) -> Result<(), RowError>;
}
