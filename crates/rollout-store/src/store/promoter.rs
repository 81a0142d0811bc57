//! One pass of the promoter over a store: read, plan, execute.
//!
//! [`Planner`] reads and plans, page by page; [`promote_once`] also executes. Whoever has a writer of his own
//! takes the steps of a planner to it.
//!
//! # Invariants
//!
//! * **T1** A plan that cannot be read or planned, or whose step is refused, is named and stops nobody.
//! * **T2** Steps are executed in batches, each under the epoch of the caller.

use super::{
    ApplyError, BATCH_MAX, Cursor, Epoch, ReadError, RolloutReader, RolloutStore, Write,
    WriteError, read::Fleets,
};
use crate::{
    evidence::Evidence,
    moment::Moment,
    name::PlanId,
    phase::Phase,
    promote::{PlannedStep, Poison, plan},
};

/// Plans that are read at once.
pub const PAGE_OF_PASS: u32 = 500;

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

/// What one page of plans gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Live plans that were looked at.
    pub looked_at: u64,
    /// Steps to execute.
    pub steps: Vec<PlannedStep>,
    /// Plans that were set aside (T1).
    pub poisoned: Vec<Poison>,
}

/// One pass over the live plans, without executing anything.
#[derive(Debug)]
pub struct Planner {
    now: Moment,
    fleets: Fleets,
    after: Option<Cursor>,
    done: bool,
}

impl Planner {
    /// Begins a pass.
    pub fn new(now: Moment) -> Self {
        Self { now, fleets: Fleets::default(), after: None, done: false }
    }

    /// Plans the next page; `None` when the pass is over. The nodes of a channel are read once a pass.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the store as a whole cannot be read.
    pub fn next_page<R: RolloutReader + ?Sized>(
        &mut self,
        reader: &R,
    ) -> Result<Option<Planned>, ReadError> {
        if self.done {
            return Ok(None);
        }
        let (found, next) = reader.live(self.after, PAGE_OF_PASS)?;
        let mut page = Planned::default();
        for it in found {
            page.looked_at += 1;
            let rollout = match it {
                Ok(rollout) => rollout,
                Err(it) => {
                    page.poisoned.push(Poison { plan_id: it.plan_id, why: it.why });
                    continue;
                }
            };
            let evidence = if rollout.phase() == Phase::Active {
                self.fleets.evidence_of(reader, &rollout)?
            } else {
                Evidence::default()
            };
            match plan(&rollout, &evidence, self.now) {
                Ok(step) => page.steps.extend(step),
                Err(poison) => page.poisoned.push(poison),
            }
        }
        self.after = next;
        self.done = next.is_none();
        Ok(Some(page))
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
    let mut planner = Planner::new(now);
    while let Some(page) = planner.next_page(store.reader())? {
        pass.looked_at += page.looked_at;
        pass.poisoned.extend(page.poisoned);
        for chunk in page.steps.chunks(BATCH_MAX) {
            let requests: Vec<_> = chunk.iter().map(|it| Write::Step(it.clone()).into()).collect();
            let answers = store.apply(epoch, now, &requests)?;
            for (step, answer) in chunk.iter().zip(answers) {
                match answer {
                    Ok(_) => pass.stepped += 1,
                    Err(error) => pass.refused.push((step.plan_id.clone(), error)),
                }
            }
        }
    }
    Ok(pass)
}
