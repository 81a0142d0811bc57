//! The cases of the control plane: its service over HTTP beside plain `SQLite`, and beside itself in a small store.
//!
//! | module   | what it does                                                                     |
//! |----------|----------------------------------------------------------------------------------|
//! | `server` | a process that serves, and its directory                                         |
//! | `client` | connections that ask again when they are answered, or by the clock               |
//! | `fill`   | stores of a given size, written fast                                             |
//! | `plain`  | `SQLite` without a service                                                       |

use std::{
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use anyhow::{Result, ensure};

use crate::{
    calls::Server,
    rounds::{Case, Contestant, Role, interleaved},
    sample::{Sample, Window},
    targets::name,
};

mod client;
mod fill;
mod plain;
mod server;

use client::{Ask, Pace};
use fill::Fills;
pub(crate) use server::serve;

/// Name of the benchmark; those of its cases begin with it.
pub(crate) const BENCH: &str = "control-plane";
/// Hidden command: the service.
pub(crate) const SERVER: &str = "serve-control-plane";

/// Clients that create at a time.
const CREATORS: [(usize, &str); 3] = [
    (1, "control-plane, creates, 1 client"),
    (64, "control-plane, creates, 64 clients"),
    (256, "control-plane, creates, 256 clients"),
];
/// Clients that send events at a time.
const SENDERS: [(usize, &str); 3] = [
    (1, "control-plane, 500 events a request, 1 client"),
    (4, "control-plane, 500 events a request, 4 clients"),
    (16, "control-plane, 500 events a request, 16 clients"),
];
/// Events of a request.
const BATCH: u64 = 500;
/// Sizes of stores, and what the cases about growth call them.
const SIZES: [(u64, &str); 5] = [
    (100, name::ROWS_2),
    (1_000, name::ROWS_3),
    (10_000, name::ROWS_4),
    (100_000, name::ROWS_5),
    (1_000_000, name::ROWS_6),
];
/// Nodes that poll, and within how many seconds each of them does.
const NODES: u64 = 100_000;
const POLL_SECONDS: f64 = 60.0;
/// Connections of the nodes that poll.
const POLLERS: usize = 256;
/// Long enough for the service to write twice which nodes it has heard of.
const POLL_WINDOW: Duration = Duration::from_secs(12);
const POLL_P99_MAX_US: f64 = 50_000.0;

/// Every case; `rows` is the largest store of those about growth.
pub(crate) fn cases(data: &Path, rows: u64) -> Vec<Case> {
    let fills = Rc::new(Fills::new(data.join("stores")));
    let mut cases: Vec<Case> = CREATORS.into_iter().map(creates).collect();
    cases.extend(SENDERS.into_iter().map(ingests));
    cases.push(stuck(&fills));
    cases.push(event_pages(&fills));
    cases.push(plan_pages(&fills));
    cases.push(polls(&fills));
    cases.extend(growth(&fills, rows));
    cases.push(memory(&fills));
    cases
}

fn case(name: &str, unit: &'static str, contestants: Vec<Contestant>) -> Case {
    Case { name: name.to_owned(), unit, contestants }
}

/// What is answered per second, in units of which each answer has so many.
fn times(sample: Sample, units: u64) -> Sample {
    Sample { rate: sample.rate * units as f64, ..sample }
}

/// A figure that is no rate, in the column of the rates.
fn mib(value: f64) -> Sample {
    Sample { p50_us: f64::NAN, p99_us: f64::NAN, rate: value, calls: 1 }
}

fn creates((clients, name): (usize, &'static str)) -> Case {
    let ours = Contestant::new(name::CREATE, Role::Ours, move |dir, window| {
        let server = server::start(dir)?;
        let sample = client::run(server.port(), clients, window, &Ask::create())?;
        server.stop()?;
        server::check_creates(dir, sample.calls)?;
        Ok(sample)
    });
    let each = Contestant::new(name::PLAIN_INSERT, Role::Floor, plain::plans_each);
    let group = Contestant::new(name::PLAIN_GROUP, Role::Floor, move |dir, window| {
        plain::plans_grouped(dir, window, clients as u64)
    });
    let mut contestants = vec![ours, each];
    if clients > 1 {
        contestants.push(group);
    }
    case(name, "per s", interleaved(contestants))
}

fn ingests((clients, name): (usize, &'static str)) -> Case {
    let ours = Contestant::new(name::INGEST, Role::Ours, move |dir, window| {
        let server = server::start(dir)?;
        let sample = client::run(server.port(), clients, window, &Ask::events(BATCH))?;
        server.stop()?;
        server::check_events(dir, sample.calls * BATCH)?;
        Ok(times(sample, BATCH))
    });
    let same = Contestant::new(name::PLAIN_EVENTS, Role::Floor, |dir, window| {
        Ok(times(plain::events(dir, window, BATCH, true)?, BATCH))
    });
    let bare = Contestant::new("the same, no index but the id", Role::Aside, |dir, window| {
        Ok(times(plain::events(dir, window, BATCH, false)?, BATCH))
    });
    case(name, "events/s", interleaved(vec![ours, same, bare]))
}

/// Asks a filled store, one client.
fn asked(
    name: &'static str,
    fill: impl Fn() -> Result<PathBuf> + 'static,
    ask: impl Fn() -> Ask + 'static,
) -> Contestant {
    Contestant::new(name, Role::Ours, move |_, window| {
        let server = server::start(&fill()?)?;
        let sample = client::run(server.port(), 1, window, &ask())?;
        server.stop()?;
        Ok(sample)
    })
}

fn stuck(fills: &Rc<Fills>) -> Case {
    let scan = |name, stuck, limit: u64| {
        let fills = Rc::clone(fills);
        let path = format!("/v1/rollouts/stuck?limit={limit}");
        asked(name, move || fills.stuck(100_000, stuck), move || Ask::get(&path))
    };
    let contestants = vec![
        scan("10³ of 10⁵ stuck, 1000 entries", 1_000, 1_000),
        scan("10³ of 10⁵ stuck, 100 entries", 1_000, 100),
        scan("all of 10⁵ stuck, 1000 entries", 100_000, 1_000),
        scan("all of 10⁵ stuck, 100 entries", 100_000, 100),
    ];
    case("control-plane, stuck scan of 100000 live plans", "per s", contestants)
}

/// The address of a page that begins before the row with this number.
fn page(path: &str, before: Option<u64>) -> String {
    before.map_or_else(|| path.to_owned(), |it| format!("{path}?cursor=1{it:016x}"))
}

/// The last page is the one with the oldest hundred.
const LAST: Option<u64> = Some(101);

fn event_pages(fills: &Rc<Fills>) -> Case {
    let ask = |name, rows, before| {
        let fills = Rc::clone(fills);
        let path = page("/v1/events", before);
        asked(name, move || fills.events(rows), move || Ask::get(&path))
    };
    let contestants = vec![
        ask(name::EVENTS_4_FIRST, 10_000, None),
        ask(name::EVENTS_6_FIRST, 1_000_000, None),
        ask(name::EVENTS_4_LAST, 10_000, LAST),
        ask(name::EVENTS_6_LAST, 1_000_000, LAST),
    ];
    case(name::EVENT_PAGES, "per s", contestants)
}

fn plan_pages(fills: &Rc<Fills>) -> Case {
    let ask = |name, rows, before| {
        let fills = Rc::clone(fills);
        let path = page("/v1/rollouts", before);
        asked(name, move || fills.plans(rows), move || Ask::get(&path))
    };
    let contestants = vec![
        ask(name::PLANS_4_FIRST, 10_000, None),
        ask(name::PLANS_5_FIRST, 100_000, None),
        ask(name::PLANS_4_LAST, 10_000, LAST),
        ask(name::PLANS_5_LAST, 100_000, LAST),
    ];
    case(name::PLAN_PAGES, "per s", contestants)
}

fn polls(fills: &Rc<Fills>) -> Case {
    let paced = Rc::clone(fills);
    let fastest = Rc::clone(fills);
    let contestants = vec![
        Contestant::new(name::POLL, Role::Ours, move |_, window| {
            let server = server::start(&paced.polled(NODES)?)?;
            let sample = poll(&server, window.at_least(POLL_WINDOW))?;
            server.stop()?;
            Ok(sample)
        }),
        Contestant::new("poll, as fast as answers come", Role::Ours, move |_, window| {
            let server = server::start(&fastest.polled(NODES)?)?;
            let sample = client::run(server.port(), POLLERS, window, &Ask::poll(NODES))?;
            server.stop()?;
            Ok(sample)
        }),
        Contestant::new(name::FIFTY_MS, Role::Floor, |_, _| {
            let (p50_us, p99_us) = (POLL_P99_MAX_US, POLL_P99_MAX_US);
            Ok(Sample { p50_us, p99_us, rate: NODES as f64 / POLL_SECONDS, calls: 0 })
        }),
    ];
    case(name::POLLS, "per s", contestants)
}

fn poll(server: &Server, window: Window) -> Result<Sample> {
    let pace = Pace { connections: POLLERS, per_second: NODES as f64 / POLL_SECONDS };
    let sample = client::paced(server.port(), pace, window, &Ask::poll(NODES))?;
    ensure!(sample.rate > 0.9 * pace.per_second, "the callers did not keep their pace");
    Ok(sample)
}

type Growing = fn(&Fills, u64) -> Result<PathBuf>;

fn growth(fills: &Rc<Fills>, rows: u64) -> Vec<Case> {
    let sizes = || SIZES.into_iter().filter(move |it| it.0 <= rows.max(1_000));
    let grows = |name: &str, fill: Growing, ask: fn(u64) -> Ask| {
        let contestants = sizes().map(|(rows, name)| {
            let fills = Rc::clone(fills);
            asked(name, move || fill(&fills, rows), move || ask(rows))
        });
        case(name, "per s", contestants.collect())
    };
    vec![
        grows(name::GROWTH_CREATE, Fills::plans, |_| Ask::create()),
        grows(name::GROWTH_GET, Fills::plans, Ask::get_plan),
        grows(name::GROWTH_LIST, Fills::plans, |_| Ask::get("/v1/rollouts")),
        grows(name::GROWTH_STUCK, Fills::plans, |_| Ask::get("/v1/rollouts/stuck?limit=100")),
        grows(name::GROWTH_BEAT, Fills::nodes, Ask::heartbeat),
        grows(name::GROWTH_APPEND, Fills::events, |_| Ask::events(BATCH)),
        grows(name::GROWTH_EVENTS, Fills::events, |_| Ask::get("/v1/events")),
    ]
}

fn memory(fills: &Rc<Fills>) -> Case {
    let (of_stuck, of_polls) = (Rc::clone(fills), Rc::clone(fills));
    let contestants = vec![
        Contestant::new("nothing asked", Role::Ours, |dir, _| {
            let server = server::start(dir)?;
            client::once(server.port(), &Ask::get("/v1/rollouts"))?;
            ended(server)
        }),
        Contestant::new("256 clients create", Role::Ours, |dir, window| {
            let server = server::start(dir)?;
            client::run(server.port(), 256, window, &Ask::create())?;
            ended(server)
        }),
        Contestant::new("stuck scans, all of 10⁵ stuck", Role::Ours, move |_, window| {
            let server = server::start(&of_stuck.stuck(100_000, 100_000)?)?;
            client::run(server.port(), 4, window, &Ask::get("/v1/rollouts/stuck"))?;
            ended(server)
        }),
        Contestant::new("10⁵ nodes poll", Role::Ours, move |_, window| {
            let server = server::start(&of_polls.polled(NODES)?)?;
            poll(&server, window.at_least(POLL_WINDOW))?;
            ended(server)
        }),
    ];
    case("control-plane, peak memory", "MiB", contestants)
}

fn ended(server: Server) -> Result<Sample> {
    let peak = server.peak_mib()?;
    server.stop()?;
    Ok(mib(peak))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::{Against, targets};

    #[test]
    fn every_target_of_the_control_plane_names_contestants_that_run() {
        let cases = cases(Path::new("nowhere"), 1_000_000);
        for target in targets(BENCH) {
            let case = cases.iter().find(|it| it.name == target.case).unwrap();
            let runs = |name: &str| case.contestants.iter().any(|it| it.name == name);
            assert!(runs(target.ours), "{target:?}");
            assert!(!matches!(target.against, Against::Named(name) if !runs(name)), "{target:?}");
        }
        assert_eq!(targets(BENCH).count(), 12);
    }
}
