use wal_format::{Event, Kind, Origin, encode_entry};

use super::*;

fn seq(raw: u64) -> Option<Seq> {
    Seq::new(raw)
}

/// A payload with a chain that continues from `previous`.
fn chained(number: u64, previous: Chain, event: &Event) -> (Vec<u8>, Chain) {
    let mut frame = Vec::new();
    let at = jiff::Timestamp::UNIX_EPOCH;
    let number = seq(number).unwrap();
    let chain = encode_entry(number, at, &event.to_json(), previous, &mut frame).unwrap();
    (frame.split_off(wal_format::HEADER_LEN), chain)
}

fn foreign(number: u64) -> Vec<u8> {
    format!(r#"{{"seq":{number},"event":{{}}}}"#).into_bytes()
}

fn scanner(safe: u64) -> Scanner {
    Scanner::new(Trust::UpTo(SafePoint::at(seq(safe))))
}

#[test]
fn a_log_names_itself_by_its_birth() {
    let wal_id = WalId::from_random([3; 16]);
    let birth = Birth { wal_id, node: "n".to_owned(), origin: Origin::FirstRun, previous: None };
    let mut scanner = scanner(1);
    let (payload, _) = chained(1, Chain::before(b""), &birth.to_event());
    assert_eq!(scanner.frame(0, &payload), Ok(Verdict::Holds(Seq::FIRST)));
    assert_eq!(scanner.identity(), Some(&Identity { wal_id, birth: Some(birth) }));
}

#[test]
fn a_foreign_log_has_one_id_before_and_after_its_adoption() {
    let mut scanner = scanner(2);
    let payload = foreign(1);
    scanner.frame(0, &payload).unwrap();
    let wal_id = WalId::of_foreign_log(&payload);
    assert_eq!(scanner.identity(), Some(&Identity { wal_id, birth: None }));

    let mut whole = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
    whole.extend_from_slice(&payload);
    let birth = Birth { wal_id, node: "n".to_owned(), origin: Origin::Adopted, previous: None };
    let (payload, _) = chained(2, Chain::before(&whole), &birth.to_event());
    scanner.frame(whole.len() as u64, &payload).unwrap();
    assert_eq!(scanner.identity(), Some(&Identity { wal_id, birth: Some(birth) }));
}

#[test]
fn a_birth_without_a_chain_has_lost_it() {
    let birth = Birth {
        wal_id: WalId::from_random([3; 16]),
        node: "n".to_owned(),
        origin: Origin::FirstRun,
        previous: None,
    };
    let event = String::from_utf8(birth.to_event().to_json()).unwrap();
    let payload = format!(r#"{{"seq":1,"event":{event}}}"#).into_bytes();
    let damage = Violation::CorruptChain { seq: Seq::FIRST, offset: 0 };
    assert_eq!(scanner(1).frame(0, &payload), Err(damage));
}

#[test]
fn a_log_with_a_chain_and_no_birth_is_nobodys() {
    let nobodys = Event::new(Kind::Lifecycle).with("event", "wal.created").with("node", "n");
    for event in [Event::new(Kind::Action), nobodys] {
        let (first, _) = chained(1, Chain::before(b""), &event);
        let damage = Violation::CorruptChain { seq: Seq::FIRST, offset: 0 };
        assert_eq!(scanner(1).frame(0, &first), Err(damage));
        assert_eq!(scanner(0).frame(0, &first), Ok(Verdict::Phantom));
        assert!(!scanner(1).continues(Seq::FIRST, &first));
    }
}

#[test]
fn json_is_reported_before_the_number_and_the_number_before_the_chain() {
    let mut it = scanner(9);
    let wal_id = WalId::from_random([3; 16]);
    let birth = Birth { wal_id, node: "n".to_owned(), origin: Origin::FirstRun, previous: None };
    let (good, chain) = chained(1, Chain::before(b""), &birth.to_event());
    it.frame(0, &good).unwrap();
    let (mut bad, _) = chained(3, Chain::before(b"elsewhere"), &Event::new(Kind::Action));
    assert!(matches!(it.frame(9, &bad), Err(Violation::SeqGap { found: 3, .. })));
    bad[0] = b'[';
    assert!(matches!(it.frame(9, &bad), Err(Violation::InvalidJson { .. })));
    let (bad, _) = chained(2, Chain::before(b"elsewhere"), &Event::new(Kind::Action));
    assert!(matches!(it.frame(9, &bad), Err(Violation::CorruptChain { .. })));
    let (good, _) = chained(2, chain, &Event::new(Kind::Action));
    assert_eq!(it.frame(9, &good), Ok(Verdict::Holds(seq(2).unwrap())));
}

#[test]
fn only_a_chain_speaks_for_a_frame_behind_the_safe_point() {
    let mut it = scanner(1);
    let first = foreign(1);
    it.frame(0, &first).unwrap();
    assert_eq!(it.frame(9, &foreign(2)), Ok(Verdict::Phantom));
    let mut trusting = Scanner::new(Trust::AllWhole);
    trusting.frame(0, &first).unwrap();
    assert_eq!(trusting.frame(9, &foreign(2)), Ok(Verdict::Holds(seq(2).unwrap())));
}
