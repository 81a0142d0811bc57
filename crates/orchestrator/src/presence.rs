//! Which nodes were heard of: kept in memory, written in groups.
//!
//! A poll promises nothing to the node, so losing the last few of them to a kill shows a node as heard of a little
//! earlier than it was, and nothing else. A commit a poll would cost each node a sync.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rollout_store::{Moment, NodeId, Write, node::Heartbeat};

use crate::rollouts::{Ask, Rollouts};

/// Distance of writes.
pub(crate) const FLUSH_INTERVAL: Duration = Duration::from_secs(5);
/// Nodes that wait for the writer at once.
const NODES_AT_ONCE: usize = 64;
/// Nodes that are kept between two writes; who comes beyond that is written at its next poll.
const NODES_MAX: usize = 1 << 20;

/// The nodes that were heard of since the last write.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    heard: Mutex<HashMap<NodeId, Moment>>,
    flushing: tokio::sync::Mutex<()>,
}

impl Presence {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Moment>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node was heard of.
    pub(crate) fn heard(&self, node: NodeId, now: Moment) {
        let mut heard = self.lock();
        if heard.len() < NODES_MAX || heard.contains_key(&node) {
            heard.insert(node, now);
        }
    }

    /// When a node was heard of, as far as it is not written yet.
    pub(crate) fn of(&self, node: &NodeId) -> Option<Moment> {
        self.lock().get(node).copied()
    }

    /// Writes what was heard. A node that cannot be written now is written after its next poll.
    pub(crate) async fn flush(&self, rollouts: &Rollouts) {
        let _one = self.flushing.lock().await;
        let heard: Vec<_> = std::mem::take(&mut *self.lock()).into_keys().collect();
        for nodes in heard.chunks(NODES_AT_ONCE) {
            let beats = nodes.iter().map(|node| rollouts.ask(beat(node)));
            let outcomes = futures_util::future::join_all(beats).await;
            if let Some(error) = outcomes.into_iter().find_map(Result::err) {
                tracing::debug!(%error, "a sign of life was not written");
            }
        }
    }
}

fn beat(node: &NodeId) -> Ask {
    let (channel, lock_fingerprint, version) = (None, None, None);
    let beat = Heartbeat { node: node.clone(), channel, lock_fingerprint, version };
    Ask { write: Write::Heartbeat(beat), idempotency: None, draft: None }
}
