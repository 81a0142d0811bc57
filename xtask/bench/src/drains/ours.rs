//! The drain: its machine alone, and end to end.

use std::{
    hint::black_box, io::Write as _, num::NonZeroUsize, path::Path, process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use drain::{Answer, Config, Drain, Effect, Input, Progress};
use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use otlp::Encoding;
use runtime::{Collector, CollectorSettings, DrainOptions, drain_once};
use vfs::OsVfs;

use super::{
    BATCH, Clock, MEASURE,
    events::{Log, NODE, wal_id},
    now,
};
use crate::memory::status_kib;

/// What a batch becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) encoding: Encoding,
    pub(crate) gzip: bool,
}

/// Seconds that the machine takes from the payloads of a batch to the request with it, over all
/// batches. One thread.
pub(crate) fn encode(log: &Log, entries: u64, form: Form, clock: Clock) -> Result<f64> {
    let Form { encoding, gzip } = form;
    let mut config = Config::standard(NODE.to_owned(), wal_id(), 1);
    config.encoding = encoding;
    config.batch_entries_max = NonZeroUsize::new(BATCH).context("a batch")?;
    let mut machine = Drain::new(config, Progress::load(wal_id(), None, None)?);
    let mut payloads = Vec::new();
    log.payloads(entries, |seq, payload| {
        machine.index(seq, 0, payload)?;
        payloads.push(payload.to_vec());
        Ok(())
    })?;
    let at = Timestamp::now();
    let (mut input, mut spent) = (Input::Indexed, Duration::ZERO);
    loop {
        let reads = matches!(input, Input::Read(_));
        let start = now(clock);
        let step = machine.step(input, at);
        input = match step.effect {
            Effect::Send(request) => {
                if gzip {
                    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                    encoder.write_all(&request.body)?;
                    black_box(encoder.finish()?);
                }
                ensure!(reads, "a request that follows from nothing");
                spent += now(clock).saturating_sub(start);
                Input::Answered(Answer { status: 200, ..Answer::default() })
            }
            Effect::Read(batch) => {
                let payload = |seq: u64| {
                    let at = usize::try_from(seq - 1).ok()?;
                    payloads.get(at).cloned()
                };
                let read: Option<Vec<_>> = batch.iter().map(|it| payload(it.seq.get())).collect();
                Input::Read(read.context("a payload that was indexed")?)
            }
            Effect::WriteCursors(_) | Effect::WritePosition(_) => Input::Written,
            Effect::Finished(report) => {
                ensure!(report.accepted.total() == entries, "not every entry was encoded");
                return Ok(spent.as_secs_f64());
            }
            other => bail!("the machine asks for {other:?}"),
        };
    }
}

/// Seconds that it takes to make a `serde_json::Value` of each payload, the usual first step.
pub(crate) fn parse_to_values(log: &Log, entries: u64) -> Result<f64> {
    let mut payloads = Vec::new();
    log.payloads(entries, |_, payload| {
        payloads.push(payload.to_vec());
        Ok(())
    })?;
    let start = now(Clock::Processor);
    for payload in &payloads {
        black_box(serde_json::from_slice::<serde_json::Value>(payload)?);
    }
    Ok((now(Clock::Processor).saturating_sub(start)).as_secs_f64())
}

/// Drains the log in `dir`, as the command does.
pub(crate) fn drain(dir: &Path, url: &str, entries: u64) -> Result<()> {
    let mut settings = CollectorSettings::plain(url);
    settings.timeout = Duration::from_mins(1);
    let collector = Collector::new(&settings)?;
    let mut options = DrainOptions::standard(dir.to_owned(), 1, "bench".to_owned());
    options.batch = NonZeroUsize::new(BATCH).context("a batch")?;
    options.retries = 0;
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = threads.block_on(drain_once(&OsVfs, &options, &collector, |_| ()))?;
    ensure!(
        report.accepted.total() == entries && report.pending.total() == 0,
        "{report:?} instead of {entries} entries"
    );
    Ok(())
}

/// Peak memory in MiB of a process that drains the log in `dir` and does nothing else.
pub(crate) fn memory_of_a_child(dir: &Path, url: &str, entries: u64) -> Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg(MEASURE).arg(dir).args([url, &entries.to_string()]).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "measuring the memory of a drain: {}", error.trim());
    let kib: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(kib / 1024.0)
}

/// Drains and prints the peak of this process in KiB.
pub(crate) fn measure_memory(dir: &Path, url: &str, entries: &str) -> Result<()> {
    drain(dir, url, entries.parse()?)?;
    println!("{}", status_kib("VmHWM:")?);
    Ok(())
}
