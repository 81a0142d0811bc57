//! Dead letters sent again: the table of the machine, and random files, collectors and crashes.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod rig;

use std::collections::{BTreeMap, BTreeSet};

use drain::{
    Class, DeadLetter, Failure, Input, Letters, Line, Place, Redelivery, RedeliveryEffect,
    RedeliveryReport, RetryNotice, Silence, Source, Terms,
};
use otlp::Encoding;
use proptest::prelude::*;
use rig::{Collector, Log, Mood};
use wal_format::WalId;

/// The file.
#[derive(Clone, Default)]
struct File(Vec<u8>);

impl File {
    /// A letter about each entry of a log.
    fn of(log: &Log) -> Self {
        let mut file = Self::default();
        (1..=log.len()).for_each(|n| file.letter(log, n));
        file
    }

    fn letter(&mut self, log: &Log, n: u64) {
        let payload = log.payloads[usize::try_from(n - 1).unwrap()].clone();
        let letter = DeadLetter {
            source: rig::source(),
            seq: rig::seq(n),
            class: log.class(n),
            payload: Some(payload),
            text: "poison".to_owned(),
            refused_at: rig::now(),
        };
        letter.write(&mut self.0);
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.0.last().is_some_and(|it| *it != b'\n') {
            self.0.push(b'\n');
        }
        self.0.extend(bytes);
    }

    /// Every line with its offset.
    fn lines(&self) -> Vec<(u64, &[u8])> {
        let mut offset = 0;
        let lines = self.0.split_inclusive(|it| *it == b'\n').map(move |line| {
            let at = offset;
            offset += line.len() as u64;
            (at, line.strip_suffix(b"\n").unwrap_or(line))
        });
        lines.collect()
    }

    fn letters(&self) -> Letters {
        let mut letters = Letters::default();
        for (offset, line) in self.lines() {
            // What is torn means nothing; the other lines still do.
            letters.add(offset, line).ok();
        }
        letters
    }

    fn open(&self) -> BTreeSet<u64> {
        self.letters().open().iter().map(|it| it.seq.get()).collect()
    }

    /// The numbers in lines `delivered`.
    fn delivered(&self) -> BTreeSet<u64> {
        let number = |it: &[u8]| match Line::parse(it) {
            Ok(Line::Delivered { event_id, .. }) => event_id.rsplit_once(':')?.1.parse().ok(),
            _ => None,
        };
        self.lines().into_iter().filter_map(|it| number(it.1)).collect()
    }

    fn read(&self, places: &[Place]) -> Vec<Vec<u8>> {
        let at = |it: &Place| usize::try_from(it.offset).unwrap();
        places.iter().map(|it| self.0[at(it)..at(it) + it.len as usize].to_vec()).collect()
    }

    fn compact(&mut self) {
        let letters = self.letters();
        let kept = self.lines().into_iter().filter(|(at, line)| letters.keeps(*at, line));
        self.0 = kept.flat_map(|(_, line)| [line, b"\n"].concat()).collect();
    }
}

fn terms(batch: usize) -> Terms {
    let mut terms = Terms::standard(1);
    terms.batch_entries_max = batch.try_into().unwrap();
    terms
}

/// R3.
fn check_accounts(it: &RedeliveryReport) {
    assert_eq!(it.queued, it.accepted + it.refused + it.pending, "{it:?}");
}

/// Runs a retry with this collector and returns how it ended and what was said.
fn run(
    file: &mut File,
    collector: &mut Collector,
    batch: usize,
) -> (RedeliveryReport, Vec<String>) {
    let mut machine = Redelivery::new(terms(batch), file.letters());
    let (mut input, mut said) = (Input::Indexed, Vec::new());
    for _ in 0..rig::STEPS_MAX {
        let step = machine.step(input, rig::now());
        said.extend(step.notices.iter().map(|it| RetryNotice(it).to_string()));
        check_accounts(&machine.report());
        input = match step.effect {
            RedeliveryEffect::Finished(report) => return (report, said),
            RedeliveryEffect::Failed(failure, _) => panic!("{failure}"),
            RedeliveryEffect::Read(places) => Input::Read(file.read(&places)),
            RedeliveryEffect::Send(request) => collector.answer(&request, Mood::Good),
            RedeliveryEffect::Wait(_) => Input::Waited,
            RedeliveryEffect::Append(lines) => {
                file.append(&lines);
                Input::Written
            }
        };
    }
    panic!("the machine goes round in circles")
}

/// Three errors and a decision; the first letter is the decision.
fn log() -> Log {
    Log::of(&[1, 0, 0, 0])
}

const STATES: [&str; 5] = ["idle", "reading", "sending", "waiting", "recording"];

fn machine_in(state: &str) -> Redelivery {
    let file = File::of(&log());
    let mut machine = Redelivery::new(terms(4), file.letters());
    if state == "idle" {
        return machine;
    }
    let RedeliveryEffect::Read(places) = machine.step(Input::Indexed, rig::now()).effect else {
        panic!("nothing to read");
    };
    if state == "reading" {
        return machine;
    }
    machine.step(Input::Read(file.read(&places)), rig::now());
    match state {
        "sending" => {}
        "waiting" => drop(machine.step(rig::status_only(503), rig::now())),
        "recording" => drop(machine.step(rig::accepted(), rig::now())),
        other => panic!("{other}"),
    }
    machine
}

fn inputs() -> Vec<(&'static str, Input)> {
    let file = File::of(&log());
    let mut lines: Vec<_> = file.lines().into_iter().map(|it| it.1.to_vec()).collect();
    // In the order of delivery: the errors, then the decision.
    lines.rotate_left(1);
    vec![
        ("indexed", Input::Indexed),
        ("read", Input::Read(lines)),
        ("answered", rig::accepted()),
        ("unanswered", Input::Unanswered(Silence::ConnectionRefused)),
        ("written", Input::Written),
        ("waited", Input::Waited),
        ("failed", Input::Failed("disk is gone".to_owned())),
    ]
}

fn kind(effect: &RedeliveryEffect) -> &'static str {
    match effect {
        RedeliveryEffect::Read(_) => "read",
        RedeliveryEffect::Send(_) => "send",
        RedeliveryEffect::Append(_) => "append",
        RedeliveryEffect::Wait(_) => "wait",
        RedeliveryEffect::Finished(_) => "finished",
        RedeliveryEffect::Failed(Failure::Local { .. }, _) => "stop: local",
        RedeliveryEffect::Failed(Failure::Misuse { .. }, _) => "stop: misuse",
        RedeliveryEffect::Failed(..) => "stop",
    }
}

#[test]
fn every_state_answers_every_input_as_the_table_says() {
    for state in STATES {
        for (name, input) in inputs() {
            let want = match (state, name) {
                ("idle", "indexed") => "read",
                ("reading", "read") | ("waiting", "waited") => "send",
                ("sending", "answered") => "append",
                ("sending", "unanswered") => "wait",
                ("recording", "written") => "finished",
                ("reading" | "sending" | "recording", "failed") => "stop: local",
                _ => "stop: misuse",
            };
            let mut machine = machine_in(state);
            let effect = machine.step(input, rig::now()).effect;
            assert_eq!(kind(&effect), want, "{name} while {state}");
            if let RedeliveryEffect::Failed(failure @ Failure::Misuse { .. }, _) = &effect {
                assert_eq!(failure.to_string(), format!("input {name} while {state}"));
            }
            check_accounts(&machine.report());
        }
    }
}

/// R4: after a stop in any state the next pass settles the same letters, once each.
#[test]
fn a_stop_in_any_state_leaves_everything_in_place() {
    for state in STATES {
        let mut file = File::of(&log());
        let mut machine = machine_in(state);
        machine.step(Input::Failed("disk is gone".to_owned()), rig::now());
        assert_eq!(machine.report().accepted, 0, "{state}");
        let (mut input, mut sent) = (Input::Indexed, Vec::new());
        for _ in 0..rig::STEPS_MAX {
            input = match machine.step(input, rig::now()).effect {
                RedeliveryEffect::Finished(_) => break,
                RedeliveryEffect::Failed(failure, _) => panic!("{state}: {failure}"),
                RedeliveryEffect::Read(places) => Input::Read(file.read(&places)),
                RedeliveryEffect::Send(request) => {
                    sent = rig::numbers(&request);
                    rig::accepted()
                }
                RedeliveryEffect::Wait(_) => Input::Waited,
                RedeliveryEffect::Append(lines) => {
                    file.append(&lines);
                    Input::Written
                }
            };
        }
        assert_eq!(sent, [2, 3, 4, 1], "{state}");
        assert_eq!(machine.report().accepted, 4, "{state}");
        assert_eq!(file.open(), BTreeSet::new(), "{state}");
    }
}

/// The table of `delivery`, for a batch and for a single letter.
#[test]
fn every_verdict_leads_where_the_table_says() {
    let partial = |it| rig::partial(it, "no", Encoding::Protobuf);
    for (answer, whole, single) in [
        (rig::accepted(), "append", "append"),
        (partial(1), "send", "append"),
        (partial(4), "append", "wait"),
        (partial(5), "wait", "wait"),
        (rig::page(), "wait", "wait"),
        (rig::status_only(429), "wait", "wait"),
        (rig::status_only(503), "wait", "wait"),
        (rig::status_only(413), "send", "stop"),
        (rig::status_only(400), "stop", "stop"),
        (rig::status_only(401), "stop", "stop"),
        (rig::status_only(500), "stop", "stop"),
        (Input::Unanswered(Silence::TimedOut), "wait", "wait"),
    ] {
        let effect = machine_in("sending").step(answer.clone(), rig::now()).effect;
        assert_eq!(kind(&effect), whole, "{answer:?}");
        let file = File::of(&log());
        let mut machine = Redelivery::new(terms(1), file.letters());
        machine.step(Input::Indexed, rig::now());
        machine.step(Input::Read(vec![file.lines()[1].1.to_vec()]), rig::now());
        let effect = machine.step(answer.clone(), rig::now()).effect;
        assert_eq!(kind(&effect), single, "{answer:?} to one letter");
    }
}

#[test]
fn a_retry_says_what_it_does_and_the_letters_are_gone_or_refused_again() {
    let mut file = File::of(&log());
    let mut collector = Collector { poison: [3].into(), ..Collector::default() };
    let (report, said) = run(&mut file, &mut collector, 512);
    assert_eq!((report.accepted, report.refused, report.pending), (3, 1, 0));
    assert_eq!(report.to_string(), "retry complete: 3 events sent, 1 refused again");
    assert_eq!(said.first().map(String::as_str), Some("[retry] 4 dead letters to send"));
    let last = said.last().map(String::as_str);
    assert_eq!(last, Some("[retry] batch 1 accepted: 3 events, 1 refused"));
    let open = file.letters().open();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].seq.get(), open[0].attempts), (3, 2));
    file.compact();
    assert_eq!(file.lines().len(), 2, "the letter and what is new about it");
    let (report, _) = run(&mut file, &mut Collector::default(), 512);
    assert_eq!(report.to_string(), "retry complete: 1 events sent");
    file.compact();
    assert_eq!(file.0, b"");
}

/// A request names the log once, so letters of two logs never share one.
#[test]
fn letters_of_several_logs_go_under_their_own_names() {
    let log = log();
    let mut file = File::default();
    let other = Source { node: "edge-2".to_owned(), wal_id: WalId::from_random([9; 16]) };
    for n in 1..=4 {
        file.letter(&log, n);
        let letter = DeadLetter {
            source: other.clone(),
            seq: rig::seq(n),
            class: log.class(n),
            payload: Some(log.payloads[0].clone()),
            text: "no".to_owned(),
            refused_at: rig::now(),
        };
        letter.write(&mut file.0);
    }
    let mut machine = Redelivery::new(terms(512), file.letters());
    let (mut input, mut ids) = (Input::Indexed, BTreeMap::<String, u32>::new());
    while let effect @ (RedeliveryEffect::Read(_)
    | RedeliveryEffect::Send(_)
    | RedeliveryEffect::Append(_)) = machine.step(input, rig::now()).effect
    {
        input = match effect {
            RedeliveryEffect::Read(places) => Input::Read(file.read(&places)),
            RedeliveryEffect::Append(lines) => {
                file.append(&lines);
                Input::Written
            }
            RedeliveryEffect::Send(request) => {
                let limits = otlp::Limits::STANDARD;
                let groups = otlp::decode(&request.body, request.encoding, &limits).unwrap();
                for record in groups.iter().flat_map(|it| &it.records) {
                    let id = record.attributes["event.id"].as_str().unwrap();
                    let node = groups[0].resource.service_name().unwrap();
                    assert!(id.starts_with(&format!("{node}:")), "{id} is not of {node}");
                    *ids.entry(id.to_owned()).or_default() += 1;
                }
                rig::accepted()
            }
            _ => unreachable!(),
        };
    }
    assert_eq!(ids.len(), 8);
    assert!(ids.values().all(|it| *it == 1) && file.open().is_empty());
}

#[test]
fn a_file_that_changed_between_index_and_read_is_not_sent_under_the_wrong_ids() {
    let file = File::of(&log());
    let line = |n: usize| file.lines()[n].1.to_vec();
    for lines in [vec![line(0), line(1)], vec![line(1)], vec![], vec![b"{}".to_vec(), line(2)]] {
        let mut machine = Redelivery::new(terms(2), file.letters());
        machine.step(Input::Indexed, rig::now());
        let effect = machine.step(Input::Read(lines), rig::now()).effect;
        let changed = matches!(effect, RedeliveryEffect::Failed(Failure::LettersChanged { .. }, _));
        assert!(changed, "{effect:?}");
    }
}

/// A file with these lines about event 1: a letter, refused again, delivered, purged, or torn.
fn file_of(kinds: &str) -> File {
    let (event_id, at) = (rig::event_id(1), rig::now());
    let mut file = File::default();
    for kind in kinds.chars() {
        let event_id = event_id.clone();
        let line = match kind {
            'r' => {
                let text = "no".to_owned();
                Line::RefusedAgain { event_id, attempts: 2, text, refused_at: at }
            }
            'd' => Line::Delivered { event_id, delivered_at: at },
            'p' => Line::Purged { event_id, purged_at: at, reason: "x".to_owned() },
            'o' => {
                file.append(b"{\"event_id\":\"torn\n");
                continue;
            }
            _ => {
                file.letter(&log(), 1);
                continue;
            }
        };
        line.write(&mut file.0);
    }
    file
}

/// The table of `letters`, with every line about one event.
#[test]
fn the_last_line_about_an_event_counts() {
    for (kinds, open, kept) in [
        ("L", true, "L"),
        ("LL", true, "L"),
        ("Lr", true, "Lr"),
        ("Lrr", true, "Lr"),
        ("LrL", true, "L"),
        ("Ld", false, ""),
        ("LLrd", false, ""),
        ("LdL", true, "L"),
        ("Lp", false, "p"),
        ("Lrp", false, "p"),
        ("LpL", true, "pL"),
        ("LdLp", false, "p"),
        ("r", false, "r"),
        ("d", false, "d"),
        ("p", false, "p"),
        ("LoLd", false, "o"),
        ("oL", true, "oL"),
    ] {
        let mut file = file_of(kinds);
        assert_eq!(file.letters().find(&rig::event_id(1)).is_some(), open, "{kinds}");
        let before = file.letters().open();
        file.compact();
        assert_eq!(file.0, file_of(kept).0, "{kinds}");
        let after = file.letters().open();
        let facts = |it: &[drain::OpenLetter]| {
            it.iter().map(|it| (it.seq, it.attempts, it.refused_at)).collect::<Vec<_>>()
        };
        assert_eq!(facts(&after), facts(&before), "N2: {kinds}");
        let compacted = file.0.clone();
        file.compact();
        assert_eq!(file.0, compacted, "a second compaction changes nothing: {kinds}");
    }
}

#[test]
fn a_letter_without_its_payload_is_listed_and_counted_and_not_sent() {
    let old = include_bytes!("golden/old.deadletter.jsonl");
    let mut file = File(old.to_vec());
    let letters = file.letters();
    assert_eq!(letters.open_without_payload(rig::wal_id()).len(), 2);
    assert_eq!(letters.open_without_payload(WalId::from_random([1; 16])), []);
    let (report, said) = run(&mut file, &mut Collector::default(), 9);
    assert_eq!((report.queued, report.without_payload), (0, 2));
    assert_eq!(said, ["[retry] 0 dead letters to send, 2 without a payload"]);
    assert_eq!(report.to_string(), "retry complete: 0 events sent, 2 without a payload");
    assert_eq!(file.0, old);

    // With the payload from the log the later line counts.
    file.letter(&Log::of(&[3, 1, 2, 0, 4]), 2);
    let open = file.letters().open();
    assert_eq!(
        open.iter().map(|it| (it.seq.get(), it.has_payload)).collect::<Vec<_>>(),
        [(5, false), (2, true)]
    );
    assert_eq!(open[1].class, Class::Decision);
}

/// Where a process ends: after so many effects, with how much of the last append on disk.
#[derive(Clone, Copy, Debug)]
struct Crash {
    effects: usize,
    torn: usize,
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        4 => Just(Mood::Good),
        1 => Just(Mood::AnswerLost),
        1 => Just(Mood::Refused),
        1 => Just(Mood::Page),
        1 => prop::sample::select(&[400, 429, 500, 503]).prop_map(Mood::Status),
    ]
}

/// Drives one process until it finishes or crashes; returns whether it finished. `delivered` are the
/// letters whose line `delivered` is on disk.
fn process(
    file: &mut File,
    collector: &mut Collector,
    delivered: &mut BTreeSet<u64>,
    moods: &mut impl Iterator<Item = Mood>,
    (batch, crash): (usize, Option<Crash>),
) -> bool {
    let letters = file.letters();
    let mut machine = Redelivery::new(terms(batch), letters);
    let mut input = Input::Indexed;
    for count in 1..rig::STEPS_MAX {
        let effect = machine.step(input, rig::now()).effect;
        check_accounts(&machine.report());
        let crash = crash.filter(|it| it.effects == count);
        input = match effect {
            RedeliveryEffect::Finished(report) => {
                assert_eq!(report.pending, 0);
                return true;
            }
            RedeliveryEffect::Failed(..) => Input::Indexed,
            RedeliveryEffect::Read(places) => Input::Read(file.read(&places)),
            RedeliveryEffect::Send(request) => {
                let again: Vec<_> = rig::numbers(&request)
                    .into_iter()
                    .filter(|it| delivered.contains(it))
                    .collect();
                assert!(again.is_empty(), "R1: {again:?} delivered on disk and sent again");
                collector.answer(&request, moods.next().unwrap_or(Mood::Good))
            }
            RedeliveryEffect::Wait(_) => Input::Waited,
            RedeliveryEffect::Append(lines) => {
                let done = crash.map_or(lines.len(), |it| it.torn.min(lines.len()));
                file.append(&lines[..done]);
                delivered.extend(file.delivered());
                Input::Written
            }
        };
        if crash.is_some() {
            return false;
        }
    }
    panic!("the machine goes round in circles")
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000, max_shrink_iters: 2_000, ..ProptestConfig::default()
    })]

    #[test]
    fn no_letter_is_lost_whatever_the_collector_does_and_wherever_the_process_ends(
        kinds in prop::collection::vec(0..5_usize, 0..20),
        poison in prop::collection::btree_set(1..20_u64, 0..5),
        records_max in prop_oneof![Just(0), 1..6_usize],
        batch in 1..12_usize,
        moods in prop::collection::vec(mood(), 0..20),
        crashes in prop::collection::vec((1..30_usize, 0..600_usize, any::<bool>()), 0..8),
    ) {
        let log = Log::of(&kinds);
        let mut file = File::of(&log);
        let mut collector = Collector { poison: poison.clone(), records_max, ..Collector::default() };
        let (mut moods, mut delivered) = (moods.into_iter(), BTreeSet::new());
        for (effects, torn, compacted) in crashes {
            let crash = Some(Crash { effects, torn });
            process(&mut file, &mut collector, &mut delivered, &mut moods, (batch, crash));
            if compacted {
                file.compact();
            }
            for n in 1..=log.len() {
                let known = collector.accepted.contains_key(&n) || file.open().contains(&n);
                prop_assert!(known, "letter {} is lost", n);
            }
        }
        let finished = process(&mut file, &mut collector, &mut delivered, &mut moods, (batch, None));
        prop_assert!(finished);
        file.compact();
        let refused: BTreeSet<_> = poison.into_iter().filter(|it| *it <= log.len()).collect();
        prop_assert_eq!(file.open(), refused);
        for n in 1..=log.len() {
            let accepted = collector.accepted.contains_key(&n);
            prop_assert_eq!(accepted, !collector.poison.contains(&n), "letter {}", n);
        }
    }

    /// The reference: sort by class and place, cut into batches, send each once.
    #[test]
    fn without_faults_each_letter_is_sent_once_in_the_order_of_its_class(
        kinds in prop::collection::vec(0..5_usize, 0..40), batch in 1..12_usize
    ) {
        let log = Log::of(&kinds);
        let mut file = File::of(&log);
        let mut collector = Collector::default();
        let (report, _) = run(&mut file, &mut collector, batch);
        let want: Vec<_> = log.in_order().chunks(batch).map(<[u64]>::to_vec).collect();
        prop_assert_eq!(&collector.requests, &want);
        prop_assert_eq!(report.accepted, log.len());
        let (again, _) = run(&mut file, &mut collector, batch);
        prop_assert_eq!(again.queued, 0);
        prop_assert_eq!(collector.requests.len(), want.len());
    }
}
