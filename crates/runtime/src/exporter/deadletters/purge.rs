//! Gives letters up, on the record.
//!
//! A line `purged` with the reason is on disk before the letter leaves the file, and stays there.

use std::{path::PathBuf, time::Duration};

use drain::{Line, OpenLetter};
use jiff::Timestamp;
use serde::Serialize;
use thiserror::Error;
use vfs::Vfs;

use super::{DeadLetters, Flaw, LetterFileError, damage};
use crate::exporter::lock::{self, DrainLockError};

/// What a purge is about.
#[derive(Clone, Debug)]
pub struct PurgeOptions {
    /// Directory of the log.
    pub dir: PathBuf,
    /// Which letters are given up.
    pub selection: Selection,
    /// The time of the lines.
    pub now: Timestamp,
    /// Who we are, for whoever finds the lock taken.
    pub holder: String,
    /// How long to wait for the lock.
    pub wait: Duration,
}

/// Which letters are given up. What is not delivered is given up for a reason only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// None: the file is compacted, so delivered letters leave it.
    Delivered,
    /// The open letters about these events.
    Events {
        /// Their ids.
        event_ids: Vec<String>,
        /// Why.
        reason: String,
    },
    /// The open letters that were refused the last time before this.
    Before {
        /// The time.
        time: Timestamp,
        /// Why.
        reason: String,
    },
    /// Every open letter.
    All {
        /// Why.
        reason: String,
    },
    /// No letter, but every line that is torn or damaged and means nothing.
    Damaged {
        /// Why.
        reason: String,
    },
}

/// What a purge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PurgeReport {
    /// Letters given up.
    pub purged: u64,
    /// Delivered letters that left the file.
    pub delivered: u64,
    /// Letters that are still open.
    pub open: u64,
    /// Lines that meant nothing and were given up.
    pub damaged_purged: u64,
    /// Lines of the file that mean nothing and stay in it.
    pub damaged_lines: u64,
}

/// Gives letters up and compacts the file.
///
/// # Errors
///
/// [`PurgeError`]. An event that has no open letter is found before anything is given up.
pub async fn purge_dead_letters(
    vfs: &dyn Vfs,
    options: &PurgeOptions,
    tell: impl FnMut(Flaw),
) -> Result<PurgeReport, PurgeError> {
    let dir = &*options.dir;
    let _lock = lock::take(vfs, dir, &options.holder, options.wait).await?;
    let opened = DeadLetters::open(vfs, dir, tell)?;
    let (chosen, reason) = choose(&opened, &options.selection)?;
    let mut lines = Vec::new();
    for letter in &chosen {
        let source = opened.letters.source(letter);
        let event_id = source.map(|it| it.event_id(letter.seq)).unwrap_or_default();
        let reason = reason.to_owned();
        Line::Purged { event_id, purged_at: options.now, reason }.write(&mut lines);
    }
    let mut damaged_purged = 0;
    if let Selection::Damaged { reason } = &options.selection {
        damaged_purged = damage::give_up(&opened, options.now, reason, &mut lines)
            .map_err(|source| LetterFileError::Read { path: opened.path.clone(), source })?;
    }
    if !lines.is_empty() {
        vfs::append_lines(vfs, &opened.path, &lines)
            .map_err(|source| LetterFileError::Write { path: opened.path.clone(), source })?;
    }
    let (purged, delivered) = (chosen.len() as u64, opened.counts().delivered);
    // There may be many: one index at a time.
    drop((chosen, lines, opened));
    let mut done = DeadLetters::open(vfs, dir, |_| ())?;
    done.compact(vfs)?;
    if damaged_purged > 0 {
        done = DeadLetters::open(vfs, dir, |_| ())?;
    }
    let (open, damaged_lines) = (done.counts().open, done.flaws());
    Ok(PurgeReport { purged, delivered, open, damaged_purged, damaged_lines })
}

fn choose<'a>(
    letters: &DeadLetters,
    selection: &'a Selection,
) -> Result<(Vec<OpenLetter>, &'a str), PurgeError> {
    let open = || letters.letters.open();
    match selection {
        Selection::Delivered | Selection::Damaged { .. } => Ok((Vec::new(), "")),
        Selection::All { reason } => Ok((open(), reason)),
        Selection::Before { time, reason } => {
            Ok((open().into_iter().filter(|it| it.refused_at < *time).collect(), reason))
        }
        Selection::Events { event_ids, reason } => {
            let mut chosen = Vec::with_capacity(event_ids.len());
            for event_id in event_ids {
                let found = letters.letters.find(event_id);
                let not_open = || PurgeError::NotOpen { event_id: event_id.clone() };
                chosen.push(found.ok_or_else(not_open)?);
            }
            chosen.sort_unstable_by_key(|it| it.place.offset);
            chosen.dedup();
            Ok((chosen, reason))
        }
    }
}

/// Why nothing, or not everything that was asked for, was purged.
#[derive(Debug, Error)]
pub enum PurgeError {
    /// The lock was not taken.
    #[error("purge failed: {0}")]
    Lock(#[from] DrainLockError),
    /// The file cannot be used.
    #[error("purge failed: {0}")]
    File(#[from] LetterFileError),
    /// There is no such letter.
    #[error("purge failed: there is no open dead letter about event {event_id}")]
    NotOpen {
        /// The event.
        event_id: String,
    },
}
