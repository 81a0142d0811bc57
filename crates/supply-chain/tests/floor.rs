//! The rollback floor: every row of its table, and histories of releases.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use supply_chain::{
    Digest, Floor, Grounds, Nonce, Permit, PermitContent, Release, Rollback, SigningKey, decide,
};

const DAY: i64 = 24 * 3600;

fn day(day: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + day * DAY).unwrap()
}

fn release(counter: u64, name: u8) -> Release {
    Release { counter, fingerprint: Digest::blake3(&[name]) }
}

/// A permit for a release, made on the day 0 for ten days.
fn permit(release: Release, nonce: u8) -> Permit {
    let key = SigningKey::generate([7; 32]);
    let content = PermitContent {
        node: "edge-1".to_owned(),
        lock_fingerprint: release.fingerprint,
        release_counter: release.counter,
        reason: "test".to_owned(),
        nonce: Nonce::new([nonce; 16]),
        created_at: day(0),
        expires_at: day(10),
    };
    let bytes = content.sign(&key).unwrap();
    Permit::check(&bytes, &[key.public().clone()], "edge-1", day(0)).unwrap()
}

fn floor(highest: u64, name: u8) -> Floor {
    Floor::after(None, release(highest, name), Grounds::First, day(0))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Offered {
    Nothing,
    Fitting,
    FittingUsed,
    FittingForgotten,
    OtherCounter,
    OtherFingerprint,
}

/// Every combination of counter, fingerprint, active lock, and permit, against the table.
#[test]
fn every_row_of_the_table_is_what_is_decided() {
    use Offered as O;
    let mut rows = BTreeMap::<char, u32>::new();
    let offers = [
        O::Nothing,
        O::Fitting,
        O::FittingUsed,
        O::FittingForgotten,
        O::OtherCounter,
        O::OtherFingerprint,
    ];
    let (counters, actives) = ([0, 4, 5, 6, u64::MAX], [None, Some(false), Some(true)]);
    let cases = (0..2 * 5 * 2 * 3 * 6).map(|case: usize| {
        let (has_floor, same, rest) = (case % 2 == 1, case / 2 % 2 == 1, case / 4);
        let (counter, active) = (counters[rest % 5], actives[rest / 5 % 3]);
        check_one(has_floor, counter, same, active, offers[rest / 15])
    });
    for row in cases {
        *rows.entry(row).or_default() += 1;
    }
    assert_eq!(rows.keys().collect::<String>(), "ABCDEFGHI");
    assert_eq!(rows.values().sum::<u32>(), 2 * 5 * 2 * 3 * 6);
}

fn check_one(
    has_floor: bool,
    counter: u64,
    same: bool,
    active: Option<bool>,
    offer: Offered,
) -> char {
    use Offered as O;
    let mut floor = floor(5, 1);
    let candidate = release(counter, if same { 1 } else { 2 });
    let active = active.map(|it| if it { candidate.fingerprint } else { Digest::blake3(b"x") });
    let given = match offer {
        O::Nothing => None,
        O::OtherCounter => Some(permit(release(counter ^ 1, if same { 1 } else { 2 }), 9)),
        O::OtherFingerprint => Some(permit(release(counter, 3), 9)),
        _ => Some(permit(candidate, 9)),
    };
    match offer {
        O::FittingUsed => drop(floor.used.insert(Nonce::new([9; 16]), day(10))),
        O::FittingForgotten => floor.forgotten = Some(day(10)),
        _ => {}
    }
    let is_active = active == Some(candidate.fingerprint);
    // The table, written down a second time.
    let row = match (has_floor, counter, same, is_active, offer) {
        (false, ..) => 'A',
        (true, 6.., ..) => 'B',
        (true, 5, true, ..) => 'C',
        (true, 5, false, ..) => 'D',
        (true, _, _, true, _) => 'E',
        (true, _, _, false, O::Fitting) => 'F',
        (true, _, _, false, O::FittingUsed | O::FittingForgotten) => 'G',
        (true, _, _, false, O::OtherCounter | O::OtherFingerprint) => 'H',
        (true, _, _, false, O::Nothing) => 'I',
    };
    let found = decide(candidate, has_floor.then_some(&floor), active, given.as_ref());
    let fits = match row {
        'A' => found == Ok(Grounds::First),
        'B' => found == Ok(Grounds::Newer),
        'C' => found == Ok(Grounds::Highest),
        'D' => matches!(found, Err(Rollback::SameCounter { counter: 5, .. })),
        'E' => found == Ok(Grounds::Restart),
        'F' => {
            let (nonce, expires_at) = (Nonce::new([9; 16]), day(10));
            found == Ok(Grounds::Permitted { nonce, expires_at })
        }
        'G' => matches!(found, Err(Rollback::PermitUsed { highest: 5, .. })),
        'H' => matches!(found, Err(Rollback::PermitOther { highest: 5, .. })),
        _ => found == Err(Rollback::Lower { counter, highest: 5 }),
    };
    assert!(fits, "{row}: {has_floor} {counter} {same} {active:?} {offer:?}: {found:?}");
    row
}

#[test]
fn a_downgrade_takes_a_permit_once_and_restarts_without() {
    let (old, new) = (release(3, 3), release(5, 5));
    let mut at = floor(5, 5);
    let given = permit(old, 1);
    let grounds = decide(old, Some(&at), Some(new.fingerprint), Some(&given)).unwrap();
    at = Floor::after(Some(&at), old, grounds, day(1));
    assert_eq!((at.highest, at.fingerprint_at_highest), (5, new.fingerprint)); // R1
    // It starts again as often as it likes, and may go up again.
    assert_eq!(decide(old, Some(&at), Some(old.fingerprint), None), Ok(Grounds::Restart));
    let grounds = decide(new, Some(&at), Some(old.fingerprint), None).unwrap();
    assert_eq!(grounds, Grounds::Highest);
    at = Floor::after(Some(&at), new, grounds, day(2));
    // But not down again with the same permit (R2).
    let error = decide(old, Some(&at), Some(new.fingerprint), Some(&given)).unwrap_err();
    assert!(matches!(error, Rollback::PermitUsed { .. }));
    assert!(decide(old, Some(&at), Some(new.fingerprint), Some(&permit(old, 2))).is_ok());
}

#[test]
fn a_used_permit_stays_used_when_the_clock_is_set_back() {
    let old = release(3, 3);
    let given = permit(old, 1);
    let grounds = decide(old, Some(&floor(5, 5)), None, Some(&given)).unwrap();
    let at = Floor::after(Some(&floor(5, 5)), old, grounds, day(1));
    assert_eq!(at.used.len(), 1);
    // Much later it is forgotten, so that the list does not grow for ever.
    let at = Floor::after(Some(&at), release(6, 6), Grounds::Newer, day(400));
    assert_eq!((at.used.len(), at.forgotten), (0, Some(day(10))));
    // Whoever sets the clock back to day 1 can check the permit again, but not use it (R2).
    let error = decide(old, Some(&at), None, Some(&given)).unwrap_err();
    assert!(matches!(error, Rollback::PermitUsed { .. }));
}

#[test]
fn a_floor_is_kept_as_json_and_read_again() {
    let old = release(3, 3);
    let grounds = decide(old, Some(&floor(5, 5)), None, Some(&permit(old, 1))).unwrap();
    let at = Floor::after(Some(&floor(5, 5)), old, grounds, day(1));
    let text = serde_json::to_string(&at).unwrap();
    assert!(text.contains(&format!("\"used\":{{\"{}\":", "01".repeat(16))), "{text}");
    assert_eq!(serde_json::from_str::<Floor>(&text).unwrap(), at);
    assert!(serde_json::from_str::<Floor>(&text.replace("\"used\"", "\"usee\"")).is_err());
}

#[derive(Clone, Debug)]
struct Step {
    counter: u64,
    name: u8,
    nonce: Option<u8>,
    days: i64,
}

fn steps() -> impl Strategy<Value = Step> {
    (0_u64..6, 0_u8..3, prop::option::of(0_u8..3), -3_i64..4)
        .prop_map(|(counter, name, nonce, days)| Step { counter, name, nonce, days })
}

proptest! {
    /// The model remembers everything: all that was activated, and all permits that were used.
    #[test]
    fn no_history_goes_down_without_a_permit_of_its_own(history in prop::collection::vec(steps(), 1..30)) {
        let (mut floor, mut active, mut now) = (None::<Floor>, None::<Release>, day(0));
        let (mut activated, mut used) = (Vec::<Release>::new(), Vec::<(u8, Release)>::new());
        for step in history {
            now = now.checked_add(SignedDuration::from_hours(24 * step.days)).unwrap();
            let candidate = release(step.counter, step.name);
            // A node checks a permit before it uses it.
            let offered = step.nonce.filter(|_| now < day(10) && now >= day(0));
            let given = offered.map(|it| permit(candidate, it));
            let fingerprint = active.map(|it| it.fingerprint);
            let Ok(grounds) = decide(candidate, floor.as_ref(), fingerprint, given.as_ref()) else {
                continue;
            };
            let highest = activated.iter().map(|it| it.counter).max();
            if let Some(highest) = highest.filter(|it| candidate.counter < *it) {
                let restart = fingerprint == Some(candidate.fingerprint);
                prop_assert!(restart || offered.is_some(), "{highest}");
            }
            if let Grounds::Permitted { .. } = grounds {
                let nonce = offered.unwrap();
                prop_assert!(!used.iter().any(|(it, _)| *it == nonce), "used twice");
                used.push((nonce, candidate));
            }
            // R3: at the highest number there is one release.
            if highest == Some(candidate.counter) {
                let same = |it: &&Release| it.counter == candidate.counter;
                prop_assert!(activated.iter().filter(same).any(|it| it.fingerprint == candidate.fingerprint));
            }
            floor = Some(Floor::after(floor.as_ref(), candidate, grounds, now));
            active = Some(candidate);
            activated.push(candidate);
            let kept = floor.as_ref().unwrap();
            prop_assert_eq!(Some(kept.highest), activated.iter().map(|it| it.counter).max()); // R1
        }
    }
}
