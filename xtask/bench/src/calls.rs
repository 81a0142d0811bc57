//! The cases of tool calls: the runtime beside servers that promise less.
//!
//! | module   | what it does                                                                    |
//! |----------|---------------------------------------------------------------------------------|
//! | `server` | a process that which: the runtime, or axum with a plain durable append, or bare |
//! | `load`   | connections, each of which calls again when it is answered                      |
//! | `split`  | where the time of a call goes, as the runtime has measured it                   |

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;
use vfs::OsVfs;
use wal_recovery::Reader;

use crate::{
    rounds::{Case, Contestant, Role, interleaved},
    sample::{Sample, Window},
    targets::name,
};

mod load;
mod server;
mod split;

pub(crate) use load::parsed;
use server::Serves;
pub(crate) use server::{Server, input_ended, serve};
use split::Part;

/// Name of the benchmark; those of its cases begin with it.
pub(crate) const BENCH: &str = "runtime";
/// Hidden command: a server.
pub(crate) const SERVER: &str = "serve";

/// Connections at a time.
const CONNECTIONS: [(usize, &str); 4] = [
    (1, "runtime, 1 connection"),
    (16, "runtime, 16 connections"),
    (64, name::CALLS_64),
    (256, "runtime, 256 connections"),
];

/// Connections that are open and say nothing.
const IDLE: usize = 10_000;

/// What is called, and what has to come back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) body: &'static str,
    pub(crate) status: u16,
    /// Entries that an answered call has.
    entries: u64,
}

const DENY: Call =
    Call { body: r#"{"kind":"tool.shell","params":{"command":"id"}}"#, status: 403, entries: 1 };
const ECHO: Call =
    Call { body: r#"{"kind":"tool.echo","params":{"message":"hello"}}"#, status: 200, entries: 2 };

/// Every case.
pub(crate) fn cases() -> Vec<Case> {
    let case = |(connections, name): (usize, &str)| Case {
        name: name.to_owned(),
        unit: "per s",
        contestants: interleaved(vec![
            runtime(name::CALL_DENY, connections, DENY),
            runtime(name::CALL_ECHO, connections, ECHO),
            other(name::AXUM_DURABLE, Role::Floor, Serves::Durable, connections),
            other("axum, no log", Role::Aside, Serves::Bare, connections),
        ]),
    };
    let mut cases: Vec<Case> = CONNECTIONS.map(case).into();
    cases.push(Case {
        name: "runtime, where the time of an allowed call goes, 64 connections".to_owned(),
        unit: "µs, mean",
        contestants: vec![
            part("decide", Part::Decide),
            part("persist, each of two", Part::Persist),
            part("tool", Part::Tool),
            Contestant::new("whole, as its caller sees it", Role::Ours, |dir, window| {
                let sample = measured(Serves::Runtime, dir, window, (64, ECHO))?;
                // Each connection has one call at a time.
                Ok(figure(64.0 / sample.rate * 1e6, sample.calls))
            }),
        ],
    });
    cases.push(Case {
        name: format!("runtime, memory with {IDLE} open connections"),
        unit: "MiB",
        contestants: vec![
            idle("runtime", Role::Ours, Serves::Runtime),
            idle("axum, no log", Role::Aside, Serves::Bare),
        ],
    });
    cases
}

/// A figure that is no rate, in the column of the rates.
fn figure(value: f64, calls: u64) -> Sample {
    Sample { p50_us: f64::NAN, p99_us: f64::NAN, rate: value, calls }
}

fn part(name: &'static str, part: Part) -> Contestant {
    Contestant::new(name, Role::Ours, move |dir, window| {
        let server = Server::start(Serves::Runtime, dir)?;
        let sample = load::run(server.port(), 64, ECHO, window)?;
        let mean = split::mean_us(server.port(), part)?;
        server.stop()?;
        Ok(figure(mean, sample.calls))
    })
}

/// What the memory of a server has grown by when so many connections have called once and stay open.
fn idle(name: &'static str, role: Role, which: Serves) -> Contestant {
    Contestant::new(name, role, move |dir, _| {
        let server = Server::start(which, dir)?;
        let before = server.memory_mib()?;
        let grown = load::idle(server.port(), IDLE, DENY, || Ok(server.memory_mib()? - before))?;
        server.stop()?;
        Ok(figure(grown, IDLE as u64))
    })
}

fn runtime(name: &'static str, connections: usize, call: Call) -> Contestant {
    Contestant::new(name, Role::Ours, move |dir, window| {
        let sample = measured(Serves::Runtime, dir, window, (connections, call))?;
        let found = entries(dir)?;
        let want = sample.calls * call.entries;
        ensure!(found == want, "{found} entries about calls in the log, not {want}");
        Ok(sample)
    })
}

fn other(name: &'static str, role: Role, which: Serves, connections: usize) -> Contestant {
    Contestant::new(name, role, move |dir, window| {
        measured(which, dir, window, (connections, DENY))
    })
}

fn measured(
    which: Serves,
    dir: &Path,
    window: Window,
    (connections, call): (usize, Call),
) -> Result<Sample> {
    let server = Server::start(which, dir)?;
    let sample = load::run(server.port(), connections, call, window)?;
    server.stop()?;
    Ok(sample)
}

/// Counts the entries about calls, and with that checks each link of the log.
fn entries(dir: &Path) -> Result<u64> {
    let mut reader = Reader::open(&OsVfs, dir)?;
    let mut found = 0;
    while let Some(item) = reader.next_entry()? {
        let entry: Value = serde_json::from_slice(item.payload)?;
        found += u64::from(entry.pointer("/event/attrs/audit_id").is_some());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::{Against, targets};

    #[test]
    fn every_target_of_the_runtime_names_contestants_that_run() {
        let cases = cases();
        for target in targets(BENCH) {
            let case = cases.iter().find(|it| it.name == target.case).unwrap();
            let runs = |name: &str| case.contestants.iter().any(|it| it.name == name);
            assert!(runs(target.ours), "{target:?}");
            assert!(!matches!(target.against, Against::Named(name) if !runs(name)), "{target:?}");
        }
    }
}
