//! A runner of cycles that is killed at any moment, against a world that counts what was done to it.
//!
//! Each seed is one mandate: plans of random steps, a runner that works through them as the contract of
//! `verify` says, and kills between any two things it does: in the file system, before an effect,
//! after it. What must hold whatever happens:
//!
//! * an effect happens at most once for its key;
//! * at the end each effect has happened, or a human was told that somebody has to look.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod harness;

use std::collections::BTreeMap;

use harness::{mandate::*, now, world::Dice};
use serde_json::json;
use vfs::{CrashPolicy, Fault, FaultPlan, MemVfs, Op};
use wal_format::step::{Effect, FinalizeStatus, PlanCommit, StepStatus};
use wal_recovery::steps::{
    Completion, DamagePolicy, StepKey, StepLog, StepOpening, StepState, VerdictKind, World, verify,
};

const SEEDS: u64 = 3000;
/// Lives of one mandate before the disk and the process stop failing.
const LIVES_MAX: u64 = 6;

/// What was done to the world.
#[derive(Default)]
struct Effects(BTreeMap<String, u32>);

impl Effects {
    /// Does what the step is for.
    fn happen(&mut self, step: &StepState, key: &str) {
        if step.planned.effect != Some(Effect::None) {
            *self.0.entry(key.to_owned()).or_default() += 1;
            assert_eq!(self.count(key), 1, "{step:?} ran twice");
        }
    }

    fn count(&self, key: &str) -> u32 {
        self.0.get(key).copied().unwrap_or_default()
    }
}

/// Why a life ended.
#[derive(Debug)]
enum Stop {
    /// The disk failed, or the process was killed.
    Killed,
    /// The log is left alone: a human is told.
    Isolated,
}

struct Mandate {
    vfs: MemVfs,
    dice: Dice,
    effects: Effects,
    plans: Vec<PlanCommit>,
    /// Whether nobody is killed beside the failures of the disk.
    quiet: bool,
    /// Whether the device has failed: then a line that was written can be gone.
    device_failed: bool,
    reviews: u64,
    resets: u64,
    confirmed: u64,
}

impl Mandate {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678);
        let plans = (0..=dice.roll(2))
            .map(|cycle| {
                let steps = (0..=dice.roll(4)).map(|step| {
                    let effects =
                        [None, Some(Effect::None), Some(Effect::Confirmable), Some(Effect::Opaque)];
                    let effect = effects[usize::try_from(dice.roll(4)).unwrap()];
                    // The same names in every plan, and some longer than a sector.
                    let padding = "x".repeat(usize::try_from(dice.roll(2)).unwrap() * 300);
                    planned(&format!("s{step}{padding}"), effect)
                });
                PlanCommit::new(&format!("p{cycle}"), "m", cycle + 1, steps.collect()).unwrap()
            })
            .collect();
        let (vfs, effects) = (MemVfs::default(), Effects::default());
        Self {
            vfs,
            dice,
            effects,
            plans,
            quiet: false,
            device_failed: false,
            reviews: 0,
            resets: 0,
            confirmed: 0,
        }
    }

    fn idem_key(plan: &PlanCommit, step: &StepState) -> String {
        format!("m:{}:{}", plan.cycle, step.step_id())
    }

    /// Whether the process is killed here.
    fn lives(&mut self) -> Result<(), Stop> {
        if !self.quiet && self.dice.roll(15) == 0 { Err(Stop::Killed) } else { Ok(()) }
    }

    /// One life of the daemon: recover, then run what is left.
    fn live(&mut self) -> Result<(), Stop> {
        let (report, _) = recover_all(&self.vfs);
        self.resets += report.reset_count;
        if report.per_file.iter().any(|it| it.isolated) {
            assert!(self.device_failed, "a crash alone isolates no file: {report:?}");
            return Err(Stop::Isolated);
        }
        if !report.files_failed.is_empty() {
            return Err(Stop::Killed);
        }
        let how = StepOpening { damage: DamagePolicy::Isolate, ..how() };
        let log = StepLog::open(&self.vfs, &log_path("m"), &how).map_err(|_| Stop::Killed)?.log;
        for plan in self.plans.clone() {
            log.commit_plan(&plan, now()).map_err(|_| Stop::Killed)?;
            for planned in &plan.steps {
                self.run_step(&log, &plan, &planned.step_id)?;
            }
            self.lives()?;
            let end = FinalizeStatus::Succeeded;
            log.finalize_plan(&plan.plan_id, end, now()).map_err(|_| Stop::Killed)?;
        }
        Ok(())
    }

    /// Until the step is final.
    fn run_step(&mut self, log: &StepLog, plan: &PlanCommit, step_id: &str) -> Result<(), Stop> {
        let key = StepKey { plan_id: &plan.plan_id, step_id };
        loop {
            self.lives()?;
            let step = log.step(key).unwrap();
            if step.is_final() {
                return Ok(());
            }
            let idem_key = Self::idem_key(plan, &step);
            if step.status.is_none() {
                log.append_pending(key, &idem_key, now()).map_err(|_| Stop::Killed)?;
                continue;
            }
            if let Some(StepStatus::NeedsReview) = step.status {
                self.review(log, key, &idem_key)?;
                continue;
            }
            assert_eq!(step.idem_key.as_deref(), Some(&*idem_key), "a retry has the same key");
            let done = self.effects.count(&idem_key) > 0;
            let (pre, post) = (format!("pre:{step_id}"), format!("post:{step_id}"));
            let seen = if done { &post } else { &pre };
            // Now and then nobody can look at the world.
            let looks = self.dice.roll(8) > 0;
            let world = if looks {
                World { pre_hash: Some(seen), post_hash: Some(seen) }
            } else {
                World { pre_hash: None, post_hash: None }
            };
            let verdict = verify(&step, world);
            match verdict.kind {
                VerdictKind::AlreadyDone => {
                    assert!(done, "{step:?} is taken for done");
                    let evidence = Some(verdict.evidence);
                    let (post_hash, recovered) = (verdict.post_hash, true);
                    let it = Completion { post_hash, recovered, evidence, result_hash: None };
                    log.mark_completed(key, it, now()).map_err(|_| Stop::Killed)?;
                    self.confirmed += 1;
                }
                VerdictKind::SafeToRetry => {
                    log.mark_executing(key, seen, now()).map_err(|_| Stop::Killed)?;
                    self.lives()?;
                    self.effects.happen(&step, &idem_key);
                    self.lives()?;
                    let post_hash = Some(post);
                    let it = Completion { post_hash, ..Completion::default() };
                    log.mark_completed(key, it, now()).map_err(|_| Stop::Killed)?;
                }
                VerdictKind::ManualReview => {
                    let evidence = Some(verdict.evidence);
                    log.mark_needs_review(key, verdict.reason.as_str(), evidence, now())
                        .map_err(|_| Stop::Killed)?;
                }
            }
        }
    }

    /// A human finds out what happened, and says so.
    fn review(&mut self, log: &StepLog, key: StepKey<'_>, idem_key: &str) -> Result<(), Stop> {
        self.reviews += 1;
        let said = if self.effects.count(idem_key) > 0 {
            let evidence = Some(json!("a human has seen it"));
            log.mark_completed(key, Completion { evidence, ..Completion::default() }, now())
        } else {
            log.approve(key, "looked", now())
        };
        said.map(|_| ()).map_err(|_| Stop::Killed)
    }

    /// What goes wrong in the next life: a crash, a device error, or nothing of the disk.
    fn trouble(&mut self) -> FaultPlan {
        let at = self.dice.roll(60);
        match self.dice.roll(4) {
            0 => FaultPlan::none(),
            1 => {
                let faults = [Fault::Eio, Fault::Enospc, Fault::Short(3), Fault::Interrupted];
                let fault = faults[usize::try_from(self.dice.roll(4)).unwrap()];
                self.device_failed |= fault == Fault::Eio || fault == Fault::Enospc;
                FaultPlan::new(move |step, op| {
                    let data = matches!(op, Op::Write { .. } | Op::Sync(_));
                    (step == at && data).then_some(fault)
                })
            }
            _ => FaultPlan::crash_at(at),
        }
    }

    fn end(&mut self) {
        if self.dice.roll(2) == 0 {
            self.vfs.process_kill();
        } else {
            let seed = self.dice.roll(u64::MAX >> 33);
            self.vfs.power_loss(CrashPolicy::Random(seed));
        }
    }
}

/// Returns the mandate and whether it came to its end.
fn run(seed: u64) -> (Mandate, bool) {
    let mut mandate = Mandate::new(seed);
    for _ in 0..=mandate.dice.roll(LIVES_MAX) {
        let plan = mandate.trouble();
        mandate.vfs.set_plan(plan);
        let lived = mandate.live();
        mandate.end();
        if let Err(Stop::Isolated) = lived {
            return (mandate, false);
        }
    }
    mandate.quiet = true;
    match mandate.live() {
        Ok(()) => {}
        Err(Stop::Isolated) => return (mandate, false),
        Err(Stop::Killed) => panic!("nothing failed, and it did not come to its end"),
    }
    for plan in &mandate.plans {
        for step in plan.steps.iter().filter(|it| it.effect != Some(Effect::None)) {
            let key = format!("m:{}:{}", plan.cycle, step.step_id);
            assert_eq!(mandate.effects.count(&key), 1, "{key} was dropped");
        }
    }
    assert_eq!(recover_all(&mandate.vfs).0.reset_count, 0);
    (mandate, true)
}

#[test]
fn sw_crash_each_effect_happens_at_most_once_and_none_is_silently_dropped() {
    let (mut ended, mut reviews, mut resets, mut confirmed) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(result.is_ok(), "failing seed: {seed}");
        let (mandate, end) = result.unwrap();
        ended += u64::from(end);
        reviews += mandate.reviews;
        resets += mandate.resets;
        confirmed += mandate.confirmed;
    }
    // The histories are worth something: most end, and each way out was taken often.
    let told = format!("{ended} ended, {reviews} reviews, {resets} resets, {confirmed} confirmed");
    assert!(ended > SEEDS * 9 / 10 && reviews > SEEDS / 20, "{told}");
    assert!(resets > SEEDS / 5 && confirmed > SEEDS / 20, "{told}");
}
