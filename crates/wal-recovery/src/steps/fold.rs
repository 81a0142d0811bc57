//! Lines to plans, and every line that is none.
//!
//! | line                                     | effect                                              |
//! |------------------------------------------|-----------------------------------------------------|
//! | `plan_commit`, new                       | a plan; its steps have no status                    |
//! | `plan_commit`, same id, same hash        | none                                                |
//! | `plan_commit`, same id, another hash     | corrupt: nobody knows which one holds               |
//! | `append`, known step                     | status and key                                      |
//! | `append`, unknown step                   | an orphan, in a plan of its `plan_id`                |
//! | `transition`, known step                 | status, and whatever else the line has              |
//! | `transition`, unknown step               | ignored and counted: a stray                        |
//! | `plan_finalize`, known plan              | the plan has ended; unknown: a stray                |
//! | unknown `op`, unknown keys               | counted, ignored                                    |
//! | no JSON object, or a malformed record    | corrupt                                             |
//! | a `seq` that does not follow             | corrupt: lines are missing or stand twice           |
//!
//! Steps are found by plan and step. Lines of others have no `seq`; they count all the same. Behind
//! a corrupt line `seq` may jump, since nobody knows how many lines it was.

use std::fmt;

use wal_format::{
    Seq,
    step::{
        Append, Change, LineError, PlanCommit, PlanFinalize, PlannedStep, Said, StepLine,
        StepRecord, StepStatus, Tail, Transition, VERSION, split_tail,
    },
};

use super::{
    machine::{StepEvent, next_status},
    state::{PlanState, Plans, StepState},
};

/// Reason of a plan without a commit.
pub const ORPHAN_REASON: &str = "orphan_steps_detected";
/// Mandate of a plan without a commit.
const ORPHAN_MANDATE: &str = "unknown";
/// Most corrupt lines that are told one by one.
pub const CORRUPT_LINES_MAX: usize = 100;

/// What the bytes of a file say.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// The plans.
    pub plans: Plans,
    /// What was counted by the way.
    pub counts: Counts,
    /// The first [`CORRUPT_LINES_MAX`] lines that do not hold.
    pub corrupt: Vec<CorruptLine>,
    /// How the file ends.
    pub tail: Tail,
    /// Number of the last line.
    pub last: Option<Seq>,
    /// The largest version of a line, when it is larger than ours.
    pub newer: Option<u64>,
}

/// What was counted by the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that were read.
    pub records: u64,
    /// Lines whose `op` is unknown.
    pub unknown_ops: u64,
    /// Transitions and ends of what no record has introduced.
    pub strays: u64,
    /// Transitions that the table of statuses does not have.
    pub irregular: u64,
    /// Lines that do not hold.
    pub corrupt: u64,
}

/// A line that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorruptLine {
    /// Its number in the file, from 1.
    pub line: usize,
    /// Why.
    pub cause: CorruptCause,
}

/// Why a line does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorruptCause {
    /// It is no line.
    Line(LineError),
    /// Its number does not follow.
    Seq {
        /// The number before it.
        prev: Option<Seq>,
        /// Its number.
        found: Seq,
    },
    /// It commits another plan under a name that is taken.
    PlanConflict {
        /// The name.
        plan_id: String,
    },
}

impl fmt::Display for CorruptLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.cause {
            CorruptCause::Line(error) => error.fmt(f),
            CorruptCause::Seq { prev: Some(prev), found } => {
                write!(f, "seq={found} follows seq={prev}")
            }
            CorruptCause::Seq { prev: None, found } => write!(f, "the first line has seq={found}"),
            CorruptCause::PlanConflict { plan_id } => {
                write!(f, "plan_id={plan_id} was committed with another plan_hash")
            }
        }
    }
}

/// Reads a file. Nothing is decided here: what a corrupt line means is the caller's.
///
/// # Examples
///
/// ```
/// use wal_recovery::steps::fold;
///
/// let file = br#"{"op":"plan_commit","plan_id":"p","mandate_id":"m","cycle":1,"plan_hash":"h","steps":[{"step_id":"s"}]}
/// {"op":"append","step_id":"s","plan_id":"p","idem_key":"k","status":"pending"}
/// {"op":"transition","step_id":"s","sta"#;
/// let folded = fold(file);
/// assert!(folded.plans.plan("p").unwrap().steps[0].is_pending());
/// assert!(folded.corrupt.is_empty(), "a torn tail is no corruption");
/// ```
pub fn fold(bytes: &[u8]) -> Folded {
    let (lines, tail) = split_tail(bytes);
    let mut folded = Folded {
        plans: Plans::default(),
        counts: Counts::default(),
        corrupt: Vec::new(),
        tail,
        last: None,
        newer: None,
    };
    let mut hole = false;
    for (at, line) in lines.split(|it| *it == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let cause = folded.line(line, hole).err();
        hole = matches!(cause, Some(CorruptCause::Line(_)));
        if let Some(cause) = cause {
            folded.counts.corrupt += 1;
            if folded.corrupt.len() < CORRUPT_LINES_MAX {
                folded.corrupt.push(CorruptLine { line: at + 1, cause });
            }
        }
    }
    folded
}

impl Folded {
    fn line(&mut self, line: &[u8], hole: bool) -> Result<(), CorruptCause> {
        let StepLine { v, seq, said, .. } = StepLine::parse(line).map_err(CorruptCause::Line)?;
        self.newer = self.newer.max(v.filter(|it| *it > VERSION));
        let prev = self.last;
        let expected = prev.map_or(Some(Seq::FIRST), Seq::next);
        let found = seq.or(expected);
        // A line that stands twice, or came from elsewhere, says nothing new.
        if found <= prev {
            return Err(CorruptCause::Seq { prev, found: found.unwrap_or(Seq::FIRST) });
        }
        self.last = found;
        match said {
            Said::Unknown { .. } => self.counts.unknown_ops += 1,
            Said::Record(record) => {
                self.counts.records += 1;
                self.plans.apply(record, &mut self.counts)?;
            }
        }
        match seq {
            Some(found) if seq != expected && !hole => Err(CorruptCause::Seq { prev, found }),
            _ => Ok(()),
        }
    }
}

impl Plans {
    /// Does what a record says.
    pub(super) fn apply(
        &mut self,
        record: StepRecord,
        counts: &mut Counts,
    ) -> Result<(), CorruptCause> {
        match record {
            StepRecord::PlanCommit(commit) => return self.commit(commit),
            StepRecord::Append(append) => self.append(append),
            StepRecord::Transition(it) => self.transition(it, counts),
            StepRecord::PlanFinalize(PlanFinalize { plan_id, status, reason }) => {
                match self.plan_mut(&plan_id) {
                    None => counts.strays += 1,
                    Some(plan) => {
                        plan.finalized = Some(status);
                        plan.finalize_reason = reason.or(plan.finalize_reason.take());
                    }
                }
            }
        }
        Ok(())
    }

    fn transition(&mut self, transition: Transition, counts: &mut Counts) {
        let Transition { step_id, plan_id, change } = transition;
        let Some(step) = self.step_mut(plan_id.as_deref(), &step_id) else {
            counts.strays += 1;
            return;
        };
        if next_status(step.status, StepEvent::of(&change)).is_none() {
            counts.irregular += 1;
        }
        step.change(change);
    }

    fn commit(&mut self, commit: PlanCommit) -> Result<(), CorruptCause> {
        let PlanCommit { plan_id, mandate_id, cycle, plan_hash, steps } = commit;
        match self.plan(&plan_id) {
            Some(there) if there.plan_hash.as_ref() == Some(&plan_hash) => Ok(()),
            Some(_) => Err(CorruptCause::PlanConflict { plan_id }),
            None => {
                self.add_plan(PlanState {
                    plan_id,
                    mandate_id,
                    cycle: Some(cycle),
                    plan_hash: Some(plan_hash),
                    steps: steps.into_iter().map(|it| StepState::new(it, false)).collect(),
                    finalized: None,
                    finalize_reason: None,
                });
                Ok(())
            }
        }
    }

    fn append(&mut self, append: Append) {
        let Append { step_id, plan_id, idem_key, status } = append;
        if self.step_mut(plan_id.as_deref(), &step_id).is_none() {
            self.add_orphan(plan_id.as_deref(), &step_id);
        }
        if let Some(step) = self.step_mut(plan_id.as_deref(), &step_id) {
            step.status = Some(status);
            step.idem_key = idem_key.or(step.idem_key.take());
        }
    }

    fn add_orphan(&mut self, plan_id: Option<&str>, step_id: &str) {
        let plan_id = plan_id.map_or_else(|| format!("__orphan_{step_id}"), str::to_owned);
        if self.plan(&plan_id).is_none() {
            self.add_plan(PlanState {
                plan_id: plan_id.clone(),
                mandate_id: ORPHAN_MANDATE.to_owned(),
                cycle: None,
                plan_hash: None,
                steps: Vec::new(),
                finalized: None,
                finalize_reason: Some(ORPHAN_REASON.to_owned()),
            });
        }
        let planned = PlannedStep {
            step_id: step_id.to_owned(),
            tool: None,
            params_hash: None,
            pre_hash: None,
            expected_post_hash: None,
            effect: None,
        };
        self.add_step(&plan_id, StepState::new(planned, true));
    }
}

impl StepState {
    /// What a line does not have stays as it was, so a reset keeps what was observed (S8).
    fn change(&mut self, change: Change) {
        let before = self.status;
        self.status = Some(change.status());
        let keep = |old: &mut Option<String>, new: Option<String>| {
            if new.is_some() {
                *old = new;
            }
        };
        match change {
            Change::Executing { pre_hash } => {
                self.reached = true;
                keep(&mut self.observed_pre_hash, pre_hash);
            }
            Change::Completed { post_hash, result_hash, recovered, evidence } => {
                keep(&mut self.post_hash, post_hash);
                keep(&mut self.result_hash, result_hash);
                self.recovered = recovered.unwrap_or(self.recovered);
                self.evidence = evidence.or(self.evidence.take());
            }
            Change::Failed { error_class, error_msg } => {
                keep(&mut self.error_class, error_class);
                keep(&mut self.error_msg, error_msg);
            }
            Change::NeedsReview { reason, evidence } => {
                keep(&mut self.reason, reason);
                self.evidence = evidence.or(self.evidence.take());
            }
            Change::Paused { reason } | Change::Abandoned { reason } => {
                keep(&mut self.reason, reason);
            }
            // Whoever approves vouches for the world.
            Change::Pending { reset: false, reason }
                if matches!(before, Some(StepStatus::NeedsReview | StepStatus::Paused)) =>
            {
                self.reached = false;
                self.observed_pre_hash = None;
                keep(&mut self.reason, reason);
            }
            Change::Pending { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
