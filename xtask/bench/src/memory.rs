//! How much memory an operation takes: the peak of a process that does nothing else.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::{
    corpus::{Corpus, FRAME_LEN},
    open::{read_entries, survey_entries},
    rounds::{Contestant, Role},
    sample::Sample,
    targets::name,
};

/// The hidden command of the process that is measured.
pub(crate) const COMMAND: &str = "measure-memory";

const SURVEY: &str = "survey";
const READER: &str = "reader";
/// Most memory of an operation, besides a frame.
const LIMIT: usize = 16 << 20;
const MIB: f64 = 1_048_576.0;

/// Survey, reader, and the limit as somebody to compare with.
pub(crate) fn contestants(corpus: &Corpus) -> Vec<Contestant> {
    let child = |name: &'static str, what: &'static str| {
        let corpus = corpus.clone();
        Contestant::new(name, Role::Ours, move |_, _| Ok(figure(growth_in_a_child(what, &corpus)?)))
    };
    vec![
        child(name::SURVEY, SURVEY),
        child(name::READER, READER),
        Contestant::new(name::MEMORY_LIMIT, Role::Floor, |_, _| {
            Ok(figure((LIMIT + FRAME_LEN) as f64))
        }),
    ]
}

fn figure(bytes: f64) -> Sample {
    Sample { p50_us: f64::NAN, p99_us: f64::NAN, rate: bytes / MIB, calls: 1 }
}

fn growth_in_a_child(what: &str, corpus: &Corpus) -> Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args([COMMAND, what]).arg(&corpus.dir).output()?;
    let text = String::from_utf8(output.stdout)?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "measuring the memory of {what}: {}", error.trim());
    let (entries, kib) = text.trim().split_once(' ').context("two numbers")?;
    ensure!(entries == corpus.entries.to_string(), "{entries} of {} entries", corpus.entries);
    Ok(kib.parse::<f64>()? * 1024.0)
}

/// Does one thing and prints the number of entries and how far the peak rose, in KiB.
pub(crate) fn measure(what: &str, dir: &Path) -> Result<()> {
    let safe = fs::read(dir.join(wal_format::names::SAFE_SEQ))?;
    let entries = wal_format::SafePoint::from_bytes(&safe)?.get();
    let before = status_kib("VmRSS:")?;
    match what {
        SURVEY => survey_entries(dir, entries)?,
        READER => read_entries(dir, entries)?,
        _ => anyhow::bail!("nothing is called {what}"),
    }
    println!("{entries} {}", status_kib("VmHWM:")?.saturating_sub(before));
    Ok(())
}

/// A figure of this process. `VmHWM` is the peak of `VmRSS`.
pub(crate) fn status_kib(key: &str) -> Result<u64> {
    status_kib_of("self", key)
}

/// A figure of a process.
pub(crate) fn status_kib_of(process: &str, key: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(key));
    let value = value.and_then(|it| it.trim().strip_suffix(" kB")).context("a figure in kB")?;
    Ok(value.parse()?)
}
