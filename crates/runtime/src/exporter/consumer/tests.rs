//! A consumer on a disk that loses power at every step.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use drain::{Answer, Silence};
use otlp::Limits;
use vfs::{CrashPolicy, Fault, FaultPlan, MemVfs, Op};
use wal_format::{Event, Kind};
use wal_recovery::{Durability, Log, Opening, Overrides, Submission, recover};

use super::*;

const DIR: &str = "/wal";
/// Enough for numbers that get another digit, which the cursors have to be replaced for, and for many that
/// do not.
const ENTRIES: u64 = 45;
const BATCH: usize = 3;
const POLICIES: [CrashPolicy; 6] = [
    CrashPolicy::LoseAll,
    CrashPolicy::KeepAll,
    CrashPolicy::Random(1),
    CrashPolicy::Random(2),
    CrashPolicy::Random(3),
    CrashPolicy::Random(4),
];

fn disk() -> MemVfs {
    let vfs = MemVfs::default();
    let opening = Opening {
        dir: DIR.into(),
        node: "edge-1".to_owned(),
        random: [7; 16],
        now: Timestamp::now(),
        overrides: Overrides::default(),
        durability: Durability::Chained,
        holder: String::new(),
    };
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    let log = Log::start(recover(&vfs, &opening).unwrap().writer).unwrap();
    // The first entry says which log it is.
    for n in 2..=ENTRIES {
        let kind =
            [Kind::Action, Kind::Decision, Kind::Error][usize::try_from(n % 3).unwrap()].clone();
        let event = Event::new(kind).with("n", n);
        log.append(Submission::new(&event, opening.now).unwrap()).unwrap();
    }
    log.close().unwrap();
    vfs
}

/// A collector that takes everything.
#[derive(Default)]
struct Receiver {
    accepted: BTreeMap<u64, u32>,
    requests: Vec<BTreeSet<u64>>,
    /// Answers to this request, counted from 1, are lost.
    lost: usize,
}

impl Receiver {
    fn answer(&mut self, request: &Request) -> Input {
        let groups = otlp::decode(&request.body, request.encoding, &Limits::STANDARD).unwrap();
        let records = groups.iter().flat_map(|it| &it.records);
        let numbers: BTreeSet<_> =
            records.map(|it| it.attributes["wal.seq"].as_u64().unwrap()).collect();
        for number in &numbers {
            *self.accepted.entry(*number).or_default() += 1;
        }
        self.requests.push(numbers);
        if self.requests.len() == self.lost {
            return Input::Unanswered(Silence::TimedOut);
        }
        Input::Answered(Answer { status: 200, ..Answer::default() })
    }

    /// Everything arrived, and what came twice was in one request.
    #[track_caller]
    fn check(&self, what: &str) {
        let all: Vec<_> = (1..=ENTRIES).collect();
        assert_eq!(self.accepted.keys().copied().collect::<Vec<_>>(), all, "{what}");
        let twice: BTreeSet<_> =
            self.accepted.iter().filter(|it| *it.1 > 1).map(|it| *it.0).collect();
        assert!(self.accepted.values().all(|it| *it <= 2), "{what}: {:?}", self.requests);
        let in_one = self.requests.iter().any(|it| twice.is_subset(it));
        assert!(in_one && twice.len() <= BATCH, "{what}: {twice:?} in {:?}", self.requests);
    }
}

fn consumer() -> Consumer {
    let mut options = DrainOptions::standard(DIR.into(), 1, "a test".to_owned());
    (options.batch, options.retries, options.wait) = (BATCH.try_into().unwrap(), 0, Duration::ZERO);
    Consumer::new(options)
}

fn pass(
    consumer: &mut Consumer,
    vfs: &MemVfs,
    receiver: &mut Receiver,
) -> Result<Report, DrainError> {
    let send = async |request: Request| receiver.answer(&request);
    let mut tell = |_: &Notice| ();
    let pass = consumer.pass_with(vfs, Encoding::Protobuf, send, &mut tell);
    let executor = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    executor.block_on(pass)
}

/// What the files call settled was accepted.
#[track_caller]
fn check_files(vfs: &MemVfs, receiver: &Receiver, what: &str) {
    let (_, wal_id) = identity(vfs, Path::new(DIR)).unwrap();
    let progress = super::super::files::load_progress(vfs, Path::new(DIR), wal_id).unwrap();
    let mut reader = Reader::open(vfs, Path::new(DIR)).unwrap();
    while let Some(item) = reader.next_entry().unwrap() {
        let entry = wal_format::Entry::parse(item.payload).unwrap();
        if progress.is_settled(item.seq, Class::of(&entry.event.kind())) {
            assert!(
                receiver.accepted.contains_key(&item.seq.get()),
                "{what}: {} skipped",
                item.seq
            );
        }
    }
}

/// Loses power at every step of a pass, in every way, and lets another process go on.
#[test]
fn whatever_power_loss_leaves_nothing_is_skipped_and_one_batch_at_most_comes_twice() {
    let mut steps = u64::MAX;
    let mut step = 0;
    let mut twice = 0;
    while step < steps {
        for policy in POLICIES {
            let (vfs, mut receiver) = (disk(), Receiver::default());
            vfs.set_plan(FaultPlan::crash_at(step));
            if pass(&mut consumer(), &vfs, &mut receiver).is_ok() {
                steps = vfs.steps();
            }
            vfs.power_loss(policy);
            let what = format!("step {step}, {policy:?}");
            check_files(&vfs, &receiver, &what);
            let report = pass(&mut consumer(), &vfs, &mut receiver).unwrap();
            assert_eq!((report.pending.total(), report.position), (0, ENTRIES), "{what}");
            receiver.check(&what);
            twice += receiver.accepted.values().filter(|it| **it > 1).count();
        }
        step += 1;
    }
    assert!(step > 15, "{step} steps");
    assert!(twice > 0, "no crash ever made a batch come twice");
}

/// The same consumer goes on after a write or a sync failed once.
#[test]
fn a_write_that_fails_stops_the_pass_and_the_next_one_goes_on() {
    for fault in [Fault::Eio, Fault::ReadOnly, Fault::Interrupted] {
        let mut failures = 0;
        for step in 0..80 {
            let (vfs, mut receiver, mut consumer) = (disk(), Receiver::default(), consumer());
            vfs.set_plan(FaultPlan::new(move |now, _| (now == step).then_some(fault)));
            failures += u32::from(pass(&mut consumer, &vfs, &mut receiver).is_err());
            let what = format!("step {step}, {fault:?}");
            check_files(&vfs, &receiver, &what);
            vfs.set_plan(FaultPlan::none());
            let report = pass(&mut consumer, &vfs, &mut receiver).unwrap();
            assert_eq!((report.pending.total(), report.position), (0, ENTRIES), "{what}");
            receiver.check(&what);
        }
        assert!(failures > 5 || fault == Fault::Interrupted, "{fault:?}: {failures}");
    }
}

#[test]
fn an_answer_that_is_lost_costs_that_batch_a_second_time_and_no_other() {
    for lost in 1..=5 {
        let (vfs, mut consumer) = (disk(), consumer());
        let mut receiver = Receiver { lost, ..Receiver::default() };
        pass(&mut consumer, &vfs, &mut receiver).unwrap_err();
        pass(&mut consumer, &vfs, &mut receiver).unwrap();
        receiver.check("lost");
        let again = receiver.requests[lost - 1].clone();
        assert_eq!(receiver.requests[lost], again);
    }
}

/// What a batch costs, and that somebody who takes the files away is noticed.
#[test]
fn the_cursors_are_overwritten_in_place_and_the_position_is_written_once() {
    let (vfs, mut receiver) = (disk(), Receiver::default());
    vfs.set_plan(FaultPlan::none());
    pass(&mut consumer(), &vfs, &mut receiver).unwrap();
    let renamed = |name: &str| {
        let to = Path::new(DIR).join(name);
        vfs.trace().iter().filter(|it| matches!(it, Op::Rename(_, new) if *new == to)).count()
    };
    assert_eq!(receiver.requests.len(), 15);
    assert_eq!(renamed(names::POS), 1);
    let in_place = Path::new(DIR).join(names::CURSORS);
    let synced = vfs.trace().iter().filter(|it| **it == Op::Sync(in_place.clone())).count();
    assert_eq!(renamed(names::CURSORS) + synced, 15, "each batch is recorded");
    assert!(synced >= 8, "{synced} in place");
}
