//! The steps of a plan.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::hash::{HashError, sha256_json};

/// Most steps of one plan.
pub const STEPS_MAX: usize = 1000;
/// Longest id, key, name of a tool or hash, in bytes.
pub const ID_LEN_MAX: usize = 512;

/// What happens to the world when a step runs, and whether the world can be asked about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing: the step may run again at any time.
    None,
    /// Something that a hash of the world shows.
    Confirmable,
    /// Something that nobody can see afterwards.
    Opaque,
}

/// A step as it was decided. What is not known is `null` in the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its name in the plan.
    pub step_id: String,
    /// What it calls.
    #[serde(default)]
    pub tool: Option<String>,
    /// Hash of what it is called with.
    #[serde(default)]
    pub params_hash: Option<String>,
    /// The world that is expected before it.
    #[serde(default)]
    pub pre_hash: Option<String>,
    /// The world that is expected after it.
    #[serde(default)]
    pub expected_post_hash: Option<String>,
    /// What it does to the world. Left out of the line when it is not declared; then it counts as
    /// [`Effect::Confirmable`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

/// The record `plan_commit`: what one cycle decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanCommit {
    /// Name of the plan in its file.
    pub plan_id: String,
    /// Whose plan it is.
    pub mandate_id: String,
    /// Number of the cycle, from 1.
    pub cycle: u64,
    /// [`plan_hash`] of the steps.
    pub plan_hash: String,
    /// The steps, in the order in which they run.
    pub steps: Vec<PlannedStep>,
}

impl PlanCommit {
    /// Makes a plan and hashes its steps.
    ///
    /// # Errors
    ///
    /// What [`Self::check`] finds.
    pub fn new(
        plan_id: &str,
        mandate_id: &str,
        cycle: u64,
        steps: Vec<PlannedStep>,
    ) -> Result<Self, PlanError> {
        let plan_hash = plan_hash(&steps)?;
        let plan = Self {
            plan_id: plan_id.to_owned(),
            mandate_id: mandate_id.to_owned(),
            cycle,
            plan_hash,
            steps,
        };
        plan.check()?;
        Ok(plan)
    }

    /// Checks what every plan that is written has to be.
    ///
    /// # Errors
    ///
    /// [`PlanError`].
    pub fn check(&self) -> Result<(), PlanError> {
        if self.steps.len() > STEPS_MAX {
            return Err(PlanError::TooManySteps { found: self.steps.len() });
        }
        check_id("plan_id", &self.plan_id)?;
        check_id("mandate_id", &self.mandate_id)?;
        let mut seen = BTreeSet::new();
        for step in &self.steps {
            check_id("step_id", &step.step_id)?;
            if !seen.insert(step.step_id.as_str()) {
                return Err(PlanError::StepTwice { step_id: step.step_id.clone() });
            }
        }
        if self.plan_hash != plan_hash(&self.steps)? {
            return Err(PlanError::HashDiffers { plan_id: self.plan_id.clone() });
        }
        Ok(())
    }
}

fn check_id(key: &'static str, id: &str) -> Result<(), PlanError> {
    match id.len() {
        1..=ID_LEN_MAX => Ok(()),
        len => Err(PlanError::IdLength { key, len }),
    }
}

/// Returns the hash of the steps of a plan, in their order.
///
/// # Errors
///
/// [`HashError`]; the steps of this type have neither floats nor depth.
pub fn plan_hash(steps: &[PlannedStep]) -> Result<String, HashError> {
    let steps = steps.iter().map(|it| serde_json::to_value(it).unwrap_or(Value::Null)).collect();
    sha256_json(&Value::Array(steps))
}

/// Why a plan is not written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// It has too many steps.
    #[error("the plan has {found} steps, at most {STEPS_MAX} are possible")]
    TooManySteps {
        /// How many it has.
        found: usize,
    },
    /// An id is empty or too long.
    #[error("{key} has {len} bytes, 1 to {ID_LEN_MAX} are possible")]
    IdLength {
        /// Which id.
        key: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// Two steps have one name.
    #[error("the step {step_id} stands twice in the plan")]
    StepTwice {
        /// Its name.
        step_id: String,
    },
    /// The hash is not that of the steps.
    #[error("plan_hash of {plan_id} is not the hash of its steps")]
    HashDiffers {
        /// Name of the plan.
        plan_id: String,
    },
    /// The steps have no hash.
    #[error(transparent)]
    Hash(#[from] HashError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step_id: &str) -> PlannedStep {
        PlannedStep {
            step_id: step_id.to_owned(),
            tool: None,
            params_hash: None,
            pre_hash: None,
            expected_post_hash: None,
            effect: None,
        }
    }

    #[test]
    fn a_plan_has_bounds() {
        let steps = |count| (0..count).map(|it| step(&it.to_string())).collect::<Vec<_>>();
        PlanCommit::new("p", "m", 1, steps(STEPS_MAX)).unwrap();
        let check = |plan, steps, want: &str| {
            assert_eq!(PlanCommit::new(plan, "m", 1, steps).unwrap_err().to_string(), want);
        };
        check("p", steps(1001), "the plan has 1001 steps, at most 1000 are possible");
        check("", steps(1), "plan_id has 0 bytes, 1 to 512 are possible");
        check("p", vec![step(&"x".repeat(513))], "step_id has 513 bytes, 1 to 512 are possible");
        check("p", vec![step("a"), step("a")], "the step a stands twice in the plan");
    }

    #[test]
    fn the_hash_covers_order_and_effect_and_what_is_missing_is_null() {
        let (a, b) = (step("a"), step("b"));
        let hash = |steps: &[PlannedStep]| plan_hash(steps).unwrap();
        assert_ne!(hash(&[a.clone(), b.clone()]), hash(&[b, a.clone()]));
        let opaque = PlannedStep { effect: Some(Effect::Opaque), ..a.clone() };
        assert_ne!(hash(std::slice::from_ref(&a)), hash(&[opaque]));
        assert_eq!(
            serde_json::to_string(&a).unwrap(),
            r#"{"step_id":"a","tool":null,"params_hash":null,"pre_hash":null,"expected_post_hash":null}"#
        );
        let forged = PlanCommit { plan_hash: "x".to_owned(), ..plan(vec![a]) };
        assert_eq!(forged.check(), Err(PlanError::HashDiffers { plan_id: "p".to_owned() }));
    }

    fn plan(steps: Vec<PlannedStep>) -> PlanCommit {
        PlanCommit::new("p", "m", 1, steps).unwrap()
    }
}
