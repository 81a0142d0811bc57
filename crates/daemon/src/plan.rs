//! The plan file: one JSON object, strict, bounded, in the order in which its steps run.
//!
//! | key        | value                                                                            |
//! |------------|----------------------------------------------------------------------------------|
//! | `version`  | [`PLAN_VERSION`]                                                                      |
//! | `name`     | what the plan is called, 1 to [`NAME_LEN_MAX`] bytes                               |
//! | `fired_at` | RFC 3339; left out, the content of the file stands for it                          |
//! | `cycle`    | from 1; left out, 1                                                               |
//! | `steps`    | `id` `tool` `params` `depends_on` `effect` `confirm`, at most 1000 of them |
//!
//! `confirm` is for steps with the effect `confirmable`, and they must have it: an absolute `file`, its
//! content `before` and `after` as `sha256-…` or `absent`, at least one of the two.
//!
//! * **F1** The same file gives the same mandate, plan and keys: who runs it again goes on with it.
//! * **F2** Steps stand in an order in which each comes after what it depends on; of those that could come
//!   next, the first in the file does.
//! * **F3** What is not understood is refused with its place, and nothing is run.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};
use wal_format::{
    Plain, canonical_json,
    step::{Effect, Node, PlanCommit, PlannedStep, mandate_id, plan_id, sha256},
};

mod check;
mod error;
mod order;

pub use error::PlanFileError;

/// The version of the file that is read.
pub const PLAN_VERSION: u64 = 1;
/// Longest plan file, in bytes.
pub const PLAN_LEN_MAX: u64 = 1 << 20;
/// Longest name of a plan, in bytes.
pub const NAME_LEN_MAX: usize = 100;
/// Longest id of a step, in bytes.
pub const STEP_ID_LEN_MAX: usize = 128;

/// A plan that was read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What it is called.
    pub name: String,
    /// When it was fired, if the file says so.
    pub fired_at: Option<String>,
    /// Number of its cycle, from 1.
    pub cycle: u64,
    /// Its steps, in the order in which they run (F2).
    pub steps: Vec<Step>,
    /// Hash of everything in the file.
    pub digest: String,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name in the plan.
    pub id: String,
    /// Kind of the tool that it calls.
    pub tool: String,
    /// What the tool is called with.
    pub params: Map<String, Value>,
    /// Steps before it.
    pub depends_on: Vec<String>,
    /// What it does to the world.
    pub effect: Effect,
    /// What shows whether it has happened.
    pub confirm: Option<Confirm>,
}

/// A file that shows whether a step has happened.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// Which file, as an absolute path.
    pub file: PathBuf,
    /// What it is before the step: `sha256-…` or `absent`.
    #[serde(default)]
    pub before: Option<String>,
    /// What it is after the step.
    #[serde(default)]
    pub after: Option<String>,
}

/// A plan with the names under which it is on record.
#[derive(Clone, Debug, PartialEq)]
pub struct Mandate {
    /// Whose log it is.
    pub id: String,
    /// What is committed.
    pub commit: PlanCommit,
    /// What it came from; its steps are those of `commit`, in the same order.
    pub plan: Plan,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u64,
    name: String,
    #[serde(default)]
    fired_at: Option<String>,
    #[serde(default)]
    cycle: Option<u64>,
    steps: Vec<FileStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStep {
    id: String,
    tool: String,
    #[serde(default)]
    params: Option<Plain>,
    #[serde(default)]
    depends_on: Vec<String>,
    effect: Effect,
    #[serde(default)]
    confirm: Option<Confirm>,
}

impl Plan {
    /// Reads a plan file.
    ///
    /// # Errors
    ///
    /// [`PlanFileError`] with the place of the first thing that does not hold (F3).
    ///
    /// # Examples
    ///
    /// ```
    /// let plan = daemon::Plan::parse(br#"{"version": 1, "name": "nightly", "steps": [
    ///     {"id": "b", "tool": "tool.echo", "effect": "none", "depends_on": ["a"]},
    ///     {"id": "a", "tool": "tool.echo", "effect": "none"}
    /// ]}"#)?;
    /// assert_eq!(plan.steps[0].id, "a");
    /// # Ok::<(), daemon::PlanFileError>(())
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Self, PlanFileError> {
        if bytes.len() as u64 > PLAN_LEN_MAX {
            return Err(PlanFileError::TooLong { len: bytes.len() as u64 });
        }
        let syntax = |error: serde_json::Error| PlanFileError::Syntax {
            line: error.line(),
            column: error.column(),
            text: error.to_string(),
        };
        let Plain(whole) = serde_json::from_slice(bytes).map_err(syntax)?;
        if let Some(found) = whole.get("version").and_then(Value::as_u64)
            && found != PLAN_VERSION
        {
            return Err(PlanFileError::Version { found });
        }
        let file: File = serde_json::from_slice(bytes).map_err(syntax)?;
        if file.version != PLAN_VERSION {
            return Err(PlanFileError::Version { found: file.version });
        }
        let steps = file.steps.into_iter().enumerate().map(|(at, it)| it.step(at));
        let plan = Self {
            name: file.name,
            fired_at: file.fired_at,
            cycle: file.cycle.unwrap_or(1),
            steps: steps.collect::<Result<_, _>>()?,
            digest: sha256(&canonical_json(&whole)),
        };
        check::plan(&plan)?;
        let steps = order::sorted(plan.steps)?;
        Ok(Self { steps, ..plan })
    }

    /// Names the plan (F1). `fired_at` wins over that of the file.
    ///
    /// # Errors
    ///
    /// [`PlanFileError`] when parameters have no hash, or `fired_at` is no time.
    pub fn mandate(self, fired_at: Option<&str>) -> Result<Mandate, PlanFileError> {
        let fired_at = fired_at.or(self.fired_at.as_deref());
        fired_at.map_or(Ok(()), check::time)?;
        let first = plan_id(&self.name, fired_at.unwrap_or(&self.digest));
        let plan_id = match self.cycle {
            1 => first.clone(),
            cycle => format!("{first}_{cycle:03}"),
        };
        let steps = self.steps.iter().enumerate().map(|(order, step)| {
            step.planned(order, &plan_id, self.cycle).map_err(|source| PlanFileError::Params {
                step: step.id.clone(),
                text: source.to_string(),
            })
        });
        let (steps, id) = (steps.collect::<Result<_, _>>()?, mandate_id(&first));
        let commit = PlanCommit::new(&plan_id, &id, self.cycle, steps)
            .map_err(|it| PlanFileError::Bounds { text: it.to_string() })?;
        Ok(Mandate { id, commit, plan: self })
    }
}

impl FileStep {
    fn step(self, at: usize) -> Result<Step, PlanFileError> {
        let params = match self.params {
            None => Map::new(),
            Some(Plain(Value::Object(params))) => params,
            Some(_) => {
                let what = "`params` is no object".to_owned();
                return Err(PlanFileError::Step { at, step: self.id, what });
            }
        };
        let Self { id, tool, depends_on, effect, confirm, .. } = self;
        Ok(Step { id, tool, params, depends_on, effect, confirm })
    }
}

impl Step {
    fn planned(
        &self,
        order: usize,
        plan_id: &str,
        cycle: u64,
    ) -> Result<PlannedStep, wal_format::step::HashError> {
        let depends_on: Vec<&str> = self.depends_on.iter().map(String::as_str).collect();
        let params = Value::Object(self.params.clone());
        // Another file would prove something else, so it is another plan.
        let args = match &self.confirm {
            None => params,
            Some(it) => serde_json::json!({ "params": params, "confirm": it.file }),
        };
        let node =
            Node { id: &self.id, tool: &self.tool, args: &args, depends_on: &depends_on, order };
        let PlannedStep { step_id, tool, params_hash, .. } = node.step(plan_id, cycle)?;
        let confirm = self.confirm.as_ref();
        Ok(PlannedStep {
            step_id,
            tool,
            params_hash,
            // Markers prove nothing: without a file nothing is expected of the world.
            pre_hash: confirm.and_then(|it| it.before.clone()),
            expected_post_hash: confirm.and_then(|it| it.after.clone()),
            effect: Some(self.effect),
        })
    }
}

impl Mandate {
    /// The key of a step: the same for every attempt at it.
    pub fn idem_key(&self, step: &PlannedStep) -> String {
        let hash = step.params_hash.as_deref().unwrap_or_default();
        format!("{}:{}:{}:{hash}", self.id, self.commit.cycle, step.step_id)
    }

    /// The step of the file behind a step of the commit.
    pub fn step(&self, step_id: &str) -> Option<&Step> {
        self.plan.steps.iter().find(|it| it.id == step_id)
    }
}

#[cfg(test)]
mod tests;
