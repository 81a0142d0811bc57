//! Dead letters on a disk that loses power at every step.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use drain::{Answer, Class, DeadLetter, Input, Request, Source};
use jiff::Timestamp;
use otlp::{Encoding, Limits, PartialSuccess};
use vfs::{CrashPolicy, FaultPlan, MemVfs, OpenMode, Vfs, append_lines, read_whole};
use wal_format::{Event, Kind, Seq, WalId};
use wal_recovery::{Durability, Log, Opening, Overrides, Submission, recover};

use super::{retry::retry_with, *};

const DIR: &str = "/wal";
const DAMAGED: &[u8] = b"{\"schema\":1,\"event_id\":\"edge-1:0";
/// More letters than fit one 512-byte sector, so that an append can tear.
const LETTERS: u64 = 7;

fn source() -> Source {
    Source { node: "edge-1".to_owned(), wal_id: WalId::from_random([7; 16]) }
}

fn event_id(n: u64) -> String {
    source().event_id(Seq::new(n).unwrap())
}

fn letter(n: u64) -> DeadLetter {
    DeadLetter {
        source: source(),
        seq: Seq::new(n).unwrap(),
        class: Class::Decision,
        payload: Some(format!(r#"{{"seq":{n}}}"#).into_bytes()),
        text: "poison".to_owned(),
        refused_at: "2026-01-02T03:04:05Z".parse().unwrap(),
    }
}

/// A directory with letters, and a damaged line between them.
fn disk() -> MemVfs {
    let vfs = MemVfs::default();
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    for n in 1..=LETTERS {
        let mut line = Vec::new();
        letter(n).write(&mut line);
        if n == 3 {
            line.extend([DAMAGED, b"\n"].concat());
        }
        append_lines(&vfs, &file(), &line).unwrap();
    }
    vfs
}

fn file() -> PathBuf {
    Path::new(DIR).join(names::DEADLETTER)
}

fn content(vfs: &MemVfs) -> Vec<u8> {
    read_whole(vfs, &file(), u64::MAX).unwrap().unwrap_or_default()
}

fn open(vfs: &MemVfs) -> BTreeSet<u64> {
    let letters = DeadLetters::open(vfs, Path::new(DIR), |_| ()).unwrap();
    letters.open_letters().map(|it| it.unwrap().letter.seq.get()).collect()
}

fn options() -> RetryOptions {
    RetryOptions {
        dir: DIR.into(),
        encoding: otlp::Encoding::Protobuf,
        batch: 3.try_into().unwrap(),
        batch_bytes: drain::BATCH_BYTES_DEFAULT,
        retries: 0,
        seed: 1,
        holder: "a test".to_owned(),
        wait: Duration::ZERO,
    }
}

/// A collector that refuses some numbers for good.
#[derive(Default)]
struct Collector {
    poison: BTreeSet<u64>,
    accepted: BTreeMap<u64, u32>,
    payloads: Vec<String>,
}

impl Collector {
    fn answer(&mut self, request: &Request) -> Input {
        let groups = otlp::decode(&request.body, request.encoding, &Limits::STANDARD).unwrap();
        let mut refused = 0;
        for record in groups.iter().flat_map(|it| &it.records) {
            let number = record.attributes["wal.seq"].as_u64().unwrap();
            assert_eq!(record.attributes["event.id"], event_id(number));
            self.payloads.push(record.body.to_string());
            if self.poison.contains(&number) {
                refused += 1;
            } else {
                *self.accepted.entry(number).or_default() += 1;
            }
        }
        let partial = PartialSuccess { rejected: refused, message: "poison".to_owned() };
        let body = otlp::encode_response(Some(&partial), Encoding::Protobuf);
        Input::Answered(Answer { status: 200, body, ..Answer::default() })
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn retry(
    vfs: &MemVfs,
    collector: &mut Collector,
) -> (Result<RetryReport, RetryError>, Vec<String>) {
    let mut said = Vec::new();
    let tell = |it: Said<'_>| match it {
        Said::Notice(notice) => said.push(notice.to_string()),
        Said::Flaw(flaw) => said.push(format!("line {}: {}", flaw.line, flaw.error)),
    };
    let send = async |request: Request| collector.answer(&request);
    let done = block_on(retry_with(vfs, &options(), send, tell));
    (done, said)
}

fn purge(vfs: &MemVfs, selection: Selection) -> Result<PurgeReport, PurgeError> {
    let now = "2026-01-02T03:04:06Z".parse().unwrap();
    let (holder, wait) = ("a test".to_owned(), Duration::ZERO);
    let options = PurgeOptions { dir: DIR.into(), selection, now, holder, wait };
    block_on(purge_dead_letters(vfs, &options, |_| ()))
}

fn policies() -> [CrashPolicy; 6] {
    [
        CrashPolicy::LoseAll,
        CrashPolicy::KeepAll,
        CrashPolicy::Random(1),
        CrashPolicy::Random(2),
        CrashPolicy::Random(3),
        CrashPolicy::Random(4),
    ]
}

/// Runs `work` on a fresh disk with power lost at each of its steps in turn, in every way.
fn at_every_crash(mut work: impl FnMut(&MemVfs, &dyn Fn(&MemVfs))) {
    let vfs = disk();
    vfs.set_plan(FaultPlan::none());
    work(&vfs, &|_| ());
    let steps = vfs.steps();
    assert!(steps > 10, "only {steps} steps: nothing was done");
    for step in 0..steps {
        for policy in policies() {
            let vfs = disk();
            vfs.set_plan(FaultPlan::crash_at(step));
            work(&vfs, &|vfs| vfs.power_loss(policy));
        }
    }
}

#[test]
fn power_lost_at_any_step_of_a_retry_loses_no_letter() {
    at_every_crash(|vfs, crash| {
        let mut collector = Collector { poison: [2, 6].into(), ..Collector::default() };
        retry(vfs, &mut collector).0.ok();
        crash(vfs);
        let left = open(vfs);
        for n in 1..=LETTERS {
            let known = left.contains(&n) || collector.accepted.contains_key(&n);
            assert!(known, "letter {n} is lost");
        }
        let before = collector.accepted.clone();
        let (done, said) = retry(vfs, &mut collector);
        let report = done.unwrap();
        assert!(report.damaged_lines >= 1 && said.iter().any(|it| it.starts_with("line ")));
        for (n, times) in &collector.accepted {
            let again = before.get(n).is_some_and(|it| it < times);
            assert!(!again || left.contains(n), "{n} was recorded as delivered and sent again");
        }
        assert_eq!(open(vfs), [2, 6].into());
        let text = content(vfs);
        assert!(text.windows(DAMAGED.len()).any(|it| it == DAMAGED), "the damaged line is gone");
    });
}

#[test]
fn only_the_batch_in_flight_is_sent_twice_after_a_loss_of_power() {
    at_every_crash(|vfs, crash| {
        let mut collector = Collector::default();
        retry(vfs, &mut collector).0.ok();
        crash(vfs);
        retry(vfs, &mut collector).0.unwrap();
        let twice: Vec<_> = collector.accepted.iter().filter(|it| *it.1 > 1).collect();
        assert!(twice.len() <= options().batch.get(), "{twice:?}");
        assert!(twice.iter().all(|it| *it.1 == 2), "{twice:?}");
        assert_eq!((open(vfs).len(), collector.accepted.len()), (0, 7));
    });
}

#[test]
fn power_lost_at_any_step_of_a_purge_gives_nothing_up_without_a_record() {
    at_every_crash(|vfs, crash| {
        let reason = || "ticket 4711".to_owned();
        let some =
            Selection::Events { event_ids: vec![event_id(2), event_id(5)], reason: reason() };
        purge(vfs, some).ok();
        crash(vfs);
        let (left, text) = (open(vfs), String::from_utf8_lossy(&content(vfs)).into_owned());
        for n in 1..=LETTERS {
            let record = format!(r#"{{"schema":1,"event_id":"{}","purged_at":"#, event_id(n));
            let known = left.contains(&n) || text.contains(&record);
            assert!(known, "letter {n} is gone without a record:\n{text}");
        }
        purge(vfs, Selection::All { reason: reason() }).unwrap();
        let text = String::from_utf8_lossy(&content(vfs)).into_owned();
        assert_eq!(open(vfs), BTreeSet::new());
        assert_eq!(text.matches("purged_at").count(), 7, "{text}");
        assert_eq!(text.matches("payload").count(), 0, "{text}");
        assert!(text.contains(std::str::from_utf8(DAMAGED).unwrap()));
    });
}

#[test]
fn a_retry_reports_damage_sends_the_rest_and_compacts() {
    let vfs = disk();
    let mut collector = Collector::default();
    let (done, said) = retry(&vfs, &mut collector);
    let report = done.unwrap();
    assert_eq!((report.letters.accepted, report.damaged_lines), (LETTERS, 1));
    assert!(said[0].starts_with("line 4: unreadable: EOF"), "{said:?}");
    assert_eq!(content(&vfs), [DAMAGED, b"\n"].concat());
    assert_eq!(collector.accepted.len() as u64, LETTERS);
}

#[test]
fn damaged_lines_are_given_up_on_the_record_and_nothing_else_is() {
    let newer = br#"{"schema":2,"event_id":"edge-1:0"}"#;
    let vfs = disk();
    append_lines(&vfs, &file(), &[DAMAGED, b"\n", newer, b"\n"].concat()).unwrap();
    let flaws = |vfs: &MemVfs| DeadLetters::open(vfs, Path::new(DIR), |_| ()).unwrap().flaws();
    assert_eq!(flaws(&vfs), 3);
    let reason = "ticket 4711".to_owned();
    let report = purge(&vfs, Selection::Damaged { reason }).unwrap();
    assert_eq!((report.damaged_purged, report.damaged_lines, report.open), (2, 1, LETTERS));
    let text = String::from_utf8(content(&vfs)).unwrap();
    assert!(text.contains(std::str::from_utf8(newer).unwrap()), "{text}");
    assert!(!text.lines().any(|it| it.as_bytes() == DAMAGED), "{text}");
    assert_eq!(text.matches(&blake3::hash(DAMAGED).to_string()).count(), 2, "{text}");
    assert_eq!(text.matches("ticket 4711").count(), 2, "{text}");
    // The same bytes again are new damage.
    append_lines(&vfs, &file(), &[DAMAGED, b"\n"].concat()).unwrap();
    let mut collector = Collector::default();
    assert_eq!(retry(&vfs, &mut collector).0.unwrap().damaged_lines, 2);
    assert_eq!(collector.accepted.len() as u64, LETTERS);
    assert!(String::from_utf8(content(&vfs)).unwrap().lines().any(|it| it.as_bytes() == DAMAGED));
}

#[test]
fn power_lost_while_damage_is_given_up_loses_no_letter_and_no_line_without_a_record() {
    at_every_crash(|vfs, crash| {
        let reason = || "x".to_owned();
        purge(vfs, Selection::Damaged { reason: reason() }).ok();
        purge(vfs, Selection::Events { event_ids: vec![event_id(2)], reason: reason() }).ok();
        crash(vfs);
        let bytes = content(vfs);
        let stands = bytes.split(|it| *it == b'\n').any(|it| it == DAMAGED);
        let told = String::from_utf8_lossy(&bytes).contains(&blake3::hash(DAMAGED).to_string());
        assert!(stands || told);
        let left = open(vfs);
        assert!((1..=LETTERS).all(|n| n == 2 || left.contains(&n)), "{left:?}");
    });
}

#[test]
fn what_is_purged_is_chosen_and_needs_to_be_there() {
    let vfs = disk();
    let reason = || "x".to_owned();
    let before = content(&vfs);
    let event_ids = vec![event_id(1), event_id(99)];
    let error = purge(&vfs, Selection::Events { event_ids, reason: reason() }).unwrap_err();
    let want = format!("purge failed: there is no open dead letter about event {}", event_id(99));
    assert_eq!(error.to_string(), want);
    assert_eq!(content(&vfs), before, "nothing is given up when one is not there");

    let time = "2026-01-02T03:04:05Z".parse().unwrap();
    let report = purge(&vfs, Selection::Before { time, reason: reason() }).unwrap();
    assert_eq!((report.purged, report.open), (0, LETTERS), "refused at that time, not before");
    let report = purge(&vfs, Selection::Delivered).unwrap();
    assert_eq!((report.purged, report.open), (0, LETTERS));
    assert_eq!(content(&vfs), before);
    let time = "2026-01-02T03:04:06Z".parse().unwrap();
    let report = purge(&vfs, Selection::Before { time, reason: reason() }).unwrap();
    assert_eq!((report.purged, report.open, report.damaged_lines), (LETTERS, 0, 1));
}

#[test]
fn a_directory_without_the_file_has_no_letters() {
    let vfs = MemVfs::default();
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    assert_eq!(open(&vfs), BTreeSet::new());
    let report = retry(&vfs, &mut Collector::default()).0.unwrap();
    assert_eq!(report.letters.to_string(), "retry complete: 0 events sent");
    assert_eq!(purge(&vfs, Selection::Delivered).unwrap(), PurgeReport::default());
    assert!(vfs.stat(&file()).unwrap().is_none(), "nothing is made where nothing is needed");
}

#[test]
fn a_torn_last_line_hides_nothing_and_the_next_line_stands_alone() {
    let vfs = disk();
    let torn = vfs.open(&file(), OpenMode::ReadWrite).unwrap();
    let end = torn.stat().unwrap().len;
    write_all_at(&*torn, b"{\"schema\":1,\"ev", end).unwrap();
    let (done, said) = retry(&vfs, &mut Collector::default());
    assert_eq!(done.unwrap().letters.accepted, LETTERS);
    assert!(said.iter().any(|it| it.starts_with("line 9: unreadable")), "{said:?}");
    let want = [DAMAGED, b"\n{\"schema\":1,\"ev\n"].concat();
    assert_eq!(content(&vfs), want);
}

/// The log of the old letters below: two entries, the first of which says who it is.
fn log(vfs: &MemVfs) {
    let opening = Opening {
        dir: DIR.into(),
        node: "edge-1".to_owned(),
        random: [7; 16],
        now: Timestamp::now(),
        overrides: Overrides::default(),
        durability: Durability::Chained,
        holder: String::new(),
    };
    let log = Log::start(recover(vfs, &opening).unwrap().writer).unwrap();
    let event = Event::new(Kind::Decision).with("n", 2);
    log.append(Submission::new(&event, opening.now).unwrap()).unwrap();
    log.close().unwrap();
}

fn old_letters(vfs: &MemVfs, numbers: &[u64], wal_id: WalId) {
    let mut lines = Vec::new();
    for n in numbers {
        let mut old = letter(*n);
        old.source.wal_id = wal_id;
        old.payload = None;
        old.write(&mut lines);
    }
    append_lines(vfs, &file(), &lines).unwrap();
}

#[test]
fn an_old_letter_is_sent_with_the_payload_from_the_live_log_or_it_says_why_not() {
    let vfs = MemVfs::default();
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    log(&vfs);
    let (ours, other) = (WalId::from_random([7; 16]), WalId::from_random([8; 16]));
    old_letters(&vfs, &[2, 77], ours);
    old_letters(&vfs, &[1], other);
    let mut collector = Collector::default();
    let (done, said) = retry(&vfs, &mut collector);
    let report = done.unwrap().letters;
    assert_eq!((report.accepted, report.without_payload), (1, 2));
    assert_eq!(collector.payloads, ["\"autonomy.decision\""]);
    let said = said.join("\n");
    for why in [
        format!("its log {other} is not the live one"),
        "the log does not hold that entry".to_owned(),
    ] {
        assert!(said.contains(&why), "{why}: {said}");
    }
    assert_eq!(open(&vfs), [1, 77].into(), "what could not be sent is still there");
    let again = retry(&vfs, &mut collector).0.unwrap().letters;
    assert_eq!((again.accepted, again.without_payload), (0, 2));
}

#[test]
fn an_old_letter_without_any_log_stays_and_says_so() {
    let vfs = MemVfs::default();
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    old_letters(&vfs, &[2], WalId::from_random([7; 16]));
    let (done, said) = retry(&vfs, &mut Collector::default());
    assert_eq!(done.unwrap().letters.without_payload, 1);
    assert!(said[0].contains("WAL_NOT_FOUND"), "{said:?}");
    assert_eq!(open(&vfs), [2].into());
}
