//! What a runtime does when its log is taken away under it.
//!
//! The log keeps a second name outside the directory, so that what was written to it can be looked at
//! when its own name is gone. That is the runbook too: a log that was renamed is put back.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    harness::{
        Answers, Client, Ports, RuntimeOptions, Stack, audit, call_until_refused, eventually,
        run_to_end,
    },
    stories::{
        Narrator,
        drill::{Drill, Fault, Needs},
    },
};

/// Callers at once.
const CALLERS: usize = 8;
/// Most calls of each.
const CALLS: usize = 400;
/// Entries that callers have written before the fault.
const ENTRIES_BEFORE: u64 = 50;

/// The log is deleted.
pub(super) const REMOVED: Drill = Drill {
    name: "log-removed",
    hypothesis: "a log that is deleted under the process acknowledges nothing any more",
    fault: "rm telemetry.wal while 8 callers call",
    expected: "503 WAL_UNAVAILABLE with WAL_FILE_REPLACED in the reason; a restart is refused",
    needs: Needs::Nothing,
    lines: &[],
    play: |dir, fault, narrator| play(dir, fault, narrator, |wal, _| Ok(fs::remove_file(wal)?)),
};

/// Another file takes the name of the log.
pub(super) const REPLACED: Drill = Drill {
    name: "log-replaced",
    hypothesis: "a log that is replaced under the process acknowledges nothing any more",
    fault: "an older copy is moved over telemetry.wal while 8 callers call",
    expected: "503 WAL_UNAVAILABLE with WAL_FILE_REPLACED in the reason; a restart is refused",
    needs: Needs::Nothing,
    lines: &[],
    play: |dir, fault, narrator| play(dir, fault, narrator, |wal, old| Ok(fs::rename(old, wal)?)),
};

/// Does it to the log, with an older copy at hand.
type Deed = fn(&Path, &Path) -> Result<()>;

fn play(dir: &Path, fault: Fault, narrator: &mut Narrator, deed: Deed) -> Result<()> {
    let stack = Stack::new(dir, Ports::free()?);
    stack.load_demo_policy()?;
    let (client, mut answers, mut runtime) = (Client::new()?, Answers::default(), None);
    let wal = stack.wal_dir().join("telemetry.wal");
    let (kept, old) = (dir.join("kept.wal"), dir.join("old.wal"));
    narrator.check("the runtime serves", || {
        runtime = Some(stack.runtime(&RuntimeOptions::default())?);
        fs::copy(&wal, &old)?;
        Ok(fs::hard_link(&wal, &kept)?)
    });
    let copy = fs::read(&old).unwrap_or_default();
    narrator.check("it happens while callers call", || {
        let deed = || if fault == Fault::Injected { deed(&wal, &old) } else { Ok(()) };
        answers = call_and(&stack, &client, deed)?;
        Ok(())
    });
    narrator.check("proof: the name does not lead to the log any more", || {
        ensure!(inode(&wal)? != inode(&kept)?, "it does");
        Ok(())
    });
    narrator.check("every caller was denied, with WAL_FILE_REPLACED in the reason", || {
        ensure!(answers.unrecorded.len() == CALLERS, "{} were", answers.unrecorded.len());
        let named = |reason: &str| reason.contains("WAL_FILE_REPLACED");
        let other = answers.unrecorded.iter().find(|(status, answer)| {
            let reason = answer.reason.as_deref().unwrap_or_default();
            *status != 503 || answer.code.as_deref() != Some("WAL_UNAVAILABLE") || !named(reason)
        });
        ensure!(other.is_none(), "{other:?}");
        let wal = wal_status(&stack, &client)?;
        ensure!(wal["health"] == "WAL_FILE_REPLACED", "{wal}");
        Ok(())
    });
    narrator.check("nothing was written to what has the name now", || {
        let found = if wal.exists() { fs::read(&wal)? } else { copy.clone() };
        ensure!(found == copy, "it has {} bytes, and had {}", found.len(), copy.len());
        Ok(())
    });
    narrator.check("a restart is refused: the log is not the one of the safe point", || {
        runtime.take().context("no runtime")?.kill()?;
        let ended = run_to_end(&mut stack.runtime_command(&RuntimeOptions::default())?)?;
        ensure!(ended.code() == Some(8), "{ended:?}");
        ensure!(ended.stderr.contains("SAFESEQ_GT_MAXSEQ"), "{ended:?}");
        Ok(())
    });
    narrator.check("with the log put back under its name it goes on", || {
        fs::rename(&kept, &wal)?;
        stack.runtime(&RuntimeOptions::default())?.stop()
    });
    narrator.check("every answered call is in the export exactly once", || {
        audit(&stack.export()?, &answers.recorded)
    });
    Ok(())
}

/// Lets callers call, and does `deed` in the middle of it.
fn call_and(stack: &Stack, client: &Client, deed: impl FnOnce() -> Result<()>) -> Result<Answers> {
    let url = stack.runtime_url();
    thread::scope(|scope| {
        let callers = scope.spawn(|| call_until_refused(client, &url, CALLERS, CALLS));
        eventually("callers have written", || {
            let last = wal_status(stack, client).ok()?["last_seq"].as_u64()?;
            (last > ENTRIES_BEFORE).then_some(())
        })?;
        deed()?;
        callers.join().map_err(|_| anyhow::anyhow!("a caller panicked"))?
    })
}

fn wal_status(stack: &Stack, client: &Client) -> Result<Value> {
    Ok(client.get_json(&format!("{}/v1/status", stack.runtime_url()))?["wal"].clone())
}

/// The file behind a name; `None` when there is none.
fn inode(path: &PathBuf) -> Result<Option<u64>> {
    Ok(if path.exists() { Some(fs::metadata(path)?.ino()) } else { None })
}
