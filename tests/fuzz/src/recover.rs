//! Any directory: looked at, read, recovered, recovered again, appended to.
//!
//! | offset | size | field                                                                      |
//! |-------:|-----:|----------------------------------------------------------------------------|
//! |      0 |    1 | flags, below                                                                |
//! |      1 |    1 | length of `telemetry.safe_seq`; 0 is 8                                      |
//! |      2 |    2 | its number, little-endian                                                   |
//! |      4 |    2 | the number in `telemetry.pos`, little-endian                                |
//! |      6 |      | `telemetry.wal`                                                             |
//!
//! With [`RESEAL`] the chain values of the log are made right before it is used, or no change to a
//! chained log would ever get past the chain.

use std::collections::BTreeMap;

use vfs::MemVfs;
use wal_format::{Event, Kind, SafePoint, names};
use wal_recovery::{
    Decision, Durability, Overrides, ReadError, RecoverError, Recovered, Submission, Survey,
    SurveyError, Tail, Violation, recover, survey,
};

use crate::{
    disk::{self, DIR},
    json::{Json, judge},
    oracle,
};

const SAFE_POINT: u8 = 1;
const POSITION: u8 = 2;
const LEGACY_UPGRADE: u8 = 4;
const OPERATOR_RESET: u8 = 8;
const NO_LOG: u8 = 16;
const RESEAL: u8 = 32;
const CURSORS: u8 = 64;
const STRICT: u8 = 128;
const SUFFIX_LEN: usize = 76;

struct Input {
    files: BTreeMap<&'static str, Vec<u8>>,
    asked: Overrides,
    durability: Durability,
    safe: u64,
}

impl Input {
    fn read(bytes: &[u8]) -> Option<Self> {
        let ([flags, len, safe @ .., pos_low, pos_high], log) = bytes.split_first_chunk::<6>()?;
        let has = |flag| flags & flag != 0;
        let safe = u64::from(u16::from_le_bytes(*safe));
        let mut files = BTreeMap::new();
        if has(SAFE_POINT) {
            let mut content = safe.to_le_bytes().to_vec();
            content.resize(if *len == 0 { 8 } else { usize::from(*len) }, 0);
            files.insert(names::SAFE_SEQ, content);
        }
        if has(POSITION) {
            let position = u64::from(u16::from_le_bytes([*pos_low, *pos_high]));
            files.insert(names::POS, position.to_le_bytes().to_vec());
        }
        if has(CURSORS) {
            files.insert(names::CURSORS, b"{}".to_vec());
        }
        if !has(NO_LOG) {
            let log = if has(RESEAL) { reseal(log) } else { log.to_vec() };
            files.insert(names::WAL, log);
        }
        let asked =
            Overrides { legacy_upgrade: has(LEGACY_UPGRADE), operator_reset: has(OPERATOR_RESET) };
        let durability = if has(STRICT) { Durability::Strict } else { Durability::Chained };
        Some(Self { files, asked, durability, safe })
    }

    fn log(&self) -> &[u8] {
        self.files.get(names::WAL).map_or(&[], Vec::as_slice)
    }
}

/// Checks one directory.
pub fn check(bytes: &[u8]) {
    let Some(input) = Input::read(bytes) else { return };
    let disk = disk::make(&input.files);
    let before = disk::files(&disk);
    let looked = survey(&disk, DIR.as_ref(), input.asked);
    let read = disk::readable(&disk);
    assert!(disk.trace().is_empty(), "looking and reading change nothing");
    readers_agree(&input, &looked, read);

    let opening = disk::opening(input.asked, input.durability);
    match (looked, recover(&disk, &opening)) {
        (Ok(looked), Ok(recovered)) => accepted(&input, &disk, &looked, recovered),
        (Err(SurveyError::Violation(seen)), Err(RecoverError::Violation { violation, .. })) => {
            assert_eq!(seen, violation);
            assert_eq!(disk::files(&disk), before, "what is refused is not touched");
            let again = recover(&disk, &opening);
            assert!(
                matches!(&again, Err(RecoverError::Violation { violation: it, .. }) if *it == violation),
                "{again:?}"
            );
            assert_eq!(disk::files(&disk), before);
        }
        (looked, recovered) => panic!("{looked:?}, but {recovered:?}"),
    }
}

/// A reader gives out what the survey vouches for up to the safe point, and stops where it stops.
fn readers_agree(
    input: &Input,
    looked: &Result<Survey, SurveyError>,
    (entries, end): (Vec<Vec<u8>>, Option<ReadError>),
) {
    let frames = disk::frames(input.log());
    assert!(entries.len() as u64 <= input.safe, "nothing behind the safe point");
    assert!(entries.iter().zip(&frames).all(|(entry, frame)| *entry == frame[4..]));
    assert!(entries.len() <= frames.len());
    if !input.files.contains_key(names::SAFE_SEQ) {
        // Without a safe point nothing is committed, whatever an operator may ask for.
        let log = input.files.contains_key(names::WAL);
        let missing = matches!(&end, Some(ReadError::Violation(Violation::SafeSeqNotFound { .. })));
        let absent = matches!(&end, Some(ReadError::NotFound { .. }));
        assert!(entries.is_empty() && if log { missing } else { absent }, "{end:?}");
        return;
    }
    match (looked, end) {
        (Ok(_), end) => {
            assert!(end.is_none(), "{end:?}");
            assert_eq!(entries.len() as u64, input.safe);
        }
        (Err(SurveyError::Violation(seen)), Some(ReadError::Violation(found))) => {
            assert_eq!(*seen, found);
        }
        (looked, end) => panic!("{looked:?}, but the reader ended with {end:?}"),
    }
}

fn accepted(input: &Input, disk: &MemVfs, looked: &Survey, recovered: Recovered) {
    let Recovered { writer, report } = recovered;
    drop(writer);
    let kept = report.last.map_or(0, wal_format::Seq::get);
    let log = disk::read(disk, names::WAL).unwrap();
    let (old, new) = (disk::frames(input.log()), disk::frames(&log));
    let count = new.len() as u64;
    assert!(count == kept || count == kept + 1, "at most one entry of its own");
    assert!((1..).contains(&count), "a log of ours begins with a birth");
    let same = usize::try_from(kept).unwrap();
    assert_eq!(old[..same], new[..same], "what is kept is kept byte for byte");
    if looked.decision == Decision::AdoptAll {
        assert_eq!(same, old.len(), "every whole frame is adopted");
    } else {
        assert!(kept >= committed(input), "nothing up to the safe point is lost");
    }
    let cut = input.log().len() - old[..same].concat().len();
    assert_eq!(report.bytes_cut, cut as u64);
    check_log(&log, count);
    assert_eq!(disk::read(disk, names::SAFE_SEQ).unwrap(), count.to_le_bytes());
    let position = disk::read(disk, names::POS);
    if kept > 0 {
        assert_eq!(position.as_ref(), input.files.get(names::POS), "progress stays");
    } else {
        assert!(position.is_none_or(|it| it == [0; 8]), "no progress without entries");
    }
    stays_recovered(input, disk, &log, count);
}

fn committed(input: &Input) -> u64 {
    if input.files.contains_key(names::SAFE_SEQ) { input.safe } else { 0 }
}

/// A second start finds the same, a third finds what was appended meanwhile.
fn stays_recovered(input: &Input, disk: &MemVfs, log: &[u8], count: u64) {
    let opening = disk::opening(Overrides::default(), input.durability);
    let Recovered { mut writer, report } = recover(disk, &opening).unwrap();
    assert_eq!(report.last.map(wal_format::Seq::get), Some(count));
    assert_eq!((report.phantoms, report.bytes_cut, report.beyond_safe_point), (0, 0, 0));
    assert_eq!(disk::read(disk, names::WAL).as_deref(), Some(log));
    let (entries, end) = disk::readable(disk);
    assert!(end.is_none(), "{end:?}");
    assert!(entries.iter().map(Vec::as_slice).eq(disk::frames(log).iter().map(|it| &it[4..])));

    let event = Event::new(Kind::Action).with("id", 7);
    writer.commit(&[Submission::new(&event, disk::now()).unwrap()]).unwrap();
    drop(writer);
    let safe = disk::read(disk, names::SAFE_SEQ).unwrap();
    assert_eq!(SafePoint::from_bytes(&safe).unwrap().get(), count + 1);
    let appended = disk::read(disk, names::WAL).unwrap();
    assert!(appended.starts_with(log));
    check_log(&appended, count + 1);
    let survey = survey(disk, DIR.as_ref(), Overrides::default()).unwrap();
    let scanned = survey.scanned.unwrap();
    assert_eq!((scanned.tail, scanned.end), (Tail::Clean, appended.len() as u64));
    assert_eq!(scanned.last.map(wal_format::Seq::get), Some(count + 1));
}

/// The oracle, unless the log holds an entry of others that no `Value` can hold.
fn check_log(log: &[u8], count: u64) {
    let mut unusual = false;
    for frame in disk::frames(log) {
        match judge(&frame[4..]) {
            Json::Object(..) => {}
            Json::Unusual => unusual = true,
            other => panic!("an entry that was accepted is {other:?}"),
        }
    }
    if !unusual && !log.windows(15).any(|it| it == b"$serde_json::pr") {
        assert_eq!(oracle::parse(log).map(|it| it.len() as u64), Ok(count));
    }
}

/// Gives every frame that our writer could have written the chain value it would have.
fn reseal(log: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut previous: Option<[u8; 32]> = None;
    for frame in disk::frames(log) {
        let sealed = frame.len().checked_sub(SUFFIX_LEN).and_then(|at| {
            let (body, suffix) = frame.split_at(at);
            let is_sealed = suffix.starts_with(br#","chain":""#) && suffix.ends_with(br#""}"#);
            (at > 4 && is_sealed && is_ours(&frame[4..])).then_some(body)
        });
        match sealed {
            None => out.extend_from_slice(frame),
            Some(body) => {
                let start = previous.unwrap_or_else(|| *blake3::hash(&out).as_bytes());
                let value = *blake3::hash(&[&start, &body[4..]].concat()).as_bytes();
                out.extend_from_slice(body);
                let suffix = format!(r#","chain":"{}"}}"#, hex::encode(value));
                out.extend_from_slice(suffix.as_bytes());
                previous = Some(value);
            }
        }
    }
    out.extend_from_slice(&log[out.len()..]);
    out
}

/// Whether it is JSON that begins with its number and has no key twice.
fn is_ours(payload: &[u8]) -> bool {
    let Json::Object(value, members) = judge(payload) else { return false };
    let seq = value["seq"].as_u64().unwrap_or_default();
    value.as_object().is_some_and(|it| it.len() == members.len())
        && payload.starts_with(format!(r#"{{"seq":{seq},"#).as_bytes())
}
