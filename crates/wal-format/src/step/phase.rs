//! The steps of a cycle, and of a graph of tasks.
//!
//! The hashes of the world of a phase are constants: they say which phase it is, not what the world
//! looks like. Whoever asks whether a phase may run again must not compare them with the world.

use serde_json::{Value, json};

use super::{
    hash::{HashError, sha256_json},
    plan::{PlanCommit, PlanError, PlannedStep},
};

/// A phase of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looks at the world.
    Observe,
    /// Makes sense of it.
    Orient,
    /// Chooses.
    Decide,
    /// Changes the world.
    Act,
    /// Looks back.
    Reflect,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 5] =
        [Self::Observe, Self::Orient, Self::Decide, Self::Act, Self::Reflect];

    /// Returns its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Orient => "orient",
            Self::Decide => "decide",
            Self::Act => "act",
            Self::Reflect => "reflect",
        }
    }

    /// Returns the id of its step: the cycle has at least three digits.
    pub fn step_id(self, cycle: u64) -> String {
        format!("{}_{cycle:03}", self.as_str())
    }

    /// Returns the hash that stands for the world before it.
    ///
    /// # Errors
    ///
    /// [`HashError`]; never for this value.
    pub fn pre_hash(self, cycle: u64) -> Result<String, HashError> {
        self.marker(cycle, "pre")
    }

    /// Returns the hash that stands for the world after it.
    ///
    /// # Errors
    ///
    /// [`HashError`]; never for this value.
    pub fn post_hash(self, cycle: u64) -> Result<String, HashError> {
        self.marker(cycle, "post")
    }

    fn marker(self, cycle: u64, state: &str) -> Result<String, HashError> {
        sha256_json(&json!({"phase": self.as_str(), "cycle": cycle, "state": state}))
    }
}

/// Returns the plan of a cycle: its five phases, in order.
///
/// # Errors
///
/// [`PlanError`] when an id is empty or too long.
///
/// # Examples
///
/// ```
/// use wal_format::step::{cycle_plan, mandate_id, plan_id};
///
/// let plan_id = plan_id("daily_summary", "2026-04-20T12:00:00Z");
/// let plan = cycle_plan(&plan_id, &mandate_id(&plan_id), "daily_summary", 1)?;
/// assert_eq!(plan.steps[0].step_id, "observe_001");
/// assert_eq!(
///     plan.plan_hash,
///     "sha256-baa66dfe819510e452988ccff0a575c1f2b2128bb7f0a89bef187d3d4fc80267",
/// );
/// # Ok::<(), wal_format::step::PlanError>(())
/// ```
pub fn cycle_plan(
    plan_id: &str,
    mandate_id: &str,
    mandate_name: &str,
    cycle: u64,
) -> Result<PlanCommit, PlanError> {
    let steps: Result<Vec<_>, HashError> = Phase::ALL
        .into_iter()
        .enumerate()
        .map(|(order, phase)| {
            let params = json!({
                "phase": phase.as_str(),
                "order": order,
                "cycle": cycle,
                "plan_id": plan_id,
                "mandate_name": mandate_name,
            });
            Ok(PlannedStep {
                step_id: phase.step_id(cycle),
                tool: Some(format!("ooda.{}", phase.as_str())),
                params_hash: Some(sha256_json(&params)?),
                pre_hash: Some(phase.pre_hash(cycle)?),
                expected_post_hash: Some(phase.post_hash(cycle)?),
                effect: None,
            })
        })
        .collect();
    PlanCommit::new(plan_id, mandate_id, cycle, steps?)
}

/// A node of a graph of tasks, where it stands in the order in which they run.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Its name, which becomes the id of its step.
    pub id: &'a str,
    /// What it calls.
    pub tool: &'a str,
    /// What it is called with.
    pub args: &'a Value,
    /// The nodes before it.
    pub depends_on: &'a [&'a str],
    /// Its place in the order, from 0.
    pub order: usize,
}

impl Node<'_> {
    /// Returns the step of the node.
    ///
    /// # Errors
    ///
    /// [`HashError`] when the arguments have a float or nest too deep.
    pub fn step(&self, plan_id: &str, cycle: u64) -> Result<PlannedStep, HashError> {
        let params = json!({
            "node_id": self.id,
            "tool": self.tool,
            "args": self.args,
            "depends_on": self.depends_on,
            "order": self.order,
            "cycle": cycle,
            "plan_id": plan_id,
        });
        let world = |state| sha256_json(&json!({"node": self.id, "state": state, "cycle": cycle}));
        Ok(PlannedStep {
            step_id: self.id.to_owned(),
            tool: Some(self.tool.to_owned()),
            params_hash: Some(sha256_json(&params)?),
            pre_hash: Some(world("pre")?),
            expected_post_hash: Some(world("post")?),
            effect: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_vectors_of_a_cycle_hold() {
        assert_eq!(
            Phase::Observe.pre_hash(1).unwrap(),
            "sha256-3e02fda9bdfd78947f64676ba85058fde6c1b94ba361087a722618d887087926"
        );
        assert_eq!(
            Phase::Observe.post_hash(1).unwrap(),
            "sha256-a601de22e16f4d5247ece2d0c75413357fc70345b3245c9b3fe9b739288d44d7"
        );
        let plan =
            cycle_plan("plan_505e993c2390", "mnd_plan_505e993c2390", "daily_summary", 1).unwrap();
        assert_eq!(
            plan.steps[0].params_hash.as_deref().unwrap(),
            "sha256-44409a4daa1c00cca24fd150f102fcf47f5cb36c4ed0b3e628c8ec35341d47d4"
        );
        assert_eq!(
            plan.plan_hash,
            "sha256-baa66dfe819510e452988ccff0a575c1f2b2128bb7f0a89bef187d3d4fc80267"
        );
        let ids: Vec<_> = plan.steps.iter().map(|it| it.step_id.as_str()).collect();
        assert_eq!(ids, ["observe_001", "orient_001", "decide_001", "act_001", "reflect_001"]);
        assert_eq!(plan.steps[3].tool.as_deref(), Some("ooda.act"));
    }

    #[test]
    fn a_cycle_has_three_digits_or_more() {
        assert_eq!(Phase::Act.step_id(7), "act_007");
        assert_eq!(Phase::Act.step_id(1234), "act_1234");
    }

    #[test]
    fn a_node_is_hashed_with_its_place_and_refuses_floats() {
        let node = |args, order| Node { id: "n", tool: "t", args, depends_on: &["m"], order };
        let (args, float) = (json!({"a": 1, "ts": 9}), json!({"a": 0.5}));
        let same = json!({"a": 1});
        let step = node(&args, 0).step("p", 1).unwrap();
        assert_eq!(step.step_id, "n");
        assert_eq!(node(&same, 0).step("p", 1).unwrap(), step);
        assert_ne!(node(&args, 1).step("p", 1).unwrap().params_hash, step.params_hash);
        assert!(matches!(node(&float, 0).step("p", 1), Err(HashError::Float { .. })));
    }
}
