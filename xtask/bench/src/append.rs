//! The cases of durable appends: one caller beside the patterns, many callers beside the plain group
//! writer; both beside the peers.

use std::sync::Arc;

use wal_recovery::Durability;

use crate::{
    callers,
    floors::{self, SafePoint},
    ours::{self, Shape},
    peers::{self, Load},
    plain::{Parked, Plain},
    rounds::{Case, Contestant, Role, interleaved},
    space::Kind,
    targets::name,
};

/// Bytes of a record: of the event for us, of the value for everybody else.
const LENGTHS: [(usize, &str); 2] = [(256, "256 B"), (4096, "4 KiB")];
/// Callers at a time, besides one.
const CALLERS: [usize; 3] = [8, 64, 256];

const UNIT: &str = "per s";

/// One caller, and many, with short and long records.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (len, text) in LENGTHS {
        let name = format!("append, 1 caller, {text}");
        cases.push(Case { name, unit: UNIT, contestants: interleaved(one_caller(len)) });
    }
    for callers in CALLERS {
        for (len, text) in LENGTHS {
            let name = format!("append, {callers} callers, {text}");
            let contestants = interleaved(many_callers((callers, len)));
            cases.push(Case { name, unit: UNIT, contestants });
        }
    }
    cases
}

fn one_caller(len: usize) -> Vec<Contestant> {
    let mut all = vec![
        log(name::LOG, (1, len), Shape::Threads, Durability::Chained),
        log(name::LOG_STRICT, (1, len), Shape::Threads, Durability::Strict),
        Contestant::new("zero-filled, io_uring", Role::Floor, move |dir, window| {
            floors::io_uring(dir, window, &vec![b'x'; len])
        }),
    ];
    let patterns = [
        (name::ZERO_FILLED, Kind::ZeroFilled, SafePoint::None),
        ("growing + fdatasync", Kind::Growing, SafePoint::None),
        ("fallocated + fdatasync", Kind::Allocated, SafePoint::None),
        ("growing, 8 B in place", Kind::Growing, SafePoint::InPlace),
        ("growing, 8 B in place, synced", Kind::Growing, SafePoint::InPlaceSynced),
        ("growing, 8 B by rename", Kind::Growing, SafePoint::Renamed),
        ("zero-filled, 8 B in place", Kind::ZeroFilled, SafePoint::InPlace),
        ("zero-filled, 8 B in place, synced", Kind::ZeroFilled, SafePoint::InPlaceSynced),
        ("zero-filled, 8 B by rename", Kind::ZeroFilled, SafePoint::Renamed),
    ];
    all.extend(patterns.map(|(name, kind, safe_point)| {
        Contestant::new(name, Role::Floor, move |dir, window| {
            floors::write_and_sync(dir, window, &vec![b'x'; len], (kind, safe_point))
        })
    }));
    all.extend(others((1, len)));
    all
}

fn many_callers(load: Load) -> Vec<Contestant> {
    let mut all = vec![
        log(name::LOG, load, Shape::Threads, Durability::Chained),
        log(name::LOG_STRICT, load, Shape::Threads, Durability::Strict),
        log(name::LOG_TASKS, load, Shape::Tasks, Durability::Chained),
        log(name::LOG_TASKS_STRICT, load, Shape::Tasks, Durability::Strict),
    ];
    let plain_writers = [
        (name::PLAIN, Shape::Threads, Kind::ZeroFilled, false),
        (name::PLAIN_TWO_SYNCS, Shape::Threads, Kind::ZeroFilled, true),
        ("plain group writer, growing", Shape::Threads, Kind::Growing, false),
        (name::PLAIN_TASKS, Shape::Tasks, Kind::ZeroFilled, false),
        (name::PLAIN_TASKS_TWO_SYNCS, Shape::Tasks, Kind::ZeroFilled, true),
        ("plain group writer, tasks, growing", Shape::Tasks, Kind::Growing, false),
    ];
    all.extend(plain_writers.map(|(name, shape, kind, two)| plain(name, load, shape, (kind, two))));
    all.extend(others(load));
    all
}

fn log(name: &'static str, load: Load, shape: Shape, durability: Durability) -> Contestant {
    Contestant::new(name, Role::Ours, move |dir, window| {
        ours::append(dir, window, load, (shape, durability))
    })
}

fn plain(
    name: &'static str,
    (callers, len): Load,
    shape: Shape,
    (kind, two_syncs): (Kind, bool),
) -> Contestant {
    Contestant::new(name, Role::Floor, move |dir, window| {
        let writer = Plain::start(dir, kind, two_syncs)?;
        let record = vec![b'x'; len];
        match shape {
            Shape::Threads => callers::threads(callers, window, |_| {
                let (writer, record, parked) = (&writer, &record, Parked::here());
                Ok(move || writer.append(record, &parked))
            }),
            Shape::Tasks => {
                let writer = Arc::new(writer);
                callers::tasks(callers, window, move |done| {
                    writer.submit(&record, done);
                    Ok(())
                })
            }
        }
    })
}

fn others(load: Load) -> [Contestant; 5] {
    [
        Contestant::new(name::RAFT_ENGINE, Role::Peer, move |dir, window| {
            peers::raft_engine(dir, window, load)
        }),
        Contestant::new("okaywal", Role::Peer, move |dir, window| {
            peers::okaywal(dir, window, load)
        }),
        Contestant::new("sled, synced", Role::Peer, move |dir, window| {
            peers::sled(dir, window, load, true)
        }),
        Contestant::new("SQLite, WAL, FULL", Role::Peer, move |dir, window| {
            peers::sqlite(dir, window, load)
        }),
        Contestant::new("sled (no device flush)", Role::Aside, move |dir, window| {
            peers::sled(dir, window, load, false)
        }),
    ]
}
