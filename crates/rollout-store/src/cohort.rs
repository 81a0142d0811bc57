//! Which nodes a share of the fleet is.
//!
//! A node has a place in each plan: a hash of both names, from 0 to 9999. A share of `p` percent is
//! all places below `100 p`.
//!
//! # Invariants
//!
//! * **C1** The place depends on the names of plan and node only: not on the fleet, time or order.
//! * **C2** A share contains every smaller share: a node that is in stays in.
//! * **C3** Different plans begin with different nodes: no node is always the canary.

use crate::name::{NodeId, PlanId};

/// How many places there are.
const PLACES: u64 = 10_000;
/// Places in one percent.
const PLACES_PER_PERCENT: u64 = PLACES / 100;
/// Domain of the hash.
const CONTEXT: &str = "autonomy rollout cohort v1";

/// The places of one plan.
#[derive(Clone, Debug)]
pub struct Cohort(blake3::Hasher);

impl Cohort {
    /// Those of this plan.
    pub fn of(plan: &PlanId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(plan.as_str().as_bytes());
        // Stands in no name, so two pairs never give the same bytes.
        hasher.update(b"/");
        Self(hasher)
    }

    /// The place of a node, below 10000.
    pub fn place(&self, node: &NodeId) -> u64 {
        let mut hasher = self.0.clone();
        hasher.update(node.as_str().as_bytes());
        let hash = hasher.finalize();
        let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
        u64::from_le_bytes(first) % PLACES
    }

    /// Whether the node is in this share of the fleet.
    pub fn contains(&self, node: &NodeId, percent: u8) -> bool {
        // Every place is below the last; the hash is not needed for that.
        percent >= 100 || self.place(node) < u64::from(percent) * PLACES_PER_PERCENT
    }
}

/// Whether the node is in this share of the fleet.
///
/// # Examples
///
/// ```
/// use rollout_store::{NodeId, PlanId, cohort};
///
/// let (plan, node) = (PlanId::new("r-1")?, NodeId::new("robot-7")?);
/// assert!(cohort::contains(&plan, &node, 100));
/// # Ok::<(), rollout_store::NameError>(())
/// ```
pub fn contains(plan: &PlanId, node: &NodeId, percent: u8) -> bool {
    Cohort::of(plan).contains(node, percent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(n: u32) -> NodeId {
        NodeId::new(&format!("node-{n}")).unwrap()
    }

    #[test]
    fn places_are_part_of_the_format() {
        let plan = PlanId::new("val11-dur-1").unwrap();
        let places: Vec<_> = (0..4).map(|it| Cohort::of(&plan).place(&node(it))).collect();
        assert_eq!(places, GOLDEN, "a changed place moves nodes between cohorts of running plans");
    }

    const GOLDEN: [u64; 4] = [1661, 7163, 8363, 5359];

    #[test]
    fn a_share_holds_about_that_many_nodes() {
        const NODES: u32 = 20_000;
        let plan = PlanId::new("p").unwrap();
        for percent in [1_u8, 5, 10, 25, 50, 90, 99] {
            let inside = (0..NODES).filter(|it| contains(&plan, &node(*it), percent)).count();
            let share = f64::from(percent) / 100.0;
            let mean = f64::from(NODES) * share;
            // Five standard deviations of a fair draw.
            let bound = 5.0 * (mean * (1.0 - share)).sqrt();
            let off = (f64::from(u32::try_from(inside).unwrap()) - mean).abs();
            assert!(off < bound, "{percent} %: {inside}");
        }
    }

    /// C3.
    #[test]
    fn the_canaries_of_two_plans_are_not_the_same_nodes() {
        let of = |plan: &str| -> Vec<u32> {
            let plan = PlanId::new(plan).unwrap();
            (0..5000).filter(|it| contains(&plan, &node(*it), 10)).collect()
        };
        let (a, b) = (of("a"), of("b"));
        let both = a.iter().filter(|it| b.contains(it)).count();
        assert!(both < a.len() / 4, "{both} of {}", a.len());
    }

    proptest! {
        /// C2, and both ends.
        #[test]
        fn a_node_never_leaves_when_the_share_grows(
            plan in "[A-Za-z0-9._-]{1,40}", node in "[A-Za-z0-9._-]{1,40}",
        ) {
            let (plan, node) = (PlanId::new(&plan).unwrap(), NodeId::new(&node).unwrap());
            let inside: Vec<_> = (0..=100).map(|it| contains(&plan, &node, it)).collect();
            prop_assert!(inside.is_sorted());
            prop_assert!(!inside[0] && inside[100]);
        }
    }
}
