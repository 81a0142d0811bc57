//! Faults that drains are known for, by name.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod rig;

use drain::{Drain, Effect, Failure, Input, Line, Progress, ProgressError};
use proptest::prelude::*;
use rig::{Collector, Disk, Log};
use wal_format::Position;

/// The lines of the tutorial, with three outcomes of tools among the decisions.
#[test]
fn the_drain_of_the_tutorial_says_what_the_tutorial_shows() {
    let log = Log::of(&[1, 2, 1, 2, 1, 2, 1, 1]);
    let (mut disk, mut collector) = (Disk::default(), Collector::default());
    let (report, said) = rig::run(&log, &mut disk, &mut collector, rig::config(512));
    let said: Vec<_> = said.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "[drain] priority queue: 8 events (0 errors, 5 decisions, 3 actions, 0 lifecycle)",
            "[drain] sending batch 1 (8 events)...",
            "[drain] batch 1 accepted: 8 events",
        ]
    );
    assert_eq!(report.to_string(), "drain complete: 8 events sent");
    let (report, said) = rig::run(&log, &mut disk, &mut collector, rig::config(512));
    assert_eq!(said, []);
    assert_eq!(report.to_string(), "drain complete: 0 events sent");
}

/// The position moves only behind what is settled, although decisions leave before it.
#[test]
fn a_position_that_runs_ahead_of_a_lower_class() {
    let log = Log::of(&[3, 1, 1, 3]);
    let mut disk = Disk::default();
    let mut drain = Drain::new(rig::config(2), disk.progress());
    log.feed(&mut drain, 0);
    let mut collector = Collector::default();
    let mut input = Input::Indexed;
    let mut positions = Vec::new();
    for _ in 0..rig::STEPS_MAX {
        input = match drain.step(input, rig::now()).effect {
            Effect::Finished(_) => break,
            Effect::Read(entries) => Input::Read(log.read(&entries)),
            Effect::Send(request) => collector.answer(&request, rig::Mood::Good),
            other => {
                let position = matches!(other, Effect::WritePosition(_));
                let input = rig::write(other, &mut disk);
                positions.extend(position.then(|| disk.position()));
                input
            }
        };
    }
    assert_eq!(collector.requests, [[2, 3], [1, 4]]);
    assert_eq!(positions, [4], "it does not move while entry 1 waits");
}

/// A crash after the cursors and before the position: nothing is sent again, and the position is
/// caught up by the next pass.
#[test]
fn a_position_left_behind_by_a_crash() {
    let log = Log::of(&[0, 1, 2]);
    let (mut disk, mut collector) = (Disk::default(), Collector::default());
    rig::run(&log, &mut disk, &mut collector, rig::config(9));
    disk.position = None;
    let (report, said) = rig::run(&log, &mut disk, &mut collector, rig::config(9));
    assert_eq!((report.queued, said), (0, vec![]));
    assert_eq!(disk.position(), 3);
    assert_eq!(collector.requests.len(), 1);
}

#[test]
fn one_poisoned_entry_does_not_hold_up_the_others() {
    let log = Log::of(&[1; 20]);
    let mut disk = Disk::default();
    let mut collector = Collector { poison: [7, 19].into(), ..Collector::default() };
    let (report, said) = rig::run(&log, &mut disk, &mut collector, rig::config(20));
    assert_eq!((report.accepted.total(), report.dead_lettered), (18, 2));
    assert_eq!(disk.dead(), [7, 19].into());
    let last = said.last().unwrap().to_string();
    assert_eq!(last, "[drain] batch 1 accepted: 18 events, 2 refused");
    let first = disk.dead_letters.split(|it| *it == b'\n').next().unwrap();
    match Line::parse(first).unwrap() {
        Line::Letter(letter) => {
            assert_eq!(letter.payload.as_ref(), Some(&log.payloads[6]), "byte for byte");
            assert_eq!((letter.event_id(), &*letter.text), (rig::event_id(7), "poison"));
        }
        other => panic!("{other:?}"),
    }
}

/// The next batches are as small as the collector wants them, without a 413 for each.
#[test]
fn a_collector_that_takes_only_small_requests() {
    let log = Log::of(&[1; 64]);
    let mut disk = Disk::default();
    let mut collector = Collector { records_max: 5, ..Collector::default() };
    let (report, _) = rig::run(&log, &mut disk, &mut collector, rig::config(16));
    assert_eq!(report.accepted.total(), 64);
    let too_large = collector.requests.iter().filter(|it| it.len() > 5).count();
    assert!(too_large <= 4, "{too_large} requests were refused");
}

#[test]
fn an_entry_too_large_for_the_collector_stops_with_its_id() {
    let log = Log::of(&[1, 1]);
    let mut drain = Drain::new(rig::config(1), Disk::default().progress());
    log.feed(&mut drain, 0);
    drain.step(Input::Indexed, rig::now());
    drain.step(Input::Read(vec![log.payloads[0].clone()]), rig::now());
    match drain.step(rig::status_only(413), rig::now()).effect {
        Effect::Failed(failure @ Failure::TooLarge { .. }, report) => {
            let want = format!(
                "event {} of {} bytes is too large for the collector: HTTP 413",
                rig::event_id(1),
                log.payloads[0].len()
            );
            assert_eq!(failure.to_string(), want);
            assert_eq!(report.pending.total(), 2);
        }
        other => panic!("{other:?}"),
    }
}

/// An archived log leaves its place to a new one whose entries stand at the same offsets.
#[test]
fn a_log_replaced_between_index_and_read_is_not_sent_under_the_wrong_ids() {
    let log = Log::of(&[1, 1]);
    let longer = {
        let mut it = log.payloads[0].clone();
        it.push(b' ');
        it
    };
    for payloads in [
        vec![log.payloads[1].clone(), log.payloads[0].clone()],
        vec![log.payloads[0].clone()],
        vec![longer, log.payloads[1].clone()],
        vec![b"x".repeat(log.payloads[0].len()), log.payloads[1].clone()],
        vec![],
    ] {
        let mut drain = Drain::new(rig::config(2), Disk::default().progress());
        log.feed(&mut drain, 0);
        drain.step(Input::Indexed, rig::now());
        let effect = drain.step(Input::Read(payloads), rig::now()).effect;
        let changed = matches!(effect, Effect::Failed(Failure::LogChanged { .. }, _));
        assert!(changed, "{effect:?}");
    }
}

#[test]
fn entries_left_out_of_the_index_are_noticed() {
    let log = Log::of(&[1; 5]);
    let mut drain = Drain::new(rig::config(2), Disk::default().progress());
    let error = drain.index(rig::seq(2), 0, &log.payloads[1]).unwrap_err();
    assert_eq!(error.to_string(), "entry 2 was indexed where 1 was due");
    log.feed(&mut drain, 0);
    for n in [5, 7] {
        let error = drain.index(rig::seq(n), 0, &log.payloads[0]).unwrap_err();
        assert_eq!((error.expected, error.found.get()), (6, n));
    }

    let disk = Disk { position: Some(3_u64.to_le_bytes().to_vec()), ..Disk::default() };
    let mut drain = Drain::new(rig::config(2), disk.progress());
    assert!(drain.index(rig::seq(4), 0, &log.payloads[3]).is_err(), "the last settled one is due");
    log.feed(&mut drain, 2);
    assert_eq!(drain.report().queued, 2);
}

/// The log lost its tail, or the files are of another copy: what comes next would be skipped.
#[test]
fn progress_beyond_the_end_of_the_log_is_refused() {
    let log = Log::of(&[1; 5]);
    let (mut disk, mut collector) = (Disk::default(), Collector::default());
    rig::run(&log, &mut disk, &mut collector, rig::config(9));
    let cursors_only = Disk { position: None, ..disk.clone() };
    for (disk, code) in [(disk, "POS_GT_MAXSEQ"), (cursors_only, "CURSORS_GT_MAXSEQ")] {
        let mut drain = Drain::new(rig::config(9), disk.progress());
        Log::of(&[1; 4]).feed(&mut drain, 0);
        match drain.step(Input::Indexed, rig::now()).effect {
            Effect::Failed(Failure::Progress(error), _) => assert_eq!(error.code(), code),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn cursors_of_an_archived_log_do_not_count_for_the_next_one() {
    let log = Log::of(&[1; 5]);
    let (mut disk, mut collector) = (Disk::default(), Collector::default());
    rig::run(&log, &mut disk, &mut collector, rig::config(9));
    disk.position = None;
    let other = wal_format::WalId::from_random([8; 16]);
    let progress = Progress::load(other, disk.cursors.as_deref(), None).unwrap();
    let mut config = rig::config(9);
    config.wal_id = other;
    let mut drain = Drain::new(config, progress);
    log.feed(&mut drain, 0);
    let step = drain.step(Input::Indexed, rig::now());
    let said: Vec<_> = step.notices.iter().map(ToString::to_string).collect();
    let first = format!(
        "[drain] telemetry.cursors belongs to log {}; only telemetry.pos counts",
        rig::wal_id()
    );
    assert_eq!(said[0], first);
    assert_eq!(drain.report().queued, 5);
}

/// Every damaged byte of the files: refused, or the entries are sent again. Never skipped.
#[test]
fn damaged_files_never_skip_an_entry() {
    let log = Log::of(&[0, 1, 2, 3, 1]);
    let (mut disk, mut collector) = (Disk::default(), Collector::default());
    rig::run(&log, &mut disk, &mut collector, rig::config(9));
    let cursors = disk.cursors.unwrap();
    for bit in 0..cursors.len() * 8 {
        let mut damaged = cursors.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = Progress::load(rig::wal_id(), Some(&damaged), None).unwrap_err();
        let code = error.code();
        assert!(["CURSORS_CORRUPT", "CURSORS_NEWER"].contains(&code), "bit {bit}: {code}");
    }
}

#[test]
fn every_code_of_a_progress_error_has_a_text_and_a_hint() {
    let errors = [
        ProgressError::CursorsCorrupt { text: "x".to_owned() },
        ProgressError::CursorsNewer { schema: 2 },
        ProgressError::CursorBeyondLog {
            class: drain::Class::Error,
            cursor: rig::seq(2),
            last_seq: 1,
        },
        ProgressError::PositionCorrupt { len: 7 },
        ProgressError::PositionBeyondLog { position: 2, last_seq: 1 },
    ];
    assert_eq!(errors.each_ref().map(ProgressError::code), ProgressError::CODES);
    for error in errors {
        assert!(error.to_string().starts_with(&format!("{} — ", error.code())));
        assert!(error.hint().len() > 20 && !error.hint().ends_with('.'));
    }
}

proptest! {
    /// Whatever stands in the log, it has a record, and the record can be sent.
    #[test]
    fn every_payload_is_delivered(text in any::<String>(), payload in prop::collection::vec(any::<u8>(), 0..80)) {
        for payload in [payload, serde_json::to_vec(&serde_json::json!({"seq": 1, "event": text})).unwrap()] {
            let record = drain::record(rig::NODE, rig::wal_id(), rig::seq(1), &payload);
            prop_assert_eq!(&record.attributes["event.id"], &rig::event_id(1));
            let resource = drain::resource(rig::NODE, rig::wal_id());
            let body = otlp::encode_protobuf(&resource, std::slice::from_ref(&record));
            let groups = otlp::decode(&body, otlp::Encoding::Protobuf, &otlp::Limits::STANDARD).unwrap();
            prop_assert_eq!(&groups[0].records, &[record]);
        }
    }

    #[test]
    fn no_content_of_the_files_makes_the_reader_panic(
        cursors in prop::collection::vec(any::<u8>(), 0..100),
        position in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let loaded = Progress::load(rig::wal_id(), Some(&cursors), None);
        prop_assert!(loaded.is_err());
        let loaded = Progress::load(rig::wal_id(), None, Some(&position));
        prop_assert_eq!(loaded.is_ok(), position.len() == Position::LEN);
    }
}
