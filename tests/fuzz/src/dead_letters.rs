//! Any collector: what it says never settles an entry without a record of it, and never loops.
//!
//! Each request is answered from the bytes: two bytes of status, one byte that chooses the content
//! type and the retry header, one byte of length, then the body. When the bytes are used up, the
//! collector is gone.
//!
//! The same bytes are read as a file of dead letters first: each line means one thing or nothing, and
//! a compaction of the file changes no answer.

use std::collections::BTreeSet;

use drain::{
    Answer, Config, Drain, Effect, Input, Letters, Line, OpenLetter, Progress, Request, Silence,
};
use otlp::{Encoding, Limits};
use wal_format::{Position, Seq, event_id};

use crate::{
    cursors::{now, wal_id},
    json::{Json, judge},
};

const NODE: &str = "edge-1";
const ENTRIES: u64 = 9;
/// More steps than any script of answers needs.
const STEPS_MAX: usize = 20_000;
const STATUSES: [u16; 8] = [200, 200, 200, 204, 400, 413, 429, 503];
const CONTENT_TYPES: [Option<&str>; 4] =
    [None, Some("application/json"), Some("application/x-protobuf"), Some("text/html")];

/// What stands in a line of each kind; `payload?` is one of two spellings.
const LINES: [(&str, &str); 6] = [
    ("letter", "class event_id node payload? refused_at schema seq text wal_id"),
    ("refused again", "attempts event_id refused_at schema text"),
    ("delivered", "delivered_at event_id schema"),
    ("purged", "event_id purged_at reason schema"),
    ("damage purged", "bytes damaged purged_at reason schema"),
    ("old letter", "class event_id refused_at seq text"),
];

/// What the files and the collector say has become of the entries.
#[derive(Default)]
struct Accounts {
    in_flight: Vec<u64>,
    /// How many of them the last answer refused, in so many words.
    refused: Option<u64>,
    /// Sent, and answered by something that may have been an acceptance.
    answered: BTreeSet<u64>,
    /// Refused for good, by a line.
    dead: BTreeSet<u64>,
}

/// Reads these bytes as a file, and drains one log with them as answers.
pub fn check(mut answers: &[u8]) {
    check_file(answers);
    let mut drain = new_drain(answers);
    let mut accounts = Accounts::default();
    let mut input = Input::Indexed;
    for _ in 0..STEPS_MAX {
        let step = drain.step(input, now());
        for notice in &step.notices {
            assert!(!notice.to_string().contains(char::is_control), "fit for a terminal");
        }
        input = match step.effect {
            Effect::Read(entries) => {
                Input::Read(entries.iter().map(|it| payload(it.seq.get())).collect())
            }
            Effect::Send(request) => accounts.send(&request, &mut answers),
            Effect::Wait(_) => Input::Waited,
            Effect::Finished(report) => {
                let dead = accounts.dead.len() as u64;
                assert_eq!(report.accepted.total() + dead, ENTRIES);
                assert_eq!(report.dead_lettered, dead);
                return;
            }
            Effect::Failed(failure, report) => {
                assert!(!failure.to_string().contains(char::is_control));
                assert!(report.pending.total() > 0, "it failed with nothing left to send");
                return;
            }
            write => accounts.write(&write),
        };
    }
    panic!("the machine goes round in circles");
}

fn new_drain(answers: &[u8]) -> Drain {
    let config = Config {
        batch_entries_max: 4.try_into().unwrap(),
        encoding: Encoding::ALL[usize::from(answers.first().is_some_and(|it| it & 1 == 1))],
        retries_max: 2,
        ..Config::standard(NODE.to_owned(), wal_id(), 1)
    };
    let mut drain = Drain::new(config, Progress::load(wal_id(), None, None).unwrap());
    for n in 1..=ENTRIES {
        drain.index(Seq::new(n).unwrap(), n, &payload(n)).unwrap();
    }
    drain
}

impl Accounts {
    fn send(&mut self, request: &Request, answers: &mut &[u8]) -> Input {
        self.in_flight = numbers(&request.body, request.encoding);
        let input = next_answer(answers);
        self.refused = None;
        if let Input::Answered(Answer { status: 200..=299, content_type, body, .. }) = &input {
            self.answered.extend(&self.in_flight);
            let encoding =
                content_type.as_deref().map_or(Some(request.encoding), Encoding::from_content_type);
            let partial = encoding.and_then(|it| otlp::decode_response(body, it).ok().flatten());
            self.refused = partial.map(|it| it.rejected);
        }
        input
    }

    fn write(&mut self, effect: &Effect) -> Input {
        match effect {
            Effect::AppendDeadLetters(lines) => {
                assert_eq!(self.refused, Some(self.in_flight.len() as u64), "all of them");
                let refused = refused(lines);
                assert_eq!(refused, self.in_flight);
                self.dead.extend(refused);
            }
            Effect::WriteCursors(bytes) => {
                let progress = Progress::load(wal_id(), Some(bytes), None).unwrap();
                progress.check(Seq::new(ENTRIES)).unwrap();
            }
            Effect::WritePosition(bytes) => {
                for n in 1..=Position::from_bytes(bytes).unwrap().get() {
                    let known = self.answered.contains(&n) || self.dead.contains(&n);
                    assert!(known, "{n} settled in silence");
                }
            }
            other => panic!("{other:?} writes nothing"),
        }
        Input::Written
    }
}

fn payload(n: u64) -> Vec<u8> {
    let kind = ["error", "decision", "action", "lifecycle"][usize::try_from(n % 4).unwrap()];
    format!(r#"{{"seq":{n},"written_at":"2026-01-02T03:04:05Z","event":{{"kind":"autonomy.{kind}","attrs":{{"n":{n}}}}}}}"#)
        .into_bytes()
}

fn numbers(body: &[u8], encoding: Encoding) -> Vec<u64> {
    let groups = otlp::decode(body, encoding, &Limits::STANDARD).unwrap();
    let records = groups.iter().flat_map(|it| &it.records);
    records.map(|it| it.attributes["wal.seq"].as_u64().unwrap()).collect()
}

fn next_answer(answers: &mut &[u8]) -> Input {
    let Some(([low, high, choice, len], rest)) = answers.split_first_chunk::<4>() else {
        return Input::Unanswered(Silence::ConnectionRefused);
    };
    let (body, rest) = rest.split_at(rest.len().min(usize::from(*len)));
    *answers = rest;
    // Half of the answers have a status that means something.
    let status = match high {
        0..=127 => STATUSES[usize::from(low % 8)],
        _ => u16::from_le_bytes([*low, *high]),
    };
    let retry_after = (choice & 4 == 4).then(|| String::from_utf8_lossy(body).into_owned());
    let content_type = CONTENT_TYPES[usize::from(choice % 4)].map(str::to_owned);
    Input::Answered(Answer { status, retry_after, content_type, body: body.to_vec() })
}

/// The numbers in these lines, each a letter with the payload of its entry.
fn refused(lines: &[u8]) -> Vec<u64> {
    let lines = lines.strip_suffix(b"\n").expect("each line has its end");
    let lines = lines.split(|it| *it == b'\n');
    let number = |line: &[u8]| {
        let Ok(Line::Letter(letter)) = Line::parse(line) else { panic!("no letter") };
        let n = letter.seq.get();
        assert_eq!(letter.event_id(), event_id(NODE, wal_id(), letter.seq));
        assert_eq!(letter.payload, Some(payload(n)));
        assert!(!letter.text.contains(char::is_control) && letter.text.chars().count() <= 1000);
        n
    };
    lines.map(number).collect()
}

/// The letters that are open are the same when only the lines that a compaction keeps are left (N2).
fn check_file(bytes: &[u8]) {
    let mut end = 0;
    let lines = bytes.split_inclusive(|it| *it == b'\n').map(|it| {
        end += it.len() as u64;
        (end - it.len() as u64, it.strip_suffix(b"\n").unwrap_or(it))
    });
    let lines: Vec<(u64, &[u8])> = lines.collect();
    let (mut all, mut kept) = (Letters::default(), Letters::default());
    for (offset, line) in &lines {
        check_line(line);
        assert_eq!(all.add(*offset, line).err(), Line::parse(line).err());
    }
    for (offset, line) in lines.iter().filter(|(offset, line)| all.keeps(*offset, line)) {
        // What means nothing is kept, and still means nothing.
        assert_eq!(kept.add(*offset, line).err(), Line::parse(line).err());
    }
    let open = |letters: &Letters| -> Vec<_> {
        let what = |it: &OpenLetter| {
            let source = letters.source(it).cloned();
            (source, it.place, it.update, it.seq, it.class, it.attempts, it.refused_at)
        };
        letters.open().iter().map(what).collect()
    };
    assert_eq!(open(&all), open(&kept), "N2");
}

/// F1 and F2.
fn check_line(bytes: &[u8]) {
    let Ok(line) = Line::parse(bytes) else { return };
    let mut again = Vec::new();
    line.write(&mut again);
    let again = again.strip_suffix(b"\n").expect("a line has its end");
    assert!(!again.contains(&b'\n'));
    assert_eq!(Line::parse(again).as_ref(), Ok(&line), "F1");
    // What a `Value` cannot hold can only stand behind a key that is not known.
    let (value, members) = match judge(bytes) {
        Json::Object(value, members) => (value, members),
        Json::Unusual => return,
        other => panic!("{line:?} from {other:?}"),
    };
    assert_eq!(value["event_id"].as_str().unwrap_or_default(), &*line.event_id());
    let known = |it: &str| LINES.iter().any(|(_, keys)| keys.split(' ').any(|key| key == it));
    let mut keys: Vec<&str> = members
        .iter()
        // A key that says nothing is as good as one that is not there.
        .filter(|(key, value)| !(value.is_null() || key == "event_id" && *value == ""))
        .map(|(key, _)| if matches!(&**key, "payload" | "payload_hex") { "payload?" } else { key })
        .filter(|it| known(it))
        .collect();
    keys.sort_unstable();
    let kind = match &line {
        Line::Letter(it) if it.payload.is_none() => "old letter",
        Line::Letter(_) => "letter",
        Line::RefusedAgain { .. } => "refused again",
        Line::Delivered { .. } => "delivered",
        Line::Purged { .. } => "purged",
        Line::DamagePurged { .. } => "damage purged",
    };
    assert!(LINES.contains(&(kind, &keys.join(" "))), "F2: {kind} with {keys:?}");
}
