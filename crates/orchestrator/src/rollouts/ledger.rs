//! The audit trail as the writer keeps it: what was noted in the store is told there, once and in order.
//!
//! # Invariants
//!
//! * **G1** Notes are told in the order of their numbers, each once. Which were told stands in the trail itself: a
//!   record carries the unique id of its note. The number alone would not do: a database that was restored from a
//!   backup gives numbers again that the trail knows already.
//! * **G3** A trail that ends before a record that this process has written is not continued: somebody put an older
//!   one in its place.
//! * **G2** After a failed append it is unknown what the trail holds. It is opened again and looked at before
//!   anything more is told.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use audit::{AppendError, Filter, NewRecord, QueryError, Settings, Source, Trail};
use jiff::{SignedDuration, Timestamp};
use rollout_store::{ReadError, RolloutReader, store::Noted};
use serde_json::Value;
use thiserror::Error;
use vfs::Vfs;

use super::draft::Draft;

/// Field with the unique id of a note.
const NOTE_ID: &str = "note_id";
/// Field with the number of a note.
const NOTE: &str = "note";
/// Field with the store of a note.
const STORE: &str = "store";
/// Notes that are told with one append: at their longest they fit into one.
const NOTES_AT_ONCE: u32 = 256;
/// Notes that can wait at a start: what one batch can have committed, and more.
const NOTES_WAITING: u32 = 4096;
/// How much older than the first waiting note a record may be before the rest of the trail is not looked at. Clocks
/// jump; a day is more than they do.
const SLACK: SignedDuration = SignedDuration::from_hours(24);

/// Why something is not on record.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The trail could not be opened.
    #[error(transparent)]
    Open(#[from] audit::OpenError),
    /// The trail could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The trail could not be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The notes could not be read.
    #[error(transparent)]
    Notes(#[from] ReadError),
    /// Records that this process has written are gone.
    #[error("the trail ends at record {found}, and record {seen} was written")]
    RolledBack {
        /// Where it ends.
        found: u64,
        /// What was written.
        seen: u64,
    },
}

impl LedgerError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open(it) => it.code(),
            Self::Append(it) => it.code(),
            Self::Query(it) => it.code(),
            Self::Notes(it) => it.code(),
            Self::RolledBack { .. } => "AUDIT_ROLLED_BACK",
        }
    }
}

fn settings() -> Settings {
    let holder = format!("autonomy-orchestrator pid {}", std::process::id());
    Settings::new(Source::Orchestrator, &holder)
}

/// The open trail.
#[derive(Debug)]
pub(super) struct Ledger {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    store_id: String,
    /// `None` after a failure (G2).
    trail: Option<Trail>,
    /// Every note up to this number is in the trail.
    told: u64,
    /// The number of the last record that this process has seen there.
    seen: u64,
}

impl Ledger {
    /// Opens or creates the trail.
    pub(super) fn open(
        vfs: Arc<dyn Vfs>,
        dir: &std::path::Path,
        store_id: String,
    ) -> Result<Self, LedgerError> {
        let trail = Trail::open(Arc::clone(&vfs), dir, settings())?;
        Ok(Self { vfs, dir: dir.to_owned(), store_id, trail: Some(trail), told: 0, seen: 0 })
    }

    /// Whether what was told last is known.
    pub(super) const fn is_sound(&self) -> bool {
        self.trail.is_some()
    }

    /// The number up to which notes were told.
    pub(super) const fn told(&self) -> u64 {
        self.told
    }

    /// Tells what the store has noted and the trail does not hold (G1, G2).
    pub(super) fn catch_up(&mut self, notes: &dyn RolloutReader) -> Result<(), LedgerError> {
        if self.trail.is_none() {
            let trail = Trail::open(Arc::clone(&self.vfs), &self.dir, settings())?;
            let found = trail.head().map_or(0, |it| it.seq);
            if found < self.seen {
                return Err(LedgerError::RolledBack { found, seen: self.seen });
            }
            self.trail = Some(trail);
        }
        let caught_up = self.tell_all(notes);
        if caught_up.is_err() {
            self.trail = None;
        }
        caught_up
    }

    fn tell_all(&mut self, notes: &dyn RolloutReader) -> Result<(), LedgerError> {
        let waiting = notes.notes(self.told, NOTES_WAITING)?;
        if waiting.is_empty() {
            return Ok(());
        }
        self.told = self.told.max(self.last_told(&waiting)?);
        loop {
            let waiting = notes.notes(self.told, NOTES_AT_ONCE)?;
            let Some(last) = waiting.last() else { return Ok(()) };
            let records: Vec<_> = waiting.iter().map(|it| self.record_of(it)).collect();
            self.append(&records, Some(last.number))?;
        }
    }

    /// The number of the last of these notes that the trail holds; 0 when it holds none.
    fn last_told(&self, waiting: &[Noted]) -> Result<u64, LedgerError> {
        let id = |it: &Noted| Draft::from_note(&it.text).ok().map(|draft| draft.id().to_owned());
        let known: BTreeMap<_, _> =
            waiting.iter().filter_map(|it| Some((id(it)?, it.number))).collect();
        let first = waiting.iter().map(|it| it.at.unix_ms()).min().unwrap_or_default();
        let first = Timestamp::from_millisecond(first).unwrap_or(Timestamp::MIN);
        let not_before = first.checked_sub(SLACK).unwrap_or(Timestamp::MIN);
        let filter = Filter { source: Some(Source::Orchestrator), ..Filter::default() };
        for record in audit::newest(&self.vfs, &self.dir, &filter)? {
            let event = record?.event;
            let told = event.fields.get(NOTE_ID).and_then(Value::as_str);
            if let Some(number) = told.and_then(|it| known.get(it)) {
                return Ok(*number);
            }
            if event.timestamp < not_before {
                break;
            }
        }
        Ok(0)
    }

    fn record_of(&self, note: &Noted) -> NewRecord {
        let draft = Draft::from_note(&note.text).unwrap_or_else(|error| {
            // What cannot be read is told all the same: as it is.
            let category = (audit::Category::System, "tell");
            Draft::new(
                "system.note.unreadable",
                category,
                ("note", &note.number.to_string()),
                "orchestrator",
            )
            .with("error", error.to_string())
            .with("text", note.text.as_str())
        });
        self.numbered(draft, note.number).accepted(&note.about, note.at)
    }

    /// Adds what [`Self::last_told`] looks for.
    pub(super) fn numbered(&self, draft: Draft, note: u64) -> Draft {
        let id = draft.id().to_owned();
        draft.with(STORE, self.store_id.as_str()).with(NOTE, note).with(NOTE_ID, id)
    }

    /// Appends records; `told` is the number of the last note among them.
    pub(super) fn append(
        &mut self,
        records: &[NewRecord],
        told: Option<u64>,
    ) -> Result<(), LedgerError> {
        let Some(trail) = &mut self.trail else { return Err(AppendError::Poisoned.into()) };
        for records in records.chunks(NOTES_AT_ONCE as usize) {
            match trail.append(records, Timestamp::now()) {
                Ok(receipts) => self.seen = receipts.last().map_or(self.seen, |it| it.seq),
                Err(error) => {
                    self.trail = None;
                    return Err(error.into());
                }
            }
        }
        self.told = self.told.max(told.unwrap_or(0));
        Ok(())
    }
}
