//! The cases of the drain: encoding, end to end beside another exporter, and as the backlog grows.
//!
//! | module   | what it does                                                          |
//! |----------|-----------------------------------------------------------------------|
//! | `events` | one large log, and logs that are its beginning                        |
//! | `sink`   | a process that takes requests, counts their records and answers 200   |
//! | `ours`   | the drain: its machine alone, and end to end                          |
//! | `plain`  | parse and encode as anybody would write it                            |
//! | `peer`   | the exporter of OpenTelemetry                                         |

use std::{path::Path, rc::Rc, time::Duration};

use anyhow::{Result, ensure};
use rustix::time::{ClockId, clock_gettime};

use crate::{
    rounds::{Case, Contestant, Role, interleaved},
    sample::Sample,
    targets::name,
};

mod events;
mod ours;
mod peer;
mod plain;
mod sink;

use events::Log;
use ours::Form;
pub(crate) use ours::measure_memory;
use sink::Sink;
pub(crate) use sink::serve;

/// Name of the benchmark; those of its cases begin with it.
pub(crate) const BENCH: &str = "drain";
/// Hidden commands: the sink, and a drain that says how much memory it took.
pub(crate) const SINK: &str = "sink";
pub(crate) const MEASURE: &str = "measure-drain";

/// Entries in one request, for everybody.
const BATCH: usize = 512;
/// Most memory of a drain, as its process has it.
const MEMORY_MAX_MIB: f64 = 64.0;
/// Backlogs. A case drains small ones again and again, up to [`REPEATED`] entries.
const BACKLOGS: [(u64, &str); 5] = [
    (1_000, name::BACKLOG_3),
    (10_000, name::BACKLOG_4),
    (100_000, name::BACKLOG_5),
    (1_000_000, name::BACKLOG_6),
    (5_000_000, name::BACKLOG_LARGEST),
];
const REPEATED: u64 = 100_000;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// Seconds that passed.
    Wall,
    /// Seconds that the processors spent in this process; the sink is another one.
    Processor,
}

/// Writes the log and returns the cases over it.
pub(crate) fn cases(data: &Path, entries: u64) -> Result<Vec<Case>> {
    let largest = BACKLOGS.map(|it| it.0).into_iter().filter(|it| *it <= 5 * entries).max();
    let total = largest.unwrap_or(entries).max(entries);
    eprintln!("writing a log of {total} entries");
    let log = Rc::new(Log::write(&data.join("log"), total)?);
    let sink = Rc::new(Sink::start()?);
    let case = |name: &str, unit, contestants| Case { name: name.to_owned(), unit, contestants };
    Ok(vec![
        case(
            name::DRAIN_ENCODE,
            "per s of a core",
            interleaved(encoders(&log, entries.min(REPEATED))),
        ),
        case(name::DRAIN, "per s", interleaved(exporters(&log, &sink, entries, Clock::Wall))),
        case(
            name::DRAIN_PER_CORE,
            "per s of a core",
            interleaved(exporters(&log, &sink, entries, Clock::Processor)),
        ),
        case(name::DRAIN_BACKLOG, "per s", backlogs(&log, &sink, total)),
        case(name::DRAIN_MEMORY, "MiB", memory(&log, &sink, total)),
    ])
}

fn encoders(log: &Rc<Log>, entries: u64) -> Vec<Contestant> {
    let ours = [
        (name::PROTOBUF, otlp::Encoding::Protobuf, false),
        ("protobuf, gzip", otlp::Encoding::Protobuf, true),
        ("JSON", otlp::Encoding::Json, false),
        ("JSON, gzip", otlp::Encoding::Json, true),
    ];
    let mut all: Vec<Contestant> = ours
        .into_iter()
        .map(|(name, encoding, gzip)| {
            let log = Rc::clone(log);
            Contestant::new(name, Role::Ours, move |_, _| {
                let form = Form { encoding, gzip };
                Ok(rate(entries, ours::encode(&log, entries, form, Clock::Processor)?))
            })
        })
        .collect();
    let log = Rc::clone(log);
    all.push(Contestant::new(name::JSON_VALUE, Role::Floor, move |_, _| {
        Ok(rate(entries, ours::parse_to_values(&log, entries)?))
    }));
    all
}

fn exporters(log: &Rc<Log>, sink: &Rc<Sink>, entries: u64, clock: Clock) -> Vec<Contestant> {
    let both = || (Rc::clone(log), Rc::clone(sink));
    let (ours, payloads, ready) = (both(), both(), both());
    let (alone, plain) = (Rc::clone(log), Rc::clone(log));
    vec![
        Contestant::new(name::DRAIN_ONCE, Role::Ours, move |dir, _| {
            let (log, sink) = &ours;
            log.beginning(dir, entries)?;
            counted(sink, entries, clock, || ours::drain(dir, &sink.url(), entries))
        }),
        Contestant::new(name::ENCODE_PLAIN, Role::Floor, move |_, _| {
            Ok(rate(entries, plain::encode(&plain, entries, clock)?))
        }),
        Contestant::new(name::ENCODE_ALONE, Role::Floor, move |_, _| {
            let form = Form { encoding: otlp::Encoding::Protobuf, gzip: false };
            let seconds = ours::encode(&alone, entries, form, clock)?;
            Ok(rate(entries, seconds))
        }),
        Contestant::new(name::OTEL, Role::Peer, move |_, _| {
            let (log, sink) = &payloads;
            counted(sink, entries, clock, || peer::from_payloads(log, &sink.url(), entries))
        }),
        Contestant::new(name::OTEL_READY, Role::Peer, move |_, _| {
            let (log, sink) = &ready;
            let records = peer::Ready::read(log)?;
            counted(sink, entries, clock, || records.emit(&sink.url(), entries))
        }),
    ]
}

fn backlogs(log: &Rc<Log>, sink: &Rc<Sink>, total: u64) -> Vec<Contestant> {
    let sizes = BACKLOGS.into_iter().filter(|it| it.0 <= total);
    sizes
        .map(|(entries, name)| {
            let (log, sink) = (Rc::clone(log), Rc::clone(sink));
            Contestant::new(name, Role::Ours, move |dir, _| {
                let times = (REPEATED / entries).max(1);
                let dirs: Vec<_> = (0..times).map(|it| dir.join(it.to_string())).collect();
                for dir in &dirs {
                    std::fs::create_dir(dir)?;
                    log.beginning(dir, entries)?;
                }
                counted(&sink, times * entries, Clock::Wall, || {
                    dirs.iter().try_for_each(|dir| ours::drain(dir, &sink.url(), entries))
                })
            })
        })
        .collect()
}

fn memory(log: &Rc<Log>, sink: &Rc<Sink>, total: u64) -> Vec<Contestant> {
    let (log, sink) = (Rc::clone(log), Rc::clone(sink));
    let figure = |mib| Sample { p50_us: f64::NAN, p99_us: f64::NAN, rate: mib, calls: 1 };
    vec![
        Contestant::new(name::DRAIN_LARGEST, Role::Ours, move |dir, _| {
            log.beginning(dir, total)?;
            let before = sink.count()?;
            let mib = ours::memory_of_a_child(dir, &sink.url(), total)?;
            ensure!(sink.count()? - before == total, "the sink did not get every entry");
            Ok(figure(mib))
        }),
        Contestant::new(name::DRAIN_MEMORY_LIMIT, Role::Floor, move |_, _| {
            Ok(figure(MEMORY_MAX_MIB))
        }),
    ]
}

/// Times `run`, which must bring exactly `entries` records to the sink.
fn counted(
    sink: &Sink,
    entries: u64,
    clock: Clock,
    run: impl FnOnce() -> Result<()>,
) -> Result<Sample> {
    let before = sink.count()?;
    let start = now(clock);
    run()?;
    let seconds = (now(clock).saturating_sub(start)).as_secs_f64();
    let got = sink.count()? - before;
    ensure!(got == entries, "{got} of {entries} records came to the sink");
    Ok(rate(entries, seconds))
}

fn now(clock: Clock) -> Duration {
    let time = clock_gettime(match clock {
        Clock::Wall => ClockId::Monotonic,
        Clock::Processor => ClockId::ProcessCPUTime,
    });
    Duration::try_from(time).unwrap_or_default()
}

fn rate(entries: u64, seconds: f64) -> Sample {
    Sample { p50_us: f64::NAN, p99_us: f64::NAN, rate: entries as f64 / seconds, calls: entries }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::{Against, targets};

    #[test]
    fn every_target_of_the_drain_names_contestants_that_run() {
        let log = Rc::new(Log::default());
        let sink = Rc::new(Sink::default());
        let cases = [
            (name::DRAIN_ENCODE, encoders(&log, 1)),
            (name::DRAIN, exporters(&log, &sink, 1, Clock::Wall)),
            (name::DRAIN_PER_CORE, exporters(&log, &sink, 1, Clock::Processor)),
            (name::DRAIN_BACKLOG, backlogs(&log, &sink, u64::MAX)),
            (name::DRAIN_MEMORY, memory(&log, &sink, 1)),
        ];
        for target in targets(BENCH) {
            let (_, contestants) = cases.iter().find(|it| it.0 == target.case).unwrap();
            let runs = |name: &str| contestants.iter().any(|it| it.name == name);
            assert!(runs(target.ours), "{target:?}");
            assert!(!matches!(target.against, Against::Named(name) if !runs(name)), "{target:?}");
        }
    }
}
