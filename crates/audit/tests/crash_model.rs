//! Power is lost, or the process killed, at every step of a trail's life: nothing that was answered is
//! missing, nothing is there twice or half, and the chain holds.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod harness;

use audit::{Kind, Trail};
use harness::{all, at, damaged, event, ids, open, whole};
use vfs::{CrashPolicy, Fault, FaultPlan, MemVfs, Op};

/// Histories run by the test. `AUTONOMY_CRASH_SEEDS=a..b` runs others; a failure prints its seed.
const SEEDS: std::ops::Range<u64> = 0..3000;

/// The generator of the histories, apart from the one inside `MemVfs`.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One machine's life, and what its users were told.
struct History {
    vfs: MemVfs,
    dice: Dice,
    /// Ids of each append in the order of their submission, and whether it was answered.
    appends: Vec<(Vec<u64>, bool)>,
    next_id: u64,
    /// Everything older was pruned, or a prune of it was begun.
    pruned_before: u64,
    /// Power was lost since the last answer: the head may be behind.
    behind: bool,
}

impl History {
    fn new(seed: u64) -> Self {
        Self {
            vfs: MemVfs::default(),
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635),
            appends: Vec::new(),
            next_id: 1,
            pruned_before: 0,
            behind: false,
        }
    }

    fn size(&mut self, sides: u64) -> usize {
        usize::try_from(self.dice.roll(sides)).unwrap()
    }

    /// Two processes append and prune until a fault; then the machine ends, one way or the other.
    fn life(&mut self) {
        let steps = 4 + self.dice.roll(90);
        let fatal = self.dice.roll(steps);
        let fault = match self.dice.roll(8) {
            0 => Fault::Eio,
            1 => Fault::Enospc,
            2 => Fault::Short(self.size(900)),
            _ => Fault::Crash,
        };
        self.vfs.set_plan(FaultPlan::new(move |now, op| {
            // Only a write can be short.
            let fits = matches!(op, Op::Write { .. }) || !matches!(fault, Fault::Short(_));
            (now == fatal && fits).then_some(fault)
        }));
        self.work();
        if self.dice.roll(3) == 0 {
            self.vfs.process_kill();
            if !self.behind {
                self.check_head();
            }
            return;
        }
        self.behind = true;
        let seed = self.dice.roll(u64::MAX >> 1);
        self.vfs.power_loss(match self.dice.roll(8) {
            0 => CrashPolicy::LoseAll,
            1 => CrashPolicy::KeepAll,
            _ => CrashPolicy::Random(seed),
        });
    }

    fn work(&mut self) {
        let segment_len = 2000 + self.dice.roll(6000);
        let mut writers: Vec<Option<Trail>> = vec![None, None];
        for _ in 0..=self.dice.roll(16) {
            let index = self.size(2);
            // Whoever failed is opened again, as a program does.
            if writers[index].is_none() {
                writers[index] = open(&self.vfs, segment_len).ok();
            }
            let Some(mut writer) = writers[index].take() else { continue };
            let went_well = if self.dice.roll(10) == 0 {
                self.prune(&mut writer)
            } else {
                self.append(&mut writer)
            };
            writers[index] = went_well.then_some(writer);
        }
    }

    fn prune(&mut self, writer: &mut Trail) -> bool {
        let before = self.dice.roll(self.next_id);
        self.pruned_before = self.pruned_before.max(before);
        let time = at(i64::try_from(before).unwrap());
        writer.prune(time, time, "ann").is_ok()
    }

    fn append(&mut self, writer: &mut Trail) -> bool {
        let count = 1 + self.dice.roll(4);
        let batch: Vec<u64> = (self.next_id..self.next_id + count).collect();
        self.next_id += count;
        let padding = [0, 300, 1500][self.size(3)];
        let records: Vec<_> = batch.iter().map(|it| event(*it, padding)).collect();
        let answer = writer.append(&records, records[0].timestamp).is_ok();
        self.appends.push((batch, answer));
        self.behind &= !answer;
        answer
    }

    /// H2: after a kill the head names every record that was answered.
    fn check_head(&self) {
        let Ok(audit::Verdict::Whole(verified)) =
            audit::verify(&harness::shared(&self.vfs), harness::dir())
        else {
            return;
        };
        let Some(head) = verified.head else { return };
        let head_file = harness::files(&self.vfs).into_iter().find(|it| it.0 == audit::HEAD);
        let text = String::from_utf8(head_file.unwrap().1).unwrap();
        let named = text.lines().filter_map(|it| it.split(' ').nth(2)?.parse::<u64>().ok()).max();
        let behind = all(&self.vfs);
        let behind: Vec<_> = behind.into_iter().filter(|it| it.seq > named.unwrap()).collect();
        assert!(named.unwrap() <= head.seq);
        for id in ids(&behind) {
            let answered = self.appends.iter().any(|it| it.1 && it.0.contains(&id));
            assert!(!answered, "record {id} was answered and the head does not name it");
        }
    }

    /// Opens without faults and compares with what users were told.
    fn audit(&mut self) {
        // A reader before any repair sees the same as after it.
        let before =
            audit::query(&harness::shared(&self.vfs), harness::dir(), &audit::Filter::default(), 0);
        let mut trail = open(&self.vfs, 4000).unwrap();
        // A slot of which only half was written is told from a changed one by nobody: the next append says
        // so and mends it. Everything else is whole, whatever happened.
        let damage = damaged(&self.vfs).map(|it| (it.kind, it.file));
        assert!(damage.is_none_or(|it| it == (Kind::HeadMismatch, audit::HEAD.to_owned())));
        trail.append(&[event(0, 0)], at(0)).unwrap();
        let records = all(&self.vfs);
        if let Ok(before) = before {
            assert!(records.starts_with(&before), "a reader saw what is not there");
        }
        assert_eq!(whole(&self.vfs).torn_tail, None);
        let found: Vec<_> = ids(&records).into_iter().filter(|it| *it > 0).collect();
        // L3, L1: whole appends, in order, each once; the answered ones all, but for pruned ones.
        let first = found.first().copied().unwrap_or(u64::MAX);
        let mut want = Vec::new();
        self.appends.retain(|(batch, answered)| {
            let there = batch.iter().filter(|it| found.contains(it)).count();
            let pruned = batch.iter().all(|it| *it < first.min(self.pruned_before));
            assert!(there == 0 || there == batch.len(), "half an append: {batch:?}");
            assert!(there > 0 || !answered || pruned, "answered and lost: {batch:?}, {found:?}");
            if there > 0 {
                want.extend(batch.clone());
            }
            there > 0 || pruned
        });
        assert_eq!(found, want);
        // Whoever reads the trail now has seen these records: from here on they must stay.
        self.appends.iter_mut().for_each(|it| it.1 = true);
        self.vfs.power_loss(CrashPolicy::LoseAll);
        self.behind = true;
    }
}

fn run(seed: u64) -> (usize, u64) {
    let mut history = History::new(seed);
    for _ in 0..=history.dice.roll(4) {
        history.life();
        // Now and then the next life begins with what a crash left, and ends in repairing it.
        if history.dice.roll(3) > 0 {
            history.audit();
        }
    }
    history.audit();
    let sealed =
        harness::files(&history.vfs).iter().filter(|it| it.0.starts_with("audit-")).count();
    (sealed, history.pruned_before)
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(asked) = std::env::var("AUTONOMY_CRASH_SEEDS") else { return SEEDS };
    let (from, to) = asked.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

/// L1–L5, H1, S2, P1.
#[test]
fn nothing_answered_is_lost_and_nothing_is_made_up() {
    let (mut sealed, mut pruned) = (0, 0);
    for seed in seeds() {
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(result.is_ok(), "failing seed: AUTONOMY_CRASH_SEEDS={seed}..{}", seed + 1);
        let (segments, before) = result.unwrap();
        sealed += usize::from(segments > 0);
        pruned += usize::from(before > 0);
    }
    if seeds() == SEEDS {
        assert!(sealed > 500 && pruned > 500, "{sealed} {pruned}");
    }
}

/// A fixed life: begins a trail, appends, seals twice, prunes, appends. Says what was answered.
fn one_life(vfs: &MemVfs) -> u64 {
    let mut answered = 0;
    let Ok(mut trail) = open(vfs, 1500) else { return 0 };
    for id in (1..=9).step_by(2) {
        let batch = [event(id, 200), event(id + 1, 200)];
        match trail.append(&batch, batch[1].timestamp) {
            Ok(_) => answered = id + 1,
            Err(_) => return answered,
        }
    }
    if trail.prune(at(5), at(20), "ann").is_ok() {
        let batch = [event(11, 200), event(12, 200)];
        if trail.append(&batch, at(21)).is_ok() {
            answered = 12;
        }
    }
    answered
}

/// Every step of begin, append, seal and prune is once the last, under many outcomes.
#[test]
fn every_step_can_be_the_last() {
    let undisturbed = MemVfs::default();
    assert_eq!(one_life(&undisturbed), 12);
    let steps = undisturbed.steps();
    let pruned = whole(&undisturbed).pruned_through.unwrap();
    assert!(steps > 80 && pruned > 2, "{steps} {pruned}");
    for step in 0..steps {
        for seed in 0..40 {
            let vfs = MemVfs::default();
            vfs.set_plan(FaultPlan::crash_at(step));
            let answered = one_life(&vfs);
            match seed {
                0 => vfs.power_loss(CrashPolicy::LoseAll),
                1 => vfs.power_loss(CrashPolicy::KeepAll),
                2 => vfs.process_kill(),
                _ => vfs.power_loss(CrashPolicy::Random(seed)),
            }
            let mut trail = open(&vfs, 1500).unwrap();
            trail.append(&[event(13, 0)], at(22)).unwrap();
            let verified = whole(&vfs);
            let mut found = ids(&all(&vfs));
            assert_eq!(found.pop(), Some(13));
            let first = found.first().copied().unwrap_or(1);
            let last = found.last().copied().unwrap_or(0);
            let place = format!("step {step} seed {seed}: {found:?}, answered {answered}");
            assert_eq!(found, (first..=last).collect::<Vec<_>>(), "{place}");
            assert!(last >= answered && last % 2 == 0 && first <= 5, "{place}");
            assert!(first == 1 || verified.pruned_through.is_some(), "{place}");
            // A prune that was interrupted can be finished.
            trail.prune(at(5), at(23), "ann").unwrap();
            trail.prune(at(5), at(23), "ann").unwrap();
            whole(&vfs);
        }
    }
}

/// Bytes of a crash that look like records are cut durably before anything stands in their place.
#[test]
fn a_repair_that_is_interrupted_can_be_done_again() {
    let vfs = MemVfs::default();
    let mut trail = open(&vfs, 1 << 20).unwrap();
    trail.append(&[event(1, 0)], at(0)).unwrap();
    let before = harness::files(&vfs);
    trail.append(&[event(2, 600), event(3, 600), event(4, 600)], at(0)).unwrap();
    // The head as it was, and the segment without its last bytes.
    let mut torn = harness::files(&vfs);
    for (file, old) in torn.iter_mut().zip(before) {
        if file.0 == audit::HEAD {
            *file = old;
        } else {
            file.1.truncate(file.1.len() - 100);
        }
    }
    for (step, seed) in (0..12).flat_map(|step| (0..150).map(move |seed| (step, seed))) {
        let vfs = harness::disk(&torn);
        let mut trail = open(&vfs, 1 << 20).unwrap();
        vfs.set_plan(FaultPlan::crash_at(step));
        let answered = trail.append(&[event(5, 500), event(6, 500)], at(1)).is_ok();
        vfs.power_loss(CrashPolicy::Random(seed));
        let mut trail = open(&vfs, 1 << 20).unwrap();
        trail.append(&[event(7, 0)], at(2)).unwrap();
        let found = ids(&all(&vfs));
        assert!(found == [1, 5, 6, 7] || (!answered && found == [1, 7]), "{step} {seed} {found:?}");
        whole(&vfs);
    }
}
