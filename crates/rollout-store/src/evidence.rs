//! What nodes reported about a stage.
//!
//! # Invariants
//!
//! * **E1** Only `healthy` counts as healthy: what was downloaded, verified or activated is on its way.
//! * **E2** A node that has not reported is missing, never healthy.
//! * **E3** A failure counts in the attempt in which it was reported; a retry begins without failures.
//! * **E4** Equal facts give equal evidence: nodes stand in the order of their names.

use serde::{Deserialize, Serialize};

use crate::{moment::Moment, name::NodeId};

/// Longest detail of a report.
pub const DETAIL_LEN_MAX: usize = 512;
/// Nodes that a text names.
const NAMED: usize = 5;
/// Characters of what a node said about its failure.
const SAID_LEN_MAX: usize = 120;

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It has the artifact.
    Downloaded,
    /// The artifact is what it claims to be.
    Verified,
    /// It runs.
    Activated,
    /// It runs well.
    Healthy,
    /// It does not.
    Failed,
}

impl Progress {
    /// Every progress, in order.
    pub const ALL: [Self; 5] =
        [Self::Downloaded, Self::Verified, Self::Activated, Self::Healthy, Self::Failed];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Downloaded => "downloaded",
            Self::Verified => "verified",
            Self::Activated => "activated",
            Self::Healthy => "healthy",
            Self::Failed => "failed",
        }
    }

    /// The progress of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == text)
    }
}

/// The last word of a node about a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How far it is.
    pub progress: Progress,
    /// The attempt of the plan in which it was reported.
    pub attempt: u32,
    /// When it arrived here.
    pub at: Moment,
    /// What the node says about it.
    pub detail: String,
}

/// The targeted nodes of a stage with their last words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    nodes: Vec<(NodeId, Option<Report>)>,
}

/// Counts of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Nodes of the stage that are known.
    pub targeted: u64,
    /// Healthy, and lately enough.
    pub verified: u64,
    /// Failed in this attempt.
    pub failed: u64,
    /// The first nodes that failed, each with what it said about it.
    pub failed_nodes: Vec<String>,
    /// The first nodes that are neither healthy nor failed.
    pub missing_nodes: Vec<NodeId>,
}

impl Evidence {
    /// Puts nodes and reports in their order (E4).
    pub fn new(mut nodes: Vec<(NodeId, Option<Report>)>) -> Self {
        nodes.sort_by(|a, b| a.0.cmp(&b.0));
        nodes.dedup_by(|a, b| a.0 == b.0);
        Self { nodes }
    }

    /// Each node with its last word.
    pub fn nodes(&self) -> &[(NodeId, Option<Report>)] {
        &self.nodes
    }

    /// Counts; a report of health that is older than `window_seconds` is no data.
    pub fn tally(&self, attempt: u32, window_seconds: Option<u32>, now: Moment) -> Tally {
        let mut tally = Tally::default();
        let fresh = |it: &Report| {
            window_seconds.is_none_or(|window| now.seconds_since(it.at) <= window.into())
        };
        for (node, report) in &self.nodes {
            tally.targeted += 1;
            match report {
                Some(it) if it.progress == Progress::Healthy && fresh(it) => tally.verified += 1,
                Some(it) if it.progress == Progress::Failed && it.attempt == attempt => {
                    tally.failed += 1;
                    tally.failed_nodes.extend(failed(&tally.failed_nodes, node, &it.detail));
                }
                _ => push(&mut tally.missing_nodes, node),
            }
        }
        tally
    }
}

/// A node and the beginning of what it said about its failure; nothing when enough are named.
fn failed(named: &[String], node: &NodeId, detail: &str) -> Option<String> {
    if named.len() >= NAMED {
        return None;
    }
    let said: String = detail.chars().take(SAID_LEN_MAX).collect();
    Some(if said.is_empty() { node.to_string() } else { format!("{node} ({said})") })
}

fn push(names: &mut Vec<NodeId>, node: &NodeId) {
    if names.len() < NAMED {
        names.push(node.clone());
    }
}

impl Tally {
    /// Nodes that are neither healthy nor failed.
    pub const fn missing(&self) -> u64 {
        self.targeted.saturating_sub(self.verified).saturating_sub(self.failed)
    }
}

/// `a, b, c and 7 more`.
pub(crate) fn spell_nodes<T: ToString>(first: &[T], count: u64) -> String {
    let named: Vec<_> = first.iter().map(ToString::to_string).collect();
    let rest = count.saturating_sub(named.len() as u64);
    let text = named.join(", ");
    if rest == 0 { text } else { format!("{text} and {rest} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_unix_ms(10_000_000);

    fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    /// E1, E2, E3.
    #[test]
    fn only_fresh_health_is_healthy_and_only_failures_of_this_attempt_are_failures() {
        for progress in Progress::ALL {
            for (age, attempt) in [(0, 2), (61, 2), (0, 1)] {
                let report =
                    Report { progress, attempt, at: NOW.minus_seconds(age), detail: String::new() };
                let tally = Evidence::new(vec![(node("a"), Some(report))]).tally(2, Some(60), NOW);
                let healthy = progress == Progress::Healthy && age == 0;
                let failed = progress == Progress::Failed && attempt == 2;
                assert_eq!((tally.verified, tally.failed), (healthy.into(), failed.into()));
                assert_eq!(tally.missing() == 1, !healthy && !failed);
            }
        }
        let silent = Evidence::new(vec![(node("a"), None)]).tally(1, None, NOW);
        assert_eq!((silent.targeted, silent.verified, silent.missing()), (1, 0, 1));
    }

    #[test]
    fn the_order_of_nodes_is_that_of_their_names_and_each_counts_once() {
        let nodes = ["b", "a", "b"].map(|it| (node(it), None)).to_vec();
        let names = Evidence::new(nodes);
        assert_eq!(names.nodes().iter().map(|it| it.0.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(spell_nodes(&[node("a"), node("b")], 9), "a, b and 7 more");
    }
}
