//! What the pages of the causes tell an operator to do, and what of the answered calls is there afterwards.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use wal_format::names;
use wal_recovery::codes;

use crate::harness::{Ports, RuntimeOptions, Stack, audit};

use super::{
    log,
    site::{Site, exported, salvaged, wal},
};

/// Calls that were answered with a number, as `Answers` has them.
type Recorded = BTreeMap<String, (u64, bool)>;
/// The environment of a start.
type Env = &'static [(&'static str, &'static str)];

/// A way out of a cause, and what it promises.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remedy {
    /// In a few words.
    pub(super) name: &'static str,
    /// What is done to the directory.
    pub(super) take: fn(&mut Site) -> Result<()>,
    /// Variables of the next start, and of no later one.
    pub(super) env: Env,
    /// A code that the next start logs.
    pub(super) warns: Option<&'static str>,
    /// Checks what is there of the calls before the fault, and of those since, once the runtime has stopped.
    pub(super) kept: fn(&Site, &Recorded) -> Result<()>,
}

pub(super) const LEGACY_ENV: Env = &[("AUTONOMYOPS_WAL_LEGACY_UPGRADE", "1")];
pub(super) const RESET_ENV: Env = &[("AUTONOMYOPS_WAL_OPERATOR_RESET", "1")];

/// The safe point is put back.
pub(super) const SAFE_POINT_BACK: Remedy = Remedy {
    name: "the safe point is put back",
    take: |site| site.put_back(names::SAFE_SEQ),
    env: &[],
    warns: None,
    kept: everything,
};

/// Log and safe point are restored.
pub(super) const BACKUP: Remedy = Remedy {
    name: "log and safe point are restored from a backup of one moment",
    take: |site| {
        site.put_back(names::WAL)?;
        site.put_back(names::SAFE_SEQ)
    },
    env: &[],
    warns: None,
    kept: everything,
};

/// The safe point is moved away, and every whole frame adopted.
pub(super) const ADOPT: Remedy = Remedy {
    name: "without a safe point every whole frame is adopted",
    take: |site| {
        let safe = site.dir().join(names::SAFE_SEQ);
        if safe.exists() {
            fs::rename(&safe, site.dir().join("telemetry.safe_seq.bad"))?;
        }
        Ok(())
    },
    env: LEGACY_ENV,
    warns: Some(codes::WAL_LEGACY_ADOPTED),
    kept: everything,
};

/// The log is put aside.
pub(super) const REPAIR: Remedy = Remedy {
    name: "the log is put aside with `autonomy wal repair`",
    take: |site| {
        site.done(&["repair", "--dry-run"])?;
        ensure!(
            log::files(&site.dir())? == log::files(&site.evidence())?,
            "a dry run changes files"
        );
        site.done(&["repair", "--reason", "a drill"]).map(drop)
    },
    env: &[],
    warns: None,
    kept: |site, since| {
        aside(site)?;
        readable(site)?;
        audit(&site.stack.export()?, since)
    },
};

/// The loss is accepted.
pub(super) const ACCEPT: Remedy = Remedy {
    name: "both files are deleted and the loss is accepted",
    take: |site| {
        for name in [names::WAL, names::SAFE_SEQ] {
            fs::remove_file(site.dir().join(name))?;
        }
        Ok(())
    },
    env: RESET_ENV,
    warns: Some(codes::WAL_RESET_BY_OPERATOR),
    kept: |site, since| {
        readable(site)?;
        delivered(site, since)
    },
};

/// The loss was made by hand, and is accepted.
pub(super) const RESET: Remedy =
    Remedy { name: "the loss is accepted", take: |_| Ok(()), kept: delivered, ..ACCEPT };

/// The directory is restored.
pub(super) const RESTORE: Remedy = Remedy {
    name: "the log is restored from a backup that was made after the seal",
    take: |site| {
        (BACKUP.take)(site)?;
        let (code, told) = site.verify()?;
        ensure!(code == Some(0), "it does not verify: {told}");
        Ok(())
    },
    ..BACKUP
};

/// The next log of a switch is put back.
pub(super) const NEXT_BACK: Remedy = Remedy {
    name: "the file is put back, and the start finishes the switch",
    take: |site| site.put_back(names::NEXT),
    env: &[],
    warns: None,
    kept: |site, since| {
        let archived = files_below(site, names::ARCHIVE_DIR)?;
        let old = fs::read(site.backup().join(names::WAL))?;
        ensure!(archived.values().any(|it| *it == old), "it is not in {:?}", archived.keys());
        audit(&site.stack.export()?, since)
    },
};

/// Nothing is to be done.
pub(super) const NOTHING: Remedy = Remedy {
    name: "nothing is to be done",
    take: |_| Ok(()),
    env: &[],
    warns: None,
    kept: everything,
};

/// The other one is stopped, once a second one has served from a directory of its own.
pub(super) const OTHER_STOPPED: Remedy = Remedy {
    name: "a directory of its own, or the other one is stopped",
    take: |site| {
        let stack = Stack::new(&site.stack.dir.join("second"), Ports::free()?);
        stack.runtime(&RuntimeOptions::default())?.stop()?;
        site.runtime()?.stop()
    },
    env: &[],
    warns: None,
    kept: everything,
};

/// The entries of an older log are all there, one place earlier: it had no birth. The entry that adopts it follows.
pub(super) fn adopted(site: &Site, since: &Recorded) -> Result<()> {
    let lines = site.stack.export()?;
    let before = site.before.recorded.iter();
    let mut all: Recorded = before.map(|(id, (seq, ran))| (id.clone(), (seq - 1, *ran))).collect();
    ensure!(lines.iter().any(|it| it.contains(r#""event":"wal.adopted""#)), "it was not adopted");
    all.extend(since.clone());
    audit(&lines, &all)
}

/// What was delivered is with the collector.
fn delivered(site: &Site, since: &Recorded) -> Result<()> {
    let collected = fs::read_to_string(site.collected())?;
    for id in site.before.recorded.keys() {
        ensure!(collected.contains(id.as_str()), "the collector does not have {id}");
    }
    audit(&site.stack.export()?, since)
}

/// Every answered call stands in the export where the answer said, those before the fault included.
pub(super) fn everything(site: &Site, since: &Recorded) -> Result<()> {
    let mut all = site.before.recorded.clone();
    all.extend(since.clone());
    audit(&site.stack.export()?, &all)
}

/// The damaged log is below `damaged/`, byte for byte.
fn aside(site: &Site) -> Result<()> {
    let damaged = fs::read(site.evidence().join(names::WAL))?;
    let aside = files_below(site, names::DAMAGED_DIR)?;
    ensure!(aside.values().any(|it| *it == damaged), "it is not in {:?}", aside.keys());
    Ok(())
}

fn files_below(site: &Site, name: &str) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    log::files(&site.dir().join(name))
}

/// What `wal status` says of a damaged log can be saved: each of its entries, in its place. An export that is told nothing
/// stops at the safe point, and prints nothing without one.
fn readable(site: &Site) -> Result<()> {
    let evidence = site.evidence();
    let (_, status) = wal(&["status"], &evidence)?;
    let holds = status["log"]["entries"].as_u64().with_context(|| format!("{status}"))?;
    let unread = [codes::SAFESEQ_NOT_FOUND, codes::SAFESEQ_CORRUPT, codes::WAL_SWITCH_BROKEN];
    if unread.iter().any(|it| status["health"] == *it) {
        let lines = exported(&evidence)?;
        ensure!(lines.is_empty(), "the runbook says that nothing is read: {lines:?}");
    }
    let lines = salvaged(&evidence)?;
    ensure!(lines.len() as u64 == holds, "{} lines, not {holds}", lines.len());
    for (id, (seq, _)) in &site.before.recorded {
        let Some(line) = lines.get(usize::try_from(*seq)?.saturating_sub(1)) else { continue };
        ensure!(line.contains(id.as_str()), "entry {seq} is not {id}: {line}");
    }
    Ok(())
}
