//! Old segments are removed, and that stays on record.
//!
//! Only whole sealed segments go, from the oldest on, each of whose records is older than asked for. First
//! the whole trail is verified: evidence of damage is not removed. Then a tombstone is appended, durably;
//! then the files are removed one by one, oldest first, each removal durable before the next.
//!
//! * **P1** A trail begins with record 1, or behind a record that a tombstone further on names with its
//!   hash. A crash leaves a trail that begins somewhere in the range of its tombstone; pruning again
//!   removes the rest.
//! * **P2** The tombstone is never in a segment that it is about.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use vfs::Vfs;

use crate::{
    error::{AppendError, PruneError},
    names,
    own::Tombstone,
    trail::{Receipt, Settings, Trail},
    verify::{Verdict, verify},
};

/// What was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// How many segments.
    pub segments: u64,
    /// How many records.
    pub records: u64,
    /// The first and the last of them.
    pub seqs: Option<(u64, u64)>,
    /// The tombstone.
    pub tombstone: Option<Receipt>,
}

/// Opens the trail in `dir` and prunes it, see [`Trail::prune`].
///
/// # Errors
///
/// [`PruneError`]. Nothing was removed, except for [`PruneError::Remove`].
pub fn prune(
    vfs: &Arc<dyn Vfs>,
    (dir, settings): (&Path, Settings),
    older_than: Timestamp,
    now: Timestamp,
    actor: &str,
) -> Result<Pruned, PruneError> {
    Trail::open(vfs.clone(), dir, settings)?.prune(older_than, now, actor)
}

impl Trail {
    /// Removes the oldest sealed segments all of whose records are older than `older_than`.
    ///
    /// # Errors
    ///
    /// [`PruneError`]. Nothing was removed, except for [`PruneError::Remove`].
    pub fn prune(
        &mut self,
        older_than: Timestamp,
        now: Timestamp,
        actor: &str,
    ) -> Result<Pruned, PruneError> {
        if let Verdict::Damaged(damage) = verify(&self.files.vfs, &self.files.dir)? {
            return Err(PruneError::Damaged(damage));
        }
        let held = self.lock()?;
        let none = Pruned { segments: 0, records: 0, seqs: None, tombstone: None };
        let (going, last) = self.going(older_than)?;
        let (Some(first), Some(last)) = (going.first().copied(), last) else { return Ok(none) };
        let tombstone = Tombstone { first, last: last.seq, last_hash: last.hash };
        let record = tombstone.to_record((self.settings.source, actor), older_than, now);
        // What could not be read back must not be written.
        let invalid = |source| AppendError::Invalid { index: 0, source };
        record.check_bounds().map_err(invalid)?;
        // P1: the tombstone and the head that names it are durable before anything is removed. P2: what
        // is appended now goes behind every sealed segment.
        let receipts = self.append_held(&[record], now)?;
        self.head_file
            .sync_data()
            .map_err(self.files.io(names::HEAD))
            .inspect_err(|_| self.poison())?;
        for first in &going {
            let path = self.files.path(&names::sealed(*first));
            let removed = self.files.vfs.remove(&path);
            let removed = removed.and_then(|()| self.files.vfs.sync_dir(&self.files.dir));
            removed.map_err(|source| PruneError::Remove { path, source })?;
        }
        drop(held);
        Ok(Pruned {
            segments: going.len() as u64,
            records: last.seq.saturating_sub(first).saturating_add(1),
            seqs: Some((first, last.seq)),
            tombstone: receipts.last().copied(),
        })
    }

    /// The segments to remove, and their last record.
    fn going(&self, older_than: Timestamp) -> Result<(Vec<u64>, Option<Receipt>), PruneError> {
        let sealed = self.files.sealed().map_err(self.files.io(""))?;
        let (mut going, mut last) = (Vec::new(), None);
        for first in sealed {
            let Some((seal, record)) = self.files.seal(first)? else { break };
            if seal.span.newest >= older_than {
                break;
            }
            going.push(first);
            last = Some(Receipt { seq: record.seq, hash: record.hash });
        }
        Ok((going, last))
    }
}
