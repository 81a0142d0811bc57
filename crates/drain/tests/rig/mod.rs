//! A log, a disk and a collector in memory, and a driver that does what the machine asks for.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};

use drain::{
    Answer, Class, Config, Drain, Effect, EntryRef, Input, Notice, Progress, Report, Request,
    Silence, Source, Step,
};
use jiff::Timestamp;
use otlp::{Encoding, Limits, PartialSuccess};
use serde_json::Value;
use wal_format::{Event, Kind, Position, Seq, WalId};

pub(crate) const NODE: &str = "edge-1";
/// More steps than any drain of a test needs.
pub(crate) const STEPS_MAX: usize = 2_000;
pub(crate) const WRITTEN_AT: &str = "2026-01-02T03:04:05Z";
pub(crate) const KINDS: [&str; 5] =
    ["autonomy.error", "autonomy.decision", "autonomy.action", "autonomy.lifecycle", "robot.pose"];

pub(crate) fn wal_id() -> WalId {
    WalId::from_random([7; 16])
}

pub(crate) fn source() -> Source {
    Source { node: NODE.to_owned(), wal_id: wal_id() }
}

pub(crate) fn now() -> Timestamp {
    "2026-01-02T03:04:06Z".parse().unwrap()
}

pub(crate) fn seq(n: u64) -> Seq {
    Seq::new(n).unwrap()
}

pub(crate) fn config(batch: usize) -> Config {
    let mut config = Config::standard(NODE.to_owned(), wal_id(), 1);
    config.batch_entries_max = batch.try_into().unwrap();
    config.max_age = None;
    config
}

/// The entries of a log; entry `n` is at index `n - 1` and its offset is `1000 n`.
#[derive(Clone, Default)]
pub(crate) struct Log {
    pub(crate) payloads: Vec<Vec<u8>>,
    pub(crate) classes: Vec<Class>,
}

impl Log {
    pub(crate) fn of(kinds: &[usize]) -> Self {
        let mut log = Self::default();
        for kind in kinds {
            log.append(*kind);
        }
        log
    }

    pub(crate) fn append(&mut self, kind: usize) {
        let seq = self.payloads.len() + 1;
        let kind = Kind::parse(KINDS[kind]);
        let event = Event::new(kind.clone()).with("n", seq).to_json();
        let event = String::from_utf8(event).unwrap();
        let payload = format!(r#"{{"seq":{seq},"written_at":"{WRITTEN_AT}","event":{event}}}"#);
        self.payloads.push(payload.into_bytes());
        self.classes.push(Class::of(&kind));
    }

    pub(crate) fn len(&self) -> u64 {
        self.payloads.len() as u64
    }

    /// Gives the entries after number `from` to the index.
    pub(crate) fn feed(&self, drain: &mut Drain, from: u64) {
        for (n, payload) in (1..).zip(&self.payloads).skip(usize::try_from(from).unwrap()) {
            drain.index(seq(n), 1000 * n, payload).unwrap();
        }
    }

    pub(crate) fn read(&self, entries: &[EntryRef]) -> Vec<Vec<u8>> {
        let read = |it: &EntryRef| {
            assert_eq!(it.offset, 1000 * it.seq.get(), "the offset is the one that was indexed");
            let payload = self.payloads[usize::try_from(it.seq.get() - 1).unwrap()].clone();
            assert_eq!(payload.len(), it.len as usize);
            payload
        };
        entries.iter().map(read).collect()
    }

    pub(crate) fn class(&self, n: u64) -> Class {
        self.classes[usize::try_from(n - 1).unwrap()]
    }

    /// Every number, in the order of delivery.
    pub(crate) fn in_order(&self) -> Vec<u64> {
        let mut order: Vec<_> = (1..=self.len()).collect();
        order.sort_by_key(|it| (self.class(*it), *it));
        order
    }
}

/// The files.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) cursors: Option<Vec<u8>>,
    pub(crate) position: Option<Vec<u8>>,
    pub(crate) dead_letters: Vec<u8>,
}

impl Disk {
    pub(crate) fn progress(&self) -> Progress {
        Progress::load(wal_id(), self.cursors.as_deref(), self.position.as_deref()).unwrap()
    }

    pub(crate) fn position(&self) -> u64 {
        self.position.as_ref().map_or(0, |it| Position::from_bytes(it).unwrap().get())
    }

    pub(crate) fn dead(&self) -> BTreeSet<u64> {
        let lines = self.dead_letters.split(|it| *it == b'\n').filter(|it| !it.is_empty());
        lines
            .map(|line| {
                let line: Value = serde_json::from_slice(line).unwrap();
                let seq = line["seq"].as_u64().unwrap();
                assert_eq!(line["event_id"], event_id(seq));
                seq
            })
            .collect()
    }
}

pub(crate) fn event_id(n: u64) -> String {
    wal_format::event_id(NODE, wal_id(), seq(n))
}

/// How the collector treats one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should: what is poisoned is refused by a partial success.
    Good,
    /// Accepts, and the answer is lost.
    AnswerLost,
    Refused,
    Reset,
    /// Any status, with nothing taken.
    Status(u16),
    /// A page of a proxy.
    Page,
}

/// A collector.
#[derive(Default)]
pub(crate) struct Collector {
    /// Numbers it refuses for good.
    pub(crate) poison: BTreeSet<u64>,
    /// Most records it takes in one request; 0 is no limit.
    pub(crate) records_max: usize,
    /// How often it accepted each number.
    pub(crate) accepted: BTreeMap<u64, u32>,
    /// Every request, by the numbers in it.
    pub(crate) requests: Vec<Vec<u64>>,
}

impl Collector {
    pub(crate) fn answer(&mut self, request: &Request, mood: Mood) -> Input {
        let numbers = numbers(request);
        self.requests.push(numbers.clone());
        match mood {
            Mood::Refused => return Input::Unanswered(Silence::ConnectionRefused),
            Mood::Reset => return Input::Unanswered(Silence::ConnectionReset),
            Mood::Status(status) => return status_only(status),
            Mood::Page => return page(),
            Mood::Good | Mood::AnswerLost => {}
        }
        if self.records_max > 0 && numbers.len() > self.records_max {
            return status_only(413);
        }
        let refused = numbers.iter().filter(|it| self.poison.contains(it)).count() as u64;
        for number in numbers.into_iter().filter(|it| !self.poison.contains(it)) {
            *self.accepted.entry(number).or_default() += 1;
        }
        if mood == Mood::AnswerLost {
            return Input::Unanswered(Silence::TimedOut);
        }
        partial(refused, if refused > 0 { "poison" } else { "" }, request.encoding)
    }
}

/// The numbers in a request, after checking its ids.
pub(crate) fn numbers(request: &Request) -> Vec<u64> {
    let groups = otlp::decode(&request.body, request.encoding, &Limits::STANDARD).unwrap();
    let records: Vec<_> = groups.iter().flat_map(|it| &it.records).collect();
    assert_eq!(records.len(), request.records);
    assert_eq!(groups[0].resource.service_name(), Some(NODE));
    let number = |it: &&otlp::Record| {
        let number = it.attributes["wal.seq"].as_u64().unwrap();
        assert_eq!(it.attributes["event.id"], event_id(number), "the same id at every attempt");
        number
    };
    records.iter().map(number).collect()
}

pub(crate) fn status_only(status: u16) -> Input {
    Input::Answered(Answer { status, ..Answer::default() })
}

pub(crate) fn page() -> Input {
    Input::Answered(Answer {
        status: 200,
        retry_after: None,
        content_type: Some("text/html".to_owned()),
        body: b"<html>log in</html>".to_vec(),
    })
}

pub(crate) fn partial(rejected: u64, message: &str, encoding: Encoding) -> Input {
    let partial = PartialSuccess { rejected, message: message.to_owned() };
    Input::Answered(Answer {
        status: 200,
        retry_after: None,
        content_type: Some(encoding.content_type().to_owned()),
        body: otlp::encode_response(Some(&partial), encoding),
    })
}

pub(crate) fn accepted() -> Input {
    status_only(200)
}

/// D6.
pub(crate) fn check_accounts(report: &Report) {
    let settled = report.accepted.total() + report.dead_lettered;
    assert_eq!(report.queued, settled + report.pending.total(), "{report:?}");
}

/// Runs a pass against a collector in a good mood and returns what was said.
pub(crate) fn run(
    log: &Log,
    disk: &mut Disk,
    collector: &mut Collector,
    config: Config,
) -> (Report, Vec<Notice>) {
    let mut drain = Drain::new(config, disk.progress());
    log.feed(&mut drain, 0);
    let mut input = Input::Indexed;
    let mut said = Vec::new();
    for _ in 0..STEPS_MAX {
        let Step { notices, effect } = drain.step(input, now());
        said.extend(notices);
        check_accounts(&drain.report());
        input = match effect {
            Effect::Finished(report) => return (report, said),
            Effect::Failed(failure, _) => panic!("{failure}"),
            Effect::Read(entries) => Input::Read(log.read(&entries)),
            Effect::Send(request) => collector.answer(&request, Mood::Good),
            Effect::Wait(_) => Input::Waited,
            other => write(other, disk),
        };
    }
    panic!("the machine goes round in circles")
}

/// Does an effect that writes a file.
pub(crate) fn write(effect: Effect, disk: &mut Disk) -> Input {
    match effect {
        Effect::AppendDeadLetters(lines) => disk.dead_letters.extend(lines),
        Effect::WriteCursors(bytes) => disk.cursors = Some(bytes),
        Effect::WritePosition(bytes) => disk.position = Some(bytes.to_vec()),
        other => panic!("{other:?} writes nothing"),
    }
    Input::Written
}
