//! Power is lost at every step of a log's life; afterwards nothing acknowledged is missing.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod harness;

use harness::{entry, open, opening, oracle, read};
use vfs::{CrashPolicy, FaultPlan, MemVfs};
use wal_format::names;
use wal_recovery::{Durability, Writer, recover};

/// Histories run by the test. `AUTONOMY_CRASH_SEEDS=a..b` runs others; a failure prints its seed.
const SEEDS: std::ops::Range<u64> = 0..10_000;

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
    /// Ids in the order of their submission; those before `acknowledged` must be in the log.
    submitted: Vec<u64>,
    acknowledged: usize,
    next_id: u64,
}

impl History {
    fn new(seed: u64) -> Self {
        let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635);
        Self { vfs: MemVfs::default(), dice, submitted: Vec::new(), acknowledged: 0, next_id: 1 }
    }

    /// Starts, appends until power is lost somewhere, and looks at what is left.
    fn life(&mut self) {
        let steps = 4 + self.dice.roll(60);
        self.vfs.set_plan(FaultPlan::crash_at(self.dice.roll(steps)));
        let durability =
            if self.dice.roll(4) == 0 { Durability::Strict } else { Durability::Chained };
        let opened = recover(&self.vfs, &harness_opening(durability));
        if let Ok(opened) = opened {
            let mut writer = opened.writer;
            let growth = [0, 16, 64][usize::try_from(self.dice.roll(3)).unwrap()];
            writer.set_growth_max(growth << 10);
            self.append(writer);
        }
        let killed = self.dice.roll(3) == 0;
        if killed {
            self.vfs.process_kill();
            self.check_safe_point();
        } else {
            let seed = self.dice.roll(u64::MAX >> 1);
            self.vfs.power_loss(match self.dice.roll(8) {
                0 => CrashPolicy::LoseAll,
                1 => CrashPolicy::KeepAll,
                _ => CrashPolicy::Random(seed),
            });
            if durability == Durability::Strict {
                self.check_safe_point();
            }
        }
    }

    fn append(&mut self, mut writer: Writer) {
        for _ in 0..=self.dice.roll(8) {
            let mut group = Vec::new();
            for _ in 0..=self.dice.roll(4) {
                let padding = usize::try_from(self.dice.roll(2000)).unwrap();
                group.push(entry(self.next_id, padding));
                self.submitted.push(self.next_id);
                self.next_id += 1;
            }
            match writer.commit(&group) {
                Ok(receipts) => {
                    assert_eq!(receipts.len(), group.len());
                    self.acknowledged = self.submitted.len();
                }
                Err(_) => return,
            }
            if self.dice.roll(2) == 0 && writer.sync_safe_point().is_err() {
                return;
            }
        }
        if self.dice.roll(2) == 0 {
            // The end of an orderly life is a crash point like every other.
            writer.close().ok();
        }
    }

    /// W5: after a kill the safe point names at least what was acknowledged; under strict
    /// durability after a power loss too. W2: all it names is there.
    fn check_safe_point(&self) {
        let Some(safe) = read(&self.vfs, names::SAFE_SEQ) else {
            assert_eq!(self.acknowledged, 0);
            return;
        };
        let safe = u64::from_le_bytes(safe.try_into().unwrap());
        let log = read(&self.vfs, names::WAL).unwrap_or_default();
        let through = safe_prefix(&log, safe);
        assert!(
            through.iter().filter(|it| it.is_some()).count() >= self.acknowledged,
            "safe_seq={safe} but {} entries were acknowledged",
            self.acknowledged
        );
    }

    /// Recovers without faults and compares with what users were told.
    fn audit(&mut self) {
        recover(&self.vfs, &opening()).unwrap().writer.close().unwrap();
        let log = read(&self.vfs, names::WAL).unwrap();
        let found = oracle::ids(&log);
        assert!(
            found.len() >= self.acknowledged && found == self.submitted[..found.len()],
            "found {found:?}, acknowledged {:?}, then submitted {:?}",
            &self.submitted[..self.acknowledged],
            &self.submitted[self.acknowledged..]
        );
        let safe = read(&self.vfs, names::SAFE_SEQ).unwrap();
        let entries = oracle::parse(&log).unwrap();
        assert_eq!(u64::from_le_bytes(safe.try_into().unwrap()), entries.len() as u64);
        // Whoever reads the log now has seen these entries: from here on they must stay.
        self.submitted.truncate(found.len());
        self.acknowledged = found.len();
    }
}

fn harness_opening(durability: Durability) -> wal_recovery::Opening {
    wal_recovery::Opening { durability, ..opening() }
}

/// The ids of the entries up to `safe`; what follows may be torn.
fn safe_prefix(log: &[u8], safe: u64) -> Vec<Option<u64>> {
    let mut at = 0;
    let mut ids = Vec::new();
    for _ in 0..safe {
        let len = u32::from_be_bytes(log[at..at + 4].try_into().unwrap()) as usize;
        let value: serde_json::Value = serde_json::from_slice(&log[at + 4..at + 4 + len]).unwrap();
        ids.push(value["event"]["attrs"]["id"].as_u64());
        at += 4 + len;
    }
    ids
}

fn run(seed: u64) -> (Vec<vfs::Op>, Vec<u64>) {
    let mut history = History::new(seed);
    let mut trace = Vec::new();
    for _ in 0..=history.dice.roll(3) {
        history.life();
        trace.extend(history.vfs.trace());
        history.audit();
        history.vfs.process_kill();
    }
    (trace, history.submitted)
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(asked) = std::env::var("AUTONOMY_CRASH_SEEDS") else { return SEEDS };
    let (from, to) = asked.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_made_up() {
    for seed in seeds() {
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(result.is_ok(), "failing seed: AUTONOMY_CRASH_SEEDS={seed}..{}", seed + 1);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..50 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

/// Starts twice, appends three entries each time, and says how many were acknowledged.
fn two_starts(vfs: &MemVfs) -> u64 {
    let mut acknowledged = 0;
    for start in 0..2 {
        let Ok(mut writer) = open(vfs) else { return acknowledged };
        for id in start * 3 + 1..=start * 3 + 3 {
            if writer.commit(&[entry(id, 700)]).is_ok() {
                acknowledged = id;
            }
        }
    }
    acknowledged
}

/// One fixed life, crashed at each of its steps under many outcomes.
#[test]
fn every_step_of_a_first_start_and_a_restart_can_be_the_last() {
    let whole = MemVfs::default();
    assert_eq!(two_starts(&whole), 6);
    let steps = whole.steps();
    assert!(steps > 30, "{steps}");
    for step in 0..steps {
        for seed in 0..40 {
            let mut history = History::new(seed);
            history.vfs.set_plan(FaultPlan::crash_at(step));
            history.submitted = (1..=6).collect();
            history.acknowledged = usize::try_from(two_starts(&history.vfs)).unwrap();
            history.vfs.power_loss(match seed {
                0 => CrashPolicy::LoseAll,
                1 => CrashPolicy::KeepAll,
                _ => CrashPolicy::Random(seed),
            });
            history.audit();
        }
    }
}
