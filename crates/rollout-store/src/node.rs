//! Nodes and when they were heard of.
//!
//! | state     | when                                             |
//! |-----------|--------------------------------------------------|
//! | `up`      | heard of within [`STALE_SECONDS_DEFAULT`]         |
//! | `stale`   | heard of before that                             |
//! | `unknown` | never heard of: a plan names it, or nobody does  |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    moment::Moment,
    name::{Channel, NodeId, PlanId, ReleaseId},
};

/// After how many silent seconds a node is stale.
pub const STALE_SECONDS_DEFAULT: u64 = 60;
/// Most nodes of a store: heartbeats of strangers cannot fill the disk.
pub const NODES_IN_STORE_MAX: u64 = 1_000_000;
/// Most versions that a summary lists.
pub const VERSIONS_MAX: usize = 100;
/// Longest version or fingerprint that a node reports.
pub const VERSION_LEN_MAX: usize = 256;

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// What it follows.
    pub channel: Channel,
    /// When it was heard of last.
    pub last_seen: Option<Moment>,
    /// The release that it acknowledged last, when no plan came after it.
    pub release: Option<ReleaseId>,
    /// The plan that it activated last, when no release came after it.
    pub plan: Option<PlanId>,
    /// The lock it runs, as it says.
    pub lock_fingerprint: Option<String>,
    /// The version it runs, as it says.
    pub version: Option<String>,
}

/// Whether a node is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// Heard of lately.
    Up,
    /// Heard of, but not lately.
    Stale,
    /// Never heard of.
    Unknown,
}

impl NodeState {
    /// Applies the table of this module.
    pub const fn of(last_seen: Option<Moment>, now: Moment, stale_seconds: u64) -> Self {
        match last_seen {
            None => Self::Unknown,
            Some(it) if now.seconds_since(it) <= stale_seconds => Self::Up,
            Some(_) => Self::Stale,
        }
    }

    /// The name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Stale => "stale",
            Self::Unknown => "unknown",
        }
    }
}

/// The fleet in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetSummary {
    /// Heard of lately.
    pub up: u64,
    /// Heard of, but not lately.
    pub stale: u64,
    /// Named by a plan and never heard of.
    pub unknown: u64,
    /// Nodes by the release they acknowledged; the first [`VERSIONS_MAX`] by name.
    pub releases: BTreeMap<String, u64>,
}

/// What a node says when it polls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Its name.
    pub node: NodeId,
    /// What it follows; what it followed before when it does not say.
    pub channel: Option<Channel>,
    /// The lock it runs.
    pub lock_fingerprint: Option<String>,
    /// The version it runs.
    pub version: Option<String>,
}

impl Node {
    /// A node that a plan names.
    pub const fn expected(id: NodeId, channel: Channel) -> Self {
        Self {
            id,
            channel,
            last_seen: None,
            release: None,
            plan: None,
            lock_fingerprint: None,
            version: None,
        }
    }

    /// The node after a heartbeat.
    pub fn heard(before: Option<Self>, beat: &Heartbeat, now: Moment) -> Self {
        let new = || Self::expected(beat.node.clone(), Channel::standard());
        let mut node = before.unwrap_or_else(new);
        let later = |new: &Option<String>, old: Option<String>| new.clone().or(old);
        node.channel = beat.channel.clone().unwrap_or(node.channel);
        node.lock_fingerprint = later(&beat.lock_fingerprint, node.lock_fingerprint);
        node.version = later(&beat.version, node.version);
        node.last_seen = Some(now);
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_up_for_a_minute_after_it_was_heard_of() {
        let now = Moment::from_unix_ms(1_000_000);
        let of = |ago| NodeState::of(Some(now.minus_seconds(ago)), now, STALE_SECONDS_DEFAULT);
        assert_eq!([of(0), of(60), of(61)], [NodeState::Up, NodeState::Up, NodeState::Stale]);
        assert_eq!(NodeState::of(None, now, 60), NodeState::Unknown);
        let ahead = NodeState::of(Some(now.plus_seconds(9)), now, 60);
        assert_eq!(ahead, NodeState::Up, "a clock that went back makes nobody stale");
    }

    #[test]
    fn what_a_heartbeat_does_not_say_stays() {
        let node = NodeId::new("n").unwrap();
        let beat = |channel, version| Heartbeat {
            node: node.clone(),
            channel,
            lock_fingerprint: None,
            version,
        };
        let now = Moment::from_unix_ms(5);
        let canary = Channel::new("canary").unwrap();
        let first = Node::heard(None, &beat(Some(canary.clone()), Some("1".to_owned())), now);
        let second = Node::heard(Some(first), &beat(None, None), now.plus_seconds(1));
        assert_eq!((second.channel, second.version), (canary, Some("1".to_owned())));
        assert_eq!(second.last_seen, Some(now.plus_seconds(1)));
    }
}
