//! One pass of the promoter over a store: read, plan, execute.
//!
//! # Invariants
//!
//! * **T1** A plan that cannot be read or planned, or whose step is refused, is named and stops nobody.
//! * **T2** Steps are executed in batches, each under the epoch of the caller.

use super::{
    ApplyError, BATCH_MAX, Epoch, ReadError, RolloutStore, Write, WriteError, read::Fleets,
};
use crate::{
    evidence::Evidence,
    moment::Moment,
    name::PlanId,
    phase::Phase,
    promote::{Poison, plan},
};

/// Plans that are read at once.
const PAGE: u32 = 500;

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Live plans that were looked at.
    pub looked_at: u64,
    /// Steps that were executed.
    pub stepped: u64,
    /// Steps that were refused: the plan had changed in between. The next pass plans them anew.
    pub refused: Vec<(PlanId, WriteError)>,
    /// Plans that were set aside (T1).
    pub poisoned: Vec<Poison>,
}

/// Why a pass ended early; what was executed before stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// Plans could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Steps could not be written.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl PassError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Read(it) => it.code(),
            Self::Apply(it) => it.code(),
        }
    }
}

/// Plans every live plan once and executes what was planned.
///
/// # Errors
///
/// [`PassError`] when the store as a whole cannot be read or written.
pub fn promote_once<S: RolloutStore + ?Sized>(
    store: &mut S,
    epoch: Epoch,
    now: Moment,
) -> Result<Pass, PassError> {
    let mut pass = Pass::default();
    let mut fleets = Fleets::default();
    let mut after = None;
    loop {
        let (found, next) = store.reader().live(after, PAGE)?;
        let mut steps = Vec::new();
        for it in found {
            pass.looked_at += 1;
            let rollout = match it {
                Ok(rollout) => rollout,
                Err(it) => {
                    pass.poisoned.push(Poison { plan_id: it.plan_id, why: it.why });
                    continue;
                }
            };
            let evidence = if rollout.phase() == Phase::Active {
                fleets.evidence_of(store.reader(), &rollout)?
            } else {
                Evidence::default()
            };
            match plan(&rollout, &evidence, now) {
                Ok(step) => steps.extend(step),
                Err(poison) => pass.poisoned.push(poison),
            }
        }
        for chunk in steps.chunks(BATCH_MAX) {
            let requests: Vec<_> = chunk.iter().map(|it| Write::Step(it.clone()).into()).collect();
            let answers = store.apply(epoch, now, &requests)?;
            for (step, answer) in chunk.iter().zip(answers) {
                match answer {
                    Ok(_) => pass.stepped += 1,
                    Err(error) => pass.refused.push((step.plan_id.clone(), error)),
                }
            }
        }
        after = next;
        if after.is_none() {
            return Ok(pass);
        }
    }
}
