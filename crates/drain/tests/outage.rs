//! A collector that is away for three days while five million entries are written, and comes back.
//!
//! In a process of its own, since it counts what is allocated.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use std::{io::Write as _, time::Duration};

use drain::{
    Answer, Class, Config, Drain, Effect, EntryRef, Failure, Input, Progress, Report, Request,
    Silence,
};
use jiff::Timestamp;
use peak_alloc::PeakAlloc;
use wal_format::{Kind, Position, Seq, WalId};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const MEMORY_MAX: usize = 64 << 20;
const ENTRIES: u64 = 5_000_000;
const HOURS: u64 = 72;
const NODE: &str = "edge-1";
/// 2026-01-02T00:00:00Z.
const START: i64 = 1_767_312_000;
const PAYLOAD_END: &str = r#","attrs":{"decision":"allow","kind":"tool.echo","audit_id":"0b9fb1de-6f5e-4dd0-93a4-6f1d7c2b9a11","eval_us":42}}}"#;

fn wal_id() -> WalId {
    WalId::from_random([7; 16])
}

/// The log: an entry is made when it is asked for, the same each time.
#[derive(Default)]
struct Log {
    /// The last second that was spelled, and its text.
    second: (i64, String),
}

impl Log {
    fn kind(seq: u64) -> &'static str {
        match seq % 100 {
            0 => "autonomy.error",
            1..=44 => "autonomy.decision",
            45..=88 => "autonomy.action",
            89..=96 => "autonomy.lifecycle",
            _ => "robot.pose",
        }
    }

    fn class(seq: u64) -> Class {
        Class::of(&Kind::parse(Self::kind(seq)))
    }

    /// Written evenly over the outage.
    fn second(seq: u64) -> i64 {
        START + i64::try_from(seq * HOURS * 3_600 / ENTRIES).unwrap()
    }

    fn payload(&mut self, seq: u64, out: &mut Vec<u8>) {
        let second = Self::second(seq);
        if self.second.0 != second {
            self.second = (second, Timestamp::from_second(second).unwrap().to_string());
        }
        let (at, kind) = (&self.second.1, Self::kind(seq));
        write!(out, r#"{{"seq":{seq},"written_at":"{at}","event":{{"kind":"{kind}"{PAYLOAD_END}"#)
            .unwrap();
    }

    fn read(&mut self, entries: &[EntryRef]) -> Input {
        let payload = |it: &EntryRef| {
            assert_eq!(it.offset, 300 * it.seq.get());
            let mut payload = Vec::with_capacity(it.len as usize);
            self.payload(it.seq.get(), &mut payload);
            payload
        };
        Input::Read(entries.iter().map(payload).collect())
    }
}

/// The collector, and everything it was ever sent.
struct Collector {
    up: bool,
    accepted: Vec<bool>,
    /// The classes in the order of acceptance, once for each run of one.
    runs: Vec<Class>,
    last: u64,
}

impl Collector {
    fn answer(&mut self, request: &Request) -> Input {
        if !self.up {
            return Input::Unanswered(Silence::ConnectionRefused);
        }
        for seq in numbers(&request.body) {
            let place = usize::try_from(seq).unwrap();
            assert!(!std::mem::replace(&mut self.accepted[place], true), "{seq} came twice");
            let class = Log::class(seq);
            if self.runs.last() != Some(&class) {
                self.runs.push(class);
                self.last = 0;
            }
            assert!(seq > self.last, "{seq} after {}", self.last);
            self.last = seq;
        }
        Input::Answered(Answer { status: 200, ..Answer::default() })
    }
}

/// The number at the end of each event id in a request.
fn numbers(body: &[u8]) -> Vec<u64> {
    let prefix = format!("{NODE}:{}:", wal_id());
    let scopes = fields(body, 1).flat_map(|it| fields(it, 2));
    let number = |record| {
        let mut ids = fields(record, 6).filter(|it| fields(it, 1).eq([b"event.id"]));
        let id = ids.next().and_then(|it| fields(it, 2).next()).and_then(|it| fields(it, 1).next());
        assert_eq!(ids.next(), None, "a record has one id");
        std::str::from_utf8(id.unwrap()).unwrap().strip_prefix(&prefix).unwrap().parse().unwrap()
    };
    scopes.flat_map(|it| fields(it, 2)).map(number).collect()
}

/// The fields of one number in a protobuf message that have a length.
fn fields(mut message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        while !message.is_empty() {
            let key = varint(&mut message);
            let len = match key & 7 {
                0 => {
                    varint(&mut message);
                    continue;
                }
                1 => 8,
                2 => usize::try_from(varint(&mut message)).unwrap(),
                5 => 4,
                other => panic!("wire type {other}"),
            };
            let (field, rest) = message.split_at(len);
            message = rest;
            if key == number << 3 | 2 {
                return Some(field);
            }
        }
        None
    })
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

/// One pass. The clock goes on by what is waited, and by a tenth of a second a request.
fn pass(
    drain: &mut Drain,
    log: &mut Log,
    collector: &mut Collector,
    clock: &mut Timestamp,
) -> (Result<(), Failure>, Report, u64) {
    let (mut input, mut position) = (Input::Indexed, 0);
    loop {
        input = match drain.step(input, *clock).effect {
            Effect::Read(entries) => log.read(&entries),
            Effect::Send(request) => {
                *clock += Duration::from_millis(100);
                collector.answer(&request)
            }
            Effect::Wait(duration) => {
                *clock += duration;
                Input::Waited
            }
            Effect::WriteCursors(_) => Input::Written,
            Effect::WritePosition(bytes) => {
                position = Position::from_bytes(&bytes).unwrap().get();
                Input::Written
            }
            Effect::Finished(report) => return (Ok(()), report, position),
            Effect::Failed(failure, report) => return (Err(failure), report, position),
            Effect::AppendDeadLetters(_) => panic!("nothing was refused"),
        };
    }
}

#[test]
fn five_million_entries_of_three_days_are_delivered_by_class_once_each_in_64_mib() {
    let config = Config::standard(NODE.to_owned(), wal_id(), 1);
    let mut drain = Drain::new(config, Progress::load(wal_id(), None, None).unwrap());
    let mut log = Log::default();
    let accepted = vec![false; usize::try_from(ENTRIES).unwrap() + 1];
    let mut collector = Collector { up: false, accepted, runs: Vec::new(), last: 0 };
    MEMORY.reset_peak_usage();

    let (mut written, mut payload) = (0, Vec::new());
    for hour in 1..=HOURS {
        for seq in written + 1..=ENTRIES * hour / HOURS {
            payload.clear();
            log.payload(seq, &mut payload);
            drain.index(Seq::new(seq).unwrap(), 300 * seq, &payload).unwrap();
            written = seq;
        }
        let mut clock = Timestamp::from_second(Log::second(written)).unwrap();
        let (result, report, _) = pass(&mut drain, &mut log, &mut collector, &mut clock);
        assert!(matches!(result, Err(Failure::Unreachable { .. })), "{result:?}");
        assert_eq!((report.pending.total(), report.accepted.total()), (written, 0));
    }

    collector.up = true;
    // By now every entry is older than an hour, so that the class alone counts.
    let mut clock = Timestamp::from_second(START).unwrap() + Duration::from_hours(HOURS + 2);
    let (result, report, position) = pass(&mut drain, &mut log, &mut collector, &mut clock);
    assert_eq!(result, Ok(()));
    let peak = MEMORY.peak_usage();

    assert_eq!(position, ENTRIES);
    assert_eq!((report.queued, report.accepted.total()), (ENTRIES, ENTRIES));
    assert_eq!((report.pending.total(), report.dead_lettered), (0, 0));
    for class in Class::ALL {
        let want = (1..=ENTRIES).filter(|it| Log::class(*it) == class).count() as u64;
        assert_eq!(*report.accepted.get(class), want, "{class}");
    }
    assert_eq!(collector.accepted.iter().filter(|it| **it).count() as u64, ENTRIES);
    assert_eq!(collector.runs, Class::ALL, "each class in one run, in the order of its numbers");
    assert!(peak <= MEMORY_MAX, "{peak} bytes");
}
