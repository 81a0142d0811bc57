//! A log that has grown long and is delivered goes to the archive while the runtime serves.
//!
//! Every [`CHECK_INTERVAL`] the length of the log is looked at. Above [`Config::wal_max_bytes`] it is
//! replaced by a new log that is linked to it, when all of this holds:
//!
//! * a consumer has accepted every entry, and no consumer runs (`wal_recovery::archive`);
//! * **O1** no allowed call is between its decision and its outcome. The next start looks for such
//!   calls in the live log only, and must find every one.
//!
//! A log under constant traffic never is delivered at one instant: while a consumer sends the last entries,
//! others arrive. So when a consumer comes near the end of a log that is too long, new calls are held
//! before their decision, for [`HOLD_MAX`] at most, while the calls that run end and the consumer takes the
//! rest. The consumer does its part: it goes on as long as entries arrive (`exporter`). When it does not
//! work out, the calls go on, and [`HOLD_PAUSE`] passes before they are held again.
//!
//! Calls wait for a few syncs meanwhile. Packing, and the deletion of what is kept long enough, happen
//! beside them. A failure costs nothing but the attempt: the log goes on, and the next look tries again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{task::spawn_blocking, time::Instant};
use uuid::Uuid;
use vfs::{OsVfs, Vfs};
use wal_recovery::{
    AppendError, RollOver, RollOverError, RolledOver,
    archive::{Keep, finish_archives, prune},
    codes,
};

use crate::{exporter::Exporting, interceptor::Interceptor, releases::floor_event, start::Wal};

/// Pause between two looks at the length of the log.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The same for a log that is too long: a consumer may be near its end for a moment only.
const NEAR_INTERVAL: Duration = Duration::from_millis(50);
/// Longest time for which new calls are held.
const HOLD_MAX: Duration = Duration::from_secs(1);
/// Shortest time between two holds.
const HOLD_PAUSE: Duration = Duration::from_secs(10);
/// Pause between two looks while calls are held.
const HELD_INTERVAL: Duration = Duration::from_millis(10);
/// Most entries that a consumer may be behind for calls to be held.
const HOLD_LAG_MAX: u64 = 4096;
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
pub(crate) struct OpenCalls(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// In the order in which they were opened.
    calls: BTreeMap<u64, Oldest>,
}

/// A call that is open, and since when.
#[derive(Clone, Debug)]
pub(crate) struct Oldest {
    pub(crate) audit_id: String,
    pub(crate) since: Instant,
}

impl OpenCalls {
    /// Counts a call before its decision can be in the log.
    pub(crate) fn enter(self: &Arc<Self>, audit_id: &str) -> OpenCall {
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.calls.insert(number, Oldest { audit_id: audit_id.to_owned(), since: Instant::now() });
        drop(open);
        OpenCall { calls: Arc::clone(self), number }
    }

    pub(crate) fn none(&self) -> bool {
        self.open().calls.is_empty()
    }

    /// How many are open, and the first of them.
    pub(crate) fn summary(&self) -> (usize, Option<Oldest>) {
        let open = self.open();
        (open.calls.len(), open.calls.values().next().cloned())
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One such call. A call stays open unless it is closed: whatever else happens to it, a panic included, the
/// next start must find it in the log.
#[derive(Debug)]
#[must_use]
pub(crate) struct OpenCall {
    calls: Arc<OpenCalls>,
    number: u64,
}

impl OpenCall {
    /// The call has its outcome in the log, or was never in it.
    pub(crate) fn close(self) {
        self.calls.open().calls.remove(&self.number);
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
    let mut near = Near::default();
    loop {
        let over = is_over(&how, &interceptor);
        tokio::time::sleep(if over { NEAR_INTERVAL } else { CHECK_INTERVAL }).await;
        let replaced = match near.look(&how, &interceptor, &wal) {
            Look::Wait => {
                if over {
                    hurry(exporting.as_ref());
                }
                false
            }
            Look::Due => roll_over(&how, &interceptor, &wal).await,
            Look::Hold => hold(&how, &interceptor, &wal, exporting.as_ref()).await,
        };
        if replaced || pruned.elapsed() >= PRUNE_INTERVAL {
            pack(&how, &wal).await;
            pruned = Instant::now();
        }
    }
}

fn is_over(how: &Rollover, interceptor: &Interceptor) -> bool {
    let log = interceptor.journal.status();
    log.bytes > how.max_bytes && log.failure.is_none()
}

/// What to do about a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Nothing.
    Wait,
    /// Everything is delivered.
    Due,
    /// A consumer is near the end.
    Hold,
}

/// Tells whether a consumer comes near the end of a log.
#[derive(Debug, Default)]
struct Near {
    position: Option<u64>,
    held: Option<Instant>,
}

impl Near {
    fn look(&mut self, how: &Rollover, interceptor: &Interceptor, wal: &Wal) -> Look {
        if !is_over(how, interceptor) {
            return Look::Wait;
        }
        let position = wal.position();
        self.judge(position, interceptor.journal.status().last_seq, Instant::now())
    }

    fn judge(&mut self, position: Option<u64>, last: u64, now: Instant) -> Look {
        let before = std::mem::replace(&mut self.position, position);
        let Some(position) = position else { return Look::Wait };
        if position == last {
            return Look::Due;
        }
        let works = before.is_some_and(|before| position > before);
        let rested = self.held.is_none_or(|held| now.duration_since(held) >= HOLD_PAUSE);
        if works && rested && last.saturating_sub(position) <= HOLD_LAG_MAX {
            self.held = Some(now);
            return Look::Hold;
        }
        Look::Wait
    }
}

/// Holds new calls until the log is delivered and replaced, or for [`HOLD_MAX`].
async fn hold(
    how: &Rollover,
    interceptor: &Arc<Interceptor>,
    wal: &Wal,
    exporting: Option<&Exporting>,
) -> bool {
    let until = Instant::now() + HOLD_MAX;
    let Ok(_held) = tokio::time::timeout_at(until, interceptor.gate.write()).await else {
        return false;
    };
    while Instant::now() < until {
        let delivered = wal.position() == Some(interceptor.journal.status().last_seq);
        if delivered && interceptor.open.none() && roll_over(how, interceptor, wal).await {
            return true;
        }
        hurry(exporting);
        tokio::time::sleep(HELD_INTERVAL).await;
    }
    false
}

/// The consumer in this process need not wait for its next turn.
fn hurry(exporting: Option<&Exporting>) {
    if let Some(exporting) = exporting {
        exporting.hurry();
    }
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
    let done = spawn_blocking(move || switch(&calls, &OsVfs, &request));
    match done.await {
        Ok(Ok(Some(Ok(RolledOver::Switched { from, entries, bytes, to })))) => {
            tracing::info!(wal_id = %from, entries, bytes, next = %to.wal_id, "log archived");
            wal.replace_identity(to);
            carry_floor(interceptor).await;
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

/// The new log remembers what the old one did (M1 of `releases::remembered`).
async fn carry_floor(interceptor: &Interceptor) {
    let Some(floor) = interceptor.floor() else { return };
    if let Err(error) = interceptor.journal.append(&floor_event("floor_carried", &floor)).await {
        // The archived log has it, where the next start looks.
        tracing::error!(error = %error, "rollback floor not recorded in the new log");
    }
}

/// Replaces the log unless a call is open (O1). Blocks.
pub(crate) fn switch(
    calls: &Interceptor,
    vfs: &dyn Vfs,
    request: &RollOver,
) -> Result<Option<Result<RolledOver, RollOverError>>, AppendError> {
    calls.journal.with_writer(|writer| {
        // Nobody can record a decision while we have the writer, so what is counted now is all.
        calls.open.none().then(|| writer.roll_over(vfs, request))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_held_when_a_consumer_moves_near_the_end_and_not_twice_in_a_row() {
        let start = Instant::now();
        let mut near = Near::default();
        let mut look = |position, last, seconds| {
            near.judge(position, last, start + Duration::from_secs(seconds))
        };
        assert_eq!(look(None, 9, 0), Look::Wait, "a position that cannot be read");
        assert_eq!(look(Some(9), 9, 0), Look::Due);
        assert_eq!(look(Some(9), 12, 0), Look::Wait, "no consumer is at work");
        assert_eq!(look(Some(10), 12 + HOLD_LAG_MAX, 0), Look::Wait, "far from the end");
        assert_eq!(look(Some(11), 12, 0), Look::Hold);
        assert_eq!(look(Some(12), 13, 1), Look::Wait, "calls were held just now");
        assert_eq!(look(Some(13), 13, 1), Look::Due);
        assert_eq!(look(Some(13), 15, 30), Look::Wait);
        assert_eq!(look(Some(14), 15, 30), Look::Hold);
    }
}
