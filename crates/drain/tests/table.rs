//! The table of the machine, every cell of it.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod rig;

use std::time::Duration;

use drain::{Answer, Drain, Effect, Failure, Input, Notice, Silence};
use otlp::Encoding;
use rig::{Disk, Log};

/// Three errors and a decision; the first entry is the decision.
fn log() -> Log {
    Log::of(&[1, 0, 0, 0])
}

const STATES: [&str; 7] = [
    "idle",
    "reading",
    "sending",
    "waiting",
    "writing dead letters",
    "writing cursors",
    "writing the position",
];

/// Brings a machine to a state on the way of its first batch.
fn machine_in(state: &str) -> Drain {
    let mut drain = Drain::new(rig::config(4), Disk::default().progress());
    log().feed(&mut drain, 0);
    let entries = |it: &mut Drain| match it.step(Input::Indexed, rig::now()).effect {
        Effect::Read(entries) => log().read(&entries),
        other => panic!("{other:?}"),
    };
    let path: &[fn() -> Input] = match state {
        "idle" => return drain,
        "reading" => {
            entries(&mut drain);
            return drain;
        }
        "sending" => &[],
        "waiting" => &[|| rig::status_only(503)],
        "writing dead letters" => &[|| rig::partial(4, "no", Encoding::Protobuf)],
        "writing cursors" => &[rig::accepted],
        "writing the position" => &[rig::accepted, || Input::Written],
        other => panic!("{other}"),
    };
    let payloads = entries(&mut drain);
    drain.step(Input::Read(payloads), rig::now());
    for input in path {
        drain.step(input(), rig::now());
    }
    drain
}

/// The first so many entries in the order of delivery, prepared before their turn.
fn prepared(count: usize) -> Input {
    let mut drain = Drain::new(rig::config(count), Disk::default().progress());
    log().feed(&mut drain, 0);
    let ahead = drain.ahead(1, rig::now()).remove(0);
    let payloads = log().read(&ahead);
    Input::Prepared(Box::new(drain.preparer().prepare(ahead, payloads)))
}

fn inputs() -> Vec<(&'static str, Input)> {
    let all = log().payloads;
    // In the order of delivery: the errors, then the decision.
    let payloads = vec![all[1].clone(), all[2].clone(), all[3].clone(), all[0].clone()];
    vec![
        ("indexed", Input::Indexed),
        ("read", Input::Read(payloads)),
        ("prepared", prepared(4)),
        ("answered", rig::accepted()),
        ("unanswered", Input::Unanswered(Silence::Other("no route".to_owned()))),
        ("written", Input::Written),
        ("waited", Input::Waited),
        ("failed", Input::Failed("disk is gone".to_owned())),
    ]
}

fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::Read(_) => "read",
        Effect::Send(_) => "send",
        Effect::AppendDeadLetters(_) => "dead letters",
        Effect::WriteCursors(_) => "cursors",
        Effect::WritePosition(_) => "position",
        Effect::Wait(_) => "wait",
        Effect::Finished(_) => "finished",
        Effect::Failed(Failure::Local { .. }, _) => "stop: local",
        Effect::Failed(Failure::Misuse { .. }, _) => "stop: misuse",
        Effect::Failed(..) => "stop",
    }
}

#[test]
fn every_state_answers_every_input_as_the_table_says() {
    for state in STATES {
        for (name, input) in inputs() {
            let want = match (state, name) {
                ("idle", "indexed") => "read",
                ("reading", "read" | "prepared") | ("waiting", "waited") => "send",
                ("sending", "answered") | ("writing dead letters", "written") => "cursors",
                ("sending", "unanswered") => "wait",
                ("writing cursors", "written") => "position",
                ("writing the position", "written") => "finished",
                (
                    "reading"
                    | "sending"
                    | "writing dead letters"
                    | "writing cursors"
                    | "writing the position",
                    "failed",
                ) => "stop: local",
                _ => "stop: misuse",
            };
            let mut drain = machine_in(state);
            let effect = drain.step(input, rig::now()).effect;
            assert_eq!(kind(&effect), want, "{name} while {state}");
            if let Effect::Failed(failure @ Failure::Misuse { .. }, _) = &effect {
                let text = format!("input {name} while {state}");
                assert_eq!(failure.to_string(), text);
            }
            rig::check_accounts(&drain.report());
        }
    }
}

/// A1 and A2.
#[test]
fn what_was_prepared_is_sent_as_if_it_were_read_now_and_for_its_own_entries_only() {
    let send = |input| machine_in("reading").step(input, rig::now()).effect;
    let Effect::Send(read) = send(inputs().remove(1).1) else { panic!() };
    let Effect::Send(ahead) = send(prepared(4)) else { panic!() };
    assert_eq!(read, ahead);

    let mut others = vec![prepared(3)];
    let drain = machine_in("idle");
    let entries = drain.ahead(1, rig::now()).remove(0);
    let mut payloads = log().read(&entries);
    let missing = payloads[1..].to_vec();
    let mut config = rig::config(4);
    config.node = "edge-2".to_owned();
    let other_node = Drain::new(config, Disk::default().progress()).preparer();
    let mut config = rig::config(4);
    config.encoding = Encoding::Json;
    let other_encoding = Drain::new(config, Disk::default().progress()).preparer();
    for (preparer, payloads) in [
        (drain.preparer(), missing),
        (other_node, payloads.clone()),
        (other_encoding, payloads.clone()),
    ] {
        others.push(Input::Prepared(Box::new(preparer.prepare(entries.clone(), payloads))));
    }
    for other in others {
        assert_eq!(kind(&send(other)), "stop: misuse");
    }
    payloads.swap(0, 1);
    let changed = Input::Prepared(Box::new(drain.preparer().prepare(entries, payloads)));
    assert!(matches!(send(changed), Effect::Failed(Failure::LogChanged { .. }, _)));
}

/// D8, while the position could move after every batch.
#[test]
fn the_position_waits_for_a_second_or_the_end_of_the_pass() {
    for (pause_ms, want) in [(0, 1), (100, 1), (2_000, 6), (-5_000, 6)] {
        let mut drain = Drain::new(rig::config(1), Disk::default().progress());
        let log = Log::of(&[0; 6]);
        log.feed(&mut drain, 0);
        let (mut input, mut now, mut positions) = (Input::Indexed, rig::now(), 0);
        loop {
            let effect = drain.step(input, now).effect;
            input = match effect {
                Effect::Finished(report) => {
                    assert_eq!(report.position, 6);
                    break;
                }
                Effect::Read(entries) => Input::Read(log.read(&entries)),
                Effect::Send(_) => {
                    now += jiff::SignedDuration::from_millis(pause_ms);
                    rig::accepted()
                }
                Effect::WritePosition(_) => {
                    positions += 1;
                    Input::Written
                }
                other => rig::write(other, &mut Disk::default()),
            };
        }
        assert_eq!(positions, want, "{pause_ms} ms");
    }
}

/// D7: after a stop in any state the next pass settles the same entries, once each.
#[test]
fn a_stop_in_any_state_leaves_everything_in_place() {
    for state in STATES {
        let mut drain = machine_in(state);
        let settled = drain.report().accepted.total();
        drain.step(Input::Failed("disk is gone".to_owned()), rig::now());
        assert_eq!(drain.report().accepted.total(), settled, "{state}");
        let (mut input, mut sent) = (Input::Indexed, Vec::new());
        for _ in 0..rig::STEPS_MAX {
            input = match drain.step(input, rig::now()).effect {
                Effect::Finished(_) => break,
                Effect::Failed(failure, _) => panic!("{state}: {failure}"),
                Effect::Read(entries) => Input::Read(log().read(&entries)),
                Effect::Send(request) => {
                    sent = rig::numbers(&request);
                    rig::accepted()
                }
                Effect::Wait(_) => Input::Waited,
                other => rig::write(other, &mut Disk::default()),
            };
        }
        assert_eq!(drain.report().accepted.total(), 4, "{state}");
        let want: &[u64] = if settled == 4 { &[] } else { &[2, 3, 4, 1] };
        assert_eq!(sent, want, "{state}");
    }
}

/// The second table: what each answer leads to, for a batch and for a single entry.
#[test]
fn every_verdict_leads_where_the_table_says() {
    let partial = |it| rig::partial(it, "no", Encoding::Protobuf);
    for (answer, whole, single) in [
        (rig::accepted(), "cursors", "cursors"),
        (partial(0), "cursors", "cursors"),
        (partial(1), "send", "dead letters"),
        (partial(4), "dead letters", "wait"),
        (partial(5), "wait", "wait"),
        (rig::page(), "wait", "wait"),
        (rig::status_only(429), "wait", "wait"),
        (rig::status_only(502), "wait", "wait"),
        (rig::status_only(503), "wait", "wait"),
        (rig::status_only(504), "wait", "wait"),
        (rig::status_only(413), "send", "stop"),
        (rig::status_only(400), "stop", "stop"),
        (rig::status_only(401), "stop", "stop"),
        (rig::status_only(403), "stop", "stop"),
        (rig::status_only(404), "stop", "stop"),
        (rig::status_only(302), "stop", "stop"),
        (rig::status_only(500), "stop", "stop"),
        (Input::Unanswered(Silence::ConnectionRefused), "wait", "wait"),
        (Input::Unanswered(Silence::ConnectionReset), "wait", "wait"),
        (Input::Unanswered(Silence::TimedOut), "wait", "wait"),
    ] {
        let effect = machine_in("sending").step(answer.clone(), rig::now()).effect;
        assert_eq!(kind(&effect), whole, "{answer:?}");

        let mut drain = Drain::new(rig::config(1), Disk::default().progress());
        log().feed(&mut drain, 0);
        drain.step(Input::Indexed, rig::now());
        drain.step(Input::Read(vec![log().payloads[1].clone()]), rig::now());
        let effect = drain.step(answer.clone(), rig::now()).effect;
        assert_eq!(kind(&effect), single, "{answer:?} to one entry");
    }
}

#[test]
fn attempts_are_counted_and_the_last_one_gives_up() {
    for (answer, want) in [
        (
            Input::Unanswered(Silence::ConnectionRefused),
            Failure::Unreachable { text: "connection refused".to_owned(), attempts: 4 },
        ),
        (rig::status_only(503), Failure::Busy { text: "HTTP 503".to_owned(), attempts: 4 }),
        (
            rig::page(),
            Failure::Unreadable {
                text: "HTTP 200 with content type text/html".to_owned(),
                attempts: 4,
            },
        ),
    ] {
        let mut drain = machine_in("sending");
        for attempt in 2..=4 {
            let step = drain.step(answer.clone(), rig::now());
            assert_eq!(kind(&step.effect), "wait");
            let said = matches!(&step.notices[..], [Notice::Retrying { attempt: it, attempts_max: 4, .. }] if *it == attempt);
            assert!(said, "{:?}", step.notices);
            assert_eq!(kind(&drain.step(Input::Waited, rig::now()).effect), "send");
        }
        let step = drain.step(answer, rig::now());
        assert!(matches!(&step.notices[..], [Notice::Error { .. }]), "{:?}", step.notices);
        let Effect::Failed(failure, report) = step.effect else { panic!("{:?}", step.effect) };
        assert_eq!(failure, want);
        assert_eq!((report.requests, report.retries, report.pending.total()), (4, 3, 4));
    }
}

#[test]
fn the_same_bytes_are_sent_at_every_attempt() {
    let mut drain = machine_in("reading");
    let Effect::Send(first) = drain.step(inputs().remove(1).1, rig::now()).effect else { panic!() };
    drain.step(rig::status_only(503), rig::now());
    let Effect::Send(second) = drain.step(Input::Waited, rig::now()).effect else { panic!() };
    assert_eq!(first, second);
}

#[test]
fn a_retry_after_is_honoured_up_to_its_bound() {
    for (header, at_least) in [("7", 7), ("Fri, 02 Jan 2026 03:04:16 GMT", 10), ("86400", 120)] {
        let answer =
            Answer { status: 429, retry_after: Some(header.to_owned()), ..Answer::default() };
        let mut drain = machine_in("sending");
        match drain.step(Input::Answered(answer), rig::now()).effect {
            Effect::Wait(delay) => assert_eq!(delay, Duration::from_secs(at_least), "{header}"),
            other => panic!("{other:?}"),
        }
    }
}
