//! A log that has grown long and is delivered goes to the archive while the runtime serves.
//!
//! Every [`CHECK_INTERVAL`] the length of the log is looked at. Above [`Config::wal_max_bytes`] it is
//! replaced by a new log that is linked to it, when all of this holds:
//!
//! * a consumer has accepted every entry, and no consumer runs (`wal_recovery::archive`);
//! * **O1** no allowed call is between its decision and its outcome. The next start looks for such
//!   calls in the live log only, and must find every one.
//!
//! Calls wait for a few syncs meanwhile. Packing, and the deletion of what is kept long enough, happen
//! beside them. A failure costs nothing but the attempt: the log goes on, and the next look tries again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{task::spawn_blocking, time::Instant};
use uuid::Uuid;
use vfs::OsVfs;
use wal_recovery::{
    RollOver, RolledOver,
    archive::{Keep, finish_archives, prune},
    codes,
};

use crate::{exporter::Exporting, interceptor::Interceptor, start::Wal};

/// Pause between two looks at the length of the log.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Pause between two looks at the age of the archive.
const PRUNE_INTERVAL: Duration = Duration::from_hours(1);

/// When a log goes to the archive, and how long it stays there.
#[derive(Clone, Debug)]
pub(crate) struct Rollover {
    pub(crate) max_bytes: u64,
    pub(crate) keep: Keep,
    pub(crate) node: String,
    pub(crate) holder: String,
}

/// Allowed calls between their decision and their outcome (O1).
#[derive(Debug, Default)]
pub(crate) struct OpenCalls(AtomicUsize);

impl OpenCalls {
    /// Counts a call before its decision can be in the log.
    pub(crate) fn enter(self: &Arc<Self>) -> OpenCall {
        self.0.fetch_add(1, Ordering::SeqCst);
        OpenCall { calls: Arc::clone(self), stays_open: false }
    }

    fn none(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

/// One such call.
#[derive(Debug)]
pub(crate) struct OpenCall {
    calls: Arc<OpenCalls>,
    stays_open: bool,
}

impl OpenCall {
    /// The outcome could not be recorded: the next start must find this call in the log.
    pub(crate) fn stays_open(&mut self) {
        self.stays_open = true;
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        if !self.stays_open {
            self.calls.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Looks after the log until it is dropped.
pub(crate) async fn look_after(
    how: Rollover,
    interceptor: Arc<Interceptor>,
    wal: Arc<Wal>,
    exporting: Option<Exporting>,
) {
    // What an earlier process has left is finished first.
    pack(&how, &wal).await;
    let mut pruned = Instant::now();
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        if interceptor.journal.status().bytes > how.max_bytes
            && let Some(exporting) = &exporting
        {
            exporting.hurry();
        }
        if due(&how, &interceptor, &wal) && roll_over(&how, &interceptor, &wal).await {
            pack(&how, &wal).await;
        } else if pruned.elapsed() >= PRUNE_INTERVAL {
            pack(&how, &wal).await;
            pruned = Instant::now();
        }
    }
}

fn due(how: &Rollover, interceptor: &Interceptor, wal: &Wal) -> bool {
    let log = interceptor.journal.status();
    log.bytes > how.max_bytes && log.failure.is_none() && wal.position() == Some(log.last_seq)
}

/// Replaces the log, and says whether it did.
async fn roll_over(how: &Rollover, interceptor: &Arc<Interceptor>, wal: &Wal) -> bool {
    let request = RollOver {
        random: *Uuid::new_v4().as_bytes(),
        now: Timestamp::now(),
        node: how.node.clone(),
        holder: how.holder.clone(),
    };
    let calls = Arc::clone(interceptor);
    let done = spawn_blocking(move || {
        calls.journal.with_writer(|writer| {
            // Nobody can record a decision while we have the writer, so what is counted now is all.
            calls.open.none().then(|| writer.roll_over(&OsVfs, &request))
        })
    });
    match done.await {
        Ok(Ok(Some(Ok(RolledOver::Switched { from, entries, bytes, to })))) => {
            tracing::info!(wal_id = %from, entries, bytes, next = %to.wal_id, "log archived");
            wal.replace_identity(to);
            true
        }
        Ok(Ok(Some(Err(error)))) => {
            // Another entry or a consumer was faster: nothing to tell.
            if !matches!(error.code(), codes::WAL_NOT_DRAINED | codes::DRAIN_LOCKED) {
                tracing::warn!(code = error.code(), error = %error, "log not archived");
            }
            false
        }
        // Somebody was faster: a call, an entry. Or the log has stopped, which every call hears of,
        // or the process ends.
        Ok(Ok(None | Some(Ok(RolledOver::Nothing))) | Err(_)) | Err(_) => false,
    }
}

/// Packs what waits in the archive, and deletes what is not kept any longer.
async fn pack(how: &Rollover, wal: &Wal) {
    let (dir, holder, keep) = (wal.dir.clone(), how.holder.clone(), how.keep);
    let done = spawn_blocking(move || {
        let now = Timestamp::now();
        let finished = finish_archives(&OsVfs, &dir, now, &holder);
        (finished, prune(&OsVfs, &dir, keep, now, &holder))
    });
    let Ok((finished, pruned)) = done.await else { return };
    match finished {
        Ok(finished) => {
            for log in finished.packed {
                tracing::info!(wal_id = %log.wal_id, bytes = log.packed.bytes, "log packed");
            }
            for error in finished.failed {
                tracing::warn!(code = error.code(), error = %error, "log not packed");
            }
        }
        Err(error) => tracing::warn!(code = error.code(), error = %error, "archive not packed"),
    }
    match pruned {
        Ok(pruned) => {
            for wal_id in pruned.deleted {
                tracing::info!(%wal_id, "archived log deleted: it was kept long enough");
            }
        }
        Err(error) if error.code() == codes::ARCHIVE_LOCKED => {}
        Err(error) => tracing::warn!(code = error.code(), error = %error, "archive not pruned"),
    }
}
