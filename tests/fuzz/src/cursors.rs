//! The progress files of a drain: exact, or refused; and what is sent is what they leave open.
//!
//! | offset | size | field                                                                       |
//! |-------:|-----:|-----------------------------------------------------------------------------|
//! |      0 |    1 | entries in the log, modulo [`ENTRIES_MAX`]; bit 7: no `telemetry.cursors`     |
//! |      1 |    1 | `n`: length of `telemetry.pos` plus 1, modulo 16; 0: no such file             |
//! |      2 |  n-1 | `telemetry.pos`                                                              |
//! |        |      | `telemetry.cursors`                                                          |

use drain::{Class, Config, Drain, Effect, Failure, Input, Progress, ProgressError};
use jiff::Timestamp;
use wal_format::{Kind, Position, Seq, WalId};

const ENTRIES_MAX: u8 = 24;
/// One kind of each class, and one of no class.
const KINDS: [&str; 5] =
    ["autonomy.error", "autonomy.decision", "autonomy.action", "autonomy.lifecycle", "robot.pose"];

pub fn wal_id() -> WalId {
    WalId::from_random([7; 16])
}

pub fn now() -> Timestamp {
    "2026-01-02T03:04:06Z".parse().unwrap()
}

/// Checks one pair of files.
pub fn check(bytes: &[u8]) {
    let Some(([head, len], rest)) = bytes.split_first_chunk::<2>() else { return };
    let len = usize::from(len % 16);
    let Some((position, cursors)) = rest.split_at_checked(len.saturating_sub(1)) else { return };
    let position = (len > 0).then_some(position);
    let cursors = (head & 128 == 0).then_some(cursors);
    if let Some(cursors) = cursors {
        cursors_alone(cursors);
    }
    let progress = match Progress::load(wal_id(), cursors, position) {
        Ok(progress) => progress,
        Err(error) => {
            assert!(ProgressError::CODES.contains(&error.code()));
            assert!(error.to_string().starts_with(error.code()));
            return;
        }
    };
    let want = position.map_or(Position::default(), |it| Position::from_bytes(it).unwrap());
    assert_eq!(progress.position(), want);
    let settled = |seq: Seq, class| progress.is_settled(seq, class);
    for class in Class::ALL {
        let cursor = *progress.cursors().get(class);
        assert!(cursor >= want.last(), "D2");
        if let Some(cursor) = cursor {
            assert!(settled(cursor, class) && !cursor.next().is_some_and(|it| settled(it, class)));
        }
    }
    drain_the_rest(progress, u64::from(head % ENTRIES_MAX));
}

/// K1: what is accepted is what would be written, by an encoder of our own.
fn cursors_alone(bytes: &[u8]) {
    let Ok(progress) = Progress::load(wal_id(), Some(bytes), None) else { return };
    let owner = progress.cursors_of_other_log().unwrap_or(wal_id());
    let text = std::str::from_utf8(bytes).unwrap();
    let (body, check) = text.split_once(",\"check\":\"").unwrap();
    assert_eq!(check, format!("{}\"}}\n", blake3::hash(body.as_bytes()).to_hex()));
    assert!(body.starts_with(&format!(r#"{{"schema":1,"wal_id":"{owner}","accepted":{{"#)));
    if owner == wal_id() {
        let accepted: Vec<String> = Class::ALL
            .into_iter()
            .filter_map(|it| Some(format!(r#""{it}":{}"#, (*progress.cursors().get(it))?)))
            .collect();
        assert!(body.ends_with(&format!(r#""accepted":{{{}}}"#, accepted.join(","))));
    } else {
        assert_eq!(*progress.cursors(), drain::PerClass::default(), "another log's do not count");
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (at % 8);
        assert!(Progress::load(wal_id(), Some(&flipped), None).is_err(), "byte {at}");
    }
}

/// The machine asks for exactly the entries that are not settled, the most urgent first.
fn drain_the_rest(progress: Progress, count: u64) {
    let beyond = progress.check(Seq::new(count));
    let config = Config { max_age: None, ..Config::standard("edge-1".to_owned(), wal_id(), 1) };
    let mut drain = Drain::new(config, progress);
    let mut open = Vec::new();
    for n in 1..=count {
        let seq = Seq::new(n).unwrap();
        let kind = KINDS[usize::try_from(n % 5).unwrap()];
        let payload = format!(r#"{{"seq":{n},"event":{{"kind":"{kind}"}}}}"#);
        drain.index(seq, n * 1000, payload.as_bytes()).unwrap();
        let class = Class::of(&Kind::parse(kind));
        if !progress.is_settled(seq, class) {
            open.push((class, n));
        }
    }
    open.sort_unstable();
    let mut effect = drain.step(Input::Indexed, now()).effect;
    // The files may lag behind each other; what they say together is written first.
    while matches!(effect, Effect::WriteCursors(_) | Effect::WritePosition(_)) {
        effect = drain.step(Input::Written, now()).effect;
    }
    match (effect, beyond) {
        (Effect::Failed(failure, _), Err(error)) => {
            assert!(matches!(failure, Failure::Progress(it) if it == error));
        }
        (Effect::Read(entries), Ok(())) => {
            let asked: Vec<u64> = entries.iter().map(|it| it.seq.get()).collect();
            let want: Vec<u64> = open.iter().map(|(_, n)| *n).collect();
            assert_eq!(asked, want);
        }
        (Effect::Finished(_), Ok(())) => assert!(open.is_empty()),
        (effect, beyond) => panic!("{effect:?} after {beyond:?}"),
    }
}
